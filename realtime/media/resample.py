"""Changing the sample rate of mono audio: as it arrives (`Resampler`), or whole (`resample`).

A stream is filtered here rather than by soxr's own stream because a detector must not be late. Fed 20 ms at a time, soxr's streams
withhold up to this much audio, and `Resampler` this much (soxr 1.1). The price is about the same: 5 us a push against 4.5 us (24 -> 16 kHz,
x86-64).

    quality             LQ        MQ        HQ        VHQ       Resampler
    24 -> 16 kHz        20 ms     38 ms     37 ms     76 ms     2 ms
     8 -> 16 kHz        61 ms     118 ms    115 ms    111 ms    4 ms

soxr works in blocks of a Fourier transform, which is what makes it wait; its QQ waits for nothing and filters nothing, so that
everything above 8 kHz folds back into speech. The filter here is a windowed sinc (Kaiser, after Oppenheim and Schafer, Discrete-Time
Signal Processing, 7.6), applied as one matrix product over blocks of about 2 ms. Where nothing waits for the first sample, `resample`
uses soxr's HQ, whose filter is better still.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd, pi
from typing import Generic, TypeVar, cast

import numpy as np
import soxr
from msgspec import Struct
from numpy.typing import NDArray

Sample = TypeVar("Sample", np.int16, np.float32)

PASSBAND = 0.85
"""Share of the lower rate's band that passes untouched. The rest is where the filter falls: a steeper fall would look further ahead."""

ATTENUATION = 70.0
"""Decibels by which images and aliases are damped: below the noise of a 12-bit recording, and of any room."""

BLOCK_SECONDS = 0.002
"""Audio that one row of the matrix product makes. Shorter blocks wait for less and cost more; ten of these fit a 20 ms append exactly."""

MAX_STEPS = 1000
"""Largest term of the reduced ratio of two rates. 11.025 kHz -> 16 kHz needs 640; past this the table grows to many megabytes."""

MAX_ROWS = 4096
"""Blocks of one matrix product, about 8 s of audio. The rows overlap, so that a long recording pushed whole would be copied five times."""


class _Filter(Struct, frozen=True):
    """What a pair of rates needs, made once and shared by every stream between them."""

    up: int
    down: int
    half: int
    """Source samples that the filter sees on either side of an output sample."""
    step: int
    """Source samples that one block consumes."""
    table: NDArray[np.float32]
    """Shape `[step + 2 * half, samples made by a block]`."""


def _reduced(source_rate: int, target_rate: int) -> tuple[int, int]:
    if source_rate <= 0 or target_rate <= 0:
        raise ValueError(f"Sample rates must be positive, got {source_rate} and {target_rate}.")
    common = gcd(source_rate, target_rate)
    up, down = target_rate // common, source_rate // common
    if max(up, down) > MAX_STEPS:
        raise ValueError(f"{source_rate} Hz to {target_rate} Hz is {up}:{down}; a stream can change by ratios of terms up to {MAX_STEPS}.")
    return up, down


def _taps(source_rate: int, up: int, lower_rate: int) -> tuple[int, NDArray[np.float64]]:
    """Reach in source samples, and the low-pass filter at the rate `source_rate * up`."""
    edge = lower_rate / 2
    fall = edge * (1 - PASSBAND) / (source_rate * up)
    # Kaiser's estimate of the length and the shape that an attenuation needs.
    half = ceil((ATTENUATION - 8) / (2.285 * 2 * pi * fall) / 2 / up)
    cutoff = edge * (1 + PASSBAND) / 2 / (source_rate * up)
    at = np.arange(-half * up, half * up + 1)
    return half, np.sinc(2 * cutoff * at) * np.kaiser(len(at), 0.1102 * (ATTENUATION - 8.7))


@lru_cache(maxsize=16)
def _filter(source_rate: int, target_rate: int) -> _Filter:
    up, down = _reduced(source_rate, target_rate)
    half, taps = _taps(source_rate, up, min(source_rate, target_rate))
    blocks = max(1, round(source_rate * BLOCK_SECONDS / down))
    table = np.zeros((down * blocks + 2 * half, up * blocks))
    for column in range(up * blocks):
        first, phase = divmod(column * down, up)
        # A source sample that lies `n` samples away from the output meets the tap `n * up` places from the middle, shifted by the phase.
        weights = taps[phase::up][::-1]
        start = first + (1 if phase else 0)
        # Each phase is brought to unit gain by itself: uneven phases would whistle at the source rate.
        table[start : start + len(weights), column] = weights / weights.sum()
    return _Filter(up, down, half, down * blocks, table.astype(np.float32))


def _as(audio: NDArray[np.float32], dtype: np.dtype[Sample]) -> NDArray[Sample]:
    if dtype == np.int16:
        return np.rint(audio).clip(-32768, 32767).astype(dtype)
    return audio.astype(dtype, copy=False)


class Resampler(Generic[Sample]):
    """One stream from one rate to another, int16 or float32, the same out as in.

    However the audio is cut into pushes, the samples are the same to the rounding of float32, and the first one out stands where the
    first one in stood. With equal rates the arrays pass through as they are.
    """

    def __init__(self, source_rate: int, target_rate: int) -> None:
        _reduced(source_rate, target_rate)
        self._filter = _filter(source_rate, target_rate) if source_rate != target_rate else None
        self._dtype: np.dtype[Sample] | None = None
        self._restart()

    def _restart(self) -> None:
        self._held = np.zeros(self._filter.half if self._filter else 0, np.float32)
        self._pushed = self._made = 0

    def push(self, audio: NDArray[Sample]) -> NDArray[Sample]:
        """Add audio; return what became certain. A few milliseconds stay behind until the next push (see the module)."""
        self._dtype = audio.dtype
        if self._filter is None:
            return audio
        self._pushed += len(audio)
        return _as(self._run(self._filter, audio.astype(np.float32, copy=False)), self._dtype)

    def finish(self) -> NDArray[Sample]:
        """Return what was withheld, as if silence followed. The next `push` begins a new stream."""
        dtype = self._dtype or cast("np.dtype[Sample]", np.dtype(np.float32))
        rest = np.zeros(0, np.float32)
        if self._filter is not None:
            missing = ceil(self._pushed * self._filter.up / self._filter.down) - self._made
            rest = self._run(self._filter, np.zeros(self._filter.half + self._filter.step, np.float32))[:missing]
        self._restart()
        return _as(rest, dtype)

    def _run(self, rule: _Filter, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        held = np.concatenate([self._held, audio])
        width = len(rule.table)
        rows = max(0, (len(held) - width) // rule.step + 1)
        self._held = held[rows * rule.step :].copy()
        if not rows:
            return np.zeros(0, np.float32)
        # Overlapping rows over `held` itself: sliding_window_view makes the same and takes longer than the product.
        windows: NDArray[np.float32] = np.ndarray((rows, width), np.float32, held, 0, (rule.step * held.itemsize, held.itemsize))
        made = np.empty((rows, rule.table.shape[1]), np.float32)
        for start in range(0, rows, MAX_ROWS):
            np.dot(windows[start : start + MAX_ROWS].copy(), rule.table, out=made[start : start + MAX_ROWS])
        self._made += made.size
        return made.reshape(-1)


def resample(audio: NDArray[Sample], source_rate: int, target_rate: int) -> NDArray[Sample]:
    """A whole recording at another rate; the array itself when the rates are equal."""
    if source_rate == target_rate:
        return audio
    # As float32 throughout: soxr dithers what it rounds to int16, so the same input would not give the same output.
    changed = soxr.resample(audio.astype(np.float32, copy=False), source_rate, target_rate, quality="HQ")
    return _as(changed, audio.dtype)
