from __future__ import annotations

import asyncio

from realtime.runner.tasks import Tasks


class Job:
    """Waits for ever, and notes how it ended."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def run(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


async def test_abandoning_an_id_cancels_every_job_that_serves_it_and_no_other() -> None:
    tasks, first, second, other = Tasks(), Job(), Job(), Job()
    tasks.start("resp_1", first.run())
    tasks.start("resp_1", second.run())
    tasks.start("resp_2", other.run())
    await asyncio.gather(first.started.wait(), second.started.wait(), other.started.wait())
    tasks.abandon("resp_1")
    await asyncio.gather(first.cancelled.wait(), second.cancelled.wait())
    assert not other.cancelled.is_set()
    await tasks.close()


async def test_abandoning_an_unknown_id_does_nothing() -> None:
    Tasks().abandon("resp_1")


async def test_a_job_that_has_ended_is_forgotten() -> None:
    tasks, done = Tasks(), asyncio.Event()

    async def job() -> None:
        done.set()

    tasks.start("resp_1", job())
    await done.wait()
    await asyncio.sleep(0)
    assert not tasks._running


async def test_closing_waits_until_every_job_has_stopped() -> None:
    tasks, job = Tasks(), Job()
    tasks.start("resp_1", job.run())
    await job.started.wait()
    await tasks.close()
    assert job.cancelled.is_set()
    assert not tasks._running
