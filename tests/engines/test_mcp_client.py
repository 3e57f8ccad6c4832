"""The client of tool servers, against real ones on the loopback: made with the same package, and some that no package would make."""

from __future__ import annotations

import asyncio
import builtins
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace

from realtime.engines import mcp_client
from realtime.engines.mcp_client import MAX_LIST, MAX_OUTPUT, MAX_PAGES, MAX_TOOLS, McpClient, Timeouts
from realtime.engines.mcp_transport import MAX_BODY
from realtime.errors import EngineError
from realtime.wire.mcp import McpTool
from tests.rigs.mcp_server import McpServer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PATIENT = McpClient()


def named(url: str, **more: Any) -> McpTool:
    return McpTool(server_label="rig", server_url=url, **more)


async def failure(job: Awaitable[object]) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await job
    return caught.value


@asynccontextmanager
async def other_server(handler: Handler) -> AsyncIterator[McpTool]:
    """A server that answers every request in this way."""
    app = web.Application()
    app.router.add_route("*", "/mcp", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield named(f"http://127.0.0.1:{runner.addresses[0][1]}/mcp")
    finally:
        await runner.cleanup()


def answering(**results: Any) -> Handler:
    """Answers of JSON-RPC by method, each a result, or an error where it has a code."""

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.method != "POST":
            return web.Response(status=405)
        asked = await request.json()
        if "id" not in asked:
            return web.Response(status=202)
        initialized = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}}
        known = {"initialize": initialized, **{name.replace("_", "/"): result for name, result in results.items()}}
        missing = {"code": -32601, "message": "Method not found"}
        said = known.get(asked["method"], missing)
        kind = "error" if "code" in said else "result"
        return web.json_response({"jsonrpc": "2.0", "id": asked["id"], kind: said})

    return handler


@pytest.mark.parametrize("json", [False, True])
async def test_a_servers_tools_are_listed_as_it_describes_them(json: bool) -> None:
    async with McpServer(json=json) as server:
        tools = await PATIENT.tools(named(server.url))
    by_name = {tool.name: tool for tool in tools}
    assert list(by_name) == ["add", "disk.wipe", "divide", "slow", "long", "mixed"]
    add = by_name["add"]
    assert (add.description, add.annotations) == ("Adds two numbers.", {"readOnlyHint": True})
    assert add.input_schema["required"] == ["a", "b"]
    assert by_name["slow"].annotations is None


@pytest.mark.parametrize("json", [False, True])
async def test_a_tool_is_called_and_says_something(json: bool) -> None:
    async with McpServer(json=json) as server:
        assert await PATIENT.call(named(server.url), "add", {"a": 1, "b": 2}) == "3"
        assert server.calls == [("add", {"a": 1, "b": 2})]


async def test_what_lets_us_in_goes_along() -> None:
    async with McpServer(locked=True) as server:
        # The token counts where there is a header beside it.
        tools = await PATIENT.tools(named(server.url, authorization="sesame", headers={"X-Who": "me", "authorization": "other"}))
        assert tools
        assert {headers["x-who"] for headers in server.requests} == {"me"}
        assert {headers["accept-encoding"] for headers in server.requests} == {"identity"}
        await PATIENT.tools(named(server.url, headers={"Authorization": "Bearer sesame"}))


async def test_who_is_not_let_in_is_told_the_status() -> None:
    async with McpServer(locked=True) as server:
        error = await failure(PATIENT.tools(named(server.url)))
    assert (error.type, error.code) == ("http_error", "401")
    assert "401 Unauthorized" in error.message


async def test_a_server_that_is_not_there_can_not_be_reached() -> None:
    async with McpServer() as server:
        pass
    error = await failure(PATIENT.tools(named(server.url)))
    assert error.code == "connection_error"
    assert "can't be reached" in error.message


async def test_a_tool_that_fails_says_so_itself() -> None:
    async with McpServer() as server:
        error = await failure(PATIENT.call(named(server.url), "add", {"a": "x"}))
    assert error.type == "tool_execution_error"
    assert "valid integer" in error.message


async def test_a_tool_that_fails_without_a_word_is_spoken_for() -> None:
    async with other_server(answering(tools_call={"content": [], "isError": True})) as server:
        error = await failure(PATIENT.call(server, "f", {}))
    assert error.message == "The tool failed and did not say why."


async def test_an_error_of_the_protocol_keeps_its_code() -> None:
    async with other_server(answering(tools_call={"code": -32000, "message": "No such disk."})) as server:
        error = await failure(PATIENT.call(server, "f", {}))
    assert (error.type, error.code) == ("protocol_error", "-32000")
    assert "No such disk." in error.message


async def test_what_is_no_text_is_named() -> None:
    async with McpServer() as server:
        said = await PATIENT.call(named(server.url), "mixed", {})
    assert said == "Look:\n[image: image/png]\n[audio: audio/wav]\n[resource: file:///n]\nInside."


async def test_a_result_without_words_is_read_as_json() -> None:
    async with other_server(answering(tools_call={"content": [], "structuredContent": {"x": 1}})) as server:
        assert await PATIENT.call(server, "f", {}) == '{"x":1}'


async def test_a_result_without_anything_is_empty() -> None:
    async with other_server(answering(tools_call={"content": []})) as server:
        assert await PATIENT.call(server, "f", {}) == ""


async def test_a_long_result_is_cut_and_says_so() -> None:
    async with McpServer() as server:
        said = await PATIENT.call(named(server.url), "long", {"size": MAX_OUTPUT + 7})
    assert said == "x" * MAX_OUTPUT + "\n[7 more characters are left out]"


async def test_an_answer_without_end_is_broken_off() -> None:
    async with McpServer(json=True) as server:
        error = await failure(PATIENT.call(named(server.url), "long", {"size": MAX_BODY + 1}))
    assert f"more than {MAX_BODY} bytes" in error.message


async def test_an_event_without_end_is_broken_off_by_the_package_or_by_us() -> None:
    async with McpServer() as server:
        assert "bytes" in (await failure(PATIENT.call(named(server.url), "long", {"size": MAX_BODY + 1}))).message


async def test_a_compressed_answer_is_refused() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.json_response({"jsonrpc": "2.0", "id": 1, "result": {}})
        response.enable_compression(web.ContentCoding.gzip)
        return response

    async with other_server(handler) as server:
        assert "compressed" in (await failure(PATIENT.tools(server))).message


async def test_more_tools_than_anybody_offers_are_refused() -> None:
    async with McpServer(many=MAX_TOOLS) as server:
        assert f"more than {MAX_TOOLS} tools" in (await failure(PATIENT.tools(named(server.url)))).message


async def test_a_list_that_goes_on_for_ever_is_left() -> None:
    async with other_server(answering(tools_list={"tools": [], "nextCursor": "more"})) as server:
        assert f"more than {MAX_PAGES} pages" in (await failure(PATIENT.tools(server))).message


async def test_a_list_that_no_frame_could_carry_is_refused() -> None:
    page = {"tools": [{"name": "long", "description": "x" * (MAX_LIST // 3), "inputSchema": {"type": "object"}}], "nextCursor": "more"}
    async with other_server(answering(tools_list=page)) as server:
        assert f"more than {MAX_LIST} bytes" in (await failure(PATIENT.tools(server))).message


async def test_a_schema_nested_beyond_reason_is_refused() -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(70):
        schema = {"type": "object", "properties": {"x": schema}}
    async with other_server(answering(tools_list={"tools": [{"name": "deep", "inputSchema": schema}]})) as server:
        error = await failure(PATIENT.tools(server))
    assert "'deep'" in error.message
    assert "nested" in error.message


@pytest.mark.parametrize("body", ["<html>", '{"jsonrpc": "2.0", "id": 1, "result": {"tools": 7}}', "[]"])
async def test_what_is_no_answer_is_an_error(body: str) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(text=body, content_type="application/json")

    async with other_server(handler) as server:
        assert (await failure(McpClient(Timeouts(listing=0.5)).tools(server))).message


async def test_a_page_of_the_web_is_an_error() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>", content_type="text/html", status=599)

    async with other_server(handler) as server:
        error = await failure(PATIENT.tools(server))
    assert (error.type, error.code) == ("http_error", "599")


async def test_a_server_that_leads_elsewhere_is_not_followed() -> None:
    async with McpServer() as inside:

        async def handler(request: web.Request) -> web.StreamResponse:
            raise web.HTTPTemporaryRedirect(inside.url)

        async with other_server(handler) as server:
            error = await failure(PATIENT.tools(server))
        assert (error.type, error.code) == ("http_error", "307")
        assert inside.requests == []


async def test_a_server_that_says_nothing_is_waited_for_only_so_long() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    hasty = McpClient(Timeouts(listing=0.05, call=0.05))
    async with other_server(handler) as server:
        for job in (hasty.tools(server), hasty.call(server, "f", {})):
            error = await failure(job)
            assert (error.code, error.message) == ("timeout", "The tool server did not answer within 0.05 s.")


async def test_who_stops_waiting_closes_the_connection() -> None:
    async with McpServer() as server:
        call = asyncio.ensure_future(PATIENT.call(named(server.url), "slow", {}))
        await server.begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(10):
            await server.abandoned.wait()


async def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name.partition(".")[0] in ("mcp", "httpx2"):
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    error = await failure(McpClient().tools(named("http://127.0.0.1:1/mcp")))
    assert error.message == mcp_client.MISSING
    assert "realtime-daemon[mcp]" in error.message


async def test_nothing_is_left_to_close() -> None:
    await McpClient().close()


def test_a_server_without_secrets_is_sent_none() -> None:
    assert mcp_client._headers(replace(named("http://x/"), headers=None, authorization=None)) == {}


def test_json_of_an_unknown_block_is_named_by_its_type() -> None:
    assert mcp_client._block(json.loads('{"type": "tool_use"}')) == "[tool_use]"
