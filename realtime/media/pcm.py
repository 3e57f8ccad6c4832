"""PCM16: signed 16-bit little-endian mono samples, as bytes and as arrays.

Owns the two conversions that everything else is built on: bytes <-> int16, and int16 <-> float32 at full scale +-1. Knows no rates and
no containers. An array made from bytes shares their memory and is read-only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BYTES_PER_SAMPLE = 2

FULL_SCALE = 32768.0
"""What int16 is divided by. A power of two, so that int16 -> float32 -> int16 gives every sample back exactly."""

_WIRE = np.dtype("<i2")


def from_bytes(data: bytes | bytearray | memoryview) -> NDArray[np.int16]:
    """The samples of PCM16 bytes, without a copy on little-endian machines.

    Raises `ValueError` when half a sample is left over: guessing which half would turn speech into noise.
    """
    size = memoryview(data).nbytes
    if size % BYTES_PER_SAMPLE:
        raise ValueError(f"PCM16 needs an even number of bytes, got {size}.")
    return np.frombuffer(data, dtype=_WIRE).astype(np.int16, copy=False)


def to_bytes(audio: NDArray[np.int16]) -> bytes:
    """PCM16 bytes of samples."""
    return audio.astype(_WIRE, copy=False).tobytes()


def to_float(audio: NDArray[np.int16]) -> NDArray[np.float32]:
    """Samples at full scale +-1."""
    return audio.astype(np.float32) * np.float32(1 / FULL_SCALE)


def to_int16(audio: NDArray[np.float32]) -> NDArray[np.int16]:
    """Samples rounded to the nearest of 16 bits; what is louder than full scale is clipped, never wrapped. NaN becomes silence."""
    scaled: NDArray[np.float32] = np.nan_to_num(np.rint(audio * np.float32(FULL_SCALE)), copy=False)
    return scaled.clip(-32768, 32767).astype(np.int16)
