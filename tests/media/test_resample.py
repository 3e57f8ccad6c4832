from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from realtime.media.resample import BLOCK_SECONDS, MAX_ROWS, MAX_STEPS, Resampler, resample

RATES = [(24000, 16000), (8000, 16000), (16000, 24000), (24000, 8000), (48000, 16000), (44100, 16000), (16000, 44100)]


def noise(samples: int, seed: int = 1) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_normal(samples) * 0.1).astype(np.float32)


def tone(frequency: float, rate: int, seconds: float = 1.0) -> NDArray[np.float32]:
    return np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate).astype(np.float32)


def loudness(audio: NDArray[np.float32]) -> float:
    """Decibels against a full-scale sine, away from the edges."""
    return float(20 * np.log10(np.sqrt(2 * np.mean(audio[500:-500] ** 2)) + 1e-12))


def streamed(audio: NDArray[np.float32], source: int, target: int, cuts: list[int]) -> NDArray[np.float32]:
    resampler: Resampler[np.float32] = Resampler(source, target)
    pieces = [resampler.push(audio[a:b]) for a, b in pairwise([0, *cuts, len(audio)])]
    return np.concatenate([*pieces, resampler.finish()])


@pytest.mark.parametrize(("source", "target"), RATES)
def test_any_chunking_gives_the_samples_of_one_push(source: int, target: int) -> None:
    rng, audio = np.random.default_rng(7), noise(5003)
    whole = streamed(audio, source, target, [])
    for count in (1, 3, 20, 200):
        cuts = sorted(rng.integers(0, len(audio), count).tolist())
        np.testing.assert_allclose(streamed(audio, source, target, cuts), whole, atol=1e-6)


@pytest.mark.parametrize(("source", "target"), RATES)
def test_a_stream_is_as_long_as_its_source(source: int, target: int) -> None:
    for samples in (0, 1, 7, 160, 5003):
        assert len(streamed(noise(samples), source, target, [])) == -(-samples * target // source)


@pytest.mark.parametrize(("source", "target"), RATES)
def test_speech_passes_untouched_and_in_its_place(source: int, target: int) -> None:
    audio = (tone(1000, source) + tone(2500, source) / 2).astype(np.float32)
    ours, reference = streamed(audio, source, target, []), soxr.resample(audio, source, target, quality="VHQ")
    np.testing.assert_allclose(ours[500:-500], reference[500 : len(ours) - 500], atol=2e-3)


@pytest.mark.parametrize(
    ("frequency", "source", "target"), [(8100, 24000, 16000), (11000, 24000, 16000), (5000, 24000, 8000), (20000, 44100, 16000)]
)
def test_what_the_lower_rate_cannot_hold_is_gone(frequency: float, source: int, target: int) -> None:
    assert loudness(streamed(tone(frequency, source), source, target, [])) < -65


def test_an_image_of_the_telephone_band_is_gone() -> None:
    audio = streamed(tone(3300, 8000), 8000, 16000, [])[1000:-1000]
    spectrum = np.abs(np.fft.rfft(audio * np.blackman(len(audio))))
    above = spectrum[np.fft.rfftfreq(len(audio), 1 / 16000) > 4200]
    assert 20 * np.log10(above.max() / spectrum.max()) < -65


@pytest.mark.parametrize(
    ("source", "target", "milliseconds"), [(24000, 16000, 2.0), (8000, 16000, 4.0), (48000, 16000, 2.0), (44100, 16000, 12.0)]
)
def test_a_stream_withholds_only_milliseconds(source: int, target: int, milliseconds: float) -> None:
    resampler: Resampler[np.float32] = Resampler(source, target)
    audio, chunk, made = noise(source), source // 50, 0
    for start in range(0, source - chunk + 1, chunk):
        made += len(resampler.push(audio[start : start + chunk]))
        assert (start + chunk) / source - made / target <= milliseconds / 1000 + 1e-9


def test_equal_rates_pass_the_very_array_through() -> None:
    resampler: Resampler[np.float32] = Resampler(16000, 16000)
    audio = noise(100)
    assert resampler.push(audio) is audio
    assert len(resampler.finish()) == 0


def test_int16_stays_int16_and_clips_instead_of_wrapping() -> None:
    resampler: Resampler[np.int16] = Resampler(8000, 16000)
    square = np.where(np.arange(800) % 16 < 8, 32767, -32768).astype(np.int16)
    out = np.concatenate([resampler.push(square), resampler.finish()])
    assert out.dtype == np.int16
    # The filter overshoots a square wave; a wrapped sample would have the opposite sign of both its neighbours.
    assert out.max() == 32767
    assert not np.any((np.sign(out[1:-1]) != np.sign(out[:-2])) & (np.sign(out[1:-1]) != np.sign(out[2:])) & (np.abs(out[1:-1]) > 9000))


def test_a_finished_resampler_begins_a_new_stream() -> None:
    resampler: Resampler[np.float32] = Resampler(24000, 16000)
    first = np.concatenate([resampler.push(noise(1000)), resampler.finish()])
    again = np.concatenate([resampler.push(noise(1000)), resampler.finish()])
    np.testing.assert_array_equal(first, again)


def test_a_stream_that_was_never_fed_finishes_empty() -> None:
    resampler: Resampler[np.float32] = Resampler(24000, 16000)
    assert resampler.finish().shape == (0,)


def test_a_push_longer_than_one_product_is_the_same_as_short_ones() -> None:
    audio = noise(int(8000 * BLOCK_SECONDS * MAX_ROWS) + 999)
    cuts = list(range(1000, len(audio), 30000))
    np.testing.assert_allclose(streamed(audio, 8000, 16000, []), streamed(audio, 8000, 16000, cuts), atol=1e-6)


@pytest.mark.parametrize("samples", [0, 1, 5])
def test_a_recording_of_next_to_nothing_changes_rate(samples: int) -> None:
    assert abs(len(resample(noise(samples), 24000, 16000)) - samples * 2 / 3) < 1


def test_a_constant_stays_constant() -> None:
    out = streamed(np.ones(3000, np.float32), 16000, 24000, [])
    np.testing.assert_allclose(out[200:-200], 1.0, atol=1e-5)


@pytest.mark.parametrize(("source", "target"), [(0, 16000), (16000, 0), (-8000, 16000)])
def test_a_rate_that_is_not_positive_is_refused(source: int, target: int) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Resampler(source, target)


def test_a_ratio_past_the_limit_is_refused_and_one_at_it_is_not() -> None:
    Resampler(MAX_STEPS, MAX_STEPS - 1)
    with pytest.raises(ValueError, match=f"{MAX_STEPS}:{MAX_STEPS + 1}"):
        Resampler(MAX_STEPS + 1, MAX_STEPS)


def test_a_whole_recording_changes_rate_and_keeps_its_type() -> None:
    audio = (tone(440, 24000) * 20000).astype(np.int16)
    out = resample(audio, 24000, 16000)
    assert out.dtype == np.int16
    assert len(out) == 16000
    np.testing.assert_allclose(out[100:-100], (tone(440, 16000) * 20000)[100:-100], atol=3)


def test_a_whole_recording_changes_rate_the_same_way_twice() -> None:
    audio = (noise(2400) * 32768).astype(np.int16)
    np.testing.assert_array_equal(resample(audio, 24000, 16000), resample(audio, 24000, 16000))


def test_a_whole_recording_at_the_same_rate_is_itself() -> None:
    audio = noise(10)
    assert resample(audio, 16000, 16000) is audio
