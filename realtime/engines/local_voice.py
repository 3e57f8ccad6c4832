"""The embedded voice: hibari, English, 24 kHz, from the model inside its wheel.

Owns the threads that speak and the size of what one call speaks. hibari would download any other voice on first use; here it is only
ever given the file that it carries, so nothing reaches for the network. What OpenAI's names stand for is that one voice, higher or lower:
it is made slower or faster than was asked for, and played back at the pace that was, as a tape is (`voices.HIBARI`).

The network makes a whole sentence in one run, so its first sample is there when its last one is: 10 ms for a word, 19 ms for a sentence
of 2 s, 45 ms for one of 6 s (one thread, x86-64). Cutting the sound afterwards costs nothing and lets an interruption take effect.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import numpy as np

from realtime.engines.speakable import pieces, speakable
from realtime.engines.voices import HIBARI
from realtime.engines.workers import Workers
from realtime.errors import EngineError
from realtime.media.pcm import to_int16
from realtime.media.resample import resample
from realtime.ports import Int16

if TYPE_CHECKING:
    from hibari import Hibari

SAMPLE_RATE = 24_000

CHUNK = SAMPLE_RATE // 10
"""Samples of one piece of sound, 100 ms: small enough to stop soon, large enough that a sentence is a few dozen messages."""

MAX_PIECE = 300
"""Characters spoken in one run, some 20 s of sound. A run can't be interrupted, and its time grows with its length (0.15 s for these)."""

MAX_WAITING = 64
"""Pieces that may wait for a worker: at some 50 ms each they are spoken within a few seconds, the longest that a listener waits."""

MIN_SPEED, MAX_SPEED = 0.25, 1.5
"""What the protocol allows (PROTOCOL 2.1, `audio.output.speed`); hibari stretches evenly over all of it, and some way past both ends."""

SEED = 0
"""Of the noise in hibari's consonants: the same text always sounds the same, to the sample."""

WARM_UP = "Ready, zorblax 1."
"""Spoken once while loading: a known word, an unknown one and a number make hibari open every file that it opens lazily."""


class LocalVoice:
    """Implements `ports.Tts`. Make it with `load`."""

    name = "hibari"
    sample_rate = SAMPLE_RATE

    def __init__(self, voice: Hibari, *, workers: int) -> None:
        self._voice = voice
        self._workers = Workers("voice hibari", count=workers, max_waiting=MAX_WAITING)

    @classmethod
    def load(cls, *, workers: int | None = None) -> LocalVoice:
        """Load the voice; blocks for a second. `workers` is one for each core by default. Raises `EngineError`."""
        try:
            from hibari import Hibari
            from hibari.voices import DEFAULT, voice_path
        except ImportError as error:
            message = "The embedded voice needs the extra `local`: pip install 'realtime-daemon[local]'."
            raise EngineError("model_not_found", message) from error
        try:
            model = Path(voice_path(DEFAULT, download_missing=False))
            voice = Hibari(DEFAULT, model=str(model), threads=1)
            voice(WARM_UP, seed=SEED)
        except Exception as error:
            # onnxruntime's exceptions share no base class of their own.
            raise EngineError("model_unavailable", f"The embedded voice can't be loaded: {error}") from error
        return cls(voice, workers=workers or os.cpu_count() or 1)

    async def speak(self, text: str, *, voice: str, speed: float) -> AsyncIterator[Int16]:
        """Yield the sound in pieces of 100 ms. Text without a word that the voice can say yields nothing."""
        pace, pitch = min(max(speed, MIN_SPEED), MAX_SPEED), HIBARI.get(voice, 1.0)
        for piece in pieces(speakable(text), MAX_PIECE):
            sound = await self._workers.run(partial(self._sound, piece, pace, pitch))
            for start in range(0, len(sound), CHUNK):
                yield sound[start : start + CHUNK]

    @property
    def waiting(self) -> int:
        return self._workers.waiting

    async def close(self) -> None:
        await self._workers.close()

    def _sound(self, text: str, pace: float, pitch: float, abandoned: Event) -> Int16:
        sentences = []
        try:
            for sentence in self._voice.stream(text, speed=pace / pitch, seed=SEED):
                sentences.append(to_int16(resample(sentence, round(SAMPLE_RATE * pitch), SAMPLE_RATE)))
                if abandoned.is_set():
                    break
        except Exception as error:
            # hibari raises whatever its tables run into; none of it is a type of its own.
            raise EngineError("speech_failed", f"The embedded voice could not speak: {error!r}") from error
        return np.concatenate(sentences) if sentences else np.zeros(0, np.int16)
