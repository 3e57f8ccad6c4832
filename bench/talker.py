"""A client that talks in real time: it appends 20 ms of sound every 20 ms, be it speech or silence, and notes when it was told what.

A sample is spoken at the moment when the microphone would have heard it, whenever its frame is sent: if the client's process is late,
that is part of what is measured, as it would be for the person.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from base64 import b64encode
from collections import deque
from collections.abc import AsyncIterator

import msgspec
import numpy as np
from msgspec import UNSET, Struct, UnsetType
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect

from bench.figures import Unavailable
from bench.stub import FIRST_CLAUSE

Int16 = NDArray[np.int16]

RATE = 24_000

FRAME_SECONDS = 0.02
FRAME = round(RATE * FRAME_SECONDS)

SILENCE_MS = 500
"""That ends a turn: the protocol's default."""

PATIENCE = 60.0
"""Seconds for one turn; a server that takes longer has broken down."""

LEVEL = 0.2
"""Of the loudest 10 ms: what is softer at either end of a recording is cut off. Then there is no doubt about the last spoken sample: with a
tail that dies away, some detectors are done 250 ms before others, and a late one would look like a slow server."""


class Told(Struct):
    """What is read of a server event."""

    type: str
    delta: str | UnsetType = UNSET
    audio_start_ms: int = 0
    audio_end_ms: int = 0
    transcript: str | None = None
    error: msgspec.Raw = msgspec.Raw(b"")
    response: msgspec.Raw = msgspec.Raw(b"")


_decode = msgspec.json.Decoder(Told).decode


def frame(sound: Int16) -> str:
    return json.dumps({"type": "input_audio_buffer.append", "audio": b64encode(sound.tobytes()).decode()})


SILENT = frame(np.zeros(FRAME, np.int16))


def frames(sound: Int16) -> list[str]:
    """A sound as events of 20 ms, the last one filled up with silence."""
    whole = np.concatenate([sound, np.zeros(-len(sound) % FRAME, np.int16)])
    return [frame(whole[start : start + FRAME]) for start in range(0, len(whole), FRAME)]


def utterances(count: int, shortest: float = 1.2, longest: float = 3.0) -> list[Int16]:
    """What a person says, by recordings of one: PCM at `RATE`, from their first spoken sample to their last. Raises `Unavailable`."""
    import pytest

    from tests.rigs.recordings import recordings
    from tests.rigs.sounds import voice

    try:
        known = [recording for recording in recordings() if shortest <= recording.seconds <= longest]
    except pytest.skip.Exception as error:
        raise Unavailable(str(error)) from None
    chosen = [known[index * len(known) // count] for index in range(count)] if count <= len(known) else known
    return [trimmed(voice(recording.audio)) for recording in chosen]


def trimmed(sound: Int16) -> Int16:
    step = RATE // 100
    levels = np.sqrt(np.mean(sound[: len(sound) // step * step].reshape(-1, step).astype(np.float64) ** 2, axis=1))
    loud = np.flatnonzero(levels > levels.max() * LEVEL)
    return sound[loud[0] * step : (loud[-1] + 1) * step]


class Turn(Struct):
    """When things of one turn happened, on the loop's clock, in seconds. 0: not yet, or never."""

    spoken: float = 0.0
    """Its last spoken sample."""
    started: float = 0.0
    """`speech_started` came."""
    stopped: float = 0.0
    """`speech_stopped` came."""
    transcribed: float = 0.0
    first_token: float = 0.0
    clause: float = 0.0
    """The token came that shows the first clause to be whole."""
    first_sound: float = 0.0
    last_sound: float = 0.0
    done: float = 0.0
    status: str = ""
    text: str = ""
    start_ms: int = 0
    """Where it began, as the server says, its prefix padding included."""
    sound_bytes: int = 0

    @property
    def legs(self) -> dict[str, float]:
        """Milliseconds of each part of the wait, in order. Negative where the next did not wait for the one before."""
        marks = [self.spoken + SILENCE_MS / 1000, self.stopped, self.transcribed, self.first_token, self.clause, self.first_sound]
        names = ("detector_hold", "transcript", "first_token", "first_clause", "first_sound")
        return {name: (marks[index + 1] - marks[index]) * 1000 for index, name in enumerate(names)}

    @property
    def wait(self) -> float:
        """Milliseconds from the last spoken sample to the first sound of the answer."""
        return (self.first_sound - self.spoken) * 1000


class Talker:
    """One session. Use `talker`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[str] = deque()
        self._sent = 0
        """Frames so far."""
        self._changed = asyncio.Condition()
        self.began = 0.0
        """When its first sample was spoken, on the loop's clock."""
        self.turn = Turn()
        """That which goes on, or was the last."""

    async def say(self, words: list[str], samples: int) -> Turn:
        """Begin a turn with these frames, the last of which may be silent in part; return at once with the turn."""
        self.turn = Turn(spoken=self.began + (self._sent + len(self._waiting)) * FRAME_SECONDS + samples / RATE)
        self._waiting.extend(words)
        return self.turn

    async def heard(self, what: str) -> None:
        """Wait until that field of the turn is known. Raises `TimeoutError`."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(lambda: getattr(self.turn, what)), PATIENCE)

    async def stream(self) -> None:
        """Send a frame whenever one has been spoken."""
        self.began = self._loop.time()
        while True:
            self._sent += 1
            due = self.began + self._sent * FRAME_SECONDS - self._loop.time()
            if due > 0:
                await asyncio.sleep(due)
            await self._socket.send(self._waiting.popleft() if self._waiting else SILENT)

    async def listen(self) -> None:
        async for message in self._socket:
            if self._note(_decode(message), self._loop.time()):
                async with self._changed:
                    self._changed.notify_all()

    def _note(self, told: Told, now: float) -> bool:
        """Enter an event into the turn; return whether somebody may wait for it."""
        turn = self.turn
        match told.type:
            case "input_audio_buffer.speech_started":
                turn.started, turn.start_ms = now, told.audio_start_ms
            case "input_audio_buffer.speech_stopped":
                turn.stopped = now
            case "conversation.item.input_audio_transcription.completed":
                turn.transcribed = now
            case "response.output_audio_transcript.delta":
                turn.first_token = turn.first_token or now
                turn.text += told.delta or ""
                if not turn.clause and len(turn.text) > len(FIRST_CLAUSE):
                    turn.clause = now
                return False
            case "response.output_audio.delta":
                turn.first_sound, turn.last_sound = turn.first_sound or now, now
                turn.sound_bytes += len(told.delta or "") * 3 // 4
            case "response.done":
                turn.done, turn.status = now, msgspec.json.decode(told.response)["status"]
            case "error":
                raise SystemExit(f"refused: {bytes(told.error).decode()}")
            case _:
                return False
        return True


@contextlib.asynccontextmanager
async def talker(url: str, delay: float = 0.0) -> AsyncIterator[Talker]:
    """A session that hears 20 ms of sound every 20 ms inside, beginning after `delay` seconds."""
    transcription = {"model": "whisper-1"}
    detection = {"type": "server_vad", "silence_duration_ms": SILENCE_MS}
    session = {"type": "realtime", "audio": {"input": {"turn_detection": detection, "transcription": transcription}}}
    async with connect(url, max_size=None, proxy=None, compression=None) as socket:
        await socket.send(json.dumps({"type": "session.update", "session": session}))
        made = Talker(socket)
        listening = asyncio.create_task(made.listen())
        await asyncio.sleep(delay)
        streaming = asyncio.create_task(made.stream())
        await asyncio.sleep(0)
        try:
            yield made
        finally:
            for task in (streaming, listening):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
