"""Sessions in a SQLite file, which several processes of one machine may share.

One thread does all the work. What is asked for while it writes is written together, next: one flush of the disk serves many sessions.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct

from realtime.errors import StoreError, Superseded
from realtime.ports import HEAD, Change, Stored, Summary

FORMAT = 1
"""Of the tables (`PRAGMA user_version`)."""

BUSY_SECONDS = 5.0
"""How long another process's transaction is waited for: one takes milliseconds."""

PURGE_SECONDS = 60.0
"""Between looks for sessions that have expired, or are too many."""

CHUNK = 500
"""Ids in one query: SQLite takes 999 at the least (SQLite, "Limits", 9)."""

TABLES = """
CREATE TABLE session (id TEXT PRIMARY KEY, epoch INTEGER NOT NULL, touched REAL NOT NULL, size INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX session_touched ON session (touched);
CREATE TABLE record (session TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, UNIQUE (session, key));
"""

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]


class _Job(Struct):
    work: Work
    future: Future[Any]


class SqliteStore:
    """Implements `ports.Store`. Beyond `max_bytes` (0 for any size), those go that were not touched for the longest time."""

    def __init__(self, path: Path, *, keep_seconds: float, max_bytes: int, clock: Callable[[], float] = time.time) -> None:  # noqa: TID251 - for people
        """The file and its folder are made where they are not there, for the eyes of this user alone."""
        self.name = str(path)
        self._path = path
        self._keep_seconds = keep_seconds
        self._max_bytes = max_bytes
        self._clock = clock
        self._purged = 0.0
        self._jobs: deque[_Job | None] = deque()
        """None: there will be no more."""
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)

    async def open(self) -> None:
        self._thread.start()
        await self._do(lambda base: None)

    async def create(self, session_id: str, change: Change) -> None:
        await self._do(partial(self._create, session_id, change))

    async def commit(self, session_id: str, epoch: int, change: Change) -> None:
        await self._do(partial(self._commit, session_id, epoch, change))

    async def head(self, session_id: str) -> bytes | None:
        query = "SELECT value FROM record JOIN session ON id = session WHERE session = ? AND key = ? AND touched >= ?"
        row = await self._do(lambda base: base.execute(query, (session_id, HEAD, self._oldest())).fetchone())
        return None if row is None else row[0]

    async def claim(self, session_id: str) -> Stored | None:
        return await self._do(partial(self._claim, session_id))

    async def superseded(self, epochs: Mapping[str, int]) -> set[str]:
        return await self._do(partial(self._superseded, epochs))

    async def touch(self, session_ids: Collection[str]) -> None:
        await self._do(partial(self._touch, session_ids))

    async def delete(self, session_id: str) -> bool:
        return await self._do(lambda base: self._delete(base, [session_id]) > 0)

    async def sessions(self) -> AsyncIterator[Summary]:
        query = "SELECT id, touched, size FROM session WHERE touched >= ? ORDER BY touched DESC"
        for row in await self._do(lambda base: base.execute(query, (self._oldest(),)).fetchall()):
            yield Summary(*row)

    async def read(self, session_id: str) -> Stored | None:
        return await self._do(partial(self._read, session_id))

    async def close(self) -> None:
        if self._thread.is_alive():
            self._put(None)
            await asyncio.to_thread(self._thread.join)

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        future: Future[T] = Future()
        self._put(_Job(work, future))
        return await asyncio.wrap_future(future)

    def _put(self, job: _Job | None) -> None:
        with self._wake:
            self._jobs.append(job)
            self._wake.notify()

    # In the thread

    def _work(self) -> None:
        base: sqlite3.Connection | None = None
        while True:
            with self._wake:
                self._wake.wait_for(lambda: bool(self._jobs))
                jobs, self._jobs = self._jobs, deque()
            asked = [job for job in jobs if job is not None and job.future.set_running_or_notify_cancel()]
            try:
                base = base or self._connect()
                self._transact(base, asked)
            except (sqlite3.Error, OSError, StoreError) as error:
                for job in asked:
                    if not job.future.done():
                        job.future.set_exception(self._translated(error))
            if None in jobs:
                break
        if base is not None:
            base.close()

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        base = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            # FULL: in this journal mode NORMAL would lose what was acknowledged when the power fails (SQLite, "PRAGMA synchronous").
            for pragma in ("auto_vacuum = INCREMENTAL", "journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
                base.execute(f"PRAGMA {pragma}")
            base.execute("BEGIN IMMEDIATE")
            [[version]] = base.execute("PRAGMA user_version")
            if version > FORMAT:
                raise StoreError(f"{self._path}: written by a later version of this server (format {version}, this one knows {FORMAT})")
            if version == 0:
                for statement in TABLES.split(";\n"):
                    base.execute(statement)
                base.execute(f"PRAGMA user_version = {FORMAT}")
            base.execute("COMMIT")
        except BaseException:
            base.close()
            raise
        return base

    def _transact(self, base: sqlite3.Connection, jobs: Iterable[_Job]) -> None:
        """All in one transaction. Nobody is told of success before it is on the disk; who fails, fails alone."""
        base.execute("BEGIN IMMEDIATE")
        outcomes: list[tuple[_Job, Any]] = []
        try:
            for job in jobs:
                try:
                    outcomes.append((job, job.work(base)))
                except StoreError as error:
                    job.future.set_exception(error)
            if self._clock() - self._purged >= PURGE_SECONDS:
                self._purge(base)
            base.execute("COMMIT")
        except BaseException:
            base.rollback()
            raise
        for job, outcome in outcomes:
            job.future.set_result(outcome)

    def _translated(self, error: Exception) -> StoreError:
        return error if isinstance(error, StoreError) else StoreError(f"{self._path}: {error} (REALTIME_STATE_DIR says where it is)")

    def _oldest(self) -> float:
        return self._clock() - self._keep_seconds

    def _epoch(self, base: sqlite3.Connection, session_id: str) -> int | None:
        row = base.execute("SELECT epoch FROM session WHERE id = ? AND touched >= ?", (session_id, self._oldest())).fetchone()
        return None if row is None else int(row[0])

    def _create(self, session_id: str, change: Change, base: sqlite3.Connection) -> None:
        if self._epoch(base, session_id) is not None:
            raise StoreError(f"{session_id}: there is such a session already")
        self._delete(base, [session_id])  # one that has expired
        base.execute("INSERT INTO session VALUES (?, 1, ?, 0)", (session_id, self._clock()))
        self._apply(base, session_id, change)

    def _commit(self, session_id: str, epoch: int, change: Change, base: sqlite3.Connection) -> None:
        if self._epoch(base, session_id) != epoch:
            raise Superseded(f"{session_id}: epoch {epoch} is over")
        self._apply(base, session_id, change)

    def _apply(self, base: sqlite3.Connection, session_id: str, change: Change) -> None:
        keys = [(session_id, key) for key in {*change.drop, *change.put}]
        size = 0
        for pair in keys:
            row = base.execute("SELECT length(key) + length(value) FROM record WHERE session = ? AND key = ?", pair).fetchone()
            size -= 0 if row is None else row[0]
        base.executemany("DELETE FROM record WHERE session = ? AND key = ?", keys)
        base.executemany("INSERT INTO record VALUES (?, ?, ?)", [(session_id, key, value) for key, value in change.put.items()])
        size += sum(len(key) + len(value) for key, value in change.put.items())
        base.execute("UPDATE session SET touched = ?, size = size + ? WHERE id = ?", (self._clock(), size, session_id))

    def _claim(self, session_id: str, base: sqlite3.Connection) -> Stored | None:
        base.execute("UPDATE session SET epoch = epoch + 1 WHERE id = ? AND touched >= ?", (session_id, self._oldest()))
        return self._read(session_id, base)

    def _read(self, session_id: str, base: sqlite3.Connection) -> Stored | None:
        epoch = self._epoch(base, session_id)
        if epoch is None:
            return None
        return Stored(epoch, dict(base.execute("SELECT key, value FROM record WHERE session = ?", (session_id,)).fetchall()))

    def _superseded(self, epochs: Mapping[str, int], base: sqlite3.Connection) -> set[str]:
        current: dict[str, int] = {}
        for ids in _chunks(list(epochs)):
            query = f"SELECT id, epoch FROM session WHERE touched >= ? AND id IN ({_marks(ids)})"  # noqa: S608 - question marks
            current.update(base.execute(query, (self._oldest(), *ids)).fetchall())
        return {id for id, epoch in epochs.items() if current.get(id) != epoch}

    def _touch(self, session_ids: Collection[str], base: sqlite3.Connection) -> None:
        for ids in _chunks(list(session_ids)):
            query = f"UPDATE session SET touched = ? WHERE touched >= ? AND id IN ({_marks(ids)})"  # noqa: S608 - likewise
            base.execute(query, (self._clock(), self._oldest(), *ids))

    def _delete(self, base: sqlite3.Connection, session_ids: list[str]) -> int:
        """How many there were."""
        count = 0
        for ids in _chunks(session_ids):
            base.execute(f"DELETE FROM record WHERE session IN ({_marks(ids)})", ids)  # noqa: S608 - likewise
            count += base.execute(f"DELETE FROM session WHERE id IN ({_marks(ids)})", ids).rowcount  # noqa: S608 - likewise
        return count

    def _purge(self, base: sqlite3.Connection) -> None:
        self._purged = self._clock()
        expired = base.execute("SELECT id FROM session WHERE touched < ?", (self._oldest(),)).fetchall()
        self._delete(base, [row[0] for row in expired])
        [[total]] = base.execute("SELECT coalesce(sum(size), 0) FROM session")
        for session_id, size in base.execute("SELECT id, size FROM session ORDER BY touched").fetchall():
            if not self._max_bytes or total <= self._max_bytes:
                break
            self._delete(base, [session_id])
            total -= size
        base.execute("PRAGMA incremental_vacuum")


def _chunks(ids: list[str]) -> Iterable[list[str]]:
    return (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))


def _marks(ids: Collection[str]) -> str:
    return ",".join("?" * len(ids))
