"""What one process holds: idle sessions, people who talk, turns in writing.

    python bench/capacity.py [idle] [voice] [text] [--sessions 2000] [--seconds 12] [--voices 10 20 40 ...]

  idle    sessions that are connected and do nothing: memory of each, and CPU time (pings)
  voice   sessions that append 20 ms of PCM16 at 24 kHz every 20 ms, one half of it speech, to the real detector (Silero) and to scripted
          engines behind it, so that each is transcribed and answered by voice: CPU time of each, and how late the event loop is. More and
          more of them, until half of its timers are late by more than a window of the detector, or the detector is a second behind
  text    written questions, each answered when the one before has been: turns for each second of CPU time

The daemon is a process of its own; its CPU time is the kernel's count of all its threads. Clients share the machine with it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import subprocess
import sys
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

SCRIPTED = ("--llm", "scripted", "--stt", "scripted", "--tts", "scripted", "--turn-model", "words")

FRAME_SECONDS = 0.02

RATE = 24_000

SAID = "I would like to know what the weather is going to be like in the mountains tomorrow morning."

LAG_SECONDS = 0.025
"""A bucket of `realtime_loop_lag_seconds`, below a detector's window of 32 ms."""

BEHIND_SECONDS = 1.0
"""That the detector may be behind."""

KNOCKS = 10
"""Who come while others talk."""

TICKS = os.sysconf("SC_CLK_TCK")


class Daemon:
    """As seen from outside."""

    def __init__(self, pid: int, url: str) -> None:
        self.pid, self.url = pid, url

    @property
    def cpu(self) -> float:
        """Seconds, of all threads."""
        return cpu_seconds(Path(f"/proc/{self.pid}/stat"))

    @property
    def loop_cpu(self) -> float:
        """Of the one thread that the event loop has."""
        return cpu_seconds(Path(f"/proc/{self.pid}/task/{self.pid}/stat"))

    @property
    def memory(self) -> int:
        """Bytes that are resident."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(self.url.replace("ws", "http", 1).replace("/v1/realtime", "/metrics")) as page:
            return {name: float(value) for name, value in re.findall(r"^(\S+) (\S+)$", page.read().decode(), re.MULTILINE)}


def cpu_seconds(stat: Path) -> float:
    """CPU time of a process, threads that have ended among it, or of one thread: `stat` of either in /proc (proc(5))."""
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def daemon(*options: str) -> Iterator[Daemon]:
    command = [sys.executable, "-m", "realtime", "serve", "--host", "127.0.0.1", "--port", "0", "--max-sessions", "0", *SCRIPTED, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"REALTIME_LOG_LEVEL": "error"}) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if "listening" in line)
        yield Daemon(process.pid, line.split()[1])
        process.terminate()
        process.communicate()


async def enter(url: str, settings: dict[str, object] | None = None) -> ClientConnection:
    """A session, once it has begun."""
    socket = await connect(url, max_size=None, proxy=None, compression=None, open_timeout=60, ping_interval=None)
    await socket.recv()
    if settings is not None:
        await socket.send(json.dumps({"type": "session.update", "session": {"type": "realtime", **settings}}))
    return socket


async def leave(sockets: list[ClientConnection]) -> None:
    await asyncio.gather(*(socket.close() for socket in sockets))


# Idle


async def idle(server: Daemon, sessions: int, seconds: float) -> None:
    first = [await enter(server.url) for _ in range(10)]  # what is made once
    before, spent = server.memory, server.cpu
    sockets = [await enter(server.url) for _ in range(sessions)]
    each, opening = (server.memory - before) / sessions, (server.cpu - spent) / sessions
    began, spent = asyncio.get_running_loop().time(), server.cpu
    await asyncio.sleep(max(seconds, 40.0))  # two pings for each
    took = asyncio.get_running_loop().time() - began
    share = (server.cpu - spent) / took / sessions
    print(
        f"idle   {sessions} sessions: {each / 1024:.0f} KB, {share * 1e6:.0f} us of CPU a second, {opening * 1000:.2f} ms to begin",
        flush=True,
    )
    await leave([*first, *sockets])


# Voice


async def speech() -> list[str]:
    """Frames to append: a sentence, and as long a silence after it."""
    from realtime.engines.local_voice import LocalVoice

    voice = LocalVoice.load()
    pieces = [piece async for piece in voice.speak(SAID, voice="alloy", speed=1.0)]
    await voice.close()
    frame = int(RATE * FRAME_SECONDS)
    sound = np.concatenate(pieces)
    samples = np.concatenate([sound, np.zeros_like(sound)])
    whole = [samples[start : start + frame].tobytes() for start in range(0, len(samples) - frame, frame)]
    return [json.dumps({"type": "input_audio_buffer.append", "audio": b64encode(piece).decode()}) for piece in whole]


async def talk(socket: ClientConnection, frames: list[str], start: int, until: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    due, at = loop.time() + (start % 20) / 1000, start
    with suppress(ConnectionClosed):
        while not until.is_set():
            await socket.send(frames[at % len(frames)])
            at, due = at + 1, due + FRAME_SECONDS
            await asyncio.sleep(max(0.0, due - loop.time()))


async def listen(socket: ClientConnection) -> None:
    with suppress(ConnectionClosed):
        async for _ in socket:
            pass


async def knocked(server: Daemon) -> int:
    """How many of `KNOCKS` are not let in, for the server has too much to do (503)?"""
    refused = 0
    for _ in range(KNOCKS):
        try:
            await leave([await enter(server.url)])
        except InvalidStatus as error:
            if error.response.status_code != 503:
                raise
            refused += 1
    return refused


async def voices(server: Daemon, frames: list[str], count: int, seconds: float) -> bool:
    """Are so many served in time?"""
    sockets = [await enter(server.url) for _ in range(count)]
    until = asyncio.Event()
    tasks = [asyncio.create_task(listen(socket)) for socket in sockets]
    tasks += [asyncio.create_task(talk(socket, frames, number * 37, until)) for number, socket in enumerate(sockets)]
    await asyncio.sleep(2.0)
    loop = asyncio.get_running_loop()
    before, began, spent, held = server.metrics(), loop.time(), server.cpu, server.loop_cpu
    await asyncio.sleep(seconds)
    after, took, spent, held = server.metrics(), loop.time() - began, server.cpu - spent, server.loop_cpu - held
    refused = await knocked(server)
    until.set()
    await leave(sockets)
    await asyncio.gather(*tasks)

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    late = 1 - grown(f'realtime_loop_lag_seconds_bucket{{le="{LAG_SECONDS}"}}') / grown("realtime_loop_lag_seconds_count")
    heard, behind = grown('realtime_audio_seconds_total{direction="in"}') / took, after["realtime_detector_backlog_seconds"]
    turns = sum(value - before.get(name, 0) for name, value in after.items() if name.startswith("realtime_turns_total"))
    print(
        f"voice  {count:4} talk: {spent / took:.2f} cores, {spent / took / count * 1000:.1f} ms of CPU a second each, "
        f"the loop's thread {held / took / count * 1000:.1f}; "
        f"{heard:.1f} s of sound a second, {turns:.0f} turns; {late:.1%} of timers later than {LAG_SECONDS * 1000:.0f} ms, "
        f"detector {behind:.2f} s behind; {refused} of {KNOCKS} newcomers are refused",
        flush=True,
    )
    return late < 0.5 and behind < BEHIND_SECONDS and heard > 0.95 * count


# Text


async def write(socket: ClientConnection, until: asyncio.Event) -> int:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What is the capital of France?"}]}
    ask = json.dumps({"type": "conversation.item.create", "item": item})
    respond = json.dumps({"type": "response.create", "response": {"output_modalities": ["text"]}})
    turns = 0
    while not until.is_set():
        await socket.send(ask)
        await socket.send(respond)
        while '"rate_limits.updated"' not in str(await socket.recv()):
            pass
        turns += 1
    return turns


async def text(server: Daemon, seconds: float) -> None:
    sockets, until = [await enter(server.url, {"truncation": "auto"}) for _ in range(20)], asyncio.Event()
    spent = server.cpu
    asyncio.get_running_loop().call_later(seconds, until.set)
    turns = sum(await asyncio.gather(*(write(socket, until) for socket in sockets)))
    spent = server.cpu - spent
    print(f"text   {turns} turns in {seconds:g} s: {turns / spent:.0f} a second of CPU, {spent / turns * 1000:.2f} ms each", flush=True)
    await leave(sockets)


async def main(questions: list[str], sessions: int, seconds: float, counts: list[int]) -> None:
    print(f"{platform.machine()}, Python {platform.python_version()}, {os.cpu_count()} cores")
    if "idle" in questions:
        with daemon("--vad", "scripted") as server:
            await idle(server, sessions, seconds)
    if "text" in questions:
        with daemon("--vad", "scripted") as server:
            await text(server, seconds)
    if "voice" in questions:
        frames = await speech()
        with daemon("--vad", "silero") as server:
            for count in counts:
                if not await voices(server, frames, count, seconds):
                    break


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", nargs="*", default=["idle", "voice", "text"])
    parser.add_argument("--sessions", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--voices", type=int, nargs="+", default=[1, 10, 20, 40, 60, 80, 120, 160])
    asked = parser.parse_args()
    asyncio.run(main(asked.questions, asked.sessions, asked.seconds, asked.voices))
