"""Engines that follow a script: for tests, benchmarks and demonstrations without a model.

They implement the ports with nothing but arithmetic, so that what surrounds them can be watched alone. What they answer is a list or a
function, when they answer is a delay in seconds or a gate to wait for, and failing is an answer like any other. Without a script they
make a sensible conversation: a detector that hears loudness, an ear that hears one sentence, a model that echoes, a voice that hums.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any, TypeVar, assert_never

import numpy as np
from msgspec import Raw

from realtime.errors import EngineError, MediaError
from realtime.media.readings import Picture, Reading, Wanted
from realtime.ports import (
    EAR_RATE,
    VAD_WINDOW,
    ArgumentsDelta,
    AudioDelta,
    CallBegan,
    Finished,
    Float32,
    Int16,
    LlmEvent,
    LlmRequest,
    TextDelta,
    TokenUsage,
    Transcript,
)
from realtime.wire.items import (
    Audio,
    FunctionCall,
    FunctionCallOutput,
    Image,
    InputAudio,
    InputImage,
    InputText,
    InputVideo,
    Item,
    ListedTool,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpListTools,
    Message,
    OutputAudio,
    OutputText,
    Part,
    Text,
    Video,
)
from realtime.wire.mcp import McpTool

Gate = Callable[[], Awaitable[object]]
"""Awaited where it stands, e.g. the `wait` of an `asyncio.Event`."""

Step = str | float | Gate | EngineError | AudioDelta | CallBegan | ArgumentsDelta | Finished
"""Of an answer: a piece of text or sound, a pause in seconds, a gate, a failure, part of a tool call, or another end than `stop`."""

Answer = str | EngineError | Sequence[Step]
"""A `str` is streamed word by word, an `EngineError` is raised, steps are followed one by one."""

MAX_REMEMBERED = 1000
"""Requests that a scripted engine keeps for whoever asks. A benchmark makes more, and must not be measured by its memory."""

SENTENCE = "Hello, can you hear me?"
"""What `ScriptedStt` hears without a script."""

SPEECH_LEVEL = 0.02
"""Root mean square that counts as speech, -34 dB of full scale: between the noise of a quiet room and a voice at a microphone."""

TONE_HZ = 220.0
TONE_LEVEL = 0.1
"""The hum of `ScriptedTts`: audible, not unpleasant, and loud enough to be speech for `ScriptedVad`."""

TONE_SECONDS = 0.1
"""Sound of one chunk."""

FADE_SECONDS = 0.01
"""At either end of a clause, so that the hum doesn't click."""

GREY = Picture(b"", 1, 1, "PNG")
"""What `ScriptedReader` reads without a script."""

Scripted = TypeVar("Scripted")


def _next(script: deque[Scripted], otherwise: Scripted) -> Scripted:
    return script.popleft() if script else otherwise


def _words(text: str) -> list[str]:
    """Pieces that make up the text, a word each with the space before it."""
    return re.findall(r"\s*\S+(?:\s+$)?", text)


def _text(part: Part) -> str:
    match part:
        case InputText(text=text) | OutputText(text=text) | Text(text=text):
            return text
        case InputAudio(transcript=transcript) | OutputAudio(transcript=transcript) | Audio(transcript=transcript):
            return transcript or ""
        case InputImage() | InputVideo() | Image() | Video():
            return ""
        case _:
            assert_never(part)


def _said(item: Item) -> str:
    match item:
        case Message(content=content):
            return " ".join(filter(None, map(_text, content)))
        case FunctionCall(arguments=arguments):
            return arguments
        case FunctionCallOutput(output=output):
            return output
        case McpCall(output=output):
            return output or ""
        case McpListTools() | McpApprovalRequest() | McpApprovalResponse():
            return ""
        case _:
            assert_never(item)


def _is_from_user(item: Item) -> bool:
    return isinstance(item, FunctionCallOutput | McpCall) or (isinstance(item, Message) and item.role == "user")


def echo(request: LlmRequest) -> str:
    """The default answer: says what was said last."""
    said = [_said(item) for item in request.items if _is_from_user(item)]
    return f"You said: {said[-1]}" if said and said[-1] else "I am listening."


class ScriptedLlm:
    """Implements `ports.Llm`. `answers` are given in order, then `otherwise`; a function is asked for every answer."""

    sees = True

    def __init__(
        self,
        answers: Iterable[Answer] | Callable[[LlmRequest], Answer] = (),
        *,
        otherwise: Callable[[LlmRequest], Answer] = echo,
        first_delay: float = 0.0,
        token_delay: float = 0.0,
        name: str = "scripted",
    ) -> None:
        """`first_delay` is waited before an answer, `token_delay` before each of its pieces; both in seconds."""
        self.name = name
        self.requests: deque[LlmRequest] = deque(maxlen=MAX_REMEMBERED)
        """What was asked, oldest first."""
        self.streaming = 0
        """Answers that are under way: 0 again when every stream was read to its end or closed."""
        self._otherwise = answers if callable(answers) else otherwise
        self._answers: deque[Answer] = deque(() if callable(answers) else answers)
        self._first_delay, self._token_delay = first_delay, token_delay

    async def stream(self, request: LlmRequest) -> AsyncIterator[LlmEvent]:
        self.requests.append(request)
        answer = self._answers.popleft() if self._answers else self._otherwise(request)
        self.streaming += 1
        try:
            await _pause(self._first_delay)
            async with aclosing(self._follow(request, _steps(answer))) as events:
                async for event in events:
                    yield event
        finally:
            self.streaming -= 1

    async def close(self) -> None:
        """Nothing to release."""

    async def _follow(self, request: LlmRequest, steps: Sequence[Step]) -> AsyncGenerator[LlmEvent, None]:
        pieces = 0
        for step in steps:
            match step:
                case Finished():
                    yield step
                    return
                case AudioDelta() | CallBegan() | ArgumentsDelta():
                    yield step
                case str():
                    await _pause(self._token_delay)
                    pieces += 1
                    yield TextDelta(step)
                case _:
                    await _obey(step)
        yield Finished("stop", TokenUsage(_input_tokens(request), pieces))


class ScriptedStt:
    """Implements `ports.Stt`. Hears `texts` in order, then `otherwise`; a `Transcript` is given as it is."""

    def __init__(
        self,
        texts: Iterable[str | Transcript | EngineError] = (),
        *,
        otherwise: str = SENTENCE,
        delay: float = 0.0,
        gate: Gate | None = None,
        name: str = "scripted",
    ) -> None:
        """`delay`, in seconds, and then `gate` are waited for before every transcript."""
        self.name = name
        self.heard: deque[float] = deque(maxlen=MAX_REMEMBERED)
        """Seconds of each utterance, oldest first."""
        self._texts: deque[str | Transcript | EngineError] = deque(texts)
        self._otherwise, self._delay, self._gate = otherwise, delay, gate

    async def transcribe(
        self, audio: Float32, *, language: str | None, prompt: str | None, logprobs: bool = False, partial: bool = False
    ) -> Transcript:
        seconds = len(audio) / EAR_RATE
        self.heard.append(seconds)
        text = _next(self._texts, self._otherwise)
        await _pause(self._delay)
        if self._gate:
            await self._gate()
        if isinstance(text, EngineError):
            raise text
        return text if isinstance(text, Transcript) else Transcript(text, seconds, language)

    async def close(self) -> None:
        """Nothing to release."""


class ScriptedTts:
    """Implements `ports.Tts`: a soft tone, as long as the text would take to say."""

    def __init__(
        self,
        *,
        seconds_per_character: float = 0.06,
        delay: float = 0.0,
        gate: Gate | None = None,
        failures: Iterable[EngineError | None] = (),
        sample_rate: int = 24_000,
        name: str = "scripted",
    ) -> None:
        """`delay`, in seconds, and then `gate` are waited for before every clause. `failures` say which of the clauses, in order, fail."""
        self.name = name
        self.sample_rate = sample_rate
        self.spoken: deque[str] = deque(maxlen=MAX_REMEMBERED)
        """The texts, oldest first."""
        self._pace, self._delay, self._gate = seconds_per_character, delay, gate
        self._failures: deque[EngineError | None] = deque(failures)

    async def speak(self, text: str, *, voice: str, speed: float) -> AsyncIterator[Int16]:
        self.spoken.append(text)
        failure = _next(self._failures, None)
        await _pause(self._delay)
        if self._gate:
            await self._gate()
        if failure:
            raise failure
        sound, chunk = self._hum(len(text) * self._pace / speed), int(self.sample_rate * TONE_SECONDS)
        for start in range(0, len(sound), chunk):
            yield sound[start : start + chunk]
            # Lets others run between chunks, as a voice that computes would.
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Nothing to release."""

    def _hum(self, seconds: float) -> Int16:
        at = np.arange(round(seconds * self.sample_rate)) / self.sample_rate
        fade = np.minimum(1.0, np.minimum(at, at[::-1]) / FADE_SECONDS)
        return (np.sin(2 * np.pi * TONE_HZ * at) * fade * TONE_LEVEL * 32767).astype(np.int16)


class ScriptedReader:
    """Implements `ports.MediaReader`. `readings` are given in order, then `otherwise`, whatever the file is."""

    def __init__(self, readings: Iterable[Reading | MediaError] = (), *, otherwise: Reading = GREY) -> None:
        self._readings = deque(readings)
        self._otherwise = otherwise
        self.wanted: deque[Wanted] = deque(maxlen=MAX_REMEMBERED)
        """What every file was read for."""

    async def read(self, file: str | bytes | Raw, wanted: Wanted) -> Reading:
        self.wanted.append(wanted)
        reading = _next(self._readings, self._otherwise)
        if isinstance(reading, MediaError):
            raise reading
        return reading

    async def close(self) -> None:
        pass


class ScriptedToolServers:
    """Implements `ports.ToolServers` with functions: each is a tool by its name, on every server."""

    def __init__(self, **tools: Callable[[dict[str, Any]], Awaitable[str]]) -> None:
        self.working = 0
        """Calls that are under way."""
        self._tools = tools

    async def tools(self, server: McpTool) -> tuple[ListedTool, ...]:
        await _pause(0)
        if not self._tools:
            raise EngineError("404", f"There is no server at {server.server_url}.", type="http_error")
        return tuple(ListedTool(name, {"type": "object"}) for name in self._tools)

    async def call(self, server: McpTool, name: str, arguments: dict[str, Any]) -> str:
        await _pause(0)
        self.working += 1
        try:
            return await self._tools[name](arguments)
        finally:
            self.working -= 1

    async def close(self) -> None:
        """Nothing to release."""


class ScriptedVadStream:
    """Implements `ports.VadStream`."""

    def __init__(self, level: float) -> None:
        self._level = level
        self._rest = np.zeros(0, np.float32)

    def score(self, audio: Float32) -> list[float]:
        heard = np.concatenate([self._rest, audio])
        windows = len(heard) // VAD_WINDOW
        self._rest = heard[windows * VAD_WINDOW :].copy()
        loud = np.sqrt(np.mean(heard[: windows * VAD_WINDOW].reshape(windows, VAD_WINDOW) ** 2, axis=1))
        return [float(probability) for probability in np.minimum(1.0, loud / (2 * self._level))]


class ScriptedVad:
    """Implements `ports.Vad` by loudness: a window at `level` scores 0.5, silence 0, twice the level and more 1."""

    def __init__(self, level: float = SPEECH_LEVEL) -> None:
        self._level = level

    def open(self) -> ScriptedVadStream:
        return ScriptedVadStream(self._level)


class ScriptedJudge:
    """Implements `ports.TurnJudge`. Gives `answers` in order, then `otherwise`."""

    def __init__(
        self,
        answers: Iterable[float | EngineError] = (),
        *,
        otherwise: float = 1.0,
        delay: float = 0.0,
        gate: Gate | None = None,
        name: str = "scripted",
    ) -> None:
        """`delay`, in seconds, and then `gate` are waited for before every answer."""
        self.name = name
        self.heard: deque[float] = deque(maxlen=MAX_REMEMBERED)
        """Seconds of each turn, oldest first."""
        self._answers: deque[float | EngineError] = deque(answers)
        self._otherwise, self._delay, self._gate = otherwise, delay, gate

    async def judge(self, audio: Float32) -> float:
        self.heard.append(len(audio) / EAR_RATE)
        answer = _next(self._answers, self._otherwise)
        await _pause(self._delay)
        if self._gate:
            await self._gate()
        if isinstance(answer, EngineError):
            raise answer
        return answer

    async def close(self) -> None:
        """Nothing to release."""


async def _pause(seconds: float) -> None:
    # Even a pause of nothing gives way once: an engine that never does would hide what can happen between two of its events.
    await asyncio.sleep(seconds)


async def _obey(step: float | Gate | EngineError) -> None:
    if isinstance(step, EngineError):
        raise step
    if callable(step):
        await step()
    else:
        await _pause(step)


def _steps(answer: Answer) -> Sequence[Step]:
    if isinstance(answer, str):
        return _words(answer)
    return [answer] if isinstance(answer, EngineError) else answer


def _input_tokens(request: LlmRequest) -> int:
    """Words stand for tokens: what counts is that a longer prompt counts more."""
    return sum(len(text.split()) for text in [request.instructions, *map(_said, request.items)])
