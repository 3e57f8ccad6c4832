from __future__ import annotations

from itertools import pairwise

import pytest

from realtime.session.input_audio import InputAudio
from realtime.wire.settings import AudioFormat, PcmaFormat, PcmFormat, PcmuFormat

PCM = PcmFormat()


def test_half_a_sample_waits_for_its_other_half() -> None:
    buffer = InputAudio(PCM)
    assert buffer.append(b"abc") == b"ab"
    assert buffer.append(b"d") == b"cd"
    assert buffer.take(buffer.received) == b"abcd"


def test_a_lone_byte_is_no_sample_yet() -> None:
    buffer = InputAudio(PCM)
    assert buffer.append(b"a") == b""
    assert (buffer.received, buffer.held) == (0, 0)


def test_nothing_appended_is_nothing_held() -> None:
    buffer = InputAudio(PCM)
    assert buffer.append(b"") == b""
    assert buffer.take(10) == b""


def test_bytes_cut_anywhere_come_back_whole() -> None:
    buffer, stream = InputAudio(PCM), bytes(range(200))
    cuts = [0, 1, 2, 5, 6, 11, 50, 51, 151, 200]
    whole = b"".join(buffer.append(stream[start:end]) for start, end in pairwise(cuts))
    assert whole == stream == buffer.take(buffer.received)


@pytest.mark.parametrize("format", [PcmuFormat(), PcmaFormat()])
def test_g711_has_no_half_samples(format: AudioFormat) -> None:
    buffer = InputAudio(format)
    assert buffer.append(b"abc") == b"abc"
    assert buffer.held == 3


def test_what_is_taken_may_end_within_a_piece() -> None:
    buffer = InputAudio(PcmuFormat())
    buffer.append(b"abcd")
    buffer.append(b"efgh")
    assert [buffer.take(3), buffer.take(6), buffer.take(8)] == [b"abc", b"def", b"gh"]


def test_positions_count_from_the_first_sample_even_when_some_are_gone() -> None:
    buffer = InputAudio(PcmuFormat())
    buffer.append(b"abcdef")
    buffer.drop(2)
    assert buffer.start == 2
    assert buffer.take(4) == b"cd"
    assert buffer.start == 4


@pytest.mark.parametrize("end", [-5, 0, 2])
def test_what_lies_before_the_start_is_gone_already(end: int) -> None:
    buffer = InputAudio(PcmuFormat())
    buffer.append(b"abcd")
    buffer.drop(2)
    buffer.drop(end)
    assert buffer.take(end) == b""
    assert buffer.held == 2


def test_nobody_takes_more_than_is_there() -> None:
    buffer = InputAudio(PcmuFormat())
    buffer.append(b"abcd")
    assert buffer.take(100) == b"abcd"
    buffer.drop(100)
    assert buffer.held == 0


def test_every_sample_is_taken_dropped_or_held() -> None:
    buffer = InputAudio(PCM)
    buffer.append(bytes(200))
    buffer.drop(10)
    buffer.take(40)
    assert (buffer.received, buffer.dropped, buffer.taken, buffer.held) == (100, 10, 30, 60)


@pytest.mark.parametrize(("format", "samples"), [(PCM, 24), (PcmFormat(16_000), 16), (PcmuFormat(), 8)])
def test_a_millisecond_is_as_many_samples_as_the_rate_says(format: AudioFormat, samples: int) -> None:
    buffer = InputAudio(format)
    assert buffer.samples(1) == samples
    assert buffer.ms(samples) == 1


def test_held_time_is_exact_to_the_sample() -> None:
    buffer = InputAudio(PCM)
    buffer.append(bytes(2 * 2399))
    assert 99.9 < buffer.held_ms < 100


def test_time_goes_on_from_the_buffer_before() -> None:
    buffer = InputAudio(PcmuFormat(), origin_ms=5000)
    buffer.append(bytes(80))
    assert buffer.end_ms == 5010


@pytest.mark.parametrize(
    ("begin", "end", "seen"), [(2, 5, b"cde"), (0, 9, b"bcdefghi"), (4, 4, b""), (5, 3, b""), (7, 99, b"hi"), (3, 6, b"def")]
)
def test_what_is_held_can_be_looked_at(begin: int, end: int, seen: bytes) -> None:
    buffer = InputAudio(PcmuFormat())
    for chunk in (b"abc", b"def", b"ghi"):
        buffer.append(chunk)
    buffer.drop(1)
    assert buffer.peek(begin, end) == seen
    assert buffer.held == 8
