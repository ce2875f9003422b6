"""A command whose output nobody reads any more ends without a word; other broken pipes are faults as before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engines.command import UNREAD

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there, a broken pipe cannot be asked after")


def unheard(*command: str) -> tuple[int, str]:
    """Exit code and stderr of a Python command whose output is closed from the beginning."""
    with subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()
        said = run.stderr.read()
    return run.returncode, said


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "engines.export", "--help"),
        ("-m", "engines.verify", "--help"),
        ("-m", "engines.build", "--help"),
        ("-m", "train", "--help"),
        ("run_stream.py", "--help"),
    ],
)
def test_a_command_that_nobody_reads_ends_without_a_word(command: tuple[str, ...]) -> None:
    _, said = unheard(*command)  # argparse may count its help as told, heard or not
    assert said == ""


def test_what_is_written_in_many_lines_ends_at_the_first_that_breaks() -> None:
    code = "from engines.command import leave\nleave(lambda: [print('x' * 9999) for _ in range(99)] and 0)"
    assert unheard("-c", code) == (UNREAD, "")
    assert unheard("run_stream.py", "--list-models") == (UNREAD, "")


def test_another_broken_pipe_is_a_fault_and_a_code_is_passed_on() -> None:
    fault = "from engines.command import leave\ndef main(): raise BrokenPipeError('of a child')\nleave(main)"
    done = subprocess.run([sys.executable, "-c", fault], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "of a child" in done.stderr
    ends = "from engines.command import leave\nleave(lambda: 3)"
    assert subprocess.run([sys.executable, "-c", ends], cwd=ROOT, check=False).returncode == 3
