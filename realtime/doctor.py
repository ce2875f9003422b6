"""What this machine has and lacks for live drawing, what to do about each miss, and how late the picture is."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import numpy as np

import engines
from engines.catalogue import NEEDED
from engines.errors import UserError
from realtime import shared_libraries
from realtime.config import StreamConfig
from realtime.core import PAPER, AssetError, Frame, SinkError
from realtime.models import face_landmarker

Say = Callable[[str], None]
Mark = Literal["ok", "--", "!!"]

MEASURED_SECONDS = 3.0

CAMERA = {
    "linux": "plug one in; if there is one, see that you may read /dev/video0 (group video), also inside a container",
    "darwin": "allow your terminal to use the camera in System Settings, Privacy & Security, Camera",
    "win32": "allow desktop apps to use the camera in Settings, Privacy & security, Camera",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at. ``ok``; ``--``: missing, drawing works without it; ``!!``: nothing can be drawn without."""

    what: str
    mark: Mark
    found: str
    do: str = ""

    def __str__(self) -> str:
        line = f"{self.mark}  {self.what:<18} {self.found}"
        return f"{line}\n{'':<22} do: {self.do}" if self.do else line


def examine(say: Say) -> bool:
    """Look at everything and say it. True when this machine can draw."""
    say(f"    {'system':<18} {platform.system()} {platform.release()}, Python {platform.python_version()}")
    able = True
    for finding in findings():
        say(str(finding))
        able &= finding.mark != "!!"
    say(str(delay()) if able else "!!  delay              not measured: nothing can be drawn yet")
    return able


def findings() -> Iterator[Finding]:
    """All but the measurement. Libraries come first: without them the rest cannot even be asked."""
    libraries = check_libraries()
    yield libraries
    if libraries.mark == "ok":
        yield check_camera()
        yield check_display()
        yield check_virtual_camera()
    yield from check_engines()
    yield from check_models()
    yield check_asset()


def check_libraries() -> Finding:
    missing = shared_libraries.missing()
    if missing:
        command = " ".join(shared_libraries.install_command(missing))
        return Finding(what="libraries", mark="!!", found=f"{', '.join(missing)} missing", do=f"sudo {command}")
    return Finding(what="libraries", mark="ok", found="what opencv and mediapipe link is there")


def check_camera() -> Finding:
    from realtime.sources.camera import list_cameras

    cameras = [f"{camera.index} {camera.name}" for camera in list_cameras() if not camera.virtual]
    if cameras:
        return Finding(what="camera", mark="ok", found="; ".join(cameras))
    do = CAMERA.get(sys.platform, CAMERA["linux"])
    return Finding(what="camera", mark="--", found="none found; a clip, picture, URL or demo works", do=do)


def check_display() -> Finding:
    from realtime.sinks.window import display_problem

    problem = display_problem()
    if problem is None:
        return Finding(what="display", mark="ok", found="a window can be opened")
    found, _, do = problem.removeprefix("window: ").partition("; ")
    return Finding(what="display", mark="--", found=f"{found}; files and virtual cameras work", do=do)


def check_virtual_camera() -> Finding:
    """The one sure way to know: open it and send a sheet of paper."""
    from realtime.sinks.virtual_camera import VirtualCameraSink, advice

    try:
        with closing(VirtualCameraSink()) as sink:
            sink.send(Frame(image=np.full((720, 1280, 3), PAPER, np.uint8), index=0, captured=time.monotonic()))
            return Finding(what="virtual camera", mark="ok", found=f"{sink.device}; choose it in your call app")
    except SinkError as error:
        problem, _, do = str(error).partition("; ")
        return Finding(what="virtual camera", mark="--", found=problem, do=do or advice())


def check_engines() -> Iterator[Finding]:
    available = engines.available()
    usable = [name for name, problem in available.items() if problem is None]
    for name, problem in available.items():
        if problem is None:
            yield Finding(what=f"{name} engine", mark="ok", found="usable")
        else:
            yield Finding(what=f"{name} engine", mark="--" if usable else "!!", found="not usable", do=problem)


def check_models() -> Iterator[Finding]:
    models = {model.name: model for model in engines.list_models()}
    for name in (*NEEDED, *sorted(set(models) - set(NEEDED))):
        model = models.get(name)
        what = f"{name} model"
        if model is None:
            do = f"get {name}.onnx of this release into {engines.MODELS}"
            yield Finding(what=what, mark="!!", found="missing", do=do)
        elif model.problem is not None:
            mark: Mark = "!!" if name in NEEDED else "--"
            yield Finding(what=what, mark=mark, found="cannot be used", do=model.problem)
        else:
            yield Finding(what=what, mark="ok", found=_describe(model))


def check_asset() -> Finding:
    try:
        path = face_landmarker()
    except AssetError as error:
        return Finding(what="face tracker", mark="!!", found="its model is missing", do=str(error))
    return Finding(what="face tracker", mark="ok", found=f"{path.name}, checksum right")


def delay() -> Finding:
    """Draw the demo for a moment as a live camera, and tell how old a drawing is when it arrives."""
    from realtime.wiring import build

    config = StreamConfig(source="demo", sink=("null",), live=True, seconds=MEASURED_SECONDS)
    try:
        with build(config, say=lambda _line: None) as program:
            program.run()
    except UserError as error:
        return Finding(what="delay", mark="!!", found="the demo could not be drawn", do=str(error))
    figures = program.stats.as_dict()
    p50, p95 = figures["age_ms"]["p50"], figures["age_ms"]["p95"]
    found = f"{p50:.0f} ms in the middle, {p95:.0f} ms at worst but for 5 %; {figures['fps']:.0f} drawings a second"
    late = f"about {round(p50, -1):.0f} ms plus what your camera adds"
    do = f"for lip-sync, set the audio delay of your call app or OBS to {late}"
    return Finding(what="delay", mark="ok", found=found, do=do)


def list_devices(say: Say) -> bool:
    """Cameras and virtual cameras, one line each."""
    from realtime.sources.camera import list_cameras

    cameras = list_cameras()
    for camera in cameras:
        say(f"--source camera:{camera.index}   {camera.name}{' (virtual)' if camera.virtual else ''}")
    if not cameras:
        say(str(check_camera()))
    say(str(check_virtual_camera()))
    return True


def _describe(model: engines.ModelInfo) -> str:
    manifest = model.manifest
    assert manifest is not None, "only models without a problem are described"
    licence = f"licence {manifest.licence}" + ", NON-COMMERCIAL" * manifest.non_commercial
    return f"{manifest.kind}, {manifest.style}, {manifest.gmac:.1f} GMAC, {model.size / 1e6:.1f} MB, {licence}"
