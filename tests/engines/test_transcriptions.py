from __future__ import annotations

from typing import Any

import msgspec
import pytest

from realtime.engines.refusals import refused
from realtime.engines.transcriptions import Detail, Question, Shape, fields, is_about, read
from realtime.errors import EngineError
from realtime.ports import TokenLogprob, Transcript

PLAIN = Question(language=None, prompt=None, logprobs=False)
SURE = Question(language=None, prompt=None, logprobs=True)


def answered(body: Any, language: str | None = None) -> Transcript:
    return read(body if isinstance(body, bytes) else msgspec.json.encode(body), seconds=2.0, language=language, secret="sk-1")


@pytest.mark.parametrize(
    ("shape", "question", "detail"),
    [
        (Shape(), PLAIN, "verbose"),
        (Shape(), SURE, "logprobs"),
        (Shape(verbose=False), PLAIN, "plain"),
        (Shape(verbose=False), SURE, "logprobs"),
        (Shape(logprobs=False), SURE, "verbose"),
        (Shape(logprobs=False, verbose=False), SURE, "plain"),
    ],
)
def test_an_endpoint_is_asked_for_the_most_that_it_can_tell(shape: Shape, question: Question, detail: Detail) -> None:
    assert shape.detail(question) == detail


def test_a_shape_loses_what_was_refused() -> None:
    assert Shape().without("verbose") == Shape(verbose=False)
    assert Shape().without("logprobs") == Shape(logprobs=False)
    assert Shape().without("plain") == Shape()


def test_the_fields_say_what_is_known() -> None:
    assert fields("whisper-1", PLAIN, "verbose") == [("model", "whisper-1"), ("response_format", "verbose_json")]
    full = Question(language="de", prompt="Zürich", logprobs=True)
    assert fields("m", full, "logprobs") == [
        ("model", "m"),
        ("response_format", "json"),
        ("include[]", "logprobs"),
        ("language", "de"),
        ("prompt", "Zürich"),
    ]
    assert ("response_format", "json") in fields("m", full, "plain")


# OpenAI of gpt-4o-transcribe.
INCOMPATIBLE = b"""{"error":{"message":"response_format 'verbose_json' is not compatible with model 'gpt-4o-transcribe'.",
"type":"invalid_request_error","param":"response_format","code":"unsupported_value"}}"""
TOO_SHORT = b'{"error":{"message":"Audio file is too short.","code":"audio_too_short"}}'


@pytest.mark.parametrize(
    ("detail", "status", "body", "accepted_before", "expected"),
    [
        ("verbose", 400, INCOMPATIBLE, True, True),
        ("verbose", 400, TOO_SHORT, False, True),
        ("verbose", 422, TOO_SHORT, False, True),
        ("verbose", 400, TOO_SHORT, True, False),
        ("verbose", 401, INCOMPATIBLE, False, False),
        ("plain", 400, INCOMPATIBLE, False, False),
        ("logprobs", 400, b'{"detail":"include is not known"}', True, True),
        ("logprobs", 400, INCOMPATIBLE, True, False),
    ],
)
def test_a_refusal_is_about_the_detail_when_it_says_so_or_when_nothing_is_known(
    detail: Detail, status: int, body: bytes, accepted_before: bool, expected: bool
) -> None:
    assert is_about(detail, refused(status, body, secret=""), accepted_before=accepted_before) is expected


def test_the_plain_answer_is_its_text() -> None:
    assert answered({"text": " Hello. \n"}) == Transcript("Hello.", 2.0)


def test_an_empty_text_is_a_transcript() -> None:
    assert answered({"text": ""}).text == ""


def test_fields_of_others_are_passed_over() -> None:
    assert answered({"text": "Hi", "usage": {"type": "duration", "seconds": 2}, "x_groq": {}}).text == "Hi"


@pytest.mark.parametrize(("told", "language"), [("de", "de"), ("yue", "yue"), ("english", "en"), (None, "en"), ("", "en")])
def test_a_language_is_a_code_or_the_one_that_was_asked_for(told: str | None, language: str) -> None:
    assert answered({"text": "Hi", "language": told}, "en").language == language


def test_the_figures_of_segments_are_put_together() -> None:
    segments = [
        {"no_speech_prob": 0.9, "avg_logprob": -0.1, "tokens": [1, 2, 3]},
        {"no_speech_prob": 0.2, "avg_logprob": -0.5, "tokens": [1]},
    ]
    transcript = answered({"text": "Hi there", "segments": segments})
    assert transcript.no_speech == 0.2
    assert transcript.confidence == pytest.approx((3 * -0.1 + -0.5) / 4)


def test_segments_without_tokens_weigh_the_same() -> None:
    assert answered({"text": "a", "segments": [{"avg_logprob": -0.2}, {"avg_logprob": -0.4}]}).confidence == pytest.approx(-0.3)


@pytest.mark.parametrize("segments", [None, [], [{}], [{"no_speech_prob": None, "avg_logprob": None}]])
def test_an_endpoint_that_can_not_say_says_nothing(segments: object) -> None:
    transcript = answered({"text": "Hi", "segments": segments})
    assert (transcript.no_speech, transcript.confidence) == (None, None)


def test_figures_out_of_their_range_are_brought_into_it() -> None:
    transcript = answered({"text": "Hi", "segments": [{"no_speech_prob": 1.0000001, "avg_logprob": 0.001}]})
    assert (transcript.no_speech, transcript.confidence) == (1.0, 0.0)
    assert answered({"text": "Hi", "segments": [{"no_speech_prob": -1e-9}]}).no_speech == 0.0


def test_tokens_are_together_the_text() -> None:
    logprobs = [{"token": " Good", "logprob": -0.1, "bytes": [71]}, {"token": " day", "logprob": -0.3}, {"token": ". ", "logprob": 0.0001}]
    transcript = answered({"text": " Good day. ", "logprobs": logprobs})
    assert transcript.tokens == (TokenLogprob("Good", -0.1), TokenLogprob(" day", -0.3), TokenLogprob(".", 0.0))
    assert "".join(token.text for token in transcript.tokens) == transcript.text
    assert transcript.confidence == pytest.approx((-0.1 - 0.3 + 0.0001) / 3)


@pytest.mark.parametrize("body", [b"", b"Hello.", b"[]", b"\xff", b'{"text":1}', b'{"segments":[{"tokens":' + b"[" * 100_000])
def test_what_is_no_transcription_is_an_error(body: bytes) -> None:
    with pytest.raises(EngineError, match="not a transcription") as caught:
        answered(body)
    assert caught.value.code == "server_error"


def test_a_transcription_without_a_text_is_an_error() -> None:
    with pytest.raises(EngineError, match="without a text"):
        answered({"segments": [], "error": None})


def test_an_error_object_is_the_error_and_hides_the_key() -> None:
    with pytest.raises(EngineError) as caught:
        answered({"error": {"message": "No model for sk-1.", "code": "model_not_found"}})
    assert (caught.value.code, caught.value.message) == ("model_not_found", "No model for ***.")
