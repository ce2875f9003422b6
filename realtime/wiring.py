"""Where plain values become parts: :func:`build` is the only place that knows every source, sink and engine by name.

A new kind of source or sink is one file of its own, one name in :mod:`realtime.choose`, one ``case`` here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import engines
from realtime import choose
from realtime.aligner import Aligner
from realtime.allocator import bound_heaps
from realtime.compositor import Compositor
from realtime.config import StreamConfig
from realtime.contact_sheet import contact_sheet, evenly
from realtime.controls import PHOTO_LAYOUTS, Controls
from realtime.core import ConfigError, Frame, Sink, SinkError, Source, SourceInfo
from realtime.each_face import one_thread_each
from realtime.look import Look
from realtime.model_list import licence_warning
from realtime.models import face_landmarker
from realtime.program import Program
from realtime.progress import ProgressLine
from realtime.smoothing import make_smoother
from realtime.stream import Stream
from realtime.stylizer import Stylizer
from realtime.timing import Stats

if TYPE_CHECKING:
    from realtime.webrtc.server import Server

LIVE_FPS = 30.0
LIVE_SOURCES = ("camera", "url")
CAMERA_SIZE = (1280, 720)
MATTE_MODEL = "matte"
SHEET_PICTURES = 8
FEW_CORES = 8
OF_A_RUN = ("source", "sink", "size", "fps", "frames", "seconds", "live", "loop", "stats", "transparent")
"""Options that say nothing to a server."""
Say = Callable[[str], None]


def build(config: StreamConfig, *, say: Say, warn: Say | None = None) -> Program:
    """Open everything that ``config`` asks for: the source when all that works on its frames is warm, the sinks last.

    ``say`` takes what was chosen, ``warn`` (default: ``say``) what the user must not miss, one line each.
    Raises UserError; whatever had been opened by then is closed.
    """
    bound_heaps()
    plan = choose.choose(config, find_camera=find_camera, has_display=lambda: display_problem() is None)
    _check(config, plan)
    for line in plan.said:
        say(line)
    with ExitStack() as opened:
        controls = _controls(config)
        live = plan.live or plan.source.kind in LIVE_SOURCES
        engine = opened.enter_context(
            engines.load_live(config.model, config.engine, threads=drawing_threads(), log=say, wait=not live)
        )
        if (warning := licence_warning(Path(config.model).stem, engine.manifest)) is not None:
            (warn or say)(warning)
        stylizer = opened.enter_context(closing(_stylizer(config, plan, controls, engine, opened)))
        source = opened.enter_context(closing(open_source(plan, config, say)))
        info = source.info
        if not config.sink:
            choose.OUT.mkdir(exist_ok=True)
        sinks = [
            opened.enter_context(closing(open_sink(choice, config=config, info=info, controls=controls)))
            for choice in plan.sinks
        ]
        stats = Stats(engine=engine.name, device=engine.device)
        if isinstance(engine, engines.StandbyEngine):
            engine.watch(lambda name, device, why: _switched(stats, controls, name, device, why))
        progress = ProgressLine(
            status=stats.recent,
            total=_total(config, plan, info),
            build=lambda: engine.build if isinstance(engine, engines.StandbyEngine) else None,
        )
        stream = Stream(
            source=source,
            stylizer=stylizer,
            sinks=sinks,
            stats=stats,
            controls=controls,
            max_frames=config.frames,
            max_seconds=plan.seconds,
            rate=config.fps,
            on_progress=progress,
            on_snapshot=_save_snapshot,
            recorder=lambda: _open_recording(config.fps or info.fps, config.transparent),
        )
        sheet = plan.sheet
        return Program(
            stream=stream,
            stats=stats,
            controls=controls,
            progress=progress,
            outputs=tuple(Path(sink.value) for sink in plan.sinks if sink.kind in choose.FILE_KINDS),
            write_sheet=None if sheet is None else lambda: _write_sheet(Path(plan.sinks[0].value), sheet),
            stats_file=config.stats,
            say=say,
            opened=opened.pop_all(),
        )


def build_server(
    config: StreamConfig,
    *,
    say: Say,
    warn: Say | None = None,
    threads: int | None = None,
    make_stylizer: Callable[..., Stylizer] = Stylizer,
) -> Server:
    """A server for browsers, WHIP and WHEP in place of source and sinks. Raises UserError.

    ``threads`` (of each engine; None: :func:`drawing_threads`) and ``make_stylizer`` are there for measurements.
    """
    from realtime import webrtc

    webrtc.require()
    from realtime.webrtc.wiring import build_server as build_it

    assert config.serve is not None
    unused = [name for name in OF_A_RUN if getattr(config, name) != getattr(StreamConfig(), name)]
    if unused:
        raise ConfigError(f"--serve: expected no --{unused[0]}: peers bring their own pictures; leave it out")
    controls = _controls(config)
    return build_it(
        address=config.serve,
        token=config.token,
        certificate=config.certificate,
        key=config.key,
        ice_servers=config.ice_server,
        peers=config.peers,
        model=config.model,
        engine=config.engine,
        threads=threads or drawing_threads(),
        faces=config.faces,
        layout=config.layout,
        smooth=config.smooth,
        mirror=config.mirror,
        look=controls.look,
        say=say,
        warn=warn or say,
        make_stylizer=make_stylizer,
    )


def _check(config: StreamConfig, plan: choose.Plan) -> None:
    """What can be refused before anything is loaded."""
    if config.stats is not None and not config.stats.parent.is_dir():
        raise ConfigError(f"--stats: there is no folder {str(config.stats.parent)!r}; expected one; make it first")
    if any(sink.kind == "window" for sink in plan.sinks) and (problem := display_problem()) is not None:
        raise SinkError(problem)
    odd = config.size is not None and any(side % 2 for side in config.size)
    if odd and any(sink.kind in ("video", "virtual-camera", "whip") for sink in plan.sinks):
        raise ConfigError(
            "--size: expected even numbers for a clip, virtual camera or whip; write for example 1280x720"
        )

    for sink in plan.sinks if config.transparent else ():
        if sink.kind in choose.FILE_KINDS and Path(sink.value).suffix.lower() not in choose.CLEAR_SUFFIXES:
            can = " ".join(choose.CLEAR_SUFFIXES)
            raise ConfigError(f"--transparent: {sink.value!r} holds no transparency; expected {can}; change the ending")
    if config.transparent and config.layout in PHOTO_LAYOUTS:
        raise ConfigError(
            f"--transparent: layout {config.layout} shows a photo; expected a drawing alone; leave one out"
        )


def _controls(config: StreamConfig) -> Controls:
    look = Look(
        paper=config.paper, ink=config.ink, weight=config.weight, chalk=config.chalk, transparent=config.transparent
    )
    return Controls(layout=config.layout, mirror=config.mirror, smooth=config.smooth, look=look, split=config.split)


def _stylizer(
    config: StreamConfig, plan: choose.Plan, controls: Controls, engine: engines.Engine, opened: ExitStack
) -> Stylizer:
    from realtime.trackers.mediapipe_face import MediaPipeFaceTracker

    one_thread_each()
    matter = opened.enter_context(engines.load_matte(MATTE_MODEL))
    tracker = MediaPipeFaceTracker(asset=face_landmarker(), faces=config.faces)
    return Stylizer(
        tracker=tracker,
        aligner=Aligner(matter=matter),
        engine=engine,
        make_smoother=make_smoother,
        compositor=Compositor(
            size=config.size, even=any(sink.kind not in ("picture", "vector") for sink in plan.sinks)
        ),
        controls=controls,
    )


def _total(config: StreamConfig, plan: choose.Plan, info: SourceInfo) -> int | None:
    """Frames that will be delivered, as far as that can be known beforehand."""
    limits = [config.frames, None if plan.seconds is None else round(plan.seconds * info.fps)]
    if not config.loop and info.frames is not None:
        kept = 1.0 if config.fps is None else min(1.0, config.fps / info.fps)
        limits.append(round(info.frames * kept))
    return None if info.live else min((limit for limit in limits if limit is not None), default=None)


def drawing_threads() -> int | None:
    """Threads of the engine in a live run: one core is left to what goes on beside it; None where there are plenty.

    On two cores it draws 30 frames a second with one thread and 29 with two, and a frame is 12 ms younger.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores - 1) if cores <= FEW_CORES else None


def find_camera() -> int | None:
    """The first real camera: a virtual one shows what some program, perhaps this one, sends to it."""
    from realtime.sources.camera import list_cameras

    return next((camera.index for camera in list_cameras() if not camera.virtual), None)


def display_problem() -> str | None:
    """Why no window can be opened, and what to do; None when one can."""
    from realtime.sinks import window

    return window.display_problem()


def open_source(plan: choose.Plan, config: StreamConfig, say: Say) -> Source:
    """Plugs are imported where they are needed: a clip loads no camera code."""
    width, height = CAMERA_SIZE
    fps = config.fps or LIVE_FPS
    value = plan.source.value
    match plan.source.kind:
        case "camera":
            from realtime.sources.camera import CameraSource

            return CameraSource(index=int(value), width=width, height=height, fps=fps)
        case "demo":
            from realtime.sources.demo import DemoSource

            return DemoSource(fps=fps, seconds=plan.seconds, live=plan.live, width=width, height=height)
        case "whip":
            from realtime import webrtc

            webrtc.require()
            from realtime.webrtc.settings import Settings, parse_address
            from realtime.webrtc.whip_source import WhipSource

            host, port = parse_address(value)
            settings = Settings(
                host=host,
                port=port,
                token=config.token,
                certificate=config.certificate,
                key=config.key,
                ice_servers=config.ice_server,
            )
            return WhipSource(settings=settings.guarded(), say=say)
        case "url":
            from realtime.sources.url import UrlSource

            return UrlSource(url=value)
        case "picture":
            from realtime.sources.picture import PictureSource

            return PictureSource(path=Path(value), live=plan.live)
        case "video":
            from realtime.sources.video import VideoSource

            return VideoSource(path=Path(value), live=plan.live, loop=config.loop)


def open_sink(choice: choose.SinkChoice, *, config: StreamConfig, info: SourceInfo, controls: Controls) -> Sink:
    fps = config.fps or info.fps
    match choice.kind:
        case "window":
            from realtime.sinks.window import WindowSink

            return WindowSink(controls=controls)
        case "virtual-camera":
            from realtime.sinks.virtual_camera import VirtualCameraSink

            return VirtualCameraSink(device=choice.value or None, fps=fps)
        case "whip":
            from realtime import webrtc

            webrtc.require()
            from realtime.webrtc.whip_sink import WhipSink

            return WhipSink(url=choice.value, token=os.environ.get("WHIP_TOKEN"))
        case "null":
            from realtime.sinks.null import NullSink

            return NullSink()
        case "video":
            from realtime.sinks.video_file import VideoFileSink

            audio = None if config.loop else info.audio
            return VideoFileSink(
                path=Path(choice.value),
                fps=fps,
                time_base=info.time_base,
                audio=audio,
                transparent=config.transparent,
            )
        case "picture":
            from realtime.sinks.picture_file import PictureFileSink

            return PictureFileSink(path=Path(choice.value))
        case "vector":
            from realtime.sinks.svg_file import SvgFileSink

            return SvgFileSink(path=Path(choice.value))


def _switched(stats: Stats, controls: Controls, name: str, device: str, why: str) -> None:
    """A change of engine is seen in the figures and on the overlay."""
    stats.switched(name, device, why)
    controls.report(message=f"engine: now {name} ({why})")


def _named_now(what: str, suffix: str) -> Path:
    choose.OUT.mkdir(exist_ok=True)
    return choose.OUT / f"{what}-{time.strftime('%Y%m%d-%H%M%S')}{suffix}"


def _save_snapshot(frame: Frame) -> None:
    """The same drawing as pixels and as curves."""
    from realtime.sinks.picture_file import PictureFileSink
    from realtime.sinks.svg_file import SvgFileSink

    path = _named_now("snapshot", ".png")
    with closing(PictureFileSink(path=path)) as picture:
        picture.send(frame)
    with closing(SvgFileSink(path=path.with_suffix(".svg"))) as vector:
        vector.send(frame)


def _open_recording(fps: float, transparent: bool) -> Sink:
    from realtime.sinks.video_file import VideoFileSink

    path = _named_now("recording", ".webm" if transparent else ".mp4")
    return VideoFileSink(path=path, fps=fps, time_base=None, audio=None, transparent=transparent)


def _write_sheet(clip: Path, target: Path) -> Path:
    from realtime.sinks.picture_file import PictureFileSink
    from realtime.sources.video import VideoSource

    with closing(VideoSource(path=clip)) as source:
        total = source.info.frames or 0
        frames = evenly(source, total=total, count=SHEET_PICTURES)
    with closing(PictureFileSink(path=target)) as sink:
        sink.send(contact_sheet(frames))
    return target
