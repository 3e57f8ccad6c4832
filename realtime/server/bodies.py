"""Requests other than GET, made readable for the library, which knows handshakes alone: it refuses a body, and older ones any other method.

This stands before it, as `fragments` does for frames: the library is told of a GET without a body, and the true method and the body are
kept for whoever answers. A GET passes untouched, but what comes behind its head is held back: the library would read frames, and answer
pings, before it has answered the handshake.
"""

from __future__ import annotations

import re
from http import HTTPStatus

MAX_BODY = 64 * 1024
"""Bytes: far more than a session's configuration that fits into a client secret."""

MAX_HEAD = 64 * 1024
"""Bytes before the body. The library has finer limits, and sees for itself what is longer."""

_GET = b"GET "
_END = b"\r\n\r\n"
_METHOD = re.compile(rb"([A-Z]{1,16})(?: |\Z)")
"""How a request begins, as far as it has come."""
_DROPPED = re.compile(rb"\r\n(?:content-length|transfer-encoding|expect):[^\r\n]*", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*(?=\r\n)", re.IGNORECASE)
_CODED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)


class Incoming:
    """The one request of a connection."""

    def __init__(self) -> None:
        self.method = "GET"
        self.body = b""
        self.fault: HTTPStatus | None = None
        """Why the body was not read."""
        self.behind = b""
        """What came behind the head of a GET. Whoever sends it before we have answered is early (RFC 6455, 4.1), and need not be wrong."""
        self._kept = b""
        """What has come and was not passed on; of what passes, so much of the last as may begin the end of a head."""
        self._head: bytes | None = None
        """What the library is told once the body is here."""
        self._size = 0
        """Bytes of the body."""
        self._passes = False
        """A handshake, or nothing that we can read: the library has everything."""
        self._gets = False
        """A handshake: but for what is behind its head."""
        self._done = False

    def feed(self, data: bytes) -> bytes:
        """Bytes of the stream; returns those that the library is to have instead."""
        if self._passes:
            return self._pass(data)
        if self._done:  # it has been told all, and answers
            return b""
        self._kept += data
        if self._head is None and not self._read_head():
            if not self._passes:
                return b""
            kept, self._kept = self._kept, b""
            return self._pass(kept)
        if len(self._kept) < self._size:
            return b""
        self._done, self.body = True, self._kept[: self._size]
        self._kept = b""
        return self._head or b""

    def _read_head(self) -> bool:
        """Is it whole?"""
        end, method = self._kept.find(_END), _METHOD.match(self._kept)
        self._gets = self._kept.startswith(_GET)
        if method is None or self._gets or (end < 0 and len(self._kept) > MAX_HEAD):
            self._passes = True
            return False
        if end < 0:
            return False
        head, self._kept = self._kept[: end + len(_END)], self._kept[end + len(_END) :]
        self.method = method[1].decode()
        self._size = self._judge(head)
        self._head = _GET + _DROPPED.sub(b"", head)[method.end() :]
        return True

    def _judge(self, head: bytes) -> int:
        """Bytes of the body that are to be read."""
        lengths = {int(length) for length in _LENGTH.findall(head)}
        if _CODED.search(head):
            self.fault = HTTPStatus.LENGTH_REQUIRED
        elif len(lengths) > 1:
            self.fault = HTTPStatus.BAD_REQUEST
        elif lengths and max(lengths) > MAX_BODY:
            self.fault = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        return 0 if self.fault or not lengths else lengths.pop()

    def _pass(self, data: bytes) -> bytes:
        """What of it the library is to have now."""
        if self._done:
            self.behind += data
            return b""
        seen = self._kept + data
        end = seen.find(_END) if self._gets else -1
        if end < 0:
            self._kept = seen[1 - len(_END) :]
            return data
        self._done = True
        size = end + len(_END) - len(self._kept)
        self.behind = data[size:]
        return data[:size]
