"""What a client may put into a conversation."""

from __future__ import annotations

from msgspec import UNSET

from realtime.errors import ClientError
from realtime.session.abilities import Abilities
from realtime.session.conversation import Entry
from realtime.session.ids import Ids
from realtime.session.sound import Sound
from realtime.wire.codec import encode_json
from realtime.wire.items import (
    MAX_EXTRA,
    MAX_ITEM_TEXT,
    FunctionCall,
    InputAudio,
    InputImage,
    InputText,
    Item,
    McpApprovalRequest,
    McpCall,
    McpListTools,
    Message,
    OutputAudio,
    OutputText,
    Part,
    canonical,
)
from realtime.wire.settings import MAX_TOOLS_SIZE, AudioFormat, sample_width


def admit(item: Item, param: str, *, format: AudioFormat, abilities: Abilities, ids: Ids) -> Entry:
    """An entry for a client's item: parts under their GA names, sounds apart, an id.

    `param` is where the item stood in the event. Raises `ClientError`.
    """
    canonical(item, param)
    check_length(item, param)
    item.status = "completed"
    entry = Entry(item)
    for index, part in enumerate(item.content if isinstance(item, Message) else []):
        where = f"{param}.content[{index}]"
        check_part(part, where, abilities)
        if isinstance(part, InputAudio) and part.audio is not UNSET:
            check_sound(part.audio, format, where)
            entry.sounds[index], part.audio = Sound(format, part.audio), UNSET
    if item.id is UNSET:
        item.id = ids.new("item")
    if isinstance(item, FunctionCall) and item.call_id is UNSET:
        item.call_id = ids.new("call")
    return entry


def check_part(part: Part, where: str, abilities: Abilities) -> None:
    """Raises `ClientError` for a part that can't be used here."""
    match part:
        case InputAudio(audio=audio, transcript=transcript):
            check_audio(where, abilities)
            if audio is UNSET and transcript is None:
                raise ClientError("missing_required_parameter", f"Missing required parameter: '{where}.audio'.", param=f"{where}.audio")
        case OutputAudio(audio=audio) if audio is not UNSET:
            raise ClientError("invalid_value", "The model's audio can't be written by a client.", param=f"{where}.audio")
        case InputImage(image_url=image_url):
            if not abilities.images:
                raise ClientError("image_disabled", "Images are switched off on this server (ENABLE_IMAGE_PROCESSING).", param=where)
            if image_url is UNSET:
                name = f"{where}.image_url"
                raise ClientError("missing_required_parameter", f"Missing required parameter: '{name}'.", param=name)
            if not image_url.startswith("data:image/"):
                raise ClientError("invalid_value", "Expected a data URI of an image.", param=f"{where}.image_url")
        case _:
            pass


def check_length(item: Item, param: str) -> None:
    """Raises `ClientError` for an item whose words no frame could carry back. Each of its fields alone has its limit already."""
    if isinstance(item, Message) and sum(map(_length, item.content)) > MAX_ITEM_TEXT:
        message = f"Invalid '{param}.content'. Expected at most {MAX_ITEM_TEXT} characters in all parts."
        raise ClientError("string_above_max_length", message, param=f"{param}.content")
    if isinstance(item, FunctionCall | McpCall | McpApprovalRequest):
        check_size(item.extra_content, MAX_EXTRA, f"{param}.extra_content")
    if isinstance(item, McpListTools):
        check_size(item.tools, MAX_TOOLS_SIZE, f"{param}.tools")


def check_size(value: object, most: int, param: str) -> None:
    """Raises `ClientError` for a value of any shape, if there is one, with more than so many bytes of JSON."""
    if value is not UNSET and len(encode_json(value)) > most:
        kind = "array" if isinstance(value, tuple | list) else "string" if isinstance(value, str) else "object"
        message = f"Invalid '{param}'. Expected at most {most} bytes of JSON."
        raise ClientError(f"{kind}_above_max_length", message, param=param)


def _length(part: Part) -> int:
    match part:
        case InputText(text=text) | OutputText(text=text):
            return len(text)
        case InputAudio(transcript=transcript) | OutputAudio(transcript=transcript):
            return len(transcript or "")
        case _:
            return 0


def check_sound(audio: bytes, format: AudioFormat, where: str) -> None:
    """Raises `ClientError` for audio that ends in the middle of a sample: an item, unlike the buffer, has no more to come."""
    if len(audio) % sample_width(format):
        raise ClientError("invalid_value", "Expected whole samples of 16 bits: the number of bytes is odd.", param=f"{where}.audio")


def check_audio(where: str, abilities: Abilities) -> None:
    """Raises `ClientError` where audio is switched off."""
    if not abilities.audio:
        raise ClientError("audio_disabled", "Audio is switched off on this server (ENABLE_AUDIO_PROCESSING).", param=where)
