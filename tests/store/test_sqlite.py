from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from realtime.errors import StoreError
from realtime.ports import HEAD, Change
from realtime.store.sqlite import CHUNK, FORMAT, PURGE_SECONDS, SqliteStore

CHANGE = Change({HEAD: b"head"})


def database(folder: Path, max_bytes: int = 0) -> SqliteStore:
    return SqliteStore(folder / "sessions.db", keep_seconds=3600, max_bytes=max_bytes)


async def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    store = database(tmp_path / "state")
    await store.open()
    await store.create("sess_1", CHANGE)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state", *(tmp_path / "state").iterdir())}
    await store.close()
    assert modes == {"state": 0o700, "sessions.db": 0o600, "sessions.db-wal": 0o600, "sessions.db-shm": 0o600}


async def test_two_processes_share_a_file(tmp_path: Path) -> None:
    one, other = database(tmp_path), database(tmp_path)
    await one.open()
    await other.open()
    await one.create("sess_1", CHANGE)
    claimed = await other.claim("sess_1")
    assert claimed is not None
    assert claimed.epoch == 2
    assert await one.superseded({"sess_1": 1}) == {"sess_1"}
    await one.close()
    await other.close()


COMMITS = """
import asyncio, sys
from pathlib import Path
from realtime.ports import HEAD, Change
from realtime.store.sqlite import SqliteStore

async def main():
    store = SqliteStore(Path(sys.argv[1]), keep_seconds=3600, max_bytes=0)
    await store.open()
    await store.create("sess_1", Change({HEAD: b"head"}))
    for number in range(100_000):
        await store.commit("sess_1", 1, Change({f"item.{number}": b"x" * 500}))
        print(number, flush=True)

asyncio.run(main())
"""


def commit_until_killed(file: Path) -> int:
    """The number of the last change whose commit returned."""
    with subprocess.Popen([sys.executable, "-c", COMMITS, str(file)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while process.stdout.readline() != b"50\n":
            pass
        process.kill()
        return max(50, *(int(line) for line in process.stdout if line.endswith(b"\n")), 0)


async def test_what_was_committed_outlives_a_process_that_is_killed(tmp_path: Path) -> None:
    last = await asyncio.to_thread(commit_until_killed, tmp_path / "sessions.db")
    store = database(tmp_path)
    await store.open()
    stored = await store.read("sess_1")
    await store.close()
    assert stored is not None
    assert {f"item.{number}" for number in range(last + 1)} <= stored.records.keys()


async def test_a_look_at_more_than_one_query_can_name(tmp_path: Path) -> None:
    store = database(tmp_path)
    await store.open()
    await store.create("sess_1", CHANGE)
    epochs = {f"none_{number}": 1 for number in range(2 * CHUNK)} | {"sess_1": 1}
    assert await store.superseded(epochs) == epochs.keys() - {"sess_1"}
    await store.touch(list(epochs))
    await store.close()


async def test_beyond_the_bound_those_go_that_were_used_least_recently(tmp_path: Path) -> None:
    now = 1000.0
    store = SqliteStore(tmp_path / "sessions.db", keep_seconds=3600, max_bytes=250, clock=lambda: now)
    await store.open()
    for name in ("a", "b", "c"):
        await store.create(name, Change({HEAD: bytes(90)}))
        now += 1
    now += PURGE_SECONDS
    await store.touch(["a"])
    assert [each.session_id async for each in store.sessions()] == ["a", "c"]
    await store.close()


async def test_what_expired_is_deleted(tmp_path: Path) -> None:
    now = 1000.0
    store = SqliteStore(tmp_path / "sessions.db", keep_seconds=10, max_bytes=0, clock=lambda: now)
    await store.open()
    await store.create("a", Change({HEAD: b"a secret that was said"}))
    now += PURGE_SECONDS
    await store.touch([])
    await store.close()
    assert b"a secret that was said" not in (tmp_path / "sessions.db").read_bytes()


async def test_a_later_format_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "sessions.db") as base:
        base.execute(f"PRAGMA user_version = {FORMAT + 1}")
    base.close()
    store = database(tmp_path)
    with pytest.raises(StoreError, match=r"sessions\.db: written by a later version of this server \(format 2, this one knows 1\)"):
        await store.open()
    await store.close()


async def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "sessions.db").write_bytes(b"my letters" * 1000)
    store = database(tmp_path)
    with pytest.raises(StoreError, match=r"sessions\.db: .*not a database.*REALTIME_STATE_DIR"):
        await store.open()
    await store.close()
    assert (tmp_path / "sessions.db").read_bytes() == b"my letters" * 1000


async def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    store = database(tmp_path / "state")
    with pytest.raises(StoreError, match="REALTIME_STATE_DIR"):
        await store.open()
    with pytest.raises(StoreError, match="REALTIME_STATE_DIR"):
        await store.create("sess_1", CHANGE)
    await store.close()


async def test_a_full_disk_stores_nothing_of_what_it_refused(tmp_path: Path) -> None:
    store = database(tmp_path)
    await store.open()
    await store.create("sess_1", CHANGE)
    await store._do(lambda base: base.execute("PRAGMA max_page_count = 10"))
    with pytest.raises(StoreError, match="full"):
        await store.commit("sess_1", 1, Change({"item.1": b"small", "sound.0.1": bytes(1_000_000)}))
    stored = await store.read("sess_1")
    await store.close()
    assert stored is not None
    assert stored.records == CHANGE.put


async def test_a_store_that_was_never_opened_is_closed(tmp_path: Path) -> None:
    await database(tmp_path).close()
    assert os.listdir(tmp_path) == []
