"""Frames on their way to one client: a bounded queue, and the one writer that empties it.

What acknowledges a change waits here until the change is stored (`hold`, `release`), and so does all that comes after it. What was written
is kept for a while, for a client that lost its connection has not read all of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
from msgspec import Struct

MAX_PENDING = 32 * 1024 * 1024
"""Bytes that may wait for a client that reads slowly: more than eight minutes of speech in base64. Beyond it the client is dropped."""

TOO_SLOW = 1008
"""Close code for it (RFC 6455, 7.4.1: policy violation)."""


MAX_KEPT = 1024 * 1024
"""Bytes of frames that are kept once they are written: half a minute of text or of speech on its way, which is written faster than it
plays."""


class Identified(Struct):
    """What is looked for in a frame."""

    event_id: str | None = None


_identified = msgspec.json.Decoder(Identified)


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

    def __init__(self, socket: Socket, latency: float = 0.0, cut_off: Callable[[], object] = lambda: None, *, keeps: bool = False) -> None:
        """`keeps`: may the client come back on another socket?"""
        self._socket = socket
        self._latency = latency
        self._cut_off = cut_off
        self._keeps = keeps
        self._frames: deque[bytes] = deque()
        """That may be written."""
        self._held: deque[list[bytes]] = deque()
        """Those behind each change that is not stored yet."""
        self.pending = 0
        """Bytes in both."""
        self._kept: deque[bytes] = deque()
        self._kept_bytes = self._aged = 0
        """`_aged`: of the frames kept, how many were there when they were last looked at."""
        self._unkept = 0
        """Frames that wait and are not kept: what a client is told because it has come back, which is of no use to it the next time."""
        self.goodbye: tuple[int, str] | None = None
        """Code and reason with which this side closes, once it does."""
        self._marks: deque[Mark] = deque()
        self._wake = asyncio.Event()

    def put(self, frame: bytes) -> None:
        """Queue a text frame."""
        if self.goodbye is not None:
            return
        (self._held[-1] if self._held else self._frames).append(frame)
        self.pending += len(frame)
        if self.pending > MAX_PENDING:
            self._drop()
            self.close(TOO_SLOW, "the client reads too slowly")
            self._cut_off()
        self._wake.set()

    def hold(self) -> None:
        """What is put from now on waits for one more `release`."""
        if self.goodbye is None:
            self._held.append([])

    def release(self) -> None:
        """The oldest hold is over."""
        if self._held:
            self._frames.extend(self._held.popleft())
            self._wake.set()

    def fail(self, code: int, reason: str) -> None:
        """What is held will never be true: drop it, and close after what was true before."""
        self.pending -= sum(len(frame) for held in self._held for frame in held)
        self._held.clear()
        self._wake.set()  # a goodbye that was said before may have waited for what was held
        self.close(code, reason)

    def close(self, code: int, reason: str) -> None:
        """Close the socket once everything before has been written. The first call counts."""
        if self.goodbye is None:
            self.goodbye = (code, reason)
            self._wake.set()

    def _drop(self) -> None:
        self._frames.clear()
        self._held.clear()
        self.pending = self._unkept = 0

    def when_written(self, callback: Callable[[], None]) -> None:
        """Call back once all that was put so far has been written. Never, where the client is gone before.

        A frame that is just being written counts as one of them: then it is a frame too early.
        """
        self._marks.append(Mark(self._waiting, callback))

    @property
    def _waiting(self) -> int:
        return len(self._frames) + sum(map(len, self._held))

    async def write(self) -> None:
        """Empty the queue for ever. Raises what the socket raises when it breaks."""
        while True:
            while self._frames:
                frame = self._frames.popleft()
                self.pending -= len(frame)
                if self._unkept:
                    self._unkept -= 1
                elif self._keeps:
                    self._keep(frame)
                if self._latency:
                    await asyncio.sleep(self._latency)
                await self._socket.send(frame, text=True)
                if self._marks:
                    self._pass()
            if self.goodbye is not None and not self._held:
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

    # A client that comes back

    def _keep(self, frame: bytes) -> None:
        self._kept.append(frame)
        self._kept_bytes += len(frame)
        while self._kept_bytes > MAX_KEPT:
            self._forget()

    def _forget(self) -> None:
        self._kept_bytes -= len(self._kept.popleft())
        self._aged = max(0, self._aged - 1)

    def age(self) -> None:
        """Forget the written frames that were there the last time: whoever is connected has them by now."""
        for _ in range(self._aged):
            self._forget()
        self._aged = len(self._kept)

    def since(self, event_id: str) -> list[bytes] | None:
        """The frames after the one with that id, written or not; None where it is not known any more."""
        waiting = [*self._frames, *(frame for held in self._held for frame in held)]
        frames = [*self._kept, *waiting[self._unkept :]]
        for index in range(len(frames) - 1, -1, -1):
            if _identified.decode(frames[index]).event_id == event_id:
                return frames[index + 1 :]
        return None

    def attach(self, socket: Socket, cut_off: Callable[[], object] = lambda: None, *, missed: Sequence[bytes] | None = None) -> None:
        """Write to another socket from now on, and nothing of what was put so far. `missed`: by `since`; it will be put again."""
        known = 0 if missed is None else len(self._kept) + self._waiting - self._unkept - len(missed)
        while len(self._kept) > known:
            self._kept_bytes -= len(self._kept.pop())
        self._aged = min(self._aged, len(self._kept))
        self._socket, self._cut_off = socket, cut_off
        self._drop()
        self._marks.clear()

    def greeted(self) -> None:
        """What waits has been said because the client has come back."""
        self._unkept = self._waiting
