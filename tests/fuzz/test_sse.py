"""Server-Sent Events: however a stream comes in pieces, its events are those that the specification reads in the whole of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.engines.sse import SseParser
from realtime.errors import EngineError
from tests.fuzz.corpus import kept
from tests.fuzz.dice import cut, split

MAX_EVENT = 64
"""Bytes: small, so that it is met."""


def check(data: bytes) -> None:
    sizes, stream = split(data)
    lines, events = specified(stream)
    try:
        read = parsed(stream, sizes)
    except EngineError:
        assert max(map(len, [*lines, *events]), default=0) > MAX_EVENT, "nothing is too long"
        return
    assert read == events
    assert all(len(event) <= len(stream) for event in read)


def parsed(stream: bytes, sizes: bytes) -> list[bytes]:
    parser = SseParser(MAX_EVENT)
    events = [event for piece in cut(stream, sizes) for event in parser.feed(piece)]
    return events + parser.flush()


def specified(stream: bytes) -> tuple[list[bytes], list[bytes]]:
    """The lines and the events, as WHATWG HTML 9.2.6 has them; the last event counts without its blank line."""
    lines = re.split(rb"\r\n|\r|\n", stream.removeprefix(b"\xef\xbb\xbf"))
    events: list[bytes] = []
    held: list[bytes] = []
    for line in [*lines, b""]:
        name, _, value = line.partition(b":")
        if not line and held:
            events.append(b"\n".join(held))
            held = []
        elif name == b"data":
            held.append(value.removeprefix(b" "))
    return lines, events


@pytest.mark.parametrize("path", kept("sse"), ids=lambda path: path.name)
def test_what_is_kept_is_read(path: Path) -> None:
    check(path.read_bytes())


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    check(data)


PIECES = [
    b"data: a",
    b"data:b",
    b"data",
    b": note",
    b"event: x",
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"\xef\xbb\xbf",
    b"data: " + b"x" * 70,
    b"id",
]


@given(st.lists(st.sampled_from(PIECES), max_size=20), st.binary(max_size=7))
def test_what_endpoints_write(pieces: list[bytes], sizes: bytes) -> None:
    check(bytes([len(sizes)]) + sizes + b"".join(pieces))
