"""Several processes behind one port (`--workers`): all serve, one may die, and what is said to one is said to all."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGKILL, SIGSTOP, SIGTERM, Signals

import aiohttp
import pytest
from websockets.asyncio.client import unix_connect
from websockets.exceptions import ConnectionClosedError

from realtime.server.keys import fresh
from tests.e2e.conftest import Start
from tests.e2e.test_shutdown import SERVICE_RESTART
from tests.e2e.test_watched import metrics, speak_a_turn
from tests.rigs.daemon import SCRIPTED, Daemon
from tests.rigs.program import PATIENCE
from tests.rigs.service_manager import ServiceManager
from tests.rigs.wire_client import WireClient

TWO = (*SCRIPTED, "--workers", "2")

MANY = 24
"""Clients: that all of them come to the same of two workers happens once in eight million times."""

WATCHDOG = 2.0
"""Seconds."""


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceManager]:
    with ServiceManager(tmp_path) as manager:
        yield manager


def workers(daemon: Daemon) -> list[int]:
    """The processes that serve."""
    return [int(pid) for pid in Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()]


def runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def sockets_of(pid: int) -> int:
    """How many it has open, listening ones included."""
    count = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += os.readlink(descriptor).startswith("socket:")
        except FileNotFoundError:
            continue
    return count


@asynccontextmanager
async def connected(daemon: Daemon, count: int = MANY) -> AsyncIterator[list[WireClient]]:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(WireClient(daemon.url())) for _ in range(count)]
        for client in clients:
            await client.wait_for("session.created")
        yield clients


async def eventually(daemon: Daemon, old: list[int]) -> list[int]:
    """The workers, once there are as many as before and none of those that are gone."""
    async with asyncio.timeout(PATIENCE):
        while len(now := workers(daemon)) < len(old) or now == old:  # noqa: ASYNC110 - a process tells nobody that it has begun
            await asyncio.sleep(0.01)
    return now


async def test_both_serve_and_a_scrape_tells_of_both_whichever_answers(start: Start) -> None:
    daemon = start(*TWO)
    before = [sockets_of(pid) for pid in workers(daemon)]
    async with connected(daemon) as clients:
        assert all(sockets_of(pid) > count for pid, count in zip(workers(daemon), before, strict=True))
        assert (await speak_a_turn(clients[0]))["status"] == "completed"
        for _ in range(6):  # each is a connection of its own, dealt out anew
            seen = await metrics(daemon)
            assert seen["realtime_sessions_open ga"] == MANY
            assert seen["realtime_sessions_opened_total ga"] == MANY
            assert seen["realtime_turns_total detector"] == 1
            assert seen["realtime_turn_first_sound_seconds_count"] == 1
            assert seen["realtime_build_info 0.1.0"] == 1
            assert seen["process_resident_memory_bytes"] > 40e6
    assert "Traceback" not in daemon.output


async def test_one_that_is_killed_takes_its_own_clients_along_and_comes_back(start: Start) -> None:
    daemon = start(*TWO)
    old = workers(daemon)
    async with connected(daemon) as clients:
        os.kill(old[0], SIGKILL)
        await asyncio.to_thread(daemon.wait_for_line, "Worker . ended with status -9")
        async with WireClient(daemon.url()) as another:  # the other one answers
            await another.wait_for("session.created")
        lost = [client for client in clients if await dropped(client)]
        assert 0 < len(lost) < MANY
        kept = next(client for client in clients if client not in lost)
        assert (await speak_a_turn(kept))["status"] == "completed"
        new = await eventually(daemon, old)
        assert old[0] not in new
        assert old[1] in new
        opened = (await metrics(daemon))["realtime_sessions_opened_total ga"]
        assert opened == MANY + 1  # what the dead one counted is not forgotten
    async with connected(daemon):
        pass


async def dropped(client: WireClient) -> bool:
    """Is its connection lost?"""
    try:
        pong = await client.socket.ping()
        async with asyncio.timeout(PATIENCE):
            await pong
    except ConnectionClosedError:
        return True
    return False


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
async def test_the_end_is_the_end_of_all(start: Start, number: Signals) -> None:
    daemon = start(*TWO)
    pids = workers(daemon)
    async with connected(daemon) as clients:
        daemon.signal(number)
        assert {(await client.closed())[0] for client in clients} == {SERVICE_RESTART}
        assert await asyncio.to_thread(daemon.wait) == 0
    assert not any(map(runs, pids))


async def test_workers_end_in_peace_when_their_parent_is_killed(start: Start) -> None:
    daemon = start(*TWO)
    async with connected(daemon) as clients:
        daemon.signal(SIGKILL)
        assert {(await client.closed())[0] for client in clients} == {SERVICE_RESTART}
    assert await asyncio.to_thread(daemon.wait) == -SIGKILL


async def test_a_hangup_has_all_of_them_read_the_keys_again(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "api-keys"
    (old_key, line), (key, new_line) = fresh("old"), fresh("new")
    file.write_text(line + "\n")
    daemon = start(*TWO, "--api-keys-file", str(file))
    file.write_text(new_line + "\n")
    daemon.signal(SIGHUP)
    await asyncio.to_thread(daemon.wait_for_line, "keys read again")  # by the first
    async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as http:
        streak = 0
        while streak < MANY:  # the second says nothing, so that so many in a row come in is how it shows
            streak = streak + 1 if await asked(http, daemon, key) == HTTPStatus.OK else 0
    async with aiohttp.ClientSession() as http:
        assert {await asked(http, daemon, old_key) for _ in range(MANY)} == {HTTPStatus.UNAUTHORIZED}


async def asked(http: aiohttp.ClientSession, daemon: Daemon, key: str) -> int:
    """The status of a page that needs a key, over a connection of its own."""
    headers = {"Authorization": f"Bearer {key}", "Connection": "close"}
    async with http.get(f"http://127.0.0.1:{daemon.port}/metrics", headers=headers) as reply:
        return reply.status


async def test_the_manager_is_told_once_that_all_is_ready(manager: ServiceManager) -> None:
    with manager.start("--workers", "2") as daemon:
        assert manager.next() == {"READY": "1", "STATUS": f"listening on {daemon.address}; 2 workers"}
        assert len(workers(daemon)) == 2
        daemon.signal(SIGTERM)
        assert manager.next()["STOPPING"] == "1"
        assert await asyncio.to_thread(daemon.wait) == 0
    with pytest.raises(TimeoutError):
        manager.next(timeout=0.1)


async def test_given_sockets_are_shared_by_all(manager: ServiceManager, tmp_path: Path) -> None:
    path = str(tmp_path / "door")
    with socket.create_server(("127.0.0.1", 0)) as door, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(path)
        unix.listen()
        with manager.start("--workers", "2", sockets=[door, unix]) as daemon:
            assert daemon.port == door.getsockname()[1]
            assert manager.wait_for("READY")["STATUS"] == f"listening on {daemon.address}, unix:{path}; 2 workers"
            old = workers(daemon)
            os.kill(old[1], SIGKILL)
            async with connected(daemon), unix_connect(path, "ws://localhost/v1/realtime") as client:
                assert json.loads(await client.recv())["type"] == "session.created"
            await eventually(daemon, old)  # who had them before has not closed them for the next
            async with connected(daemon):
                pass
            assert await asyncio.to_thread(daemon.stop) == 0


async def test_one_that_is_stuck_is_ended_while_the_manager_goes_on_being_told(manager: ServiceManager) -> None:
    with manager.start("--workers", "2", WATCHDOG_USEC=str(round(WATCHDOG * 1e6))) as daemon:
        manager.wait_for("READY")
        old = workers(daemon)
        os.kill(old[0], SIGSTOP)  # SIGABRT waits until it goes on
        await asyncio.to_thread(daemon.wait_for_line, "Worker . has given no sign of life")
        os.kill(old[0], Signals.SIGCONT)
        await asyncio.to_thread(daemon.wait_for_line, "Worker . ended with status -6")
        await eventually(daemon, old)
        assert manager.next(timeout=WATCHDOG)["WATCHDOG"] == "1"


def test_a_port_that_somebody_else_has_is_refused_in_one_line(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(AssertionError, match=r"SERVER_PORT=.*in use"):
        start(*TWO, "--port", str(taken.getsockname()[1]))
    first = start(*TWO)
    with pytest.raises(AssertionError, match=r"SERVER_PORT=.*in use"):
        start(*TWO, "--port", str(first.port))


def test_what_keeps_the_first_from_starting_is_said_once(start: Start) -> None:
    with pytest.raises(AssertionError, match="It ended") as failed:
        start(*TWO, "--host", "0.0.0.0")
    assert str(failed.value).count("others than this machine") == 1
