"""A day of one daemon: people come and go, things fail, and after every hour, when nobody is here, it is looked at: does anything grow?

    python -m tests.simulation.day [--hours 24] [--seed 1]

What is counted: objects that the garbage collector knows of, once it has been here; tasks and timers of the daemon. Sessions are kept
for two hours, so from the third on as many are forgotten as are stored. Ends with a summary in JSON, and with exit status 1 where something
was broken, or grew.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import sys
import time
from random import Random

import msgspec
from msgspec import Struct

from realtime.store.memory import MemoryStore
from tests.simulation.people import Person
from tests.simulation.store import Disk
from tests.simulation.world import Outcome, World, play

HOUR = 3600.0

KEPT_SECONDS = 2 * HOUR
"""That a session is stored after its last change."""

SETTLED = 3
"""Hours after which as many sessions are forgotten as are stored."""

BETWEEN_SECONDS = 40.0
"""From one person's coming to the next one's, on average: three are here at a time, most of the time."""

LEAVING_SECONDS = 600.0
"""Of an hour, in which nobody comes any more."""

KEPT_OF_EACH = 0.2
"""Objects for each person who came, from which it is growth: of whomever a daemon keeps something, it keeps one at least. Metrics get a new
label now and then, and the conversations that are stored differ."""


class Hour(Struct):
    """What there was at its end."""

    people: int
    """That came."""
    stored: int
    objects: int
    tasks: int
    timers: int


class Day(World):
    """Of one seed."""

    pauses = (20.0,)

    def __init__(self, seed: int, hours: int) -> None:
        super().__init__(seed)
        self.hours = hours
        self.seen: list[Hour] = []
        self.mishaps = ["endpoint", "engines", "store", "network", "cut", "reset"]
        self.stored = MemoryStore(keep_seconds=KEPT_SECONDS, max_bytes=0, clock=self.loop.time)
        self.disk = Disk(self.stored, Random(self.dice.random()), self.faults)
        self._wishes |= {"session_seconds": HOUR, "events": 0, "resume": 20.0}
        self.loop.longest = (hours + 2) * HOUR

    async def _play(self) -> None:
        await self.endpoint.start()
        self._start("10.0.0.2")
        await asyncio.sleep(0.01)
        for number in range(self.hours):
            await self._hour(number)
        await self._stop()

    async def _hour(self, number: int) -> None:
        loop = self.loop
        loop.steps, self._calm = 0, False
        self.people = []
        lives: list[asyncio.Task[None]] = []
        self._until = loop.time() + HOUR - LEAVING_SECONDS
        weather = asyncio.ensure_future(self._weather())
        while loop.time() < self._until:
            person = Person(self, f"h{number}p{len(lives)}", Random(self.dice.random()))
            self.people.append(person)
            lives.append(asyncio.ensure_future(person.live()))
            await asyncio.sleep(self.dice.expovariate(1 / BETWEEN_SECONDS))
        await asyncio.gather(*lives)
        self._calm = True
        await weather
        await self._rest()
        self._judge()
        came = len(lives)
        self.people = []
        lives.clear()
        del weather, person  # or they would be counted
        self.seen.append(self._counted(came))

    def _counted(self, came: int) -> Hour:
        process = next(iter(self.daemons.values())).process
        tasks, timers = len(self.loop.running(process)), len(self.loop.timers(process))
        gc.collect()
        return Hour(came, len(self.stored._sessions), len(gc.get_objects()), tasks, timers)


def growth(hours: list[Hour]) -> list[str]:
    """What there is more of in the last quarter of the hours than in the first, by so much for each who came between them."""
    settled = hours[SETTLED:]
    quarter = len(settled) // 4
    if not quarter:
        return []
    came = sum(hour.people for hour in settled) * (len(settled) - quarter) / len(settled)
    grown = []
    for name in ("objects", "tasks", "timers"):
        counts = [getattr(hour, name) for hour in settled]
        early, late = statistics.mean(counts[:quarter]), statistics.mean(counts[-quarter:])
        if (late - early) / came > KEPT_OF_EACH:
            grown.append(f"{name} grew from {early:.0f} to {late:.0f}, while {came:.0f} people came")
    return grown


def run(seed: int, hours: int) -> tuple[Outcome, list[Hour]]:
    """A day of that seed, and its hours."""
    days: list[Day] = []

    def create(seed: int) -> Day:
        days.append(Day(seed, hours))
        return days[0]

    outcome = play(seed, create)
    seen = days.pop().seen
    outcome.failures += growth(seen)
    return outcome, seen


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    began = time.process_time()
    outcome, hours = run(asked.seed, asked.hours)
    told = {
        "seed": asked.seed,
        "failures": outcome.failures,
        "simulated_hours": round(outcome.seconds / HOUR, 2),
        "cpu_seconds": round(time.process_time() - began, 1),
        "people": sum(hour.people for hour in hours),
        "events": dict(outcome.events),
        "faults": sum(outcome.faults.values()),
        "hours": [msgspec.to_builtins(hour) for hour in hours],
    }
    print(json.dumps(told, indent=1))
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
