from __future__ import annotations

import pytest

from realtime.ports import LlmRequest, TokenUsage
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
        (Message("user", [InputImage("data:image/png;base64,AAAAAAAA")]), 0),
        (Message("assistant", [OutputText("1234"), OutputAudio("12345")]), 3),
        (FunctionCall("f", "12345678"), 2),
        (FunctionCallOutput("call_1", "1234"), 1),
        (McpCall("s", "f", "1234", output="12345"), 3),
        (McpCall("s", "f", "1234"), 1),
        (McpApprovalRequest("s", "f", "1234"), 1),
    ],
)
def test_an_estimate_counts_the_words_of_every_item(item: Item, tokens: int) -> None:
    cost = usage(request(item, instructions="1234"), "", None)
    assert cost.input_tokens == cost.total_tokens == tokens + 1
