"""Sound as an endpoint streams it: however it is cut, the samples are the same, or the endpoint is told to have failed."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.engines.sound_stream import MAX_RATE, MIN_RATE, SoundStream
from realtime.engines.spoken import Sounds
from realtime.errors import EngineError
from realtime.media import wav
from tests.fuzz.corpus import kept
from tests.fuzz.dice import cut, split

RATE = 24_000
DICTIONARY = ["RIFF", "WAVE", "fmt ", "data", "LIST", "\1\0\1\0", "\xfe\xff\1\0", "\x80\xbb\0\0", "\2\0\x10\0", "\xff\xff\xff\xff"]

Heard = tuple[bytes, int] | str


def check(data: bytes) -> None:
    sizes, stream = split(data)
    whole, pieces = streamed([stream]), streamed(list(cut(stream, sizes)))
    assert pieces == whole or (isinstance(whole, str) and isinstance(pieces, str))
    in_an_answer(b64encode(stream).decode(), sizes)


def streamed(pieces: list[bytes]) -> Heard:
    """The samples and their rate; or what went wrong."""
    stream = SoundStream(RATE)
    try:
        heard = [stream.feed(piece) for piece in pieces]
        stream.finish()
    except EngineError as error:
        return error.message
    assert MIN_RATE <= stream.rate <= MAX_RATE
    return b"".join(piece.tobytes() for piece in heard), stream.rate


def in_an_answer(text: str, sizes: bytes) -> None:
    sounds = Sounds()
    try:
        for piece in cut(text.encode(), sizes):
            said = sounds.read(piece.decode())
            assert said is None or MIN_RATE <= said.rate <= MAX_RATE
    except EngineError:
        pass


@pytest.mark.parametrize("path", kept("sounds"), ids=lambda path: path.name)
def test_what_is_kept_is_heard(path: Path) -> None:
    check(path.read_bytes())


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    check(data)


@given(
    st.binary(max_size=7),
    st.sampled_from([1, 8_000, 24_000, 48_000, 192_000]),
    st.integers(0, 60),
    st.binary(max_size=6),
    st.binary(max_size=9),
)
def test_wav_files_with_other_bytes_in_them(sizes: bytes, rate: int, at: int, other: bytes, more: bytes) -> None:
    file = wav.write(np.arange(20, dtype=np.int16), rate)
    check(bytes([len(sizes)]) + sizes + file[:at] + other + file[at + len(other) :] + more)
