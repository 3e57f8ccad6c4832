"""A socket that keeps what is written to it, and whose reader can be told to stop reading."""

from __future__ import annotations

import asyncio


class KeptSocket:
    """Implements `outbox.Socket`."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.reading = asyncio.Event()
        """Cleared: the client reads no more."""
        self.reading.set()
        self._changed = asyncio.Condition()

    async def send(self, message: bytes, *, text: bool) -> None:
        assert text
        await self.reading.wait()
        self.frames.append(message)
        await self._tell()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.closed = (code, reason)
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def wait_for_frames(self, count: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.frames) >= count)

    async def wait_for_frame(self, part: bytes) -> bytes:
        """The first frame that holds `part`."""

        def found() -> list[bytes]:
            return [frame for frame in self.frames if part in frame]

        async with self._changed:
            await self._changed.wait_for(lambda: bool(found()))
        return found()[0]

    async def wait_closed(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.closed is not None)
