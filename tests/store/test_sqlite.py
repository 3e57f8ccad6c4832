from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import threading
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


def writer(file: Path, name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SHARES, str(file), name], stdout=subprocess.PIPE)


SHARES = """
import asyncio, sys
from pathlib import Path
from realtime.ports import HEAD, Change
from realtime.store.sqlite import SqliteStore

async def main(file, name):
    store = SqliteStore(Path(file), keep_seconds=3600, max_bytes=0)
    await store.open()
    await store.create(name, Change({HEAD: b"head"}))
    for number in range(100):
        await store.commit(name, 1, Change({f"item.{number}": b"x"}))
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_processes_that_begin_and_write_at_the_same_time(tmp_path: Path) -> None:
    names = ["a", "b", "c"]
    processes = [writer(tmp_path / "new" / "sessions.db", name) for name in names]
    for process in processes:
        await asyncio.to_thread(process.communicate)
    assert [process.returncode for process in processes] == [0, 0, 0]
    store = database(tmp_path / "new")
    await store.open()
    for name in names:
        stored = await store.read(name)
        assert stored is not None
        assert len(stored.records) == 101
    await store.close()


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
    await store.touch(["a"])
    now += PURGE_SECONDS
    await store.touch([])
    assert [each.session_id async for each in store.sessions()] == ["a", "c"]
    await store.close()


async def test_the_one_that_was_written_last_stays_however_large(tmp_path: Path) -> None:
    now = 1000.0
    store = SqliteStore(tmp_path / "sessions.db", keep_seconds=3600, max_bytes=250, clock=lambda: now)
    await store.open()
    await store.create("small", Change({HEAD: bytes(90)}))
    now += 1
    await store.create("large", Change({HEAD: bytes(1000)}))
    now += PURGE_SECONDS
    await store.touch([])
    assert [each.session_id async for each in store.sessions()] == ["large"]
    await store.close()


def holding(folder: Path, words: bytes) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if words in path.read_bytes())


async def test_no_file_of_it_holds_what_was_deleted_a_minute_ago(tmp_path: Path) -> None:
    now = 1000.0
    store = SqliteStore(tmp_path / "sessions.db", keep_seconds=3600, max_bytes=0, clock=lambda: now)
    await store.open()
    await store.create("a", Change({HEAD: b"a secret that was said"}))
    assert holding(tmp_path, b"a secret that was said") != []
    await store.delete("a")
    now += PURGE_SECONDS
    await store.touch([])
    await store.head("a")  # what is asked for next comes after the purge
    assert holding(tmp_path, b"a secret that was said") == []
    await store.close()


async def test_room_that_is_not_needed_any_more_is_given_back(tmp_path: Path) -> None:
    now = 1000.0
    store = SqliteStore(tmp_path / "sessions.db", keep_seconds=3600, max_bytes=0, clock=lambda: now)
    await store.open()
    await store.create("a", Change({HEAD: bytes(4_000_000)}))
    await store.delete("a")
    now += PURGE_SECONDS
    await store.touch([])
    await store.close()
    assert (tmp_path / "sessions.db").stat().st_size < 100_000


async def test_what_expired_is_deleted_where_nobody_asks_for_anything(tmp_path: Path) -> None:
    now, looked = 1000.0, threading.Event()

    def clock() -> float:
        if threading.current_thread().name == "store" and now > 1000.0:
            looked.set()
        return now

    store = SqliteStore(tmp_path / "sessions.db", keep_seconds=1, max_bytes=0, clock=clock, purge_seconds=0.01)
    await store.open()
    for number in range(CHUNK + 1):
        await store.create(f"sess_{number}", CHANGE)
    now += 60
    assert await asyncio.to_thread(looked.wait, 10)
    await store._do(lambda base: None)
    await store._do(lambda base: None)
    assert await store._do(lambda base: base.execute("SELECT count(*) FROM record").fetchall()) == [(0,)]
    await store.close()


async def test_a_purge_that_fails_is_told_and_troubles_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    now = 1000.0
    store = SqliteStore(tmp_path / "sessions.db", keep_seconds=10, max_bytes=0, clock=lambda: now)
    await store.open()
    await store.create("a", CHANGE)
    trigger = "CREATE TRIGGER no BEFORE DELETE ON session BEGIN SELECT raise(ABORT, 'not today'); END"
    await store._do(lambda base: base.execute(trigger), writes=True)
    now += PURGE_SECONDS
    await store.touch([])
    assert await store.head("a") is None
    await store.close()
    assert "Old sessions could not be deleted" in caplog.text
    assert "not today" in caplog.text


async def test_who_fails_fails_alone(tmp_path: Path) -> None:
    store = database(tmp_path)
    await store.open()
    await asyncio.gather(*(store.create(name, CHANGE) for name in ("a", "b")))
    await store._do(lambda base: base.execute("PRAGMA max_page_count = 20"))
    commits = [store.commit("a", 1, Change({"sound.0.1": bytes(1_000_000)})), store.commit("b", 1, Change({"item.1": b"small"}))]
    outcomes = await asyncio.gather(*commits, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreError, type(None)]
    a, b = await store.read("a"), await store.read("b")
    await store.close()
    assert a is not None
    assert b is not None
    assert (a.records, b.records) == (CHANGE.put, {**CHANGE.put, "item.1": b"small"})


async def test_an_id_that_nobody_can_write_down_does_not_end_the_thread(tmp_path: Path) -> None:
    store = database(tmp_path)
    await store.open()
    with pytest.raises(UnicodeEncodeError):
        await store.head("sess_\udc80")
    await store.create("sess_1", CHANGE)
    assert await store.head("sess_1") == b"head"
    await store.close()


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = database(tmp_path)
    await store.open()
    await store.close()
    with pytest.raises(StoreError, match="has been closed"):
        await store.head("sess_1")


async def test_another_process_that_never_ends_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.store.sqlite.BUSY_SECONDS", 0.01)
    store = database(tmp_path)
    await store.open()
    await store.create("sess_1", CHANGE)
    other = sqlite3.connect(tmp_path / "sessions.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="another process has held it"):
        await store.commit("sess_1", 1, CHANGE)
    assert await store.head("sess_1") == b"head", "who only reads is not kept waiting"
    other.execute("ROLLBACK")
    other.close()
    await store.commit("sess_1", 1, CHANGE)
    await store.close()


async def test_a_damaged_file_is_left_as_it_is(tmp_path: Path) -> None:
    store = database(tmp_path)
    await store.open()
    await store.create("sess_1", Change({HEAD: bytes(100_000)}))
    await store.close()
    path = tmp_path / "sessions.db"
    damaged = path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096)
    path.write_bytes(damaged)
    store = database(tmp_path)
    await store.open()
    with pytest.raises(StoreError, match=r"sessions\.db: .*malformed; it was left as it is: move it away"):
        await store.read("sess_1")
    await store.close()
    assert path.read_bytes()[4096:] == damaged[4096:]


async def test_a_file_of_somebody_elses_tables_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "sessions.db") as base:
        base.execute("CREATE TABLE letters (text)")
    base.close()
    store = database(tmp_path)
    with pytest.raises(StoreError, match=r"sessions\.db: holds something else than sessions"):
        await store.open()
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
