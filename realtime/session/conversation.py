"""The ordered list of items, with the sound that belongs to them, and how much of sounds and pictures is kept."""

from __future__ import annotations

from collections.abc import Container, Iterator

from msgspec import UNSET, Struct, field
from msgspec.structs import replace

from realtime.errors import ClientError
from realtime.session.sound import Sound
from realtime.wire.items import FunctionCall, InputAudio, InputImage, Item, McpApprovalRequest, McpCall, McpListTools, Message, OutputAudio

ROOT = "root"
"""`previous_item_id` that means the beginning."""


class Entry(Struct):
    """An item of the conversation."""

    item: Item
    sounds: dict[int, Sound] = field(default_factory=dict)
    """By content index."""
    rank: float = 0.0
    """Entries stand in the order of their ranks, so that each can be stored by itself."""

    @property
    def id(self) -> str:
        assert self.item.id is not UNSET
        return self.item.id

    def part(self, content_index: int) -> InputAudio | OutputAudio | None:
        """The spoken part at that index, if there is one."""
        content = self.item.content if isinstance(self.item, Message) else []
        part = content[content_index] if content_index < len(content) else None
        return part if isinstance(part, InputAudio | OutputAudio) else None

    @property
    def pictures(self) -> list[InputImage]:
        return [part for part in self.item.content if isinstance(part, InputImage)] if isinstance(self.item, Message) else []


def snapshot(item: Item) -> Item:
    """A copy that later changes of the item don't reach: what is sent is what was true then."""
    return replace(item, content=[replace(part) for part in item.content]) if isinstance(item, Message) else replace(item)


def _is_said(item: Item) -> bool:
    """A call that was cut in its arguments is not; one whose tool was called and not waited for is: it may have done something."""
    match item:
        case McpListTools():
            return False
        case FunctionCall() | McpApprovalRequest() | McpCall(error=None):
            return item.status == "completed"
        case _:
            return item.status != "in_progress"


class Store:
    """How many bytes of one kind each item holds, those that came first before others."""

    def __init__(self) -> None:
        self._items: dict[str, int] = {}
        self.size = 0
        """Of all of them."""

    def put(self, item_id: str, size: int) -> None:
        """The item holds so much now."""
        self.size += size - self._items.pop(item_id, 0)
        if size:
            self._items[item_id] = size

    def excess(self, most: int) -> Iterator[str]:
        """The ids of items, oldest first, for as long as more than `most` is held."""
        for item_id in list(self._items):
            if self.size <= most:
                break
            yield item_id


class Conversation:
    """Items in order, found by id."""

    def __init__(self, id: str) -> None:
        self.id = id
        self._entries: dict[str, Entry] = {}
        self._order: list[str] = []
        self.sounds = Store()
        self.pictures = Store()
        self.changed: set[str] = set()
        """Ids of the items that have come, changed or gone since somebody emptied this (`journal`)."""

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return (self._entries[id] for id in self._order)

    @property
    def last_id(self) -> str | None:
        """Of the newest item; None when there is none."""
        return self._order[-1] if self._order else None

    def find(self, item_id: str) -> Entry | None:
        return self._entries.get(item_id)

    def items(self) -> tuple[Item, ...]:
        """What has been said, oldest first: what is still being written is not part of it, nor is a call that was cut."""
        return tuple(snapshot(entry.item) for entry in self if _is_said(entry.item))

    def place(self, previous_item_id: str | None) -> int:
        """The index after `previous_item_id`. Raises `ClientError` for one that is not here."""
        if not previous_item_id:
            return len(self._order)
        if previous_item_id == ROOT:
            return 0
        if previous_item_id not in self._entries:
            raise ClientError(
                "item_create_invalid_previous_item_id",
                f"Error adding item: the previous item with id '{previous_item_id}' does not exist.",
                param="previous_item_id",
            )
        return self._order.index(previous_item_id) + 1

    def insert(self, entry: Entry, index: int | None = None) -> str | None:
        """Add an entry, by default at the end; returns the id of the item before it."""
        index = len(self._order) if index is None else index
        self._entries[entry.id] = entry
        self._order.insert(index, entry.id)
        self._rank(entry, index)
        self.weigh(entry)
        return self._order[index - 1] if index else None

    def remember(self, entry: Entry) -> None:
        """Add an entry at the end that was stored, rank and all."""
        self._entries[entry.id] = entry
        self._order.append(entry.id)
        self.weigh(entry)
        self.changed.clear()

    def _rank(self, entry: Entry, index: int) -> None:
        """Between its neighbours. Where there is no number left between them, all are counted anew."""
        before = self._entries[self._order[index - 1]].rank if index else 0.0
        after = self._entries[self._order[index + 1]].rank if index + 1 < len(self._order) else before + 2
        entry.rank = (before + after) / 2
        if not before < entry.rank < after:
            for rank, each in enumerate(self, 1):
                each.rank = float(rank)
            self.changed.update(self._order)

    def finish(self, item: Item, sounds: dict[int, Sound]) -> str | None:
        """An item that was being written is whole; returns the id of the one before it."""
        entry = Entry(snapshot(item), sounds)
        entry.rank = self._entries[entry.id].rank
        self._entries[entry.id] = entry
        self.weigh(entry)
        return self.previous_id(entry.id)

    def calls(self, call_id: str) -> bool:
        """Has the model called a tool under that id?"""
        return any(isinstance(entry.item, FunctionCall) and entry.item.call_id == call_id for entry in self)

    def previous_id(self, item_id: str) -> str | None:
        """The id of the item before that one."""
        index = self._order.index(item_id)
        return self._order[index - 1] if index else None

    def delete(self, item_id: str) -> None:
        del self._entries[item_id]
        self._order.remove(item_id)
        self.changed.add(item_id)
        self.sounds.put(item_id, 0)
        self.pictures.put(item_id, 0)

    def note(self, item_id: str) -> None:
        """The words of a spoken part are known; its item may be gone, or be no part of the conversation."""
        if item_id in self._entries:
            self.changed.add(item_id)

    # Sounds and pictures are large, and a conversation is long

    def weigh(self, entry: Entry) -> None:
        """Count the sounds and the pictures of an entry, which came or changed."""
        self.changed.add(entry.id)
        self.sounds.put(entry.id, sum(sound.held for sound in entry.sounds.values()))
        self.pictures.put(entry.id, sum(len(picture.image_url or "") for picture in entry.pictures))

    def let_go(self, sounds: int, pictures: int, needed: Container[str]) -> None:
        """Release the oldest until no more than so many bytes of each are held. The newest item keeps its own, and so does who needs its
        sounds."""
        for item_id in self.sounds.excess(sounds):
            if item_id != self.last_id and item_id not in needed:
                entry = self._entries[item_id]
                for sound in entry.sounds.values():
                    sound.release()
                self.weigh(entry)
        for item_id in self.pictures.excess(pictures):
            if item_id != self.last_id:
                entry = self._entries[item_id]
                for picture in entry.pictures:
                    picture.image_url = UNSET
                self.weigh(entry)
