from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from realtime.media.resample import Quality, Resampler, resample

RATES = [(24000, 16000), (8000, 16000), (16000, 24000), (24000, 8000), (48000, 16000), (44100, 16000)]
QUALITIES: list[Quality] = ["QQ", "HQ"]


def noise(samples: int) -> NDArray[np.float32]:
    return (np.random.default_rng(1).standard_normal(samples) * 0.1).astype(np.float32)


def tone(frequency: float, rate: int, seconds: float = 1.0) -> NDArray[np.float32]:
    return np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate).astype(np.float32)


def loudness(audio: NDArray[np.float32]) -> float:
    """Decibels against a full-scale sine, away from the edges."""
    return float(20 * np.log10(np.sqrt(2 * np.mean(audio[500:-500] ** 2)) + 1e-12))


def streamed(audio: NDArray[np.float32], source: int, target: int, quality: Quality, cuts: list[int]) -> NDArray[np.float32]:
    resampler = Resampler(source, target, quality)
    pieces = [resampler.push(audio[a:b]) for a, b in pairwise([0, *cuts, len(audio)])]
    return np.concatenate([*pieces, resampler.finish()])


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize(("source", "target"), RATES)
def test_any_chunking_gives_the_samples_of_one_push(source: int, target: int, quality: Quality) -> None:
    rng, audio = np.random.default_rng(7), noise(5003)
    whole = streamed(audio, source, target, quality, [])
    for count in (1, 3, 20, 200):
        cuts = sorted(rng.integers(0, len(audio), count).tolist())
        np.testing.assert_allclose(streamed(audio, source, target, quality, cuts), whole, atol=1e-6)


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize(("source", "target"), RATES)
def test_a_stream_is_as_long_as_its_source(source: int, target: int, quality: Quality) -> None:
    for samples in (0, 1, 160, 5003):
        assert abs(len(streamed(noise(samples), source, target, quality, [])) - samples * target / source) <= 1


@pytest.mark.parametrize(("source", "target"), RATES)
def test_speech_passes_untouched_and_in_its_place(source: int, target: int) -> None:
    audio = streamed(tone(1000, source), source, target, "HQ", [])
    np.testing.assert_allclose(audio[500:-500], tone(1000, target)[500 : len(audio) - 500], atol=1e-4)


@pytest.mark.parametrize(("frequency", "source", "target"), [(8900, 24000, 16000), (5000, 24000, 8000), (20000, 44100, 16000)])
def test_what_the_lower_rate_cannot_hold_is_gone(frequency: float, source: int, target: int) -> None:
    assert loudness(streamed(tone(frequency, source), source, target, "HQ", [])) < -90
    assert loudness(resample(tone(frequency, source), source, target)) < -90


@pytest.mark.parametrize(("source", "target"), RATES)
def test_a_detector_waits_for_nothing(source: int, target: int) -> None:
    resampler = Resampler(source, target, "QQ")
    audio, chunk, made = noise(source), source // 50, 0
    for start in range(0, source - chunk + 1, chunk):
        made += len(resampler.push(audio[start : start + chunk]))
        assert (start + chunk) / source - made / target < 0.001


def test_equal_rates_pass_the_very_array_through() -> None:
    resampler = Resampler(16000, 16000)
    audio = noise(100)
    assert resampler.push(audio) is audio
    assert len(resampler.finish()) == 0
    assert resample(audio, 16000, 16000) is audio


def test_a_stream_that_was_never_fed_finishes_empty() -> None:
    assert Resampler(24000, 16000).finish().shape == (0,)


@pytest.mark.parametrize("samples", [0, 1, 5, 24001])
def test_a_recording_changes_rate_whole(samples: int) -> None:
    assert abs(len(resample(noise(samples), 24000, 16000)) - samples * 2 / 3) <= 1
