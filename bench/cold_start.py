"""How long until it can be used, and what does it weigh then? `--help`, the start, and the first turn beside a later one.

    python -m bench.cold_start [--effort full]

- `help`: `python -m realtime --help`, beside a Python that does nothing.
- `start`: until the daemon says that it listens, with endpoints for all models, beside a Python that imports the same libraries.
- `memory`: RSS of that daemon after a turn, without local models but for the detector, beside the RSS of that other Python.
- `first_turn`: the very first turn after the start beside a later one, both by voice, behind the stub of `voice_turns`.
- `local`: the start with every model embedded, beside the daemon with none.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

from msgspec.structs import replace

from bench.figures import Effort, Figure, Step, alone, beside
from bench.processes import Server, daemon, environment, resident_kb
from bench.talker import Int16, frames, talker, utterances
from bench.voice_turns import stubbed
from realtime.config import load
from realtime.engines import models

HELP_BUDGET_MS = 300
MEMORY_BUDGET_MB = 200
FIRST_TURN_BUDGET = 1.2

LIBRARIES = "import asyncio, json, aiohttp, msgspec, numpy, onnxruntime, prometheus_client, soxr, websockets.asyncio.server"
"""What a daemon without local models can't do without."""

SETTLED = 0.5
"""Seconds after a start, or a turn, until memory is looked at."""


def took_ms(*arguments: str) -> float:
    """Milliseconds for a Python to do this and end."""
    begun = time.monotonic()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True, env=environment())
    return (time.monotonic() - begun) * 1000


def libraries() -> tuple[float, float]:
    """Milliseconds to import them, and megabytes of the process that did."""
    begun = time.monotonic()
    command = [sys.executable, "-c", f"{LIBRARIES}\nprint(1, flush=True)\ninput()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        took = (time.monotonic() - begun) * 1000
        memory = resident_kb(process.pid) / 1024
        process.communicate("\n")
    return took, memory


async def turns(server: Server, said: Int16) -> tuple[float, float]:
    """Milliseconds of wait of the first and of the third turn."""
    waits = []
    async with talker(server.url) as person:
        for _ in range(3):
            await asyncio.sleep(SETTLED)
            turn = await person.say(frames(said), len(said))
            await person.heard("done")
            waits.append(turn.wait)
    await asyncio.sleep(SETTLED)
    return waits[0], waits[-1]


def local_start(step: Step, bare_ms: list[float]) -> list[Figure]:
    """Nothing where the models have not been fetched."""
    cache = load({}).cache_dir
    missing = [name for name in ("base", "smollm2-135m-instruct") if models.locate(name, cache) is None]
    if missing:
        step(f"no row for local models: {', '.join(missing)} not fetched")
        return []
    step("with local models")
    pairs = []
    for bare in bare_ms:
        with daemon() as server:
            pairs.append((bare, server.ready_after * 1000))
            memory = server.resident_kb() / 1024
    return [replace(beside("cold_start.local", "ms", pairs, memory_mb=memory), portable=False)]


def measure(effort: Effort, step: Step) -> list[Figure]:
    [said] = utterances(1)
    step("--help")
    help = [(took_ms("-c", "pass"), took_ms("-m", "realtime", "--help")) for _ in range(2 * effort.rounds)]
    starts, memories, firsts = [], [], []
    for _ in range(3 if effort.full else 2):
        step("start and first turn")
        import_ms, import_mb = libraries()
        with stubbed() as server:
            starts.append((import_ms, server.ready_after * 1000))
            first, later = asyncio.run(turns(server, said))
            firsts.append((later, first))
            memories.append((import_mb, server.resident_kb() / 1024))
    return [
        replace(beside("cold_start.help", "ms", help, budget=HELP_BUDGET_MS, of="value"), portable=False),
        replace(beside("cold_start.start", "ms", starts), portable=False),
        beside("cold_start.memory", "MB", memories, budget=MEMORY_BUDGET_MB, of="value"),
        beside("cold_start.first_turn", "ms", firsts, budget=FIRST_TURN_BUDGET),
        *(local_start(step, [start for _, start in starts]) if effort.full else ()),
    ]


if __name__ == "__main__":
    alone(measure)
