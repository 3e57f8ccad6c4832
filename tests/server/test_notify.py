from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from realtime.server import notify
from realtime.server.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The manager's end, bound to `tmp_path / "notify"`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        yield manager


@pytest.fixture
def address(manager: socket.socket) -> str:
    return str(manager.getsockname())


async def heard(manager: socket.socket) -> str:
    return (await asyncio.get_running_loop().sock_recv(manager, 4096)).decode()


async def test_the_manager_is_told_of_the_start_and_of_the_end(manager: socket.socket, address: str) -> None:
    with Notifier(address, None) as notifier:
        notifier.ready("listening on ws://localhost:8001")
        assert await heard(manager) == "READY=1\nSTATUS=listening on ws://localhost:8001"
        notifier.stopping("running answers may end", 12.5)
        assert await heard(manager) == "STOPPING=1\nSTATUS=running answers may end\nEXTEND_TIMEOUT_USEC=12500000"


async def test_an_address_may_be_an_abstract_name() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("")  # the kernel chooses one (unix(7), autobind)
        manager.setblocking(False)
        with Notifier("@" + manager.getsockname()[1:].decode(), None) as notifier:
            notifier.ready("here")
            assert await heard(manager) == "READY=1\nSTATUS=here"


class Clock:
    """A loop's timers, for a test to ring."""

    def __init__(self, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.timers: list[tuple[float, Callable[..., object], tuple[Any, ...], asyncio.TimerHandle]] = []
        self._later = loop.call_later
        monkeypatch.setattr(loop, "call_later", self._keep)

    def _keep(self, delay: float, call: Callable[..., object], *arguments: Any) -> asyncio.TimerHandle:
        handle = self._later(3600, call, *arguments)
        self.timers.append((delay, call, arguments, handle))
        return handle

    def ring(self) -> float:
        """The oldest timer; returns after how many seconds it was to ring."""
        delay, call, arguments, handle = self.timers.pop(0)
        assert not handle.cancelled()
        handle.cancel()
        call(*arguments)
        return delay


async def test_a_sign_of_life_is_given_twice_in_the_time_that_the_manager_waits(
    manager: socket.socket, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(asyncio.get_running_loop(), monkeypatch)
    with Notifier(address, 30.0):
        for _ in range(3):
            assert await heard(manager) == "WATCHDOG=1"
            assert clock.ring() == 15.0
    assert await heard(manager) == "WATCHDOG=1"
    [(*_, last)] = clock.timers
    assert last.cancelled()


async def test_no_sign_of_life_is_given_while_somebody_else_gives_none(
    manager: socket.socket, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, alive = Clock(asyncio.get_running_loop(), monkeypatch), [True, False, True]
    with Notifier(address, 30.0, lambda: alive.pop(0)) as notifier:
        assert await heard(manager) == "WATCHDOG=1"
        clock.ring()
        notifier.ready("nothing before this")
        assert await heard(manager) == "READY=1\nSTATUS=nothing before this"
        clock.ring()
        assert await heard(manager) == "WATCHDOG=1"


async def test_a_manager_that_has_no_room_is_told_again_a_little_later(
    manager: socket.socket, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(asyncio.get_running_loop(), monkeypatch)
    with Notifier(address, None) as notifier:
        sent = 0
        while not clock.timers:
            notifier.ready(f"{sent}")
            sent += 1
        for number in range(sent - 1):
            assert await heard(manager) == f"READY=1\nSTATUS={number}"
        assert clock.ring() == notify.RETRY_SECONDS
        assert await heard(manager) == f"READY=1\nSTATUS={sent - 1}"


async def test_a_manager_that_is_gone_is_logged_and_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), Notifier(str(tmp_path / "nobody"), None) as notifier:
        notifier.ready("here")
    assert [record.getMessage() for record in caplog.records] == ["The service manager can't be told READY=1: No such file or directory"]


async def test_without_a_manager_nothing_is_said() -> None:
    with Notifier(None, 1.0) as notifier:
        notifier.ready("here")
        notifier.stopping("gone", 1)
        assert notifier._timers == {}
