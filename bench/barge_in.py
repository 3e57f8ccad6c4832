"""How long does an answer go on once somebody speaks into it? From the start of their speech to the last frame of its sound.

    python -m bench.barge_in [--effort full]

The stub's voice sends 20 ms of sound every 4 ms, so that there is always more to come; human speech, Silero, 20 ms appends in real time.
Speech starts where the server itself says that it did: at the first of the detector's windows (32 ms) that is speech. With
`REALTIME_INTERRUPTION_MS=32` one such window interrupts; by default it takes three, so that coughs don't.

The floor is arithmetic: those windows have to be spoken, and the frame that brings the end of the last one, too.
"""

from __future__ import annotations

import asyncio
import math
import statistics

from bench.figures import Effort, Figure, Step, alone, beside, percentile
from bench.processes import daemon, started
from bench.talker import FRAME_SECONDS, Int16, frames, talker, utterances
from bench.voice_turns import ENDPOINT

WINDOW_MS = 32
DEFAULT_MS = 96

PREFIX_MS = 300
"""That the server counts to a turn before its speech (the protocol's default)."""

SLACK_MS = 20
"""The budget beyond the windows."""

VOICE = ("--sound", "30", "--piece", "0.02", "--piece-pace", "0.004")

LISTENED = 0.3
"""Seconds of an answer after which somebody speaks."""


async def interrupted(url: str, said: list[Int16], windows_ms: int) -> list[tuple[float, float]]:
    """Milliseconds until the last sound, beside their floor; each utterance interrupts the answer to the one before."""
    pairs: list[tuple[float, float]] = []
    async with talker(url) as person:
        await person.say(frames(said[0]), len(said[0]))
        for words in said:
            await person.heard("first_sound")
            await asyncio.sleep(LISTENED)
            turn = await person.say(frames(words), len(words))
            await person.heard("done")
            start = (turn.start_ms + PREFIX_MS) / 1000
            assert turn.status == "cancelled", turn
            sent = math.ceil((start + windows_ms / 1000) / FRAME_SECONDS) * FRAME_SECONDS
            pairs.append(((sent - start) * 1000, (turn.last_sound - person.began - start) * 1000))
            await person.heard("stopped")
            turn.first_sound = 0.0
    return pairs


def measure(effort: Effort, step: Step) -> list[Figure]:
    said = utterances(effort.of(16, 5))
    figures = []
    with started("-m", "bench.stub", *VOICE) as stub:
        for name, windows_ms in (("barge_in.window", WINDOW_MS), ("barge_in.default", DEFAULT_MS)):
            step(f"{windows_ms} ms of speech")
            options = (*ENDPOINT, "--base-url", stub.base_url, "--interruption-ms", str(windows_ms))
            with daemon(*options) as server:
                pairs = asyncio.run(interrupted(server.url, said, windows_ms))
            later = [value - floor for floor, value in pairs]
            worst = percentile([value for _, value in pairs], 95)
            figures.append(beside(name, "ms", pairs, budget=windows_ms + SLACK_MS, of="value", p95=worst, own_ms=statistics.median(later)))
    return figures


if __name__ == "__main__":
    alone(measure)
