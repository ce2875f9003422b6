"""What TensorRT and TensorRT-RTX tell of a plan's layers: how long each takes, what it is and which kernel runs it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from engines.contract import LayerTime


class Listener:
    """Adds up what a library's profiler reports; set :attr:`profiler` as that of an execution context."""

    def __init__(self, library: Any) -> None:
        self._ms: defaultdict[str, float] = defaultdict(float)
        self._calls: defaultdict[str, int] = defaultdict(int)
        add = self._add

        class Profiler(library.IProfiler):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()

            def report_layer_time(self, layer_name: str, ms: float) -> None:
                add(layer_name, float(ms))

        self.profiler: Any = Profiler()

    def _add(self, name: str, ms: float) -> None:
        self._ms[name] += ms
        self._calls[name] += 1

    def forget(self) -> None:
        """What was heard so far."""
        self._ms.clear()
        self._calls.clear()

    def told(self, runs: int, what: Mapping[str, str]) -> list[LayerTime]:
        """Each layer's share of one of ``runs`` runs; ``what`` as :func:`kinds` gives it."""
        return [
            LayerTime(name=name, ms=ms / runs, calls=self._calls[name] / runs, what=what.get(name, ""))
            for name, ms in self._ms.items()
        ]


def kinds(library: Any, engine: Any) -> dict[str, str]:
    """Layer -> its kind and kernel, by the engine's inspector; empty where that tells nothing that can be read."""
    text = engine.create_engine_inspector().get_engine_information(library.LayerInformationFormat.JSON)
    try:
        layers = json.loads(text)["Layers"]
    except (ValueError, TypeError, KeyError):
        return {}
    found = {}
    for layer in layers:
        if isinstance(layer, dict) and "Name" in layer:  # a plan without details has names alone
            words = (str(layer.get(key, "")) for key in ("LayerType", "TacticName"))
            found[str(layer["Name"])] = " ".join(filter(None, words))
    return found
