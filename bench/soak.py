"""Does anything grow, or slow down? An hour of conversation in each of four sessions, as fast as it goes, while others come and leave.

    python -m bench.soak [--effort full]

The daemon counts audio in samples and not on a clock, so an hour takes a minute. A stub for a model, scripted ear and voice, and a detector
that hears loudness; a turn is 3 s of sound and 1 s of silence in appends of 100 ms, and a spoken answer; every tenth is cancelled instead.
Beside them short sessions connect, say something and go. What grows is told as a ratio of later to earlier:

- `turns`: the time of a turn in the last tenth of the hour, beside that in its second tenth.
- `memory`: RSS at the end of the hour, beside that after its first third, by when sessions keep all the sound that they may (32 MiB).
- `files`: open descriptors, at the same times.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from base64 import b64encode

import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from bench.figures import Effort, Figure, Step, alone, beside
from bench.processes import SCRIPTED, Server, daemon, started

SESSIONS = 4
HOUR = 900
"""Turns of 4 s."""

VISITORS = 2
"""Short sessions at a time."""

RATE = 24_000
APPEND = RATE // 10

CANCELLED = 10
"""Every so many turns the answer is cancelled."""

CONTEXT_TOKENS = 4096
"""Of the model, so that what it is told stops growing, as with any real one."""


def turn() -> list[str]:
    """The appends of a turn."""
    at = np.arange(3 * RATE) / RATE
    sound = np.concatenate([(np.sin(2 * np.pi * 220 * at) * 8000).astype(np.int16), np.zeros(RATE, np.int16)])
    pieces = (sound[start : start + APPEND].tobytes() for start in range(0, len(sound), APPEND))
    return [json.dumps({"type": "input_audio_buffer.append", "audio": b64encode(piece).decode()}) for piece in pieces]


async def until_done(socket: ClientConnection, *, cancel: bool) -> str:
    """Wait for the answer; return its status."""
    async for message in socket:
        head = message[:60]
        assert isinstance(head, str)
        if cancel and '"response.created"' in head:
            await socket.send('{"type":"response.cancel"}')
        elif '"response.done"' in head:
            status: str = json.loads(message)["response"]["status"]
            return status
        elif '"type":"error"' in head and "response_cancel_not_active" not in str(message):
            raise SystemExit(f"refused: {message!r}")
    raise SystemExit("the socket was closed")


async def taken(socket: ClientConnection, appends: list[str], *, cancel: bool = False) -> float:
    """Take a turn; return its seconds."""
    begun = time.monotonic()
    for append in appends:
        await socket.send(append)
    status = await until_done(socket, cancel=cancel)
    assert status in (("completed", "cancelled") if cancel else ("completed",)), status
    return time.monotonic() - begun


async def hour(url: str, count: int) -> list[float]:
    """Seconds of each turn of a long session that was not cancelled, in order."""
    appends, seconds = turn(), []
    async with connect(url, max_size=None, proxy=None, compression=None) as socket:
        for number in range(count):
            cancel = number % CANCELLED == CANCELLED - 1
            took = await taken(socket, appends, cancel=cancel)
            if not cancel:
                seconds.append(took)
    return seconds


async def visit(url: str, over: asyncio.Event) -> int:
    """Come and go, again and again; return how often."""
    appends, count = turn(), 0
    while not over.is_set():
        async with connect(url, max_size=None, proxy=None, compression=None) as socket:
            await taken(socket, appends)
        count += 1
    return count


Seen = list[tuple[float, float]]
"""Megabytes and open descriptors of the daemon, ten times a second."""


async def watch(server: Server, over: asyncio.Event) -> Seen:
    seen: Seen = []
    while not over.is_set():
        seen.append((server.resident_kb() / 1024, server.files()))
        await asyncio.sleep(0.1)
    return seen


async def soaked(server: Server, count: int) -> tuple[list[list[float]], Seen, int]:
    """Seconds of the turns of each long session, what was seen, and the number of visits."""
    over = asyncio.Event()
    watching = asyncio.create_task(watch(server, over))
    visitors = [asyncio.create_task(visit(server.url, over)) for _ in range(VISITORS)]
    turns = await asyncio.gather(*(hour(server.url, count) for _ in range(SESSIONS)))
    over.set()
    visits = sum(await asyncio.gather(*visitors))
    return turns, await watching, visits


def measure(effort: Effort, step: Step) -> list[Figure]:
    count = effort.of(HOUR, 20)
    asks = ("--llm", "endpoint", "--model", "stub", "--context-tokens", str(CONTEXT_TOKENS))
    with started("-m", "bench.stub") as stub, daemon(*SCRIPTED, *asks, "--base-url", stub.base_url) as server:
        step(f"{SESSIONS} sessions, {count} turns each")
        turns, seen, visits = asyncio.run(soaked(server, count))
    tenth = len(turns[0]) // 10
    pairs = [(statistics.median(each[tenth : 2 * tenth]) * 1000, statistics.median(each[-tenth:]) * 1000) for each in turns]
    memory, files = ([moment[which] for moment in seen] for which in (0, 1))
    return [
        beside("soak.turns", "ms", pairs, visits=visits, hours=SESSIONS * count / HOUR),
        beside("soak.memory", "MB", [early_and_late(memory)], most=max(memory)),
        beside("soak.files", "files", [early_and_late(files)]),
    ]


def early_and_late(seen: list[float]) -> tuple[float, float]:
    """After the first third, and at the end; each a median of a fifteenth of the time."""
    third, few = len(seen) // 3, max(1, len(seen) // 15)
    return statistics.median(seen[third : third + few]), statistics.median(seen[-few:])


if __name__ == "__main__":
    alone(measure)
