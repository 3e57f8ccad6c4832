"""What a model hears and what it reads."""

from __future__ import annotations

from itertools import pairwise

import pytest

from realtime.ports import Recording
from realtime.session.conversation import Entry
from realtime.session.hearing import MAX_MS, STEP_MS, recordings
from realtime.session.sound import Sound
from realtime.wire.items import InputAudio, InputText, Message, OutputAudio
from realtime.wire.settings import PcmaFormat, PcmFormat, PcmuFormat

MS = 8
"""Bytes of a millisecond in G.711."""


def said(id: str, *lengths_ms: int) -> Entry:
    """An item with spoken parts of these lengths."""
    parts = [Sound(PcmuFormat(), bytes(ms * MS)) for ms in lengths_ms]
    return Entry(Message("user", [InputAudio() for _ in parts], id), dict(enumerate(parts)))


def heard(*entries: Entry) -> list[str]:
    return [recording.item_id for recording in recordings(entries)]


def test_what_the_user_said_is_heard_in_its_own_format() -> None:
    message = Message("user", [InputText("Listen:"), InputAudio(), InputAudio("Known.")], "a")
    assert recordings([Entry(message, {1: Sound(PcmFormat(), b"one!"), 2: Sound(PcmaFormat(), b"two")})]) == (
        Recording("a", 1, b"one!", PcmFormat()),
        Recording("a", 2, b"two", PcmaFormat()),
    )


def test_nothing_is_copied() -> None:
    entry = said("a", 100)
    (recording,) = recordings([entry])
    assert recording.audio is entry.sounds[0].audio


def test_the_model_does_not_hear_itself_nor_what_has_no_sound() -> None:
    spoken = Entry(Message("assistant", [OutputAudio("Hi.")], "a"), {0: Sound(PcmuFormat(), b"hi")})
    typed = Entry(Message("user", [InputText("Hi."), InputAudio("Hello.")], "b"))
    assert heard(spoken, typed) == []


def test_silence_of_no_length_is_not_heard() -> None:
    assert heard(said("a", 0), said("b", 0, 1)) == ["b"]


@pytest.mark.parametrize(
    ("lengths", "first"),
    [
        ([MAX_MS], 0),
        ([STEP_MS, STEP_MS], 0),
        ([STEP_MS, STEP_MS, 1], 1),
        ([1, STEP_MS, STEP_MS], 2),
        ([STEP_MS, STEP_MS, STEP_MS], 1),
        ([STEP_MS, STEP_MS, STEP_MS, 1], 2),
        ([MAX_MS + 1], 0),
        ([1000, MAX_MS], 1),
        ([10 * MAX_MS, 1000], 1),
        ([1000, 10 * MAX_MS], 1),
    ],
)
def test_the_newest_is_heard_within_the_bound(lengths: list[int], first: int) -> None:
    entries = [said(f"item_{number}", length) for number, length in enumerate(lengths)]
    assert heard(*entries) == [entry.id for entry in entries[first:]]


def test_an_item_is_heard_whole_or_not_at_all() -> None:
    assert heard(said("a", STEP_MS, STEP_MS), said("b", 1000)) == ["b"]
    assert heard(said("a", 1000, 1000), said("b", 1000)) == ["a", "a", "b"]


def test_it_is_let_go_in_big_steps() -> None:
    """The first item heard is what a prompt's beginning depends on."""
    turns = [said(f"item_{number}", 4000) for number in range(60)]
    firsts = [heard(*turns[: count + 1])[0] for count in range(len(turns))]
    changes = sum(before != after for before, after in pairwise(firsts))
    assert changes == -(-(60 * 4000 - MAX_MS) // STEP_MS) == 6
    for count in range(1, len(turns) + 1):
        assert len(heard(*turns[:count])) * 4000 <= MAX_MS
