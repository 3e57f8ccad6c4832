"""A small client of the GA dialect: sends dictionaries, keeps everything that comes, waits for what a test needs."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from realtime.ports import Int16
from tests.rigs.sounds import FRAME

Event = dict[str, Any]

PATIENCE = 20.0
"""Seconds for an event, on a machine that does much else."""

MAX_FRAME = 64 * 1024 * 1024
"""Bytes; a retrieved item with its audio is larger than the library's default."""


class WireClient:
    """`async with WireClient(url) as client:` is connected inside."""

    def __init__(
        self,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        subprotocols: Sequence[str] | None = None,
        patience: float = PATIENCE,
        path: Path | None = None,
    ) -> None:
        """`patience`, in seconds, is for each event that is waited for. `path`: of a Unix socket, to which `url` is asked for."""
        offered = None if subprotocols is None else [Subprotocol(name) for name in subprotocols]
        # No proxy: the environment may name one, and the server is on this machine.
        more: dict[str, Any] = {} if path is None else {"path": str(path), "unix": True}
        self._connect = connect(url, additional_headers=headers, subprotocols=offered, max_size=MAX_FRAME, proxy=None, **more)
        self._patience = patience
        self.received: list[Event] = []
        """Every event, in the order in which they came."""
        self._returned: set[int] = set()
        """Places in `received` that a test has been given."""
        self._over = False
        self._changed = asyncio.Condition()
        self._count = 0

    async def __aenter__(self) -> Self:
        self.socket: ClientConnection = await self._connect.__aenter__()
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.socket.close()
        await self._reader

    async def send(self, event: Event) -> str:
        """Send an event, with an id of ours if it has none; return the id."""
        self._count += 1
        event_id: str = event.setdefault("event_id", f"ev_{self._count}")
        await self.socket.send(json.dumps(event))
        return event_id

    async def wait_for(self, type: str, **fields: Any) -> Event:
        """Return the first event of this type and with these fields that was not returned before."""

        def sought(event: Event) -> bool:
            return event["type"] == type and all(event.get(name) == value for name, value in fields.items())

        return await self._wait(sought, f"{type} {fields or ''}")

    async def speak(self, sound: Int16) -> None:
        """Append a sound in frames of 20 ms, as fast as the server takes them."""
        for start in range(0, len(sound), FRAME):
            await self.append(sound[start : start + FRAME].tobytes())

    async def append(self, audio: bytes) -> None:
        await self.send({"type": "input_audio_buffer.append", "audio": b64encode(audio).decode()})

    async def say(self, text: str) -> str:
        """Add a message of the user's; return the id of its item."""
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        await self.send({"type": "conversation.item.create", "item": item})
        done = await self.wait_for("conversation.item.done")
        item_id: str = done["item"]["id"]
        return item_id

    async def respond(self, **wanted: Any) -> Event:
        """Have a response made; return the `response` of its `response.done`."""
        await self.send({"type": "response.create", "response": wanted})
        return await self.response()

    async def response(self) -> Event:
        """The `response` of the next `response.done`, once everything about it has come."""
        done = await self.wait_for("response.done")
        await self.wait_for("rate_limits.updated")
        response: Event = done["response"]
        return response

    async def retrieve(self, item_id: str) -> Event:
        await self.send({"type": "conversation.item.retrieve", "item_id": item_id})
        retrieved = await self.wait_for("conversation.item.retrieved")
        item: Event = retrieved["item"]
        return item

    async def closed(self) -> tuple[int | None, str | None]:
        """Wait until the server has closed the socket; return the code and the reason."""
        async with asyncio.timeout(self._patience):
            await self.socket.wait_closed()
        await self._reader
        return self.socket.close_code, self.socket.close_reason

    def types(self, since: int = 0) -> list[str]:
        return [event["type"] for event in self.received[since:]]

    def sound(self, response_id: str) -> Int16:
        """What has been heard of a response."""
        pieces = [b64decode(event["delta"]) for event in self._of(response_id, "response.output_audio.delta")]
        return np.frombuffer(b"".join(pieces), np.int16)

    def _of(self, response_id: str, type: str) -> list[Event]:
        return [event for event in self.received if event["type"] == type and event["response_id"] == response_id]

    async def _wait(self, sought: Callable[[Event], bool], name: str) -> Event:
        async with self._changed:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience):
                    await self._changed.wait_for(lambda: self._over or self._place(sought) is not None)
            place = self._place(sought)
            if place is None:
                why = "The socket was closed" if self._over else f"{self._patience} s went by"
                raise AssertionError(f"{why} without {name}. What came:\n" + "\n".join(map(_short, self.received)))
            self._returned.add(place)
            return self.received[place]

    def _place(self, sought: Callable[[Event], bool]) -> int | None:
        unreturned = (place for place in range(len(self.received)) if place not in self._returned)
        return next((place for place in unreturned if sought(self.received[place])), None)

    async def _read(self) -> None:
        # How it was closed is for `closed` to tell.
        with suppress(ConnectionClosed):
            async for frame in self.socket:
                await self._add(json.loads(frame))
        async with self._changed:
            self._over = True
            self._changed.notify_all()

    async def _add(self, event: Event) -> None:
        async with self._changed:
            self.received.append(event)
            self._changed.notify_all()


def words(response: Event) -> str:
    """What a response says, by text or by voice."""
    parts = (part for item in response["output"] for part in item["content"])
    return " ".join(part.get("text") or part.get("transcript") or "" for part in parts)


def spoken(sound: Int16) -> Event:
    """An item in which the user says this."""
    part = {"type": "input_audio", "audio": b64encode(sound.tobytes()).decode()}
    return {"type": "message", "role": "user", "content": [part]}


def _short(event: Event) -> str:
    line = json.dumps(event)
    return line if len(line) <= 300 else line[:300] + "..."
