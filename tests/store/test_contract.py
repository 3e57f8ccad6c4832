"""What every store promises, asked of each of them. Redis is a real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from realtime.errors import Superseded
from realtime.ports import HEAD, Change, Store
from realtime.store.memory import MemoryStore
from realtime.store.redis import RedisStore
from realtime.store.sealed import Sealed
from realtime.store.sqlite import SqliteStore
from tests.rigs.redis_server import RedisServer

KEEP = 3600.0
KEY = bytes(range(32))


class Clock:
    """Moved by hand. Redis has its own, so that it begins with the truth."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Callable[[str], Store]:
    def make(kind: str) -> Store:
        match kind:
            case "memory":
                return MemoryStore(keep_seconds=KEEP, max_bytes=0, clock=clock)
            case "sqlite":
                return SqliteStore(tmp_path / "state" / "sessions.db", keep_seconds=KEEP, max_bytes=0, clock=clock)
            case "redis":
                server: RedisServer = request.getfixturevalue("redis")
                return RedisStore(server.url, keep_seconds=KEEP, clock=clock)
            case _:
                return Sealed(make(kind.removeprefix("sealed-")), [KEY])

    return make


@pytest.fixture(params=["memory", "sqlite", "redis", "sealed-memory", "sealed-sqlite"])
async def store(request: pytest.FixtureRequest, make: Callable[[str], Store]) -> AsyncIterator[Store]:
    store = make(request.param)
    await store.open()
    yield store
    for summary in [each async for each in store.sessions()]:
        await store.delete(summary.session_id)
    await store.close()


def change(**records: bytes) -> Change:
    return Change({HEAD: b"head"} | {key.replace("_", "."): record for key, record in records.items()})


async def test_what_was_stored_is_read_again(store: Store) -> None:
    await store.create("sess_1", change(item_1=b"\x00\xff one", sound_0_1=b""))
    await store.commit("sess_1", 1, Change({"item.2": b"two", "item.1": b"one"}, {"sound.0.1", "item.never"}))
    stored = await store.read("sess_1")
    assert stored is not None
    assert (stored.epoch, stored.records) == (1, {HEAD: b"head", "item.1": b"one", "item.2": b"two"})
    assert await store.head("sess_1") == b"head"


async def test_a_session_that_is_not_there(store: Store) -> None:
    assert await store.head("sess_1") is None
    assert await store.read("sess_1") is None
    assert await store.claim("sess_1") is None
    assert await store.delete("sess_1") is False
    assert await store.superseded({"sess_1": 1}) == {"sess_1"}
    with pytest.raises(Superseded):
        await store.commit("sess_1", 1, change())
    await store.touch(["sess_1"])
    assert [each async for each in store.sessions()] == []


async def test_a_session_whose_making_nobody_was_told_of_is_made_again(store: Store) -> None:
    await store.create("sess_1", change(item_1=b"one", item_2=b"two"))
    await store.create("sess_1", change(item_1=b"one"))
    stored = await store.read("sess_1")
    assert stored is not None
    assert (stored.epoch, stored.records) == (1, {HEAD: b"head", "item.1": b"one"})
    listed = [each async for each in store.sessions()]
    await store.create("sess_2", change(item_1=b"one"))
    assert {each.size for each in listed} == {each.size async for each in store.sessions()}


async def test_a_session_that_somebody_else_has_is_not_made_again(store: Store) -> None:
    await store.create("sess_1", change())
    await store.claim("sess_1")
    with pytest.raises(Superseded, match="sess_1: there is such a session already"):
        await store.create("sess_1", change())


async def test_a_change_of_one_that_is_over_concerns_nobody_else(store: Store) -> None:
    for name in ("mine", "taken"):
        await store.create(name, change())
    await store.claim("taken")
    commits = [store.commit(name, 1, Change({"item.1": b"new"})) for name in ("mine", "taken", "never was")]
    outcomes = await asyncio.gather(*commits, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), Superseded, Superseded]
    mine, taken = await store.read("mine"), await store.read("taken")
    assert mine is not None
    assert taken is not None
    assert (mine.records.get("item.1"), taken.records.get("item.1")) == (b"new", None)


async def test_a_claim_counts_as_use(store: Store, clock: Clock) -> None:
    await store.create("sess_1", change())
    clock.now += 5
    await store.claim("sess_1")
    assert [each.touched async for each in store.sessions()] == [clock.now]


async def test_of_many_who_claim_each_has_an_epoch_of_its_own(store: Store) -> None:
    await store.create("sess_1", change())
    claimed = await asyncio.gather(*(store.claim("sess_1") for _ in range(20)))
    assert sorted(each.epoch for each in claimed if each is not None) == list(range(2, 22))
    assert await store.superseded({"sess_1": 20}) == {"sess_1"}
    assert await store.superseded({"sess_1": 21}) == set()


async def test_who_claims_a_session_takes_it_from_whoever_had_it(store: Store) -> None:
    await store.create("sess_1", change())
    await store.create("sess_2", change())
    claimed = await store.claim("sess_1")
    assert claimed is not None
    assert (claimed.epoch, claimed.records) == (2, {HEAD: b"head"})
    with pytest.raises(Superseded):
        await store.commit("sess_1", 1, Change({"item.1": b"mine"}))
    assert await store.superseded({"sess_1": 1, "sess_2": 1}) == {"sess_1"}
    await store.commit("sess_1", 2, Change({"item.1": b"theirs"}))
    stored = await store.read("sess_1")
    assert stored is not None
    assert stored.records["item.1"] == b"theirs"


async def test_one_that_is_deleted_is_gone(store: Store) -> None:
    await store.create("sess_1", change(item_1=b"one"))
    assert await store.delete("sess_1") is True
    assert await store.read("sess_1") is None
    with pytest.raises(Superseded):
        await store.commit("sess_1", 1, change())
    await store.create("sess_1", change())
    stored = await store.read("sess_1")
    assert stored is not None
    assert stored.records == {HEAD: b"head"}


async def test_they_are_listed_with_their_size(store: Store, clock: Clock) -> None:
    await store.create("sess_1", change())
    small = {each.session_id: each async for each in store.sessions()}["sess_1"].size
    await store.commit("sess_1", 1, Change({"item.1": bytes(100)}))
    clock.now += 5
    await store.create("sess_2", change())
    listed = {each.session_id: each async for each in store.sessions()}
    assert listed["sess_1"].size >= small + 100 + len("item.1")
    assert listed["sess_2"].touched == clock.now
    await store.commit("sess_1", 1, Change(drop={"item.1"}))
    assert {each.session_id: each async for each in store.sessions()}["sess_1"].size == small


async def test_hundreds_at_once(store: Store) -> None:
    names = [f"sess_{number}" for number in range(300)]
    await asyncio.gather(*(store.create(name, change()) for name in names))
    await asyncio.gather(*(store.commit(f"sess_{number}", 1, Change({"item.1": b"%d" % number})) for number in range(300)))
    await store.touch(names)
    assert sorted([each.session_id async for each in store.sessions()]) == sorted(names)
    for number in (0, 299):
        stored = await store.read(f"sess_{number}")
        assert stored is not None
        assert stored.records["item.1"] == b"%d" % number


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_what_nobody_used_for_too_long_is_gone(make: Callable[[str], Store], kind: str, clock: Clock) -> None:
    store = make(kind)
    await store.open()
    await store.create("used", change())
    await store.create("forgotten", change())
    clock.now += KEEP
    await store.touch(["used", "never was"])
    clock.now += 1
    assert [each.session_id async for each in store.sessions()] == ["used"]
    assert await store.head("forgotten") is None
    assert await store.claim("forgotten") is None
    assert await store.superseded({"forgotten": 1, "used": 1}) == {"forgotten"}
    with pytest.raises(Superseded):
        await store.commit("forgotten", 1, change())
    await store.create("forgotten", change())
    await store.close()
