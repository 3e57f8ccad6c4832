"""Sounds to stream at a server, as the wire wants them by default: PCM16 at 24 kHz."""

from __future__ import annotations

import numpy as np

from realtime.media.resample import resample
from realtime.ports import Float32, Int16
from tests.rigs.recordings import RATE

WIRE_RATE = 24_000
"""Samples a second."""

FRAME = WIRE_RATE // 50
"""Samples of 20 ms."""


def silence(seconds: float) -> Int16:
    return np.zeros(round(seconds * WIRE_RATE), np.int16)


def tone(seconds: float) -> Int16:
    """Loud enough to be speech for the scripted detector."""
    at = np.arange(round(seconds * WIRE_RATE)) / WIRE_RATE
    return (np.sin(2 * np.pi * 220 * at) * 8000).astype(np.int16)


def voice(recording: Float32) -> Int16:
    """A recording (`Recording.audio`) at the rate of the wire."""
    return (np.clip(resample(recording, RATE, WIRE_RATE), -1, 1) * 32767).astype(np.int16)
