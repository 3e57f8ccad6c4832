from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from realtime.runner.outbox import MAX_PENDING, TOO_SLOW, Outbox
from tests.rigs.socket import KeptSocket


@pytest.fixture
def socket() -> KeptSocket:
    return KeptSocket()


@pytest.fixture
async def outbox(socket: KeptSocket) -> AsyncIterator[Outbox]:
    outbox = Outbox(socket)
    async with asyncio.TaskGroup() as group:
        writer = group.create_task(outbox.write())
        yield outbox
        writer.cancel()


async def test_frames_are_written_in_order(outbox: Outbox, socket: KeptSocket) -> None:
    for frame in (b"1", b"2", b"3"):
        outbox.put(frame)
    await socket.wait_for_frames(3)
    assert socket.frames == [b"1", b"2", b"3"]


async def test_the_writer_wakes_up_for_later_frames(outbox: Outbox, socket: KeptSocket) -> None:
    outbox.put(b"1")
    await socket.wait_for_frames(1)
    outbox.put(b"2")
    await socket.wait_for_frames(2)


async def test_closing_comes_after_what_was_put_before(outbox: Outbox, socket: KeptSocket) -> None:
    outbox.put(b"1")
    outbox.close(1001, "bye")
    outbox.put(b"too late")
    await socket.wait_closed()
    assert socket.frames == [b"1"]
    assert socket.closed == (1001, "bye")


async def test_the_first_goodbye_counts(outbox: Outbox, socket: KeptSocket) -> None:
    outbox.close(1011, "internal error")
    outbox.close(1001, "bye")
    await socket.wait_closed()
    assert socket.closed == (1011, "internal error")


async def test_who_does_not_read_at_all_is_cut_off(socket: KeptSocket) -> None:
    cut: list[bool] = []
    outbox = Outbox(socket, cut_off=lambda: cut.append(True))
    for _ in range(6):
        outbox.put(bytes(MAX_PENDING // 4))
    assert cut == [True]


async def test_a_client_that_reads_too_slowly_is_dropped_with_a_reason(outbox: Outbox, socket: KeptSocket) -> None:
    socket.reading.clear()
    piece = bytes(MAX_PENDING // 4)
    for _ in range(6):
        outbox.put(piece)
    socket.reading.set()
    await socket.wait_closed()
    assert socket.closed == (TOO_SLOW, "the client reads too slowly")
    assert len(socket.frames) <= 1


async def test_what_has_been_written_no_longer_counts_against_the_bound(outbox: Outbox, socket: KeptSocket) -> None:
    piece = bytes(MAX_PENDING // 2)
    for count in range(1, 5):
        outbox.put(piece)
        await socket.wait_for_frames(count)
    assert socket.closed is None


async def test_a_network_can_be_imitated(socket: KeptSocket) -> None:
    loop, outbox = asyncio.get_running_loop(), Outbox(socket, latency=0.02)
    async with asyncio.TaskGroup() as group:
        group.create_task(outbox.write())
        begun = loop.time()
        outbox.put(b"1")
        outbox.put(b"2")
        outbox.close(1000, "")
        await socket.wait_for_frames(2)
        assert loop.time() - begun >= 0.04
        assert socket.frames == [b"1", b"2"]


async def test_who_asks_is_told_when_all_before_has_been_written_and_nothing_after(outbox: Outbox, socket: KeptSocket) -> None:
    seen: list[list[bytes]] = []
    outbox.put(b"1")
    outbox.put(b"2")
    for _ in range(2):
        outbox.when_written(lambda: seen.append(socket.frames[:]))
    outbox.put(b"3")
    outbox.when_written(lambda: seen.append(socket.frames[:]))
    await socket.wait_for_frames(3)
    await asyncio.sleep(0)
    assert seen == [[b"1", b"2"], [b"1", b"2"], [b"1", b"2", b"3"]]
