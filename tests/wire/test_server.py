from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec import UNSET
from msgspec.structs import replace

from realtime.wire import server
from realtime.wire.codec import encode_json
from realtime.wire.mcp import McpTool
from realtime.wire.settings import FunctionTool
from tests.wire.server_events import BEGUN, CALL, CALLED, ENDED, LISTED, MCP_SAMPLES, SAMPLES, SETTINGS, event_classes, tag

PROTOCOL_TYPES = [
    "error",
    "session.created",
    "session.updated",
    "conversation.created",
    "conversation.item.added",
    "conversation.item.done",
    "conversation.item.retrieved",
    "conversation.item.truncated",
    "conversation.item.deleted",
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "input_audio_buffer.cleared",
    "input_audio_buffer.timeout_triggered",
    "conversation.item.input_audio_transcription.delta",
    "conversation.item.input_audio_transcription.completed",
    "conversation.item.input_audio_transcription.segment",
    "conversation.item.input_audio_transcription.failed",
    "response.created",
    "response.done",
    "response.output_item.added",
    "response.output_item.done",
    "response.content_part.added",
    "response.content_part.done",
    "response.output_text.delta",
    "response.output_text.done",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.delta",
    "response.output_audio_transcript.done",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "rate_limits.updated",
    "output_audio_buffer.started",
    "output_audio_buffer.stopped",
    "output_audio_buffer.cleared",
    "mcp_list_tools.in_progress",
    "mcp_list_tools.completed",
    "mcp_list_tools.failed",
    "response.mcp_call_arguments.delta",
    "response.mcp_call_arguments.done",
    "response.mcp_call.in_progress",
    "response.mcp_call.completed",
    "response.mcp_call.failed",
]
"""PROTOCOL 3, without what beta alone has, and without DTMF, which has no event id."""


def written(event: object) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(encode_json(event))
    return frame


def test_there_is_a_class_for_every_event_of_the_protocol() -> None:
    assert sorted(tag(cls) for cls in event_classes()) == sorted(PROTOCOL_TYPES)


def test_there_is_a_sample_of_every_class() -> None:
    assert {type(event) for event in SAMPLES} == event_classes()


@pytest.mark.parametrize("event", [*SAMPLES, *MCP_SAMPLES], ids=lambda event: tag(type(event)))
def test_every_event_reads_back_as_it_was_written(event: server.ServerEvent) -> None:
    assert msgspec.json.decode(encode_json(event), type=type(event)) == event


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: tag(type(event)))
def test_every_event_begins_with_its_type_and_id(event: server.ServerEvent) -> None:
    assert list(written(event).items())[:2] == [("type", tag(type(event))), ("event_id", event.event_id)]


def test_dtmf_has_no_event_id() -> None:
    assert list(written(server.DtmfEventReceived("9", 1_790_000_000))) == ["type", "event", "received_at"]


# Appendix A of PROTOCOL: keys and values

SESSION: dict[str, Any] = {
    "type": "realtime",
    "object": "realtime.session",
    "id": "sess_A",
    "model": "M",
    "output_modalities": ["audio"],
    "instructions": "...",
    "tools": [],
    "tool_choice": "auto",
    "max_output_tokens": "inf",
    "tracing": None,
    "truncation": "auto",
    "prompt": None,
    "expires_at": 1790000000,
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "transcription": None,
            "noise_reduction": None,
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.5,
                "prefix_padding_ms": 300,
                "silence_duration_ms": 200,
                "idle_timeout_ms": None,
                "create_response": True,
                "interrupt_response": True,
            },
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy", "speed": 1.0},
    },
    "include": None,
}


@pytest.mark.parametrize("cls", [server.SessionCreated, server.SessionUpdated])
def test_the_session_is_served_as_upstream_serves_it_down_to_the_order_of_keys(cls: Any) -> None:
    frame = cls(event_id="event_A", session=SETTINGS)
    assert json.dumps(written(frame)) == json.dumps({"type": tag(cls), "event_id": "event_A", "session": SESSION})


RESPONSE: dict[str, Any] = {
    "object": "realtime.response",
    "id": "resp_A",
    "status": "in_progress",
    "status_details": None,
    "output": [],
    "conversation_id": "conv_A",
    "output_modalities": ["audio"],
    "max_output_tokens": "inf",
    "audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy"}},
    "usage": None,
    "metadata": None,
}
USAGE: dict[str, Any] = {
    "total_tokens": 3,
    "input_tokens": 1,
    "output_tokens": 2,
    "input_token_details": {
        "text_tokens": 1,
        "audio_tokens": 0,
        "image_tokens": 0,
        "cached_tokens": 0,
        "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 2, "audio_tokens": 0},
}
SPOKEN: dict[str, Any] = {
    "id": "item_Y",
    "type": "message",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_audio", "transcript": "Hi."}],
    "object": "realtime.item",
}
"""With `object`, which live GA items lack and every client takes (PROTOCOL 3.3)."""


def test_a_response_begins_as_upstream_begins_it() -> None:
    frame = {"type": "response.created", "event_id": "event_B", "response": RESPONSE}
    assert json.dumps(written(server.ResponseCreated(event_id="event_B", response=BEGUN))) == json.dumps(frame)


def test_a_response_ends_as_upstream_ends_it() -> None:
    response = {**RESPONSE, "status": "completed", "output": [SPOKEN], "usage": USAGE}
    frame = written(server.ResponseDone(event_id="event_C", response=ENDED))
    assert frame == {"type": "response.done", "event_id": "event_C", "response": response}
    assert list(frame["response"]) == list(RESPONSE)


def test_the_temperature_of_a_response_is_served_where_one_was_set() -> None:
    assert written(msgspec.structs.replace(BEGUN, temperature=0.5))["temperature"] == 0.5


@pytest.mark.parametrize(
    ("details", "served"),
    [
        (server.StatusDetails(type="cancelled", reason="turn_detected"), {"type": "cancelled", "reason": "turn_detected"}),
        (server.StatusDetails(type="incomplete", reason="max_output_tokens"), {"type": "incomplete", "reason": "max_output_tokens"}),
        (
            server.StatusDetails(type="failed", error=server.Failure("server_error", None, "Down.")),
            {"type": "failed", "error": {"type": "server_error", "code": None, "message": "Down."}},
        ),
    ],
)
def test_why_a_response_ended_early_is_served_without_empty_keys(details: server.StatusDetails, served: dict[str, Any]) -> None:
    assert written(details) == served


def test_a_function_call_is_served_with_its_arguments() -> None:
    frame = written(server.ResponseOutputItemAdded(event_id="event_D", response_id="resp_A", output_index=0, item=CALL))
    assert frame == {
        "type": "response.output_item.added",
        "event_id": "event_D",
        "response_id": "resp_A",
        "output_index": 0,
        "item": {
            "id": "item_F",
            "object": "realtime.item",
            "type": "function_call",
            "status": "completed",
            "name": "f",
            "call_id": "call_A",
            "arguments": '{"x":1}',
        },
    }


def test_the_end_of_a_functions_arguments_names_the_function() -> None:
    [event] = [event for event in SAMPLES if isinstance(event, server.ResponseFunctionCallArgumentsDone)]
    keys = ["type", "event_id", "response_id", "item_id", "output_index", "call_id", "name", "arguments"]
    assert list(written(event)) == keys


def test_a_transcription_says_what_it_cost() -> None:
    event = server.TranscriptionCompleted(
        event_id="event_G", item_id="item_X", content_index=0, transcript="hello", usage=server.DurationUsage(0.8)
    )
    assert written(event) == {
        "type": "conversation.item.input_audio_transcription.completed",
        "event_id": "event_G",
        "item_id": "item_X",
        "content_index": 0,
        "transcript": "hello",
        "usage": {"type": "duration", "seconds": 0.8},
    }


def test_an_error_shows_every_key() -> None:
    assert written(server.Error(event_id="event_H", error=server.ErrorDetail(message="No."))) == {
        "type": "error",
        "event_id": "event_H",
        "error": {"type": "invalid_request_error", "code": None, "message": "No.", "param": None, "event_id": None},
    }


def test_heard_audio_shows_a_transcript_before_there_is_one() -> None:
    [event] = [event for event in SAMPLES if isinstance(event, server.ConversationItemAdded)]
    assert written(event)["item"]["content"] == [{"type": "input_audio", "transcript": None}]


def test_audio_leaves_in_base64() -> None:
    [event] = [event for event in SAMPLES if isinstance(event, server.ResponseOutputAudioDelta)]
    assert written(event)["delta"] == "AAAA"


@pytest.mark.parametrize("part", [server.TextPart("x"), server.AudioPart("x")])
def test_parts_of_a_running_answer_are_text_and_audio(part: server.ContentPart) -> None:
    assert written(part) == ({"type": "text", "text": "x"} if isinstance(part, server.TextPart) else {"type": "audio", "transcript": "x"})


@pytest.mark.parametrize("kind", [server.SessionCreated, server.SessionUpdated])
def test_no_session_is_told_with_its_secrets(kind: type[server.SessionCreated | server.SessionUpdated]) -> None:
    tool = McpTool(server_label="s", server_url="https://s.example/", authorization="hush", headers={"X-Key": "hush"})
    settings = replace(SETTINGS, tools=(FunctionTool("f"), tool))
    event = kind(session=settings)
    assert "hush" not in json.dumps(written(event))
    assert written(event)["session"]["tools"][1] == {"type": "mcp", "server_label": "s", "server_url": "https://s.example/"}
    assert settings.tools == (FunctionTool("f"), tool)


def test_a_call_shows_its_nulls_before_there_is_anything_to_show() -> None:
    item = written(replace(CALLED, approval_request_id=None, output=None, extra_content=UNSET))
    keys = ["type", "server_label", "name", "arguments", "approval_request_id", "output", "error", "id", "status", "object"]
    assert list(item) == keys
    assert [item[key] for key in ("approval_request_id", "output", "error")] == [None] * 3


def test_a_list_of_tools_shows_no_error_where_there_is_none() -> None:
    assert "error" not in written(LISTED)
