"""Prometheus's own judge of metrics and rules: on the path, or out of Debian's package `prometheus`, whose service nobody wants here."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.rigs.debian import unpacked

PLACE = Path("usr/bin/promtool")


@cache
def promtool() -> Path:
    """The program. Skips the test where there is none."""
    installed = shutil.which("promtool")
    if installed:
        return Path(installed)
    folder = unpacked("prometheus", ["prometheus"], [PLACE])
    if isinstance(folder, str):
        pytest.skip(folder)
    return folder / PLACE


def check(*arguments: str, input: str = "") -> str:
    """What `promtool check ...` has to say; fails where it finds anything wrong."""
    command = [str(promtool()), "check", *arguments]
    done = subprocess.run(command, input=input, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
