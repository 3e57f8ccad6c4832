"""What a client is shown of an item: all of it, but for pictures and sounds that no frame can carry.

The words of an item are bounded where it comes in (`admission`, `responses`), so they always fit. A picture or a sound that does not is
left out whole: its part stays, without `image_url` or `audio`, which every client's types allow. The model has it all the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import UNSET
from msgspec.structs import replace

from realtime.session.sound import Sound
from realtime.wire.codec import encode_json
from realtime.wire.items import InputAudio, InputImage, Item, Message, OutputAudio, Part
from realtime.wire.server import MAX_FRAME

ENVELOPE = 16 * 1024
"""Bytes of a frame around its item: the longest ids, each character escaped."""

TELLINGS = 2
"""How often a dialect writes the words of an item, at the most: classic tells speech as text and as a transcript."""


def shown(item: Item, sounds: Mapping[int, Sound] | None = None, *, pictures: bool = True) -> Item:
    """A copy that later changes don't reach, with `sounds` (by content index) and `pictures` where they are wanted."""
    if not isinstance(item, Message):
        return replace(item)
    content = [replace(part, image_url=UNSET) if isinstance(part, InputImage) else replace(part) for part in item.content]
    copy = replace(item, content=content)
    if not sounds and not (pictures and any(isinstance(part, InputImage) for part in item.content)):
        return copy
    room = MAX_FRAME - ENVELOPE - TELLINGS * len(encode_json(copy))
    for index, part in enumerate(item.content):
        whole, size = _whole(part, (sounds or {}).get(index))
        # What is too long unwritten need not be written to be measured.
        if size <= room and (written := len(encode_json(whole))) <= room:
            content[index] = whole
            room -= written
    return copy


def _whole(part: Part, sound: Sound | None) -> tuple[Part, int]:
    """The part with its picture or its sound, and how many bytes or characters that has."""
    match part:
        case InputImage(image_url=str() as url):
            return replace(part), len(url)
        case InputAudio() | OutputAudio() if sound is not None and not sound.released:
            return replace(part, audio=sound.audio), sound.held
        case _:
            return replace(part), 0
