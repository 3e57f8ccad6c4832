"""Speech to text: faster-whisper on the CPU, off the loop.

Owns the threads that transcribe and what counts as too little to transcribe; finding and fetching models is `models`'s business. As many
utterances at once as there are cores, one thread each: two threads on one utterance gain less than two utterances on a thread each. Those
that wait for a thread are heard several together.

faster-whisper gives a segment's mean log probability and its window's no-speech probability, but neither for a window without words, and of
single tokens nothing unless it decodes twice (`word_timestamps`). So one transcription decodes through `_Decoder`, which keeps what
ctranslate2 said: it knows the no-speech probability of every window, and gives the logits of every token for the asking.
"""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct, field

from realtime.engines.batches import Batches
from realtime.engines.logprobs import Token, pieces, tokens_of
from realtime.engines.short_window import Heard, Shape, ShortWindow
from realtime.errors import EngineError
from realtime.ports import EAR_RATE, Float32, Transcript

if TYPE_CHECKING:
    from ctranslate2.models import Whisper, WhisperGenerationResult
    from faster_whisper import WhisperModel
    from faster_whisper.transcribe import Segment

MAX_WAITING = 32
"""Utterances that may wait for a worker. At about a second each on two cores, the last of them waits a quarter of a minute, and nobody
talks to something slower than that."""

TOGETHER = 4
"""Utterances that are heard at once, at the most. Of four that wait, the first is told after 2.4 times what it takes alone, all others
sooner than one after the other; with eight, the first four would wait for the rest."""

MIN_SECONDS = 0.1
"""Shorter audio holds no word; given less, Whisper says what it heard most often in training ("Thank you.")."""

MIN_PEAK = 0.001
"""Loudest sample of audio that is worth hearing, -60 dB of full scale: below lies the noise of a microphone that nobody speaks into."""

WINDOW_SECONDS = 30.0
"""What Whisper sees at once. Up to here timestamps only cost tokens; beyond, they let it move on at the end of a sentence."""

BEAM = 1
"""Greedy. On 30 Asterisk prompts a beam of 5 took 1.14 times as long for a word error rate of 0.029 against 0.032 (tiny.en), and a beam
of 2 left that of base as it was."""


class Utterance(Struct):
    """What is to be transcribed, and how."""

    audio: Float32
    language: str | None
    prompt: str | None
    logprobs: bool
    abandoned: Event = field(default_factory=Event)
    """Set once nobody wants the words."""

    @property
    def seconds(self) -> float:
        return len(self.audio) / EAR_RATE


class WhisperStt:
    """Implements `ports.Stt`. Make it with `load`."""

    def __init__(self, model: WhisperModel, name: str, *, workers: int) -> None:
        self.name = name
        self._model = model
        self._short = ShortWindow(model)
        self._batches: Batches[Utterance, Transcript | None] = Batches(
            f"whisper {name}", self._hear, count=workers, most=TOGETHER, max_waiting=MAX_WAITING
        )

    @classmethod
    def load(cls, folder: Path, name: str, *, workers: int | None = None) -> WhisperStt:
        """Load a ctranslate2 model; blocks for a second or so. `workers` is one for each core by default. Raises `EngineError`."""
        from faster_whisper import WhisperModel

        if not (folder / "model.bin").is_file():
            # faster-whisper would take the name of a missing folder for one of the hub's.
            raise EngineError("model_not_found", f"{folder} holds no Whisper model for ctranslate2.")
        count = workers or os.cpu_count() or 1
        try:
            model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1, num_workers=count, local_files_only=True)
        except Exception as error:
            # ctranslate2 and tokenizers raise bare RuntimeError, ValueError and Exception.
            raise EngineError("model_unavailable", f"The Whisper model in {folder} can't be loaded: {error}") from error
        return cls(model, name, workers=count)

    async def transcribe(
        self, audio: Float32, *, language: str | None, prompt: str | None, logprobs: bool = False, partial: bool = False
    ) -> Transcript:
        utterance = Utterance(audio, self._language(language), prompt, logprobs)
        if utterance.seconds < MIN_SECONDS:
            return Transcript("", utterance.seconds, utterance.language)
        try:
            return await self._short_or_long(utterance, wait=not partial)
        except asyncio.CancelledError:
            utterance.abandoned.set()
            raise

    async def _short_or_long(self, utterance: Utterance, *, wait: bool) -> Transcript:
        short, heard = Shape.of(utterance.seconds, utterance.language, utterance.prompt), None
        if short is not None:
            heard = await self._batches.run(utterance, short, wait=wait)
        if heard is None:
            heard = await self._batches.run(utterance, None, wait=wait, first=short is not None)
            assert heard is not None
        return heard

    @property
    def waiting(self) -> int:
        return self._batches.waiting

    async def close(self) -> None:
        await self._batches.close()

    def _language(self, wanted: str | None) -> str | None:
        """The language to transcribe, None to have it detected. Regions (`en-GB`) are dropped, Whisper has no notion of them."""
        supported = self._model.supported_languages
        if len(supported) == 1:
            return str(supported[0])
        if wanted is None:
            return None
        code = wanted.lower().replace("_", "-").split("-")[0]
        if code not in supported:
            raise EngineError("unsupported_language", f"{self.name} does not know the language {wanted!r}.", type="invalid_request_error")
        return code

    def _hear(self, shape: Hashable | None, utterances: Sequence[Utterance]) -> list[Transcript | Exception | None]:
        """Of each, in a worker thread; None where the long way has to be gone. Raises `EngineError`."""
        outcomes: list[Transcript | Exception | None] = [_without_words(utterance) for utterance in utterances]
        left = [utterance for utterance, outcome in zip(utterances, outcomes, strict=True) if outcome is None]
        try:
            heard = iter(self._hear_together(left, shape) if left and isinstance(shape, Shape) else map(self._hear_slowly, left))
            return [next(heard) if outcome is None else outcome for outcome in outcomes]
        except Exception as error:
            # As in `load`: no narrower type covers what the two libraries raise.
            raise EngineError("transcription_failed", f"{self.name} could not transcribe: {error}") from error

    def _hear_together(self, utterances: Sequence[Utterance], shape: Shape) -> list[Transcript | None]:
        def wanted() -> bool:
            return not all(utterance.abandoned.is_set() for utterance in utterances)

        told = self._short.hear([utterance.audio for utterance in utterances], shape, wanted)
        return [self._transcript(utterance, heard) if heard else None for utterance, heard in zip(utterances, told, strict=True)]

    def _transcript(self, utterance: Utterance, heard: Heard) -> Transcript:
        tokens = pieces(heard.tokens, self._decode) if utterance.logprobs else ()
        return Transcript(heard.text, utterance.seconds, utterance.language, heard.no_speech, heard.confidence, tokens)

    def _hear_slowly(self, utterance: Utterance) -> Transcript:
        """As faster-whisper does it: a window of 30 seconds, whatever was said."""
        # A shallow copy: the weights are shared, what this transcription generates is its own.
        model, decoder = copy.copy(self._model), _Decoder(self._model.model, utterance.logprobs)
        model.model = decoder
        segments, _ = model.transcribe(
            utterance.audio,
            language=utterance.language or "en",
            # Detects the language of each window from what was encoded anyway; asked for with `language=None`, it would encode twice.
            multilingual=utterance.language is None,
            beam_size=BEAM,
            temperature=0.0,
            without_timestamps=utterance.seconds <= WINDOW_SECONDS,
            condition_on_previous_text=False,
            vad_filter=False,
            initial_prompt=utterance.prompt or None,
        )
        told, tokens = _listened(segments, decoder, utterance.abandoned)
        return Transcript(
            text="".join(segment.text for segment in told).strip(),
            seconds=utterance.seconds,
            language=utterance.language,
            no_speech=decoder.no_speech,
            confidence=_confidence(told),
            tokens=pieces(tokens, self._decode),
        )

    def _decode(self, tokens: list[int]) -> str:
        """The text of tokens, without timestamps and other marks; half a character is a U+FFFD."""
        marks = self._model.hf_tokenizer.token_to_id("<|endoftext|>")
        return str(self._model.hf_tokenizer.decode([token for token in tokens if token < marks]))


def _without_words(utterance: Utterance) -> Transcript | EngineError | None:
    """What can be said of it without a model, if anything."""
    if not np.isfinite(utterance.audio).all():
        return EngineError("audio_unintelligible", "The audio holds samples that are not numbers.", type="invalid_request_error")
    if np.abs(utterance.audio).max() < MIN_PEAK:
        return Transcript("", utterance.seconds, utterance.language)
    return None


class _Decoder:
    """The model of one transcription: does what it is asked, and keeps what came of it."""

    def __init__(self, model: Whisper, logprobs: bool) -> None:
        self._model = model
        self._logprobs = logprobs
        self._window: list[Token] = []
        """What is left of the latest window: its tokens from the last segment on. Empty unless they were asked for."""
        self.no_speech: float | None = None
        """The lowest of all windows: whoever spoke in one has spoken."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def generate(self, *arguments: Any, **options: Any) -> list[WhisperGenerationResult]:
        results: list[WhisperGenerationResult] = self._model.generate(*arguments, **options, return_logits_vocab=self._logprobs)
        for result in results:
            self.no_speech = min(result.no_speech_prob, 1.0 if self.no_speech is None else self.no_speech)
            self._window = tokens_of(result) if self._logprobs else []
        return results

    def take(self, tokens: Sequence[int]) -> list[Token]:
        """A segment of the latest window, the next one or one after it."""
        count = len(tokens)
        for start in range(len(self._window) - count + 1):
            if [token for token, _ in self._window[start : start + count]] == list(tokens):
                taken = self._window[start : start + count]
                self._window = self._window[start + count :]
                return taken
        return []


def _listened(segments: Iterable[Segment], decoder: _Decoder, abandoned: Event) -> tuple[list[Segment], list[Token]]:
    """All segments, and their tokens. Each is computed when it is asked for, so a job that nobody waits for ends at the next."""
    told: list[Segment] = []
    tokens: list[Token] = []
    for segment in segments:
        told.append(segment)
        tokens += decoder.take(segment.tokens)
        if abandoned.is_set():
            break
    return told, tokens


def _confidence(segments: list[Segment]) -> float | None:
    """The mean over all tokens; a segment's own is that of its window."""
    count = sum(len(segment.tokens) for segment in segments)
    return min(0.0, sum(segment.avg_logprob * len(segment.tokens) for segment in segments) / count) if count else None
