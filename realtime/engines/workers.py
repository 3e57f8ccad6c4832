"""Threads for models that block: a fixed number of workers, and a queue that ends.

Owns how a job whose caller has gone is told, for engines whose work is one call. It never starts, or may look now and then whether anybody
still wants its result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from threading import Event
from typing import Any, TypeVar

from realtime.engines.batches import Batches

Result = TypeVar("Result")


class Workers:
    """`count` threads named after `name`, with room for `max_waiting` jobs beyond those that run."""

    def __init__(self, name: str, *, count: int, max_waiting: int) -> None:
        self._jobs: Batches[Callable[[], Any], Any] = Batches(name, _work, count=count, most=1, max_waiting=max_waiting)

    @property
    def waiting(self) -> int:
        """Jobs that wait."""
        return self._jobs.waiting

    async def run(self, job: Callable[[Event], Result]) -> Result:
        """Run `job` on a worker. Its argument is set once nobody wants the result, which a long job looks at now and then.

        Raises `EngineError`: `overloaded` when the queue is full, `engine_closed` when there are no workers any more.
        """
        abandoned = Event()
        try:
            result: Result = await self._jobs.run(partial(job, abandoned), None)
        except asyncio.CancelledError:
            abandoned.set()
            raise
        return result

    async def close(self) -> None:
        """Refuse what waits, let what runs end, and give the threads back."""
        await self._jobs.close()


def _work(_: Hashable | None, jobs: Sequence[Callable[[], Any]]) -> list[Any]:
    return [job() for job in jobs]
