"""A model file made fast. Others touch this module alone.

``load()`` opens a drawing model, ``load_matte()`` a person-matte model; both give an object with one method. Which
runtime runs it is told in one line. Importing this costs no runtime and no torch: they are imported when one is opened.

::

    with engines.load("lite", log=print) as engine:
        drawing = engine.draw(photo, boxes, matte)
"""

from __future__ import annotations

from engines.catalogue import MODELS, ModelInfo, list_models
from engines.choose import BACKENDS, available, engine_names, load, load_matte
from engines.contract import Engine, MatteEngine
from engines.errors import EngineError, EngineLostError, ModelError, UserError
from engines.manifest import Manifest
from engines.standby import StandbyEngine, load_live

__all__ = [
    "BACKENDS",
    "MODELS",
    "Engine",
    "EngineError",
    "EngineLostError",
    "Manifest",
    "MatteEngine",
    "ModelError",
    "ModelInfo",
    "StandbyEngine",
    "UserError",
    "available",
    "engine_names",
    "list_models",
    "load",
    "load_live",
    "load_matte",
]
