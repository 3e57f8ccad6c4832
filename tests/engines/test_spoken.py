"""Words and sound of an answer, in whatever pieces they come."""

from __future__ import annotations

from base64 import b64encode

import numpy as np
import pytest

from realtime.engines.spoken import RATE, Sounds, Source, Words
from realtime.errors import EngineError
from realtime.media import wav

RAMP = np.arange(-500, 501, dtype=np.int16)
TEXT = b64encode(RAMP.tobytes()).decode()
FILE = wav.write(RAMP, 16_000)


def heard(*pieces: str) -> tuple[list[int], set[int]]:
    """The samples and their rates."""
    sounds = Sounds()
    deltas = [delta for piece in pieces if (delta := sounds.read(piece)) is not None]
    assert all(len(delta.audio) for delta in deltas)
    return [sample for delta in deltas for sample in delta.audio.tolist()], {delta.rate for delta in deltas}


def base64(*pieces: bytes) -> list[str]:
    """Each padded by itself, as OpenAI does."""
    return [b64encode(piece).decode() for piece in pieces]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 1000])
def test_base64_may_be_cut_at_any_character(size: int) -> None:
    assert heard(*[TEXT[start : start + size] for start in range(0, len(TEXT), size)]) == (RAMP.tolist(), {RATE})


@pytest.mark.parametrize("size", [1, 2, 3, 5, 999])
def test_sound_may_be_cut_at_any_byte(size: int) -> None:
    data = RAMP.tobytes()
    assert heard(*base64(*[data[start : start + size] for start in range(0, len(data), size)])) == (RAMP.tolist(), {RATE})


def test_half_a_sample_at_the_end_is_nothing_to_hear() -> None:
    assert heard(*base64(RAMP.tobytes() + b"\1"))[0] == RAMP.tolist()


@pytest.mark.parametrize("around", ["data:;base64,{}", "data:audio/pcm;base64,{}", "\n{}\r\n"])
def test_what_stands_around_base64_is_no_matter(around: str) -> None:
    assert heard(around.format(TEXT)) == (RAMP.tolist(), {RATE})


def test_nothing_is_no_sound() -> None:
    assert heard("", "data:;base64,") == ([], set())


@pytest.mark.parametrize("size", [1, 2, 10, 44, 45, len(FILE)])
def test_a_wav_file_says_its_rate_and_its_header_is_not_heard(size: int) -> None:
    assert heard(*base64(*[FILE[start : start + size] for start in range(0, len(FILE), size)])) == (RAMP.tolist(), {16_000})


def test_every_piece_may_be_a_wav_file() -> None:
    assert heard(*base64(FILE, FILE)) == ([*RAMP.tolist(), *RAMP.tolist()], {16_000})


def test_what_follows_the_samples_of_a_wav_file_is_not_heard() -> None:
    assert heard(*base64(FILE + b"LIST\4\0\0\0INFO")) == (RAMP.tolist(), {16_000})


def test_headless_sound_after_a_header_has_its_rate() -> None:
    assert heard(*base64(FILE, RAMP.tobytes())) == ([*RAMP.tolist(), *RAMP.tolist()], {16_000})


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(["*"] * 4, id="no base64"),
        pytest.param(["====AAAA"], id="padding and nothing to pad"),
        pytest.param(["äöüß"], id="no ASCII"),
        pytest.param(base64(FILE[:22] + b"\2" + FILE[23:]), id="stereo"),
        pytest.param(base64(FILE, wav.write(RAMP, 24_000)), id="another rate"),
    ],
)
def test_what_can_not_be_sound_is_an_error(pieces: list[str]) -> None:
    with pytest.raises(EngineError) as caught:
        heard(*pieces)
    assert caught.value.code == "server_error"


@pytest.mark.parametrize(
    "told",
    [
        pytest.param([("transcript", "Hel"), ("transcript", "lo the"), ("transcript", "re.")], id="openai: transcript alone"),
        pytest.param([("content", "Hello "), ("content", "there.")], id="content alone"),
        pytest.param(
            [("content", "Hello "), ("transcript", "Hello "), ("content", "there."), ("transcript", "there.")], id="both, abreast"
        ),
        pytest.param([("transcript", "Hello "), ("content", "Hello there."), ("transcript", "there.")], id="both, one ahead"),
        pytest.param([("content", "Hello there."), ("transcript", "Hello there.")], id="both, one after the other"),
        pytest.param([("content", "Hello "), ("transcript", "the"), ("content", "re.")], id="in turns"),
        pytest.param([("content", "Hello"), ("transcript", " the"), ("content", "re"), ("transcript", ".")], id="in more turns"),
    ],
)
def test_words_are_told_once(told: list[tuple[Source, str]]) -> None:
    words = Words()
    assert "".join(words.read(source, text) for source, text in told) == "Hello there."
