"""What endpoints write: chat completions, transcriptions, refusals. Whatever it is, it is read, or the endpoint has failed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.engines import completions, refusals, transcriptions
from realtime.engines.completions import Answer
from realtime.errors import EngineError
from tests.fuzz.corpus import kept
from tests.fuzz.shapes import frames, words

SECRET = "sk-secret"
DICTIONARY = [*words(completions, refusals, transcriptions), "[DONE]", SECRET, "null", "true", "stop"]


def check(data: bytes) -> None:
    """The pieces of an answer, one a line."""
    for spoken in (False, True):
        answer = Answer(SECRET, spoken=spoken)
        try:
            for piece in data.split(b"\n"):
                assert isinstance(answer.read(piece), str)
            answer.finished()
        except EngineError as error:
            tellable(error)
    try:
        heard = transcriptions.read(data, seconds=1.0, language=None, secret=SECRET)
        assert heard.no_speech is None or 0 <= heard.no_speech <= 1
        assert heard.confidence is None or heard.confidence <= 0
    except EngineError as error:
        tellable(error)
    for status in (200, 400, 429, 500, 599):
        tellable(refusals.refused(status, data, secret=SECRET))


def tellable(error: EngineError) -> None:
    assert error.code
    assert error.message
    assert SECRET not in error.message + error.code
    (error.message + error.code).encode()


@pytest.mark.parametrize("path", kept("answers"), ids=lambda path: path.name)
def test_what_is_kept_is_read(path: Path) -> None:
    check(path.read_bytes())


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    check(data)


@given(st.lists(frames(completions._Chunk), max_size=5))
def test_chunks_of_any_shape(pieces: list[bytes]) -> None:
    check(b"\n".join(pieces))


@given(frames(transcriptions._Answer))
def test_transcriptions_of_any_shape(data: bytes) -> None:
    check(data)


@given(frames(refusals._Body))
def test_refusals_of_any_shape(data: bytes) -> None:
    check(data)
