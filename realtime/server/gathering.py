"""A transport whose writes of one turn of the event loop go out as one.

A model's read brings many tokens, each of them a frame, each frame a call of the kernel: two fifths of what a token cost. What is gathered
is written when the loop has run whatever else was ready, which takes microseconds.
"""

from __future__ import annotations

import asyncio
from typing import Any

MOST = 64 * 1024
"""Bytes that are gathered before they are written at once: asyncio's own high-water mark, so that a slow reader is noticed as early."""


class Gathering:
    """Stands for `transport`, which is used for all that is no write."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting: list[bytes] = []
        self._size = 0
        self._written = 0
        self._peer = transport.get_extra_info("peername")

    @property
    def gone(self) -> int:
        """Bytes that the kernel has taken."""
        return self._written - self.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append(data)
        self._size += len(data)
        self._written += len(data)
        if self._size >= MOST:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered."""
        if self._waiting:
            gathered = self._waiting[0] if len(self._waiting) == 1 else b"".join(self._waiting)
            self._waiting, self._size = [], 0
            self._transport.write(gathered)

    def get_write_buffer_size(self) -> int:
        return self._size + self._transport.get_write_buffer_size()

    def write_eof(self) -> None:
        self.flush()
        self._transport.write_eof()

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        self._waiting, self._size = [], 0
        self._transport.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Of who is gone, too, the address is known: uvloop would raise."""
        return self._peer if name == "peername" else self._transport.get_extra_info(name, default)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
