"""Frames on their way to one client: a bounded queue, and the one writer that empties it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

MAX_PENDING = 32 * 1024 * 1024
"""Bytes that may wait for a client that reads slowly: more than eight minutes of speech in base64. Beyond it the client is dropped."""

TOO_SLOW = 1008
"""Close code for it (RFC 6455, 7.4.1: policy violation)."""


class Socket(Protocol):
    """What the outbox needs of a websocket."""

    async def send(self, message: bytes, *, text: bool) -> None: ...

    async def close(self, code: int = 1000, reason: str = "") -> None: ...


class Outbox:
    """`put` never waits; `write` runs until the socket is closed from this side or breaks.

    `latency`, in seconds, is waited before every frame: some clients' own tests count on a network on which no two come at once.
    """

    def __init__(self, socket: Socket, latency: float = 0.0) -> None:
        self._socket = socket
        self._latency = latency
        self._frames: deque[bytes] = deque()
        self._pending = 0
        """Bytes in `_frames`."""
        self._goodbye: tuple[int, str] | None = None
        self._wake = asyncio.Event()

    def put(self, frame: bytes) -> None:
        """Queue a text frame."""
        if self._goodbye is not None:
            return
        self._frames.append(frame)
        self._pending += len(frame)
        if self._pending > MAX_PENDING:
            self._frames.clear()
            self._pending = 0
            self.close(TOO_SLOW, "the client reads too slowly")
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Close the socket once everything before has been written. The first call counts."""
        if self._goodbye is None:
            self._goodbye = (code, reason)
            self._wake.set()

    async def write(self) -> None:
        """Empty the queue for ever. Raises what the socket raises when it breaks."""
        while True:
            while self._frames:
                frame = self._frames.popleft()
                self._pending -= len(frame)
                if self._latency:
                    await asyncio.sleep(self._latency)
                await self._socket.send(frame, text=True)
            if self._goodbye is not None:
                await self._socket.close(*self._goodbye)
                return
            self._wake.clear()
            await self._wake.wait()
