"""What a benchmark gives: figures, each beside its floor and its budget; and results, which are figures of one run on one machine.

Of every figure less is better: what is faster than something else is told as a share of its time. A ratio is the median of the ratios of
rounds, in each of which floor and server ran one after the other, so that a neighbour's noise falls on both.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

RESULTS = Path(__file__).parent / "results"

WORSE = 1.25
"""A ratio that has grown to so many times what it was has worsened; less is the noise of machines that others use, too."""

PACKAGES = ("websockets", "aiohttp", "msgspec", "numpy", "onnxruntime", "ctranslate2", "faster-whisper")

Bounded = Literal["ratio", "value"]
"""What a budget bounds."""

Step = Callable[[str], None]
"""Told what is measured next."""


class Unavailable(Exception):
    """What a benchmark needs is not here; the message says what."""


class Effort(Struct, frozen=True):
    """How much is done for a figure."""

    rounds: int
    """Medians are over these."""
    share: float
    """Of the work that a round of the full form does."""

    @property
    def full(self) -> bool:
        return self.share >= 1

    def of(self, count: int, least: int = 1) -> int:
        """So much of that work."""
        return max(least, round(count * self.share))


EFFORTS = {"tiny": Effort(1, 0.05), "short": Effort(3, 0.2), "full": Effort(5, 1.0)}
"""Tiny says nothing but that it runs; short is CI's."""


class Figure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row of the table."""

    name: str
    """`<benchmark>.<what>`."""
    unit: str
    value: float
    """The daemon's."""
    floor: float | None = None
    """What it is set beside, of the same run, in the same unit."""
    ratio: float | None = None
    budget: float | None = None
    of: Bounded = "ratio"
    portable: bool = True
    """Would another machine have about the same ratio? Others are compared on the same kind of machine alone."""
    detail: dict[str, float] = {}
    """What it is made of, or further measures of it, by name."""

    @property
    def met(self) -> bool | None:
        """Is it within its budget? None where it has none."""
        judged = self.ratio if self.of == "ratio" else self.value
        return None if self.budget is None or judged is None else judged <= self.budget


def beside(
    name: str, unit: str, pairs: Sequence[tuple[float, float]], *, budget: float | None = None, of: Bounded = "ratio", **more: float
) -> Figure:
    """A figure of rounds, each a floor and a value; `more` is its detail."""
    return Figure(
        name=name,
        unit=unit,
        value=statistics.median(value for _, value in pairs),
        floor=statistics.median(floor for floor, _ in pairs),
        ratio=statistics.median(value / floor for floor, value in pairs),
        budget=budget,
        of=of,
        detail=more,
    )


def against(name: str, unit: str, values: Sequence[float], floor: float, *, budget: float | None = None, **more: float) -> Figure:
    """A figure beside a floor that is arithmetic, or that hardly varies; its budget is one of the value."""
    value = statistics.median(values)
    return Figure(name=name, unit=unit, value=value, floor=floor, ratio=value / floor, budget=budget, of="value", detail=more)


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest that is no less than so many percent of them."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


class Machine(Struct, frozen=True):
    """Where and when it was measured."""

    at: str
    commit: str
    system: str
    processor: str
    cores: int
    memory_mb: int
    python: str
    packages: dict[str, str]
    load: tuple[float, float, float]
    """Processes that wanted a core before it began: means of 1, 5 and 15 minutes."""


def machine() -> Machine:
    """This one, now (Linux)."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=RESULTS.parent)
    return Machine(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=git.stdout.strip(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=named[0] if named else platform.processor(),
        cores=os.cpu_count() or 1,
        memory_mb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        python=platform.python_version(),
        packages={name: version(name) for name in PACKAGES},
        load=os.getloadavg(),
    )


class Result(Struct, frozen=True):
    """One run."""

    set: str
    machine: Machine
    figures: list[Figure]
    skipped: dict[str, str] = {}
    """Benchmarks that could not run here, and why."""
    failed: dict[str, str] = {}
    """Those that broke down, and how."""

    def named(self, name: str) -> Figure | None:
        return next((figure for figure in self.figures if figure.name == name), None)


def kept(set: str) -> Result | None:
    """The committed result of a set."""
    path = RESULTS / f"{set}.json"
    return msgspec.json.decode(path.read_bytes(), type=Result) if path.exists() else None


def write(result: Result, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(_rounded(result)), indent=1) + b"\n")


def _rounded(result: Result) -> Result:
    """Four digits: the rest is noise, and noise in every line of a diff."""

    def short(number: float) -> float:
        return float(f"{number:.4g}")

    figures = [
        msgspec.structs.replace(
            figure,
            value=short(figure.value),
            floor=None if figure.floor is None else short(figure.floor),
            ratio=None if figure.ratio is None else short(figure.ratio),
            detail={name: short(number) for name, number in figure.detail.items()},
        )
        for figure in result.figures
    ]
    return msgspec.structs.replace(result, figures=figures)


def worsened(figures: Iterable[Figure], before: Result, here: Machine) -> list[Figure]:
    """Those whose ratio has grown by more than the noise of a machine. What has no ratio can't be compared."""
    alike = (here.processor, here.cores) == (before.machine.processor, before.machine.cores)
    pairs = [(figure, before.named(figure.name)) for figure in figures if figure.portable or alike]
    return [now for now, then in pairs if then and now.ratio and then.ratio and now.ratio > then.ratio * WORSE]


def better(first: Figure, second: Figure) -> Figure:
    """Of two runs the one that less noise fell on."""
    if first.ratio is None or second.ratio is None:
        return first if first.value <= second.value else second
    return first if first.ratio <= second.ratio else second


def worse(first: Figure, second: Figure) -> Figure:
    """Of two runs the one that more noise fell on."""
    return second if better(first, second) is first else first


def _row(figure: Figure) -> tuple[str, str, str, str, str, str]:
    return (
        figure.name,
        "" if figure.floor is None else f"{figure.floor:.4g} {figure.unit}",
        f"{figure.value:.4g} {figure.unit}",
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        "" if figure.budget is None else f"{figure.budget:.3g}{'' if figure.of == 'ratio' else f' {figure.unit}'}",
        {None: "", True: "met", False: "MISSED"}[figure.met],
    )


def markdown(result: Result) -> str:
    """The table of bench/README.md."""
    here = result.machine
    lines = ["| Figure | Floor | Daemon | Ratio | Budget | |", "|---|---|---|---|---|---|"]
    lines += ["| " + " | ".join((f"`{name}`", *cells)) + " |" for name, *cells in map(_row, result.figures)]
    where = f"{here.processor}, {here.cores} cores, {here.system}, Python {here.python}, commit {here.commit}, {here.at[:16]}"
    return "\n".join([*lines, "", f"Measured on {where}; load {here.load[0]:.1f} at the start."]) + "\n"


def table(figures: Sequence[Figure], before: Result | None = None) -> list[str]:
    """Lines for a terminal."""
    rows = [("figure", "floor", "daemon", "ratio", "budget", "", "before")]
    for figure in figures:
        then = before.named(figure.name) if before else None
        rows.append((*_row(figure), f"{then.ratio:.2f}" if then and then.ratio else ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def alone(measure: Callable[[Effort, Step], list[Figure]]) -> None:
    """What a benchmark does that is run by itself: `python -m bench.<name> [--effort full]`."""
    parser = argparse.ArgumentParser(description="One question of bench/README.md.")
    parser.add_argument("--effort", choices=EFFORTS, default="full", help="tiny only shows that it runs")
    options = parser.parse_args()
    here = machine()
    figures = measure(EFFORTS[options.effort], lambda what: print(f"  {what}", flush=True))
    print("\n".join(table(figures)))
    print(msgspec.json.encode(_rounded(Result(options.effort, here, figures))).decode())
