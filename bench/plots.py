"""Pictures of the committed result of every benchmark, as SVG beside it: `python -m bench plot`, with the extra `bench` installed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from bench.figures import RESULTS, Figure, Result, kept
from bench.voice_turns import BUDGET_MS, FLOOR_MS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEGS = ("silence", "detector_hold", "transcript", "first_token", "first_clause", "first_sound")
SILENCE_MS = 500

COLOURS = ("#d0d4da", "#8fa3b8", "#4c78a8", "#72b7b2", "#eeca3b", "#e45756")
GOOD, BAD = "#4c9f70", "#e45756"


def main() -> int:
    try:
        from matplotlib import pyplot
    except ImportError:
        print("Plots need matplotlib: pip install 'realtime-daemon[bench]'", file=sys.stderr)
        return 1
    result = kept("all")
    if result is None:
        print("There is no bench/results/all.json yet: python -m bench all --save", file=sys.stderr)
        return 1
    # The same numbers give the same file, so that a diff shows what has changed.
    pyplot.rcParams.update({"svg.hashsalt": "realtime", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False})
    for name, draw, size in (("budgets", _budgets, (8, 5)), ("voice_turns", _voice_turns, (8, 3)), ("audio_ingest", _audio_ingest, (8, 3))):
        figure, axes = pyplot.subplots(figsize=size, layout="constrained")
        draw(axes, result)
        figure.supxlabel(_caption(result), fontsize=7, color="#666666")
        figure.savefig(RESULTS / f"{name}.svg", metadata={"Date": None})
        print(RESULTS / f"{name}.svg")
    return 0


def _caption(result: Result) -> str:
    machine = result.machine
    load = f"load {machine.load[0]:.1f} at the start"
    return f"{machine.processor}, {machine.cores} cores, Python {machine.python}, {machine.at[:10]}, {load}"


def _budgets(axes: Axes, result: Result) -> None:
    """How much of its budget each figure takes."""
    judged = [(figure.name, _share(figure)) for figure in result.figures if figure.met is not None]
    names, shares = zip(*reversed(judged), strict=True)
    drawn = [min(share, 3.0) for share in shares]
    bars: Any = axes.barh(names, drawn, color=[GOOD if share <= 1 else BAD for share in shares])
    axes.bar_label(bars, [f"{share:.2f}" for share in shares], padding=3)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlim(0, 3.2)
    axes.set_title("Share of the budget; up to 1 it is met (bars end at 3)")


def _share(figure: Figure) -> float:
    value = figure.ratio if figure.of == "ratio" else figure.value
    return (value or 0.0) / (figure.budget or 1.0)


def _voice_turns(axes: Axes, result: Result) -> None:
    """Where the wait for an answer goes, for each number of sessions."""
    rows = [figure for figure in result.figures if figure.name.startswith("voice_turns.") and "detector_hold" in figure.detail]
    labels = [figure.name.removeprefix("voice_turns.") for figure in rows]
    start = [0.0] * len(rows)
    for leg, colour in zip(LEGS, COLOURS, strict=True):
        widths = [float(SILENCE_MS) if leg == "silence" else max(0.0, figure.detail[leg]) for figure in rows]
        axes.barh(labels, widths, left=start, color=colour, label=leg.replace("_", " "))
        start = [before + width for before, width in zip(start, widths, strict=True)]
    axes.plot([figure.detail["p95"] for figure in rows], labels, "k|", markersize=12, label="p95")
    axes.axvline(FLOOR_MS, color="black", linestyle=":", linewidth=1, label="floor")
    axes.axvline(BUDGET_MS, color="black", linewidth=1, label="budget, 1 session")
    axes.invert_yaxis()
    axes.set_title("Voice turns behind a stub: medians of each part of the wait, in ms, by sessions")
    axes.legend(ncols=5, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.1))


def _audio_ingest(axes: Axes, result: Result) -> None:
    """CPU of a second of sound, by sessions."""
    for ms, style in ((20, "-"), (100, "--")):
        counts = [count for count in (1, 10, 50, 100) if result.named(f"audio_ingest.{count}x{ms}ms")]
        bulk = [figure for count in counts if (figure := result.named(f"audio_ingest.{count}x{ms}ms"))]
        paced = [figure for count in counts if (figure := result.named(f"audio_ingest.{count}x{ms}ms.paced"))]
        places = [str(count) for count in counts]
        axes.plot(places, [figure.value for figure in bulk], style, color=COLOURS[5], marker="o", label=f"daemon, {ms} ms")
        axes.plot(places, [figure.floor or 0 for figure in paced], style, color=COLOURS[2], marker="o", label=f"paced floor, {ms} ms")
        axes.plot(places, [figure.floor or 0 for figure in bulk], style, color=COLOURS[1], marker="o", label=f"bulk floor, {ms} ms")
    axes.set_ylim(0)
    axes.set_title("CPU of a second of one session's sound, in ms, by sessions")
    axes.legend(ncols=2, fontsize=7)
