"""A client of the OpenAI Realtime protocol (GA) in one file, over `websockets`; with `sounddevice`, microphone and speaker too.

    async with RealtimeClient("ws://localhost:8001/v1/realtime") as rt:
        await rt.send_text("What is the capital of France?")
        async for event in rt:
            match event:
                case TextDelta(text=text):
                    print(text, end="", flush=True)
                case ResponseDone():
                    break

A connection that breaks is made again, and the session goes on where the server can resume it: see `RealtimeClient`.

As a program (which is in `terminal.py`): `realtime_client.py test` tries a server, `realtime_client.py` is a conversation in the
terminal, `echo hi | realtime_client.py` and `realtime_client.py say hi` are one question and its answer. `--help` says more.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import mimetypes
import random
import re
import threading
import types
import typing
import wave
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

Json = dict[str, Any]
Function = TypeVar("Function", bound=Callable[..., Any])

URL = "ws://localhost:8001/v1/realtime"
RATE = 24_000
"""Samples a second of the protocol's PCM16, mono, both ways."""
FRAME_MS = 20
"""Milliseconds of sound that a microphone sends at once."""

SEND_SECONDS = 30.0
"""Longest that a send waits for a connection, before it is a `TimeoutError`: long enough for a restart of the server."""
FIRST_DELAY, LONGEST_DELAY = 0.25, 15.0
"""Seconds between attempts to connect: doubled each time; then half to all of it, by chance, so that not all clients come at once."""
OPEN_SECONDS = 10.0
"""Longest wait for a connection, and for the session."""
PASSING_STATUS = {408, 429, 500, 502, 503, 504}
"""What a handshake may be answered with that is worth another try, once there was a session."""
MAX_EVENTS = 2000
"""Events that wait for the application. Beyond it nothing more is read, so that memory is bounded."""
MICROPHONE_FRAMES = 500
"""Frames of a microphone that wait for the network, ten seconds; beyond it the oldest are let go."""
MAX_FRAME = 64 * 1024 * 1024
"""Bytes of an event: an item comes back with its pictures and its sound."""

TAKEN_OVER = 4001
"""Close code: a newer connection has the session, or it was deleted."""

ANSWERED_BY = {
    "session.update": "session.updated",
    "conversation.item.create": "conversation.item.added",
    "conversation.item.delete": "conversation.item.deleted",
    "response.create": "response.created",
}
"""Client events that are sent again after a break if their answer never came. Of sound that was not committed, nothing is."""


# ---------------------------------------------------------------- events


@dataclass(frozen=True, kw_only=True)
class Event:
    """Any event; those that have no class of their own come as this."""

    raw: Json = field(default_factory=dict, repr=False)
    """As the server sent it; empty for events of this client's own."""

    @property
    def type(self) -> str:
        """The protocol's name of it, `response.created` for one."""
        return str(self.raw.get("type", ""))


@dataclass(frozen=True, kw_only=True)
class TextDelta(Event):
    """More of an answer: text, or the words of what is spoken."""

    response_id: str
    item_id: str
    text: str
    spoken: bool


@dataclass(frozen=True, kw_only=True)
class AudioDelta(Event):
    """More of an answer's sound, in the session's output format: PCM16, mono, 24 kHz, unless set otherwise."""

    response_id: str
    item_id: str
    audio: bytes


@dataclass(frozen=True, kw_only=True)
class Transcript(Event):
    """What the user said in an item. Comes where the session's `audio.input.transcription` is set."""

    item_id: str
    text: str


@dataclass(frozen=True, kw_only=True)
class SpeechStarted(Event):
    """The user has begun to speak; `at_ms` in the sound that was appended."""

    item_id: str
    at_ms: int


@dataclass(frozen=True, kw_only=True)
class SpeechStopped(Event):
    """The user has finished."""

    item_id: str
    at_ms: int


@dataclass(frozen=True, kw_only=True)
class ItemDone(Event):
    """An item of the conversation is whole. Comes once for each id, whatever the server repeats after a break."""

    item_id: str
    item: Json


@dataclass(frozen=True, kw_only=True)
class ToolCall(Event):
    """The model calls a function. If it is one of `RealtimeClient.tool`'s it is run, and answered, without you."""

    response_id: str
    item_id: str
    call_id: str
    name: str
    arguments: str
    """JSON, as the model wrote it."""


@dataclass(frozen=True, kw_only=True)
class ResponseDone(Event):
    """An answer has ended."""

    response_id: str
    status: str
    """The protocol's `completed`, `cancelled`, `incomplete` or `failed`; or `lost`, where a break has swallowed its end."""
    text: str
    """All that it said."""
    message: str = ""
    """Why it failed."""


@dataclass(frozen=True, kw_only=True)
class ServerError(Event):
    """The server did not take an event of ours; `event_id` tells which. The session goes on."""

    code: str
    message: str
    event_id: str


@dataclass(frozen=True, kw_only=True)
class Reconnecting(Event):
    """The connection broke. Attempt `attempt`, from 1, is made in `delay` seconds."""

    attempt: int
    delay: float
    why: str


@dataclass(frozen=True, kw_only=True)
class Resumed(Event):
    """The session goes on. `complete`: every event that was missed has come; else the items have, and answers under way are `lost`."""

    session_id: str
    complete: bool


@dataclass(frozen=True, kw_only=True)
class StartedAnew(Event):
    """The session is gone: this is a new one, with the same settings and tools, which knows nothing of what was said before."""

    session_id: str


def event_of(raw: Json) -> Event:
    """The typed event of what a server sent."""
    part: Json = {"response_id": raw.get("response_id", ""), "item_id": raw.get("item_id", ""), "raw": raw}
    match raw["type"]:
        case "response.output_text.delta":
            return TextDelta(text=raw["delta"], spoken=False, **part)
        case "response.output_audio_transcript.delta":
            return TextDelta(text=raw["delta"], spoken=True, **part)
        case "response.output_audio.delta":
            return AudioDelta(audio=b64decode(raw["delta"]), **part)
        case "conversation.item.input_audio_transcription.completed":
            return Transcript(item_id=raw["item_id"], text=raw["transcript"], raw=raw)
        case "input_audio_buffer.speech_started":
            return SpeechStarted(item_id=raw["item_id"], at_ms=raw["audio_start_ms"], raw=raw)
        case "input_audio_buffer.speech_stopped":
            return SpeechStopped(item_id=raw["item_id"], at_ms=raw["audio_end_ms"], raw=raw)
        case "conversation.item.done":
            return ItemDone(item_id=raw["item"]["id"], item=raw["item"], raw=raw)
        case "response.function_call_arguments.done":
            return ToolCall(call_id=raw["call_id"], name=raw.get("name", ""), arguments=raw["arguments"], **part)
        case "response.done":
            response = raw["response"]
            error = (response.get("status_details") or {}).get("error") or {}
            message = error.get("message") or error.get("code") or ""
            said = " ".join(filter(None, map(words, response["output"])))
            return ResponseDone(response_id=response["id"], status=response["status"], text=said, message=message, raw=raw)
        case "error":
            error = raw["error"]
            code = error.get("code") or error.get("type") or ""
            return ServerError(code=code, message=error.get("message", ""), event_id=error.get("event_id") or "", raw=raw)
    return Event(raw=raw)


def words(item: Json) -> str:
    """What is said in an item, by text or by voice."""
    return " ".join(filter(None, (part.get("text") or part.get("transcript") or "" for part in item.get("content", []))))


# ---------------------------------------------------------------- tools

_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null", list: "array", dict: "object"}


def schema_of(kind: Any) -> Json:
    """The JSON Schema of a Python type: str, int, float, bool, None, list, dict, Literal, Annotated with a description, and unions of them.

    Raises TypeError for any other.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any or kind is inspect.Parameter.empty:
        return {}
    if origin is typing.Annotated:
        return schema_of(arguments[0]) | {"description": str(arguments[1])}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [schema_of(argument) for argument in arguments]}
    if origin is list and arguments:
        return {"type": "array", "items": schema_of(arguments[0])}
    if (origin or kind) in _NAMES:
        return {"type": _NAMES[origin or kind]}
    raise TypeError(f"{kind} has no JSON Schema here: use str, int, float, bool, list, dict, Literal, or unions of them")


def tool_of(function: Callable[..., Any]) -> Json:
    """The protocol's description of a function, by its signature and docstring.

    The docstring is the description; its lines `name: text`, where `name` is a parameter, describe that parameter.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    signature = inspect.signature(function).parameters
    parameters = {name: parameter for name, parameter in signature.items() if parameter.kind is not parameter.VAR_KEYWORD}
    about, lines = {}, []
    for line in (inspect.getdoc(function) or "").splitlines():
        found = re.match(r"\s*(\w+)(?:\s*\(.*?\))?:\s+(.+)", line)
        if found and found[1] in parameters:
            about[found[1]] = {"description": found[2]}
        elif line.strip() not in ("Args:", "Parameters:"):
            lines.append(line)
    schema = {
        "type": "object",
        "properties": {name: schema_of(hints.get(name, Any)) | about.get(name, {}) for name in parameters},
        "required": [name for name, parameter in parameters.items() if parameter.default is parameter.empty],
        "additionalProperties": len(signature) > len(parameters),
    }
    return {"type": "function", "name": function.__name__, "description": "\n".join(lines).strip(), "parameters": schema}


# ---------------------------------------------------------------- sound


class SoundMissing(RuntimeError):
    """There is no microphone or speaker, or no package to use it with; the message says which."""


def sound_device() -> Any:
    """The module `sounddevice`. Raises SoundMissing."""
    try:
        import sounddevice
    except ImportError:
        raise SoundMissing("the microphone and the speaker need the package sounddevice: pip install sounddevice") from None
    except OSError as error:
        raise SoundMissing(f"sounddevice needs the library PortAudio (Debian, Ubuntu: apt install libportaudio2): {error}") from None
    return sounddevice


class Speaker:
    """Plays PCM16, mono, at `RATE`, and knows how much of each item has been played. Raises SoundMissing where it can't."""

    def __init__(self) -> None:
        device = sound_device()
        self._lock = threading.Lock()
        self._waiting: deque[tuple[str, bytearray]] = deque()
        self._played: dict[str, int] = {}
        try:
            self._stream = device.RawOutputStream(samplerate=RATE, channels=1, dtype="int16", callback=self._fill)
            self._stream.start()
        except device.PortAudioError as error:
            raise SoundMissing(f"there is nothing to play sound with: {error}") from None

    def play(self, item_id: str, audio: bytes) -> None:
        with self._lock:
            self._waiting.append((item_id, bytearray(audio)))

    def played_ms(self, item_id: str) -> int:
        with self._lock:
            return self._played.get(item_id, 0) * 1000 // (2 * RATE)

    def hush(self) -> None:
        """Forget what was not played yet."""
        with self._lock:
            self._waiting.clear()

    def close(self) -> None:
        self._stream.close()

    def _fill(self, out: Any, frames: int, time: Any, status: Any) -> None:
        """PortAudio, on a thread of its own, wants `frames` samples."""
        missing, sound = 2 * frames, bytearray()
        with self._lock:
            while self._waiting and len(sound) < missing:
                item_id, audio = self._waiting[0]
                piece = audio[: missing - len(sound)]
                del audio[: len(piece)]
                sound += piece
                self._played[item_id] = self._played.get(item_id, 0) + len(piece)
                if not audio:
                    self._waiting.popleft()
        out[:] = bytes(sound.ljust(missing, b"\0"))


async def microphone() -> AsyncIterator[bytes]:
    """PCM16, mono, at `RATE`, in frames of 20 ms, as it comes from the default microphone. Raises SoundMissing."""
    device, loop, came = sound_device(), asyncio.get_running_loop(), asyncio.Event()
    frames: deque[bytes] = deque(maxlen=MICROPHONE_FRAMES)

    def take(data: Any, count: int, time: Any, status: Any) -> None:
        frames.append(bytes(data))
        loop.call_soon_threadsafe(came.set)

    size = RATE * FRAME_MS // 1000
    try:
        stream = device.RawInputStream(samplerate=RATE, channels=1, dtype="int16", blocksize=size, callback=take)
    except device.PortAudioError as error:
        raise SoundMissing(f"there is no microphone: {error}") from None
    with stream:
        while True:
            await came.wait()
            came.clear()
            while frames:
                yield frames.popleft()


def sound_file(path: str | Path) -> bytes:
    """What the part `input_audio` takes of a file: the samples of a WAV that has the protocol's format; any other file as it is.

    Realtime-daemon reads WAV, FLAC, OGG, MP3, M4A and WebM; OpenAI's own service takes the protocol's format alone.
    """
    data = Path(path).read_bytes()
    with suppress(wave.Error, EOFError), wave.open(str(path)) as file:
        if (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE):
            data = file.readframes(file.getnframes())
    return data


def data_uri(path: str | Path, kind: str) -> str:
    """A file as a `data:` URI; `kind` is its media type where the name does not tell."""
    return f"data:{mimetypes.guess_type(str(path))[0] or kind};base64,{b64encode(Path(path).read_bytes()).decode()}"


# ---------------------------------------------------------------- the client


class RealtimeError(ConnectionError):
    """There is no session, and there will be none without a change: a wrong key or address, or a session that another connection took."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class RealtimeClient:
    """A session. `async with` opens it; iterating gives its events; leaving closes it.

    When the connection breaks it is made again, for as long as it takes, and the session goes on: `Reconnecting`, then `Resumed`, or
    `StartedAnew` where the server does not know the session any more. What was sent and not acknowledged is sent again, once: settings,
    items (known by their ids) and wishes for an answer. A send waits for the connection, `send_seconds` at the most.

    Iterate all the time: events are kept until then, but after `MAX_EVENTS` nothing more is read.

    Raises RealtimeError, from `async with`, from the iteration and from sends, where there is no session and can be none.
    """

    def __init__(
        self, url: str = URL, *, api_key: str = "", model: str = "", play: bool = False, send_seconds: float = SEND_SECONDS, **session: Any
    ) -> None:
        """`play`: speak answers on this machine's speaker, and stop when the user speaks. `session`: settings, as for `update`."""
        parts = urlsplit(url)
        if parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise ValueError(f"{url!r} is no address of a websocket: ws://HOST:PORT/v1/realtime, or wss:// with TLS")
        if parts.path == "/ws/realtime":
            raise ValueError("/ws/realtime is another dialect of the protocol; this client speaks that of /v1/realtime, on the same server")
        self._url = parts._replace(path=parts.path if parts.path.strip("/") else "/v1/realtime")
        self._address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{self._url.path}"
        self._query = dict(parse_qsl(parts.query)) | ({"model": model} if model else {})
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._play = play
        self.send_seconds = send_seconds
        self.settings: Json = {"type": "realtime"} | session
        """All that was ever set, for a session that has to start anew."""
        self.session: Json = {}
        """As the server shows it."""
        self.session_id = self._query.pop("session_id", "")
        self.items: dict[str, Json] = {}
        """The conversation by ids, in the order in which it came."""

        self._socket: ClientConnection | None = None
        self._connection: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = asyncio.Event()
        """There is a connection whose session is up to date; or there will be none, see `_failure`."""
        self._opened = False
        self._failure: RealtimeError | None = None
        self._events: asyncio.Queue[Event | None] = asyncio.Queue(MAX_EVENTS)
        self._unanswered: dict[str, Json] = {}
        """Events of `ANSWERED_BY` by their ids, in the order in which they were sent."""
        self._last_event_id = ""
        self._barrier = ""
        """Id of the question behind which everything that was missed has come."""
        self._repeated = False
        """The server tells what is known, and so does not know what was missed."""
        self._whole: set[str] = set()
        """Items that were done."""
        self._running = ""
        """Id of the answer that is being made."""
        self._speaker: Speaker | None = None
        self._sounding, self._sound_bytes, self._sound_began = "", 0, 0.0
        """The item whose sound came last, how much, and since when."""
        self._cut: set[str] = set()
        """Items whose sound is not wanted any more."""
        self._tools: dict[str, Callable[..., Any]] = {}
        self._called: set[str] = set()

    # -- opening, closing, iterating

    async def __aenter__(self) -> Self:
        self.open_speaker()
        self._connection = asyncio.create_task(self._stay_connected())
        try:
            await self._ready.wait()
        except asyncio.CancelledError:
            await self.close()
            raise
        if self._failure:
            await self.close()
            raise self._failure
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection. The server keeps the session: `url?session_id=...` goes on with it."""
        self._fail(RealtimeError("the client was closed", "closed"))
        tasks = [*self._tasks, *([self._connection] if self._connection else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._speaker:
            self._speaker.close()

    def open_speaker(self) -> None:
        """Find what `play` needs, as `async with` does. Raises SoundMissing."""
        if self._play and not self._speaker:
            self._speaker = Speaker()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = None if self._failure and self._events.empty() else await self._events.get()
        if event is not None:
            return event
        if self._failure and self._failure.code != "closed":
            raise self._failure
        raise StopAsyncIteration

    async def answer(self) -> ResponseDone:
        """Take events until the next answer has ended, and return that."""
        async for event in self:
            if isinstance(event, ResponseDone) and not self._owes_answer(event):
                return event
        raise RealtimeError("the client was closed", "closed")

    # -- sending

    async def send(self, event: Json) -> str:
        """Send any event of the protocol; returns its `event_id`, which is made where it has none.

        Raises TimeoutError where there is no connection for `send_seconds`, and RealtimeError where there will be none.
        """
        event = {"event_id": _new_id("event"), **event}
        if event["type"] == "conversation.item.create":
            event["item"] = {"id": _new_id("item"), **event["item"]}
        while True:
            try:
                async with asyncio.timeout(self.send_seconds):
                    await self._ready.wait()
            except TimeoutError:
                raise TimeoutError(f"no connection to {self._address} for {self.send_seconds:g} s") from None
            if self._failure:
                raise self._failure
            assert self._socket
            socket = self._socket
            if event["type"] in ANSWERED_BY:
                self._unanswered[event["event_id"]] = event
            try:
                await socket.send(json.dumps(event))
            except ConnectionClosed:
                if socket is self._socket:
                    self._ready.clear()
                if event["type"] not in ANSWERED_BY:
                    continue
            return str(event["event_id"])

    async def update(self, **session: Any) -> None:
        """Change settings: `instructions`, `output_modalities`, `audio`, `tools` and so on, as in the protocol's `session.update`."""
        self.settings = _merged(self.settings, session)
        await self.send({"type": "session.update", "session": {"type": "realtime"} | session})

    async def respond(self, **response: Any) -> None:
        """Ask for an answer; `response` as in the protocol's `response.create`."""
        await self.send({"type": "response.create", "response": response})

    async def send_item(self, *content: Json, role: str = "user", respond: bool = True) -> str:
        """Add a message with these parts, and ask for an answer unless told otherwise; returns the id of the item."""
        item_id = _new_id("item")
        item = {"id": item_id, "type": "message", "role": role, "content": list(content)}
        await self.send({"type": "conversation.item.create", "item": item})
        if respond:
            await self.respond()
        return item_id

    async def send_text(self, text: str, *, respond: bool = True) -> str:
        """Say something in writing."""
        return await self.send_item(*_written(text), respond=respond)

    async def send_audio_file(self, path: str | Path, text: str = "", *, respond: bool = True) -> str:
        """Send a recording, see `sound_file`, and words beside it."""
        sound = await asyncio.to_thread(sound_file, path)
        part = {"type": "input_audio", "audio": b64encode(sound).decode()}
        return await self.send_item(part, *_written(text), respond=respond)

    async def send_image(self, path: str | Path, text: str = "", *, detail: str = "auto", respond: bool = True) -> str:
        """Show a picture. `detail`: `auto`, `low` or `high`."""
        part = {"type": "input_image", "image_url": await asyncio.to_thread(data_uri, path, "image/jpeg"), "detail": detail}
        return await self.send_item(part, *_written(text), respond=respond)

    async def send_video(self, path: str | Path, text: str = "", *, detail: str = "auto", respond: bool = True) -> str:
        """Show a clip: an addition of realtime-daemon to the protocol."""
        part = {"type": "input_video", "video": await asyncio.to_thread(data_uri, path, "video/mp4")}
        part |= {"detail": detail} if detail != "auto" else {}
        return await self.send_item(part, *_written(text), respond=respond)

    async def stream_audio(self, frames: AsyncIterable[bytes]) -> None:
        """Send sound in the session's input format (PCM16, mono, 24 kHz) as it comes; the server hears when somebody starts and stops."""
        async for frame in frames:
            await self.send({"type": "input_audio_buffer.append", "audio": b64encode(frame).decode()})

    async def stream_microphone(self) -> None:
        """Send what the microphone hears until cancelled; run it in a task. Raises SoundMissing."""
        await self.stream_audio(microphone())

    # -- interrupting

    async def cancel(self) -> None:
        """Stop the answer: what was not played of it is not spoken, and the model knows what was heard, and no more.

        What was heard is what `play` has played; without it, as much as has had time to be since its sound began to come.
        """
        if self._running:
            await self.send({"type": "response.cancel"})
        await self._truncate()

    async def _truncate(self) -> None:
        item_id, self._sounding = self._sounding, ""
        if not item_id:
            return
        self._cut.add(item_id)
        received = self._sound_bytes * 1000 // self._bytes_per_second()
        passed = int((asyncio.get_running_loop().time() - self._sound_began) * 1000)
        heard = min(self._speaker.played_ms(item_id) if self._speaker else passed, received)
        if self._speaker:
            self._speaker.hush()
        if heard < received or self._running:
            place = {"item_id": item_id, "content_index": 0, "audio_end_ms": heard}
            await self.send({"type": "conversation.item.truncate", **place})

    def _bytes_per_second(self) -> int:
        kind = self.session.get("audio", {}).get("output", {}).get("format", {}).get("type", "audio/pcm")
        return 2 * RATE if kind == "audio/pcm" else 8000

    # -- tools

    def tool(self, function: Function) -> Function:
        """Decorate a function, sync or async, that the model may call; see `tool_of` for what it is told of it.

        What it returns is the output, as JSON unless it is a string; so is what it raises. Then the next answer is asked for.
        A sync function runs in a thread.
        """
        described = tool_of(function)
        self._tools[described["name"]] = function
        others = [tool for tool in self.settings.get("tools", []) if tool.get("name") != described["name"]]
        self.settings["tools"] = [*others, described]
        if self._connection:
            self._start(self.update(tools=self.settings["tools"]))
        return function

    def _owes_answer(self, done: ResponseDone) -> bool:
        """Whether another answer follows, because this one called tools of ours."""
        items = done.raw.get("response", {}).get("output", [])
        return done.status == "completed" and any(item["type"] == "function_call" and item["name"] in self._tools for item in items)

    def _call_tools(self) -> None:
        """Run what the model called and nobody has answered."""
        answered = {item["call_id"] for item in self.items.values() if item["type"] == "function_call_output"}
        calls = [item for item in self.items.values() if item["type"] == "function_call" and item["name"] in self._tools]
        due = [call for call in calls if call["status"] == "completed" and call["call_id"] not in answered | self._called]
        if due:
            self._called |= {call["call_id"] for call in due}
            self._start(self._answer_calls(due))

    async def _answer_calls(self, calls: list[Json]) -> None:
        asked_in = self.session_id
        outputs = await asyncio.gather(*(self._call(call) for call in calls))
        if self.session_id != asked_in:  # which was never asked for them
            return
        for call, output in zip(calls, outputs, strict=True):
            item = {"type": "function_call_output", "call_id": call["call_id"], "output": output}
            await self.send({"type": "conversation.item.create", "item": item})
        await self.respond()

    async def _call(self, call: Json) -> str:
        function = self._tools[call["name"]]
        try:
            arguments = json.loads(call["arguments"] or "{}")
            if inspect.iscoroutinefunction(function):
                result = await function(**arguments)
            else:
                result = await asyncio.to_thread(function, **arguments)
            return result if isinstance(result, str) else json.dumps(result)
        except Exception as error:  # noqa: BLE001  # whatever a tool raises is for the model to know
            return json.dumps({"error": f"{type(error).__name__}: {error}"})

    # -- the connection

    async def _stay_connected(self) -> None:
        """Connect, read, and connect again, until closed or refused."""
        attempt = 0
        while True:
            try:
                async with self._connect() as socket:
                    await self._begin(socket)
                    while True:
                        await self._receive(json.loads(await socket.recv()))
                        attempt = 0
            except RealtimeError as error:
                return self._fail(error)
            except InvalidStatus as error:
                why = f"HTTP {error.response.status_code} {error.response.body.decode(errors='replace')}".strip()
                if error.response.status_code not in PASSING_STATUS:
                    return self._fail(RealtimeError(f"{self._address} refuses: {why}"))
            except ConnectionClosed as error:
                why = str(error)
                if error.rcvd and error.rcvd.code == TAKEN_OVER:
                    return self._fail(RealtimeError("another connection has this session now, or it was deleted", "session_taken_over"))
            except (OSError, WebSocketException) as error:
                why = str(error) or type(error).__name__
            self._ready.clear()
            if not self._opened:
                return self._fail(RealtimeError(f"no session at {self._address}: {why}"))
            attempt += 1
            delay = min(FIRST_DELAY * 2 ** min(attempt - 1, 10), LONGEST_DELAY)
            delay = random.uniform(delay / 2, delay)  # noqa: S311  # no secret
            await self._events.put(Reconnecting(attempt=attempt, delay=delay, why=why))
            await asyncio.sleep(delay)

    def _connect(self) -> connect:
        query = dict(self._query)
        if self.session_id:
            query["session_id"] = self.session_id
        if self.session_id and self._last_event_id:
            query["last_event_id"] = self._last_event_id
        url = urlunsplit(self._url._replace(query=urlencode(query)))
        # A proxy of the environment's is for what is elsewhere.
        proxy: Literal[True] | None = None if self._url.hostname in ("localhost", "127.0.0.1", "::1") else True
        return connect(url, additional_headers=self._headers, max_size=MAX_FRAME, open_timeout=OPEN_SECONDS, proxy=proxy)

    async def _begin(self, socket: ClientConnection) -> None:
        """Begin the session, or go on with it. Raises RealtimeError where the server refuses, ConnectionError to try again."""
        async with asyncio.timeout(OPEN_SECONDS):
            first: Json = json.loads(await socket.recv())
        if first["type"] == "error":
            error = first["error"]
            if self._opened and error.get("code") == "session_not_found":
                self.session_id = ""
                raise ConnectionError("the session is gone")
            if self._opened and error.get("type") == "server_error":
                raise ConnectionError(error.get("message"))
            raise RealtimeError(error.get("message") or "the server refuses", error.get("code") or "")
        asked, self.session_id = self.session_id, first["session"]["id"]
        self._socket, self.session, self._last_event_id = socket, first["session"], first.get("event_id", "")
        self._repeated = False
        if asked == self.session_id:
            # What was missed comes now. A question that has no answer but an error tells where it ends.
            self._barrier = _new_id("barrier")
            question = {"type": "conversation.item.retrieve", "item_id": self._barrier, "event_id": self._barrier}
            await socket.send(json.dumps(question))
        elif self._opened:
            self.items.clear()
            self._whole.clear()
            await self._go_on(StartedAnew(session_id=self.session_id, raw=first))
        else:
            await self._go_on(None)

    async def _go_on(self, news: Resumed | StartedAnew | None) -> None:
        """Say again what was not acknowledged, and let the application send."""
        assert self._socket
        if not isinstance(news, Resumed):
            update: Json = {"type": "session.update", "event_id": _new_id("event"), "session": self.settings}
            others = {id: event for id, event in self._unanswered.items() if not _of_the_old(event)}
            self._unanswered = ({update["event_id"]: update} if len(self.settings) > 1 else {}) | others
        for event in list(self._unanswered.values()):
            await self._socket.send(json.dumps(event))
        if news:
            await self._events.put(news)
        if news and self._running and not (isinstance(news, Resumed) and news.complete):
            await self._events.put(ResponseDone(response_id=self._running, status="lost", text=""))
            self._running = ""
        self._opened = True
        self._ready.set()
        self._call_tools()

    async def _receive(self, raw: Json) -> None:
        self._last_event_id = raw.get("event_id") or self._last_event_id
        self._acknowledge(raw)
        if raw["type"] == "error" and raw["error"].get("event_id") == self._barrier:
            news = Resumed(session_id=self.session_id, complete=not self._repeated) if self._opened else None
            await self._go_on(news)
        elif self._notice(raw) and self._opened:
            await self._events.put(event_of(raw))
        if raw["type"] == "response.done":
            self._call_tools()

    def _acknowledge(self, raw: Json) -> None:
        if raw["type"] == "error":
            self._unanswered.pop(raw["error"].get("event_id") or "", None)
            return
        for event_id, event in self._unanswered.items():
            if ANSWERED_BY[event["type"]] == raw["type"] and _item_id(event) == _item_id(raw):
                del self._unanswered[event_id]
                return

    def _notice(self, raw: Json) -> bool:
        """Keep what an event tells; whether it is news."""
        match raw["type"]:
            case "error":  # it had ended by itself meanwhile
                return bool(raw["error"].get("code") != "response_cancel_not_active")
            case "session.created" | "session.updated":
                self.session = raw["session"]
            case "conversation.item.added" | "conversation.item.done":
                return self._notice_item(raw["item"], whole=raw["type"].endswith("done"))
            case "conversation.item.deleted":
                self.items.pop(raw["item_id"], None)
            case "conversation.item.input_audio_transcription.completed" if raw["item_id"] in self.items:
                self.items[raw["item_id"]]["content"][raw["content_index"]]["transcript"] = raw["transcript"]
            case "response.created" if raw["response"].get("conversation_id", True):
                self._running = raw["response"]["id"]
            case "response.done" if raw["response"]["id"] == self._running:
                self._running = ""
            case "response.output_audio.delta":
                self._notice_sound(raw["item_id"], b64decode(raw["delta"]))
            case "input_audio_buffer.speech_started" if self._speaker:
                self._start(self._truncate())
        return True

    def _notice_item(self, item: Json, *, whole: bool) -> bool:
        id = item["id"]
        news = id not in (self._whole if whole else self.items)
        self._repeated |= not news
        self.items[id] = item
        if whole:
            self._whole.add(id)
        return news

    def _notice_sound(self, item_id: str, audio: bytes) -> None:
        if item_id in self._cut:
            return
        if item_id != self._sounding:
            self._sounding, self._sound_bytes, self._sound_began = item_id, 0, asyncio.get_running_loop().time()
        self._sound_bytes += len(audio)
        if self._speaker:
            self._speaker.play(item_id, audio)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside the reading. A connection that ends for good ends it, too, and is told elsewhere."""

        async def quietly() -> None:
            with suppress(ConnectionError, TimeoutError):
                await work

        task = asyncio.create_task(quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _fail(self, error: RealtimeError) -> None:
        self._failure = self._failure or error
        self._ready.set()
        with suppress(asyncio.QueueFull):  # then nobody waits
            self._events.put_nowait(None)


def _new_id(kind: str) -> str:
    return f"{kind}_{uuid4().hex[:20]}"


def _written(text: str) -> list[Json]:
    return [{"type": "input_text", "text": text}] if text else []


def _of_the_old(event: Json) -> bool:
    """Whether an event means nothing to a session that began anew: its settings are said in one, and it has no items and no calls."""
    wanted = event["type"] in ("conversation.item.create", "response.create")
    return not wanted or event.get("item", {}).get("type") == "function_call_output"


def _item_id(event: Json) -> str:
    """Which item an event is about, if any."""
    return str(event.get("item", {}).get("id") or event.get("item_id", ""))


def _merged(old: Json, new: Json) -> Json:
    """Settings with others on top: objects are merged, all else is replaced, as the server does it."""
    nested = [name for name in old.keys() & new.keys() if isinstance(old[name], dict) and isinstance(new[name], dict)]
    return old | new | {name: _merged(old[name], new[name]) for name in nested}


if __name__ == "__main__":
    from terminal import main

    main()
