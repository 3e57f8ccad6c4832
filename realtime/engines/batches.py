"""Threads for a model that does several things of one shape at once in less time than one after the other.

Whoever has waited longest is next, and takes along those behind it that have its shape: nobody starves, and nobody waits for company. So a
batch comes about only where every thread is taken. A job beyond the queue is refused at once, since an answer that late is of no use to a
conversation. A job that may not wait takes no place in the queue: it is refused where it would have to, so whoever comes after it waits for
what runs, no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, TypeVar

from msgspec import Struct

from realtime.errors import EngineError

Job = TypeVar("Job")
Result = TypeVar("Result")


class _Place(Struct, Generic[Job, Result], eq=False):
    """One job in the queue."""

    job: Job
    shape: Hashable | None
    outcome: asyncio.Future[Result]


class Batches(Generic[Job, Result]):
    """To be used on one event loop at a time."""

    def __init__(
        self,
        name: str,
        work: Callable[[Hashable | None, Sequence[Job]], Sequence[Result | Exception]],
        *,
        count: int,
        most: int,
        max_waiting: int,
    ) -> None:
        """`work` is called in one of `count` threads named after `name`, with no more than `most` jobs, and the shape that they share.
        What it raises, all of them get."""
        self._name = name
        self._work = work
        self._count = count
        self._most = most
        self._max_waiting = max_waiting
        self._running = 0
        """Batches."""
        self._places: list[_Place[Job, Result]] = []
        self._closed = False
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=name)

    @property
    def waiting(self) -> int:
        """Jobs that wait."""
        return len(self._places)

    async def run(self, job: Job, shape: Hashable | None, *, wait: bool = True, first: bool = False) -> Result:
        """What came of it. `shape`: None, and it is done by itself; `first`: it has waited before, and is next.

        Raises `EngineError`: `overloaded` when the queue is full, or without `wait` when no thread is free; `engine_closed` when there are
        no threads any more. A job whose caller is cancelled while it waits never starts.
        """
        if self._closed:
            raise self._refusal()
        if self._running >= self._count and (not wait or (len(self._places) >= self._max_waiting and not first)):
            raise EngineError("overloaded", f"{self._name}: too much work is waiting; try again in a moment.")
        place: _Place[Job, Result] = _Place(job, shape, asyncio.get_running_loop().create_future())
        self._places.insert(0 if first else len(self._places), place)
        self._start()
        try:
            return await place.outcome
        finally:
            if place in self._places:
                self._places.remove(place)

    async def close(self) -> None:
        """Refuse what waits, let what runs end, and give the threads back."""
        self._closed = True
        for place in self._places:
            if not place.outcome.done():
                place.outcome.set_exception(self._refusal())
        self._places.clear()
        await asyncio.to_thread(self._threads.shutdown)

    def _start(self) -> None:
        while self._places and self._running < self._count:
            batch = self._next()
            self._running += 1
            jobs = [place.job for place in batch]
            running = asyncio.get_running_loop().run_in_executor(self._threads, self._work, batch[0].shape, jobs)
            running.add_done_callback(partial(self._done, batch))

    def _next(self) -> list[_Place[Job, Result]]:
        first = self._places[0]
        batch = [first] if first.shape is None else [place for place in self._places if place.shape == first.shape][: self._most]
        for place in batch:
            self._places.remove(place)
        return batch

    def _done(self, batch: Sequence[_Place[Job, Result]], running: asyncio.Future[Sequence[Result | Exception]]) -> None:
        self._running -= 1
        error = running.exception()
        outcomes: Sequence[Result | BaseException] = running.result() if error is None else [error] * len(batch)
        for place, outcome in zip(batch, outcomes, strict=True):
            if place.outcome.done():  # nobody waits for it any more
                continue
            if isinstance(outcome, BaseException):
                place.outcome.set_exception(outcome)
            else:
                place.outcome.set_result(outcome)
        self._start()

    def _refusal(self) -> EngineError:
        return EngineError("engine_closed", f"{self._name}: the engine has been closed.")
