"""A client, an endpoint and an ear that write as much as they may, every character of it one that JSON spells with six."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import msgspec

from realtime.errors import ClientError
from realtime.session import inputs
from realtime.session.inputs import Input
from realtime.wire.codec import GaCodec
from realtime.wire.items import MAX_AUDIO, MAX_EXTRA, MAX_ID, MAX_ITEM_TEXT, MAX_PARTS, MAX_TEXT
from realtime.wire.settings import MAX_HINTS, MAX_INCLUDE, MAX_TOOLS, MAX_TOOLS_SIZE, MAX_TRACING_SIZE

WORST = "\x01"
"""`\\u0001`"""

ENDLESS = WORST * 10_000_000
"""What an endpoint may send in one piece."""

TEXT, NAME = WORST * MAX_TEXT, WORST * MAX_ID


def id_of(number: int) -> str:
    """An id of the greatest length, unlike others."""
    return str(number) + WORST * (MAX_ID - len(str(number)))


def tools() -> list[Any]:
    """As many as there may be, and as large as they may be together."""
    tools = [{"type": "function", "name": f"f{number}", "description": ""} for number in range(MAX_TOOLS)]
    tools[0]["description"] = WORST * ((MAX_TOOLS_SIZE - len(msgspec.json.encode(tools))) // len("\\u0001"))
    return tools


def session() -> dict[str, Any]:
    return {
        "type": "realtime",
        "instructions": TEXT,
        "tools": tools(),
        "tool_choice": {"type": "function", "name": NAME},
        "tracing": {"workflow_name": WORST * (MAX_TRACING_SIZE // 6 - 10)},
        "include": ["item.input_audio_transcription.logprobs"] * MAX_INCLUDE,
        "audio": {
            "input": {"transcription": {"model": NAME, "language": NAME, "prompt": TEXT, "keywords": [NAME] * MAX_HINTS}},
            "output": {"voice": NAME},
        },
    }


def parts(kind: str, field: str) -> list[dict[str, str]]:
    """As many as there may be, with as many characters as they may have together."""
    shares = [MAX_TEXT, MAX_TEXT - 2 * MAX_PARTS] + [2] * (MAX_PARTS - 2)
    assert sum(shares) <= MAX_ITEM_TEXT
    return [{"type": kind, field: WORST * share} for share in shares]


def items() -> list[dict[str, Any]]:
    audio = base64.b64encode(bytes(MAX_AUDIO)).decode()
    picture = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 20_000_000}
    return [
        {"type": "message", "role": "user", "content": parts("input_text", "text")},
        {"type": "message", "role": "system", "content": parts("input_text", "text")},
        {"type": "message", "role": "assistant", "content": parts("output_audio", "transcript")},
        {"type": "message", "role": "user", "content": [*parts("input_text", "text")[:-1], picture]},
        {"type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": TEXT, "audio": audio}]},
        {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": audio}]},
        {
            **{"type": "function_call", "name": NAME, "arguments": TEXT, "call_id": NAME},
            "extra_content": {"signature": WORST * ((MAX_EXTRA - 20) // 6)},
        },
        {"type": "function_call_output", "call_id": NAME, "output": TEXT},
        {
            **{"type": "mcp_call", "server_label": NAME, "name": NAME, "arguments": TEXT, "output": TEXT},
            **{"approval_request_id": NAME, "extra_content": {"signature": WORST * ((MAX_EXTRA - 20) // 6)}},
        },
        {"type": "mcp_list_tools", "server_label": NAME, "tools": listed()},
    ]


def listed() -> list[dict[str, Any]]:
    tool = {"name": "f", "input_schema": {}, "description": ""}
    size = len(msgspec.json.encode([{**tool, "annotations": None}]))
    return [{**tool, "description": WORST * ((MAX_TOOLS_SIZE - size) // len("\\u0001"))}]


def client() -> Iterator[str]:
    """The frames of a client that is written everything back."""
    yield json.dumps({"type": "session.update", "event_id": NAME, "session": session()})
    for number, item in enumerate(items()):
        previous = id_of(number - 1) if number else None
        event = {"type": "conversation.item.create", "event_id": NAME, "previous_item_id": previous, "item": {"id": id_of(number), **item}}
        yield json.dumps(event)
        yield json.dumps({"type": "conversation.item.retrieve", "event_id": NAME, "item_id": id_of(number)})
    yield from mistakes()


def mistakes() -> Iterator[str]:
    """What is wrong is told in the client's own words."""
    for type in ("retrieve", "delete"):
        yield json.dumps({"type": f"conversation.item.{type}", "event_id": NAME, "item_id": NAME})
    yield json.dumps({"type": "conversation.item.truncate", "item_id": NAME, "content_index": 0, "audio_end_ms": 0})
    yield json.dumps({"type": "conversation.item.create", "previous_item_id": NAME, "item": items()[0]})
    yield json.dumps({"type": "response.create", "response": {"input": [{"type": "item_reference", "id": NAME}]}})
    yield json.dumps({"type": ENDLESS})
    yield json.dumps({"type": "response.cancel", "event_id": ENDLESS})
    yield json.dumps({"type": "response.cancel", ENDLESS: 1})
    yield json.dumps({"type": "conversation.item.create", "previous_item_id": ENDLESS, "item": items()[-1]})
    yield json.dumps({"type": "conversation.item.create", "item": {"type": "message", "role": ENDLESS, "content": []}})
    yield json.dumps({"type": "conversation.item.retrieve", "item_id": ENDLESS})
    yield json.dumps({"type": "session.update", "session": {"type": "realtime", "truncation": ENDLESS, "prompt": {ENDLESS: ENDLESS}}})
    yield json.dumps({"type": "session.update", "session": {"type": "realtime", "audio": {"output": {"voice": ENDLESS}}}})
    yield ENDLESS


def response(modality: str) -> str:
    metadata = {f"{number}" + WORST * 60: WORST * 512 for number in range(10)}
    event = {"output_modalities": [modality], "metadata": metadata, "audio": {"output": {"voice": NAME}}, "input": []}
    return json.dumps({"type": "response.create", "event_id": NAME, "response": event})


def spoken(response_id: str) -> Iterator[Input]:
    """An answer in one piece, and a clause of it in one piece."""
    yield inputs.TextGenerated(response_id, "Hello there. ")
    yield inputs.ClauseSounded(response_id, 0, bytes(MAX_AUDIO))
    yield inputs.TextGenerated(response_id, ENDLESS)


def called(response_id: str) -> Iterator[Input]:
    """Words, and calls without end."""
    yield inputs.TextGenerated(response_id, WORST * (MAX_TEXT // 2))
    for number in range(MAX_TEXT):
        yield inputs.CallGenerated(response_id, number, "f", "")


def finished(response_id: str) -> Iterator[Input]:
    """All that an answer may have, and what goes back with its calls."""
    yield inputs.CallGenerated(response_id, 0, NAME, NAME)
    yield inputs.ArgumentsGenerated(response_id, 0, WORST * (MAX_TEXT - 2 * MAX_ID - 200))
    yield inputs.GenerationFinished(response_id, "stop", None, ({"signature": WORST * ((MAX_EXTRA - 20) // 6)},))


def read(frame: str) -> Input:
    try:
        return GaCodec().decode(frame)
    except ClientError as error:
        return inputs.FrameRefused(error)
