"""Bytes of sound as an endpoint streams them, to samples: raw PCM16, or a WAV that holds it.

Owns the half samples between two pieces and the header of a WAV, which servers send that know no raw sound (Orpheus-FastAPI, Chatterbox).
Refuses whatever would be noise. Knows no HTTP and converts no rates.

Reference: Multimedia Programming Interface and Data Specifications 1.0 (IBM, Microsoft, 1991), "Waveform Audio File Format".
"""

from __future__ import annotations

import math
import struct

from realtime.errors import EngineError
from realtime.media import pcm
from realtime.ports import Int16

MAX_HEADER = 4096
"""Bytes of a WAV before its sound: 44 in nearly all, some more with a title and an encoder's name."""

_RIFF = b"RIFF"
_PCM, _EXTENSIBLE = 1, 0xFFFE
"""Format tags of linear PCM (the second says so elsewhere, which we need not read: 16 bits are never anything else in practice)."""

_UNKNOWN_SIZES = (0, 0xFFFFFFFF, 0x7FFFFFFF)
"""What is written for a size that is not known yet, as the file is still being made."""


class SoundStream:
    """One recording. Give each piece to `feed`, and call `finish` at the end."""

    def __init__(self, rate: int) -> None:
        """`rate` is that of raw sound, in samples a second."""
        self.rate = rate
        """Of what `feed` returns; a WAV's own once samples have come."""
        self._head: bytes | None = b""
        # What came before it is clear where the sound begins; None after.
        self._left = math.inf
        # Bytes of sound to come, where a WAV says it.
        self._rest = b""

    def feed(self, data: bytes) -> Int16:
        """Return the samples that became whole. Raises `EngineError`."""
        if self._head is not None:
            self._head += data
            data = self._behind_head()
        data = self._rest + data
        whole = len(data) - len(data) % pcm.BYTES_PER_SAMPLE
        if whole > self._left:
            whole = int(self._left)
        self._left -= whole
        self._rest = data[whole:] if self._left else b""
        return pcm.from_bytes(data[:whole])

    def finish(self) -> None:
        """Assert that nothing is left over. Raises `EngineError`."""
        if self._head:
            raise EngineError("stream_interrupted", "The endpoint's sound ended within its header.")
        if self._rest:
            raise EngineError("server_error", "The endpoint's sound ends with half a sample, so it is not the PCM16 that was asked for.")

    def _behind_head(self) -> bytes:
        """The sound in what has come so far; empty while that is not clear."""
        head = self._head or b""
        if head[:4] != _RIFF[: len(head)]:
            self._head = None
            return head
        start = self._read_header(head)
        if start is None:
            if len(head) > MAX_HEADER:
                raise EngineError("server_error", f"The endpoint sent a WAV without a sound in its first {MAX_HEADER} bytes.")
            return b""
        self._head = None
        return head[start:]

    def _read_header(self, head: bytes) -> int | None:
        """Where the sound begins; None while that has not come."""
        at = 12
        while len(head) >= at + 8:
            name, size = struct.unpack_from("<4sI", head, at)
            at += 8
            if name == b"data":
                self._left = math.inf if size in _UNKNOWN_SIZES else size - size % pcm.BYTES_PER_SAMPLE
                return at
            if name == b"fmt " and len(head) >= at + 16:
                self._read_format(head, at)
            at += size + size % 2
        return None

    def _read_format(self, head: bytes, at: int) -> None:
        tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", head, at)
        if tag not in (_PCM, _EXTENSIBLE) or channels != 1 or bits != 16 or not rate:
            said = f"format {tag}, {channels} channels, {bits} bits, {rate} Hz"
            raise EngineError("server_error", f"The endpoint sent a WAV that is not mono PCM16: {said}.")
        self.rate = rate
