"""Training: the synthetic teacher, its metrics, data sets and the training loops."""
