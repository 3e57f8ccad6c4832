"""What holds for every test: where skipping is forbidden, a skipped test has failed."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

NO_SKIPS = bool(os.environ.get("REALTIME_NO_SKIPS"))
"""CI sets it: there, whatever a test looks for has been installed, so its absence is a mistake of CI's."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="have tests/transcripts say what the session does now, for review")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        _forbid_skip(report)
    return report


def _forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if NO_SKIPS:
        report.outcome = "failed"
        report.longrepr = f"skipped where REALTIME_NO_SKIPS forbids it: {report.longrepr}"
