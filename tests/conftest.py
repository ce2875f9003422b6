"""What the tests of every folder share: a small clip made on the spot, and where more material lies if it is here."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest


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


@pytest.fixture
def shared() -> Path:
    """The folder of shared test material beside the repository; tests that need it are skipped without it."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data, which is not here")
    return folder
