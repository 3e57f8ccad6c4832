"""What the Python client does when connections break, against a server that says what a test has it say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest

import realtime_client
from realtime_client import (
    Event,
    ItemDone,
    RealtimeClient,
    RealtimeError,
    Reconnecting,
    ResponseDone,
    Resumed,
    StartedAnew,
    TextDelta,
)
from tests.rigs.scripted_server import ScriptedServer, Visit

Kind = TypeVar("Kind", bound=Event)

PATIENCE = 20.0
"""Seconds for an event."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime_client, "FIRST_DELAY", 0.01)


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


async def opened(server: ScriptedServer, rt: RealtimeClient) -> Visit:
    """The client's first connection, once its session has begun."""
    entering = asyncio.create_task(rt.__aenter__())
    visit = await server.visit()
    await visit.created()
    await entering
    return visit


async def next_of(rt: RealtimeClient, kind: type[Kind]) -> Kind:
    """The next event, which must be of this kind; those that tell of attempts aside."""
    async with asyncio.timeout(PATIENCE):
        async for event in rt:
            if not isinstance(event, Reconnecting) or kind is Reconnecting:
                assert isinstance(event, kind), event
                return event
    raise AssertionError


def query(visit: Visit) -> dict[str, list[str]]:
    return parse_qs(urlsplit(visit.path).query)


def message(id: str, text: str = "Hello.") -> dict[str, Any]:
    part = {"type": "input_text", "text": text}
    return {"id": id, "type": "message", "role": "user", "status": "completed", "content": [part]}


async def test_it_comes_back_to_its_session_and_to_the_event_that_it_had_last(server: ScriptedServer) -> None:
    rt = RealtimeClient(server.url)
    first = await opened(server, rt)
    last = await first.say("response.output_text.delta", response_id="resp_1", item_id="item_1", delta="Once ")
    assert (await next_of(rt, TextDelta)).text == "Once "
    first.cut()
    told = await next_of(rt, Reconnecting)
    assert (told.attempt, told.delay <= 0.01) == (1, True)
    second = await server.visit()
    assert query(second) == {"session_id": ["sess_1"], "last_event_id": [last]}
    await second.created()
    await second.say("response.output_text.delta", response_id="resp_1", item_id="item_1", delta="upon a time.")
    await second.pass_barrier()
    assert (await next_of(rt, TextDelta)).text == "upon a time."
    assert await next_of(rt, Resumed) == Resumed(session_id="sess_1", complete=True)
    await rt.close()


async def test_what_was_not_acknowledged_is_sent_again_once(server: ScriptedServer) -> None:
    rt = RealtimeClient(server.url)
    first = await opened(server, rt)
    await rt.update(instructions="Be brief.")
    await rt.send_text("One.", respond=False)
    await rt.send_text("Two.")
    sent = [
        await first.heard(type) for type in ("session.update", "conversation.item.create", "conversation.item.create", "response.create")
    ]
    await first.say("session.updated", session={"id": "sess_1", "type": "realtime", "instructions": "Be brief."})
    first.cut()
    second = await server.visit()
    await second.created()
    await second.item(sent[1]["item"])
    await second.pass_barrier()
    assert await second.heard("conversation.item.create") == sent[2]
    assert await second.heard("response.create") == sent[3]
    await second.item(sent[2]["item"])
    await second.say("response.created", response={"id": "resp_1", "conversation_id": "conv_1"})
    second.cut()
    third = await server.visit()
    await third.created()
    await third.pass_barrier()
    await rt.send({"type": "input_audio_buffer.clear"})
    await third.heard("input_audio_buffer.clear")
    await rt.close()


async def test_what_the_server_repeats_is_no_news(server: ScriptedServer) -> None:
    rt = RealtimeClient(server.url)
    first = await opened(server, rt)
    await first.item(message("item_1"))
    await first.say("response.created", response={"id": "resp_1", "conversation_id": "conv_1"})
    for _ in range(3):
        await next_of(rt, Event)
    first.cut()
    second = await server.visit()
    await second.created()
    await second.item(message("item_1"))
    await second.item(message("item_2"))
    await second.pass_barrier()
    assert (await next_of(rt, Event)).type == "conversation.item.added"
    assert (await next_of(rt, ItemDone)).item_id == "item_2"
    assert await next_of(rt, Resumed) == Resumed(session_id="sess_1", complete=False)
    lost = await next_of(rt, ResponseDone)
    assert (lost.response_id, lost.status) == ("resp_1", "lost"), "nobody waits for it for ever"
    assert list(rt.items) == ["item_1", "item_2"]
    await rt.close()


async def test_a_session_that_is_gone_begins_anew_with_its_settings(server: ScriptedServer) -> None:
    rt = RealtimeClient(server.url, audio={"input": {"turn_detection": None}})

    @rt.tool
    def nothing() -> None: ...

    first = await opened(server, rt)
    begun = await first.heard("session.update")
    assert begun["session"]["audio"] == {"input": {"turn_detection": None}}
    await rt.update(audio={"output": {"voice": "ash"}})
    await first.heard("session.update")
    await rt.send_text("Hello?", respond=False)
    unanswered = await first.heard("conversation.item.create")
    await first.close(1012, "service restart")
    second = await server.visit()
    await second.say("error", error={"type": "invalid_request_error", "code": "session_not_found", "param": "session_id"})
    await second.close(1008)
    third = await server.visit()
    assert query(third) == {}
    await third.created("sess_2")
    update = await third.heard("session.update")
    assert update["session"]["audio"] == {"input": {"turn_detection": None}, "output": {"voice": "ash"}}
    assert [tool["name"] for tool in update["session"]["tools"]] == ["nothing"]
    assert await third.heard("conversation.item.create") == unanswered
    assert (await next_of(rt, StartedAnew)).session_id == "sess_2" == rt.session_id
    await rt.close()


async def test_a_server_that_resumes_nothing_is_a_new_session(server: ScriptedServer) -> None:
    rt = RealtimeClient(server.url)
    first = await opened(server, rt)
    first.cut()
    await (await server.visit()).created("sess_2")
    assert (await next_of(rt, StartedAnew)).session_id == "sess_2"
    await rt.close()


async def test_it_does_not_come_back_to_a_session_that_was_taken_over(server: ScriptedServer) -> None:
    rt = RealtimeClient(server.url)
    first = await opened(server, rt)
    await first.close(4001, "session_taken_over")
    with pytest.raises(RealtimeError, match="another connection") as caught:
        await anext(rt)
    assert caught.value.code == "session_taken_over"
    with pytest.raises(RealtimeError, match="another connection"):
        await rt.send_text("Still there?")
    await rt.close()


@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_is_too_busy_is_tried_again(server: ScriptedServer, status: int) -> None:
    rt = RealtimeClient(server.url)
    first = await opened(server, rt)
    server.refusals = [status]
    first.cut()
    assert (await next_of(rt, Reconnecting)).attempt == 1
    again = await next_of(rt, Reconnecting)
    assert (again.attempt, str(status) in again.why) == (2, True)
    await (await server.visit()).created("sess_2")
    await next_of(rt, StartedAnew)
    await rt.close()


async def test_a_store_that_is_not_there_is_tried_again(server: ScriptedServer) -> None:
    rt = RealtimeClient(server.url)
    first = await opened(server, rt)
    first.cut()
    second = await server.visit()
    await second.say("error", error={"type": "server_error", "code": "store_unavailable", "message": "no store"})
    await second.close(1013)
    third = await server.visit()
    assert query(third)["session_id"] == ["sess_1"]
    await rt.close()


async def test_a_key_that_was_taken_away_ends_it(server: ScriptedServer) -> None:
    rt = RealtimeClient(server.url)
    first = await opened(server, rt)
    first.cut()
    await (await server.visit()).say("error", error={"type": "invalid_request_error", "code": "invalid_api_key", "message": "wrong key"})
    await next_of(rt, Reconnecting)
    with pytest.raises(RealtimeError, match="wrong key"):
        await anext(rt)
    await rt.close()


async def test_a_send_waits_for_the_connection_and_not_for_ever(server: ScriptedServer) -> None:
    rt = RealtimeClient(server.url, send_seconds=0.05)
    first = await opened(server, rt)
    first.cut()
    await next_of(rt, Reconnecting)
    second = await server.visit()
    with pytest.raises(TimeoutError, match=r"no connection to ws://127\.0\.0\.1.* for 0\.05 s"):
        await rt.send({"type": "input_audio_buffer.commit"})
    rt.send_seconds = PATIENCE
    sending = asyncio.create_task(rt.send({"type": "input_audio_buffer.commit"}))
    await second.created()
    await second.pass_barrier()
    await sending
    await second.heard("input_audio_buffer.commit")
    await rt.close()


async def test_calls_that_nobody_answered_because_of_a_break_are_answered(server: ScriptedServer) -> None:
    rt = RealtimeClient(server.url)

    @rt.tool
    def age(name: str) -> int:
        """How old somebody is."""
        return 36

    first = await opened(server, rt)
    await first.heard("session.update")
    await first.say("session.updated", session={"id": "sess_1", "type": "realtime"})
    await next_of(rt, Event)
    first.cut()
    second = await server.visit()
    await second.created()
    call = {
        "id": "item_1",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_1",
        "name": "age",
        "arguments": '{"name": "Ada"}',
    }
    await second.item(call)
    await second.pass_barrier()
    output = (await second.heard("conversation.item.create"))["item"]
    assert (output["type"], output["call_id"], json.loads(output["output"])) == ("function_call_output", "call_1", 36)
    await second.heard("response.create")
    await rt.close()


async def test_leaving_says_goodbye_and_ends_the_iteration(server: ScriptedServer) -> None:
    rt = RealtimeClient(server.url)
    visit = await opened(server, rt)
    reading = asyncio.create_task(anext(rt, None))
    await rt.close()
    await visit.gone()
    assert await reading is None
    with pytest.raises(RealtimeError, match="closed"):
        await rt.send_text("Too late.")


async def test_a_server_that_is_not_there_is_told_at_once() -> None:
    async with ScriptedServer() as server:
        url = server.url
    with pytest.raises(RealtimeError, match=f"no session at {url}"):
        async with RealtimeClient(url):
            pass


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://localhost:8001", "no address of a websocket"),
        ("ws:///v1/realtime", "no address"),
        ("ws://localhost/ws/realtime", "dialect"),
    ],
)
def test_an_address_that_can_not_be_is_told_before_anything_is_tried(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        RealtimeClient(url)
