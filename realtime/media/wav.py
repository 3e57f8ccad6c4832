"""WAV files of PCM16 in memory: written whole, read from their beginning.

Owns the container (Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0", 1991). Refuses every sound in it but
mono PCM16, and files on disk.
"""

from __future__ import annotations

import struct

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from realtime.media import pcm

HEADER = 44
"""Bytes before the samples of what is written here."""

MAX_HEADER = 4096
"""Bytes before the samples of what is read: a title and an encoder's name are some hundreds."""

_START = struct.Struct("<4sI4s")
_CHUNK = struct.Struct("<4sI")
_FORMAT = struct.Struct("<HHIIHH")
"""Kind, channels, samples a second, bytes a second, bytes of all channels' samples, bits of a sample."""

_UNKNOWN_SIZES = (0, 0xFFFFFFFF, 0x7FFFFFFF)
"""What is written for a size that is not known yet, as the sound is still being made."""

_PCM, _EXTENSIBLE = 1, 0xFFFE
"""Kinds: the second has more to say, all of which is known of 16 bits and one channel."""


class Layout(Struct, frozen=True):
    """Where the samples of a WAV file are."""

    rate: int
    """Samples a second."""
    start: int
    """Byte at which they begin."""
    end: int | None
    """Byte at which they end; None where they go on to the end of the file, whose writer did not know it yet."""


def write(audio: NDArray[np.int16], rate: int) -> bytes:
    """The file of these samples."""
    data = pcm.to_bytes(audio)
    width = pcm.BYTES_PER_SAMPLE
    form = _FORMAT.pack(_PCM, 1, rate, rate * width, width, 8 * width)
    start = _START.pack(b"RIFF", HEADER - 8 + len(data), b"WAVE")
    return b"".join((start, _CHUNK.pack(b"fmt ", len(form)), form, _CHUNK.pack(b"data", len(data)), data))


def begins(data: bytes) -> bool:
    """Is this how a WAV file begins, as far as it goes?"""
    return data[:4] == b"RIFF"[: len(data)] and data[8:12] == b"WAVE"[: max(0, len(data) - 8)]


def layout(data: bytes) -> Layout | None:
    """Read the chunks up to the samples; None where they have not all come. `data` begins a WAV file.

    Raises `ValueError` for a sound that is not mono PCM16, and for one that does not begin within `MAX_HEADER`.
    """
    at, rate = _START.size, None
    while len(data) >= at + _CHUNK.size:
        name, size = _CHUNK.unpack_from(data, at)
        at += _CHUNK.size
        if name == b"data":
            if rate is None:
                raise ValueError("a WAV file with samples of no format")
            return Layout(rate, at, None if size in _UNKNOWN_SIZES else at + size)
        if name == b"fmt ":
            if len(data) < at + _FORMAT.size:
                return None
            rate = _rate(*_FORMAT.unpack_from(data, at))
        at += size + size % 2  # chunks are padded to whole words
    if len(data) > MAX_HEADER:
        raise ValueError(f"a WAV file without samples in its first {MAX_HEADER} bytes")
    return None


def _rate(kind: int, channels: int, rate: int, _bytes: int, _frame: int, bits: int) -> int:
    if kind not in (_PCM, _EXTENSIBLE) or channels != 1 or bits != 8 * pcm.BYTES_PER_SAMPLE or not rate:
        raise ValueError(f"a WAV file of kind {kind} with {channels} channels of {bits} bits at {rate} Hz")
    return rate
