"""Does anything grow in an hour of real time, at 70 % load?

    python -m bench.soak_hour [--minutes 60] [--load 0.7] [--output FILE]

One daemon with its listener, SQLite on disk, the real detector, and the stub of `voice_turns` behind it; a crowd of bench/people.py. In the
first tenth of the time the number of people is regulated until the daemon takes that share of one core (the kernel's count, all its
threads). They leave, so that it is seen at rest; as many come again and are held, and what is seen in the last three quarters is judged.
Every 10 s: memory, descriptors, threads, tasks.

- memory: its slope is no more than two standard errors above nothing. Points are means of three minutes, for what is near in time is alike
- descriptors, tasks: the same, and when all have left they are no more than what they were at rest before
- threads: never more than the pools may have

The exit status is 1 if one of them grows, or a turn was lost. The machine is shared with the clients and the stub.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import re
import statistics
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

import msgspec
from msgspec import Struct

from bench.capacity import cpu_seconds
from bench.figures import RESULTS, Machine, machine, percentile
from bench.people import Person, Tally
from bench.processes import Server, daemon, resident_kb, started
from bench.talker import Int16, utterances
from bench.voice_turns import ENDPOINT, LLM_MS, STT_MS, TOKEN_MS, TTS_MS

SAMPLE_SECONDS = 10.0

BLOCK = 18
"""Samples of one point of a trend: three minutes."""

NOISE = 2.0
"""Standard errors that a slope may be above nothing."""

FIRST = 12
"""People, before their load is known."""

STEP = 6
"""By so many their number changes at the most, from sample to sample."""

RESUME_SECONDS = 10
"""That the daemon waits for whoever broke off."""

REST_SECONDS = 75.0
"""Until it is at rest: connections to endpoints are kept for 30 s, and looked at every 30, and a margin."""

STORE_MB = 256
"""So that the store is full, and lets the oldest go, before anything is judged."""


class Sample(Struct, frozen=True):
    """The daemon at one moment; rates are those since the last sample."""

    seconds: float
    people: int
    sessions: int
    load: float
    """Share of a core."""
    rss_mb: float
    pss_mb: float
    children_mb: float
    """RSS of the processes that read files."""
    files: int
    threads: int
    tasks: int
    voice_p50: float | None
    voice_p99: float | None
    text_p50: float | None
    text_p99: float | None
    errors: int


class Trend(Struct, frozen=True):
    """A straight line through means of blocks."""

    slope: float
    """An hour."""
    error: float
    """Its standard error."""
    mean: float

    @property
    def grows(self) -> bool:
        return self.slope > NOISE * self.error


def trend(seconds: Sequence[float], values: Sequence[float], block: int) -> Trend:
    """By least squares; there have to be three blocks or more."""
    pairs = [(seconds[at : at + block], values[at : at + block]) for at in range(0, len(seconds) - block + 1, block)]
    hours = [statistics.fmean(times) / 3600 for times, _ in pairs]
    means = [statistics.fmean(each) for _, each in pairs]
    slope, start = statistics.linear_regression(hours, means)
    spread = sum((hour - statistics.fmean(hours)) ** 2 for hour in hours)
    left = sum((mean - start - slope * hour) ** 2 for hour, mean in zip(hours, means, strict=True))
    return Trend(slope, math.sqrt(left / (len(means) - 2) / spread), statistics.fmean(means))


class Crowd:
    """As many people as are wanted, one after the other in each place."""

    def __init__(self, url: str, said: list[Int16]) -> None:
        self.tally, self.total = Tally(), Tally()
        self.wanted = 0
        self._url, self._said = url, said
        self._places: dict[int, asyncio.Task[None]] = {}

    def want(self, people: int) -> None:
        self.wanted = people
        for place in range(people):
            if place not in self._places or self._places[place].done():
                self._places[place] = asyncio.create_task(self._fill(place))

    async def _fill(self, place: int) -> None:
        dice = random.Random(place)
        await asyncio.sleep(dice.random() * 2)
        while place < self.wanted:
            person = Person(self._url, dice, self.tally)
            await person.live([] if place % 3 == 2 else self._said, lambda: place < self.wanted)

    async def empty(self) -> None:
        self.want(0)
        await asyncio.gather(*self._places.values())

    def taken(self) -> Tally:
        """What came of it since this was asked last."""
        now, self.total.voice, self.total.text = Tally(), [*self.total.voice, *self.tally.voice], [*self.total.text, *self.tally.text]
        now.voice, now.text, now.errors = self.tally.voice[:], self.tally.text[:], Counter(self.tally.errors)
        self.total.counts.update(self.tally.counts)
        self.total.errors.update(self.tally.errors)
        for each in (self.tally.voice, self.tally.text, self.tally.counts, self.tally.errors):
            each.clear()
        return now


class Gauge:
    """Looks at the daemon."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._cpu, self._at, self._began = cpu_seconds(Path(f"/proc/{server.pid}/stat")), monotonic(), monotonic()

    def look(self, people: int, tally: Tally) -> Sample:
        now, cpu, server = monotonic(), cpu_seconds(Path(f"/proc/{self._server.pid}/stat")), self._server
        load, self._cpu, self._at = (cpu - self._cpu) / (now - self._at), cpu, now
        metrics, status = self._metrics(), Path(f"/proc/{server.pid}/status").read_text()

        def at(percent: float, values: list[float]) -> float | None:
            return round(percentile(values, percent), 1) if values else None

        return Sample(
            seconds=round(now - self._began, 1),
            people=people,
            sessions=int(metrics["realtime_sessions_open"]),
            load=round(load, 4),
            rss_mb=round(server.resident_kb() / 1024, 2),
            pss_mb=round(server.memory_kb() / 1024, 2),
            children_mb=round(sum(_resident_kb(child) for child in self._children()) / 1024, 2),
            files=server.files(),
            threads=int(re.findall(r"Threads:\s+(\d+)", status)[0]),
            tasks=int(metrics["realtime_tasks"]),
            voice_p50=at(50, tally.voice),
            voice_p99=at(99, tally.voice),
            text_p50=at(50, tally.text),
            text_p99=at(99, tally.text),
            errors=tally.errors.total(),
        )

    def _metrics(self) -> Counter[str]:
        """Sums over all labels."""
        sums: Counter[str] = Counter()
        with urllib.request.urlopen(f"http://127.0.0.1:{self._server.port}/metrics") as page:
            for name, value in re.findall(r"^(\w+)(?:{.*})? (\S+)$", page.read().decode(), re.MULTILINE):
                sums[name] += float(value)  # type: ignore[assignment]
        return sums

    def _children(self) -> Iterator[int]:
        for task in Path(f"/proc/{self._server.pid}/task").iterdir():
            with suppress(OSError):  # the thread has ended
                yield from map(int, (task / "children").read_text().split())


def _resident_kb(pid: int) -> int:
    try:
        return resident_kb(pid)
    except (OSError, StopIteration):  # it has ended
        return 0


def regulated(last: Sample, load: float) -> int:
    """How many people the next sample is to have."""
    return max(1, last.people + max(-STEP, min(STEP, round((load / max(last.load, 0.01) - 1) * last.people))))


def held(samples: Sequence[Sample], load: float) -> int:
    """How many people make that load, by the last samples."""
    return max(1, round(load * sum(sample.people for sample in samples) / sum(sample.load for sample in samples)))


async def soak(server: Server, said: list[Int16], seconds: float, load: float) -> tuple[Sample, list[Sample], Sample, Tally]:
    """At rest before; the samples; at rest after; what came of it."""
    crowd, gauge, samples = Crowd(server.url, said), Gauge(server), list[Sample]()

    async def look() -> Sample:
        return await asyncio.to_thread(gauge.look, crowd.wanted, crowd.taken())

    async def sampled(until: float, *, regulate: bool) -> None:
        while monotonic() - begun < until:
            await asyncio.sleep(SAMPLE_SECONDS)
            samples.append(await look())
            print(msgspec.json.encode(samples[-1]).decode(), flush=True)
            crowd.want(regulated(samples[-1], load) if regulate else crowd.wanted)  # should a place have broken down, it is filled

    async def rested() -> Sample:
        await crowd.empty()
        await asyncio.sleep(REST_SECONDS)
        return await look()

    begun = monotonic()
    crowd.want(FIRST)
    await sampled(seconds / 10, regulate=True)
    people = held(samples[-len(samples) // 2 :], load)
    before = await rested()
    crowd.want(people)
    await sampled(seconds, regulate=False)
    return before, samples, await rested(), crowd.total


def judged_part(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The last three quarters of the time."""
    end = samples[-1].seconds
    return [sample for sample in samples if sample.seconds > end / 4]


class Verdict(Struct, frozen=True):
    what: str
    says: str
    passed: bool


def pools(cores: int) -> int:
    """Threads that a daemon may have: the loop's and the store's, asyncio's own pool (cores + 4), conversions and readers of files (cores
    each), and a timer for each file that is read. Pools grow when one more is wanted while all work, which may be after an hour."""
    return 2 + (cores + 4) + 3 * cores


def judged(before: Sample, samples: Sequence[Sample], after: Sample, total: Tally) -> tuple[dict[str, Trend], list[Verdict]]:
    """By the last three quarters."""
    late = judged_part(samples)
    block = min(BLOCK, len(late) // 3)
    seconds, names = [sample.seconds for sample in late], ("rss_mb", "pss_mb", "files", "threads", "tasks", "sessions", "load")
    trends = {name: trend(seconds, [float(getattr(sample, name)) for sample in late], block) for name in names}
    verdicts = []
    for name in ("rss_mb", "pss_mb", "files", "tasks"):
        line = trends[name]
        says = f"{line.slope:+.2f} an hour, standard error {line.error:.2f}, mean {line.mean:.1f}"
        verdicts.append(Verdict(f"{name} within noise", says, not line.grows))
    most, bound = max(sample.threads for sample in samples), pools(os.cpu_count() or 1)
    verdicts.append(Verdict("threads within the pools", f"{most} at the most, {bound} may be", most <= bound))
    for name in ("files", "tasks", "sessions"):
        first, last = getattr(before, name), getattr(after, name)
        verdicts.append(Verdict(f"{name} at rest", f"{first} before, {last} after", last <= first))
    lost = {code: count for code, count in total.errors.items() if count}
    verdicts.append(Verdict("nothing went wrong", json.dumps(lost), not lost))
    return trends, verdicts


def written(path: Path, here: Machine, settings: dict[str, object], seen: tuple[Sample, list[Sample], Sample, Tally]) -> bool:
    """Write and print the result; did everything pass?"""
    before, samples, after, total = seen
    trends, verdicts = judged(before, samples, after, total)
    late = judged_part(samples)
    halves = {"second": late[: len(late) // 3], "last": late[-len(late) // 3 :]}
    quarters = {
        f"{which}_quarter": {
            name: round(statistics.median(value for each in part if (value := getattr(each, name)) is not None), 1)
            for name in ("voice_p50", "voice_p99", "text_p50", "text_p99")
            if any(getattr(each, name) is not None for each in part)
        }
        for which, part in halves.items()
    }
    whole = {
        name: {"p50": round(percentile(values, 50), 1), "p99": round(percentile(values, 99), 1), "turns": len(values)}
        for name, values in (("voice_ms", total.voice), ("text_ms", total.text))
        if values
    }
    summary = {
        "load": round(statistics.fmean(sample.load for sample in late), 3),
        "people": late[-1].people,
        "sessions": round(statistics.fmean(sample.sessions for sample in late), 1),
        "latency": whole | quarters,
        "counts": dict(total.counts),
        "errors": dict(total.errors),
        "trends_an_hour": {name: [float(f"{each:.4g}") for each in msgspec.structs.astuple(line)] for name, line in trends.items()},
        "verdicts": [msgspec.to_builtins(verdict) for verdict in verdicts],
    }
    head = msgspec.json.format(msgspec.json.encode({"machine": here, "settings": settings, **summary}), indent=1).decode()
    rows = ",\n  ".join(msgspec.json.encode(sample).decode() for sample in (before, *samples, after))
    path.write_text(f'{head[: head.rindex("}")].rstrip()},\n "samples": [\n  {rows}\n ]\n}}\n')
    print(head)
    for verdict in verdicts:
        print(f"{'PASS' if verdict.passed else 'FAIL'}  {verdict.what}: {verdict.says}", flush=True)
    return all(verdict.passed for verdict in verdicts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--load", type=float, default=0.7, help="share of one core that the daemon is to take")
    parser.add_argument("--output", type=Path, default=RESULTS / "soak_hour.json")
    asked = parser.parse_args()
    here, said = machine(), utterances(8)
    pace = {"--stt": STT_MS, "--llm": LLM_MS, "--token": TOKEN_MS, "--tts": TTS_MS}
    paced = [word for name, ms in pace.items() for word in (name, str(ms / 1000))]
    kept = ("--store", "sqlite", "--store-mb", str(STORE_MB), "--resume-seconds", str(RESUME_SECONDS), "--context-tokens", "4096")
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as folder,
        started("-m", "bench.stub", *paced) as stub,
        daemon(*ENDPOINT, *kept, "--vad", "silero", "--state-dir", folder, "--base-url", stub.base_url) as server,
    ):
        seen = asyncio.run(soak(server, said, asked.minutes * 60, asked.load))
    settings: dict[str, object] = {"minutes": asked.minutes, "load": asked.load, "store_mb": STORE_MB, "stub": pace}
    return 0 if written(asked.output, here, settings, seen) else 1


if __name__ == "__main__":
    sys.exit(main())
