"""The session as a whole: conversations as they are written down, and a walk that tries what nobody thought of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rigs.transcript import Transcript

TRANSCRIPTS = sorted((Path(__file__).parent.parent / "transcripts").glob("*.jsonl"))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_the_conversation_goes_as_it_is_written(path: Path, request: pytest.FixtureRequest) -> None:
    transcript = Transcript(path)
    if request.config.getoption("--rewrite"):
        transcript.rewrite()
    difference = transcript.difference()
    assert not difference, f"\n{difference}"
