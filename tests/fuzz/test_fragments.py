"""The cutter of large frames: whatever comes, in whatever pieces, the library makes the same of it as without the cutter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import OPEN, SERVER, Protocol

from realtime.server import fragments
from realtime.server.fragments import Cutter
from tests.fuzz.corpus import kept
from tests.fuzz.dice import cut, split

PIECE = 128
"""Bytes of a fragment here, so that frames of some hundreds are cut. No control frame that may be is longer than 125."""

LARGEST = 1024

TWICE_WRONG = {CloseCode.PROTOCOL_ERROR, CloseCode.MESSAGE_TOO_BIG}
"""Codes of a frame that is too long and should not be there at all: which of it shows first depends on the length of what is seen first."""

Message = tuple[Opcode, bytes]


@contextmanager
def small_pieces() -> Iterator[None]:
    whole, fragments.PIECE = fragments.PIECE, PIECE
    try:
        yield
    finally:
        fragments.PIECE = whole


def check(data: bytes) -> None:
    sizes, stream = split(data)
    with small_pieces():
        cutter = Cutter(LARGEST)
        fed = [cutter.feed(piece) for piece in cut(stream, sizes)]
        # Half a header is withheld, half a frame judged by its fragments. When a refusal comes may differ, so the last frame is made whole.
        stream = stream[: len(stream) - len(cutter._header)]
        rest = b"" if cutter._header else bytes(min(cutter._left, LARGEST))
        fed.append(cutter.feed(rest))
    plain, through = read([stream + rest]), read(fed)
    assert through == plain or {through[1], plain[1]} == TWICE_WRONG
    assert (through[0], through[2]) == (plain[0], plain[2]), "what was said before, and answered"


def read(pieces: list[bytes]) -> tuple[list[Message], int | None, bytes]:
    """The messages that are whole, the code with which the library closes, and all that it writes before: pongs, and echoes of a close."""
    protocol = Protocol(SERVER, state=OPEN, max_size=LARGEST)
    for piece in pieces:
        protocol.receive_data(piece)
    code = protocol.close_sent.code if protocol.close_sent else None
    written = b"".join(protocol.data_to_send())
    if protocol.parser_exc is not None:  # its reason tells sizes, which may be those of a fragment
        written = written[: written.rindex(b"\x88")]
    return list(messages(protocol)), code, written


def messages(protocol: Protocol) -> Iterator[Message]:
    begun: list[Frame] = []
    for frame in protocol.events_received():
        assert isinstance(frame, Frame)
        if frame.opcode in (Opcode.PING, Opcode.PONG, Opcode.CLOSE):
            yield frame.opcode, bytes(frame.data)
            continue
        begun.append(frame)
        if frame.fin:
            yield begun[0].opcode, b"".join(piece.data for piece in begun)
            begun = []


@pytest.mark.parametrize("path", kept("fragments"), ids=lambda path: path.name)
def test_what_is_kept_is_read_alike(path: Path) -> None:
    check(path.read_bytes())


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    check(data)


OPCODES = st.sampled_from([0, 0, 1, 1, 2, 2, 8, 9, 10, 3, 11])
SIZES = st.sampled_from([0, 1, 5, 125, 126, 127, 128, 129, 132, 255, 256, 257, 500, 1023, 1024, 1025]) | st.integers(0, 1100)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Frames as clients write them, and some as they should not: cut short, unmasked, reserved, with a length longer than it need be."""
    made: list[bytes] = []
    for _ in range(draw(st.integers(1, 5))):
        first = draw(st.sampled_from([0x80, 0x80, 0x80, 0x00, 0xC0])) | draw(OPCODES)
        size, mask = draw(SIZES), draw(st.sampled_from([b"\0\0\0\0", b"\1\2\3\4", b"\1\2\3\4", b""]))
        shortest = 125 if size < 126 else 126
        kind = draw(st.sampled_from([shortest, shortest, 126, 127]))
        length = (
            bytes([size]) if kind == 125 and size < 126 else bytes([126]) + size.to_bytes(2) if kind <= 126 else b"\x7f" + size.to_bytes(8)
        )
        made.append(bytes([first, length[0] | (0x80 if mask else 0)]) + length[1:] + mask + b"a" * size)
    stream = b"".join(made)
    return stream[: draw(st.integers(0, len(stream)))] if draw(st.booleans()) else stream


@given(streams(), st.binary(max_size=7))
def test_frames_of_every_size(stream: bytes, sizes: bytes) -> None:
    check(bytes([len(sizes)]) + sizes + stream)
