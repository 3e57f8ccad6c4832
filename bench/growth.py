"""What does a turn cost when the conversation has become long? CPU time of a turn in writing, beside the prompt alone.

    python -m bench.growth [--effort full]

A prompt tells the whole conversation, so a turn costs more the longer it is. The floor is that of `text_delta`: it keeps the messages, and
does no more than to encode them, POST them and pass the answer on. `10`, `100` and `500` are the means of the ten turns up to there, of 20
tokens each; daemon and floor have theirs one after the other. A ratio that grows would be work of ours for what was said long ago.
"""

from __future__ import annotations

import asyncio

from bench.figures import Effort, Figure, Step, alone, beside
from bench.processes import Server, daemon, started
from bench.text_delta import answer, session

TURNS = (10, 100, 500)

MEASURED = 10
"""Turns of a mean."""

TOKENS = 20
"""Of an answer."""

CONTEXT_TOKENS = "1000000"
"""Of the model: nothing is left out of its prompts."""


async def costs_ms(floor: Server, server: Server, turns: list[int]) -> list[tuple[float, float]]:
    """Milliseconds of CPU of a turn up to each of those, of the floor and of the daemon."""
    costs = []
    async with session(floor.port) as one, session(server.port) as other:
        at = 0
        for turn in turns:
            spent = []
            for process, socket in ((floor, one), (server, other)):
                for _ in range(turn - MEASURED - at):
                    await answer(socket, TOKENS, 0)
                before = process.cpu_ns()
                for _ in range(MEASURED):
                    await answer(socket, TOKENS, 0)
                spent.append((process.cpu_ns() - before) / MEASURED / 1e6)
            at = turn
            costs.append((spent[0], spent[1]))
    return costs


def measure(effort: Effort, step: Step) -> list[Figure]:
    turns = [effort.of(turn, MEASURED * (index + 1)) for index, turn in enumerate(TURNS)]
    with started("-m", "bench.text_delta", "--role", "endpoint") as upstream:
        url = upstream.base_url
        quiet = ("--stt", "scripted", "--tts", "none", "--vad", "scripted", "--llm", "endpoint", "--base-url", url)
        with (
            started("-m", "bench.text_delta", "--role", "floor", "--url", url) as bare,
            daemon(*quiet, "--context-tokens", CONTEXT_TOKENS) as server,
        ):
            step(f"{turns[-1]} turns")
            asyncio.run(costs_ms(bare, server, turns[:1]))  # connections, caches and code paths are warm
            rounds = [asyncio.run(costs_ms(bare, server, turns)) for _ in range(effort.rounds)]
    return [beside(f"growth.{turn}", "ms", [costs[index] for costs in rounds]) for index, turn in enumerate(TURNS)]


if __name__ == "__main__":
    alone(measure)
