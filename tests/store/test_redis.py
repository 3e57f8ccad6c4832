from __future__ import annotations

import pytest

from realtime.errors import ConfigError, StoreError
from realtime.ports import HEAD, Change
from realtime.store.redis import PREFIX, RedisStore
from tests.rigs.redis_server import RedisServer

CHANGE = Change({HEAD: b"head"})


async def test_what_was_acknowledged_outlives_a_redis_that_is_killed() -> None:
    with RedisServer() as server:
        store = RedisStore(server.url, keep_seconds=60)
        await store.open()
        await store.create("sess_1", CHANGE)
        server.kill()
        with pytest.raises(StoreError, match=rf"redis at 127\.0\.0\.1:{server.port}: "):
            await store.commit("sess_1", 1, CHANGE)
        server.start()
        await store.commit("sess_1", 1, Change({"item.1": b"one"}))
        stored = await store.read("sess_1")
        await store.close()
    assert stored is not None
    assert stored.records == {HEAD: b"head", "item.1": b"one"}


async def test_a_redis_that_is_full_says_so() -> None:
    with RedisServer() as server:
        store = RedisStore(server.url, keep_seconds=60)
        await store.create("sess_1", CHANGE)
        await store._redis.config_set("maxmemory", 1)
        with pytest.raises(StoreError, match=r"redis at .*maxmemory"):
            await store.commit("sess_1", 1, Change({"item.1": bytes(100)}))
        await store._redis.config_set("maxmemory", 0)
        stored = await store.read("sess_1")
        await store.close()
    assert stored is not None
    assert stored.records == CHANGE.put


async def test_connections_that_redis_dropped_are_made_again() -> None:
    with RedisServer() as server:
        store = RedisStore(server.url, keep_seconds=60)
        await store.create("sess_1", CHANGE)
        await store._redis.client_kill_filter(_type="normal", skipme=True)
        await store.commit("sess_1", 1, CHANGE)
        server.kill()
        server.start()
        await store.commit("sess_1", 1, CHANGE)
        await store.close()


async def test_a_change_of_thousands_of_records() -> None:
    with RedisServer() as server:
        store = RedisStore(server.url, keep_seconds=60)
        await store.create("sess_1", Change({f"item.{number}": b"x" for number in range(20_000)}))
        await store.commit("sess_1", 1, Change({HEAD: b"head"}, {f"item.{number}" for number in range(20_000)}))
        assert [each.size async for each in store.sessions()] == [len(HEAD) + len(b"head")]
        await store.close()


@pytest.mark.parametrize("url", ["redis://:pa/secret@host:6379", "redis://:secret#x@host", "https://secret", "redis://secret:99999"])
async def test_an_address_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match="REALTIME_REDIS_URL") as refusal:
        RedisStore(url, keep_seconds=60)
    assert "secret" not in str(refusal.value)
    assert refusal.value.__suppress_context__


async def test_sessions_expire_by_themselves_and_live_on_when_they_are_used() -> None:
    with RedisServer() as server:
        store = RedisStore(server.url, keep_seconds=60)
        await store.create("sess_1", CHANGE)
        assert 59_000 < await store._redis.pttl(PREFIX + "sess_1") <= 60_000
        await store._redis.pexpire(PREFIX + "sess_1", 1000)
        await store.touch(["sess_1"])
        assert await store._redis.pttl(PREFIX + "sess_1") > 59_000
        await store.close()


@pytest.mark.parametrize(
    ("url", "name"),
    [("redis://:secret@localhost:7000/1", "redis at localhost:7000"), ("unix:///run/redis.sock?db=1", "redis at /run/redis.sock")],
)
async def test_its_name_holds_no_password(url: str, name: str) -> None:
    store = RedisStore(url, keep_seconds=60)
    assert store.name == name
    with pytest.raises(StoreError, match=f"^{name}: ") as failure:
        await store.open()
    assert "secret" not in str(failure.value)
    await store.close()
