from __future__ import annotations

from random import Random

import pytest
from websockets.frames import Frame, Opcode

from realtime.server.fragments import PIECE, Cutter
from realtime.server.portions import PORTION, Portions

LARGEST = 8 * PIECE


def masked(opcode: Opcode, data: bytes) -> bytes:
    return bytes(Frame(opcode, data).serialize(mask=True))


def portions(data: bytes) -> list[bytes]:
    """What the library is given, one after the other."""
    waiting, taken = Portions(Cutter(LARGEST)), []
    waiting.put(data)
    while waiting:
        taken.append(waiting.take())
    return taken


def test_of_many_small_frames_few_are_read_at_once() -> None:
    data = masked(Opcode.PING, b"") * 10_000
    taken = portions(data)
    assert b"".join(taken) == data
    assert max(map(len, taken)) < PORTION + len(masked(Opcode.PING, b"")), "to the end of the last"


@pytest.mark.parametrize("size", [PORTION - 8, PORTION, 60_000])
def test_what_came_of_a_frame_is_read_to_its_end(size: int) -> None:
    data, ping = masked(Opcode.TEXT, bytes(size)), masked(Opcode.PING, b"")
    assert portions(data + ping) == [data, ping]


def test_a_large_frame_is_read_as_it_comes() -> None:
    data = masked(Opcode.TEXT, bytes(2 * PIECE))
    waiting = Portions(Cutter(LARGEST))
    waiting.put(data[:PORTION])
    waiting.take()
    assert not waiting
    waiting.put(data[PORTION : 50 * PORTION])
    assert len(waiting.take()) == 49 * PORTION
    assert not waiting


def test_what_comes_while_something_waits_waits_behind_it() -> None:
    frames = [masked(Opcode.PING, Random(number).randbytes(100)) for number in range(200)]
    waiting, taken = Portions(Cutter(LARGEST)), b""
    for data in frames:
        waiting.put(data)
    while waiting:
        taken += waiting.take()
    assert taken == b"".join(frames)
