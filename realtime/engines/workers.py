"""Threads for models that block: a fixed number of workers, and a queue that ends.

Owns the way from the event loop to a thread and back for engines whose work is one call. A job whose caller was cancelled never starts,
or is told to stop if it has; a job beyond the queue is refused at once, since an answer that late is of no use to a conversation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, Lock
from typing import TypeVar

from realtime.errors import EngineError

Result = TypeVar("Result")


class Workers:
    """`count` threads named after `name`, with room for `max_waiting` jobs beyond those that run."""

    def __init__(self, name: str, *, count: int, max_waiting: int) -> None:
        self._name = name
        self._count = count
        self._limit = count + max_waiting
        self._jobs = 0
        """Jobs that wait or run."""
        self._lock = Lock()
        self._closed = False
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=name)

    @property
    def waiting(self) -> int:
        """Jobs that wait."""
        return max(0, self._jobs - self._count)

    async def run(self, job: Callable[[Event], Result]) -> Result:
        """Run `job` on a worker. Its argument is set once nobody wants the result, which a long job looks at now and then.

        Raises `EngineError`: `overloaded` when the queue is full, `engine_closed` when there are no workers any more.
        """
        abandoned = Event()
        future = self._submit(job, abandoned)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            abandoned.set()
            if self._closed and not _is_cancelled():
                raise self._refusal() from None
            raise

    async def close(self) -> None:
        """Refuse what waits, let what runs end, and give the threads back."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._threads.shutdown)

    def _submit(self, job: Callable[[Event], Result], abandoned: Event) -> Future[Result]:
        if self._closed:
            raise self._refusal()
        with self._lock:
            if self._jobs >= self._limit:
                raise EngineError("overloaded", f"{self._name}: too much work is waiting; try again in a moment.")
            self._jobs += 1
        future = self._threads.submit(job, abandoned)
        future.add_done_callback(self._ended)
        return future

    def _ended(self, _: Future[Result]) -> None:
        # Called on whichever thread ended or cancelled the job, hence the lock.
        with self._lock:
            self._jobs -= 1

    def _refusal(self) -> EngineError:
        return EngineError("engine_closed", f"{self._name}: the engine has been closed.")


def _is_cancelled() -> bool:
    """Whether it is the running task that somebody cancelled, rather than the future that it awaits."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
