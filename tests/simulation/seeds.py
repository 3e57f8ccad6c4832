"""Runs seeds, in several processes where that is wanted, and sums up what came of them."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

USAGE = """\
    python -m tests.simulation --seed N                     one seed, and what became of it
    python -m tests.simulation --seeds A..B [--jobs J]      those from A to B, B included, in J processes
                               [--state FILE]               which is brought up to date as they end; started again, it goes on from there

Ends with a summary, in JSON. Each seed that failed is told as the line that replays it, and makes the exit status 1.
"""

CHUNK = 50
"""Seeds that a process runs before it says so."""

MAX_TOLD = 100
"""Failing seeds that a summary names."""


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    first, last = options.seed, options.seed
    if options.seeds is not None:
        begin, _, end = options.seeds.partition("..")
        first, last = int(begin), int(end)
    summary = _remembered(options.state, first, last)
    chunks = [(at, min(at + CHUNK, last + 1)) for at in range(summary["next"], last + 1, CHUNK)]
    for done in _run(chunks, options.jobs):
        _add(summary, done)
        for failure in done["failures"]:
            _tell(failure)
        if options.state is not None:
            options.state.write_text(json.dumps(summary, indent=1))
        if options.fail_fast and summary["failed"]:
            break
    if summary["run"]:
        summary["mean_ms"] = round(summary["cpu_ms"] / summary["run"], 2)
    print(json.dumps(summary, indent=1))
    return 1 if summary["failed"] else 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=USAGE, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", metavar="A..B")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--fail-fast", action="store_true")
    return parser.parse_args(arguments)


def _remembered(state: Path | None, first: int, last: int) -> dict[str, Any]:
    fresh = {"first": first, "next": first, "run": 0, "failed": 0, "hours": 0.0, "cpu_ms": 0.0, "events": {}, "faults": {}, "failing": []}
    if state is None or not state.exists():
        return fresh
    summary: dict[str, Any] = json.loads(state.read_text())
    if summary["first"] != first:
        sys.exit(f"{state} is about seeds from {summary['first']} on")
    return summary


def _run(chunks: list[tuple[int, int]], jobs: int) -> Iterator[dict[str, Any]]:
    """What came of each, in order."""
    if jobs == 1:
        yield from map(_chunk, chunks)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(_chunk, chunks)


def _chunk(seeds: tuple[int, int]) -> dict[str, Any]:
    from tests.simulation.world import play

    done: dict[str, Any] = {"next": seeds[1], "run": 0, "hours": 0.0, "failures": [], "traces": []}
    events: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    began = time.process_time()
    for seed in range(*seeds):
        outcome = play(seed)
        done["run"] += 1
        done["hours"] += outcome.seconds / 3600
        done["traces"].append(outcome.trace)
        events += outcome.events
        faults += outcome.faults
        if outcome.failures:
            done["failures"].append((seed, outcome.failures))
    return done | {"cpu_ms": (time.process_time() - began) * 1000, "events": events, "faults": faults}


def _add(summary: dict[str, Any], done: dict[str, Any]) -> None:
    for name in ("run", "hours", "cpu_ms"):
        summary[name] = round(summary[name] + done[name], 3)
    for name in ("events", "faults"):
        summary[name] = dict(sorted((Counter(summary[name]) + done[name]).items()))
    summary["next"] = done["next"]
    summary["failed"] += len(done["failures"])
    summary["failing"] = (summary["failing"] + [seed for seed, _ in done["failures"]])[:MAX_TOLD]
    if len(done["traces"]) == 1:
        summary["trace"] = done["traces"][0]


def _tell(failure: tuple[int, list[str]]) -> None:
    seed, failures = failure
    print(f"FAILED: python -m tests.simulation --seed {seed}", flush=True)
    for why in failures:
        print(f"    {why}", flush=True)
