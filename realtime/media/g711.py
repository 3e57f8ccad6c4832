"""G.711 companding, exact to ITU-T Recommendation G.711 (11/1988): mu-law and A-law bytes <-> int16 samples.

Both laws are built once, as tables, from the segment arithmetic of tables 1 and 2 of the Recommendation: decoding is 256 entries,
encoding one entry for each of the 65,536 samples. The 14 bits of mu-law and the 13 bits of A-law sit at the top of the 16.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MU_BIAS = 33 << 2
"""Added to a magnitude, so that the edges of mu-law segments fall on powers of two (33 in the 14 bits of G.711 table 2a)."""

MU_CLIP = 8158 << 2
"""Largest 16-bit magnitude that mu-law tells apart: 8158 in 14 bits (G.711 table 2a, virtual decision value 8159)."""

MU_INVERT = 0xFF
"""Mu-law sends every bit inverted (G.711 table 2a, note 2)."""

A_INVERT = 0x55
"""A-law sends even bits inverted (G.711 table 1a, note 2)."""


def _segment(magnitude: NDArray[np.int32], first_bits: int) -> NDArray[np.int32]:
    """Which of the eight chords a magnitude lies on: how many bits it has beyond those of the first."""
    bits: NDArray[np.int32] = np.frexp(magnitude.astype(np.float64))[1]
    return (bits - first_bits).clip(0, 7)


def _every_sample() -> NDArray[np.int32]:
    """The samples in the order of their bits read as uint16, which is how the encoders index."""
    return np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)


def _build_mu_encoder() -> NDArray[np.uint8]:
    sample = _every_sample()
    # Mu-law keeps 14 bits: the two low bits are dropped by an arithmetic shift, so negative samples round away from zero.
    magnitude = np.minimum(np.abs(sample >> 2) << 2, MU_CLIP) + MU_BIAS
    segment = _segment(magnitude, 8)
    code: NDArray[np.int32] = segment << 4 | magnitude >> (segment + 3) & 0x0F | np.where(sample < 0, 0x80, 0)
    return (code ^ MU_INVERT).astype(np.uint8)


def _build_mu_decoder() -> NDArray[np.int16]:
    code = np.arange(256, dtype=np.int32) ^ MU_INVERT
    magnitude = (((code & 0x0F) << 3 | 0x84) << (code >> 4 & 0x07)) - MU_BIAS
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _build_a_encoder() -> NDArray[np.uint8]:
    sample = _every_sample()
    # A-law keeps 13 bits and has no code for zero: a negative sample's magnitude is counted from -1.
    shifted = sample >> 3
    magnitude = np.where(shifted >= 0, shifted, -shifted - 1)
    segment = _segment(magnitude, 5)
    code: NDArray[np.int32] = segment << 4 | magnitude >> np.maximum(segment, 1) & 0x0F | np.where(sample >= 0, 0x80, 0)
    return (code ^ A_INVERT).astype(np.uint8)


def _build_a_decoder() -> NDArray[np.int16]:
    code = np.arange(256, dtype=np.int32) ^ A_INVERT
    segment, step = code >> 4 & 0x07, (code & 0x0F) << 4
    magnitude = np.where(segment == 0, step + 8, (step + 0x108) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


_MU_ENCODER, _MU_DECODER = _build_mu_encoder(), _build_mu_decoder()
_A_ENCODER, _A_DECODER = _build_a_encoder(), _build_a_decoder()


def _decode(table: NDArray[np.int16], data: bytes) -> NDArray[np.int16]:
    decoded: NDArray[np.int16] = table[np.frombuffer(data, dtype=np.uint8)]
    return decoded


def _encode(table: NDArray[np.uint8], audio: NDArray[np.int16]) -> bytes:
    return table[audio.astype(np.int16, copy=False).view(np.uint16)].tobytes()


def decode_ulaw(data: bytes) -> NDArray[np.int16]:
    """Samples of mu-law bytes."""
    return _decode(_MU_DECODER, data)


def encode_ulaw(audio: NDArray[np.int16]) -> bytes:
    """Mu-law bytes of samples, one each."""
    return _encode(_MU_ENCODER, audio)


def decode_alaw(data: bytes) -> NDArray[np.int16]:
    """Samples of A-law bytes."""
    return _decode(_A_DECODER, data)


def encode_alaw(audio: NDArray[np.int16]) -> bytes:
    """A-law bytes of samples, one each."""
    return _encode(_A_ENCODER, audio)
