"""Inputs that are kept: seeds that a target begins with, what a fuzzer found new ways with, and every input that once broke something.

Each is a file in `corpus/<target>/`, and is tried by every run of the tests. Those that broke something are called `crash-...`.
"""

from __future__ import annotations

from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


def kept(target: str) -> list[Path]:
    """The files of a target."""
    return sorted(path for path in (CORPUS / target).iterdir() if path.is_file())
