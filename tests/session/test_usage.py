from __future__ import annotations

import pytest

from realtime.ports import LlmRequest, Recording, TokenUsage
from realtime.session.usage import usage
from realtime.wire.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    McpApprovalRequest,
    McpCall,
    Message,
    OutputAudio,
    OutputText,
)
from realtime.wire.settings import PcmuFormat


def request(*items: Item, instructions: str = "") -> LlmRequest:
    return LlmRequest(instructions=instructions, items=items)


def test_what_the_model_counted_is_believed() -> None:
    cost = usage(request(instructions="Be brief."), "Yes.", TokenUsage(100, 20, 60))
    assert (cost.total_tokens, cost.input_tokens, cost.output_tokens) == (120, 100, 20)
    assert cost.input_token_details.cached_tokens == cost.input_token_details.cached_tokens_details.text_tokens == 60
    assert (cost.input_token_details.text_tokens, cost.output_token_details.text_tokens) == (100, 20)


def test_nothing_asked_costs_nothing() -> None:
    cost = usage(None, "", None)
    assert (cost.total_tokens, cost.input_tokens, cost.output_tokens) == (0, 0, 0)


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2)])
def test_an_estimate_counts_four_characters_a_token(text: str, tokens: int) -> None:
    assert usage(request(), text, None).output_tokens == tokens
    assert usage(request(instructions=text), "", None).input_tokens == tokens


@pytest.mark.parametrize(
    ("item", "tokens"),
    [
        (Message("user", [InputText("12345678")]), 2),
        (Message("user", [InputText("1234"), InputAudio("1234")]), 2),
        (Message("user", [InputAudio()]), 0),
        (Message("user", [InputImage("data:image/jpeg;base64,AAAA")]), 85),
        (Message("user", [InputText("1234"), InputImage("data:image/jpeg;base64,AAAA", "low", 1536, 1536)]), 86),
        (Message("user", [InputImage("data:image/jpeg;base64,AAAA", "high", 512, 512)]), 85 + 170),
        (Message("user", [InputImage("data:image/jpeg;base64,AAAA", "auto", 1536, 1536)]), 85 + 4 * 170),
        (Message("user", [InputImage("data:image/jpeg;base64,AAAA", "high", 1536, 768)]), 85 + 6 * 170),
        (Message("user", [InputImage(width=512, height=512)]), 0),
        (Message("assistant", [OutputText("1234"), OutputAudio("12345")]), 3),
        (FunctionCall("f", "12345678"), 2),
        (FunctionCallOutput("call_1", "1234"), 1),
        (McpCall("s", "f", "1234", output="12345"), 3),
        (McpCall("s", "f", "1234"), 1),
        (McpApprovalRequest("s", "f", "1234"), 1),
    ],
)
def test_an_estimate_counts_what_every_item_says_and_shows(item: Item, tokens: int) -> None:
    cost = usage(request(item, instructions="1234"), "", None)
    assert cost.input_tokens == cost.total_tokens == tokens + 1


def test_tokens_of_sound_are_no_tokens_of_text() -> None:
    cost = usage(request(), "Yes.", TokenUsage(100, 20, 60, input_audio_tokens=70, output_audio_tokens=15))
    given, made = cost.input_token_details, cost.output_token_details
    assert (cost.total_tokens, given.text_tokens, given.audio_tokens) == (120, 30, 70)
    assert (made.text_tokens, made.audio_tokens) == (5, 15)
    assert (given.cached_tokens, given.cached_tokens_details.text_tokens, given.cached_tokens_details.audio_tokens) == (60, 30, 30)


def test_tokens_of_pictures_are_no_tokens_of_text() -> None:
    details = usage(request(), "Yes.", TokenUsage(100, 20, input_audio_tokens=10, input_image_tokens=60)).input_token_details
    assert (details.text_tokens, details.audio_tokens, details.image_tokens) == (30, 10, 60)


def test_an_endpoint_that_counts_badly_makes_no_debts() -> None:
    cost = usage(request(), "Yes.", TokenUsage(10, 5, input_audio_tokens=11, output_audio_tokens=6))
    assert (cost.input_token_details.text_tokens, cost.output_token_details.text_tokens) == (0, 0)


@pytest.mark.parametrize(("ms", "heard", "spoken"), [(0, 0, 0), (1, 1, 1), (100, 1, 2), (1000, 10, 20), (1001, 11, 21)])
def test_an_estimate_counts_sound_by_its_length(ms: int, heard: int, spoken: int) -> None:
    asked = LlmRequest(
        instructions="",
        items=(Message("user", [InputText("1234"), InputAudio("words that are heard")], "a"), Message("user", [InputAudio("1234")], "b")),
        sounds=(Recording("a", 1, bytes(ms * 8), PcmuFormat()),),
    )
    cost = usage(asked, "1234", None, spoken_ms=ms)
    assert (cost.input_token_details.text_tokens, cost.input_token_details.audio_tokens) == (2, heard)
    assert (cost.output_token_details.text_tokens, cost.output_token_details.audio_tokens) == (1, spoken)
    assert cost.total_tokens == 3 + heard + spoken
