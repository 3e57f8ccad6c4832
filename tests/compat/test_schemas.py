"""One of every event that the server has, held against the SDKs' own types: also those that no conversation here brings about."""

from __future__ import annotations

import json

import pytest

from realtime.wire.beta import BetaCodec
from realtime.wire.codec import GaCodec
from realtime.wire.server import ServerEvent
from tests.rigs.wire_client import Event
from tests.wire.server_events import MCP_SAMPLES, SAMPLES, TRANSCRIPTION_SAMPLES, tag

pytest.importorskip("agents", reason="openai-agents is not installed (extra: compat)")


UNKNOWN_TO_BETA = {
    "input_audio_buffer.timeout_triggered": "came with GA's idle timeout",
    "conversation.item.input_audio_transcription.segment": "came with GA's transcripts by speaker",
}


def served(codec: GaCodec | BetaCodec, event: ServerEvent) -> list[Event]:
    return [json.loads(frame) for frame in codec.encode(event)]


@pytest.mark.parametrize("event", [*SAMPLES, *TRANSCRIPTION_SAMPLES, *MCP_SAMPLES], ids=lambda event: tag(type(event)))
def test_every_event_is_what_the_types_of_ga_say(event: ServerEvent) -> None:
    from tests.compat.schemas import GA, faults

    assert faults(served(GaCodec(), event), GA) == []


@pytest.mark.parametrize("event", [*SAMPLES, *TRANSCRIPTION_SAMPLES, *MCP_SAMPLES], ids=lambda event: tag(type(event)))
def test_every_event_is_what_the_types_of_beta_say(event: ServerEvent) -> None:
    from tests.compat.schemas import BETA, BETA_MODEL, faults

    frames = served(BetaCodec(), event)
    for frame in frames:
        if "model" in frame.get("session", {}):
            frame["session"]["model"] = BETA_MODEL
    named = [frame["type"] for frame in frames]
    assert bool(faults(frames, BETA)) == any(name in UNKNOWN_TO_BETA for name in named)


def test_a_frame_that_is_not_what_they_say_is_found_out() -> None:
    from tests.compat.schemas import GA, faults

    stopped = {"type": "input_audio_buffer.speech_stopped", "event_id": "event_1", "item_id": "item_X"}
    (fault,) = faults([stopped, {**stopped, "audio_end_ms": 1}], GA)
    assert "audio_end_ms" in fault
