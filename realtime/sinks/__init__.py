"""Where drawings go. One file each; see :class:`realtime.core.Sink`."""
