"""The server's options: what is understood, what is refused and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime.config import parse
from realtime.core import ConfigError
from realtime.wiring import build_server


def test_serve_may_stand_alone() -> None:
    assert parse(["--serve"])[0].serve == ("127.0.0.1", 8080)
    assert parse(["--serve", "--mirror"])[0].serve == ("127.0.0.1", 8080)
    assert parse(["--serve", "0.0.0.0:80"])[0].serve == ("0.0.0.0", 80)
    assert parse([])[0].serve is None


def test_the_rest_of_it_is_read_from_arguments_and_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text('serve = "[::1]:9"\nice-server = ["stun:s.example", "turn:u:p@t.example"]\npeers = 2\n')
    config = parse(["--config", str(file), "--token", "a-long-enough-token"])[0]
    assert (config.serve, config.peers, config.token) == (("::1", 9), 2, "a-long-enough-token")
    assert [one.url for one in config.ice_server] == ["stun:s.example", "turn:t.example"]
    assert len(parse(["--ice-server", "stun:a", "--ice-server", "stun:b"])[0].ice_server) == 2


@pytest.mark.parametrize("token", ["short", "with a space in the middle", "ümlaut-ümlaut-ümlaut"])
def test_a_token_that_is_easily_guessed_or_cannot_be_sent_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(ConfigError, match="--token: expected") as refused:
        parse(["--token", token])
    assert token not in str(refused.value)


@pytest.mark.parametrize("argv", [["--source", "demo"], ["--sink", "null"], ["--fps", "5"], ["--loop"]])
def test_what_says_nothing_to_a_server_is_refused(argv: list[str]) -> None:
    config, _ = parse(["--serve", *argv])
    with pytest.raises(ConfigError, match=f"--serve: expected no {argv[0]}"):
        build_server(config, say=print)


def test_a_photo_layout_is_refused_for_a_server() -> None:
    config, _ = parse(["--serve", "--layout", "split"])
    with pytest.raises(ConfigError, match="expected a layout and a paper that every peer may have"):
        build_server(config, say=print)


def test_others_than_this_machine_need_a_token_that_is_made_up_when_none_is_given() -> None:
    from realtime.webrtc.wiring import _settings

    def token(host: str, given: str | None = None) -> str | None:
        return _settings((host, 0), given, None, None, (), None).token

    assert token("127.0.0.1") is None
    made = token("0.0.0.0")
    assert made is not None
    assert len(made) >= 32
    assert made != token("0.0.0.0")
    assert token("0.0.0.0", "mine-and-long-enough") == "mine-and-long-enough"


def test_every_server_bounds_its_heaps_before_anything_of_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    from realtime.webrtc import wiring

    class BoundError(Exception):
        pass

    def bound_heaps() -> None:
        raise BoundError

    monkeypatch.setattr(wiring, "bound_heaps", bound_heaps)
    config, _ = parse(["--serve"])
    with pytest.raises(BoundError):
        build_server(config, say=print)
