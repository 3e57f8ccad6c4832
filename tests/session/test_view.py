"""What a frame can carry of an item, and what is left out of it."""

from __future__ import annotations

import pytest
from msgspec import UNSET

from realtime.session.sound import Sound
from realtime.session.view import ENVELOPE, shown
from realtime.wire.codec import encode_json
from realtime.wire.items import FunctionCall, InputAudio, InputImage, InputText, Item, Message, OutputAudio, Part
from realtime.wire.server import MAX_FRAME
from realtime.wire.settings import PcmuFormat

ROOM = MAX_FRAME - ENVELOPE
HEAD = "data:image/png;base64,"


def picture(size: int) -> InputImage:
    return InputImage(HEAD + "A" * size)


def sound(size: int) -> Sound:
    return Sound(PcmuFormat(), bytes(size))


def parts(item: Item) -> list[Part]:
    assert isinstance(item, Message)
    return item.content


def test_what_is_shown_is_a_copy() -> None:
    call, message = FunctionCall("f", "{}", id="x"), Message("user", [InputText("a")], "x")
    for item in (call, message):
        assert shown(item) == item
        assert shown(item) is not item
    assert parts(shown(message))[0] is not message.content[0]


def test_a_picture_that_fits_is_shown() -> None:
    item = Message("user", [InputText("See:"), picture(1000)], "x")
    assert shown(item) == item


def test_sound_is_shown_where_it_is_wanted_and_kept_apart() -> None:
    item = Message("user", [InputText("a"), InputAudio("b")], "x")
    assert shown(item, {1: Sound(PcmuFormat(), b"sound")}) == Message("user", [InputText("a"), InputAudio("b", b"sound")], "x")
    assert shown(item) == item == Message("user", [InputText("a"), InputAudio("b")], "x")


def test_sound_that_was_released_is_not_shown_and_silence_is() -> None:
    released, silent = sound(1000), sound(0)
    released.release()
    item = Message("user", [InputAudio("a"), InputAudio("b")], "x")
    assert shown(item, {0: released, 1: silent}) == Message("user", [InputAudio("a"), InputAudio("b", b"")], "x")


def test_sound_of_what_is_not_speech_is_not_shown() -> None:
    item = Message("user", [InputText("a")], "x")
    assert shown(item, {0: sound(10)}) == item


@pytest.mark.parametrize("part", [InputAudio("Hello."), OutputAudio("Hello.")])
def test_a_long_sound_is_left_out_whole(part: InputAudio | OutputAudio) -> None:
    role = "user" if isinstance(part, InputAudio) else "assistant"
    item = Message(role, [part], "x")  # type: ignore[arg-type] # a role
    (seen,) = parts(shown(item, {0: sound(ROOM * 3 // 4 - 1000)}))
    assert isinstance(seen, InputAudio | OutputAudio)
    assert seen.audio is not UNSET
    assert shown(item, {0: sound(ROOM * 3 // 4)}) == item
    assert shown(item, {0: sound(ROOM + 1)}) == item


def test_a_large_picture_is_left_out_and_kept() -> None:
    item = Message("user", [InputText("See:"), picture(20_000_000)], "x")
    assert parts(shown(item)) == [InputText("See:"), InputImage()]
    assert item.content[1] == picture(20_000_000)


def test_a_picture_is_measured_as_it_is_written() -> None:
    assert parts(shown(Message("user", [InputImage(HEAD + "\x00" * (ROOM // 5))], "x"))) == [InputImage()]


def test_as_many_are_shown_as_fit_together() -> None:
    item = Message("user", [picture(3_000_000), picture(6_000_000), picture(3_000_000), picture(3_000_000)], "x")
    seen = shown(item)
    assert [part.image_url is UNSET for part in parts(seen) if isinstance(part, InputImage)] == [False, True, False, True]
    assert len(encode_json(seen)) < MAX_FRAME


def test_words_go_before_pictures() -> None:
    item = Message("user", [picture(7_000_000), *(InputText("\x01" * 100_000) for _ in range(5))], "x")
    assert parts(shown(item))[0] == InputImage()
