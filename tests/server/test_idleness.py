from __future__ import annotations

import asyncio

import pytest

from realtime.server.idleness import Idleness


class Clock:
    """A loop's time and its one timer, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, asyncio.TimerHandle]] = []
        loop = asyncio.get_running_loop()
        self._call_at = loop.call_at
        monkeypatch.setattr(loop, "time", lambda: self.now)
        monkeypatch.setattr(loop, "call_at", self._set)

    def _set(self, when: float, callback: object) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, (), asyncio.get_running_loop())  # type: ignore[arg-type]
        self.timers.append((when, handle))
        return handle

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        due = [handle for when, handle in self.timers if when <= self.now and not handle.cancelled()]
        self.timers = [(when, handle) for when, handle in self.timers if when > self.now and not handle.cancelled()]
        for handle in due:
            handle._run()


class Client:
    """Who is waited for."""

    def __init__(self, seconds: float) -> None:
        self.busy, self.ended = False, 0
        self.idleness = Idleness(seconds, busy=lambda: self.busy, ended=self.end)
        self.idleness.start()

    def end(self) -> None:
        self.ended += 1


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def test_who_sends_nothing_is_let_go_once(clock: Clock) -> None:
    client = Client(30)
    clock.pass_by(29)
    assert client.ended == 0
    clock.pass_by(1)
    clock.pass_by(100)
    assert client.ended == 1


async def test_who_sends_something_stays(clock: Clock) -> None:
    client = Client(30)
    for _ in range(10):
        clock.pass_by(20)
        client.idleness.heard()
    assert (client.ended, len(clock.timers)) == (0, 1)
    clock.pass_by(30)
    assert client.ended == 1


async def test_who_is_being_answered_need_not_say_anything(clock: Clock) -> None:
    client = Client(30)
    client.busy = True
    clock.pass_by(30)
    clock.pass_by(30)
    client.busy = False
    assert client.ended == 0
    clock.pass_by(30)
    assert client.ended == 1


async def test_nobody_is_let_go_where_nothing_is_set_or_after_it_was_stopped(clock: Clock) -> None:
    patient, stopped = Client(0), Client(30)
    stopped.idleness.stop()
    patient.idleness.stop()
    clock.pass_by(1_000_000)
    assert (patient.ended, stopped.ended) == (0, 0)
