"""A store that outlives the processes, as each process sees it: slow, refusing, full, gone, and not always sure whether it stored."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from random import Random
from typing import Literal, TypeVar

from realtime.errors import StoreError
from realtime.ports import Change, Store, Stored, Summary

Mood = Literal["well", "slow", "refuses", "full", "unsure", "gone"]
MOODS: tuple[Mood, ...] = ("slow", "refuses", "full", "unsure", "gone")

T = TypeVar("T")


class Disk:
    """What is left when a process ends, and the mood that all of them find it in."""

    def __init__(self, kept: Store, dice: Random, faults: Counter[str]) -> None:
        self.kept, self.dice, self.faults = kept, dice, faults
        self.mood: Mood = "well"


class Shelf:
    """Implements `ports.Store`, for one process."""

    name = "simulated"

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.asked = 0
        """Calls that nobody has answered."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def create(self, session_id: str, change: Change) -> None:
        await self._do(lambda: self._disk.kept.create(session_id, change), writes=True)

    async def commit(self, session_id: str, epoch: int, change: Change) -> None:
        await self._do(lambda: self._disk.kept.commit(session_id, epoch, change), writes=True)

    async def head(self, session_id: str) -> bytes | None:
        return await self._do(lambda: self._disk.kept.head(session_id))

    async def claim(self, session_id: str) -> Stored | None:
        return await self._do(lambda: self._disk.kept.claim(session_id), writes=True)

    async def superseded(self, epochs: Mapping[str, int]) -> set[str]:
        return await self._do(lambda: self._disk.kept.superseded(epochs))

    async def touch(self, session_ids: Collection[str]) -> None:
        await self._do(lambda: self._disk.kept.touch(session_ids), writes=True)

    async def delete(self, session_id: str) -> bool:
        return await self._do(lambda: self._disk.kept.delete(session_id), writes=True)

    async def sessions(self) -> AsyncIterator[Summary]:
        async for summary in self._disk.kept.sessions():
            yield summary

    async def read(self, session_id: str) -> Stored | None:
        return await self._do(lambda: self._disk.kept.read(session_id))

    async def _do(self, work: Callable[[], Awaitable[T]], *, writes: bool = False) -> T:
        """The moment at which it is done lies somewhere between question and answer."""
        disk = self._disk
        self.asked += 1
        try:
            mood = disk.mood
            if mood != "well":
                disk.faults[f"store {mood}"] += 1
            await asyncio.sleep(disk.dice.expovariate(1 / {"slow": 2.0, "gone": 1.0}.get(mood, 0.003)))
            if mood in ("refuses", "gone") or (mood == "full" and writes):
                raise StoreError(mood)
            done = await work()
            await asyncio.sleep(disk.dice.expovariate(1 / 0.003))
            if mood == "unsure" and disk.dice.random() < 0.5:
                raise StoreError("the answer got lost")
            return done
        finally:
            self.asked -= 1
