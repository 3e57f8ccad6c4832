"""Server-Sent Events, read from bytes as they come (WHATWG HTML, section 9.2.6).

Owns the framing: line ends, comments, fields, the blank line that ends an event. Refuses to know what the data says, and to do any I/O.
Only `data` is kept; `event`, `id` and `retry` are read and forgotten, for chat endpoints put everything into the data.
"""

from __future__ import annotations

from realtime.errors import EngineError

MAX_EVENT = 1 << 20
"""Bytes of data of one event. A delta has some hundreds; a runaway endpoint must not eat our memory."""

_BOM = b"\xef\xbb\xbf"


class SseParser:
    """One stream. Call `feed` with each chunk as it arrives, then `flush` once at the end.

    A parser that raised has lost its place: drop it.
    """

    __slots__ = ("_after_cr", "_data", "_data_size", "_head", "_line", "_line_size", "_max_event")

    def __init__(self, max_event: int = MAX_EVENT) -> None:
        """`max_event`: bytes of data that one event may have."""
        self._max_event = max_event
        self._head: bytes | None = b""
        # Bytes that may yet be a byte order mark; None once that is settled.
        self._after_cr = False
        # The last byte seen was CR, so that an LF which comes next belongs to it.
        self._line: list[bytes] = []
        # Pieces of the line that is not whole yet, joined only when it is: no byte is copied twice.
        self._line_size = 0
        self._data: list[bytes] = []
        # Values of the `data` lines of the event that is not whole yet.
        self._data_size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the data of each event that became whole, in order. Raises `EngineError` for an event that is too long."""
        if self._head is not None or self._after_cr or b"\r" in chunk:
            chunk = self._plain(chunk)
        if self._data or self._line or len(chunk) > self._max_event or not chunk.endswith(b"\n\n"):
            return self._read(chunk)
        # Nearly always a read brings whole events of one line each.
        events: list[bytes] = []
        for block in chunk[:-2].split(b"\n\n"):
            if block.startswith(b"data: ") and b"\n" not in block:
                events.append(block[6:])
            else:
                events += self._read(block + b"\n\n")
        return events

    def flush(self) -> list[bytes]:
        """Return the data of the last event, where the stream ended without the blank line.

        The specification drops such an event; but a `[DONE]` that an endpoint ends with a single LF is still one.
        """
        return self._read(b"\n\n")

    def _plain(self, chunk: bytes) -> bytes:
        """Drop the byte order mark, and make every line end an LF."""
        if self._head is not None:
            chunk = self._without_mark(self._head + chunk)
        if not chunk:
            return chunk
        after_cr, self._after_cr = self._after_cr, chunk.endswith(b"\r")
        if after_cr:
            chunk = chunk.removeprefix(b"\n")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _without_mark(self, start: bytes) -> bytes:
        if len(start) < len(_BOM) and _BOM.startswith(start):
            self._head = start
            return b""
        self._head = None
        return start.removeprefix(_BOM)

    def _read(self, chunk: bytes) -> list[bytes]:
        events: list[bytes] = []
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            if self._line:
                line = b"".join(self._line) + line
                self._line, self._line_size = [], 0
            if line:
                self._field(line)
            elif self._data:
                events.append(b"\n".join(self._data))
                self._data, self._data_size = [], 0
        self._hold(rest)
        return events

    def _field(self, line: bytes) -> None:
        # A comment starts with the colon: its field name is empty.
        name, _, value = line.partition(b":")
        if name != b"data":
            return
        value = value.removeprefix(b" ")
        self._data.append(value)
        self._data_size += len(value)
        self._check(self._data_size)

    def _hold(self, rest: bytes) -> None:
        if rest:
            self._line.append(rest)
            self._line_size += len(rest)
            self._check(self._data_size + self._line_size)

    def _check(self, size: int) -> None:
        if size > self._max_event:
            raise EngineError("server_error", f"The endpoint sent an event of more than {self._max_event} bytes.")
