"""What a response cost, in tokens."""

from __future__ import annotations

from realtime.ports import LlmRequest, TokenUsage
from realtime.wire.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputText,
    McpApprovalRequest,
    McpCall,
    Message,
    OutputAudio,
    OutputText,
)
from realtime.wire.server import InputTokenDetails, OutputTokenDetails, TokenDetails, Usage

CHARACTERS_PER_TOKEN = 4
"""Rule of thumb for English (OpenAI's tokenizer guide), used only where the model does not count for us."""


def usage(request: LlmRequest | None, text: str, counted: TokenUsage | None) -> Usage:
    """As the model counted; else an estimate. No request, no cost."""
    if counted is None:
        asked = 0 if request is None else _tokens(request.instructions) + sum(map(_item_tokens, request.items))
        counted = TokenUsage(asked, _tokens(text))
    return Usage(
        total_tokens=counted.input_tokens + counted.output_tokens,
        input_tokens=counted.input_tokens,
        output_tokens=counted.output_tokens,
        input_token_details=InputTokenDetails(
            text_tokens=counted.input_tokens,
            cached_tokens=counted.cached_tokens,
            cached_tokens_details=TokenDetails(text_tokens=counted.cached_tokens),
        ),
        output_token_details=OutputTokenDetails(text_tokens=counted.output_tokens),
    )


def _tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def _item_tokens(item: object) -> int:
    match item:
        case Message(content=content):
            return sum(map(_item_tokens, content))
        case InputText(text=text) | OutputText(text=text):
            return _tokens(text)
        case InputAudio(transcript=transcript) | OutputAudio(transcript=transcript):
            return _tokens(transcript or "")
        case McpCall(arguments=arguments, output=output):
            return _tokens(arguments) + _tokens(output or "")
        case FunctionCall(arguments=arguments) | McpApprovalRequest(arguments=arguments):
            return _tokens(arguments)
        case FunctionCallOutput(output=output):
            return _tokens(output)
        case _:
            return 0
