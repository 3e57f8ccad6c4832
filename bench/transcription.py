"""How fast and how well is an utterance written down? The embedded ear beside stock faster-whisper, over human speech with its text.

    python -m bench.transcription [--effort full]

Both transcribe the same prompts of Asterisk (tests/rigs/recordings.py), each under 10 s, one after the other; the ratio is the median of
the ratios of their times for one prompt. Stock is faster-whisper as it comes: int8, its own number of threads, a beam of 5; `.greedy` is
stock with a beam of 1, as the daemon has it. Word error rates are over all prompts, in percent; the budget is for their difference.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from msgspec import Struct
from msgspec.structs import replace

from bench.figures import Effort, Figure, Step, Unavailable, alone, beside
from realtime.config import load
from realtime.engines import models
from realtime.engines.whisper import WhisperStt
from realtime.errors import EngineError
from tests.rigs.recordings import Recording, recordings, word_error_rate

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

SPEED_BUDGET = 1 / 3
"""Of stock's time."""

ERROR_BUDGET = 0.5
"""Points of word error rate above stock's."""

DEFAULT = "base"
"""The daemon's own choice of a model."""

LONGEST = 10.0
"""Seconds of a prompt."""


class Heard(Struct):
    """What came of all prompts."""

    seconds: list[float]
    texts: list[str]


def prompts(count: int) -> list[Recording]:
    """From all over the list. Raises `Unavailable`."""
    try:
        short = [recording for recording in recordings() if recording.seconds < LONGEST]
    except pytest.skip.Exception as error:
        raise Unavailable(str(error)) from None
    return [short[index * len(short) // count] for index in range(min(count, len(short)))]


def stock_one(model: WhisperModel, recording: Recording, beam: int) -> tuple[float, str]:
    begun = time.monotonic()
    segments, _ = model.transcribe(recording.audio, language="en", beam_size=beam)
    text = "".join(segment.text for segment in segments)
    return time.monotonic() - begun, text


def our_one(stt: WhisperStt, recording: Recording) -> tuple[float, str]:
    begun = time.monotonic()
    transcript = asyncio.run(stt.transcribe(recording.audio, language="en", prompt=None))
    return time.monotonic() - begun, transcript.text


def compared(name: str, said: list[Recording], *, greedy: bool) -> list[Figure]:
    """Figures of one model. Raises `Unavailable`."""
    from faster_whisper import WhisperModel

    try:
        folder = models.fetch(name, load({}).cache_dir)
    except EngineError as error:
        raise Unavailable(error.message) from None
    stock, stt = WhisperModel(str(folder), device="cpu", compute_type="int8"), WhisperStt.load(folder, name)
    stock_one(stock, said[0], 5)
    our_one(stt, said[0])
    ours, theirs, plain = Heard([], []), Heard([], []), Heard([], [])
    for recording in said:
        runs = [(ours, our_one(stt, recording)), (theirs, stock_one(stock, recording, 5))]
        if greedy:
            runs.append((plain, stock_one(stock, recording, 1)))
        for heard, (seconds, text) in runs:
            heard.seconds.append(seconds)
            heard.texts.append(text)
    asyncio.run(stt.close())
    return _figures(name, [recording.text for recording in said], ours, theirs, plain)


def _figures(name: str, texts: list[str], ours: Heard, theirs: Heard, plain: Heard) -> list[Figure]:
    def pairs(floor: Heard) -> list[tuple[float, float]]:
        return [(a * 1000, b * 1000) for a, b in zip(floor.seconds, ours.seconds, strict=True)]

    floor, value = word_error_rate(texts, theirs.texts) * 100, word_error_rate(texts, ours.texts) * 100
    # Stock uses all the cores for one utterance, the daemon one: on another number of them the ratio is another.
    made = [
        replace(beside(f"transcription.{name}", "ms", pairs(theirs), budget=SPEED_BUDGET, prompts=len(texts)), portable=False),
        Figure(name=f"transcription.{name}.errors", unit="%", value=value, floor=floor, budget=floor + ERROR_BUDGET, of="value"),
    ]
    return made + ([replace(beside(f"transcription.{name}.greedy", "ms", pairs(plain)), portable=False)] if plain.seconds else [])


def measure(effort: Effort, step: Step) -> list[Figure]:
    said = prompts(effort.of(30, 2))
    figures = []
    for name in ("tiny.en", "base") if effort.full else ("tiny.en",):
        step(f"{name}, {len(said)} prompts")
        figures += compared(name, said, greedy=name == DEFAULT)
    return figures


if __name__ == "__main__":
    alone(measure)
