from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Hashable, Sequence
from threading import Event

import pytest

from realtime.engines.batches import Batches
from realtime.errors import EngineError


class Oven:
    """Work that ends when it may, and what it was given."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.begun: asyncio.Queue[list[str]] = asyncio.Queue()
        self.may_end = Event()
        self.threads: set[str] = set()
        self.broken = False

    def __call__(self, shape: Hashable | None, jobs: Sequence[str]) -> list[str | Exception]:
        self.threads.add(threading.current_thread().name)
        self.loop.call_soon_threadsafe(self.begun.put_nowait, list(jobs))
        assert self.may_end.wait(10)
        if self.broken:
            raise EngineError("burnt", "All of it.")
        return [EngineError("burnt", job) if job == "bad" else f"{job} as {shape}" for job in jobs]


@pytest.fixture
async def oven() -> AsyncIterator[Oven]:
    oven = Oven()
    yield oven
    oven.may_end.set()


@pytest.fixture
async def batches(oven: Oven) -> AsyncIterator[Batches[str, str]]:
    batches: Batches[str, str] = Batches("testers", oven, count=1, most=3, max_waiting=5)
    yield batches
    oven.may_end.set()
    await batches.close()


def ask(
    batches: Batches[str, str], job: str, shape: Hashable | None = "round", *, wait: bool = True, first: bool = False
) -> asyncio.Task[str]:
    return asyncio.create_task(batches.run(job, shape, wait=wait, first=first))


async def order(oven: Oven, count: int) -> list[list[str]]:
    oven.may_end.set()
    return [await oven.begun.get() for _ in range(count)]


async def test_a_job_does_not_wait_for_company(oven: Oven, batches: Batches[str, str]) -> None:
    only = ask(batches, "a")
    assert await oven.begun.get() == ["a"]
    oven.may_end.set()
    assert await only == "a as round"
    assert all(name.startswith("testers") for name in oven.threads)


async def test_those_that_wait_go_together_where_they_have_the_shape_of_the_first(oven: Oven, batches: Batches[str, str]) -> None:
    running = ask(batches, "a")
    await oven.begun.get()
    waiting = [ask(batches, job, shape) for job, shape in (("b", "round"), ("c", "square"), ("d", "round"), ("e", "square"))]
    await asyncio.sleep(0)
    assert batches.waiting == 4
    assert await order(oven, 2) == [["b", "d"], ["c", "e"]]
    assert await asyncio.gather(running, *waiting) == ["a as round", "b as round", "c as square", "d as round", "e as square"]
    assert batches.waiting == 0


async def test_no_more_go_together_than_may(oven: Oven, batches: Batches[str, str]) -> None:
    running = ask(batches, "a")
    await oven.begun.get()
    waiting = [ask(batches, job) for job in "bcdef"]
    await asyncio.sleep(0)
    assert await order(oven, 2) == [["b", "c", "d"], ["e", "f"]]
    await asyncio.gather(running, *waiting)


async def test_one_without_a_shape_goes_alone(oven: Oven, batches: Batches[str, str]) -> None:
    running = ask(batches, "a")
    await oven.begun.get()
    waiting = [ask(batches, job, None) for job in "bc"]
    await asyncio.sleep(0)
    assert await order(oven, 2) == [["b"], ["c"]]
    await asyncio.gather(running, *waiting)


async def test_one_that_has_waited_before_is_next_and_finds_room(oven: Oven, batches: Batches[str, str]) -> None:
    running = ask(batches, "a")
    await oven.begun.get()
    waiting = [ask(batches, job) for job in "bcdef"]
    again = ask(batches, "z", None, first=True)
    await asyncio.sleep(0)
    assert await order(oven, 3) == [["z"], ["b", "c", "d"], ["e", "f"]]
    await asyncio.gather(running, again, *waiting)


async def test_as_many_run_as_there_are_threads(oven: Oven) -> None:
    batches: Batches[str, str] = Batches("two", oven, count=2, most=3, max_waiting=5)
    asked = [ask(batches, job) for job in "abcd"]
    assert [await oven.begun.get() for _ in range(2)] == [["a"], ["b"]]
    assert batches.waiting == 2
    oven.may_end.set()
    assert len(await asyncio.gather(*asked)) == 4
    await batches.close()


async def test_one_past_the_queue_is_refused(oven: Oven, batches: Batches[str, str]) -> None:
    running = [ask(batches, job) for job in "abcdef"]
    await oven.begun.get()
    with pytest.raises(EngineError, match="too much work") as caught:
        await batches.run("g", "round")
    assert caught.value.code == "overloaded"
    oven.may_end.set()
    assert len(await asyncio.gather(*running)) == 6
    assert await batches.run("h", "round") == "h as round"


async def test_one_that_may_not_wait_is_refused_while_every_thread_is_taken(oven: Oven, batches: Batches[str, str]) -> None:
    running = ask(batches, "a", wait=False)
    await oven.begun.get()
    with pytest.raises(EngineError, match="too much work"):
        await batches.run("b", "round", wait=False)
    oven.may_end.set()
    assert await running == "a as round"
    assert await batches.run("c", "round", wait=False) == "c as round"


async def test_what_fails_by_itself_harms_no_other(oven: Oven, batches: Batches[str, str]) -> None:
    running = ask(batches, "a")
    await oven.begun.get()
    bad, good = ask(batches, "bad"), ask(batches, "good")
    await asyncio.sleep(0)
    oven.may_end.set()
    with pytest.raises(EngineError, match="bad"):
        await bad
    assert list(await asyncio.gather(running, good)) == ["a as round", "good as round"]


async def test_what_breaks_the_work_all_of_it_are_told(oven: Oven, batches: Batches[str, str]) -> None:
    oven.broken = True
    oven.may_end.set()
    ends = await asyncio.gather(*(ask(batches, job) for job in "abc"), return_exceptions=True)
    assert [str(end) for end in ends] == ["All of it."] * 3
    oven.broken = False
    assert await batches.run("d", "round") == "d as round"


async def test_a_cancelled_job_that_waits_never_runs_and_the_others_do(oven: Oven, batches: Batches[str, str]) -> None:
    running = ask(batches, "a")
    await oven.begun.get()
    waiting = [ask(batches, job) for job in "bcd"]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.wait([waiting[1]])
    assert batches.waiting == 2
    assert await order(oven, 1) == [["b", "d"]]
    await asyncio.gather(running, waiting[0], waiting[2])


async def test_what_comes_of_a_cancelled_job_is_dropped(oven: Oven, batches: Batches[str, str]) -> None:
    running = ask(batches, "a")
    await oven.begun.get()
    running.cancel()
    await asyncio.wait([running])
    oven.may_end.set()
    assert await batches.run("b", "round") == "b as round"


async def test_closing_refuses_what_waits_and_awaits_what_runs(oven: Oven, batches: Batches[str, str]) -> None:
    running = ask(batches, "a")
    await oven.begun.get()
    waiting, cancelled = ask(batches, "b"), ask(batches, "c")
    await asyncio.sleep(0)
    cancelled.cancel()
    closing = asyncio.create_task(batches.close())
    with pytest.raises(EngineError, match="has been closed"):
        await waiting
    assert not closing.done()
    oven.may_end.set()
    await closing
    assert await running == "a as round"
    with pytest.raises(EngineError) as caught:
        await batches.run("d", "round")
    assert caught.value.code == "engine_closed"
