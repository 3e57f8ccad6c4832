"""Sessions in a SQLite file, which several processes of one machine may share.

One thread does all the work. What is asked for while it writes is written together, next: one flush of the disk serves many sessions.
What was deleted is overwritten; copies in the write-ahead log are cut off within `PURGE_SECONDS`, and when the store is closed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct

from realtime.errors import StoreError, Superseded
from realtime.ports import HEAD, Change, Stored, Summary

log = logging.getLogger(__name__)

FORMAT = 1
"""Of the tables (`PRAGMA user_version`)."""

BUSY_SECONDS = 5.0
"""How long another process's transaction is waited for: one takes milliseconds."""

PURGE_SECONDS = 60.0
"""Between looks for sessions that have expired, or are too many. The thread looks by itself, also where nobody asks it for anything."""

CHUNK = 500
"""Ids in one query: SQLite takes 999 at the least (SQLite, "Limits", 9). Also sessions deleted in one transaction, so that commits wait
for no more of it."""

VACUUM_PAGES = 5000
"""Pages given back to the disk at a time, of 4 KiB: tens of milliseconds of work."""

WHAT_TO_DO = {
    sqlite3.SQLITE_FULL: "make room on its disk",
    sqlite3.SQLITE_BUSY: f"another process has held it for {BUSY_SECONDS:g} s",
    sqlite3.SQLITE_CORRUPT: "it was left as it is: move it away to begin anew, or see `sqlite3 FILE .recover`",
    sqlite3.SQLITE_NOTADB: "it was left as it is: move it away to begin anew",
    sqlite3.SQLITE_READONLY: "the daemon's user must be able to write it and its folder",
    sqlite3.SQLITE_CANTOPEN: "the daemon's user must be able to write it and its folder",
    sqlite3.SQLITE_IOERR: "its disk fails",
}
"""By what SQLite says was wrong."""

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
    writes: bool


class SqliteStore:
    """Implements `ports.Store`. Beyond `max_bytes` (0 for any size), those go that were not touched for the longest time."""

    def __init__(
        self,
        path: Path,
        *,
        keep_seconds: float,
        max_bytes: int,
        clock: Callable[[], float] = time.time,  # noqa: TID251 - for people
        purge_seconds: float = PURGE_SECONDS,
    ) -> None:
        """The file and its folder are made where they are not there, for the eyes of this user alone."""
        self.name = str(path)
        self._path = path
        self._keep_seconds = keep_seconds
        self._max_bytes = max_bytes
        self._clock = clock
        self._purge_seconds = purge_seconds
        self._purged = 0.0
        """When the last look was finished."""
        self._more = False
        """Was there so much that the next look is now?"""
        self._closed = False
        self._jobs: deque[_Job | None] = deque()
        """None: there will be no more."""
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)

    async def open(self) -> None:
        self._thread.start()
        await self._do(lambda base: None)

    async def create(self, session_id: str, change: Change) -> None:
        await self._do(partial(self._create, session_id, change), writes=True)

    async def commit(self, session_id: str, epoch: int, change: Change) -> None:
        await self._do(partial(self._commit, session_id, epoch, change), writes=True)

    async def head(self, session_id: str) -> bytes | None:
        query = "SELECT value FROM record JOIN session ON id = session WHERE session = ? AND key = ? AND touched >= ?"
        row = await self._do(lambda base: base.execute(query, (session_id, HEAD, self._oldest())).fetchone())
        return None if row is None else row[0]

    async def claim(self, session_id: str) -> Stored | None:
        return await self._do(partial(self._claim, session_id), writes=True)

    async def superseded(self, epochs: Mapping[str, int]) -> set[str]:
        return await self._do(partial(self._superseded, epochs))

    async def touch(self, session_ids: Collection[str]) -> None:
        await self._do(partial(self._touch, session_ids), writes=True)

    async def delete(self, session_id: str) -> bool:
        return await self._do(partial(self._forget, session_id), writes=True)

    async def sessions(self) -> AsyncIterator[Summary]:
        query = "SELECT id, touched, size FROM session WHERE touched >= ? ORDER BY touched DESC"
        for row in await self._do(lambda base: base.execute(query, (self._oldest(),)).fetchall()):
            yield Summary(*row)

    async def read(self, session_id: str) -> Stored | None:
        return await self._do(partial(self._read, session_id))

    async def close(self) -> None:
        if self._thread.is_alive():
            self._put(None)
            self._closed = True
            await asyncio.to_thread(self._thread.join)

    async def _do(self, work: Callable[[sqlite3.Connection], T], *, writes: bool = False) -> T:
        if self._closed:
            raise StoreError(f"{self._path} has been closed")
        future: Future[T] = Future()
        self._put(_Job(work, future, writes))
        return await asyncio.wrap_future(future)

    def _put(self, job: _Job | None) -> None:
        with self._wake:
            self._jobs.append(job)
            self._wake.notify()

    # In the thread

    def _work(self) -> None:
        base: sqlite3.Connection | None = None
        jobs: deque[_Job | None] = deque()
        while None not in jobs:
            with self._wake:
                self._wake.wait_for(lambda: bool(self._jobs), 0 if self._more else self._purge_seconds)
                jobs, self._jobs = self._jobs, deque()
            asked = [job for job in jobs if job is not None and job.future.set_running_or_notify_cancel()]
            try:
                base = base or self._connect()
            except (sqlite3.Error, OSError, StoreError) as error:
                for job in asked:
                    job.future.set_exception(self._translated(error))
            else:
                self._serve(base, asked)
                self._tend(base)
        if base is not None:
            with suppress(sqlite3.Error):
                _cut_log(base)
            base.close()

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        base = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            # FULL: in this journal mode NORMAL would lose what was acknowledged when the power fails (SQLite, "PRAGMA synchronous").
            for pragma in ("auto_vacuum = INCREMENTAL", "journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
                base.execute(f"PRAGMA {pragma}")
            with _transaction(base, writes=True):
                self._make_tables(base)
        except BaseException:
            base.close()
            raise
        return base

    def _make_tables(self, base: sqlite3.Connection) -> None:
        [[version]] = base.execute("PRAGMA user_version")
        if version > FORMAT:
            raise StoreError(f"{self._path}: written by a later version of this server (format {version}, this one knows {FORMAT})")
        if version == 0:
            if base.execute("SELECT 1 FROM sqlite_schema").fetchone():
                raise StoreError(f"{self._path}: holds something else than sessions (REALTIME_STATE_DIR says where it is)")
            for statement in TABLES.split(";\n"):
                base.execute(statement)
            base.execute(f"PRAGMA user_version = {FORMAT}")

    def _serve(self, base: sqlite3.Connection, jobs: list[_Job]) -> None:
        """Where the one transaction of all fails, each gets one of its own: who fails, fails alone."""
        try:
            self._transact(base, jobs)
        except Exception as error:  # noqa: BLE001 - whatever it is, it reaches whoever asked
            left = [job for job in jobs if not job.future.done()]
            if len(left) > 1 and _code(error) != sqlite3.SQLITE_BUSY:
                for job in left:
                    self._serve(base, [job])
            else:
                for job in left:
                    job.future.set_exception(self._translated(error))

    def _transact(self, base: sqlite3.Connection, jobs: list[_Job]) -> None:
        """All in one transaction. Nobody is told of success before it is on the disk."""
        outcomes: list[tuple[_Job, Any]] = []
        with _transaction(base, writes=any(job.writes for job in jobs)):
            for job in jobs:
                try:
                    outcomes.append((job, job.work(base)))
                except StoreError as error:  # raised before anything is written
                    job.future.set_exception(error)
        for job, outcome in outcomes:
            job.future.set_result(outcome)

    def _translated(self, error: Exception) -> Exception:
        """What we did not foresee stays what it is."""
        if not isinstance(error, sqlite3.Error | OSError):
            return error
        said = WHAT_TO_DO.get(_code(error))
        return StoreError(f"{self._path}: {error}{'; ' + said if said else ''} (REALTIME_STATE_DIR says where it is)")

    def _tend(self, base: sqlite3.Connection) -> None:
        """Delete what nobody may see any more, in small steps: `_more` says whether there is another."""
        if not self._more and 0 <= self._clock() - self._purged < self._purge_seconds:
            return
        self._purged = self._clock()
        try:
            self._more = self._purge(base)
        except sqlite3.Error as error:
            self._more = False
            log.warning("Old sessions could not be deleted: %s", self._translated(error))

    def _oldest(self) -> float:
        return self._clock() - self._keep_seconds

    def _epoch(self, base: sqlite3.Connection, session_id: str) -> int | None:
        row = base.execute("SELECT epoch FROM session WHERE id = ? AND touched >= ?", (session_id, self._oldest())).fetchone()
        return None if row is None else int(row[0])

    def _create(self, session_id: str, change: Change, base: sqlite3.Connection) -> None:
        if self._epoch(base, session_id) not in (None, 1):
            raise Superseded(f"{session_id}: there is such a session already, and somebody else has it")
        self._delete(base, [session_id])  # one that has expired, or that we made without being told so
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
        query = "UPDATE session SET epoch = epoch + 1, touched = ? WHERE id = ? AND touched >= ?"
        base.execute(query, (self._clock(), session_id, self._oldest()))
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

    def _forget(self, session_id: str, base: sqlite3.Connection) -> bool:
        served = self._epoch(base, session_id) is not None
        self._delete(base, [session_id])
        return served

    def _delete(self, base: sqlite3.Connection, session_ids: list[str]) -> None:
        for ids in _chunks(session_ids):
            base.execute(f"DELETE FROM record WHERE session IN ({_marks(ids)})", ids)  # noqa: S608 - likewise
            base.execute(f"DELETE FROM session WHERE id IN ({_marks(ids)})", ids)  # noqa: S608 - likewise

    def _purge(self, base: sqlite3.Connection) -> bool:
        """One step; was there anything to delete?"""
        with _transaction(base, writes=True):
            gone = self._expired(base) or self._too_many(base)
            self._delete(base, gone)
        # As a script: it frees a page a step, and of a statement without columns Python takes one step.
        base.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
        _cut_log(base)
        return bool(gone)

    def _expired(self, base: sqlite3.Connection) -> list[str]:
        query = "SELECT id FROM session WHERE touched < ? LIMIT ?"
        return [row[0] for row in base.execute(query, (self._oldest(), CHUNK))]

    def _too_many(self, base: sqlite3.Connection) -> list[str]:
        [[total]] = base.execute("SELECT coalesce(sum(size), 0) FROM session")
        gone: list[str] = []
        # The newest stays, however large: somebody is writing it.
        query = "SELECT id, size FROM session WHERE touched < (SELECT max(touched) FROM session) ORDER BY touched LIMIT ?"
        for session_id, size in base.execute(query, (CHUNK,)):
            if not self._max_bytes or total <= self._max_bytes:
                break
            gone.append(session_id)
            total -= size
        return gone


@contextmanager
def _transaction(base: sqlite3.Connection, *, writes: bool) -> Iterator[None]:
    """Reading needs no turn among those who write."""
    base.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
    try:
        yield
        base.execute("COMMIT")
    except BaseException:
        base.rollback()
        raise


def _code(error: Exception) -> int:
    """Without the details in its upper bytes (SQLite, "Result Codes"); 0 of what is none of SQLite's."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _cut_log(base: sqlite3.Connection) -> None:
    """Write the log into the file, and make it empty: else it would keep what was deleted until it is written over."""
    base.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _chunks(ids: list[str]) -> Iterable[list[str]]:
    return (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))


def _marks(ids: Collection[str]) -> str:
    return ",".join("?" * len(ids))
