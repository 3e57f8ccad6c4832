"""What a client has sent, handed to the library in portions, so that everybody else has a turn in between.

A read of the socket brings up to 256 KiB. Of the smallest frames that are forty thousand, and to read and answer them at once keeps every
other session waiting for a second. A large frame costs next to nothing for its bytes, and is not divided.
"""

from __future__ import annotations

from realtime.server.fragments import Cutter

PORTION = 512
"""Bytes after which the frame under way is the last that is read at once: eighty of the smallest, which take a millisecond."""


class Portions:
    """Of one client. True while something waits."""

    def __init__(self, cutter: Cutter) -> None:
        self._cutter = cutter
        self._waiting = b""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, data: bytes) -> None:
        """Bytes of the socket."""
        self._waiting += data

    def take(self) -> bytes:
        """The next portion, as the library is to have it."""
        taken = self._taken(max(PORTION, self._cutter.under_way))
        return taken + self._taken(self._cutter.under_way) if self._waiting else taken

    def _taken(self, size: int) -> bytes:
        portion, self._waiting = self._waiting[:size], self._waiting[size:]
        return self._cutter.feed(portion)
