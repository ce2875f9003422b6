"""From the configuration to a server: the only place here that knows engines and trackers by name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import engines
from realtime.allocator import bound_heaps
from realtime.controls import PHOTO_LAYOUTS, Controls
from realtime.core import ConfigError, Tracker
from realtime.each_face import one_thread_each
from realtime.look import PAPERS, Look
from realtime.model_list import licence_warning
from realtime.models import face_landmarker
from realtime.smoothing import make_smoother
from realtime.stylizer import Stylizer
from realtime.webrtc.pen import Style, Styles
from realtime.webrtc.pipeline import OneAtATime, Parts
from realtime.webrtc.server import Server
from realtime.webrtc.settings import IceServer, Limits, Settings
from realtime.webrtc.spare import Spare

MATTE_MODEL = "matte"
Say = Callable[[str], None]


def build_server(
    *,
    address: tuple[str, int],
    token: str | None,
    certificate: Path | None,
    key: Path | None,
    ice_servers: tuple[IceServer, ...],
    peers: int | None,
    model: str,
    engine: str,
    threads: int | None,
    faces: int,
    layout: str,
    smooth: float,
    mirror: bool,
    look: Look,
    say: Say,
    warn: Say,
    make_stylizer: Callable[..., Stylizer] = Stylizer,
) -> Server:
    """Load what draws, so that the first peer does not wait. Raises UserError; what was opened by then is closed.

    ``threads`` are those of each engine, None for as many as there are cores.
    """
    if layout in PHOTO_LAYOUTS or look.paper not in PAPERS:
        raise ConfigError(
            f"--serve: expected a layout and a paper that every peer may have, got {layout}, {look.paper}; the page "
            "shows the photo beside the drawing by itself; leave them out"
        )
    bound_heaps()
    one_thread_each()
    settings = _settings(address, token, certificate, key, ice_servers, peers)
    with ExitStack() as opened:
        styles = Styles(
            styles=_styles(model),
            load=lambda name: engines.load_live(name, engine, threads=threads, log=say),
            first=model,
        )
        opened.callback(styles.close)
        if (warning := licence_warning(Path(model).stem, styles.manifest(model))) is not None:
            warn(warning)
        matter = opened.enter_context(engines.load_matte(MATTE_MODEL, threads=threads))
        asset = face_landmarker()
        spare = Spare(make=lambda: _tracker(asset, faces))
        opened.callback(spare.close)
        parts = Parts(
            styles=styles,
            make_tracker=spare.take,
            make_smoother=make_smoother,
            matter=OneAtATime(matter),
            make_stylizer=make_stylizer,
            controls=lambda: Controls(layout=layout, smooth=smooth, mirror=mirror, look=look),  # type: ignore[arg-type]
        )
        return Server(settings=settings, parts=parts, say=say, opened=opened.pop_all())


def _settings(
    address: tuple[str, int],
    token: str | None,
    certificate: Path | None,
    key: Path | None,
    ice_servers: tuple[IceServer, ...],
    peers: int | None,
) -> Settings:
    return Settings(
        host=address[0],
        port=address[1],
        token=token,
        certificate=certificate,
        key=key,
        ice_servers=ice_servers,
        limits=Limits() if peers is None else Limits(peers=peers),
    ).guarded()


def _styles(model: str) -> list[Style]:
    """The models that draw and that anybody may use, and the one that was asked for."""
    named = [
        Style(
            name=one.name, text=f"{one.name}: {one.manifest.style}" + (", non-commercial" * one.manifest.non_commercial)
        )
        for one in engines.list_models()
        if one.manifest is not None and one.manifest.kind == "drawing"
    ]
    return named if any(style.name == model for style in named) else [Style(name=model, text=Path(model).stem), *named]


def _tracker(asset: Path, faces: int) -> Tracker:
    from realtime.trackers.mediapipe_face import MediaPipeFaceTracker

    return MediaPipeFaceTracker(asset=asset, faces=faces)
