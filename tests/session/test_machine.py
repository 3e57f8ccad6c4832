"""The session as a whole: conversations as they are written down, and a walk that tries what nobody thought of."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.rigs.transcript import Transcript
from tests.rigs.walk import walk

TRANSCRIPTS = sorted((Path(__file__).parent.parent / "transcripts").glob("*.jsonl"))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_the_conversation_goes_as_it_is_written(path: Path, request: pytest.FixtureRequest) -> None:
    transcript = Transcript(path)
    if request.config.getoption("--rewrite"):
        transcript.rewrite()
    difference = transcript.difference()
    assert not difference, f"\n{difference}"


WALKS = 4
WALK_STEPS = max(10_000, int(os.environ.get("REALTIME_WALK_STEPS", "0")))
"""Steps of all walks together: a second or two, unless a longer walk is asked for."""


@pytest.mark.timeout(max(60, WALK_STEPS // 100))
@pytest.mark.parametrize("seed", range(1, WALKS + 1))
def test_a_walk_that_nobody_planned_breaks_no_rule(seed: int) -> None:
    seen = walk(seed, WALK_STEPS // WALKS)
    assert seen.keys() >= EVERYDAY, "the walk has become too tame to prove anything"


EVERYDAY = {
    *("SessionCreated", "SessionUpdated", "Error", "Close", "Detect", "Transcribe", "Generate", "Speak", "Abandon"),
    *("InputAudioBufferSpeechStarted", "InputAudioBufferSpeechStopped", "InputAudioBufferCommitted", "InputAudioBufferCleared"),
    *("ConversationItemRetrieved", "ConversationItemDeleted", "ConversationItemTruncated", "TranscriptionCompleted", "TranscriptionFailed"),
    *("ResponseOutputTextDone", "ResponseOutputAudioDelta", "ResponseOutputAudioDone"),
    *("completed", "cancelled", "incomplete", "failed"),
}
"""What every walk comes across."""
