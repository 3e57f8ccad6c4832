from __future__ import annotations

import io
import struct
import wave

import numpy as np
import pytest

from realtime.media import wav

RAMP = np.arange(-300, 300, dtype=np.int16)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack("<4sI", name, len(data)) + data + b"\0" * (len(data) % 2)


def form(kind: int = 1, channels: int = 1, rate: int = 8000, bits: int = 16) -> bytes:
    frame = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", kind, channels, rate, rate * frame, frame, bits))


def file(*chunks: bytes) -> bytes:
    return b"RIFF\xff\xff\xff\xffWAVE" + b"".join(chunks)


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000])
def test_what_is_written_is_a_wav_file_to_others(rate: int) -> None:
    with wave.open(io.BytesIO(wav.write(RAMP, rate))) as read:
        assert (read.getnchannels(), read.getsampwidth(), read.getframerate()) == (1, 2, rate)
        assert read.readframes(600) == RAMP.tobytes()


def test_an_empty_sound_is_a_header() -> None:
    assert len(wav.write(RAMP[:0], 8_000)) == wav.HEADER


def test_what_is_written_can_be_read() -> None:
    data = wav.write(RAMP, 24_000)
    assert wav.begins(data)
    assert wav.layout(data) == wav.Layout(24_000, wav.HEADER, len(data))


def test_what_others_write_can_be_read() -> None:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as written:
        written.setparams((1, 2, 16_000, 0, "NONE", ""))
        written.writeframes(RAMP.tobytes())
    found = wav.layout(buffer.getvalue())
    assert found is not None
    assert (found.rate, buffer.getvalue()[found.start : found.end]) == (16_000, RAMP.tobytes())


@pytest.mark.parametrize(
    ("data", "begins"),
    [
        (b"", True),
        (b"R", True),
        (b"RIFF", True),
        (b"RIFF1234WA", True),
        (b"RIFF1234WAVEfmt ", True),
        (b"RIFF1234AVI ", False),
        (b"\0\1", False),
        (b"RIFE", False),
    ],
)
def test_a_beginning_is_told_from_samples(data: bytes, begins: bool) -> None:
    assert wav.begins(data) is begins


def test_other_chunks_are_passed_over() -> None:
    data = file(chunk(b"LIST", b"odd"), form(), chunk(b"fact", b"1234"), chunk(b"data", b"ab"), chunk(b"LIST", b"more"))
    found = wav.layout(data)
    assert found is not None
    assert data[found.start : found.end] == b"ab"


def test_a_header_may_come_in_pieces() -> None:
    data = wav.write(RAMP, 8_000)
    assert [wav.layout(data[:size]) for size in range(12, wav.HEADER)] == [None] * (wav.HEADER - 12)


def test_an_extensible_format_is_known() -> None:
    assert wav.layout(file(form(kind=0xFFFE), chunk(b"data", b"ab"))) == wav.Layout(8000, 44, 46)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_who_did_not_know_the_end_yet_goes_on_to_it(size: int) -> None:
    assert wav.layout(file(form(), struct.pack("<4sI", b"data", size), b"abcd")) == wav.Layout(8000, 44, None)


def test_samples_come_soon() -> None:
    head = file(form(), struct.pack("<4sI", b"LIST", 2 * wav.MAX_HEADER))
    assert wav.layout(head.ljust(wav.MAX_HEADER, b"x")) is None
    with pytest.raises(ValueError, match="first 4096 bytes"):
        wav.layout(head.ljust(wav.MAX_HEADER + 1, b"x"))


@pytest.mark.parametrize(
    "chunks",
    [
        [form(kind=3, bits=32)],
        [form(kind=6, bits=8)],
        [form(bits=24)],
        [form(channels=2)],
        [form(rate=0)],
        [chunk(b"data", b"ab")],
    ],
)
def test_any_other_sound_is_refused(chunks: list[bytes]) -> None:
    with pytest.raises(ValueError, match="a WAV file"):
        wav.layout(file(*chunks))
