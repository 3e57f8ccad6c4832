"""Function calling, over the wire and against an endpoint: PROTOCOL 5.6."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.e2e.conftest import Start
from tests.e2e.orders import CLOSING, OPENING, outline
from tests.rigs.chat_endpoint import ChatEndpoint, answer, chunk
from tests.rigs.daemon import SCRIPTED_EARS
from tests.rigs.wire_client import Event, WireClient, words

WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "Tells the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
ROME = '{"city":"Rome"}'


def call(index: int, id: str, *arguments: str) -> list[bytes]:
    """The chunks of one call, as OpenAI streams it."""
    begin = chunk({"tool_calls": [{"index": index, "id": id, "type": "function", "function": {"name": "weather", "arguments": ""}}]})
    return [begin, *(chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}) for piece in arguments)]


@pytest.fixture
async def client(start: Start, endpoint: ChatEndpoint) -> AsyncIterator[WireClient]:
    daemon = start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url)
    async with WireClient(daemon.url()) as client:
        session = {"type": "realtime", "output_modalities": ["text"], "tools": [WEATHER]}
        await client.send({"type": "session.update", "session": session})
        assert (await client.wait_for("session.updated"))["session"]["tools"] == [WEATHER]
        await client.say("What is the weather in Rome?")
        yield client


async def give_result(client: WireClient, call_id: str, output: str) -> None:
    item = {"type": "function_call_output", "call_id": call_id, "output": output}
    await client.send({"type": "conversation.item.create", "item": item})
    await client.wait_for("conversation.item.done")


async def test_a_tool_is_called_and_its_result_answered(client: WireClient, endpoint: ChatEndpoint) -> None:
    endpoint.script(answer(*call(0, "call_1", '{"city"', ':"Rome"}'), finish_reason="tool_calls"), answer("It is sunny."))
    since = len(client.received)
    response = await client.respond()
    (item,) = response["output"]
    assert (item["type"], item["name"], item["arguments"], item["call_id"]) == ("function_call", "weather", ROME, "call_1")
    done = await client.wait_for("response.function_call_arguments.done")
    assert (done["name"], done["arguments"], done["call_id"]) == ("weather", ROME, "call_1")
    assert outline(client.received[since:]) == [*OPENING[:3], "deltas", "response.function_call_arguments.done", *CLOSING[1:]]

    await give_result(client, "call_1", "Sunny.")
    assert words(await client.respond()) == "It is sunny."
    first, second = endpoint.requests
    assert first.body["tools"] == [{"type": "function", "function": {key: WEATHER[key] for key in ("name", "description", "parameters")}}]
    assert second.body["messages"][-2:] == [
        {"role": "assistant", "tool_calls": [{"type": "function", "id": "call_1", "function": {"name": "weather", "arguments": ROME}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Sunny."},
    ]


async def test_several_calls_stand_beside_the_words(client: WireClient, endpoint: ChatEndpoint) -> None:
    endpoint.script(answer("One moment.", *call(0, "call_1", ROME), *call(1, "call_2", "not json"), finish_reason="tool_calls"))
    response = await client.respond()
    assert [item["type"] for item in response["output"]] == ["message", "function_call", "function_call"]
    assert [item["arguments"] for item in response["output"][1:]] == [ROME, "not json"]
    await give_result(client, "call_2", "What?")
    await client.respond()
    said: list[Event] = endpoint.requests[-1].body["messages"]
    assert [message["role"] for message in said[-4:]] == ["assistant", "assistant", "tool", "tool"]


async def test_the_choice_of_tool_can_be_forced_for_one_response(client: WireClient, endpoint: ChatEndpoint) -> None:
    await client.respond(tool_choice={"type": "function", "name": "weather"})
    await client.respond()
    forced, free = (request.body for request in endpoint.requests)
    assert forced["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert "tool_choice" not in free


async def test_a_result_of_no_call_is_refused_and_the_session_lives_on(client: WireClient) -> None:
    await client.send({"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "call_0", "output": "4"}})
    assert (await client.wait_for("error"))["error"]["param"] == "item.call_id"
    assert (await client.respond())["status"] == "completed"


async def test_geminis_calls_come_whole_and_go_back_with_their_signature(client: WireClient, endpoint: ChatEndpoint) -> None:
    extra = {"google": {"thought_signature": "EjQK"}}
    whole = {"id": "gem_1", "type": "function", "function": {"name": "weather", "arguments": ROME}, "extra_content": extra}
    endpoint.script(answer(chunk({"tool_calls": [whole]}), finish_reason="stop"))
    (item,) = (await client.respond())["output"]
    assert (item["call_id"], item["arguments"], item["extra_content"]) == ("gem_1", ROME, extra)
    await give_result(client, "gem_1", "Sunny.")
    await client.respond()
    assert endpoint.requests[-1].body["messages"][-2]["tool_calls"][0]["extra_content"] == extra
