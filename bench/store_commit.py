"""What storing a change costs, for each store: commits a second, and how long one waits for its own.

    python bench/store_commit.py [--commits 2000] [--rounds 3]

A commit is what one step of a session stores: a head and an item. Two loads are told apart: one session that commits again and again, and a
hundred that each do so at the same time. The floor is the least that the same promise costs, one at a time: a write and an fsync of as many
bytes (SQLite), a SET of as many bytes and its answer (Redis). It is measured in the same rounds, in turns.

The folder is made in the current one, for /tmp may be memory. The Redis is one of its own, and flushes each command (`appendfsync always`);
without `redis-server` its rows are left out.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from redis import asyncio as redis

from realtime.ports import HEAD, Change, Store
from realtime.store.memory import MemoryStore
from realtime.store.redis import RedisStore
from realtime.store.sealed import Sealed
from realtime.store.sqlite import SqliteStore

RECORDS = {HEAD: bytes(300), "item.item_1": bytes(500)}
"""About what a typed message stores."""

SIZE = sum(map(len, RECORDS.values()))

MANY = 100

BUDGET = 3.0
"""Times the floor that one commit by itself may take."""

Times = list[float]


async def timed(times: Times, work: Callable[[], Awaitable[object]]) -> None:
    begun = time.perf_counter()
    await work()
    times.append(time.perf_counter() - begun)


async def commits(store: Store, sessions: int, count: int) -> tuple[float, Times]:
    """A second, and the seconds of each."""
    times: Times = []
    names = [f"sess_{sessions}_{number}" for number in range(sessions)]
    await asyncio.gather(*(store.create(name, Change(dict(RECORDS))) for name in names))

    async def one(name: str) -> None:
        for _ in range(count // sessions):
            await timed(times, lambda: store.commit(name, 1, Change(dict(RECORDS))))

    begun = time.perf_counter()
    await asyncio.gather(*(one(name) for name in names))
    taken = time.perf_counter() - begun
    for name in names:
        await store.delete(name)
    return len(times) / taken, times


def fsyncs(folder: Path, count: int) -> Times:
    times: Times = []
    with (folder / "floor").open("wb", buffering=0) as file:
        for _ in range(count):
            begun = time.perf_counter()
            file.write(bytes(SIZE))
            os.fsync(file.fileno())
            times.append(time.perf_counter() - begun)
    return times


async def sets(url: str, count: int) -> Times:
    times: Times = []
    client = redis.from_url(url)
    for _ in range(count):
        await timed(times, lambda: client.set("floor", bytes(SIZE)))
    await client.aclose()
    return times


def spread(times: Times) -> str:
    ordered = sorted(times)
    return f"p50 {statistics.median(ordered) * 1000:7.3f} ms, p99 {ordered[len(ordered) * 99 // 100] * 1000:7.3f} ms"


async def measured(name: str, store: Store, floor: Callable[[], Awaitable[Times]] | None, count: int, rounds: int) -> float | None:
    """Print the rows of a store; return how many times its floor one commit takes."""
    await store.open()
    floors: Times = []
    alone: Times = []
    many: Times = []
    rates: dict[int, list[float]] = {1: [], MANY: []}
    for _ in range(rounds):
        floors += await floor() if floor else []
        for sessions, times in ((1, alone), (MANY, many)):
            rate, found = await commits(store, sessions, count)
            rates[sessions].append(rate)
            times += found
    await store.close()
    for sessions, times in ((1, alone), (MANY, many)):
        print(f"  {name:16} {sessions:3} at once: {statistics.median(rates[sessions]):9,.0f} a second, {spread(times)}")
    if not floors:
        return None
    ratio = statistics.median(alone) / statistics.median(floors)
    print(f"  {'its floor':16}   1 at once: {1 / statistics.mean(floors):9,.0f} a second, {spread(floors)}; ratio {ratio:.2f}")
    return ratio


async def main(count: int, rounds: int) -> int:
    print(f"{platform.machine()}, Python {platform.python_version()}; {SIZE} bytes a commit, {rounds} rounds of {count} commits")
    ratios = []
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as place:
        folder = Path(place)

        async def floor() -> Times:
            return await asyncio.to_thread(fsyncs, folder, count)

        def sqlite(name: str) -> SqliteStore:
            return SqliteStore(folder / f"{name}.db", keep_seconds=3600, max_bytes=0)

        memory = MemoryStore(keep_seconds=3600, max_bytes=0)
        await measured("memory", memory, None, count, rounds)
        await measured("memory, sealed", Sealed(memory, [bytes(32)]), None, count, rounds)
        ratios.append(await measured("sqlite", sqlite("plain"), floor, count, rounds))
        ratios.append(await measured("sqlite, sealed", Sealed(sqlite("sealed"), [bytes(32)]), floor, count, rounds))
    if shutil.which("redis-server"):
        sys.path.append(str(Path(__file__).parent.parent))  # the tests are no part of the package
        from tests.rigs.redis_server import RedisServer

        with RedisServer() as server:
            store = RedisStore(server.url, keep_seconds=3600)
            ratios.append(await measured("redis", store, lambda: sets(server.url, count), count, rounds))
    worst = max(ratio for ratio in ratios if ratio is not None)
    print(f"one commit by itself takes at most {worst:.2f} times its floor (budget {BUDGET:g})")
    return 0 if worst <= BUDGET else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    sys.exit(asyncio.run(main(asked.commits, asked.rounds)))
