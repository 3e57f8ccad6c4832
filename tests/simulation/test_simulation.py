"""Seeds of the simulation, in a process of their own: its hashes are fixed there, so that a seed is the same everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.day import Hour, growth

SEEDS = int(os.environ.get("REALTIME_SIMULATION_SEEDS", "300"))
"""Some fifteen seconds; CI runs more."""

ROOT = Path(__file__).parent.parent.parent


def simulate(*arguments: str) -> tuple[int, str, dict[str, Any]]:
    """Exit status, what was told of failures, and the summary."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONASYNCIODEBUG", "PYTHONHASHSEED")}
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    told, brace, summary = done.stdout.rpartition("\n{") if not done.stdout.startswith("{") else ("", "{", done.stdout[1:])
    assert brace, done.stdout + done.stderr
    return done.returncode, told, json.loads("{" + summary)


@pytest.mark.timeout(max(120, SEEDS // 2))
def test_whatever_fails_and_whoever_comes_the_daemon_keeps_its_promises() -> None:
    status, told, summary = simulate("--seeds", f"1..{SEEDS}")
    assert status == 0, told
    assert summary["run"] == SEEDS
    assert summary["events"]["received"] > 10 * SEEDS, "people were answered"


@pytest.mark.parametrize("seed", ["7", "49", "62", "226"])
def test_a_seed_is_the_same_every_time(seed: str) -> None:
    traces = [simulate("--seed", seed)[2]["trace"] for _ in range(2)]
    assert traces[0] == traces[1]


def test_eight_hours_leave_nothing_behind() -> None:
    command = [sys.executable, "-m", "tests.simulation.day", "--hours", "8"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False)
    summary = json.loads(done.stdout)
    assert (done.returncode, summary["failures"]) == (0, [])
    assert summary["people"] > 400
    assert len(summary["hours"]) == 8


def test_what_is_kept_of_everybody_is_noticed() -> None:
    def hours(objects: list[int]) -> list[Hour]:
        return [Hour(people=50, stored=0, objects=count, tasks=2, timers=2) for count in objects]

    assert growth(hours([9000, 9000, 9000, *[1000, 1020] * 4])) == []
    assert growth(hours([1000 + 50 * hour for hour in range(11)])) == ["objects grew from 1175 to 1475, while 300 people came"]
    assert growth(hours([1, 2, 3, 4, 5])) == [], "too short a time to tell"
