"""Whether others are kept waiting while a large video is read: one session sends it, another goes on talking.

    python -m bench.media [--effort full]

The talker appends 20 ms of sound every 20 ms, each with a small question behind it (`conversation.item.retrieve`), and measures until the
answer. Three stretches of time are told apart, of the same run and the same daemon:

  alone     nobody else is there: the floor
  sending   the video is on its way, in one frame of a third more bytes, as clients send it
  reading   it has come, and is being read until its item is acknowledged

Daemon, sender and talker are processes of their own. The daemon's engines are scripted, so nothing but the video costs anything.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from base64 import b64encode
from fractions import Fraction
from pathlib import Path

import numpy as np
from websockets.asyncio.client import connect

from bench.figures import Effort, Figure, Step, alone, beside
from bench.processes import SCRIPTED, daemon

BUDGET_MS = 20.0
"""Within which others are served while the video is read."""

MEGABYTES, LEAST_MEGABYTES = 50, 10
"""Of the clip; one that is read faster than anybody asks shows nothing."""

FRAME = b64encode(bytes(960)).decode()
"""20 ms of silence, PCM16 at 24 kHz."""

ALONE_SECONDS = 5.0


def film(path: Path, megabytes: float) -> None:
    """A clip of 1920 x 1080 in H.264, 25 frames a second, with a sound track in AAC, as large as wanted."""
    import av

    dice = np.random.default_rng(1)
    grain = [dice.integers(0, 255, (1080, 1920, 3), np.uint8) for _ in range(4)]
    with av.open(str(path), "w", "mp4") as file:
        stream = file.add_stream(
            "libx264", rate=25, width=1920, height=1080, pix_fmt="yuv420p", options={"preset": "ultrafast", "crf": "30"}
        )
        track = file.add_stream("aac", rate=48_000, layout="mono")
        assert isinstance(stream, av.VideoStream)
        assert isinstance(track, av.AudioStream)
        number, size = 0, 0
        while size < megabytes * 1e6:
            picture = (grain[number % 4] // 3 + np.uint8(number % 100)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.roll(picture, number * 7, 1), "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets = stream.encode(frame)
            size += sum(packet.size for packet in packets)
            file.mux(packets)
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1920), np.float32), "fltp", "mono")
            sound.sample_rate, sound.pts, sound.time_base = 48_000, number * 1920, Fraction(1, 48_000)
            file.mux(track.encode(sound))
            number += 1
        file.mux(stream.encode(None))
        file.mux(track.encode(None))


async def send(url: str, clip: bytes) -> None:
    """Send the video; print when it was begun, when it had gone, and when it was acknowledged."""
    part = {"type": "input_video", "video": b64encode(clip).decode()}
    frame = json.dumps({"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": [part]}})
    async with connect(url, max_size=None, proxy=None, compression=None) as socket:
        begun = time.monotonic()
        await socket.send(frame)
        gone = time.monotonic()
        kind = ""
        while kind not in ("conversation.item.done", "error"):
            event = json.loads(await socket.recv())
            kind = event["type"]
        if kind == "error":
            raise SystemExit(f"refused: {event['error']}")
        print(begun, gone, time.monotonic(), len(event["item"]["content"]), flush=True)


async def talk(url: str, until: asyncio.Event) -> list[tuple[float, float]]:
    """When each question was asked, and how long its answer took, in seconds."""
    append = json.dumps({"type": "input_audio_buffer.append", "audio": FRAME})
    answers: list[tuple[float, float]] = []
    async with connect(url, max_size=None, proxy=None, compression=None) as socket:
        item = {"id": "a", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi."}]}
        await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
        question = json.dumps({"type": "conversation.item.retrieve", "item_id": "a"})
        while json.loads(await socket.recv())["type"] != "conversation.item.done":
            pass
        while not until.is_set():
            asked = time.monotonic()
            await socket.send(append)
            await socket.send(question)
            await socket.recv()
            took = time.monotonic() - asked
            answers.append((asked, took))
            await asyncio.sleep(max(0.0, 0.02 - took))
    return answers


async def measured(url: str, path: Path) -> dict[str, list[float]]:
    """Milliseconds of every answer, by what went on meanwhile."""
    until = asyncio.Event()
    talker = asyncio.create_task(talk(url, until))
    await asyncio.sleep(ALONE_SECONDS)
    command = [sys.executable, "-m", "bench.media", "--send", url, "--file", str(path)]
    sender = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    told, _ = await sender.communicate()
    until.set()
    begun, gone, done, parts = map(float, told.split())
    assert parts > 1, "the clip was not read"
    stretches: dict[str, list[float]] = {"alone": [], "sending": [], "reading": []}
    for asked, took in await talker:
        stretch = "alone" if asked + took < begun - 0.5 else "reading" if asked > gone else "sending"
        if asked < done:
            stretches[stretch].append(took * 1000)
    return stretches


def measure(effort: Effort, step: Step) -> list[Figure]:
    worst: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder, daemon(*SCRIPTED) as server:
        step("making a clip")
        path = Path(folder) / "clip.mp4"
        film(path, effort.of(MEGABYTES, LEAST_MEGABYTES))
        for _ in range(min(effort.rounds, 3)):
            step(f"a clip of {path.stat().st_size / 1e6:.0f} MB")
            stretches = asyncio.run(measured(server.url, path))
            worst.append((max(stretches["alone"]), max(stretches["reading"])))
    medians = {stretch: statistics.median(ms) for stretch, ms in stretches.items() if ms}
    return [beside("media.worst", "ms", worst, budget=BUDGET_MS, of="value", **medians)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--send")
    parser.add_argument("--file")
    asked, _ = parser.parse_known_args()
    if asked.send:
        asyncio.run(send(asked.send, Path(asked.file).read_bytes()))
    else:
        alone(measure)
