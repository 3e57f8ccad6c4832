"""The JSON of a chat completion, both ways."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from realtime.engines.completions import Answer, Shape, body
from realtime.errors import EngineError
from realtime.ports import Finished, LlmRequest, TokenUsage
from realtime.wire.items import InputText, Message


def posted(shape: Shape | None = None, **wanted: Any) -> Any:
    request = LlmRequest(instructions="", items=(Message("user", [InputText("Hi")]),), **wanted)
    return msgspec.json.decode(body("gpt", request, shape or Shape()))


def delta(**fields: Any) -> bytes:
    return msgspec.json.encode({"choices": [{"delta": fields, "finish_reason": None}]})


def stopped(reason: str) -> bytes:
    return msgspec.json.encode({"choices": [{"delta": {}, "finish_reason": reason}]})


def test_a_request_says_no_more_than_it_must() -> None:
    assert posted() == {
        "model": "gpt",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_temperature_goes_only_when_given() -> None:
    assert posted(temperature=0.0)["temperature"] == 0.0


def test_the_limit_is_called_max_tokens() -> None:
    wire = posted(max_output_tokens=5)
    assert (wire["max_tokens"], "max_completion_tokens" in wire) == (5, False)


def test_the_limit_can_be_called_max_completion_tokens() -> None:
    wire = posted(Shape(names_completion=True), max_output_tokens=5)
    assert (wire["max_completion_tokens"], "max_tokens" in wire) == (5, False)


def test_usage_need_not_be_asked_for() -> None:
    assert "stream_options" not in posted(Shape(asks_usage=False))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (delta(content="Hi"), "Hi"),
        (delta(content=None), ""),
        (delta(content=""), ""),
        (delta(role="assistant"), ""),
        (delta(refusal="I can't."), "I can't."),
        (delta(content=None, reasoning_content="Hmm"), ""),
        (delta(reasoning="Hmm"), ""),
        (delta(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}]), ""),
        (b'{"choices":[{"finish_reason":"stop"}]}', ""),
        (b'{"choices":[{"message":{"role":"assistant","content":"Whole."},"finish_reason":"stop"}]}', "Whole."),
        (b'{"choices":[],"usage":null}', ""),
        (b'{"choices":null,"error":null}', ""),
        (b"{}", ""),
        (b"[DONE]", ""),
        (b"", ""),
    ],
)
def test_a_piece_has_this_text(data: bytes, text: str) -> None:
    assert Answer().read(data) == text


@pytest.mark.parametrize(
    ("data", "begun"), [(delta(role="assistant", content=""), False), (delta(content="a"), True), (delta(reasoning="b"), True)]
)
def test_a_thought_is_a_beginning_and_a_role_is_none(data: bytes, begun: bool) -> None:
    answer = Answer()
    answer.read(data)
    assert answer.begun is begun


def test_what_has_begun_stays_begun() -> None:
    answer = Answer()
    for data in (delta(content="a"), delta(content="")):
        answer.read(data)
    assert answer.begun


@pytest.mark.parametrize(
    ("reason", "ours"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("tool_calls", "stop"),
        ("function_call", "stop"),
        ("eos", "stop"),
    ],
)
def test_a_reason_is_one_of_ours(reason: str, ours: str) -> None:
    answer = Answer()
    answer.read(stopped(reason))
    assert answer.finished().reason == ours


def test_done_alone_ends_an_answer() -> None:
    answer = Answer()
    answer.read(b"[DONE]")
    assert answer.done
    assert answer.finished() == Finished("stop", None)


def test_an_answer_that_just_stops_was_interrupted() -> None:
    answer = Answer()
    answer.read(delta(content="Hi"))
    with pytest.raises(EngineError) as caught:
        answer.finished()
    assert caught.value.code == "stream_interrupted"


@pytest.mark.parametrize(
    ("usage", "ours"),
    [
        (b'{"prompt_tokens":9,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}', TokenUsage(9, 2, 4)),
        (b'{"prompt_tokens":9,"completion_tokens":2}', TokenUsage(9, 2)),
        (b'{"prompt_tokens":9,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":null}}', TokenUsage(9, 2)),
        (b'{"prompt_tokens":9,"completion_tokens":null}', TokenUsage(9, 0)),
    ],
)
def test_usage_is_counted(usage: bytes, ours: TokenUsage) -> None:
    answer = Answer()
    answer.read(stopped("stop"))
    answer.read(b'{"choices":[],"usage":' + usage + b"}")
    assert answer.finished().usage == ours


def test_the_last_usage_counts() -> None:
    answer = Answer()
    for count in (1, 2):
        answer.read(b'{"choices":[{"finish_reason":"stop"}],"usage":{"completion_tokens":%d}}' % count)
    assert answer.finished().usage == TokenUsage(0, 2)


def test_an_error_object_is_raised_without_the_key() -> None:
    with pytest.raises(EngineError) as caught:
        Answer("sk-1").read(b'{"error":{"message":"Overloaded, sk-1.","code":"overloaded"}}')
    assert (caught.value.code, caught.value.message) == ("overloaded", "Overloaded, ***.")


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"choices":[{"delta":{"content":"\xff"}}]}', b'{"choices":[{"delta":{"content":5}}]}'])
def test_what_is_no_completion_is_an_error(data: bytes) -> None:
    with pytest.raises(EngineError) as caught:
        Answer().read(data)
    assert caught.value.code == "server_error"
