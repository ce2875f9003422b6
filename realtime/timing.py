"""True figures of a run, in bounded memory: frames, drops, rate, age, time in each stage, peak memory."""

from __future__ import annotations

import random
import sys
import threading
import time
from array import array
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from realtime.core import Frame

CHANGES = 16
"""Changes of engine kept."""
SAMPLES = 2048
"""Values kept for each percentile: a uniform sample of the whole run, however long it is. A p95 of so many is one
between p94 and p96 of all."""


class Reservoir:
    """A uniform random sample of a stream of numbers (Vitter's algorithm R). Not locked; repeatable (own seed).

    Its memory is taken at once: a list of floats would fill for a quarter of an hour and look like a leak.
    """

    def __init__(self, *, capacity: int = SAMPLES) -> None:
        self._capacity = capacity
        self._values = array("d", bytes(8 * capacity))
        self._random = random.Random(0)
        self.count = 0

    def add(self, value: float) -> None:
        slot = self.count if self.count < self._capacity else self._random.randrange(self.count + 1)
        self.count += 1
        if slot < self._capacity:
            self._values[slot] = value

    def percentiles(self) -> dict[str, float]:
        """p50, p95 and p99, rounded to 0.01; zeros while there is no value."""
        if not self.count:
            return {"p50": 0.0, "p95": 0.0, "p99": 0.0}
        p50, p95, p99 = np.percentile(self._values[: self.count], [50, 95, 99])
        return {"p50": round(float(p50), 2), "p95": round(float(p95), 2), "p99": round(float(p99), 2)}


class Stats:
    """Counts and clocks of one run. Every method may be called from any thread."""

    def __init__(self, *, engine: str = "", device: str = "") -> None:
        self.engine = engine
        self.device = device
        self._changes: deque[dict[str, str]] = deque(maxlen=CHANGES)
        self._lock = threading.Lock()
        self._frames_in = 0
        self._frames_out = 0
        self._dropped = 0
        self._skipped = 0
        self._faces_most = 0
        self._frames_with_face = 0
        self._faces_now = 0
        self._first = self._last = 0.0
        self._age = Reservoir()
        self._delay = Reservoir()
        self._carried = 0
        self._stages: dict[str, Reservoir] = {}
        self._recent: deque[tuple[float, float]] = deque(maxlen=60)

    @property
    def frames_out(self) -> int:
        with self._lock:
            return self._frames_out

    def switched(self, engine: str, device: str, why: str) -> None:
        """Another engine draws from now on."""
        with self._lock:
            self.engine, self.device = engine, device
            self._changes.append({"engine": engine, "device": device, "why": why})

    def captured(self) -> None:
        """One frame was taken from the source."""
        with self._lock:
            self._frames_in += 1

    def dropped(self) -> None:
        """A newer frame overtook one that nobody had begun to work on."""
        with self._lock:
            self._dropped += 1

    def skipped(self) -> None:
        """The rate limit left a frame of the source out (it counts neither as in nor as dropped)."""
        with self._lock:
            self._skipped += 1

    def add(self, stage: str, seconds: float) -> None:
        """Time spent in a stage for one frame."""
        with self._lock:
            self._stages.setdefault(stage, Reservoir()).add(seconds * 1000)

    def late(self, seconds: float) -> None:
        """By how much the landmarks of one frame are older than it; 0 when its own came in time."""
        with self._lock:
            self._delay.add(seconds * 1000)
            self._carried += seconds > 0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the block as one frame's time in the stage; a block that raises is not counted."""
        start = time.perf_counter()
        yield
        self.add(name, time.perf_counter() - start)

    def delivered(self, frame: Frame, *, faces: int) -> None:
        """Every sink has taken the frame; its age is counted here, from the end of decode."""
        now = time.monotonic()
        with self._lock:
            age = (now - frame.captured) * 1000
            self._age.add(age)
            self._recent.append((now, age))
            self._first = now if self._frames_out == 0 else self._first
            self._last = now
            self._frames_out += 1
            self._faces_now = faces
            self._faces_most = max(self._faces_most, faces)
            self._frames_with_face += faces > 0

    def recent(self) -> dict[str, float | int | str]:
        """Figures of the last 60 frames, for an overlay: fps, age_ms, faces, dropped, engine, device."""
        with self._lock:
            span = self._recent[-1][0] - self._recent[0][0] if len(self._recent) > 1 else 0.0
            ages = [age for _, age in self._recent]
            return {
                "fps": round((len(self._recent) - 1) / span, 1) if span > 0 else 0.0,
                "age_ms": round(float(np.median(ages)), 1) if ages else 0.0,
                "faces": self._faces_now,
                "frames": self._frames_out,
                "dropped": self._dropped,
                "engine": self.engine,
                "device": self.device,
            }

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON.

        ``fps`` is (frames_out - 1) / (last - first delivery); ``faces`` the most drawn in one frame; ``in_flight``
        what was captured and neither delivered nor overtaken (frames on their way when a live stream was ended);
        ``engine_changes`` the last changes of engine, with the reason;
        ``carried`` the frames of a live stream that were drawn by older landmarks, and ``tracking_delay_ms`` by how
        much older, over all of its frames.
        """
        with self._lock:
            span = self._last - self._first
            return {
                "frames_in": self._frames_in,
                "frames_out": self._frames_out,
                "dropped": self._dropped,
                "skipped": self._skipped,
                "in_flight": self._frames_in - self._frames_out - self._dropped,
                "fps": round((self._frames_out - 1) / span, 2) if span > 0 else 0.0,
                "age_ms": self._age.percentiles(),
                "carried": self._carried,
                "tracking_delay_ms": self._delay.percentiles(),
                "stages_ms": {name: values.percentiles() for name, values in self._stages.items()},
                "engine": self.engine,
                "device": self.device,
                "engine_changes": list(self._changes),
                "faces": self._faces_most,
                "frames_with_face": self._frames_with_face,
                "rss_mb": round(peak_rss_mb(), 1),
            }

    def table(self) -> str:
        """The same for people: a few aligned lines."""
        d = self.as_dict()
        lines = [
            f"frames   {d['frames_in']} in, {d['frames_out']} out, {d['dropped']} dropped   {d['fps']:.1f} fps",
            f"engine   {d['engine']} on {d['device']}   faces {d['faces']}   memory {d['rss_mb']:.0f} MB (peak)",
            f"{'ms':<9}{'p50':>8}{'p95':>8}{'p99':>8}",
        ]
        for change in d["engine_changes"]:
            lines.insert(2, f"engine changed to {change['engine']} on {change['device']}: {change['why']}")
        if d["carried"]:
            lines.insert(
                1, f"tracking was late in {d['carried']} frames: by {d['tracking_delay_ms']['p95']:.0f} ms (p95)"
            )
        for name, p in {"age": d["age_ms"], **d["stages_ms"]}.items():
            lines.append(f"{name:<9}{p['p50']:>8.1f}{p['p95']:>8.1f}{p['p99']:>8.1f}")
        return "\n".join(lines)


def peak_rss_mb() -> float:
    """The most memory that this process has held, in MB of 2**20 bytes; 0 where the system does not tell."""
    if sys.platform == "win32":
        try:
            import psutil
        except ImportError:
            return 0.0
        return float(psutil.Process().memory_info().peak_wset) / 2**20
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / (2**20 if sys.platform == "darwin" else 2**10)  # macOS counts bytes, Linux KiB
