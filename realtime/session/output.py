"""The output items of one response: they are announced, written and finished, each exactly once.

Owns their order, and that the conversation and the response hear of the same item. Refuses to know what is in one.
"""

from __future__ import annotations

from realtime.session.conversation import Conversation, Entry, snapshot
from realtime.session.effects import Effects
from realtime.session.sound import Sound
from realtime.wire import server
from realtime.wire.items import Item


class Output:
    """Output indexes are given out in the order in which items are opened."""

    def __init__(self, response_id: str, conversation: Conversation | None, effects: Effects) -> None:
        """`conversation` is None for a response out of band: it stores nothing."""
        self._response_id = response_id
        self._conversation = conversation
        self._effects = effects
        self._open: dict[int, str] = {}
        """Ids of the items that are being written, by output index."""
        self._finished: dict[int, Item] = {}

    def __bool__(self) -> bool:
        """Was anything opened?"""
        return bool(self._open or self._finished)

    @property
    def items(self) -> list[Item]:
        """What is finished, in order."""
        return [self._finished[index] for index in sorted(self._finished)]

    @property
    def unfinished(self) -> list[int]:
        """The output indexes of what is still being written, in order."""
        return list(self._open)

    def writes(self, item_id: str) -> bool:
        return item_id in self._open.values()

    def open(self, item: Item) -> int:
        """An item begins (PROTOCOL 5.2). Returns its output index."""
        index = len(self._open) + len(self._finished)
        self._open[index] = str(item.id)
        self._effects.send(server.ResponseOutputItemAdded(response_id=self._response_id, output_index=index, item=item))
        if self._conversation is not None:
            previous = self._conversation.insert(Entry(snapshot(item)))
            self._effects.send(server.ConversationItemAdded(previous_item_id=previous, item=item))
        return index

    def amend(self, item: Item) -> None:
        """More is known of an item that is still open: whoever retrieves it sees it."""
        if self._conversation is not None:
            self._conversation.finish(item, {})

    def finish(self, index: int, item: Item, sounds: dict[int, Sound] | None = None) -> None:
        """An item is as it stays; `sounds` belong to it, by content index."""
        del self._open[index]
        self._finished[index] = item
        if self._conversation is not None:
            previous = self._conversation.finish(item, sounds or {})
            self._effects.send(server.ConversationItemDone(previous_item_id=previous, item=item))
        self._effects.send(server.ResponseOutputItemDone(response_id=self._response_id, output_index=index, item=item))
