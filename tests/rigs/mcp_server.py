"""A server of tools on the loopback, made with the official `mcp` package: its own streamable HTTP over uvicorn, on the test's loop.

async with McpServer() as server:
    server.url, server.calls, server.requests
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, Self

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp_types import AudioContent, EmbeddedResource, ImageContent, ResourceLink, TextContent, TextResourceContents, ToolAnnotations

SECRET = "Bearer sesame"
"""What `McpServer(locked=True)` wants in `Authorization`."""


class McpServer:
    """The server. `calls` are the tools that were called, with what; `requests` the headers of every request."""

    def __init__(self, *, locked: bool = False, json: bool = False, many: int = 0) -> None:
        """`locked`: wants `SECRET`. `json`: answers in plain JSON instead of events. `many`: tools beside its own."""
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.requests: list[dict[str, str]] = []
        self.gate = asyncio.Event()
        """`slow` waits for it."""
        self.begun = asyncio.Event()
        """A `slow` has begun."""
        self.abandoned = asyncio.Event()
        """A `slow` was given up."""
        self._locked = locked
        tools = self._tools(many)
        self._app = tools.streamable_http_app(json_response=json)
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()  # from here on clients may connect: they wait until it is served
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/mcp"

    async def __aenter__(self) -> Self:
        config = uvicorn.Config(self._serve, interface="asgi3", log_level="critical", lifespan="on", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._task = asyncio.create_task(self._server.serve([self._socket]))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.gate.set()
        self._server.should_exit = True
        await self._task
        self._socket.close()

    async def _serve(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            self.requests.append(headers)
            if self._locked and headers.get("authorization") != SECRET:
                await send({"type": "http.response.start", "status": 401, "headers": []})
                await send({"type": "http.response.body", "body": b"Who are you?"})
                return
        await self._app(scope, receive, send)

    def _tools(self, many: int) -> MCPServer:
        tools = MCPServer("rig", log_level="CRITICAL")

        @tools.tool(annotations=ToolAnnotations(read_only_hint=True))
        def add(a: int, b: int) -> str:
            """Adds two numbers."""
            self.calls.append(("add", {"a": a, "b": b}))
            return str(a + b)

        @tools.tool(name="disk.wipe")
        def wipe(disk: str) -> str:
            """Wipes a disk."""
            self.calls.append(("disk.wipe", {"disk": disk}))
            return f"{disk} is empty."

        @tools.tool()
        def divide(a: int, b: int) -> str:
            """Divides two numbers."""
            raise ValueError("division by zero")

        @tools.tool()
        async def slow() -> str:
            """Takes its time."""
            self.calls.append(("slow", {}))
            self.begun.set()
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.abandoned.set()
                raise
            return "At last."

        @tools.tool()
        def long(size: int) -> str:
            """Says much."""
            return "x" * size

        @tools.tool()
        def mixed() -> list[TextContent | ImageContent | AudioContent | ResourceLink | EmbeddedResource]:
            """Says more than words."""
            return [
                TextContent(type="text", text="Look:"),
                ImageContent(type="image", data="AA==", mime_type="image/png"),
                AudioContent(type="audio", data="AA==", mime_type="audio/wav"),
                ResourceLink(type="resource_link", name="n", uri="file:///n"),
                EmbeddedResource(type="resource", resource=TextResourceContents(uri="file:///t", text="Inside.")),
            ]

        for number in range(many):
            tools.tool(name=f"tool_{number}")(lambda: "")
        return tools
