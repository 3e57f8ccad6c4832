from __future__ import annotations

import pytest

from realtime.session.seeing import frames, is_frame, is_watched, seen, without
from realtime.wire.items import FunctionCall, InputAudio, InputImage, InputText, Item, Message, OutputText, Part

PICTURE = InputImage("data:image/jpeg;base64,AA")
SAID = InputAudio("Hello.")


def user(id: str, *content: Part) -> Message:
    return Message("user", list(content), id)


def frame(id: str) -> Message:
    return user(id, PICTURE)


def shape(items: tuple[Item, ...]) -> str:
    """`a2 b` is an item `a` with two pictures, and an item `b` with none."""
    told = ((item.id, sum(isinstance(part, InputImage) for part in item.content)) for item in items if isinstance(item, Message))
    return " ".join(f"{id}{pictures or ''}" for id, pictures in told)


@pytest.mark.parametrize(
    ("item", "alone", "watched"),
    [
        (user("a", PICTURE), True, False),
        (user("a", PICTURE, PICTURE), False, False),
        (user("a", InputText("Look:"), PICTURE), False, False),
        (user("a", SAID, PICTURE, PICTURE), False, True),
        (user("a", PICTURE, SAID), False, False),
        (user("a", SAID), False, False),
        (user("a", SAID, PICTURE, InputText("That.")), False, False),
        (Message("assistant", [OutputText("Hi.")], "a"), False, False),
        (FunctionCall("f", "{}", "c", "a"), False, False),
    ],
)
def test_a_frame_is_a_picture_without_words_and_what_is_seen_while_somebody_speaks(item: Item, alone: bool, watched: bool) -> None:
    assert (is_frame(item), is_watched(item)) == (alone, watched)
    pictures = [index for index, part in enumerate(item.content) if isinstance(part, InputImage)] if isinstance(item, Message) else []
    assert frames((item,)) == ([("a", index) for index in pictures] if alone or watched else [])


def test_few_frames_are_all_seen() -> None:
    items = (frame("a"), user("b", SAID, PICTURE), FunctionCall("f", "{}", "c", "d"))
    assert seen(items, 2) == items


def test_the_oldest_frames_leave_and_what_was_said_stays() -> None:
    items = (user("a", SAID, PICTURE, PICTURE), frame("b"), user("c", InputText("My fox."), PICTURE), frame("d"), frame("e"))
    assert shape(seen(items, 4)) == "a b1 c1 d1 e1"


def test_frames_leave_in_steps_so_that_prompts_begin_alike() -> None:
    items = tuple(frame(name) for name in "abcdefghi")
    told = [shape(seen(items[:count], 4)) for count in range(4, 10)]
    assert told == [
        "a1 b1 c1 d1",
        "c1 d1 e1",
        "c1 d1 e1 f1",
        "e1 f1 g1",
        "e1 f1 g1 h1",
        "g1 h1 i1",
    ]


def test_of_one_frame_at_a_time_it_is_the_newest() -> None:
    assert shape(seen((frame("a"), frame("b"), frame("c")), 1)) == "c1"


def test_an_item_without_its_frames_is_another_object() -> None:
    item = user("a", SAID, PICTURE)
    (left,) = without((item,), {("a", 1)})
    assert isinstance(left, Message)
    assert (len(left.content), len(item.content)) == (1, 2)


def test_an_item_that_had_nothing_is_left_alone() -> None:
    empty = Message("assistant", [], "a")
    assert without((empty,), {("a", 0)}) == (empty,)
