from __future__ import annotations

import numpy as np
import pytest

from realtime.media import pcm

EVERY_SAMPLE = np.arange(-32768, 32768, dtype=np.int32).astype(np.int16)


def test_bytes_are_little_endian() -> None:
    assert pcm.from_bytes(b"\x01\x00\xff\x7f\x00\x80").tolist() == [1, 32767, -32768]
    assert pcm.to_bytes(np.array([1, 32767, -32768], np.int16)) == b"\x01\x00\xff\x7f\x00\x80"


def test_an_array_shares_the_memory_of_its_bytes() -> None:
    data = bytearray(b"\x01\x00\x02\x00")
    audio = pcm.from_bytes(data)
    data[0] = 9
    assert audio.tolist() == [9, 2]


def test_no_bytes_are_no_samples() -> None:
    assert pcm.from_bytes(b"").shape == (0,)


@pytest.mark.parametrize("data", [b"\x00", b"\x00" * 961, memoryview(b"\x00" * 3)])
def test_half_a_sample_is_refused_by_its_size(data: bytes) -> None:
    with pytest.raises(ValueError, match=f"even number of bytes, got {len(data)}"):
        pcm.from_bytes(data)


def test_every_sample_survives_the_way_through_float() -> None:
    np.testing.assert_array_equal(pcm.to_int16(pcm.to_float(EVERY_SAMPLE)), EVERY_SAMPLE)


def test_full_scale_is_one() -> None:
    assert pcm.to_float(np.array([-32768, 16384, 0], np.int16)).tolist() == [-1.0, 0.5, 0.0]


def test_float_samples_are_float32_and_int16_samples_int16() -> None:
    assert pcm.to_float(EVERY_SAMPLE).dtype == np.float32
    assert pcm.to_int16(np.zeros(1, np.float32)).dtype == np.int16


def test_what_is_too_loud_is_clipped() -> None:
    loud = np.array([1.0, 3.0, -1.5, np.inf, -np.inf], np.float32)
    assert pcm.to_int16(loud).tolist() == [32767, 32767, -32768, 32767, -32768]


def test_what_is_not_a_number_is_silence() -> None:
    assert pcm.to_int16(np.array([np.nan], np.float32)).tolist() == [0]


def test_float_samples_round_to_the_nearest() -> None:
    assert pcm.to_int16(np.array([0.9, -0.9, 1.4], np.float32) * np.float32(1 / 32768)).tolist() == [1, -1, 1]


def test_converting_leaves_the_source_alone() -> None:
    audio = np.array([np.nan, 2.0], np.float32)
    pcm.to_int16(audio)
    assert np.isnan(audio[0])
    assert audio[1] == 2.0
