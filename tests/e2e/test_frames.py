"""Handshakes and frames that are not as they should be: an answer that says what is wrong, and a session that goes on."""

from __future__ import annotations

import http.client
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from realtime.wire.items import MAX_AUDIO, MAX_ID, MAX_TEXT
from tests.rigs.daemon import Daemon
from tests.rigs.wire_client import WireClient, words

DEEP = 10_000
"""Brackets: far beyond any parser's stack."""

KEY = "sk-secret-0123456789"


@pytest.fixture
async def client(scripted: Daemon) -> AsyncIterator[WireClient]:
    async with WireClient(scripted.url()) as client:
        yield client


def item(**fields: Any) -> dict[str, Any]:
    message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
    return {"type": "conversation.item.create", "item": message | fields}


REFUSED: dict[str, tuple[str | bytes | dict[str, Any], str, str | None]] = {
    "not JSON": ("Hello?", "invalid_json", None),
    "half of JSON": ('{"type": "response.create"', "invalid_json", None),
    "an empty frame": ("", "invalid_json", None),
    "JSON that is no object": ("[1, 2]", "invalid_event", None),
    "a binary frame": (b'{"type": "response.create"}', "invalid_event", None),
    "no type": ({"event_id": "a"}, "invalid_event", "type"),
    "an unknown type": ({"type": "response.crate"}, "invalid_value", "type"),
    "an unknown field": ({"type": "response.create", "bogus": 1}, "unknown_parameter", "bogus"),
    "an unknown field, deep inside": (
        {"type": "session.update", "session": {"type": "realtime", "audio": {"input": {"bogus": 1}}}},
        "unknown_parameter",
        "session.audio.input.bogus",
    ),
    "a missing field": ({"type": "session.update", "session": {}}, "missing_required_parameter", "session.type"),
    "a wrong type": (
        {"type": "session.update", "session": {"type": "realtime", "instructions": 7}},
        "invalid_type",
        "session.instructions",
    ),
    "a number out of bounds": (
        {"type": "session.update", "session": {"type": "realtime", "max_output_tokens": 0}},
        "integer_below_min_value",
        "session.max_output_tokens",
    ),
    "audio that is not base64": ({"type": "input_audio_buffer.append", "audio": "?"}, "invalid_value", "audio"),
    "a part that its role can't have": (
        item(content=[{"type": "output_text", "text": "Hi"}]),
        "invalid_value",
        "item.content[0].type",
    ),
    "an item of nothing": (item(content=[]), "invalid_value", "item.content"),
    "an item that does not exist": ({"type": "conversation.item.delete", "item_id": "x"}, "item_delete_invalid_item_id", "item_id"),
    "a huge event id": ({"type": "response.create", "event_id": "x" * (MAX_ID + 1)}, "string_above_max_length", "event_id"),
    "a huge item id": (item(id="x" * (MAX_ID + 1)), "string_above_max_length", "item.id"),
    "a huge text": (
        item(content=[{"type": "input_text", "text": "x" * (MAX_TEXT + 1)}]),
        "string_above_max_length",
        "item.content[0].text",
    ),
    "nothing but brackets": ("[" * DEEP, "invalid_event", None),
    "deep nesting": ('{"a":' * DEEP + "1" + "}" * DEEP, "invalid_json", None),
    "deep nesting inside an event": (
        '{"type": "session.update", "session": {"type": "realtime", "tools": ' + "[" * DEEP + "]" * DEEP + "}}",
        "invalid_json",
        None,
    ),
    "an empty commit": ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty", None),
}


async def goes_on(client: WireClient) -> None:
    await client.say("Are you there?")
    response = await client.respond(output_modalities=["text"])
    assert response["status"] == "completed"
    assert words(response) == "You said: Are you there?"


@pytest.mark.parametrize(("frame", "code", "param"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_bad_frame_is_answered_with_an_error_and_the_next_response_completes(
    client: WireClient, frame: str | bytes | dict[str, Any], code: str, param: str | None
) -> None:
    await client.socket.send(json.dumps(frame) if isinstance(frame, dict) else frame)
    told = (await client.wait_for("error"))["error"]
    assert (told["type"], told["code"], told["param"]) == ("invalid_request_error", code, param)
    assert told["message"]
    await goes_on(client)


async def test_an_error_names_the_event_that_caused_it(client: WireClient) -> None:
    event_id = await client.send({"type": "response.create", "response": {"bogus": True}})
    told = (await client.wait_for("error"))["error"]
    assert (told["event_id"], told["param"]) == (event_id, "response.bogus")


@pytest.mark.parametrize("size", [MAX_AUDIO + 1, 16 * 1024 * 1024])
async def test_too_much_audio_in_one_event_is_refused_and_the_next_response_completes(client: WireClient, size: int) -> None:
    await client.append(bytes(size))
    told = (await client.wait_for("error"))["error"]
    assert (told["code"], told["param"]) == ("string_above_max_length", "audio")
    await goes_on(client)


async def test_a_hundred_bad_frames_get_a_hundred_answers(client: WireClient) -> None:
    for _ in range(100):
        await client.socket.send("nonsense")
    for _ in range(100):
        await client.wait_for("error")
    await goes_on(client)


# Handshakes


def get(daemon: Daemon, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_an_unknown_path_is_answered_with_the_paths_that_are_known(scripted: Daemon) -> None:
    status, text = get(scripted, "/v1/chat/completions")
    assert status == 404
    assert "/v1/chat/completions" in text
    assert "/v1/realtime" in text
    assert "/ws/realtime" in text


async def test_a_websocket_at_an_unknown_path_is_refused_with_the_same_hint(scripted: Daemon) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with WireClient(scripted.url("/realtime")):
            pass
    assert refused.value.response.status_code == 404
    assert b"/v1/realtime" in (refused.value.response.body or b"")


@pytest.mark.parametrize("path", ["/v1/realtime", "/ws/realtime"])
def test_a_plain_request_for_a_websocket_is_told_to_upgrade(scripted: Daemon, path: str) -> None:
    status, text = get(scripted, path)
    assert status == 426
    assert "websocket" in text.lower()


@pytest.mark.parametrize("path", ["/", "/healthz"])
def test_a_visitor_is_told_what_is_here(scripted: Daemon, path: str) -> None:
    status, text = get(scripted, path)
    assert status == 200
    assert text


async def test_the_subprotocol_is_echoed_and_the_key_never(scripted: Daemon) -> None:
    async with WireClient(scripted.url(), subprotocols=["realtime", f"openai-insecure-api-key.{KEY}"]) as client:
        assert client.socket.response is not None
        assert client.socket.response.headers.get_all("Sec-WebSocket-Protocol") == ["realtime"]
        assert "output_modalities" in (await client.wait_for("session.created"))["session"]


async def test_no_subprotocol_is_sent_where_none_is_offered(scripted: Daemon) -> None:
    async with WireClient(scripted.url()) as client:
        assert client.socket.response is not None
        assert "Sec-WebSocket-Protocol" not in client.socket.response.headers


async def test_a_key_alone_is_not_a_subprotocol_to_speak(scripted: Daemon) -> None:
    async with WireClient(scripted.url(), subprotocols=[f"openai-insecure-api-key.{KEY}"]) as client:
        assert client.socket.response is not None
        assert "Sec-WebSocket-Protocol" not in client.socket.response.headers


@pytest.mark.parametrize(
    "handshake",
    [
        {"headers": {"OpenAI-Beta": "realtime=v1"}},
        {"subprotocols": ["realtime", f"openai-insecure-api-key.{KEY}", "openai-beta.realtime-v1"]},
    ],
    ids=["header", "subprotocol"],
)
async def test_a_beta_client_gets_the_beta_shape(scripted: Daemon, handshake: dict[str, Any]) -> None:
    async with WireClient(scripted.url(), **handshake) as client:
        session = (await client.wait_for("session.created"))["session"]
        await client.wait_for("conversation.created")
        assert "type" not in session
        assert sorted(session["modalities"]) == ["audio", "text"]
        assert session["input_audio_format"] == "pcm16"


async def test_the_model_of_the_address_is_the_model_of_the_session(scripted: Daemon) -> None:
    async with WireClient(scripted.url("/v1/realtime?model=gpt-realtime")) as client:
        assert (await client.wait_for("session.created"))["session"]["model"] == "gpt-realtime"
