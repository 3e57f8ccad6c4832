"""A tap on the wire between a client and the daemon: passes every byte on as it came, and keeps the events of both sides.

A client that can't be asked for its raw frames dials the tap instead. The handshake, the pings and the goodbye are still those of the
daemon itself: the tap only reads along.
"""

from __future__ import annotations

import asyncio
import json
from asyncio import StreamReader, StreamWriter
from collections.abc import Generator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader as FrameReader

from tests.rigs.wire_client import PATIENCE, Event

READ = 65_536
"""Bytes at once: any number does."""

MAX_LINE = 16_384
"""Bytes of one line of a handshake; far more than any client sends."""


class Events:
    """The events in one direction of a connection, read from its bytes."""

    def __init__(self, *, masked: bool) -> None:
        """`masked`: by the client, as RFC 6455 section 5.3 demands; a server's frames are bare."""
        self._masked = masked
        self._bytes = FrameReader()
        self._came: list[Event] = []
        self._parser = self._parse()
        next(self._parser)

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that became whole with this."""
        self._bytes.feed_data(data)
        next(self._parser)
        came, self._came = self._came, []
        return came

    def _parse(self) -> Generator[None, None, None]:
        while (yield from self._bytes.read_line(MAX_LINE)).strip():
            pass
        while True:
            frame = yield from Frame.parse(self._bytes.read_exact, mask=self._masked)
            # The daemon neither compresses nor splits (RFC 6455 sections 5.4 and 9); a tap that met either would understand nothing.
            assert frame.fin
            assert not frame.rsv1
            if frame.opcode is Opcode.TEXT:
                self._came.append(json.loads(bytes(frame.data)))


class Tap:
    """`async with Tap(daemon.port) as tap:` whoever dials `tap.port` inside reaches the daemon."""

    def __init__(self, port: int) -> None:
        """`port`: of the daemon, on this machine."""
        self.received: list[Event] = []
        """What the daemon sent, oldest first; an event is here before the client has it."""
        self.sent: list[Event] = []
        """What the client sent."""
        self._daemon = port
        self._returned: set[int] = set()
        """Places in `received` that a test has been given."""
        self._changed = asyncio.Condition()
        self._calls: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.close()
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    @property
    def port(self) -> int:
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def url(self, scheme: str = "ws", path: str = "/v1") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    async def wait_for(self, type: str, **fields: Any) -> Event:
        """Return the daemon's first event of this type and with these fields that was not returned before."""
        wanted = {"type": type, **fields}
        async with self._changed:
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._changed.wait_for(lambda: self._place(wanted) is not None)
            place = self._place(wanted)
        assert place is not None, f"{PATIENCE} s went by without {wanted}. What came: {[event['type'] for event in self.received]}"
        self._returned.add(place)
        return self.received[place]

    def of(self, type: str) -> list[Event]:
        """What the client sent of this type."""
        return [event for event in self.sent if event["type"] == type]

    def _place(self, wanted: Event) -> int | None:
        unreturned = (place for place in range(len(self.received)) if place not in self._returned)
        return next((place for place in unreturned if wanted.items() <= _plain(self.received[place]).items()), None)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        call = asyncio.current_task()
        assert call is not None
        self._calls.add(call)
        there, to_there = await asyncio.open_connection("127.0.0.1", self._daemon)
        try:
            up = self._pass(reader, to_there, Events(masked=True), self.sent)
            down = self._pass(there, writer, Events(masked=False), self.received)
            await asyncio.gather(up, down)
        finally:
            for end in (writer, to_there):
                end.close()
                with suppress(OSError):
                    await end.wait_closed()

    async def _pass(self, source: StreamReader, target: StreamWriter, events: Events, kept: list[Event]) -> None:
        # A client may leave without a goodbye; the other side then learns it from its own socket.
        with suppress(ConnectionError):
            while data := await source.read(READ):
                await self._keep(events.feed(data), kept)
                target.write(data)
                await target.drain()
        target.close()

    async def _keep(self, events: list[Event], kept: list[Event]) -> None:
        async with self._changed:
            kept += events
            self._changed.notify_all()


def _plain(event: Event) -> Event:
    """Its fields that are no objects and no lists."""
    return {name: value for name, value in event.items() if not isinstance(value, dict | list)}
