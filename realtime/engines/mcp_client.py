"""Servers of tools, over the official `mcp` package's client for streamable HTTP (extra `mcp`).

Owns connections, deadlines and bounds, and is the one place where foreign exceptions become `EngineError`. A connection serves one listing
or one call and is closed with it, so that cancelling the task that waits is all it takes to stop. Proxies of the environment are not used.

Reference: Model Context Protocol 2025-11-25, "Transports" and "Tools"; the package negotiates later versions by itself.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from realtime.errors import EngineError
from realtime.wire.items import MAX_TEXT, ListedTool
from realtime.wire.mcp import McpTool

if TYPE_CHECKING:
    import mcp
    from mcp_types import CallToolResult

    from realtime.engines.mcp_transport import BoundedTransport

MAX_TOOLS = 512
"""Tools of one server: four times what OpenAI's models take in one request, for clients that filter."""

MAX_LIST = 4 * 1024 * 1024
"""Bytes of JSON of a whole list: it is shown to the client in one frame."""

MAX_PAGES = 64
"""Pages of one list: a server that turns them for ever is left."""

MAX_OUTPUT = MAX_TEXT
"""Characters of a result that are kept: as many as of any other text of a conversation."""

MAX_MESSAGE = 1000
"""Characters of a server's own words in an error."""

MISSING = "This server can't use tool servers: the package mcp is not installed (pip install 'realtime-daemon[mcp]')."


class Timeouts(Struct, frozen=True, kw_only=True):
    """How long a server may keep us waiting, in seconds."""

    connect: float = 10.0
    """For a connection: name, TCP and TLS together."""
    listing: float = 20.0
    """For a whole listing, connection and all: responses wait for it."""
    call: float = 60.0
    """For a whole call: somebody waits in a conversation."""


class _Packages(Struct, frozen=True):
    """What is imported, and made, when the first server is named: it takes most of a second."""

    client: Any
    stream: Any
    transport: type[BoundedTransport]
    http: Any
    timeout: Any
    ssl: ssl.SSLContext


class McpClient:
    """`ports.ToolServers`."""

    def __init__(self, timeouts: Timeouts = Timeouts()) -> None:  # noqa: B008 - frozen
        self._timeouts = timeouts
        self._packages: _Packages | None = None

    async def tools(self, server: McpTool) -> tuple[ListedTool, ...]:
        async with self._client(server, self._timeouts.listing) as client:
            found: list[ListedTool] = []
            cursor: str | None = None
            for _ in range(MAX_PAGES):
                page = await client.list_tools(cursor=cursor)
                found += [_listed(tool.model_dump(mode="json", by_alias=True, exclude_none=True)) for tool in page.tools]
                if len(found) > MAX_TOOLS:
                    raise EngineError("server_error", f"The server offers more than {MAX_TOOLS} tools.")
                if len(msgspec.json.encode(found)) > MAX_LIST:
                    raise EngineError("server_error", f"The server's list of tools has more than {MAX_LIST} bytes.")
                cursor = page.next_cursor
                if not cursor:
                    return tuple(found)
            raise EngineError("server_error", f"The server's list of tools has more than {MAX_PAGES} pages.")

    async def call(self, server: McpTool, name: str, arguments: dict[str, Any]) -> str:
        async with self._client(server, self._timeouts.call) as client:
            client.session.validate_tool_result = _unchecked  # type: ignore[method-assign]
            result = await client.call_tool(name, arguments)
        output = _cut(_told(result))
        if result.is_error:
            raise EngineError("tool_execution_error", output or "The tool failed and did not say why.", type="tool_execution_error")
        return output

    async def close(self) -> None:
        """Nothing outlives a listing or a call."""

    @asynccontextmanager
    async def _client(self, server: McpTool, seconds: float) -> AsyncIterator[mcp.Client]:
        """A connection for so many seconds. Everything that goes wrong inside is translated."""
        if self._packages is None:
            self._packages = await asyncio.to_thread(_load)
        packages = self._packages
        transport = packages.transport(verify=packages.ssl)
        timeout = packages.timeout(None, connect=self._timeouts.connect)
        http = packages.http(headers=_headers(server), transport=transport, timeout=timeout)
        try:
            async with asyncio.timeout(seconds), http:
                stream = packages.stream(str(server.server_url), http_client=http)
                async with packages.client(stream, cache=None) as client:
                    yield client
        except EngineError:
            raise
        except Exception as error:
            raise _translated(error, transport, seconds) from error


def _load() -> _Packages:
    """Blocking. Raises `EngineError` where the extra is not installed."""
    try:
        import httpx2
        import mcp
        from mcp.client.streamable_http import streamable_http_client

        from realtime.engines.mcp_transport import BoundedTransport
    except ImportError as error:
        raise EngineError("not_installed", MISSING) from error
    return _Packages(mcp.Client, streamable_http_client, BoundedTransport, httpx2.AsyncClient, httpx2.Timeout, httpx2.create_ssl_context())


def _headers(server: McpTool) -> dict[str, str]:
    headers = {name: value for name, value in (server.headers or {}).items() if name.lower() != "authorization" or not server.authorization}
    if server.authorization:
        headers["Authorization"] = f"Bearer {server.authorization}"
    return headers


# What comes back


async def _unchecked(name: str, result: CallToolResult) -> None:
    """In place of the package's check of a result against its schema: that takes a listing for every call, and lets whoever runs the server
    choose a pattern whose matching takes for ever. The model reads the words."""


def _listed(tool: Mapping[str, Any]) -> ListedTool:
    """A tool without what nobody reads: icons, output schemas."""
    try:
        return ListedTool(tool["name"], tool.get("inputSchema") or {"type": "object"}, tool.get("description", ""), tool.get("annotations"))
    except ValueError as error:
        raise EngineError("server_error", f"The schema of the tool '{tool['name'][:MAX_MESSAGE]}' is {error}.") from error


def _told(result: CallToolResult) -> str:
    """A result in words. Where there are none, what it says in JSON."""
    told = "\n".join(_block(block.model_dump(mode="json", by_alias=True)) for block in result.content)
    structured = result.structured_content
    return msgspec.json.encode(structured).decode() if not told and structured is not None else told


def _block(block: Mapping[str, Any]) -> str:
    match block:
        case {"type": "text", "text": text}:
            return str(text)
        case {"type": "resource", "resource": {"text": text}}:
            return str(text)
        case {"type": "resource", "resource": {"uri": uri}} | {"type": "resource_link", "uri": uri}:
            return f"[resource: {uri}]"
        case {"type": kind, "mimeType": mime}:
            return f"[{kind}: {mime}]"
        case _:
            return f"[{block['type']}]"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_OUTPUT else f"{text[:MAX_OUTPUT]}\n[{len(text) - MAX_OUTPUT} more characters are left out]"


# What goes wrong


def _translated(error: Exception, transport: BoundedTransport, seconds: float) -> EngineError:
    """The package's task groups raise groups of groups; the first error in them is the cause of the others."""
    cause = _first(error)
    if transport.broke is not None:  # the package may have called it something else
        return transport.broke
    if isinstance(cause, EngineError):
        return cause
    if isinstance(error, TimeoutError):
        return EngineError("timeout", f"The tool server did not answer within {seconds:g} s.")
    status = transport.refused
    message = (str(cause) or type(cause).__name__)[:MAX_MESSAGE]
    if status is not None:
        return EngineError(str(status), f"The tool server refused the request: {status} {_phrase(status)} ({message}).", type="http_error")
    code = getattr(cause, "code", None)
    if isinstance(code, int):  # mcp's MCPError: an error of JSON-RPC
        return EngineError(str(code), f"The tool server answered with an error: {message}.", type="protocol_error")
    return EngineError("connection_error", f"The tool server can't be reached: {message}.")


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "(a status of its own)"
