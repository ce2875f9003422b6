"""Errors that a user can mend, for every layer above the network.

::

    UserError (ValueError)          one clear line: what, what was expected, what to do
      EngineError                   no such engine, not installed, device missing
        EngineLostError                  it broke while it drew: out of memory, the GPU is gone; another may go on
      ModelError                    a model file is missing, corrupt or of another kind
      (realtime.core adds)
      SourceError                   a camera, clip, picture or URL that cannot be opened or read
        PartialSourceError          it broke in the middle; what decoded has been delivered
      SinkError                     a place to send frames that cannot be opened or written
      AssetError                    a tracker asset is missing or fails its checksum
      ConfigError                   an option or a config file with a value that cannot be used
"""

from __future__ import annotations


class UserError(ValueError):
    """Root of the errors shown to a user as one line and exit code 2."""


class EngineError(UserError):
    """An engine was asked for that does not exist, is not installed, or has no device."""


class EngineLostError(EngineError):
    """An engine broke while it drew and will not draw again; the picture at hand may be drawn by another."""


class ModelError(UserError):
    """A model file is missing, corrupt, or not what it is used as."""
