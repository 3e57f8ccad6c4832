"""A server whose every word a test says: what a client does when a server does what real ones seldom do."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve

Event = dict[str, Any]

PATIENCE = 20.0
"""Seconds for a client to connect, or to say something."""


class Visit:
    """One connection of a client's."""

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket
        assert socket.request is not None
        self.path = socket.request.path
        """With its query."""
        self._count = 0

    async def say(self, type: str, **fields: Any) -> str:
        """Send an event, with an id of this server's unless it has one; return the id."""
        self._count += 1
        event = {"type": type, "event_id": f"event_{id(self)}_{self._count}", **fields}
        await self._socket.send(json.dumps(event))
        return str(event["event_id"])

    async def created(self, session_id: str = "sess_1") -> str:
        return await self.say("session.created", session={"id": session_id, "type": "realtime"})

    async def heard(self, type: str) -> Event:
        """The client's next event, which must be of this type."""
        async with asyncio.timeout(PATIENCE):
            event: Event = json.loads(await self._socket.recv())
        assert event["type"] == type, event
        return event

    async def pass_barrier(self) -> None:
        """Answer the question that is asked where everything missed has come."""
        question = await self.heard("conversation.item.retrieve")
        await self.refuse(question, "item_not_found")

    async def refuse(self, event: Event, code: str) -> None:
        await self.say("error", error={"type": "invalid_request_error", "code": code, "message": code, "event_id": event["event_id"]})

    async def item(self, item: Event) -> None:
        await self.say("conversation.item.added", item=item)
        await self.say("conversation.item.done", item=item)

    def cut(self) -> None:
        """Break the connection without a word."""
        self._socket.transport.abort()

    async def close(self, code: int, reason: str = "") -> None:
        await self._socket.close(code, reason)

    async def gone(self) -> None:
        """Wait until the client has closed."""
        async with asyncio.timeout(PATIENCE):
            await self._socket.wait_closed()


class ScriptedServer:
    """`async with ScriptedServer() as server:` clients of `server.url` are given out by `visit`."""

    def __init__(self) -> None:
        self._visits: asyncio.Queue[Visit] = asyncio.Queue()
        self.refusals: list[int] = []
        """HTTP statuses for the next handshakes."""
        self._server: Server

    async def __aenter__(self) -> Self:
        self._server = await serve(self._receive, "127.0.0.1", 0, process_request=self._admit)
        port = next(iter(self._server.sockets)).getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}/v1/realtime"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def visit(self) -> Visit:
        """The next connection."""
        async with asyncio.timeout(PATIENCE):
            return await self._visits.get()

    def _admit(self, socket: ServerConnection, request: Any) -> Any:
        return socket.respond(self.refusals.pop(0), "not now\n") if self.refusals else None

    async def _receive(self, socket: ServerConnection) -> None:
        visit = Visit(socket)
        await self._visits.put(visit)
        await socket.wait_closed()
