"""How long does a person wait for an answer, and 64 at once? Voice turns behind a stub, from the last spoken sample to the first sound.

    python -m bench.voice_turns [--effort full]

The stub of DESIGN section 7: speech-to-text takes 100 ms, the model 100 ms to its first token and 10 ms for each further one, the voice
100 ms; the turn ends after 500 ms of silence. Nobody can be quicker than their sum, unless they begin before the silence is over. Human
speech, Silero, 20 ms appends in real time; sessions talk in turns, each at its own moment. Stub, daemon and client share the machine.

With `REALTIME_SPECULATION=respond`, where the daemon knows it, the same for one session.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
from collections.abc import Iterator

from bench.figures import Effort, Figure, Step, against, alone, percentile
from bench.processes import Server, daemon, knows, started
from bench.stub import FIRST_CLAUSE_TOKENS
from bench.talker import RATE, SILENCE_MS, Int16, Turn, frames, talker, utterances

STT_MS, LLM_MS, TOKEN_MS, TTS_MS = 100, 100, 10, 100

FLOOR_MS = SILENCE_MS + STT_MS + LLM_MS + TOKEN_MS * (FIRST_CLAUSE_TOKENS - 1) + TTS_MS
"""One after the other, 870 ms."""

SPECULATIVE_FLOOR_MS = max(SILENCE_MS, STT_MS + LLM_MS + TOKEN_MS * (FIRST_CLAUSE_TOKENS - 1)) + 50
"""When all but the voice is done by the end of the silence, and half of that is: some 550 ms."""

BUDGET_MS, SPECULATIVE_BUDGET_MS = 900, 560
CROWD_BUDGET = 1.3
"""The 95th percentile of 64 sessions over that of one."""

SPECULATION = "REALTIME_SPECULATION"

PAUSE = (0.3, 0.8)
"""Seconds for which a person thinks before they speak again, from the least to the most."""

ENDPOINT = ("--turn-model", "words", "--stt", "endpoint", "--tts", "endpoint", "--llm", "endpoint", "--model", "stub")


async def converse(url: str, said: list[Int16], turns: int, number: int) -> list[Turn]:
    """The turns of one person, of that number; the first is not counted, for it makes the connections."""
    taken: list[Turn] = []
    dice = random.Random(number)
    async with talker(url, dice.random()) as person:
        for turn in range(turns + 1):
            await asyncio.sleep(dice.uniform(*PAUSE))
            words = said[(number + turn) % len(said)]  # all say the same, so that crowds of any size can be compared
            taken.append(await person.say(frames(words), len(words)))
            await person.heard("done")
            await asyncio.sleep(taken[-1].sound_bytes / RATE / 2)
    return taken[1:]


async def crowd(url: str, said: list[Int16], sessions: int, turns: int) -> list[Turn]:
    people = [converse(url, said, turns, number) for number in range(sessions)]
    return [turn for taken in await asyncio.gather(*people) for turn in taken]


def figure(name: str, turns: list[Turn], floor: float, budget: float | None) -> Figure:
    waits = [turn.wait for turn in turns]
    legs = {leg: statistics.median(turn.legs[leg] for turn in turns) for leg in turns[0].legs}
    failed = sum(turn.status != "completed" for turn in turns)
    return against(name, "ms", waits, floor, budget=budget, p95=percentile(waits, 95), turns=len(turns), failed=failed, **legs)


@contextlib.contextmanager
def stubbed(**variables: str) -> Iterator[Server]:
    """A daemon with the stub behind it."""
    pace = {"--stt": STT_MS, "--llm": LLM_MS, "--token": TOKEN_MS, "--tts": TTS_MS}
    options = [word for name, ms in pace.items() for word in (name, str(ms / 1000))]
    with started("-m", "bench.stub", *options) as stub, daemon(*ENDPOINT, "--base-url", stub.base_url, **variables) as server:
        yield server


def measure(effort: Effort, step: Step) -> list[Figure]:
    said = utterances(8)
    counts = (1, 4, 16, 64) if effort.full else (1, 16)
    figures: list[Figure] = []
    with stubbed() as server:
        for count in counts:
            step(f"{count} sessions")
            turns = asyncio.run(crowd(server.url, said, count, effort.of(16 if count == 1 else 4, 2)))
            figures.append(figure(f"voice_turns.{count}", turns, FLOOR_MS, BUDGET_MS if count == 1 else None))
    alone_p95, crowd_p95 = (figures[place].detail["p95"] for place in (0, -1))
    figures.append(
        Figure(
            name=f"voice_turns.p95_of_{counts[-1]}",
            unit="ms",
            value=crowd_p95,
            floor=alone_p95,
            ratio=crowd_p95 / alone_p95,
            budget=CROWD_BUDGET if effort.full else None,
        )
    )
    if knows(SPECULATION):
        step("1 session, speculating")
        with stubbed(**{SPECULATION: "respond"}) as server:
            turns = asyncio.run(crowd(server.url, said, 1, effort.of(16, 2)))
        figures.append(figure("voice_turns.speculating", turns, SPECULATIVE_FLOOR_MS, SPECULATIVE_BUDGET_MS))
    else:
        step(f"no row for speculation: this daemon has no {SPECULATION}")
    return figures


if __name__ == "__main__":
    alone(measure)
