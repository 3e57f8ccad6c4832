"""What a microphone hears when nobody speaks, made with arithmetic: rooms, machines, blows, music, bodies."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tests.rigs.recordings import RATE

Sound = NDArray[np.float32]

LEVELS = (0.003, 0.01, 0.03, 0.1)
"""Root mean square: a quiet room (-50 dB of full scale) to a waterfall (-20 dB)."""


def coloured(seconds: float, exponent: float, seed: int) -> Sound:
    """Noise whose power falls with `1/f**exponent`: 0 white, 1 pink, 2 brown. Root mean square 1."""
    count = int(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    frequencies = np.maximum(np.fft.rfftfreq(count, 1 / RATE), 20.0)
    return unit(np.fft.irfft(spectrum / frequencies ** (exponent / 2), count))


def band(seconds: float, low: float, high: float, seed: int) -> Sound:
    """Noise between two frequencies, in Hz."""
    count = int(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    frequencies = np.fft.rfftfreq(count, 1 / RATE)
    return unit(np.fft.irfft(spectrum * ((frequencies >= low) & (frequencies <= high)), count))


def unit(sound: NDArray[np.floating]) -> Sound:
    return np.asarray(sound / np.sqrt(np.mean(sound**2)), np.float32)


def times(seconds: float) -> NDArray[np.float64]:
    return np.arange(int(seconds * RATE)) / RATE


def hum(seconds: float, hertz: float) -> Sound:
    """Mains with its odd harmonics."""
    at = times(seconds)
    return unit(np.sum([np.sin(2 * np.pi * hertz * n * at) / n for n in (1, 2, 3, 5, 7)], axis=0))


def clicks(seconds: float, a_second: float, seed: int) -> Sound:
    """Keys, a mouse: 2 ms each."""
    sound, dice = np.zeros(int(seconds * RATE), np.float32), np.random.default_rng(seed)
    for _ in range(int(seconds * a_second)):
        start = dice.integers(0, len(sound) - 32)
        sound[start : start + 32] += dice.standard_normal(32) * np.exp(-np.arange(32) / 8)
    return sound / np.float32(np.abs(sound).max())


def slam(seed: int) -> Sound:
    """A door: a low blow that rings for a third of a second, in a room that is quiet before and after."""
    burst = coloured(0.6, 2.0, seed) * np.exp(-times(0.6) / 0.08)
    return in_a_quiet_room(burst / np.abs(burst).max() * 0.8)


def cough(seed: int) -> Sound:
    """Two bursts of throaty noise, the second weaker."""
    parts: list[NDArray[np.floating]] = [
        band(0.25, 250, 3000, seed) * np.exp(-times(0.25) / 0.06),
        np.zeros(int(0.12 * RATE)),
        band(0.3, 200, 2000, seed + 1) * np.exp(-times(0.3) / 0.08) * 0.5,
    ]
    burst = np.concatenate(parts)
    return in_a_quiet_room(burst / np.abs(burst).max() * 0.5)


def burst(seed: int) -> Sound:
    """A knock, a bang, a hiss: noise of any band that dies away within half a second."""
    dice = np.random.default_rng(seed)
    low, seconds = dice.choice([80.0, 200.0, 400.0, 1000.0]), dice.uniform(0.05, 0.5)
    noise = band(seconds, low, min(low * dice.choice([3.0, 6.0, 10.0]), 7900.0), seed)
    fading = noise * np.exp(-times(seconds) / (seconds / 4))
    return in_a_quiet_room(fading / np.abs(fading).max() * dice.uniform(0.1, 0.8))


def breathing(seconds: float, seed: int) -> Sound:
    """In and out, three seconds each, close to the microphone."""
    return np.asarray(band(seconds, 400, 2500, seed) * (1 - np.cos(2 * np.pi * times(seconds) / 3)) / 2 * 0.02, np.float32)


def chords(seconds: float, seed: int) -> Sound:
    """Music: a chord of three notes with overtones, another one every half second."""
    dice, pieces = np.random.default_rng(seed), []
    for _ in range(int(seconds * 2)):
        root, at = 220 * 2 ** (dice.integers(0, 12) / 12), times(0.5)
        notes = [root * ratio * overtone for ratio in (1, 1.26, 1.5) for overtone in (1, 2, 3)]
        pieces.append(np.sum([np.sin(2 * np.pi * note * at) / note for note in notes], axis=0) * np.exp(-at / 0.4))
    return unit(np.concatenate(pieces)) * np.float32(0.1)


def in_a_quiet_room(sound: NDArray[np.floating], before: float = 0.3, after: float = 0.5) -> Sound:
    """As a turn comes out of the buffer: its prefix and its silence around it, with the noise of a room."""
    padded = np.concatenate([np.zeros(int(before * RATE)), sound, np.zeros(int(after * RATE))])
    room = coloured(len(padded) / RATE + 0.01, 1.0, 99)[: len(padded)]
    return np.asarray(padded + room * 0.001, np.float32)


def noises() -> Iterator[tuple[str, Sound]]:
    """Every noise with its name."""
    for level in LEVELS:
        for seconds in (0.5, 2.0, 5.0):
            yield f"white {level} {seconds} s", coloured(seconds, 0.0, 1) * np.float32(level)
            yield f"pink {level} {seconds} s", coloured(seconds, 1.0, 2) * np.float32(level)
        yield f"brown {level}", coloured(2.0, 2.0, 3) * np.float32(level)
        yield f"hum 50 {level}", hum(2.0, 50.0) * np.float32(level)
        yield f"hum 60 {level}", hum(2.0, 60.0) * np.float32(level)
    for seed in range(4):
        yield f"clicks {seed}", clicks(2.0, 1 + 4 * seed, seed) * np.float32(0.5)
        yield f"slam {seed}", slam(seed)
        yield f"cough {seed}", cough(10 * seed)
        yield f"breathing {seed}", breathing(3.0 + seed, seed)
        yield f"chords {seed}", chords(2.0 + seed, seed)
    for seed in range(100, 130):
        yield f"burst {seed}", burst(seed)
    for seed in range(4):
        yield f"one click {seed}", in_a_quiet_room(clicks(0.1, 10, seed) * np.float32(0.7))
