"""Doing what a session asks: each effect to the outbox or to an engine, each outcome back as an input.

Performing never waits. A job that an engine fails ends as the outcome that says so; an error of ours in a job is logged, and ends so too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import TypeVar, assert_never

from msgspec import Struct

from realtime.errors import EngineError, MediaError
from realtime.logs import response_id
from realtime.ports import (
    ArgumentsDelta,
    AudioDelta,
    CallBegan,
    Finished,
    Float32,
    Llm,
    MediaReader,
    Stt,
    TextDelta,
    ToolServers,
    Tts,
    TurnJudge,
)
from realtime.runner.allowance import Allowance
from realtime.runner.detection import Detection
from realtime.runner.listening import Listening
from realtime.runner.outbox import Outbox
from realtime.runner.sounds import Mouth, heard
from realtime.runner.tasks import Tasks
from realtime.session import inputs
from realtime.session.effects import (
    Abandon,
    CallTool,
    Close,
    Detect,
    Effect,
    Forgo,
    Generate,
    Judge,
    ListTools,
    Read,
    Send,
    Speak,
    Transcribe,
)
from realtime.session.inputs import Happening
from realtime.wire.codec import Codec
from realtime.wire.server import ErrorInfo, RateLimitsUpdated, ResponseDone, ServerEvent

log = logging.getLogger(__name__)

INLINE_SECONDS = 2.0
"""Sound of one piece that is converted on the loop: half a millisecond of work, less than a worker thread's queue costs."""

LIMITED = frozenset({RateLimitsUpdated, ResponseDone})
"""Events that limits have to do with."""

E = TypeVar("E", Generate, Speak, Transcribe, Judge, Read, ListTools, CallTool)


class Engines(Struct, frozen=True):
    """The models behind every session of the process."""

    llm: Llm
    stt: Stt
    tts: Tts | None
    """None: there is no voice, and no session is allowed to want one."""
    detection: Detection
    tool_servers: ToolServers
    media: MediaReader
    workers: Executor
    """Threads for conversions."""
    judge: TurnJudge | None = None
    """None: whether a turn is over, its words must tell."""


def error_info(error: Exception) -> ErrorInfo:
    """What the client is told of a failure: an engine's own words, or no more than that it was ours."""
    if isinstance(error, EngineError):
        return ErrorInfo(type=error.type, code=error.code, message=error.message)
    if isinstance(error, MediaError):
        return ErrorInfo(code=error.code, message=error.message)
    return ErrorInfo(type="server_error", code="internal_error", message="The server failed while doing this; its log says more.")


class Performer:
    """The effects of one session."""

    def __init__(
        self, engines: Engines, codec: Codec, outbox: Outbox, post: Callable[[Happening], None], allowance: Allowance | None = None
    ) -> None:
        """Without an `allowance`, nothing is limited."""
        self._engines = engines
        self._allowance = allowance or Allowance()
        self._clock = asyncio.get_running_loop().time
        self._codec = codec
        self._outbox = outbox
        self._post = post
        self._tasks = Tasks()
        self._forgone: set[asyncio.Task[None]] = set()
        """What a speculation that was dropped had running."""
        self.listening = Listening(engines.detection, self._scored, self._deaf)

    def perform(self, effect: Effect) -> None:
        match effect:
            case Send(event=event, answers=answers):
                if type(event) in LIMITED:  # the session knows no limits: others may share them
                    self._count(event)
                for frame in self._codec.encode(event, answers):
                    self._outbox.put(frame)
            case Detect():
                self.listening.hear(effect)
            case Generate(response_id=id):
                self._tasks.start(id, self._guard(self._generate, effect, lambda error: inputs.ResponseBroke(id, error)))
            case Speak(response_id=id):
                self._tasks.start(id, self._guard(self._speak, effect, lambda error: inputs.ResponseBroke(id, error)))
            case Transcribe():
                self._tasks.start(effect.item_id, self._guard(self._transcribe, effect, lambda error: _not_transcribed(effect, error)))
            case Judge(item_id=id, attempt=attempt):
                self._tasks.start(id, self._guard(self._judge, effect, lambda error: inputs.TurnJudged(id, attempt, None)))
            case Read(id=id, index=index):
                self._tasks.start(id, self._guard(self._read, effect, lambda error: inputs.FileBroke(id, index, error)))
            case ListTools(item_id=id):
                self._tasks.start(id, self._guard(self._list_tools, effect, lambda error: inputs.ToolListingBroke(id, error)))
            case CallTool(item_id=id):
                self._tasks.start(id, self._guard(self._call_tool, effect, lambda error: inputs.ToolBroke(id, error)))
            case Abandon(id=id):
                self._tasks.abandon(id)
            case Forgo(response_id=id, usage=usage):
                self._forgone = self._tasks.abandon(id)
                self._allowance.take_tokens(usage.total_tokens, self._clock())
            case Close(code=code, reason=reason):
                self._outbox.close(code, reason)
            case _:
                assert_never(effect)

    async def close(self) -> None:
        """Stop every job and wait until it has stopped."""
        self.listening.close()
        await self._tasks.close()
        self._post = _nowhere

    # Jobs

    async def _guard(self, job: Callable[[E], Awaitable[None]], effect: E, broke: Callable[[ErrorInfo], Happening]) -> None:
        """The top of every job: whatever goes wrong in it is an outcome."""
        response_id.set(effect.response_id if isinstance(effect, Generate | Speak) else "")  # not that of whoever started it
        try:
            await job(effect)
        except Exception as error:
            if not isinstance(error, EngineError | MediaError):
                log.exception("A job of ours failed")
            self._post(broke(error_info(error)))

    def _count(self, event: ServerEvent) -> None:
        if isinstance(event, RateLimitsUpdated):
            event.rate_limits = self._allowance.rate_limits(self._clock())
        elif isinstance(event, ResponseDone) and event.response.usage is not None:
            self._allowance.take_tokens(event.response.usage.total_tokens, self._clock())

    async def _generate(self, effect: Generate) -> None:
        if self._forgone:
            await asyncio.wait(self._forgone)  # who may have one answer at a time has given up the other
        with self._allowance.request(self._clock(), spare=1 if effect.speculative else 0):
            await self._stream(effect)

    async def _stream(self, effect: Generate) -> None:
        id, post = effect.response_id, self._post
        mouth: Mouth | None = None
        async for event in self._engines.llm.stream(effect.request):
            match event:
                case TextDelta(text=text):
                    post(inputs.TextGenerated(id, text))
                case AudioDelta(rate=rate):
                    # Some speak where they were asked to write.
                    if effect.format is not None:
                        mouth = mouth or Mouth(rate, effect.format)
                        self._speech(id, await self._said(mouth, event))
                case CallBegan(index=index, name=name, call_id=call_id):
                    post(inputs.CallGenerated(id, index, name, call_id))
                case ArgumentsDelta(index=index, text=text):
                    post(inputs.ArgumentsGenerated(id, index, text))
                case Finished(reason=reason, usage=usage, extras=extras):
                    self._speech(id, b"" if mouth is None else mouth.finish())
                    post(inputs.GenerationFinished(id, reason, usage, extras))

    async def _said(self, mouth: Mouth, delta: AudioDelta) -> bytes:
        if len(delta.audio) <= INLINE_SECONDS * delta.rate:
            return mouth.say(delta.audio)
        return await asyncio.get_running_loop().run_in_executor(self._engines.workers, mouth.say, delta.audio)

    def _speech(self, response_id: str, audio: bytes) -> None:
        if audio:
            self._post(inputs.SpeechGenerated(response_id, audio))

    async def _speak(self, effect: Speak) -> None:
        tts = self._engines.tts
        if tts is None:  # a session without a voice offers no audio
            raise AssertionError("nobody can speak")
        mouth = Mouth(tts.sample_rate, effect.format)
        async for piece in tts.speak(effect.text, voice=effect.voice, speed=effect.speed):
            self._sound(effect, mouth.say(piece))
        self._sound(effect, mouth.finish())
        self._post(inputs.ClauseSpoken(effect.response_id, effect.clause))

    def _sound(self, effect: Speak, audio: bytes) -> None:
        if audio:
            self._post(inputs.ClauseSounded(effect.response_id, effect.clause, audio))

    async def _transcribe(self, effect: Transcribe) -> None:
        audio = await self._heard(effect)
        transcript = await self._engines.stt.transcribe(
            audio, language=effect.language, prompt=effect.prompt, logprobs=effect.logprobs, partial=effect.partial
        )
        outcome = inputs.SpeechTranscribed(
            effect.item_id,
            effect.content_index,
            transcript.text,
            transcript.seconds,
            effect.attempt,
            transcript.no_speech,
            transcript.confidence,
            transcript.tokens,
        )
        self._post(outcome)

    async def _judge(self, effect: Judge) -> None:
        judge = self._engines.judge
        if judge is None:  # a session is told whether there is one
            raise AssertionError("nobody can judge")
        finished = await judge.judge(await self._heard(effect))
        self._post(inputs.TurnJudged(effect.item_id, effect.attempt, finished))

    async def _heard(self, effect: Transcribe | Judge) -> Float32:
        return await asyncio.get_running_loop().run_in_executor(self._engines.workers, heard, effect.audio, effect.format)

    async def _read(self, effect: Read) -> None:
        reading = await self._engines.media.read(effect.file, effect.wanted)
        self._post(inputs.FileRead(effect.id, effect.index, reading))

    async def _list_tools(self, effect: ListTools) -> None:
        tools = await self._engines.tool_servers.tools(effect.server)
        self._post(inputs.ToolsListed(effect.item_id, tools))

    async def _call_tool(self, effect: CallTool) -> None:
        output = await self._engines.tool_servers.call(effect.server, effect.name, effect.arguments)
        self._post(inputs.ToolReturned(effect.item_id, output))

    # The detector

    def _scored(self, epoch: int, scores: list[float]) -> None:
        self._post(inputs.SpeechScored(epoch, scores))

    def _deaf(self, epoch: int, error: Exception) -> None:
        log.error("The detector failed", exc_info=error)
        self._post(inputs.DetectionFailed(epoch, error_info(error)))


def _nowhere(_: Happening) -> None:
    """Whose session is over. It is let go of with its sound, which the garbage collector would only do later."""


def _not_transcribed(effect: Transcribe, error: ErrorInfo) -> Happening:
    # agents-realtime drops the event when `param` is null (PROTOCOL 3.2).
    told = ErrorInfo(type="transcription_error", code=error.code, message=error.message, param="audio")
    return inputs.TranscriptionBroke(effect.item_id, effect.content_index, told, effect.attempt)
