"""The daemon under a service manager: what it tells it and when, and the sockets that it is given, which outlive it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM, SIGUSR1

import pytest
from websockets.asyncio.client import unix_connect

from tests.rigs.service_manager import STUCK, ServiceManager, queued
from tests.rigs.wire_client import WireClient

SERVICE_RESTART = 1012
"""Come back: the registry of RFC 6455, 11.7."""

GOODBYE = bytes((0x88, 25)) + SERVICE_RESTART.to_bytes(2) + b"server is shutting down"
"""The frame that closes a websocket (RFC 6455, 5.5.1)."""

REST_OF_REQUEST = (
    b"Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
"""What follows the first line of a handshake (RFC 6455, 1.3)."""

WATCHDOG = 0.4
"""Seconds: short, so that many signs of life come while a test waits; no sign for so long ends a daemon."""


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceManager]:
    with ServiceManager(tmp_path) as manager:
        yield manager


@pytest.fixture
def door() -> Iterator[socket.socket]:
    """A listening socket that outlives every daemon, as those of a socket unit do."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        yield door


def url(door: socket.socket) -> str:
    return f"ws://127.0.0.1:{door.getsockname()[1]}/v1/realtime"


async def greeted(client: WireClient) -> None:
    await client.wait_for("session.created")


@pytest.mark.parametrize("abstract", [False, True])
async def test_ready_is_said_once_clients_are_served_and_stopping_when_the_end_begins(tmp_path: Path, abstract: bool) -> None:
    with ServiceManager(tmp_path, abstract=abstract) as manager, manager.start("--grace-seconds", "7") as daemon:
        first = manager.next()
        assert first == {"READY": "1", "STATUS": f"listening on {daemon.address}"}
        async with WireClient(daemon.url()) as client:
            await greeted(client)
            daemon.signal(SIGTERM)
            assert manager.next() == {"STOPPING": "1", "STATUS": "running answers may end", "EXTEND_TIMEOUT_USEC": "37000000"}
            assert (await client.closed())[0] == SERVICE_RESTART
        assert await asyncio.to_thread(daemon.wait) == 0


def test_a_daemon_that_cannot_listen_is_never_ready(manager: ServiceManager, door: socket.socket) -> None:
    with pytest.raises(AssertionError, match="SERVER_PORT"):
        manager.start("--port", str(door.getsockname()[1]))
    with pytest.raises(TimeoutError):
        manager.next(timeout=0.1)


def test_signs_of_life_keep_coming_until_the_loop_is_stuck(manager: ServiceManager) -> None:
    with manager.start(python=("-c", STUCK), WATCHDOG_USEC=str(round(WATCHDOG * 1e6))) as daemon:
        manager.wait_for("READY")
        for _ in range(5):
            assert manager.next() == {"WATCHDOG": "1"}
        daemon.signal(SIGUSR1)
        with suppress(TimeoutError):
            manager.next(timeout=2 * WATCHDOG)  # one may have been on its way
        with pytest.raises(TimeoutError):
            manager.next(timeout=2 * WATCHDOG)
        daemon.signal(SIGKILL)


def test_nothing_is_said_of_life_to_a_manager_that_does_not_ask(manager: ServiceManager) -> None:
    with manager.start(WATCHDOG_USEC="100000", WATCHDOG_PID="1"):
        manager.wait_for("READY")
        with pytest.raises(TimeoutError):
            manager.next(timeout=0.3)


async def test_given_sockets_are_served_instead_of_the_configured_address(manager: ServiceManager, tmp_path: Path) -> None:
    path = str(tmp_path / "door")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(path)
        unix.listen()
        with manager.start("--host", "no.such.host.invalid", sockets=[tcp, unix]) as daemon:
            assert manager.wait_for("READY")["STATUS"] == f"listening on {daemon.address}, unix:{path}"
            assert f"  listening     unix:{path} /v1/realtime (GA, beta)" in daemon.output
            assert daemon.port == tcp.getsockname()[1]
            async with WireClient(url(tcp)) as client:
                await greeted(client)
            async with unix_connect(path, "ws://localhost/v1/realtime") as client_of_unix:
                assert json.loads(await client_of_unix.recv())["type"] == "session.created"
    # Still there, for the next daemon.
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
        client.connect(path)


def test_a_descriptor_that_is_no_listening_socket_is_refused_in_one_line(manager: ServiceManager) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(AssertionError, match=r"realtime: LISTEN_FDS: descriptor 3 accepts no connections"):
        manager.start(sockets=[ours])


async def test_who_connects_while_no_daemon_runs_is_served_by_the_next(manager: ServiceManager, door: socket.socket) -> None:
    with manager.start(sockets=[door]) as daemon:
        async with WireClient(url(door)) as client:
            await greeted(client)
            assert await asyncio.to_thread(daemon.stop) == 0
            assert (await client.closed())[0] == SERVICE_RESTART
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(served(door)) for _ in range(5)]
        await queued(door, len(waiting))
        assert not any(client.done() for client in waiting)
        with await asyncio.to_thread(manager.start, sockets=[door]):
            await asyncio.wait(waiting)


async def served(door: socket.socket) -> None:
    """Connect, however long it takes to be let in, and be greeted."""
    async with WireClient(url(door)) as client:
        await greeted(client)


async def test_who_was_let_in_when_the_end_began_is_told_goodbye(manager: ServiceManager, door: socket.socket) -> None:
    """The handshake is under way when the signal comes, as it is for a client far away."""
    with manager.start(sockets=[door]) as daemon:
        async with late_client(door) as (reader, writer):
            # Clients are let in one after the other, and the door is closed before the idle are sent away.
            async with WireClient(url(door)) as idle:
                await greeted(idle)
                daemon.signal(SIGTERM)
                assert (await idle.closed())[0] == SERVICE_RESTART
            writer.write(REST_OF_REQUEST)
            assert await reader.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
            await reader.readuntil(GOODBYE)
        assert await asyncio.to_thread(daemon.wait) == 0


@asynccontextmanager
async def late_client(door: socket.socket) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Has sent only the first line of its request."""
    reader, writer = await asyncio.open_connection(*door.getsockname())
    writer.write(b"GET /v1/realtime HTTP/1.1\r\n")
    yield reader, writer
    writer.close()
