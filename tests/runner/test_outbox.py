from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from realtime.runner.outbox import MAX_KEPT, MAX_PENDING, TOO_SLOW, Outbox
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


async def test_what_is_held_waits_and_so_does_all_that_comes_after_it(outbox: Outbox, socket: KeptSocket) -> None:
    outbox.put(b"before")
    outbox.hold()
    outbox.put(b"1")
    outbox.hold()
    outbox.put(b"2")
    await socket.wait_for_frames(1)
    assert (socket.frames, outbox.pending) == ([b"before"], 2)
    outbox.release()
    await socket.wait_for_frames(2)
    outbox.release()
    outbox.release()  # nothing is held any more
    await socket.wait_for_frames(3)
    assert socket.frames == [b"before", b"1", b"2"]


async def test_a_goodbye_waits_for_what_is_held_before_it(outbox: Outbox, socket: KeptSocket) -> None:
    outbox.hold()
    outbox.put(b"stored")
    outbox.close(1001, "bye")
    outbox.hold()  # nothing comes after a goodbye
    assert socket.closed is None
    outbox.release()
    await socket.wait_closed()
    assert socket.frames == [b"stored"]


async def test_what_could_not_be_stored_is_never_said(outbox: Outbox, socket: KeptSocket) -> None:
    outbox.put(b"before")
    outbox.hold()
    outbox.put(b"never")
    outbox.fail(1013, "the session could not be stored")
    await socket.wait_closed()
    assert (socket.frames, socket.closed, outbox.pending) == ([b"before"], (1013, "the session could not be stored"), 0)


async def test_a_goodbye_does_not_wait_for_what_will_never_be_stored(outbox: Outbox, socket: KeptSocket) -> None:
    outbox.hold()
    outbox.put(b"never")
    outbox.close(1012, "server is shutting down")
    await asyncio.sleep(0)  # the writer waits for what is held
    outbox.fail(1013, "the session could not be stored")
    await socket.wait_closed()
    assert (socket.frames, socket.closed) == ([], (1012, "server is shutting down"))


async def test_a_mark_waits_for_what_is_held(outbox: Outbox, socket: KeptSocket) -> None:
    reached = asyncio.Event()
    outbox.hold()
    outbox.put(b"1")
    outbox.when_written(reached.set)
    outbox.put(b"2")
    outbox.release()
    await reached.wait()
    assert socket.frames[0] == b"1"


def frame(id: str, more: str = "") -> bytes:
    return f'{{"type":"x","event_id":"{id}","more":"{more}"}}'.encode()


@pytest.fixture
async def keeping(socket: KeptSocket) -> AsyncIterator[Outbox]:
    outbox = Outbox(socket, keeps=True)
    async with asyncio.TaskGroup() as group:
        writer = group.create_task(outbox.write())
        yield outbox
        writer.cancel()


async def test_what_came_after_an_event_is_known_whether_it_was_written_or_not(keeping: Outbox, socket: KeptSocket) -> None:
    keeping.put(frame("a"))
    keeping.put(frame("b"))
    await socket.wait_for_frames(2)
    socket.reading.clear()
    keeping.put(frame("c"))
    keeping.hold()
    keeping.put(frame("d"))
    assert keeping.since("a") == [frame("b"), frame("c"), frame("d")]
    assert keeping.since("d") == []
    assert keeping.since("e") is None


async def test_a_socket_that_comes_later_gets_nothing_of_what_was_put_before(keeping: Outbox, socket: KeptSocket) -> None:
    socket.reading.clear()
    keeping.put(frame("a"))
    keeping.hold()
    keeping.put(frame("b"))
    later = KeptSocket()
    keeping.attach(later)
    async with asyncio.TaskGroup() as group:
        writer = group.create_task(keeping.write())
        keeping.put(frame("c"))
        await later.wait_for_frames(1)
        writer.cancel()
    assert (later.frames, keeping.pending) == ([frame("c")], 0)


async def test_who_breaks_off_again_misses_each_frame_once_and_no_greeting(keeping: Outbox, socket: KeptSocket) -> None:
    for id in "abc":
        keeping.put(frame(id))
    await socket.wait_for_frames(3)
    for _ in range(3):
        missed = keeping.since("a")
        assert missed == [frame("b"), frame("c")]
        later = KeptSocket()
        keeping.attach(later, missed=missed)
        keeping.put(frame("welcome"))
        keeping.greeted()
        for each in missed:
            keeping.put(each)
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(keeping.write())
            await later.wait_for_frames(3)
            writer.cancel()
        assert later.frames == [frame("welcome"), frame("b"), frame("c")]
        assert keeping.since("welcome") is None
    keeping.attach(KeptSocket())
    assert keeping.since("a") is None, "who is told everything has it"


async def test_a_greeting_that_was_not_written_is_not_missed(keeping: Outbox, socket: KeptSocket) -> None:
    keeping.put(frame("a"))
    await socket.wait_for_frames(1)
    keeping.put(frame("b"))
    keeping.attach(KeptSocket(), missed=keeping.since("a"))
    keeping.put(frame("welcome"))
    keeping.greeted()
    keeping.put(frame("b"))
    assert keeping.since("a") == [frame("b")]


async def test_what_was_written_is_forgotten_in_time(keeping: Outbox, socket: KeptSocket) -> None:
    keeping.put(frame("a"))
    await socket.wait_for_frames(1)
    keeping.age()
    keeping.put(frame("b"))
    await socket.wait_for_frames(2)
    assert keeping.since("a") == [frame("b")]
    keeping.age()
    assert (keeping.since("a"), keeping.since("b")) == (None, [])
    keeping.age()
    assert keeping.since("b") is None


async def test_no_more_is_kept_than_there_is_room_for(keeping: Outbox, socket: KeptSocket) -> None:
    large = "x" * (MAX_KEPT // 3)
    for id in "abcd":
        keeping.put(frame(id, large))
    await socket.wait_for_frames(4)
    assert keeping.since("b") is None
    assert keeping.since("c") == [frame("d", large)]


async def test_frames_are_not_kept_for_who_can_not_come_back(outbox: Outbox, socket: KeptSocket) -> None:
    outbox.put(frame("a"))
    await socket.wait_for_frames(1)
    assert outbox.since("a") is None
