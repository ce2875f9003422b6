"""Where frames come from. One file each; see :class:`realtime.core.Source`."""
