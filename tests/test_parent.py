"""How the parent judges its workers; whole, with workers that serve, it is tried in tests/e2e/test_workers.py."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from asyncio.subprocess import Process
from pathlib import Path
from signal import SIGABRT, SIGHUP, SIGKILL, SIGTERM, Signals
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import structs

from realtime import logs, parent
from realtime.errors import ConfigError
from realtime.parent import GIVEN_UP, MAX_FALSE_STARTS, MISUSED, STEADY_SECONDS, GivenUp, Parent, Worker, reserve
from realtime.server.keys import fresh
from realtime.supervisor import Supervisor
from tests.test_app import SCRIPTED
from tests.test_signals import signals as signals

TWO = structs.replace(SCRIPTED, workers=2, grace_seconds=0.0)


def made(pid: int) -> Any:
    """A process that only writes down what it is sent."""
    sent: list[Signals] = []
    return SimpleNamespace(pid=pid, sent=sent, send_signal=sent.append)


def staffed() -> tuple[Parent, list[Any]]:
    """A parent of two that serve."""
    ours, processes = Parent(TWO, Supervisor(), []), [made(10), made(11)]
    for worker, process in zip(ours._workers, processes, strict=True):
        worker.process = process
        ours._told(process.pid, {"READY": "1"})
    ours._served = True
    return ours, processes


async def test_signs_of_life_are_passed_on_while_all_give_them_and_who_gives_none_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    ours, processes = staffed()
    assert ours._all_alive(1.0)  # none has begun to
    for process in processes:
        ours._told(process.pid, {"WATCHDOG": "1"})
    assert ours._all_alive(1.0)
    assert ours._workers[1].beat is not None
    ours._workers[1].beat -= 1.5
    assert not ours._all_alive(1.0)
    assert [process.sent for process in processes] == [[], [SIGABRT]]
    assert "Worker 2 has given no sign of life for 1 s" in caplog.text
    ours._workers[1].ended(0.0)
    assert ours._all_alive(1.0)  # it is being started again


async def test_one_that_lets_go_owes_no_signs_of_life() -> None:
    ours, processes = staffed()
    ours._told(processes[0].pid, {"WATCHDOG": "1"})
    ours._told(processes[0].pid, {"STOPPING": "1", "STATUS": "running answers may end"})
    assert ours._workers[0].beat is None


async def test_what_strangers_say_does_not_count() -> None:
    ours, _ = staffed()
    ours._told(99, {"WATCHDOG": "1"})
    assert [worker.beat for worker in ours._workers] == [None, None]


async def test_a_hangup_is_kept_for_one_that_does_not_serve_yet() -> None:
    ours, processes = staffed()
    ours._workers[1].ready = None
    ours._hang_up()
    assert [process.sent for process in processes] == [[SIGHUP], []]
    ours._told(processes[1].pid, {"READY": "1"})
    assert [process.sent for process in processes] == [[SIGHUP], [SIGHUP]]


def test_a_steady_worker_makes_up_for_its_false_starts() -> None:
    worker = Worker(1)
    for _ in range(2):
        worker.ready = 0.0
        worker.ended(STEADY_SECONDS - 1)
    assert worker.false_starts == 2
    worker.ended(0.0)
    assert worker.false_starts == 3
    worker.ready = 0.0
    worker.ended(STEADY_SECONDS)
    assert worker.false_starts == 0


def test_one_that_ends_as_soon_as_it_is_started_again_and_again_ends_all(caplog: pytest.LogCaptureFixture) -> None:
    ours = Parent(TWO, Supervisor(), [])
    ours._served, worker = True, ours._workers[0]
    for _ in range(MAX_FALSE_STARTS - 1):
        worker.ended(0.0)
        ours._judge(worker, -9)
    worker.ended(0.0)
    with pytest.raises(GivenUp) as given_up:
        ours._judge(worker, -9)
    assert given_up.value.status == GIVEN_UP
    assert f"Worker 1 ended {MAX_FALSE_STARTS} times as soon as it was started, last with status -9" in caplog.text


@pytest.mark.parametrize(("served", "status", "whole"), [(False, 1, 1), (False, -9, GIVEN_UP), (True, MISUSED, MISUSED)])
def test_what_can_not_get_better_is_not_tried_again(served: bool, status: int, whole: int) -> None:
    ours = Parent(TWO, Supervisor(), [])
    ours._served = served
    with pytest.raises(GivenUp) as given_up:
        ours._judge(ours._workers[0], status)
    assert given_up.value.status == whole


def test_workers_that_can_not_start_end_it_with_their_status(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logs, "start", lambda *chosen: logging.getLogger().setLevel("INFO"))
    assert Parent(TWO, Supervisor(), ["--llm=nonsense"]).run() == MISUSED
    assert capfd.readouterr().err.count("--llm='nonsense'") == 1


FLAGS = ["--host=127.0.0.1", "--llm=scripted", "--stt=scripted", "--tts=scripted", "--vad=scripted", "--turn-model=words"]


def test_it_is_whole_again_after_one_was_killed_and_ends_when_it_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both workers are real; what happens next hangs on what they tell."""
    (keys := tmp_path / "keys").write_text(fresh("phone")[1])
    ours = Parent(structs.replace(TWO, api_keys_file=keys), Supervisor(), [*FLAGS, f"--api-keys-file={keys}"])
    served: list[int] = []
    serves = Worker.serves

    def watched(worker: Worker, now: float) -> None:
        serves(worker, now)
        served.append(worker.number)
        if len(served) == 3:
            os.kill(os.getpid(), SIGHUP)
            os.kill(os.getpid(), SIGTERM)

    def listening(where: str, *, given: bool) -> str:
        ours._workers[0].signal(SIGKILL)
        return where

    monkeypatch.setattr(Worker, "serves", watched)
    monkeypatch.setattr(parent, "listening", listening)
    assert ours.run() == 0
    assert served == [1, 2, 1]


def test_who_still_loads_when_it_is_told_to_end_does_not_hold_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Parent(TWO, Supervisor(), FLAGS)
    start = ours._start

    async def started(worker: Worker, told: Supervisor) -> Process:
        os.kill(os.getpid(), SIGTERM)
        return await start(worker, told)

    monkeypatch.setattr(ours, "_start", started)
    assert ours.run() == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_address_is_held_for_those_who_share_it_and_nobody_else(host: str) -> None:
    held = reserve(host, 0)
    port = held[0].getsockname()[1]
    assert {each.getsockname()[1] for each in held} == {port}
    with socket.socket() as worker:
        worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        worker.bind(("127.0.0.1", port))
        worker.listen()
        with pytest.raises(ConfigError, match=f"SERVER_PORT={port}: can't listen there: Address already in use"):
            reserve(host, port)
    for each in held:
        each.close()
    for each in reserve(host, port):
        each.close()


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"SERVER_HOST=no\.such\.host\.invalid, SERVER_PORT=1: can't listen there"):
        reserve("no.such.host.invalid", 1)


async def test_it_gives_up_waiting_for_a_worker_when_it_is_to_stop() -> None:
    ours, stop = Parent(TWO, Supervisor(), []), asyncio.Event()
    waiting = asyncio.ensure_future(ours._until_ready(ours._workers[0], stop))
    await asyncio.sleep(0)
    stop.set()
    ours._grown.set()
    await waiting
