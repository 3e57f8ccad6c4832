"""What a client does to items; the transcripts show how it looks from outside."""

from __future__ import annotations

from realtime.session.abilities import Abilities
from realtime.session.conversation import Conversation, Entry
from realtime.session.editing import Editor
from realtime.session.effects import Effects, Send
from realtime.session.ids import CountedIds
from realtime.session.responses import Responses
from realtime.session.transcripts import Transcripts
from realtime.wire.items import InputText, Message


class Desk:
    def __init__(self) -> None:
        ids = CountedIds()
        self._effects = Effects(ids)
        self.conversation = Conversation("conv_1")
        responses = Responses(self.conversation, Transcripts(self.conversation, self._effects), self._effects, ids, Abilities())
        self.editor = Editor(self.conversation, responses, self._effects, ids, Abilities())

    def told(self) -> list[tuple[str, str | None, str]]:
        """Type, id of the item before and id of the item of every event."""
        events = [effect.event for effect in self._effects.take() if isinstance(effect, Send)]
        return [(type(event).__name__, event.previous_item_id, str(event.item.id)) for event in events]  # type: ignore[attr-defined]


def test_everything_that_is_there_is_told_in_order_and_what_is_still_being_written_is_not_done() -> None:
    desk = Desk()
    desk.conversation.insert(Entry(Message("user", [InputText("Hello.")], "a")))
    desk.conversation.insert(Entry(Message("assistant", [], "b", "in_progress")))
    desk.editor.tell_all()
    assert desk.told() == [
        ("ConversationItemAdded", None, "a"),
        ("ConversationItemDone", None, "a"),
        ("ConversationItemAdded", "a", "b"),
    ]


def test_an_item_is_told_with_the_one_before_it() -> None:
    desk = Desk()
    desk.editor.add(Entry(Message("user", [InputText("Two.")], "b")))
    desk.editor.add(Entry(Message("user", [InputText("One.")], "a")), 0)
    assert [event[1:] for event in desk.told()] == [(None, "b")] * 2 + [(None, "a")] * 2
