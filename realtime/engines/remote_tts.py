"""A voice behind an OpenAI-compatible endpoint: OpenAI, Kokoro-FastAPI, speaches, openedai-speech ...

Owns the request for a clause and the deadlines of its sound, which is passed on as it comes. Refuses the details: bytes become samples in
`sound_stream`, the sockets are `endpoint`.

Reference: OpenAI API, "Create speech"; `pcm` is 24 kHz, 16 bits, little-endian, mono, without a header. Some servers send it at the rate of
their voice, and some of those say so.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager

import msgspec
import numpy as np
from msgspec import Raw, Struct

from realtime.engines.endpoint import Endpoint, Kinds, Reply, Timeouts
from realtime.engines.refusals import failed
from realtime.engines.sound_stream import MAX_RATE, MIN_RATE, SoundStream
from realtime.engines.speakable import pieces, speakable
from realtime.engines.voices import renamed
from realtime.errors import EngineError
from realtime.media.pcm import to_float, to_int16
from realtime.media.resample import Resampler
from realtime.ports import Int16

SAMPLE_RATE = 24_000
"""Samples a second of OpenAI's `pcm`."""

MAX_INPUT = 2_000
"""Characters of one request, far more than a clause has: OpenAI takes 4,096 characters, of which gpt-4o-mini-tts reads 2,000 tokens."""

MAX_SECONDS = 600.0
"""Of sound for one request: `MAX_INPUT` takes two minutes at a normal pace, eight at the slowest. Whoever says more says it for ever."""

MAX_REQUESTS = 64
"""Requests under way, one for each answer that is being spoken."""

MAX_ERROR = 1 << 16
"""Bytes of an answer in words that are read: more than an error object needs."""

_PATH = "/audio/speech"
_KINDS = Kinds("application/json", "audio/pcm, audio/wav;q=0.5, */*;q=0.1")

_PACKED = ("mpeg", "mp3", "ogg", "opus", "webm", "aac", "mp4", "flac")
"""Subtypes of sound that would be noise if it were taken for samples."""


_RATE = re.compile(r";\s*rate=(\d{1,6})\b", re.IGNORECASE)


class SpeechRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of the request."""

    model: str
    input: str
    voice: str
    response_format: str
    speed: float | None = None
    """Left out at the normal pace: not every server knows it."""


class _Failure(Struct):
    error: Raw = Raw(b"")


class RemoteTts:
    """`ports.Tts` over HTTP. `dice` (0..1) and `pause` (seconds) are the chance and the patience of its retries."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        model: str,
        *,
        timeouts: Timeouts,
        voices: Mapping[str, str] | None = None,
        sample_rate: int = SAMPLE_RATE,
        dice: Callable[[], float] = random.random,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`voices` gives clients' names for voices the endpoint's, `*` being any other; without it they are passed on as they are.

        `sample_rate` is that of a `pcm` about which the endpoint says nothing, and of what is spoken here.
        `timeouts.first_token` is for the first sound of a clause, `between_tokens` for each later piece of it.
        """
        self.name = model
        self.sample_rate = sample_rate
        self._voices = voices or {}
        self._endpoint = Endpoint(base_url, api_key, timeouts=timeouts, dice=dice, pause=pause)
        self._under_way = 0

    async def speak(self, text: str, *, voice: str, speed: float) -> AsyncIterator[Int16]:
        """Yield the sound as it comes. Text without a word that can be said yields nothing, and asks nobody."""
        name, pace = renamed(voice, self._voices), None if speed == 1.0 else speed
        with self._place():
            for piece in pieces(speakable(text), MAX_INPUT):
                request = SpeechRequest(model=self.name, input=piece, voice=name, response_format="pcm", speed=pace)
                async with aclosing(self._sounds(msgspec.json.encode(request))) as sounds:
                    async for sound in sounds:
                        yield sound

    async def reachable(self, seconds: float) -> bool:
        return await self._endpoint.reachable(seconds)

    async def close(self) -> None:
        """Close every connection; whoever is speaking is cut."""
        await self._endpoint.close()

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._under_way >= MAX_REQUESTS:
            raise EngineError("overloaded", f"{self.name}: too much is being spoken; try again in a moment.")
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    async def _sounds(self, body: bytes) -> AsyncGenerator[Int16, None]:
        loop, timeouts = asyncio.get_running_loop(), self._endpoint.timeouts
        deadline = loop.time() + timeouts.first_token
        reply = await self._endpoint.post(_PATH, body, deadline=deadline, kinds=_KINDS)
        try:
            await self._check(reply, deadline)
            converter = _Converter(_rate(reply) or self.sample_rate, self.sample_rate)
            while data := await reply.read(deadline):
                if len(sound := converter.feed(data)):
                    yield sound
                # Counted anew only now: the listener's own time does not count.
                deadline = loop.time() + timeouts.between_tokens
            if len(sound := converter.finish()):
                yield sound
        finally:
            reply.close()

    async def _check(self, reply: Reply, deadline: float) -> None:
        """Raise `EngineError` where what comes is no sound that we can read."""
        kind, _, subtype = reply.type.partition("/")
        if kind == "text" or subtype == "json":
            raise self._said(reply.type, await reply.read_whole(MAX_ERROR, deadline))
        if subtype.removeprefix("x-") in _PACKED:
            raise EngineError("server_error", f"The endpoint sent {reply.type}, and not the PCM that was asked for.")

    def _said(self, type: str, data: bytes) -> EngineError:
        try:
            problem = bytes(msgspec.json.decode(data, type=_Failure).error)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            problem = b""
        if problem and problem != b"null":
            return failed(problem, secret=self._endpoint.secret)
        return EngineError("server_error", f"The endpoint sent {type} instead of a sound.")


def _rate(reply: Reply) -> int | None:
    """Samples a second, where the endpoint tells them: `audio/pcm; rate=22050`, or a header of its own."""
    told = _RATE.search(f"{reply.header('Content-Type')};rate={reply.header('X-Sample-Rate')}")
    return int(told[1]) if told and MIN_RATE <= int(told[1]) <= MAX_RATE else None


class _Converter:
    """From the bytes of one reply to samples at `target_rate`."""

    def __init__(self, rate: int, target_rate: int) -> None:
        """`rate` is that of raw sound."""
        self._stream = SoundStream(rate)
        self._target_rate = target_rate
        self._resampler: Resampler | None = None
        self._seconds = 0.0

    def feed(self, data: bytes) -> Int16:
        sound = self._stream.feed(data)
        if not len(sound):
            return sound
        self._seconds += len(sound) / self._stream.rate
        if self._seconds > MAX_SECONDS:
            raise EngineError("server_error", f"The endpoint sent more than {MAX_SECONDS:g} s of sound for one clause.")
        if self._stream.rate == self._target_rate:
            return sound
        if self._resampler is None:
            self._resampler = Resampler(self._stream.rate, self._target_rate)
        return to_int16(self._resampler.push(to_float(sound)))

    def finish(self) -> Int16:
        """What the resampler still held back. Raises `EngineError` where the sound is not whole, or is none."""
        self._stream.finish()
        if not self._seconds:
            raise EngineError("speech_failed", "The endpoint answered without a sound.")
        return to_int16(self._resampler.finish()) if self._resampler else np.zeros(0, np.int16)
