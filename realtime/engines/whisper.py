"""Speech to text: faster-whisper on the CPU, off the loop.

Owns the threads that transcribe and what counts as too little to transcribe; finding and fetching models is `models`'s business. As many
utterances at once as there are cores, one thread each: two threads on one utterance gain less than two utterances on a thread each.

faster-whisper gives a segment's mean log probability and its window's no-speech probability, but neither for a window without words, and of
single tokens nothing unless it decodes twice (`word_timestamps`). So one transcription decodes through `_Decoder`, which keeps what
ctranslate2 said: it knows the no-speech probability of every window, and gives the logits of every token for the asking.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from realtime.engines.logprobs import Token, pieces, tokens_of
from realtime.engines.short_window import ShortWindow
from realtime.engines.workers import Workers
from realtime.errors import EngineError
from realtime.ports import EAR_RATE, Float32, Transcript

if TYPE_CHECKING:
    from ctranslate2.models import Whisper, WhisperGenerationResult
    from faster_whisper import WhisperModel
    from faster_whisper.transcribe import Segment

MAX_WAITING = 32
"""Utterances that may wait for a worker. At about a second each on two cores, the last of them waits a quarter of a minute, and nobody
talks to something slower than that."""

MIN_SECONDS = 0.1
"""Shorter audio holds no word; given less, Whisper says what it heard most often in training ("Thank you.")."""

MIN_PEAK = 0.001
"""Loudest sample of audio that is worth hearing, -60 dB of full scale: below lies the noise of a microphone that nobody speaks into."""

WINDOW_SECONDS = 30.0
"""What Whisper sees at once. Up to here timestamps only cost tokens; beyond, they let it move on at the end of a sentence."""

BEAM = 1
"""Greedy. On 30 Asterisk prompts a beam of 5 took 1.14 times as long for a word error rate of 0.029 against 0.032 (tiny.en), and a beam
of 2 left that of base as it was."""


class WhisperStt:
    """Implements `ports.Stt`. Make it with `load`."""

    def __init__(self, model: WhisperModel, name: str, *, workers: int) -> None:
        self.name = name
        self._model = model
        self._short = ShortWindow(model)
        self._workers = Workers(f"whisper {name}", count=workers, max_waiting=MAX_WAITING)

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
        seconds = len(audio) / EAR_RATE
        spoken = self._language(language)
        if seconds < MIN_SECONDS:
            return Transcript("", seconds, spoken)
        return await self._workers.run(lambda abandoned: self._hear(audio, spoken, prompt, logprobs, abandoned), wait=not partial)

    @property
    def waiting(self) -> int:
        return self._workers.waiting

    async def close(self) -> None:
        await self._workers.close()

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

    def _hear(self, audio: Float32, language: str | None, prompt: str | None, logprobs: bool, abandoned: Event) -> Transcript:
        seconds = len(audio) / EAR_RATE
        if not np.isfinite(audio).all():
            raise EngineError("audio_unintelligible", "The audio holds samples that are not numbers.", type="invalid_request_error")
        if np.abs(audio).max() < MIN_PEAK:
            return Transcript("", seconds, language)
        try:
            heard = self._short.hear(audio, language, prompt, abandoned)
            if heard is not None:
                told = pieces(heard.tokens, self._decode) if logprobs else ()
                return Transcript(heard.text, seconds, language, heard.no_speech, heard.confidence, told)
            if abandoned.is_set():
                return Transcript("", seconds, language)
            return self._hear_slowly(audio, language, prompt, logprobs, abandoned)
        except Exception as error:
            # As in `load`: no narrower type covers what the two libraries raise.
            raise EngineError("transcription_failed", f"{self.name} could not transcribe: {error}") from error

    def _hear_slowly(self, audio: Float32, language: str | None, prompt: str | None, logprobs: bool, abandoned: Event) -> Transcript:
        """As faster-whisper does it: a window of 30 seconds, whatever was said."""
        # A shallow copy: the weights are shared, what this transcription generates is its own.
        model, decoder = copy.copy(self._model), _Decoder(self._model.model, logprobs)
        model.model = decoder
        segments, _ = model.transcribe(
            audio,
            language=language or "en",
            # Detects the language of each window from what was encoded anyway; asked for with `language=None`, it would encode twice.
            multilingual=language is None,
            beam_size=BEAM,
            temperature=0.0,
            without_timestamps=len(audio) <= WINDOW_SECONDS * EAR_RATE,
            condition_on_previous_text=False,
            vad_filter=False,
            initial_prompt=prompt or None,
        )
        told, tokens = _listened(segments, decoder, abandoned)
        return Transcript(
            text="".join(segment.text for segment in told).strip(),
            seconds=len(audio) / EAR_RATE,
            language=language,
            no_speech=decoder.no_speech,
            confidence=_confidence(told),
            tokens=pieces(tokens, self._decode),
        )

    def _decode(self, tokens: list[int]) -> str:
        """The text of tokens, without timestamps and other marks; half a character is a U+FFFD."""
        marks = self._model.hf_tokenizer.token_to_id("<|endoftext|>")
        return str(self._model.hf_tokenizer.decode([token for token in tokens if token < marks]))


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
