"""How the benchmarks judge: what a median, a budget and a worsened ratio are. What they measure, they show by themselves."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

import bench.__main__ as bench_main
from bench import figures
from bench.__main__ import BEGIN, END, EVERY, SHORT, again, judged, run
from bench.figures import (
    EFFORTS,
    Effort,
    Figure,
    Result,
    Step,
    Unavailable,
    against,
    beside,
    better,
    kept,
    machine,
    markdown,
    percentile,
    table,
    worse,
    worsened,
    write,
)
from bench.soak_hour import STEP, Sample, held, regulated, trend

ROOT = Path(__file__).parent.parent

RATIO = Figure(name="a.ratio", unit="us", value=3.0, floor=2.0, ratio=1.5, budget=1.5)


def result(*rows: Figure) -> Result:
    return Result("short", machine(), list(rows))


def test_a_ratio_is_the_median_of_the_rounds_and_not_that_of_the_medians() -> None:
    figure = beside("a", "us", [(1, 2), (10, 11), (100, 300)])
    assert (figure.floor, figure.value, figure.ratio) == (10, 11, 2)


def test_a_floor_that_is_arithmetic_has_a_budget_of_the_value() -> None:
    figure = against("a", "ms", [880, 910, 890], 870, budget=900)
    assert (figure.value, figure.met) == (890, True)


@pytest.mark.parametrize(("ratio", "met"), [(1.4, True), (1.5, True), (1.51, False)])
def test_a_budget_is_met_up_to_itself(ratio: float, met: bool) -> None:
    assert replace(RATIO, ratio=ratio).met is met


def test_what_has_no_budget_is_neither_met_nor_missed() -> None:
    assert replace(RATIO, budget=None).met is None


@pytest.mark.parametrize(("percent", "value"), [(50, 10), (95, 19), (100, 20), (1, 1)])
def test_a_percentile_is_one_of_the_values(percent: float, value: float) -> None:
    assert percentile(reversed(range(1, 21)), percent) == value


@pytest.mark.parametrize(("ratio", "worse"), [(1.0, False), (1.87, False), (1.88, True)])
def test_a_ratio_worsens_by_more_than_a_quarter(ratio: float, worse: bool) -> None:
    assert bool(worsened([replace(RATIO, ratio=ratio)], result(RATIO), machine())) is worse


def test_what_is_new_or_has_no_ratio_has_not_worsened() -> None:
    assert worsened([replace(RATIO, name="a.new", ratio=9.0), replace(RATIO, ratio=None, value=99)], result(RATIO), machine()) == []


@pytest.mark.parametrize(("cores", "worse"), [(machine().cores, True), (machine().cores + 1, False)])
def test_what_depends_on_the_machine_is_compared_on_its_like(cores: int, worse: bool) -> None:
    bound = replace(RATIO, portable=False)
    here = replace(machine(), cores=cores)
    assert bool(worsened([replace(bound, ratio=9.0)], result(bound), here)) is worse


def test_of_two_runs_the_better_counts_and_the_worse_is_kept_to_compare_with() -> None:
    noisy = replace(RATIO, ratio=2.0)
    assert better(noisy, RATIO) == better(RATIO, noisy) == RATIO
    assert worse(noisy, RATIO) == worse(RATIO, noisy) == noisy
    assert better(replace(RATIO, ratio=None, value=4), replace(RATIO, ratio=None)).value == 3


def test_what_worsened_once_by_noise_is_run_again_and_forgiven(monkeypatch: pytest.MonkeyPatch) -> None:
    class Calm:
        @staticmethod
        def measure(effort: Effort, step: Step) -> list[Figure]:
            return [RATIO]

    monkeypatch.setattr(importlib, "import_module", lambda name: Calm)
    noisy = replace(RATIO, ratio=3.0)
    assert again([noisy], ["a"], EFFORTS["tiny"], better) == [RATIO]
    assert again([RATIO], ["a"], EFFORTS["tiny"], worse) == [RATIO]


@pytest.mark.parametrize(("error", "where"), [(AssertionError("it hangs"), "failed"), (Unavailable("no models"), "skipped")])
def test_a_benchmark_that_does_not_come_through_leaves_the_others_be(monkeypatch: pytest.MonkeyPatch, error: Exception, where: str) -> None:
    def measure(effort: Effort, step: Step) -> list[Figure]:
        if effort.rounds == 1:
            raise error
        return [RATIO]

    monkeypatch.setattr(importlib, "import_module", lambda name: SimpleNamespace(measure=measure))
    monkeypatch.setattr(bench_main, "NOTHING_SKIPPED", False)
    broken = run("short", ["core"], EFFORTS["tiny"])
    assert (broken.figures, list(getattr(broken, where))) == ([], ["core"])
    assert judged(broken, None, budgets=False) == (where == "failed")
    assert run("short", ["core"], EFFORTS["short"]).figures == [RATIO]


def test_the_exit_status_tells_what_has_worsened(capsys: pytest.CaptureFixture[str]) -> None:
    assert judged(result(replace(RATIO, ratio=3.0)), result(RATIO), budgets=False) == 1
    assert "worsened by more than 25%: a.ratio, ratio 3.00, was 1.50" in capsys.readouterr().out


def test_a_missed_budget_is_told_and_fails_where_budgets_count(capsys: pytest.CaptureFixture[str]) -> None:
    missed = result(replace(RATIO, ratio=1.6))
    assert judged(missed, None, budgets=False) == 0
    assert judged(missed, None, budgets=True) == 1
    assert "budgets missed: a.ratio" in capsys.readouterr().out


def test_a_result_is_kept_with_four_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    assert kept("short") is None
    write(result(replace(RATIO, value=1.23456)), tmp_path / "short.json")
    again = kept("short")
    assert again is not None
    assert again.named("a.ratio") == replace(RATIO, value=1.235)


def test_the_table_says_what_was_before() -> None:
    [_, row] = table([RATIO], result(replace(RATIO, ratio=1.4)))
    assert row.split() == ["a.ratio", "2", "us", "3", "us", "1.50", "1.5", "met", "1.40"]


def test_every_benchmark_is_in_the_set_of_all_and_in_the_readme() -> None:
    sign = "\ndef measure(effort: Effort, step: Step)"
    measuring = {path.stem for path in (ROOT / "bench").glob("*.py") if sign in path.read_text(encoding="utf-8")}
    assert set(EVERY) == measuring
    assert set(SHORT) <= measuring
    readme = (ROOT / "bench" / "README.md").read_text(encoding="utf-8")
    assert [name for name in EVERY if f"`{name}.py`" not in readme] == []


def test_the_readme_shows_the_committed_result() -> None:
    committed = kept("all")
    assert committed is not None
    shown = (ROOT / "bench" / "README.md").read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert shown.strip() == markdown(committed).strip()


# The hour of soak (bench/soak_hour.py)


def test_growth_is_told_from_noise() -> None:
    seconds = [10.0 * index for index in range(90)]
    noise = [float(index * 7919 % 13) for index in range(90)]
    flat = trend(seconds, noise, 18)
    assert not flat.grows
    assert flat.mean == pytest.approx(6.0, abs=0.2)
    leak = trend(seconds, [value + second / 100 for second, value in zip(seconds, noise, strict=True)], 18)
    assert leak.grows
    assert leak.slope == pytest.approx(36.0, abs=4)


def sample(people: int, load: float) -> Sample:
    return Sample(0.0, people, people, load, 100.0, 90.0, 0.0, 50, 10, 60, None, None, None, None, 0)


def test_people_come_until_the_load_is_what_it_shall_be() -> None:
    assert regulated(sample(20, 0.35), 0.7) == 20 + STEP, "not all at once"
    assert regulated(sample(20, 0.875), 0.7) == 16
    assert regulated(sample(1, 5.0), 0.7) == 1
    assert held([sample(30, 0.6), sample(34, 0.68)], 0.7) == 35
