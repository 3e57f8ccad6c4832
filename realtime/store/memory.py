"""Sessions in this process alone: they outlive their connections, and end with it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Mapping

from msgspec import Struct, field

from realtime.errors import Superseded
from realtime.ports import HEAD, Change, Stored, Summary


class _Kept(Struct):
    epoch: int
    touched: float
    records: dict[str, bytes] = field(default_factory=dict)
    size: int = 0


class MemoryStore:
    """Implements `ports.Store`. Beyond `max_bytes` (0 for any size), those go that were not touched for the longest time."""

    name = "in this process"

    def __init__(self, *, keep_seconds: float, max_bytes: int, clock: Callable[[], float] = time.time) -> None:  # noqa: TID251 - for people
        self._keep_seconds = keep_seconds
        self._max_bytes = max_bytes
        self._clock = clock
        self._sessions: OrderedDict[str, _Kept] = OrderedDict()
        """The one that was touched last comes last."""
        self._size = 0

    async def open(self) -> None:
        """There is nothing to open."""

    async def create(self, session_id: str, change: Change) -> None:
        there = self._find(session_id)
        if there is not None and there.epoch != 1:
            raise Superseded(f"{session_id}: there is such a session already, and somebody else has it")
        self._remove(session_id)
        kept = self._sessions[session_id] = _Kept(1, self._clock())
        self._apply(session_id, kept, change)

    async def commit(self, session_id: str, epoch: int, change: Change) -> None:
        kept = self._find(session_id)
        if kept is None or kept.epoch != epoch:
            raise Superseded(f"{session_id}: epoch {epoch} is over")
        self._apply(session_id, kept, change)

    async def head(self, session_id: str) -> bytes | None:
        kept = self._find(session_id)
        return None if kept is None else kept.records.get(HEAD)

    async def claim(self, session_id: str) -> Stored | None:
        kept = self._find(session_id)
        if kept is not None:
            kept.epoch += 1
            self._touch(session_id, kept)
        return await self.read(session_id)

    async def superseded(self, epochs: Mapping[str, int]) -> set[str]:
        return {id for id, epoch in epochs.items() if (kept := self._find(id)) is None or kept.epoch != epoch}

    async def touch(self, session_ids: Collection[str]) -> None:
        for session_id in session_ids:
            if (kept := self._find(session_id)) is not None:
                self._touch(session_id, kept)

    async def delete(self, session_id: str) -> bool:
        there = self._find(session_id) is not None
        self._remove(session_id)
        return there

    async def sessions(self) -> AsyncIterator[Summary]:
        for session_id in list(reversed(self._sessions)):
            if (kept := self._find(session_id)) is not None:
                yield Summary(session_id, kept.touched, kept.size)

    async def read(self, session_id: str) -> Stored | None:
        kept = self._find(session_id)
        return None if kept is None else Stored(kept.epoch, dict(kept.records))

    async def close(self) -> None:
        """There is nothing to close."""

    def _find(self, session_id: str) -> _Kept | None:
        self._expire()
        return self._sessions.get(session_id)

    def _touch(self, session_id: str, kept: _Kept) -> None:
        kept.touched = self._clock()
        self._sessions.move_to_end(session_id)

    def _apply(self, session_id: str, kept: _Kept, change: Change) -> None:
        size = kept.size
        for key in change.drop | change.put.keys():
            if (old := kept.records.pop(key, None)) is not None:
                size -= len(key) + len(old)
        kept.records.update(change.put)
        size += sum(len(key) + len(record) for key, record in change.put.items())
        self._size += size - kept.size
        kept.size = size
        self._touch(session_id, kept)
        while self._max_bytes and self._size > self._max_bytes and len(self._sessions) > 1:
            self._remove(next(iter(self._sessions)))

    def _remove(self, session_id: str) -> None:
        kept = self._sessions.pop(session_id, None)
        self._size -= 0 if kept is None else kept.size

    def _expire(self) -> None:
        oldest = self._clock() - self._keep_seconds
        while self._sessions and next(iter(self._sessions.values())).touched < oldest:
            self._remove(next(iter(self._sessions)))
