from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, SERVER, Protocol

from realtime.server.fragments import PIECE, Cutter

LARGEST = 8 * PIECE


def masked(*frames: Frame) -> bytes:
    """What a client writes."""
    return b"".join(bytes(frame.serialize(mask=True)) for frame in frames)


def read(data: bytes) -> list[Frame]:
    """What the library makes of it."""
    protocol = Protocol(SERVER, state=OPEN, max_size=None)
    protocol.receive_data(data)
    assert protocol.parser_exc is None
    frames = protocol.events_received()
    assert all(isinstance(frame, Frame) for frame in frames)
    return frames  # type: ignore[return-value]


def messages(frames: list[Frame]) -> list[tuple[Opcode, bytes]]:
    """Messages by their type, and what came between their fragments."""
    whole: list[tuple[Opcode, bytes]] = []
    begun: list[Frame] = []
    for frame in frames:
        if frame.opcode in (Opcode.PING, Opcode.PONG, Opcode.CLOSE):
            whole.append((frame.opcode, bytes(frame.data)))
            continue
        begun.append(frame)
        if frame.fin:
            whole.append((begun[0].opcode, b"".join(piece.data for piece in begun)))
            begun = []
    assert not begun
    return whole


def text(size: int, fin: bool = True) -> Frame:
    return Frame(Opcode.TEXT, Random(size).randbytes(size), fin)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, PIECE])
def test_small_frames_stay_as_they_are(size: int) -> None:
    data = masked(text(size), Frame(Opcode.PING, b"?"), text(size))
    assert Cutter(LARGEST).feed(data) == data


@pytest.mark.parametrize("size", [PIECE + 1, 2 * PIECE, 3 * PIECE - 1, LARGEST])
def test_a_large_frame_becomes_fragments_that_say_the_same(size: int) -> None:
    frames = read(Cutter(LARGEST).feed(masked(text(size), text(3))))
    assert max(len(frame.data) for frame in frames) == PIECE
    assert len(frames) == -(-size // PIECE) + 1
    assert messages(frames) == [(Opcode.TEXT, text(size).data), (Opcode.TEXT, text(3).data)]


def test_a_large_fragment_of_the_clients_own_does_not_end_the_message() -> None:
    rest = Frame(Opcode.CONT, b"end", True)
    frames = read(Cutter(LARGEST).feed(masked(text(2 * PIECE, fin=False), Frame(Opcode.PING, b"?"), rest)))
    assert [frame.fin for frame in frames] == [False, False, True, True]
    assert messages(frames) == [(Opcode.PING, b"?"), (Opcode.TEXT, bytes(text(2 * PIECE).data) + b"end")]


def test_a_binary_message_stays_one() -> None:
    frames = read(Cutter(LARGEST).feed(masked(Frame(Opcode.BINARY, bytes(PIECE + 5)))))
    assert messages(frames) == [(Opcode.BINARY, bytes(PIECE + 5))]


def test_what_is_too_large_is_left_for_the_library_to_refuse() -> None:
    data = masked(text(LARGEST + 1))
    assert Cutter(LARGEST).feed(data) == data


def test_what_is_not_masked_is_left_for_the_library_to_refuse() -> None:
    data = bytes(text(2 * PIECE).serialize(mask=False))
    assert Cutter(LARGEST).feed(data) == data


@pytest.mark.parametrize("seed", range(20))
def test_however_the_stream_is_cut_the_messages_are_the_same(seed: int) -> None:
    dice = Random(seed)
    sent = [text(dice.choice([0, 5, 126, 70_000, PIECE + dice.randrange(3 * PIECE)])) for _ in range(6)]
    data = masked(*sent)
    near = [at + step for at in (2, 4, 10, 14, PIECE, PIECE + 14) for step in range(3)]
    cuts = sorted({0, len(data), *(cut for cut in near if cut < len(data)), *(dice.randrange(len(data) + 1) for _ in range(20))})
    cutter = Cutter(LARGEST)
    fed = b"".join(cutter.feed(data[start:end]) for start, end in pairwise(cuts))
    assert messages(read(fed)) == [(Opcode.TEXT, frame.data) for frame in sent]


def test_byte_by_byte_a_header_is_waited_for() -> None:
    data = masked(text(70_000))
    cutter = Cutter(LARGEST)
    assert b"".join(cutter.feed(bytes([byte])) for byte in data[:100]) + cutter.feed(data[100:]) == data
