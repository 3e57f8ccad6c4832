from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime.errors import ConfigError
from realtime.server import sockets
from realtime.server.sockets import address, inherited, url_host


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Where the first descriptor is looked for: this process has others from 3 on."""
    place = os.dup(0)
    monkeypatch.setattr(sockets, "FIRST", place)
    yield place
    os.close(place)


def listening(family: int, where: object) -> socket.socket:
    made = socket.socket(family)
    made.bind(where)  # type: ignore[arg-type]  # each family has its own kind of address
    made.listen()
    return made


def test_a_listening_socket_is_taken_over_and_kept_from_children(place: int) -> None:
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as ours:
        os.dup2(ours.fileno(), place)
        [taken] = inherited(1)
        assert (taken.fileno(), taken.getsockname()) == (place, ours.getsockname())
        assert not os.get_inheritable(place)
        taken.detach()


def test_none_are_taken_where_none_were_given() -> None:
    assert inherited(0) == []


def test_a_descriptor_that_is_closed_or_no_socket_is_refused(place: int) -> None:
    with pytest.raises(ConfigError, match=f"LISTEN_FDS: descriptor {place} is no socket"):
        inherited(1)


def connected() -> socket.socket:
    ours, theirs = socket.socketpair()
    theirs.close()
    return ours


@pytest.mark.parametrize(
    "make",
    [
        connected,
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    ],
    ids=["a connection (Accept=yes)", "datagrams", "not listening"],
)
def test_a_socket_that_accepts_nobody_is_refused(make: object, place: int) -> None:
    assert callable(make)
    with make() as ours:
        os.dup2(ours.fileno(), place)
        with pytest.raises(ConfigError, match=f"LISTEN_FDS: descriptor {place} accepts no connections: needs ListenStream="):
            inherited(1)
        os.fstat(place)  # still whose it was


def test_addresses_are_shown_as_clients_write_them(tmp_path: Path) -> None:
    path = str(tmp_path / "door")
    with (
        listening(socket.AF_INET, ("127.0.0.1", 0)) as ipv4,
        listening(socket.AF_INET6, ("::1", 0)) as ipv6,
        listening(socket.AF_UNIX, path) as unix,
        listening(socket.AF_UNIX, f"\0{path}") as abstract,
    ):
        assert address(ipv4) == f"ws://127.0.0.1:{ipv4.getsockname()[1]}"
        assert address(ipv6) == f"ws://[::1]:{ipv6.getsockname()[1]}"
        assert address(unix) == f"unix:{path}"
        assert address(abstract) == f"unix:@{path}"


def test_a_literal_ipv6_host_is_put_in_brackets() -> None:
    assert (url_host("::1"), url_host("localhost")) == ("[::1]", "localhost")
