"""Speech to text: faster-whisper on the CPU, off the loop.

Owns the threads that transcribe and what counts as too little to transcribe; finding and fetching models is `models`'s business. As many
utterances at once as there are cores, one thread each: two threads on one utterance gain less than two utterances on a thread each.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import numpy as np

from realtime.engines.workers import Workers
from realtime.errors import EngineError
from realtime.ports import EAR_RATE, Float32, Transcript

if TYPE_CHECKING:
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
        text = await self._workers.run(lambda abandoned: self._hear(audio, spoken, prompt, abandoned))
        return Transcript(text, seconds, spoken)

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

    def _hear(self, audio: Float32, language: str | None, prompt: str | None, abandoned: Event) -> str:
        if not np.isfinite(audio).all():
            raise EngineError("audio_unintelligible", "The audio holds samples that are not numbers.", type="invalid_request_error")
        if np.abs(audio).max() < MIN_PEAK:
            return ""
        try:
            segments, _ = self._model.transcribe(
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
            return _joined(segments, abandoned)
        except Exception as error:
            # As in `load`: no narrower type covers what the two libraries raise.
            raise EngineError("transcription_failed", f"{self.name} could not transcribe: {error}") from error


def _joined(segments: Iterable[Segment], abandoned: Event) -> str:
    """The text of all segments. Each is computed when it is asked for, so a job that nobody waits for ends at the next."""
    texts = []
    for segment in segments:
        texts.append(segment.text)
        if abandoned.is_set():
            break
    return "".join(texts).strip()
