"""People who come, talk or write, and go: a crowd as a server has it in an hour, for bench/soak_hour.py.

Two of three talk: human speech and silence in appends of 20 ms, in real time; every eighth turn speaks into the answer. One of three
writes; every tenth question has a picture, every tenth answer is cancelled. Before every twelfth turn the line breaks, and they go on with
their session. Nobody stays for longer than eight minutes, most for one or two; one of ten leaves without a goodbye.
"""

from __future__ import annotations

import asyncio
import io
import json
import random
from base64 import b64encode
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress

import msgspec
import numpy as np
from msgspec import UNSET, Struct, UnsetType
from PIL import Image
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench.talker import FRAME_SECONDS, RATE, SILENCE_MS, SILENT, Int16, frames

LONGEST_STAY, USUAL_STAY = 480.0, 90.0
"""Seconds."""

PATIENCE = 30.0
"""Seconds for an answer; whoever waits longer has lost a turn."""

THINKING = (0.3, 1.2)
"""Seconds before somebody writes or speaks again, from the least to the most."""

INTERRUPTED, SHOWN, CANCELLED, BROKEN, SILENT_LEAVE = 8, 10, 10, 12, 10
"""One of so many."""

EXPECTED = "response_cancel_not_active"
"""The error that whoever cancels must reckon with: the answer had ended."""


class Told(Struct):
    """What is read of a server event."""

    type: str
    event_id: str = ""
    delta: str | UnsetType = UNSET
    session: msgspec.Raw = msgspec.Raw(b"{}")
    response: msgspec.Raw = msgspec.Raw(b"{}")
    error: msgspec.Raw = msgspec.Raw(b"{}")


_told = msgspec.json.Decoder(Told).decode


class Tally:
    """What came of it."""

    def __init__(self) -> None:
        self.voice: list[float] = []
        """Milliseconds from the last spoken sample to the first sound of the answer."""
        self.text: list[float] = []
        """Milliseconds from a written question to the end of its answer."""
        self.counts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        """Codes, and how a turn or a connection went wrong."""


class Person:
    """One session. `live` it."""

    def __init__(self, url: str, dice: random.Random, tally: Tally) -> None:
        self._url, self._dice, self._tally = url, dice, tally
        self._session, self._last = "", ""
        self._socket: ClientConnection | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._waiting: deque[str] = deque()
        """Frames that will have been spoken."""
        self._spoken = 0.0
        """When the last sample of them will have been."""
        self._first_sound = self._sound = 0.0
        """When the answer was first heard, and its seconds."""
        self._sounded, self._created, self._ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._status = ""

    async def live(self, speech: list[Int16], may_stay: Callable[[], bool]) -> None:
        """Come, stay for a while as long as one may, and go. With nothing to say they write."""
        until = _now() + min(LONGEST_STAY, 5 + self._dice.expovariate(1 / USUAL_STAY))
        try:
            await self._come(speaks=bool(speech))
            while _now() < until and may_stay():
                await asyncio.sleep(self._dice.uniform(*THINKING))
                if self._one_of(BROKEN):
                    await self._break_off()
                    await self._come(speaks=bool(speech))
                await (self._speak(self._dice.choice(speech)) if speech else self._write())
            self._tally.counts["stays"] += 1
        except TimeoutError:
            self._tally.errors["no answer in time"] += 1
        except (OSError, ConnectionClosed) as error:
            self._tally.errors[f"connection: {type(error).__name__}"] += 1
        finally:
            await (self._break_off() if self._one_of(SILENT_LEAVE) else self._leave())

    def _one_of(self, many: int) -> bool:
        return self._dice.randrange(many) == 0

    # Connections

    async def _come(self, *, speaks: bool) -> None:
        """For the first time, or back."""
        back = f"?session_id={self._session}&last_event_id={self._last}" if self._session else ""
        self._created.clear()
        self._socket = await connect(self._url + back, max_size=None, proxy=None, compression=None, open_timeout=PATIENCE)
        self._tally.counts["came back" if back else "came"] += 1
        self._tasks = [asyncio.create_task(self._listen(self._socket))]
        if not back:
            heard = {"turn_detection": {"type": "server_vad", "silence_duration_ms": SILENCE_MS}, "transcription": {"model": "whisper-1"}}
            ways = {"audio": {"input": heard}} if speaks else {"output_modalities": ["text"]}
            await self._send({"type": "session.update", "session": {"type": "realtime", **ways}})
        if speaks:
            self._tasks.append(asyncio.create_task(self._stream(self._socket)))

    async def _break_off(self) -> None:
        if self._socket is not None:
            self._socket.transport.abort()
        await self._leave()

    async def _leave(self) -> None:
        for task in self._tasks[1:]:
            task.cancel()
        if self._socket is not None:
            await self._socket.close()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                self._tally.errors[f"client: {result!r}"] += 1

    async def _send(self, event: dict[str, object]) -> None:
        assert self._socket is not None
        await self._socket.send(json.dumps(event))

    async def _stream(self, socket: ClientConnection) -> None:
        """Send a frame whenever one has been spoken."""
        due = _now()
        with suppress(ConnectionClosed):
            while True:
                due += FRAME_SECONDS
                await asyncio.sleep(max(0.0, due - _now()))
                await socket.send(self._waiting.popleft() if self._waiting else SILENT)

    async def _listen(self, socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            async for message in socket:
                self._note(_told(message))

    def _note(self, told: Told) -> None:
        self._last = told.event_id or self._last
        match told.type:
            case "session.created":
                self._session = msgspec.json.decode(told.session)["id"]
            case "response.created":
                self._created.set()
                self._sounded.clear()
                self._ended.clear()
            case "response.output_audio.delta":
                if not self._sounded.is_set():
                    self._first_sound, self._sound = _now(), 0.0
                    self._sounded.set()
                self._sound += len(told.delta or "") * 3 / 8 / RATE
            case "response.done":
                self._status = msgspec.json.decode(told.response)["status"]
                self._tally.counts[f"answers {self._status}"] += 1
                self._ended.set()
            case "error":
                code = msgspec.json.decode(told.error)["code"]
                self._tally.errors.update([code] if code != EXPECTED else [])

    async def _answered(self) -> None:
        await asyncio.wait_for(self._ended.wait(), PATIENCE)
        if self._status not in ("completed", "cancelled"):
            self._tally.errors[f"answer {self._status}"] += 1

    # Turns

    async def _speak(self, sound: Int16) -> None:
        self._expect()
        self._spoken = _now() + len(sound) / RATE
        self._waiting.extend(frames(sound))
        await asyncio.wait_for(self._sounded.wait(), PATIENCE)
        if self._first_sound > self._spoken:  # else a pause within was taken for the end
            self._tally.voice.append((self._first_sound - self._spoken) * 1000)
        if self._one_of(INTERRUPTED):
            self._tally.counts["interruptions"] += 1
            await asyncio.sleep(0.2)
            return
        await self._answered()
        await asyncio.sleep(self._sound)

    async def _write(self) -> None:
        content: list[dict[str, object]] = [{"type": "input_text", "text": "Where can I find the nearest station, and is it far?"}]
        if self._one_of(SHOWN):
            content.append({"type": "input_image", "image_url": picture(self._dice.randrange(1000))})
            self._tally.counts["pictures"] += 1
        self._expect()
        asked, cancel = _now(), self._one_of(CANCELLED)
        await self._send({"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": content}})
        await self._send({"type": "response.create"})
        await asyncio.wait_for(self._created.wait(), PATIENCE)
        if cancel:
            await self._send({"type": "response.cancel"})
        await self._answered()
        if not cancel and len(content) == 1:
            self._tally.text.append((_now() - asked) * 1000)

    def _expect(self) -> None:
        for event in (self._created, self._sounded, self._ended):
            event.clear()


def picture(seed: int) -> str:
    """The data URI of a photograph's like, 100 KB."""
    coarse = np.random.default_rng(seed).integers(0, 256, (60, 80, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((800, 600), Image.Resampling.BICUBIC).save(file, "JPEG", quality=92)
    return "data:image/jpeg;base64," + b64encode(file.getvalue()).decode()


def _now() -> float:
    return asyncio.get_running_loop().time()
