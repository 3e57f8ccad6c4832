"""Sessions in Redis, which any number of machines share.

A session is one hash: its records by their keys, and what is kept of it besides under names that no record has. What Redis has acknowledged
survives its own end as its configuration says: only `appendonly yes` with `appendfsync always` survives the loss of power, `everysec`
loses up to a second, and without `appendonly` all since its last snapshot. Where memory ends, `maxmemory-policy volatile-ttl` has those
sessions go that were not used for the longest time, whole ones; `noeviction` refuses to store. A command whose answer was lost may be
sent again: each may be done twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from redis import asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import RedisError

from realtime.errors import ConfigError, StoreError, Superseded
from realtime.ports import HEAD, Change, Stored, Summary

PREFIX = "realtime:session:"

EPOCH, TOUCHED, SIZE = b":epoch", b":touched", b":size"
"""Fields that are no records: no key of a record begins with a colon."""

TIMEOUT_SECONDS = 5.0
"""For a connection, and for an answer: Redis answers within milliseconds or is in trouble."""

CONNECTIONS = 32
"""At once, from one process: Redis does one thing at a time anyway. Who comes when all are in use waits, and the first who waits is the
first served, which the library's own pool that waits does not see to: some waited for a hundred turns of others."""

RETRIES, FIRST_PAUSE, LONGEST_PAUSE = 2, 0.05, 0.2
"""For a connection that broke, in seconds: enough for a Redis that dropped idle ones, and less than whoever waits for us has patience."""

PAGE = 1000
"""Keys that one step of a listing looks at."""

COMMIT = """
local epoch = redis.call('HGET', KEYS[1], ':epoch')
if ARGV[1] == '0' then
    if epoch and epoch ~= '1' then return -2 end
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], ':epoch', 1, ':size', 0)
elseif epoch ~= ARGV[1] then
    return -1
end
local size = 0
local drops = tonumber(ARGV[4])
for index = 5, 4 + drops do
    local there = redis.call('HSTRLEN', KEYS[1], ARGV[index])
    if redis.call('HDEL', KEYS[1], ARGV[index]) == 1 then size = size - there - #ARGV[index] end
end
for index = 5 + drops, #ARGV, 2 do
    local there = redis.call('HSTRLEN', KEYS[1], ARGV[index])
    if redis.call('HSET', KEYS[1], ARGV[index], ARGV[index + 1]) == 0 then size = size - there - #ARGV[index] end
    size = size + #ARGV[index] + #ARGV[index + 1]
end
redis.call('HINCRBY', KEYS[1], ':size', size)
redis.call('HSET', KEYS[1], ':touched', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""
"""Of epoch, time, milliseconds to keep, number of drops, keys to drop, then keys and records. Epoch 0 creates."""

CLAIM = """
if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
redis.call('HINCRBY', KEYS[1], ':epoch', 1)
redis.call('HSET', KEYS[1], ':touched', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('HGETALL', KEYS[1])
"""

TOUCH = """
if redis.call('EXISTS', KEYS[1]) == 1 then
    redis.call('HSET', KEYS[1], ':touched', ARGV[1])
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
"""


class RedisStore:
    """Implements `ports.Store`. How much it may hold is Redis's own affair (`maxmemory`)."""

    def __init__(self, url: str, *, keep_seconds: float, clock: Callable[[], float] = time.time) -> None:  # noqa: TID251 - for people
        """Raises `ConfigError` for what is no address of a Redis."""
        self.name, self._pool = _name(url), _pool(url)
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._redis: Any = redis.Redis(connection_pool=self._pool)
        self._keep_ms = int(keep_seconds * 1000)
        self._clock = clock
        self._commit_script, self._claim_script, self._touch_script = map(self._redis.register_script, (COMMIT, CLAIM, TOUCH))

    async def open(self) -> None:
        async with self._turn():
            await self._redis.ping()

    async def create(self, session_id: str, change: Change) -> None:
        await self._store(session_id, 0, change)

    async def commit(self, session_id: str, epoch: int, change: Change) -> None:
        await self._store(session_id, epoch, change)

    async def _store(self, session_id: str, epoch: int, change: Change) -> None:
        drops = sorted(change.drop - change.put.keys())
        pairs = [each for pair in change.put.items() for each in pair]
        async with self._turn():
            outcome = await self._commit_script(
                keys=[PREFIX + session_id], args=[epoch, self._clock(), self._keep_ms, len(drops), *drops, *pairs]
            )
        if outcome == -2:
            raise Superseded(f"{session_id}: there is such a session already, and somebody else has it")
        if outcome == -1:
            raise Superseded(f"{session_id}: epoch {epoch} is over")

    async def head(self, session_id: str) -> bytes | None:
        async with self._turn():
            head: bytes | None = await self._redis.hget(PREFIX + session_id, HEAD)
        return head

    async def claim(self, session_id: str) -> Stored | None:
        async with self._turn():
            flat = await self._claim_script(keys=[PREFIX + session_id], args=[self._clock(), self._keep_ms])
        return _stored(dict(zip(flat[::2], flat[1::2], strict=True)))

    async def superseded(self, epochs: Mapping[str, int]) -> set[str]:
        async with self._turn(), self._redis.pipeline(transaction=False) as pipeline:
            for session_id in epochs:
                pipeline.hget(PREFIX + session_id, EPOCH)
            current = await pipeline.execute()
        return {id for (id, epoch), now in zip(epochs.items(), current, strict=True) if now is None or int(now) != epoch}

    async def touch(self, session_ids: Collection[str]) -> None:
        async with self._turn(), self._redis.pipeline(transaction=False) as pipeline:
            for session_id in session_ids:
                await self._touch_script(keys=[PREFIX + session_id], args=[self._clock(), self._keep_ms], client=pipeline)
            await pipeline.execute()

    async def delete(self, session_id: str) -> bool:
        async with self._turn():
            return bool(await self._redis.delete(PREFIX + session_id))

    async def sessions(self) -> AsyncIterator[Summary]:
        """In no order."""
        async with self._turn():
            # A walk may come by a key twice (Redis, "SCAN", guarantees).
            keys = list({key async for key in self._redis.scan_iter(match=PREFIX + "*", count=PAGE)})
        for start in range(0, len(keys), PAGE):
            for summary in await self._summaries(keys[start : start + PAGE]):
                yield summary

    async def _summaries(self, keys: Sequence[bytes]) -> list[Summary]:
        """Of those that have not gone meanwhile."""
        async with self._turn(), self._redis.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.hmget(key, TOUCHED, SIZE)
            rows = zip(keys, await pipeline.execute(), strict=True)
        return [
            Summary(key.decode().removeprefix(PREFIX), float(touched), int(size)) for key, (touched, size) in rows if touched is not None
        ]

    async def read(self, session_id: str) -> Stored | None:
        async with self._turn():
            return _stored(await self._redis.hgetall(PREFIX + session_id))

    async def close(self) -> None:
        await self._redis.aclose()
        await self._pool.disconnect()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """A connection is free, and what Redis says is wrong is a `StoreError`."""
        try:
            async with self._turns:
                yield
        except (RedisError, OSError) as error:
            raise StoreError(f"{self.name}: {error}") from error


def _name(url: str) -> str:
    try:
        parts = urlsplit(url)
        return f"redis at {parts.hostname}:{parts.port or 6379}" if parts.hostname else f"redis at {parts.path}"
    except ValueError:
        raise _refusal() from None


def _pool(url: str) -> redis.ConnectionPool:
    retry = Retry(ExponentialBackoff(LONGEST_PAUSE, FIRST_PAUSE), RETRIES, supported_errors=(Disconnected,))
    timeouts = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
    try:
        return redis.ConnectionPool.from_url(url, max_connections=CONNECTIONS, retry=retry, **timeouts)
    except ValueError:
        raise _refusal() from None


def _refusal() -> ConfigError:
    # What was wrong is not told: of an address that is cut at the wrong place it may be a piece of the password.
    return ConfigError(
        "REALTIME_REDIS_URL=***: must be redis://[user][:password@]host[:port][/database], rediss://..., or unix://path; "
        "a password's / is written %2F, its @ %40, its # %23"
    )


def _stored(fields: dict[bytes, bytes]) -> Stored | None:
    if EPOCH not in fields:
        return None
    return Stored(int(fields[EPOCH]), {key.decode(): value for key, value in fields.items() if not key.startswith(b":")})
