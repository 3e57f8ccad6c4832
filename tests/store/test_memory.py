from __future__ import annotations

from realtime.ports import HEAD, Change
from realtime.store.memory import MemoryStore


def session(size: int) -> Change:
    return Change({HEAD: bytes(size)})


async def test_beyond_the_bound_those_go_that_were_used_least_recently() -> None:
    store = MemoryStore(keep_seconds=60, max_bytes=250, clock=lambda: 0.0)
    for name in ("a", "b"):
        await store.create(name, session(90))
    await store.touch(["a"])
    await store.create("c", session(90))
    assert [each.session_id async for each in store.sessions()] == ["c", "a"]


async def test_who_is_being_written_stays_however_large() -> None:
    store = MemoryStore(keep_seconds=60, max_bytes=250, clock=lambda: 0.0)
    await store.create("a", session(90))
    await store.create("b", session(1000))
    assert [each.session_id async for each in store.sessions()] == ["b"]
    await store.open()
    await store.close()
