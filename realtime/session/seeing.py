"""What a model is shown of a camera: its newest frames.

Frames come by themselves, one after the other, beside what is said: in spoken items (`camera`), or as items that are one picture and
nothing else, which is how agent frameworks send video. They are bounded as sound is (`hearing`): what is older than the bound is let go in
big steps, so that a prompt seldom changes its beginning. A picture that comes with words is part of what somebody says, and stays.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from realtime.wire.items import InputAudio, InputImage, Item, Message

Place = tuple[str, int]
"""Item id and content index."""


def is_frame(item: Item) -> bool:
    """Is it one picture and nothing else? Nobody asks anything with it."""
    return isinstance(item, Message) and item.role == "user" and len(item.content) == 1 and isinstance(item.content[0], InputImage)


def frames(items: tuple[Item, ...]) -> list[Place]:
    """Where they are, oldest first."""
    found: list[Place] = []
    for item in items:
        if not isinstance(item, Message):
            continue
        # Asked in this order, for most items of a long conversation show nothing.
        pictures = [index for index, part in enumerate(item.content) if isinstance(part, InputImage)]
        if pictures and (is_frame(item) or is_watched(item)):
            found += [(str(item.id), index) for index in pictures]
    return found


def is_watched(item: Item) -> bool:
    """Is it speech, and after it what was seen meanwhile?"""
    kinds = [type(part) for part in item.content] if isinstance(item, Message) else []
    return kinds[:1] == [InputAudio] and set(kinds[1:]) == {InputImage}


def seen(items: tuple[Item, ...], most: int) -> tuple[Item, ...]:
    """The items with the newest frames alone, `most` at the most."""
    places = frames(items)
    excess = max(0, len(places) - most)
    step = max(1, most // 2)
    return without(items, set(places[: -(-excess // step) * step]))


def without(items: tuple[Item, ...], places: Collection[Place]) -> tuple[Item, ...]:
    """The items without these frames; of an item that was one, nothing is left."""
    if not places:
        return items
    rest = (_without(item, places) for item in items)
    return tuple(item for item in rest if item is not None)


def _without(item: Item, places: Collection[Place]) -> Item | None:
    if not isinstance(item, Message):
        return item
    content = [part for index, part in enumerate(item.content) if (str(item.id), index) not in places]
    if len(content) == len(item.content):
        return item
    return replace(item, content=content) if content else None
