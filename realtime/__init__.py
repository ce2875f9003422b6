"""The live pipeline: sources, tracking, alignment, smoothing, composition, sinks. No torch.

Read :mod:`realtime.core` first and :mod:`realtime.stylizer` second.
"""
