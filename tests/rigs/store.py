"""A store whose failures are written down, and whose commits wait when they are told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping

from realtime.errors import StoreError, Superseded
from realtime.ports import HEAD, Change, Stored, Summary


class ScriptedStore:
    """Implements `Store`."""

    name = "scripted"

    def __init__(self, *failures: StoreError | None) -> None:
        """What each attempt to write comes to, in order; None, and all that follow, succeed."""
        self.failures = list(failures)
        self.records: dict[str, dict[str, bytes]] = {}
        self.epochs: dict[str, int] = {}
        self.commits: list[Change] = []
        self.attempts = 0
        self.touched: list[Collection[str]] = []
        self.writing = asyncio.Event()
        """Cleared: whatever is written waits."""
        self.writing.set()
        self.asked = asyncio.Event()
        """Set once somebody writes."""
        self.reading = asyncio.Event()
        """Cleared: whoever claims a session waits."""
        self.reading.set()
        self.claimed = asyncio.Event()
        """Set once somebody does."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def create(self, session_id: str, change: Change) -> None:
        self.records.setdefault(session_id, {})
        self.epochs[session_id] = 1
        await self.commit(session_id, 1, change)

    async def commit(self, session_id: str, epoch: int, change: Change) -> None:
        self.asked.set()
        await self.writing.wait()
        self.attempts += 1
        if self.failures and (failure := self.failures.pop(0)) is not None:
            raise failure
        if self.epochs.get(session_id) != epoch:
            raise Superseded(session_id)
        self.commits.append(change)
        records = self.records[session_id]
        for key in change.drop:
            records.pop(key, None)
        records.update(change.put)

    async def head(self, session_id: str) -> bytes | None:
        return self.records.get(session_id, {}).get(HEAD)

    async def read(self, session_id: str) -> Stored | None:
        records = self.records.get(session_id)
        return None if records is None else Stored(self.epochs[session_id], dict(records))

    async def claim(self, session_id: str) -> Stored | None:
        self.claimed.set()
        await self.reading.wait()
        if session_id in self.epochs:
            self.epochs[session_id] += 1
        return await self.read(session_id)

    async def superseded(self, epochs: Mapping[str, int]) -> set[str]:
        return {id for id, epoch in epochs.items() if self.epochs.get(id) != epoch}

    async def touch(self, session_ids: Collection[str]) -> None:
        self.touched.append(session_ids)

    async def delete(self, session_id: str) -> bool:
        self.epochs.pop(session_id, None)
        return self.records.pop(session_id, None) is not None

    async def sessions(self) -> AsyncIterator[Summary]:
        for session_id, records in self.records.items():
            yield Summary(session_id, 0.0, sum(map(len, records.values())))
