from __future__ import annotations

import typing

import numpy as np
import pytest

from realtime.media import formats

ENCODINGS: tuple[formats.Encoding, ...] = typing.get_args(formats.Encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_tone_survives_its_encoding(encoding: formats.Encoding) -> None:
    tone = (np.sin(np.arange(800) / 5) * 12000).astype(np.int16)
    heard = formats.decode(encoding, formats.encode(encoding, tone))
    # The coarsest step at this loudness is 1024 for both laws (G.711 tables 1a and 2a): half of it is the error.
    assert np.abs(heard.astype(int) - tone).max() <= (0 if encoding == "pcm16" else 512)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_size_of_a_sample_is_as_stated(encoding: formats.Encoding) -> None:
    assert len(formats.encode(encoding, np.zeros(160, np.int16))) == 160 * formats.BYTES_PER_SAMPLE[encoding]


def test_the_two_laws_differ() -> None:
    assert formats.encode("ulaw", np.zeros(1, np.int16)) == b"\xff"
    assert formats.encode("alaw", np.zeros(1, np.int16)) == b"\xd5"


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="got 3"):
        formats.decode("pcm16", b"abc")
