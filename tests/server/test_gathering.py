from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime.server.gathering import MOST, Gathering


class Kept:
    """A transport that keeps what is done to it."""

    def __init__(self) -> None:
        self.done: list[Any] = []

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def write_eof(self) -> None:
        self.done.append("eof")

    def close(self) -> None:
        self.done.append("close")

    def abort(self) -> None:
        self.done.append("abort")

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if "abort" in self.done:  # as uvloop's
            raise AttributeError("'NoneType' object has no attribute 'getpeername'")
        return {"peername": ("10.0.0.9", 5000), "sockname": ("10.0.0.1", 80)}.get(name, default)

    def get_write_buffer_size(self) -> int:
        return 100

    def is_closing(self) -> bool:
        return False


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
async def ours(kept: Kept) -> Gathering:
    return Gathering(kept, asyncio.get_running_loop())  # type: ignore[arg-type]


async def test_writes_of_one_turn_are_one(kept: Kept, ours: Gathering) -> None:
    for data in (b"a", b"b", b"c"):
        ours.write(data)
    assert (kept.done, ours.get_write_buffer_size()) == ([], 103)
    await asyncio.sleep(0)
    assert (kept.done, ours.get_write_buffer_size()) == ([b"abc"], 100)
    ours.write(b"d")
    await asyncio.sleep(0)
    assert kept.done == [b"abc", b"d"]


async def test_much_is_not_gathered_but_written_at_once(kept: Kept, ours: Gathering) -> None:
    ours.write(b"a")
    ours.write(bytes(MOST))
    assert kept.done == [b"a" + bytes(MOST)]
    await asyncio.sleep(0)
    assert len(kept.done) == 1


async def test_an_end_comes_after_what_was_written_and_an_abort_instead_of_it(kept: Kept, ours: Gathering) -> None:
    ours.write(b"a")
    ours.write_eof()
    ours.write(b"b")
    ours.close()
    ours.write(b"c")
    ours.abort()
    await asyncio.sleep(0)
    assert kept.done == [b"a", "eof", b"b", "close", "abort"]


async def test_all_else_is_the_transports(ours: Gathering) -> None:
    assert ours.is_closing() is False


async def test_what_has_gone_is_what_neither_end_holds(ours: Gathering) -> None:
    ours.write(bytes(300))
    assert ours.gone == -100, "of 400 that wait the transport had 100 before"
    ours.flush()
    assert ours.gone == 200


async def test_the_address_of_who_is_gone_is_known(kept: Kept, ours: Gathering) -> None:
    assert ours.get_extra_info("sockname") == ("10.0.0.1", 80)
    assert ours.get_extra_info("nothing", 7) == 7
    ours.abort()
    assert ours.get_extra_info("peername") == ("10.0.0.9", 5000)
