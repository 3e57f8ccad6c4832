"""What CPU does a second of streamed audio cost the daemon, with server VAD on? Beside decoding, resampling and detecting it alone.

    python -m bench.audio_ingest [--effort full]

Two floors. `bulk` reads the same events from a list, as fast as it can: msgspec decodes the base64, soxr makes 16 kHz of the 24, Silero
scores windows, three in a call. `paced` is the same behind a bare websocket and in real time, so that it is woken up for each append as
the daemon is; on a machine with little to do, waking up costs more than the work. The budget is over bulk.

Sessions send in real time, as microphones do, each at its own moment: in appends of 20 ms, as most clients, and of 100 ms. What they send
is the noise of a room, so that nothing is measured but listening.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from base64 import b64encode

import msgspec
import numpy as np
from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from bench.figures import Effort, Figure, Step, alone, beside
from bench.processes import Server, daemon, started
from realtime.engines.silero import CONTEXT, SileroVad
from realtime.media.pcm import from_bytes, to_float
from realtime.media.resample import Resampler
from realtime.ports import EAR_RATE, VAD_WINDOW, Float32, VadStream

BUDGET = 1.5
"""For appends of 20 ms."""

RATE = 24_000
LOOP_SECONDS = 3.0
"""Length of the noise, which is sent over and over."""

CALL_WINDOWS = 3
"""Windows that the floor's detector scores at once: what makes sense for one session, which should not wait longer than that."""

WARM_SECONDS = 0.5

LOOK_SECONDS = 0.2
"""For which a server has to be at rest to be done."""
PATIENCE = 20.0
"""Seconds for that."""

FULL = ((1, 20), (10, 20), (50, 20), (100, 20), (1, 100), (10, 100), (100, 100))
"""Sessions, and milliseconds of each append."""
SHORT = ((1, 20), (10, 20))

ENGINES = ("--llm", "scripted", "--stt", "scripted", "--tts", "none", "--turn-model", "words")

DETECTION = {"type": "session.update", "session": {"type": "realtime", "audio": {"input": {"turn_detection": {"type": "server_vad"}}}}}


def events(ms: int) -> list[str]:
    """Appends of so many milliseconds each."""
    noise = (np.random.default_rng(1).standard_normal(round(RATE * LOOP_SECONDS)) * 30).astype(np.int16)
    size = RATE * ms // 1000
    pieces = (noise[start : start + size].tobytes() for start in range(0, len(noise) // size * size, size))
    return [json.dumps({"type": "input_audio_buffer.append", "audio": b64encode(piece).decode()}) for piece in pieces]


# The floors


class Append(msgspec.Struct, tag="input_audio_buffer.append"):
    audio: bytes


class Listener:
    """All that listening takes."""

    def __init__(self, detector: VadStream) -> None:
        self._decode = msgspec.json.Decoder(Append).decode
        self._resampler = Resampler(RATE, EAR_RATE, "QQ")
        self._detector = detector
        self._waiting: list[Float32] = []
        self._held = CONTEXT

    def hear(self, frame: str | bytes) -> None:
        sound = self._resampler.push(to_float(from_bytes(self._decode(frame).audio)))
        self._waiting.append(sound)
        self._held += len(sound)
        if self._held >= CALL_WINDOWS * VAD_WINDOW:
            self._detector.score(np.concatenate(self._waiting))
            self._waiting, self._held = [], self._held % VAD_WINDOW


def bulk(seconds: float, ms: int) -> None:
    """Print milliseconds of CPU for each second of sound."""
    listener, frames = Listener(SileroVad().open()), events(ms)
    begun = 0.0
    for count in range(round((seconds + WARM_SECONDS) * 1000 / ms)):
        if count == round(WARM_SECONDS * 1000 / ms):
            begun = time.process_time()
        listener.hear(frames[count % len(frames)])
    print((time.process_time() - begun) * 1000 / seconds)


async def paced() -> None:
    """The same behind a bare websocket, where each append wakes the process up."""
    detector = SileroVad()

    async def handle(socket: ServerConnection) -> None:
        listener = Listener(detector.open())
        await socket.recv()
        await socket.send('{"type":"session.updated"}')
        async for frame in socket:
            listener.hear(frame)

    async with serve(handle, "127.0.0.1", 0, compression=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.Event().wait()


def bulk_ms(seconds: float, ms: int) -> float:
    command = [sys.executable, "-m", "bench.audio_ingest", "--bulk", str(seconds), "--ms", str(ms)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


# The server


class Sent:
    """What all sessions have sent so far: a server that is overrun lets them wait."""

    seconds = 0.0


async def stream(socket: ClientConnection, frames: list[str], ms: int, offset: float, until: float, sent: Sent) -> None:
    """Send in real time; `offset` and `until` are on the loop's clock."""
    loop, count = asyncio.get_running_loop(), 0
    while (due := offset + count * ms / 1000) < until and loop.time() < until:
        await asyncio.sleep(max(0.0, due - loop.time()))
        await socket.send(frames[count % len(frames)])
        sent.seconds += ms / 1000
        count += 1


async def served_ms(server: Server, sessions: int, ms: int, seconds: float) -> tuple[float, float]:
    """Milliseconds of the server's CPU for each second of sound, and seconds that it was behind at the end.

    What it was behind with is waited for, or a server that is overrun would look as if it were cheap.
    """
    sent = Sent()
    frames, loop = events(ms), asyncio.get_running_loop()
    sockets = [await connect(server.url, proxy=None, compression=None) for _ in range(sessions)]
    for socket in sockets:
        await socket.send(json.dumps(DETECTION))
        while json.loads(await socket.recv())["type"] != "session.updated":
            pass
    now = loop.time()
    until = now + WARM_SECONDS + seconds
    streams = [
        asyncio.create_task(stream(socket, frames, ms, now + index * ms / 1000 / sessions, until, sent))
        for index, socket in enumerate(sockets)
    ]
    await asyncio.sleep(WARM_SECONDS)
    before, heard = server.cpu_ns(), sent.seconds
    await asyncio.sleep(max(0.0, until - loop.time()))
    for task in streams:
        await task
    ended, heard = loop.time(), sent.seconds - heard
    while await busy(server) and loop.time() < ended + PATIENCE:
        pass
    spent, behind = server.cpu_ns() - before, loop.time() - ended - LOOK_SECONDS
    for socket in sockets:
        await socket.close()
    return spent / 1e6 / heard, behind


async def busy(server: Server) -> bool:
    """Does it use a tenth of a core, or more?"""
    before = server.cpu_ns()
    await asyncio.sleep(LOOK_SECONDS)
    return server.cpu_ns() - before > LOOK_SECONDS * 1e9 / 10


def measure(effort: Effort, step: Step) -> list[Figure]:
    plan = FULL if effort.full else SHORT
    figures = []
    seconds = max(1.0, 2 * effort.share)
    with started("-m", "bench.audio_ingest", "--paced") as bare, daemon(*ENGINES) as server:
        for sessions, ms in plan:
            step(f"{sessions} sessions, {ms} ms")
            rounds, late = [], 0.0
            for _ in range(min(effort.rounds, 3)):
                least, (floor, _) = bulk_ms(4 * seconds, ms), asyncio.run(served_ms(bare, sessions, ms, seconds))
                value, behind = asyncio.run(served_ms(server, sessions, ms, seconds))
                rounds.append((least, floor, value))
                late = max(late, behind)
            name, cores = f"audio_ingest.{sessions}x{ms}ms", statistics.median(value for *_, value in rounds) * sessions / 1000
            budget = BUDGET if ms == 20 else None
            pairs = [(least, value) for least, _, value in rounds]
            over_bulk = beside(name, "ms/s", pairs, budget=budget, cores=cores, seconds_behind=late)
            figures.append(replace(over_bulk, portable=False))  # how dear it is to be woken up, machines differ in
            figures.append(beside(f"{name}.paced", "ms/s", [(floor, value) for _, floor, value in rounds]))
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--bulk", type=float)
    parser.add_argument("--ms", type=int)
    parser.add_argument("--paced", action="store_true")
    asked, _ = parser.parse_known_args()
    if asked.bulk:
        bulk(asked.bulk, asked.ms)
    elif asked.paced:
        asyncio.run(paced())
    else:
        alone(measure)
