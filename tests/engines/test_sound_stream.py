from __future__ import annotations

import io
import struct
import wave

import numpy as np
import pytest

from realtime.engines.sound_stream import SoundStream
from realtime.errors import EngineError
from realtime.media.wav import MAX_HEADER
from realtime.ports import Int16

RATE = 24_000
SAMPLES = np.arange(-500, 500, dtype=np.int16)
RAW = SAMPLES.tobytes()


def wav(rate: int = 22_050, channels: int = 1, width: int = 2) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(rate)
        writer.writeframes(RAW)
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\x00" * (len(data) % 2)


def fed(data: bytes, step: int) -> tuple[Int16, int]:
    """What comes of this in pieces of `step` bytes, and its rate."""
    stream = SoundStream(RATE)
    pieces = [stream.feed(data[at : at + step]) for at in range(0, len(data), step)]
    stream.finish()
    return np.concatenate(pieces), stream.rate


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000, len(RAW)])
def test_raw_sound_is_the_same_however_it_is_cut(step: int) -> None:
    sound, rate = fed(RAW, step)
    np.testing.assert_array_equal(sound, SAMPLES)
    assert rate == RATE


@pytest.mark.parametrize("step", [1, 2, 3, 45, len(RAW) + 44])
def test_the_sound_in_a_wav_is_taken_out_of_it(step: int) -> None:
    sound, rate = fed(wav(), step)
    np.testing.assert_array_equal(sound, SAMPLES)
    assert rate == 22_050


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_that_does_not_know_its_length_goes_on_to_the_end(size: int) -> None:
    sound, _ = fed(wav()[:40] + struct.pack("<I", size) + RAW, 99)
    np.testing.assert_array_equal(sound, SAMPLES)


@pytest.mark.parametrize("step", [1, 77, 5000])
def test_what_else_is_in_a_wav_makes_no_sound(step: int) -> None:
    titled = wav()[:36] + chunk(b"LIST", b"odd") + wav()[36:] + chunk(b"LIST", b"a title after the sound")
    sound, _ = fed(titled, step)
    np.testing.assert_array_equal(sound, SAMPLES)


def test_an_extensible_wav_is_a_wav() -> None:
    data = bytearray(wav())
    data[20:22] = struct.pack("<H", 0xFFFE)
    assert len(fed(bytes(data), 100)[0]) == len(SAMPLES)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (wav(channels=2), "2 channels"),
        (wav(width=4), "32 bits"),
        (wav()[:20] + b"\x03" + wav()[21:], "kind 3"),
        (wav(rate=1), "of 1 Hz, and not of 8000 to 48000"),
        (wav(rate=48_001), "of 48001 Hz"),
    ],
    ids=["stereo", "32 bits", "float", "too slow", "too fast"],
)
def test_a_wav_of_anything_else_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(EngineError, match=said) as caught:
        SoundStream(RATE).feed(data)
    assert caught.value.code == "server_error"


def test_a_wav_that_does_not_come_to_its_sound_is_refused() -> None:
    stream = SoundStream(RATE)
    head = wav()[:36] + b"LIST" + struct.pack("<I", 2 * MAX_HEADER)
    assert len(stream.feed(head + bytes(MAX_HEADER - len(head)))) == 0
    with pytest.raises(EngineError, match="first 4096 bytes"):
        stream.feed(b"\x00")


def test_half_a_sample_at_the_end_is_no_pcm16() -> None:
    stream = SoundStream(RATE)
    stream.feed(RAW + b"\x00")
    with pytest.raises(EngineError, match="half a sample"):
        stream.finish()


@pytest.mark.parametrize("data", [b"RI", wav()[:30]])
def test_an_end_within_the_header_is_an_interruption(data: bytes) -> None:
    stream = SoundStream(RATE)
    assert len(stream.feed(data)) == 0
    with pytest.raises(EngineError) as caught:
        stream.finish()
    assert caught.value.code == "stream_interrupted"


def test_no_sound_at_all_is_for_others_to_judge() -> None:
    SoundStream(RATE).finish()
