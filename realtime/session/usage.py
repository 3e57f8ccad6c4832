"""What a response cost, in tokens."""

from __future__ import annotations

from msgspec import UNSET

from realtime.ports import LlmRequest, Recording, TokenUsage
from realtime.wire.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    McpApprovalRequest,
    McpCall,
    Message,
    OutputAudio,
    OutputText,
)
from realtime.wire.server import InputTokenDetails, OutputTokenDetails, TokenDetails, Usage
from realtime.wire.settings import sample_rate, sample_width

CHARACTERS_PER_TOKEN = 4
"""Rule of thumb for English (OpenAI's tokenizer guide), used only where the model does not count for us."""

MS_PER_HEARD_TOKEN, MS_PER_SPOKEN_TOKEN = 100, 50
"""What OpenAI counts for the user's audio and for the model's (Realtime guide, "Managing costs"); used only where nobody counts for us."""


LOOK_TOKENS, TILE_TOKENS = 85, 170
TILE, TILED_SIDE = 512, 768
"""Tokens of a picture, and pixels of the squares that it is cut into."""


def usage(request: LlmRequest | None, text: str, counted: TokenUsage | None, *, spoken_ms: int = 0) -> Usage:
    """As the model counted; else an estimate. No request, no cost. `spoken_ms`: how long the model spoke by itself."""
    if counted is None:
        counted = _estimate(request, text, spoken_ms)
    text_in = max(0, counted.input_tokens - counted.input_audio_tokens - counted.input_image_tokens)
    # Which of its tokens an endpoint remembered it does not say: instructions come first.
    cached_text = min(counted.cached_tokens, text_in)
    return Usage(
        total_tokens=counted.input_tokens + counted.output_tokens,
        input_tokens=counted.input_tokens,
        output_tokens=counted.output_tokens,
        input_token_details=InputTokenDetails(
            text_tokens=text_in,
            audio_tokens=counted.input_audio_tokens,
            image_tokens=counted.input_image_tokens,
            cached_tokens=counted.cached_tokens,
            cached_tokens_details=TokenDetails(text_tokens=cached_text, audio_tokens=counted.cached_tokens - cached_text),
        ),
        output_token_details=OutputTokenDetails(
            text_tokens=max(0, counted.output_tokens - counted.output_audio_tokens), audio_tokens=counted.output_audio_tokens
        ),
    )


def _estimate(request: LlmRequest | None, text: str, spoken_ms: int) -> TokenUsage:
    read, heard, seen = (0, 0, 0) if request is None else _asked(request)
    spoken = _whole(spoken_ms, MS_PER_SPOKEN_TOKEN)
    return TokenUsage(
        read + heard + seen, text_tokens(text) + spoken, input_audio_tokens=heard, input_image_tokens=seen, output_audio_tokens=spoken
    )


def _asked(request: LlmRequest) -> tuple[int, int, int]:
    """Tokens that are read, heard and seen."""
    sounds = {(recording.item_id, recording.content_index): recording for recording in request.sounds}
    read, heard, seen = text_tokens(request.instructions), 0, 0
    for item in request.items:
        for index, part in enumerate(item.content if isinstance(item, Message) else [item]):
            recording = sounds.get((str(item.id), index))
            if isinstance(part, InputImage):
                seen += image_tokens(part)
            elif recording is None:
                read += item_tokens(part)
            else:
                heard += _heard(recording)
    return read, heard, seen


def _heard(recording: Recording) -> int:
    samples = len(recording.audio) // sample_width(recording.format)
    return _whole(samples * 1000 // sample_rate(recording.format), MS_PER_HEARD_TOKEN)


def text_tokens(text: str | bytes) -> int:
    """An estimate."""
    return _whole(len(text), CHARACTERS_PER_TOKEN)


def image_tokens(picture: InputImage) -> int:
    """What OpenAI's models count for a picture (Images and vision guide, "Calculating costs", GPT-4o): a look at the whole, and in high
    detail one for each square of 512 pixels, once its short side is brought down to 768. A picture that was let go has none."""
    if picture.image_url is UNSET:
        return 0
    if picture.detail == "low" or picture.width is UNSET or picture.height is UNSET:
        return LOOK_TOKENS
    scale = min(1.0, TILED_SIDE / min(picture.width, picture.height))
    tiles = _whole(round(picture.width * scale), TILE) * _whole(round(picture.height * scale), TILE)
    return LOOK_TOKENS + tiles * TILE_TOKENS


def _whole(amount: int, unit: int) -> int:
    return -(-amount // unit)


def item_tokens(item: object) -> int:
    """An estimate for an item or a part."""
    match item:
        case Message(content=content):
            return sum(map(item_tokens, content))
        case InputText(text=text) | OutputText(text=text):
            return text_tokens(text)
        case InputAudio(transcript=transcript) | OutputAudio(transcript=transcript):
            return text_tokens(transcript or "")
        case InputImage():
            return image_tokens(item)
        case McpCall(arguments=arguments, output=output):
            return text_tokens(arguments) + text_tokens(output or "")
        case FunctionCall(arguments=arguments) | McpApprovalRequest(arguments=arguments):
            return text_tokens(arguments)
        case FunctionCallOutput(output=output):
            return text_tokens(output)
        case _:
            return 0
