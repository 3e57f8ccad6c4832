"""Runs a set of benchmarks, says which budgets are met, and compares with the last result that was committed.

    python -m bench short            what CI runs, in some three minutes
    python -m bench all              every question, in some twenty minutes
    python -m bench memory core      these, in full
    python -m bench readme           writes bench/results/all.json into the table of bench/README.md
    python -m bench plot             draws it (extra: bench)

`--save` makes the result the one that later runs are compared with; `short` runs twice then, and the worse run of each figure is kept, or
one that was lucky would have every later one fail. Exit status 1: a ratio has worsened by more than a quarter, and did so
again when its benchmark was run a second time; or, of `all`, a budget is missed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm
from websockets.exceptions import WebSocketException

from bench.figures import (
    EFFORTS,
    RESULTS,
    WORSE,
    Effort,
    Figure,
    Result,
    Step,
    Unavailable,
    better,
    kept,
    machine,
    markdown,
    table,
    worse,
    worsened,
    write,
)

EVERY = (
    "core",
    "text_delta",
    "growth",
    "audio_ingest",
    "memory",
    "cold_start",
    "first_sound",
    "barge_in",
    "voice_turns",
    "turn_latency",
    "transcription",
    "media",
    "soak",
)

SHORT = ("core", "text_delta", "audio_ingest", "memory", "cold_start", "first_sound", "barge_in", "voice_turns", "transcription")

README = Path(__file__).parent / "README.md"

BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
"""Around the table of the README."""

NOTHING_SKIPPED = bool(os.environ.get("REALTIME_NO_SKIPS"))
"""CI sets it: whatever a benchmark needs has been installed there, so its absence is a mistake of CI's."""

BROKE_DOWN = (AssertionError, OSError, TimeoutError, SystemExit, subprocess.SubprocessError, WebSocketException)
"""What a benchmark raises when something is wrong with the server that it measures."""

Measure = Callable[[Effort, Step], list[Figure]]


def named(name: str) -> Measure:
    measure: Measure = importlib.import_module(f"bench.{name}").measure
    return measure


class Bar:
    """How far it is: a bar on a terminal, lines elsewhere."""

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._bar = tqdm(total=len(names), unit="benchmark", disable=None, file=sys.stderr)

    def begin(self, name: str) -> Step:
        """Say what runs; what is returned says more."""
        if self._bar.disable:
            print(f"[{self._names.index(name) + 1}/{len(self._names)}] {name}", file=sys.stderr, flush=True)
        self._bar.set_description_str(name)
        return lambda what: self._bar.set_postfix_str(what)

    def end(self) -> None:
        self._bar.update()

    def close(self) -> None:
        self._bar.close()


def run(set: str, names: list[str], effort: Effort) -> Result:
    """The figures of these benchmarks."""
    result = Result(set, machine(), [], {}, {})
    bar = Bar(names)
    for name in names:
        try:
            result.figures.extend(named(name)(effort, bar.begin(name)))
        except Unavailable as error:
            result.skipped[name] = str(error)
        except BROKE_DOWN as error:  # the others may still have something to tell
            traceback.print_exc()
            result.failed[name] = repr(error)
        bar.end()
    bar.close()
    return result


def again(figures: list[Figure], names: list[str], effort: Effort, which: Callable[[Figure, Figure], Figure]) -> list[Figure]:
    """Run these once more; `which` run of a figure counts?"""
    second = {figure.name: figure for figure in run("again", names, effort).figures}
    return [which(figure, second.get(figure.name, figure)) for figure in figures]


def judged(result: Result, before: Result | None, *, budgets: bool) -> int:
    """Print what came of it; return the exit status."""
    print("\n".join(table(result.figures, before)))
    for name, why in result.skipped.items():
        print(f"{name} could not run: {why}")
    for name, how in result.failed.items():
        print(f"{name} broke down: {how}")
    missed = [figure.name for figure in result.figures if figure.met is False]
    print(f"budgets missed: {', '.join(missed) or 'none'}")
    grown = worsened(result.figures, before, result.machine) if before else []
    for figure in grown:
        then = before.named(figure.name) if before else None
        print(f"worsened by more than {WORSE - 1:.0%}: {figure.name}, ratio {figure.ratio:.2f}, was {then and then.ratio:.2f}")
    return int(bool(grown or result.failed or (budgets and missed) or (NOTHING_SKIPPED and result.skipped)))


def written() -> int:
    """Put the table of the committed result into the README."""
    result = kept("all")
    if result is None:
        print("There is no bench/results/all.json yet: python -m bench all --save", file=sys.stderr)
        return 1
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    README.write_text(f"{before}{BEGIN}\n{markdown(result)}{END}{rest.partition(END)[2]}", encoding="utf-8")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", metavar="SET|NAME", choices=("short", "all", "plot", "readme", *EVERY), help=", ".join(EVERY))
    parser.add_argument("--effort", choices=EFFORTS, help="other than the set's own; tiny only shows that it runs")
    parser.add_argument("--save", action="store_true", help="keep the result in bench/results, to compare with from now on")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the result there, too")
    options = parser.parse_args()
    if options.what == ["plot"]:
        from bench import plots

        return plots.main()
    if options.what == ["readme"]:
        return written()
    set = options.what[0] if options.what in (["short"], ["all"]) else "all"
    names = list({"short": SHORT, "all": EVERY}.get(options.what[0], options.what))
    effort = EFFORTS[options.effort or ("short" if set == "short" else "full")]
    before, begun = kept(set), time.monotonic()
    result = run(set, names, effort)
    here = result.machine
    if options.save and set == "short":
        print("once more: what is kept is the run of each figure that more noise fell on", file=sys.stderr)
        result.figures[:] = again(result.figures, names, effort, worse)
    elif before and (grown := worsened(result.figures, before, here)):
        suspects = sorted({figure.name.split(".")[0] for figure in grown})
        print(f"worse than before, so once more: {', '.join(suspects)}", file=sys.stderr)
        result.figures[:] = again(result.figures, suspects, effort, better)
    status = judged(result, before, budgets=options.what == ["all"])
    print(f"{(time.monotonic() - begun) / 60:.1f} minutes; {here.cores} cores, {here.processor}; load {here.load[0]:.1f} at the start")
    if options.output:
        write(result, options.output)
    if options.save:
        write(result, RESULTS / f"{set}.json")
    return status


if __name__ == "__main__":
    sys.exit(main())
