"""Seeds of the simulation, in a process of their own: its hashes are fixed there, so that a seed is the same everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
