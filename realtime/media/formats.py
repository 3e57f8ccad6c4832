"""The three ways in which audio travels (PROTOCOL 2.3), to samples and back.

`audio/pcm` is `pcm16` at the rate that the client names, `audio/pcmu` and `audio/pcma` are `ulaw` and `alaw` at 8 kHz. Rates are the
business of `resample`; what an encoding is called on the wire is the business of `wire`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from realtime.media import g711, pcm

Encoding = Literal["pcm16", "ulaw", "alaw"]

BYTES_PER_SAMPLE: dict[Encoding, int] = {"pcm16": pcm.BYTES_PER_SAMPLE, "ulaw": 1, "alaw": 1}

G711_RATE = 8_000
"""Samples a second of `ulaw` and `alaw`: the Recommendation knows no other."""

_DECODERS: dict[Encoding, Callable[[bytes], NDArray[np.int16]]] = {
    "pcm16": pcm.from_bytes,
    "ulaw": g711.decode_ulaw,
    "alaw": g711.decode_alaw,
}

_ENCODERS: dict[Encoding, Callable[[NDArray[np.int16]], bytes]] = {
    "pcm16": pcm.to_bytes,
    "ulaw": g711.encode_ulaw,
    "alaw": g711.encode_alaw,
}


def decode(encoding: Encoding, data: bytes) -> NDArray[np.int16]:
    """Samples of wire bytes. Raises `ValueError` for half a sample of `pcm16`."""
    return _DECODERS[encoding](data)


def encode(encoding: Encoding, audio: NDArray[np.int16]) -> bytes:
    """Wire bytes of samples."""
    return _ENCODERS[encoding](audio)
