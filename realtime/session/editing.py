"""What a client does to items: it creates, retrieves, truncates and deletes them. What is said in a new item is others' business."""

from __future__ import annotations

from realtime.errors import ClientError
from realtime.session.abilities import Abilities
from realtime.session.admission import admit
from realtime.session.conversation import Conversation, Entry
from realtime.session.effects import Effects
from realtime.session.ids import Ids
from realtime.session.responses import Responses
from realtime.session.view import shown
from realtime.wire import client, server
from realtime.wire.items import FunctionCallOutput, McpApprovalResponse, OutputAudio
from realtime.wire.settings import AnySettings


class Editor:
    """Of one conversation. Its methods raise `ClientError` for what can't be done, and then nothing has changed."""

    def __init__(self, conversation: Conversation, responses: Responses, effects: Effects, ids: Ids, abilities: Abilities) -> None:
        self._conversation = conversation
        self._responses = responses
        self._effects = effects
        self._ids = ids
        self._abilities = abilities

    def create(self, event: client.ConversationItemCreate, settings: AnySettings, *, taken: str | None) -> Entry:
        """`taken`: an id that was announced for the turn that is being spoken."""
        index = self._conversation.place(event.previous_item_id)
        entry = admit(event.item, "item", format=settings.audio.input.format, abilities=self._abilities, ids=self._ids)
        if entry.id in self._conversation or entry.id == taken:
            raise ClientError(
                "item_create_duplicate_item_id", f"Error adding item: an item with id '{entry.id}' already exists.", param="item.id"
            )
        if isinstance(entry.item, FunctionCallOutput) and not self._conversation.calls(entry.item.call_id):
            message = f"Error adding item: no tool has been called with the call_id '{entry.item.call_id}'."
            raise ClientError("invalid_value", message, param="item.call_id")
        if isinstance(entry.item, McpApprovalResponse):
            self._responses.approvals.check(entry.item, "item")
        self.add(entry, index, event.event_id)
        if isinstance(entry.item, McpApprovalResponse):
            self._responses.approvals.answer(entry.item)
        return entry

    def add(self, entry: Entry, index: int | None = None, answers: str | None = None, *, pictures: bool = True) -> None:
        """Put an item into the conversation, by default at its end, and say so, with its `pictures` or without."""
        self._tell(entry, self._conversation.insert(entry, index), answers, pictures=pictures)

    def tell_all(self) -> None:
        """Say what is there to somebody who may not know it (PROTOCOL 5.1). Clients know items by their ids."""
        previous = None
        for entry in self._conversation:
            self._tell(entry, previous, whole=entry.item.status != "in_progress")
            previous = entry.id

    def _tell(self, entry: Entry, previous: str | None, answers: str | None = None, *, pictures: bool = True, whole: bool = True) -> None:
        for event in (server.ConversationItemAdded, server.ConversationItemDone) if whole else (server.ConversationItemAdded,):
            self._effects.send(event(previous_item_id=previous, item=shown(entry.item, pictures=pictures)), answers)

    def retrieve(self, event: client.ConversationItemRetrieve) -> None:
        entry = self._find(event.item_id, "retrieve")
        self._effects.send(server.ConversationItemRetrieved(item=shown(entry.item, entry.sounds)), event.event_id)

    def delete(self, event: client.ConversationItemDelete) -> None:
        entry = self._find(event.item_id, "delete")
        self._responses.release(entry.id)
        self._conversation.delete(entry.id)
        self._effects.send(server.ConversationItemDeleted(item_id=entry.id), event.event_id)

    def truncate(self, event: client.ConversationItemTruncate) -> None:
        self._responses.stop_writing(event.item_id)
        entry = self._conversation.find(event.item_id)
        if entry is None:
            raise ClientError("item_truncate_invalid_item_id", f"Item with item_id not found: {event.item_id}", param="item_id")
        part = entry.part(event.content_index)
        sound = entry.sounds.get(event.content_index)
        if not isinstance(part, OutputAudio) or sound is None:
            raise ClientError("unsupported_content_type", "Only model output audio messages can be truncated", param="content_index")
        if event.audio_end_ms > sound.ms:
            message = f"Audio content of {sound.ms}ms is already shorter than {event.audio_end_ms}ms"
            raise ClientError("invalid_value", message, param="audio_end_ms")
        part.transcript = sound.truncate(event.audio_end_ms)
        self._conversation.weigh(entry)
        truncated = server.ConversationItemTruncated(item_id=entry.id, content_index=event.content_index, audio_end_ms=event.audio_end_ms)
        self._effects.send(truncated, event.event_id)

    def _find(self, item_id: str, action: str) -> Entry:
        entry = self._conversation.find(item_id)
        if entry is None:
            verb = {"delete": "deleting", "retrieve": "retrieving"}[action]
            message = f"Error {verb} item: the item with id '{item_id}' does not exist."
            raise ClientError(f"item_{action}_invalid_item_id", message, param="item_id")
        return entry
