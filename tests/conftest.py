"""What the tests of every folder share: small clips made on the spot, and the optional data beside the checkout."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def demo_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of the demo as the camera sees it, 640x360, 15 fps, Matroska (which can be cut anywhere)."""
    from realtime.sinks.video_file import VideoFileSink
    from realtime.sources.demo import DemoSource

    path = tmp_path_factory.mktemp("clip") / "demo.mkv"
    with closing(DemoSource(fps=15, seconds=1, live=False, width=640, height=360)) as source:
        info = source.info
        with closing(VideoFileSink(path=path, fps=info.fps, time_base=info.time_base, audio=None)) as sink:
            for frame in source:
                sink.send(frame)
    return path


@pytest.fixture(scope="session")
def shared() -> Path:
    """The data folder beside the checkout; tests that need it are extra, and skip without it."""
    folder = ROOT.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("needs the data folder ../shared, which is not part of the repository")
    return folder
