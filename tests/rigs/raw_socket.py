"""A client that writes bytes: a websocket's handshake and frames, right or wrong, whole or in pieces. It reads what the server answers.

Reference: RFC 6455, sections 4 and 5.
"""

from __future__ import annotations

import json
import socket
import struct
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self

PATIENCE = 20.0
"""Seconds for an answer, on a machine that does much else."""

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 0x1, 0x2, 0x0, 0x8, 0x9, 0xA
FIN, MASKED = 0x80, 0x80
MASK = b"\x37\xfa\x21\x3d"
"""The one of the RFC's examples."""

HEADERS = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
ACCEPT = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""What answers that key."""


class Received(NamedTuple):
    """A frame of the server's."""

    opcode: int
    payload: bytes

    @property
    def code(self) -> int | None:
        """Of a close; None where it has none."""
        return int.from_bytes(self.payload[:2]) if self.payload else None


def handshake(path: str = "/v1/realtime", *, line: str = "", without: str = "", **changed: str) -> bytes:
    """A request to open a websocket. `changed` headers have `_` for `-`; `line` stands in the place of the request line."""
    headers = {name: value for name, value in HEADERS.items() if name != without}
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [line or f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, mask: bytes = MASK, length: int | None = None
) -> bytes:
    """A frame. `reserved`: its three bits; no `mask`: it is not masked; `length`: bytes of the extended length, where not the fewest."""
    size = len(payload)
    if length is None:
        length = 0 if size < 126 else 2 if size < 65_536 else 8
    short = {0: size, 2: 126, 8: 127}[length]
    head = struct.pack("BB", (FIN if fin else 0) | reserved << 4 | opcode, (MASKED if mask else 0) | short)
    return head + (size.to_bytes(length) if length else b"") + mask + masked(payload, mask)


def masked(payload: bytes, mask: bytes) -> bytes:
    """The payload under a mask (5.3); a large one quickly."""
    if not mask or not payload:
        return payload
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(len(payload))


class RawSocket:
    """`with RawSocket(port) as client:` is connected inside, and has shaken hands unless `shake` is false."""

    def __init__(self, port: int, *, shake: bool = True, patience: float = PATIENCE) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=patience)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""
        if shake:
            self.write(handshake())
            assert self.head().startswith(b"HTTP/1.1 101 ")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.close()

    def write(self, data: bytes, *, step: int = 0) -> None:
        """Write it, in pieces of `step` bytes where that is not 0. A server that has closed already is no failure here."""
        with suppress(ConnectionError):
            for at in range(0, len(data), step or max(1, len(data))):
                self._socket.sendall(data[at : at + step] if step else data)

    def end(self) -> None:
        """Write nothing more, and read on."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Be gone without a word: the other side gets a reset, where it gets anything."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def head(self) -> bytes:
        """The head of an HTTP answer."""
        while b"\r\n\r\n" not in self._read:
            self._more()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        return head

    def rest(self) -> bytes:
        """Everything until the server closes."""
        with suppress(EOFError):
            while True:
                self._more()
        read, self._read = self._read, b""
        return read

    def next(self) -> Received | None:
        """The next frame; None where the connection has ended."""
        try:
            while (whole := self._whole()) is None:
                self._more()
        except EOFError:
            assert not self._read, "the server stops between two frames"
            return None
        head, size = whole
        first, payload = self._read[0], self._read[head : head + size]
        assert not first & 0x70, "nothing is reserved"
        assert first & FIN, "the server does not fragment"
        self._read = self._read[head + size :]
        return Received(first & 0x0F, payload)

    def control(self, opcode: int) -> Received | None:
        """The next frame of that kind, past any events; None where the connection has ended."""
        while (received := self.next()) is not None and received.opcode != opcode:
            pass
        return received

    def event(self, type: str) -> dict[str, Any]:
        """The next event of that type."""
        while (received := self.next()) is not None:
            if received.opcode == TEXT and (event := json.loads(received.payload))["type"] == type:
                assert isinstance(event, dict)
                return event
        raise AssertionError(f"The connection ended without {type}")

    def _whole(self) -> tuple[int, int] | None:
        """Bytes of the head and of the payload of the frame that has come."""
        if len(self._read) < 2:
            return None
        assert not self._read[1] & MASKED, "a server masks nothing"
        short = self._read[1] & 0x7F
        head = 2 + {126: 2, 127: 8}.get(short, 0)
        size = int.from_bytes(self._read[2:head]) if short > 125 else short
        return (head, size) if len(self._read) >= head + size else None

    def _more(self) -> None:
        try:
            data = self._socket.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            raise EOFError
        self._read += data
