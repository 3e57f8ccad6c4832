"""Tools of a real server, called by the daemon for a model: PROTOCOL 5.13, over the wire and against an endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.e2e.orders import CLOSING, OPENING, outline
from tests.rigs.chat_endpoint import ChatEndpoint, Reply, answer, chunk
from tests.rigs.daemon import SCRIPTED_EARS
from tests.rigs.mcp_server import McpServer
from tests.rigs.wire_client import Event, WireClient, words

SUM = '{"a":1,"b":2}'


def calling(name: str, arguments: str, index: int = 0) -> Reply:
    """The model calls a tool."""
    function = {"name": name, "arguments": arguments}
    return answer(
        chunk({"tool_calls": [{"index": index, "id": f"call_{index}", "type": "function", "function": function}]}),
        finish_reason="tool_calls",
    )


@pytest.fixture
async def tools() -> AsyncIterator[McpServer]:
    async with McpServer(locked=True) as server:
        yield server


@pytest.fixture
async def client(start: Start, endpoint: ChatEndpoint) -> AsyncIterator[WireClient]:
    daemon = start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url)
    async with WireClient(daemon.url()) as client:
        yield client


async def name_server(client: WireClient, url: str, **more: Any) -> Event:
    """Put a server among the session's tools; return the item of its list."""
    server = {"type": "mcp", "server_label": "rig", "server_url": url, "authorization": "sesame", "require_approval": "never", **more}
    await client.send({"type": "session.update", "session": {"type": "realtime", "output_modalities": ["text"], "tools": [server]}})
    (shown,) = (await client.wait_for("session.updated"))["session"]["tools"]
    assert shown == {name: value for name, value in server.items() if name != "authorization"}
    added = await client.wait_for("conversation.item.added")
    await client.wait_for("mcp_list_tools.in_progress", item_id=added["item"]["id"])
    listed: Event = (await client.wait_for("conversation.item.done"))["item"]
    assert listed["id"] == added["item"]["id"]
    return listed


async def test_a_tool_is_listed_called_and_its_result_answered(client: WireClient, endpoint: ChatEndpoint, tools: McpServer) -> None:
    listed = await name_server(client, tools.url, allowed_tools=["add", "disk.wipe"])
    assert client.types()[-2:] == ["mcp_list_tools.completed", "conversation.item.done"]
    assert [tool["name"] for tool in listed["tools"]] == ["add", "disk.wipe", "divide", "slow", "long", "mixed"]
    endpoint.script(calling("add", SUM), answer("Three."))
    await client.say("What is one and two?")
    since = len(client.received)
    response = await client.respond()
    (item,) = response["output"]
    assert (response["status"], item["type"], item["name"], item["arguments"], item["output"]) == ("completed", "mcp_call", "add", SUM, "3")
    assert outline(client.received[since:]) == [
        *OPENING[:3],
        "deltas",
        "response.mcp_call_arguments.done",
        "response.mcp_call.in_progress",
        "response.mcp_call.completed",
        *CLOSING[1:],
    ]
    assert tools.calls == [("add", {"a": 1, "b": 2})]

    assert words(await client.respond()) == "Three."
    first, second = endpoint.requests
    # Chat endpoints take no dot in a function's name.
    assert [tool["function"]["name"] for tool in first.body["tools"]] == ["add", "disk_wipe"]
    assert second.body["messages"][-2:] == [
        {"role": "assistant", "tool_calls": [{"type": "function", "id": item["id"], "function": {"name": "add", "arguments": SUM}}]},
        {"role": "tool", "tool_call_id": item["id"], "content": "3"},
    ]


async def test_the_next_response_may_be_asked_for_while_the_tool_still_works(
    client: WireClient, endpoint: ChatEndpoint, tools: McpServer
) -> None:
    await name_server(client, tools.url)
    endpoint.script(calling("slow", "{}"), answer("Done."))
    await client.send({"type": "response.create"})
    await client.wait_for("response.mcp_call.in_progress")
    await tools.begun.wait()
    await client.send({"type": "response.create"})
    await client.say("Come on.")
    tools.gate.set()
    assert (await client.response())["output"][0]["output"] == "At last."
    assert words(await client.response()) == "Done."
    assert "error" not in client.types()


async def test_a_tool_is_called_only_once_it_is_approved_of(client: WireClient, endpoint: ChatEndpoint, tools: McpServer) -> None:
    await name_server(client, tools.url, require_approval={"never": {"read_only": True}})
    wipe = '{"disk":"sda"}'
    endpoint.script(calling("disk_wipe", wipe), answer("Shall I?"), answer("It is empty."))
    (request,) = (await client.respond())["output"]
    assert (request["type"], request["name"], request["arguments"]) == ("mcp_approval_request", "disk.wipe", wipe)
    assert tools.calls == []
    await client.respond()

    approval = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": True}
    await client.send({"type": "conversation.item.create", "item": approval})
    await client.wait_for("response.mcp_call.completed")
    called = [
        event["item"] for event in client.received if event["type"] == "conversation.item.added" and event["item"]["type"] == "mcp_call"
    ]
    item = await client.retrieve(called[0]["id"])
    assert (item["output"], item["approval_request_id"]) == ("sda is empty.", request["id"])
    assert words(await client.respond()) == "It is empty."
    _, pending, approved = (request.body["messages"] for request in endpoint.requests)
    call = {"type": "function", "id": request["id"], "function": {"name": "disk_wipe", "arguments": wipe}}
    assert pending[-2:] == [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": request["id"], "content": "(There is no result yet.)"},
    ]
    # The result stands where the question stood.
    assert approved[-3:-1] == [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": request["id"], "content": "sda is empty."},
    ]


async def test_a_refusal_reaches_the_model_with_its_reason(client: WireClient, endpoint: ChatEndpoint, tools: McpServer) -> None:
    await name_server(client, tools.url, require_approval="always")
    endpoint.script(calling("add", SUM))
    (request,) = (await client.respond())["output"]
    refusal = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": False, "reason": "Do it in your head."}
    await client.send({"type": "conversation.item.create", "item": refusal})
    await client.wait_for("conversation.item.done")
    await client.respond()
    assert endpoint.requests[-1].body["messages"][-1]["content"] == "(The user did not allow this call.) Do it in your head."
    assert tools.calls == []
    await client.send({"type": "conversation.item.create", "item": refusal})
    assert (await client.wait_for("error"))["error"]["param"] == "item.approval_request_id"


async def test_a_server_that_is_not_there_fails_its_list_and_not_the_session(client: WireClient, endpoint: ChatEndpoint) -> None:
    async with McpServer() as gone:
        pass
    listed = await name_server(client, gone.url)
    assert client.types()[-2:] == ["mcp_list_tools.failed", "conversation.item.done"]
    assert (listed["tools"], listed["status"]) == ([], "incomplete")
    assert "can't be reached" in listed["error"]
    assert (await client.respond())["status"] == "completed"
    assert "tools" not in endpoint.requests[0].body


async def test_a_tool_that_fails_says_so_to_the_client_and_to_the_model(
    client: WireClient, endpoint: ChatEndpoint, tools: McpServer
) -> None:
    await name_server(client, tools.url)
    endpoint.script(calling("add", '{"a":"one"}'))
    response = await client.respond()
    (item,) = response["output"]
    assert (response["status"], item["error"]["type"], item["output"]) == ("completed", "tool_execution_error", None)
    await client.wait_for("response.mcp_call.failed", item_id=item["id"])
    await client.respond()
    assert "valid integer" in endpoint.requests[-1].body["messages"][-1]["content"]


async def test_a_cancelled_response_leaves_no_tool_at_work(client: WireClient, endpoint: ChatEndpoint, tools: McpServer) -> None:
    await name_server(client, tools.url)
    endpoint.script(calling("slow", "{}"))
    await client.send({"type": "response.create"})
    await client.wait_for("response.mcp_call.in_progress")
    await tools.begun.wait()
    await client.send({"type": "response.cancel"})
    response = await client.response()
    (item,) = response["output"]
    assert (response["status"], item["status"], item["error"]["type"]) == ("cancelled", "incomplete", "tool_execution_error")
    await tools.abandoned.wait()


async def test_a_response_brings_a_server_of_its_own(client: WireClient, endpoint: ChatEndpoint, tools: McpServer) -> None:
    server = {"type": "mcp", "server_label": "mine", "server_url": tools.url, "authorization": "sesame", "require_approval": "never"}
    endpoint.script(calling("add", SUM))
    choice = {"type": "mcp", "server_label": "mine", "name": "add"}
    (item,) = (await client.respond(tools=[server], tool_choice=choice, output_modalities=["text"]))["output"]
    assert (item["server_label"], item["output"]) == ("mine", "3")
    assert endpoint.requests[0].body["tool_choice"] == {"type": "function", "function": {"name": "add"}}


async def test_addresses_can_be_fenced_in(start: Start, endpoint: ChatEndpoint, tools: McpServer) -> None:
    daemon = start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url, REALTIME_MCP_URLS="https://tools.example/mcp, http://127.0.0.1:1/")
    async with WireClient(daemon.url()) as client:
        server = {"type": "mcp", "server_label": "rig", "server_url": tools.url}
        await client.send({"type": "session.update", "session": {"type": "realtime", "tools": [server]}})
        assert (await client.wait_for("error"))["error"]["param"] == "session.tools[0].server_url"
    assert tools.requests == []
