"""The orders in which a turn's events come (PROTOCOL 5), and the outline of a conversation to hold against them."""

from __future__ import annotations

from tests.rigs.wire_client import Event

SPOKEN_TURN = [
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
]
"""PROTOCOL 5.4, the user's half."""

OPENING = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "deltas",
]
"""PROTOCOL 5.2 and 5.4."""

CLOSING = [
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
]

SPOKEN_END = ["response.output_audio.done", "response.output_audio_transcript.done", *CLOSING]
"""PROTOCOL 5.4 and 5.7: a cancelled answer closes in the same order."""

WRITTEN_END = ["response.output_text.done", *CLOSING]
"""PROTOCOL 5.2."""

_DELTAS = {
    "response.function_call_arguments.delta",
    "response.mcp_call_arguments.delta",
    "response.output_text.delta",
    "response.output_audio.delta",
    "response.output_audio_transcript.delta",
}
_UNORDERED = "conversation.item.input_audio_transcription."
"""Transcription runs beside the response (PROTOCOL 5.4)."""


def outline(events: list[Event]) -> list[str]:
    """The types in their order: without transcription, and with one `deltas` for each run of them."""
    types = [event["type"] for event in events if not event["type"].startswith(_UNORDERED)]
    names = ["deltas" if type in _DELTAS else type for type in types]
    return [name for index, name in enumerate(names) if name != "deltas" or names[index - 1] != "deltas"]


def check_spoken_turn(events: list[Event], item_id: str) -> None:
    """Assert that everything of the user's half names the same item, whose words are not known yet when it is added."""
    by_type = {event["type"]: event for event in reversed(events)}
    for name in SPOKEN_TURN[:3]:
        assert by_type[name]["item_id"] == item_id
    added = by_type["conversation.item.added"]["item"]
    assert added["id"] == item_id
    assert added["content"] == [{"type": "input_audio", "transcript": None}]


def check_response(events: list[Event], response: Event) -> None:
    """Assert that every event of a response names it, and its one item, and that the parts say what the whole says."""
    own = [event for event in events if event.get("response_id") == response["id"]]
    (item,) = response["output"]
    assert {event["item_id"] for event in own if "item_id" in event} == {item["id"]}
    assert {event["output_index"] for event in own} == {0}
    (part,) = item["content"]
    spoken = part["type"] == "output_audio"
    said, delta = ("transcript", "response.output_audio_transcript.delta") if spoken else ("text", "response.output_text.delta")
    assert "".join(event["delta"] for event in own if event["type"] == delta) == part[said]
    closed = next(event for event in own if event["type"] == "response.content_part.done")
    assert closed["part"] == {"type": "audio" if spoken else "text", said: part[said]}
