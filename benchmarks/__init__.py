"""Measurements that the documentation quotes. Each writes a dated table and JSON to benchmarks/results."""
