"""The tasks of one session, each under the id of what it serves. The only place that creates tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Tasks:
    """Holds a reference to every running task, so that none is lost and all can be stopped."""

    def __init__(self) -> None:
        self._running: dict[str, set[asyncio.Task[None]]] = {}

    def start(self, id: str, job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(job, name=id)
        self._running.setdefault(id, set()).add(task)
        task.add_done_callback(lambda done: self._forget(id, done))

    def _forget(self, id: str, task: asyncio.Task[None]) -> None:
        tasks = self._running.get(id, set())
        tasks.discard(task)
        if not tasks:
            self._running.pop(id, None)

    def abandon(self, id: str) -> set[asyncio.Task[None]]:
        """Cancel what serves this id; it ends at its next await. Returns what is about to end."""
        tasks = set(self._running.get(id, ()))
        for task in tasks:
            task.cancel()
        return tasks

    async def finish(self) -> None:
        """Wait until everything has ended by itself, what is started meanwhile included."""
        while self._running:
            await asyncio.wait([task for tasks in self._running.values() for task in tasks])
            await asyncio.sleep(0)  # they are forgotten by a callback

    async def close(self) -> None:
        """Cancel everything and wait until it has ended."""
        tasks = [task for tasks in self._running.values() for task in tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
