from __future__ import annotations

import pytest

from realtime.errors import ClientError
from realtime.session.conversation import Conversation, Entry, snapshot
from realtime.session.sound import Sound
from realtime.wire.items import (
    FunctionCall,
    InputAudio,
    InputText,
    Item,
    McpApprovalRequest,
    McpCall,
    McpListTools,
    Message,
    OutputAudio,
    Status,
    ToolExecutionError,
)
from realtime.wire.settings import PcmuFormat


def text(id: str) -> Entry:
    return Entry(Message("user", [InputText(id)], id))


def conversation(*ids: str) -> Conversation:
    conversation = Conversation("conv_1")
    for id in ids:
        conversation.insert(text(id))
    return conversation


def order(conversation: Conversation) -> list[str]:
    return [entry.id for entry in conversation]


def test_items_are_added_at_the_end() -> None:
    assert order(conversation("a", "b")) == ["a", "b"]


def test_it_tells_what_an_item_was_put_after() -> None:
    talk = Conversation("conv_1")
    assert talk.insert(text("a")) is None
    assert talk.insert(text("c")) == "a"
    assert talk.insert(text("b"), 1) == "a"
    assert talk.insert(text("z"), 0) is None
    assert order(talk) == ["z", "a", "b", "c"]


@pytest.mark.parametrize(("previous", "index"), [(None, 3), ("", 3), ("root", 0), ("a", 1), ("c", 3)])
def test_a_place_is_the_end_the_beginning_or_after_an_item(previous: str | None, index: int) -> None:
    assert conversation("a", "b", "c").place(previous) == index


def test_there_is_no_place_after_an_item_that_is_not_there() -> None:
    with pytest.raises(ClientError) as refused:
        conversation("a").place("b")
    assert (refused.value.code, refused.value.param) == ("item_create_invalid_previous_item_id", "previous_item_id")


def test_the_newest_is_the_last_in_order() -> None:
    assert conversation("a", "b").last_id == "b"
    assert Conversation("conv_1").last_id is None


def test_the_item_before_follows_the_order_as_it_is_now() -> None:
    talk = conversation("a", "b")
    assert (talk.previous_id("a"), talk.previous_id("b")) == (None, "a")
    talk.delete("a")
    assert talk.previous_id("b") is None


def test_a_deleted_item_is_gone() -> None:
    talk = conversation("a", "b")
    talk.delete("a")
    assert (order(talk), "a" in talk, talk.find("a")) == (["b"], False, None)


def test_an_item_that_is_finished_keeps_its_place() -> None:
    talk = conversation("a", "b")
    sound = Sound(PcmuFormat())
    talk.finish(Message("assistant", [OutputAudio("Hi.")], "a"), {0: sound})
    entry = talk.find("a")
    assert entry is not None
    assert entry.sounds == {0: sound}
    assert order(talk) == ["a", "b"]


def test_what_was_sent_does_not_change_with_the_item() -> None:
    item = Message("user", [InputAudio()], "a")
    sent = snapshot(item)
    assert isinstance(item.content[0], InputAudio)
    item.content[0].transcript = "Hello."
    item.content.append(InputText("more"))
    assert sent == Message("user", [InputAudio()], "a")


def test_what_was_sent_of_a_call_does_not_change_either() -> None:
    call = FunctionCall("f", "{}", id="a")
    sent = snapshot(call)
    call.arguments = "[]"
    assert sent == FunctionCall("f", "{}", id="a")


def test_the_items_as_they_are_now_are_copies() -> None:
    talk = conversation("a")
    talk.items()[0].id = "b"
    assert order(talk) == ["a"]


def test_what_is_still_being_written_has_not_been_said() -> None:
    ours = conversation("a", "b")
    entry = ours.find("b")
    assert entry is not None
    entry.item.status = "in_progress"
    assert [item.id for item in ours.items()] == ["a"]


def test_only_spoken_parts_are_found() -> None:
    entry = Entry(Message("user", [InputText("a"), InputAudio("b")], "x"))
    assert [entry.part(index) for index in range(3)] == [None, InputAudio("b"), None]
    assert Entry(FunctionCall("f", "{}", id="x")).part(0) is None


def spoken(id: str, size: int) -> Entry:
    return Entry(Message("user", [InputAudio("Hello.")], id), {0: Sound(PcmuFormat(), bytes(size))})


def released(talk: Conversation) -> list[str]:
    return [entry.id for entry in talk if any(sound.released for sound in entry.sounds.values())]


def talk(*sizes: int) -> Conversation:
    """Items a, b, c ... with so many bytes of sound."""
    talk = Conversation("conv_1")
    for id, size in zip("abcdef", sizes, strict=False):
        talk.insert(spoken(id, size))
    return talk


def test_sound_within_the_budget_is_kept() -> None:
    ours = talk(100, 100)
    ours.let_go(200, 0, ())
    assert (released(ours), ours.sounds.size) == ([], 200)


def test_the_oldest_sound_is_let_go_first() -> None:
    ours = talk(100, 100, 100, 100)
    ours.let_go(250, 0, ())
    assert (released(ours), ours.sounds.size) == (["a", "b"], 200)
    ours.let_go(250, 0, ())
    assert released(ours) == ["a", "b"]


def test_the_oldest_is_who_came_first_wherever_it_was_put() -> None:
    ours = talk(100, 100)
    ours.insert(spoken("first", 100), 0)
    ours.let_go(200, 0, ())
    assert released(ours) == ["a"]


def test_the_newest_item_keeps_its_sound() -> None:
    ours = talk(100, 1000)
    ours.let_go(0, 0, ())
    assert (released(ours), ours.sounds.size) == (["a"], 1000)
    ours.insert(text("later"))
    ours.let_go(0, 0, ())
    assert (released(ours), ours.sounds.size) == (["a", "b"], 0)


def test_who_needs_its_sound_keeps_it() -> None:
    ours = talk(100, 100, 100)
    ours.let_go(100, 0, {"a"})
    assert (released(ours), ours.sounds.size) == (["b"], 200)


def test_what_is_deleted_is_not_counted() -> None:
    ours = talk(100, 100)
    ours.delete("a")
    assert ours.sounds.size == 100


def test_an_item_that_is_finished_is_counted_once_it_has_its_sound() -> None:
    ours = conversation("a")
    ours.insert(Entry(Message("assistant", [], "b", "in_progress")))
    ours.finish(Message("assistant", [OutputAudio("Hi.")], "b"), {0: Sound(PcmuFormat(), bytes(100))})
    assert ours.sounds.size == 100


def test_what_is_truncated_counts_as_what_is_left() -> None:
    ours = talk(800)
    entry = ours.find("a")
    assert entry is not None
    entry.sounds[0].truncate(50)
    ours.weigh(entry)
    assert ours.sounds.size == 400


FAILED = ToolExecutionError("Nobody waited.")


@pytest.mark.parametrize(
    ("item", "status", "said"),
    [
        (McpListTools("s", [], "b"), "completed", False),
        (McpCall("s", "f", "{", id="b"), "incomplete", False),
        (McpCall("s", "f", "{}", error=FAILED, id="b"), "incomplete", True),
        (McpCall("s", "f", "{}", output="4", id="b"), "completed", True),
        (McpCall("s", "f", "{}", id="b"), "in_progress", False),
        (McpApprovalRequest("s", "f", "{}", "b"), "completed", True),
        (McpApprovalRequest("s", "f", "{}", "b"), "incomplete", False),
        (FunctionCall("f", "{", "call_1", "b"), "incomplete", False),
        (Message("assistant", [], "b"), "incomplete", True),
    ],
)
def test_a_call_that_was_cut_was_not_said_and_one_that_was_made_was(item: Item, status: Status, said: bool) -> None:
    ours = conversation("a")
    item.status = status
    ours.insert(Entry(item))
    assert [each.id for each in ours.items()] == (["a", "b"] if said else ["a"])


def ranks(conversation: Conversation) -> list[float]:
    return [entry.rank for entry in conversation]


def test_entries_stand_in_the_order_of_their_ranks() -> None:
    ours = conversation("a", "b")
    ours.insert(text("first"), 0)
    ours.insert(text("between"), 2)
    assert order(ours) == ["first", "a", "between", "b"]
    assert ranks(ours) == sorted(set(ranks(ours)))


def test_where_there_is_no_number_between_two_all_are_counted_anew() -> None:
    ours = conversation("a", "b")
    ours.changed.clear()
    for number in range(60):
        ours.insert(text(f"x{number}"), 1)
    assert ranks(ours) == sorted(set(ranks(ours)))
    assert {"a", "b"} <= ours.changed, "they have to be stored anew"


def test_what_has_changed_is_known_until_somebody_has_stored_it() -> None:
    ours = conversation("a", "b", "c")
    assert ours.changed == {"a", "b", "c"}
    ours.changed.clear()
    ours.delete("a")
    ours.note("b")
    ours.note("in no conversation")
    entry = ours.find("c")
    assert entry is not None
    ours.weigh(entry)
    assert ours.changed == {"a", "b", "c"}


def test_what_is_remembered_is_no_change_and_keeps_its_rank() -> None:
    ours = Conversation("conv_1")
    for id, rank in (("a", 0.5), ("b", 7.25)):
        entry = text(id)
        entry.rank = rank
        ours.remember(entry)
    assert (order(ours), ranks(ours), ours.changed) == (["a", "b"], [0.5, 7.25], set())
    ours.insert(text("c"))
    assert ranks(ours)[-1] > 7.25
