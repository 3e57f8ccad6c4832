"""Run every test once, then hold each package to the branch coverage that it owes.

The run notes which test reached which line, so one run tells whether the tests of a package alone cover it.
"""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import coverage

OWN_TESTS = {"wire": 100, "media": 100, "session": 100}
"""Percent that the tests beside a package reach by themselves: these packages are pure, so nothing in them is hard to reach."""

ELSEWHERE = 90
"""Percent that all tests together reach in every other package; the rest is for failures of machines that no test can stage."""

IMPORTING = "^$"
"""Context of what runs while modules are imported, before any test."""


def main() -> int:
    status, summary = _pytest()
    if status == 0 and not _gates_hold():
        status = 1
    print(summary)
    return status


def _pytest() -> tuple[int, str]:
    """Run the tests, but for those of other people's SDKs (see `.ci/run`), showing the output as it comes; return status and last line."""
    command = [sys.executable, "-m", "pytest", "--ignore=tests/compat", "--cov", "--cov-context=test", "--cov-report="]
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    summary = ""
    with subprocess.Popen([*command, *colour], stdout=subprocess.PIPE, text=True, bufsize=1) as process:  # noqa: S603
        for line in process.stdout or ():
            print(line, end="", flush=True)
            summary = line.strip() or summary
    return process.returncode, summary


def _gates_hold() -> bool:
    data = coverage.Coverage()
    data.load()
    packages = sorted(path.parent.name for path in Path("realtime").glob("*/__init__.py"))
    held = [_gate_holds(data, f"realtime/{name}/**", OWN_TESTS.get(name), f"^tests/{name}/") for name in packages]
    held.append(_gate_holds(data, "realtime/*.py", None, ""))
    return all(held)


def _gate_holds(data: coverage.Coverage, include: str, own: int | None, tests: str) -> bool:
    report = io.StringIO()
    contexts = [IMPORTING, tests] if own else None
    reached = data.report(include=[include], contexts=contexts, file=report, show_missing=True, skip_covered=True, skip_empty=True)
    owed = own or ELSEWHERE
    print(f"{include}: {reached:.1f} % of lines and branches{' by its own tests' if own else ''}, owes {owed} %")
    if reached < owed:
        print(report.getvalue())
    return reached >= owed


if __name__ == "__main__":
    sys.exit(main())
