"""What a response cost, in tokens."""

from __future__ import annotations

from realtime.ports import LlmRequest, TokenUsage
from realtime.wire.items import FunctionCall, FunctionCallOutput, InputAudio, InputText, Message, OutputAudio, OutputText
from realtime.wire.server import InputTokenDetails, OutputTokenDetails, TokenDetails, Usage

CHARACTERS_PER_TOKEN = 4
"""Rule of thumb for English (OpenAI's tokenizer guide), used only where the model does not count for us."""


def usage(request: LlmRequest | None, text: str, counted: TokenUsage | None) -> Usage:
    """As the model counted; else an estimate. No request, no cost."""
    if counted is None:
        asked = 0 if request is None else text_tokens(request.instructions) + sum(map(item_tokens, request.items))
        counted = TokenUsage(asked, text_tokens(text))
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


def text_tokens(text: str | bytes) -> int:
    """An estimate."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def item_tokens(item: object) -> int:
    """An estimate of the words of an item or a part; pictures have none."""
    match item:
        case Message(content=content):
            return sum(map(item_tokens, content))
        case InputText(text=text) | OutputText(text=text):
            return text_tokens(text)
        case InputAudio(transcript=transcript) | OutputAudio(transcript=transcript):
            return text_tokens(transcript or "")
        case FunctionCall(arguments=arguments):
            return text_tokens(arguments)
        case FunctionCallOutput(output=output):
            return text_tokens(output)
        case _:
            return 0
