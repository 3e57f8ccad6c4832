"""Speech to text behind an OpenAI-compatible endpoint: OpenAI, Groq, speaches, vLLM, LocalAI ...

Owns the conversation with the endpoint: how much detail it can tell, how many requests are under way, what is too little to be sent at all.
Refuses the details: the JSON is `transcriptions`, the form `multipart`, the sockets `endpoint`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import numpy as np

from realtime.engines.endpoint import Endpoint, Kinds, Reply, Timeouts
from realtime.engines.multipart import form
from realtime.engines.refusals import Refused
from realtime.engines.transcriptions import Detail, Question, Shape, fields, is_about, read
from realtime.errors import EngineError
from realtime.media import pcm, wav
from realtime.ports import EAR_RATE, Float32, Transcript

MIN_SECONDS = 0.1
"""Shorter audio holds no word, and OpenAI refuses it (`audio_too_short`)."""

MIN_PEAK = 0.001
"""Loudest sample of audio that is worth sending, -60 dB of full scale: below lies the noise of a microphone that nobody speaks into."""

MAX_REQUESTS = 64
"""Requests under way. Each holds its audio twice, as samples and as a file: six bytes a sample, 12 MB for the longest detected turn."""

MAX_REQUESTS_FOR_PARTIAL = 8
"""Requests under way with which a partial transcript is still begun: an endpoint with more to do should get on with whole utterances."""

MAX_ANSWER = 1 << 22
"""Bytes of an answer. Ten minutes of speech are 2,000 words, some 300 KB with their segments or tokens; ten times that is no transcript."""

_PATH = "/audio/transcriptions"


class RemoteStt:
    """`ports.Stt` over HTTP. `dice` (0..1) and `pause` (seconds) are the chance and the patience of its retries."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        model: str,
        *,
        timeouts: Timeouts,
        dice: Callable[[], float] = random.random,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`timeouts.first_token` is for the whole transcript, which comes in one piece."""
        self.name = model
        self._endpoint = Endpoint(base_url, api_key, timeouts=timeouts, dice=dice, pause=pause)
        self._shape = Shape()
        self._accepted: set[Detail] = set()
        self._under_way = 0

    async def transcribe(
        self, audio: Float32, *, language: str | None, prompt: str | None, logprobs: bool = False, partial: bool = False
    ) -> Transcript:
        seconds = len(audio) / EAR_RATE
        question = Question(language=_code(language), prompt=prompt, logprobs=logprobs)
        with self._place(partial=partial):
            # In a thread: ten minutes take tens of milliseconds.
            recording = await asyncio.to_thread(_recording, audio)
            if recording is None:
                return Transcript("", seconds, question.language)
            deadline = asyncio.get_running_loop().time() + self._endpoint.timeouts.first_token
            reply, detail = await self._ask(question, recording, deadline, retry=not partial)
            try:
                data = await reply.read_whole(MAX_ANSWER, deadline)
            finally:
                reply.close()
        transcript = read(data, seconds=seconds, language=question.language, secret=self._endpoint.secret)
        if detail == "logprobs" and transcript.text and not transcript.tokens:
            # It passed over a field that it does not know, so it may have more to tell when it is asked in another way.
            self._shape = self._shape.without(detail)
        return transcript

    async def reachable(self, seconds: float) -> bool:
        return await self._endpoint.reachable(seconds)

    async def close(self) -> None:
        """Close every connection; transcripts that are still under way are cut."""
        await self._endpoint.close()

    @contextmanager
    def _place(self, *, partial: bool) -> Iterator[None]:
        if self._under_way >= (MAX_REQUESTS_FOR_PARTIAL if partial else MAX_REQUESTS):
            raise EngineError("overloaded", f"{self.name}: too many transcripts are under way; try again in a moment.")
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    async def _ask(self, question: Question, recording: bytes, deadline: float, *, retry: bool) -> tuple[Reply, Detail]:
        """Return the reply, and in what detail it was asked for. A detail that the endpoint doesn't know costs one request, once."""
        shape = self._shape
        while True:
            detail = shape.detail(question)
            sent, body = form(fields(self.name, question, detail), name="file", filename="audio.wav", type="audio/wav", data=recording)
            kinds = Kinds(sent, "application/json")
            try:
                reply = await self._endpoint.post(_PATH, body, deadline=deadline, kinds=kinds, retry=retry)
            except Refused as error:
                if not is_about(detail, error, accepted_before=detail in self._accepted):
                    raise
                shape = shape.without(detail)
            else:
                # Remembered only now: the refusal may have been about something else.
                self._shape = shape
                self._accepted.add(detail)
                return reply, detail


def _code(language: str | None) -> str | None:
    """Without its region: endpoints take ISO 639-1 (`en`) where browsers say `en-GB`."""
    return language.lower().replace("_", "-").split("-")[0] if language else None


def _recording(audio: Float32) -> bytes | None:
    """The audio as a WAV file, PCM16 at `EAR_RATE`; None for what is too short or too quiet to hold a word."""
    if len(audio) < MIN_SECONDS * EAR_RATE or np.abs(audio).max() < MIN_PEAK:
        return None
    return wav.write(pcm.to_int16(audio), EAR_RATE)
