"""Where does the wait for an answer go with the embedded ear and voice? From the last spoken sample to the first sound, stage by stage.

    python -m bench.turn_latency [--effort full]

The daemon with Whisper `base` and hibari, one session, human speech in real time; the model is a stub that answers at once, so that every
stage is the daemon's own. It does not speculate. The floor is the silence of 500 ms and then, in the same run and in this process, the
engines alone: the same utterance transcribed, the same clause spoken.

The transcript is waited for from the end of the silence. Where the daemon knows `REALTIME_SPECULATION`, it is measured with
`transcribe` and with `respond`, too: then it transcribes while the silence lasts, and has a budget.
"""

from __future__ import annotations

import asyncio
import statistics
import time

import numpy as np
from msgspec.structs import replace

from bench.figures import Effort, Figure, Step, Unavailable, alone, beside
from bench.processes import Server, daemon, knows, started
from bench.stub import FIRST_CLAUSE
from bench.talker import RATE, SILENCE_MS, Int16, Turn, frames, talker, utterances
from bench.voice_turns import SPECULATION
from realtime.config import load
from realtime.engines import models
from realtime.engines.local_voice import LocalVoice
from realtime.engines.whisper import WhisperStt
from realtime.errors import EngineError
from realtime.media.pcm import to_float
from realtime.media.resample import resample
from realtime.ports import EAR_RATE

MODEL = "base"

TRANSCRIPT_BUDGET_MS = 50
"""Speculating: from the end of the silence to the transcript, p50."""

PAUSE = 0.5
"""Seconds from one answer to the next question."""

PADDING = 0.3
"""Seconds of silence that the daemon keeps before a turn (`prefix_padding_ms`); what Whisper is given has it, and the silence after."""


def ear() -> WhisperStt:
    """Raises `Unavailable`."""
    try:
        return WhisperStt.load(models.fetch(MODEL, load({}).cache_dir), MODEL)
    except EngineError as error:
        raise Unavailable(error.message) from None


def mouth() -> LocalVoice:
    """Raises `Unavailable`."""
    try:
        return LocalVoice.load()
    except EngineError as error:
        raise Unavailable(error.message) from None


async def engines_ms(stt: WhisperStt, voice: LocalVoice, sound: Int16) -> tuple[float, float]:
    """Milliseconds for the transcript of this, and for the first sound of the clause, by the engines alone."""
    spoken = resample(to_float(sound), RATE, EAR_RATE)
    begun = time.monotonic()
    await stt.transcribe(spoken, language=None, prompt=None)
    heard = time.monotonic()
    async for _ in voice.speak(FIRST_CLAUSE, voice="marin", speed=1.0):
        break
    return (heard - begun) * 1000, (time.monotonic() - heard) * 1000


def as_heard(sound: Int16) -> Int16:
    """With the silence that a turn has around it."""
    return np.concatenate([np.zeros(round(PADDING * RATE), np.int16), sound, np.zeros(SILENCE_MS * RATE // 1000, np.int16)])


async def rounds(server: Server, said: list[Int16], stt: WhisperStt, voice: LocalVoice) -> tuple[list[Turn], list[tuple[float, float]]]:
    """A turn of the daemon and a run of the engines alone, in turns; the first round only warms up."""
    turns, alone_ms = [], []
    async with talker(server.url) as person:
        for words in [said[0], *said]:
            await asyncio.sleep(PAUSE)
            turns.append(await person.say(frames(words), len(words)))
            await person.heard("done")
            alone_ms.append(await engines_ms(stt, voice, as_heard(words)))
    return turns[1:], alone_ms[1:]


def figures(name: str, turns: list[Turn], alone_ms: list[tuple[float, float]], budget: float | None) -> list[Figure]:
    legs = {leg: statistics.median(turn.legs[leg] for turn in turns) for leg in turns[0].legs}
    pairs = [(SILENCE_MS + stt + voice, turn.wait) for turn, (stt, voice) in zip(turns, alone_ms, strict=True)]
    transcripts = [(stt, turn.legs["transcript"]) for turn, (stt, _) in zip(turns, alone_ms, strict=True)]
    return [replace(beside(name, "ms", pairs), detail=legs), beside(f"{name}.transcript", "ms", transcripts, budget=budget, of="value")]


def measure(effort: Effort, step: Step) -> list[Figure]:
    said = utterances(effort.of(16, 2))
    stt, voice = ear(), mouth()
    made: list[Figure] = []
    plans: list[tuple[str, dict[str, str], float | None]] = [("turn_latency", {SPECULATION: "off"}, None)]
    if knows(SPECULATION):
        plans.append(("turn_latency.transcribing", {SPECULATION: "transcribe"}, TRANSCRIPT_BUDGET_MS))
        plans.append(("turn_latency.speculating", {SPECULATION: "respond"}, TRANSCRIPT_BUDGET_MS))
    else:
        step(f"no row for speculation: this daemon has no {SPECULATION}")
    options = (
        "--whisper-model",
        MODEL,
        "--stt",
        "local",
        "--tts",
        "local",
        "--turn-model",
        "words",
        "--llm",
        "endpoint",
        "--model",
        "stub",
    )
    with started("-m", "bench.stub") as stub:
        for name, variables, budget in plans:
            step(name)
            with daemon(*options, "--base-url", stub.base_url, **variables) as server:
                made += figures(name, *asyncio.run(rounds(server, said, stt, voice)), budget)
    asyncio.run(voice.close())
    asyncio.run(stt.close())
    return made


if __name__ == "__main__":
    alone(measure)
