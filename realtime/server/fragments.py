"""Large websocket frames, cut into fragments before the library reads them.

The library takes a frame whole: it waits for the last byte, copies all of it and unmasks all of it at once, which for a video of 50 MB
keeps every other session waiting for a tenth of a second. A message may as well come in fragments (RFC 6455, 5.4), and who stands in
between may cut a frame where it likes, as long as nothing is compressed. Clients don't do so; this does, to the bytes of the socket.
"""

from __future__ import annotations

import struct

PIECE = 1 << 20
"""Bytes of a fragment: copied and unmasked in less than a millisecond. A multiple of four, so that the mask of one frame fits them all."""

FIN, MASKED, CONTINUATION = 0x80, 0x80, 0x0
_SIZES = {126: 2, 127: 8}
"""Bytes of the extended length, by the length of seven bits (RFC 6455, 5.2)."""


class Cutter:
    """The stream of frames of one client."""

    def __init__(self, largest: int) -> None:
        """`largest`: bytes of a frame that the library still takes. It shall see for itself what is larger."""
        self._largest = largest
        self._header = b""
        """The beginning of a header whose end has not come."""
        self._left = 0
        """Bytes to come of the frame that is under way."""
        self._piece = 0
        """Of them, those of the fragment that is under way; all of them where nothing is cut."""
        self._end = 0
        """FIN, if the last fragment of the frame ends the message."""
        self._mask = b""

    @property
    def under_way(self) -> int:
        """Bytes to come of the fragment, or of the frame, that is under way."""
        return self._piece

    def feed(self, data: bytes) -> bytes:
        """Bytes of the stream; returns those that the library is to have instead."""
        if self._piece >= len(data):  # in the midst of a frame
            self._left -= len(data)
            self._piece -= len(data)
            return data
        made: list[bytes] = []
        data, at = self._header + data, 0
        self._header = b""
        while at < len(data):
            if self._piece:
                taken = min(self._piece, len(data) - at)
                made.append(data[at : at + taken])
                at += taken
                self._left -= taken
                self._piece -= taken
            elif self._left:
                made.append(self._next())
            else:
                size = _header_size(data[at : at + 2])
                if len(data) - at < size:
                    self._header = data[at:]
                    break
                made.append(self._begin(data[at : at + size]))
                at += size
        return b"".join(made)

    def _begin(self, header: bytes) -> bytes:
        """A frame begins: how its first fragment does."""
        first, second = header[0], header[1]
        length = second & 0x7F
        if length in _SIZES:
            length = int.from_bytes(header[2 : 2 + _SIZES[length]])
        self._left = self._piece = length
        if length <= PIECE or length > self._largest or not second & MASKED:
            return header
        self._piece, self._end, self._mask = PIECE, first & FIN, header[-4:]
        return self._headed(first & ~FIN)

    def _next(self) -> bytes:
        """The next fragment of the frame under way begins."""
        self._piece = min(PIECE, self._left)
        return self._headed(CONTINUATION | (self._end if self._piece == self._left else 0))

    def _headed(self, first: int) -> bytes:
        return struct.pack(">BBQ", first, MASKED | 127, self._piece) + self._mask


def _header_size(start: bytes) -> int:
    """Of a frame that begins so; more than there is, where not even that can be told."""
    if len(start) < 2:
        return 2
    return 2 + _SIZES.get(start[1] & 0x7F, 0) + (4 if start[1] & MASKED else 0)
