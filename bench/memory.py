"""What does a session weigh? Idle ones beside bare websockets, and ones that have talked beside the sound that they keep.

    python -m bench.memory [--effort full]

- `idle`: 10,000 sessions that only connected, in one process, beside as many connections to a server of the same library that does nothing.
  Memory is the kernel's count of what the process has for itself (PSS), before and after, by the number of sessions.
- `active`: sessions that have said and heard half a minute each; the floor is the bytes of that sound, which is kept for `retrieve` and
  `truncate` up to `REALTIME_SESSION_AUDIO_MB`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
from base64 import b64encode
from collections.abc import AsyncIterator

import numpy as np
from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bench.figures import Effort, Figure, Step, Unavailable, alone, beside
from bench.processes import SCRIPTED, Server, allow_files, daemon, started

IDLE_BUDGET_KB = 30
"""Of a session above a bare websocket."""

AT_ONCE = 100
"""Handshakes under way."""

SPARE_FILES = 500
"""Descriptors that a process needs beside its sockets."""

SETTLED = 2.0
"""Seconds until a server that has got many connections is at rest."""

RATE = 24_000
SAID_SECONDS, TURNS = 10.0, 2
"""Of an active session: how long a turn is, and how many there are."""


async def bare() -> None:
    """The floor: it accepts and keeps still."""

    async def handle(socket: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for _ in socket:
                pass

    async with serve(handle, "127.0.0.1", 0, compression=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def connected(url: str, count: int) -> AsyncIterator[list[ClientConnection]]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def dial() -> ClientConnection:
        async with gate:
            return await connect(url, proxy=None, compression=None, open_timeout=60, ping_interval=None, max_size=None)

    sockets = await asyncio.gather(*(dial() for _ in range(count)))
    try:
        yield sockets
    finally:
        for socket in sockets:
            socket.transport.abort()


async def idle_kb(server: Server, count: int) -> tuple[float, float]:
    """Kilobytes of each of so many connections, and milliseconds of CPU in a second of them all."""
    async with connected(server.url, 1):
        await asyncio.sleep(SETTLED / 4)  # what every first connection needs is no session's
    before = server.memory_kb()
    async with connected(server.url, count) as sockets:
        await asyncio.sleep(SETTLED)
        after, spent = server.memory_kb(), server.cpu_ns()
        await asyncio.sleep(SETTLED)
        cpu_ms = (server.cpu_ns() - spent) / 1e6 / SETTLED
        assert all(socket.close_code is None for socket in sockets), "not all of them are still connected"
    return (after - before) / count, cpu_ms


def tone(seconds: float) -> bytes:
    at = np.arange(round(seconds * RATE)) / RATE
    return (np.sin(2 * np.pi * 220 * at) * 8000).astype(np.int16).tobytes()


async def talked(socket: ClientConnection) -> int:
    """Say something, hear the answer, again; return the bytes of all that sound."""
    said, kept = tone(SAID_SECONDS), 0
    off = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    await socket.send(json.dumps({"type": "session.update", "session": off}))
    for _ in range(TURNS):
        await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": b64encode(said).decode()}))
        await socket.send('{"type":"input_audio_buffer.commit"}')
        await socket.send('{"type":"response.create"}')
        kept += len(said)
        async for message in socket:
            event = json.loads(message)
            if event["type"] == "response.output_audio.delta":
                kept += len(event["delta"]) * 3 // 4
            elif event["type"] == "response.done":
                assert event["response"]["status"] == "completed", event
                break
    return kept


async def active_kb(server: Server, count: int) -> tuple[float, float]:
    """Kilobytes of sound, and of memory, for each of so many sessions."""
    async with connected(server.url, 1) as [socket]:
        await talked(socket)
        await asyncio.sleep(SETTLED / 4)
    before = server.memory_kb()
    async with connected(server.url, count) as sockets:
        kept = [await talked(socket) for socket in sockets]
        await asyncio.sleep(SETTLED / 4)
        return sum(kept) / 1024 / count, (server.memory_kb() - before) / count


def measure(effort: Effort, step: Step) -> list[Figure]:
    count = effort.of(10_000) if effort.full else effort.of(5_000)
    try:
        allow_files(count + SPARE_FILES)
    except (OSError, ValueError) as error:
        raise Unavailable(f"{count} connections need as many open files, and the machine forbids it (ulimit -Hn): {error}") from error
    with started("-m", "bench.memory", "--bare") as server:
        step(f"{count} bare websockets")
        floor, _ = asyncio.run(idle_kb(server, count))
    with daemon(*SCRIPTED, "--max-sessions", "0") as server:
        step(f"{count} sessions")
        value, cpu_ms = asyncio.run(idle_kb(server, count))
    idle = beside("memory.idle", "KB", [(floor, value)], of="value", sessions=count, cpu_ms_per_second=cpu_ms)
    with daemon(*SCRIPTED) as server:
        step("sessions that talked")
        active = asyncio.run(active_kb(server, effort.of(50, 5)))
    return [replace(idle, budget=round(floor + IDLE_BUDGET_KB, 1)), beside("memory.active", "KB", [active])]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--bare", action="store_true")
    asked, _ = parser.parse_known_args()
    if asked.bare:
        asyncio.run(bare())
    else:
        alone(measure)
