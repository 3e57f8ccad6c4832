"""Frames on their way to one client: a bounded queue, and the one writer that empties it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

MAX_PENDING = 32 * 1024 * 1024
"""Bytes that may wait for a client that reads slowly: more than eight minutes of speech in base64. Beyond it the client is dropped."""

TOO_SLOW = 1008
"""Close code for it (RFC 6455, 7.4.1: policy violation)."""


class Socket(Protocol):
    """What the outbox needs of a websocket."""

    async def send(self, message: bytes, *, text: bool) -> None: ...

    async def close(self, code: int = 1000, reason: str = "") -> None: ...


class Mark(Struct):
    """Somebody waits for what is being written."""

    left: int
    """Frames before it."""
    reached: Callable[[], None]


class Outbox:
    """`put` never waits; `write` runs until the socket is closed from this side or breaks.

    `latency`, in seconds, is waited before every frame: some clients' own tests count on a network on which no two come at once.
    `cut_off` is called when too much waits: the writer waits then, too, for a client that does not read, and never comes to its goodbye.
    """

    def __init__(self, socket: Socket, latency: float = 0.0, cut_off: Callable[[], object] = lambda: None) -> None:
        self._socket = socket
        self._latency = latency
        self._cut_off = cut_off
        self._frames: deque[bytes] = deque()
        self.pending = 0
        """Bytes in `_frames`."""
        self.goodbye: tuple[int, str] | None = None
        """Code and reason with which this side closes, once it does."""
        self._marks: deque[Mark] = deque()
        self._wake = asyncio.Event()

    def put(self, frame: bytes) -> None:
        """Queue a text frame."""
        if self.goodbye is not None:
            return
        self._frames.append(frame)
        self.pending += len(frame)
        if self.pending > MAX_PENDING:
            self._frames.clear()
            self.pending = 0
            self.close(TOO_SLOW, "the client reads too slowly")
            self._cut_off()
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Close the socket once everything before has been written. The first call counts."""
        if self.goodbye is None:
            self.goodbye = (code, reason)
            self._wake.set()

    def when_written(self, callback: Callable[[], None]) -> None:
        """Call back once all that was put so far has been written. Never, where the client is gone before.

        A frame that is just being written counts as one of them: then it is a frame too early.
        """
        self._marks.append(Mark(len(self._frames), callback))

    async def write(self) -> None:
        """Empty the queue for ever. Raises what the socket raises when it breaks."""
        while True:
            while self._frames:
                frame = self._frames.popleft()
                self.pending -= len(frame)
                if self._latency:
                    await asyncio.sleep(self._latency)
                await self._socket.send(frame, text=True)
                if self._marks:
                    self._pass()
            if self.goodbye is not None:
                await self._socket.close(*self.goodbye)
                return
            self._wake.clear()
            await self._wake.wait()

    def _pass(self) -> None:
        """One more frame has been written."""
        for mark in self._marks:
            mark.left -= 1
        while self._marks and self._marks[0].left <= 0:
            self._marks.popleft().reached()
