from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from threading import Event

import pytest

from realtime.engines.workers import Workers
from realtime.errors import EngineError


class Job:
    """A job that says when it has begun and ends when it may."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.may_end = Event()
        self.was_abandoned: bool | None = None
        self._loop = loop

    def __call__(self, abandoned: Event) -> str:
        self._loop.call_soon_threadsafe(self.begun.set)
        assert self.may_end.wait(10)
        self.was_abandoned = abandoned.is_set()
        self._loop.call_soon_threadsafe(self.ended.set)
        return "done"


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    workers = Workers("testers", count=1, max_waiting=2)
    yield workers
    await workers.close()


@pytest.fixture
async def job() -> AsyncIterator[Job]:
    job = Job(asyncio.get_running_loop())
    yield job
    job.may_end.set()


async def test_a_job_runs_on_a_thread_named_after_the_engine(workers: Workers) -> None:
    assert (await workers.run(lambda _: threading.current_thread().name)).startswith("testers")


async def test_what_a_job_raises_reaches_its_caller(workers: Workers) -> None:
    def fail(_: Event) -> None:
        raise EngineError("some_code", "some message")

    with pytest.raises(EngineError, match="some message"):
        await workers.run(fail)


async def test_the_loop_turns_while_a_job_runs(workers: Workers, job: Job) -> None:
    running = asyncio.create_task(workers.run(job))
    await job.begun.wait()
    assert not running.done()
    job.may_end.set()
    assert await running == "done"
    assert job.was_abandoned is False


async def test_a_job_past_the_queue_is_refused(workers: Workers, job: Job) -> None:
    running = asyncio.create_task(workers.run(job))
    await job.begun.wait()
    waiting = [asyncio.create_task(workers.run(lambda _: "late")) for _ in range(2)]
    refused = asyncio.create_task(workers.run(lambda _: "never"))
    with pytest.raises(EngineError, match="too much work") as caught:
        await refused
    assert caught.value.code == "overloaded"
    job.may_end.set()
    assert await asyncio.gather(running, *waiting) == ["done", "late", "late"]


async def test_room_that_was_taken_is_given_back(workers: Workers) -> None:
    for _ in range(10):
        assert await workers.run(lambda _: 1) == 1


async def test_a_cancelled_job_that_waits_never_runs_and_frees_its_place(workers: Workers, job: Job) -> None:
    ran: list[int] = []
    running = asyncio.create_task(workers.run(job))
    await job.begun.wait()
    waiting = [asyncio.create_task(workers.run(lambda _: ran.append(1))) for _ in range(2)]
    last = asyncio.create_task(workers.run(lambda _: None))
    with pytest.raises(EngineError):
        await last
    for task in waiting:
        task.cancel()
    assert [type(error) for error in await asyncio.gather(*waiting, return_exceptions=True)] == [asyncio.CancelledError] * 2
    after = asyncio.create_task(workers.run(lambda _: "after"))
    job.may_end.set()
    assert [await running, await after] == ["done", "after"]
    assert ran == []


async def test_a_cancelled_job_that_runs_is_told(workers: Workers, job: Job) -> None:
    running = asyncio.create_task(workers.run(job))
    await job.begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    job.may_end.set()
    await job.ended.wait()
    assert job.was_abandoned is True


async def test_closing_refuses_what_waits_and_awaits_what_runs(workers: Workers, job: Job) -> None:
    running = asyncio.create_task(workers.run(job))
    await job.begun.wait()
    waiting = asyncio.create_task(workers.run(lambda _: None))
    closing = asyncio.create_task(workers.close())
    with pytest.raises(EngineError, match="has been closed"):
        await waiting
    assert not closing.done()
    job.may_end.set()
    await closing
    assert await running == "done"


async def test_a_closed_engine_takes_no_work(workers: Workers) -> None:
    await workers.close()
    with pytest.raises(EngineError) as caught:
        await workers.run(lambda _: None)
    assert caught.value.code == "engine_closed"


async def test_a_caller_that_is_cancelled_during_the_close_stays_cancelled(workers: Workers, job: Job) -> None:
    running = asyncio.create_task(workers.run(job))
    await job.begun.wait()
    waiting = asyncio.create_task(workers.run(lambda _: None))
    refused = asyncio.create_task(workers.run(lambda _: None))
    last = asyncio.create_task(workers.run(lambda _: None))
    with pytest.raises(EngineError, match="too much work"):
        await last
    closing = asyncio.create_task(workers.close())
    waiting.cancel()
    with pytest.raises(EngineError, match="has been closed"):
        await refused
    with pytest.raises(asyncio.CancelledError):
        await waiting
    job.may_end.set()
    await closing
    assert await running == "done"


async def test_those_that_wait_can_be_counted(workers: Workers, job: Job) -> None:
    assert workers.waiting == 0
    running = [asyncio.create_task(workers.run(job)), asyncio.create_task(workers.run(lambda _: "done"))]
    await job.begun.wait()
    assert workers.waiting == 1
    job.may_end.set()
    await asyncio.gather(*running)
    assert workers.waiting == 0
