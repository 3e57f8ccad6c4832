from __future__ import annotations

import pytest

from realtime.session.sound import Sound
from realtime.wire.settings import PcmFormat, PcmuFormat


def spoken(*clauses: tuple[str, int]) -> Sound:
    """Each clause with how many milliseconds it sounds; G.711, so 8 bytes are a millisecond."""
    sound = Sound(PcmuFormat())
    for number, (text, ms) in enumerate(clauses):
        sound.speak(text)
        for _ in range(2):
            sound.add(bytes([number]) * ms * 4)
    return sound


def test_its_pieces_make_one_sound() -> None:
    assert spoken(("a", 1), ("b", 2)).audio == b"\0" * 8 + b"\1" * 16


def test_its_length_is_by_the_format() -> None:
    assert Sound(PcmFormat(), bytes(4800)).ms == 100
    assert Sound(PcmuFormat(), bytes(800)).ms == 100
    assert Sound(PcmFormat()).ms == 0


def test_a_begun_millisecond_counts_so_that_its_end_may_be_named() -> None:
    sound = Sound(PcmFormat())
    sound.speak("One two.")
    sound.add(bytes(4802))
    assert sound.ms == 101
    assert sound.truncate(101) == "One two."
    assert len(sound.audio) == 4802


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (1000, "One two three four. Five six."),
        (999, "One two three four. Five"),
        (700, "One two three four. Five"),
        (699, "One two three four."),
        (400, "One two three four."),
        (399, "One two three"),
        (300, "One two three"),
        (299, "One two"),
        (99, ""),
        (0, ""),
    ],
)
def test_truncating_keeps_the_words_that_were_heard(ms: int, words: str) -> None:
    sound = spoken(("One two three four.", 400), (" Five six.", 600))
    assert sound.truncate(ms) == words
    assert sound.ms == ms


def test_truncating_keeps_the_sound_up_to_there() -> None:
    sound = spoken(("One.", 100), ("Two.", 100))
    sound.truncate(150)
    assert sound.audio == b"\0" * 800 + b"\1" * 400


def test_it_can_be_truncated_again() -> None:
    sound = spoken(("One two three four.", 400), (" Five six.", 600))
    sound.truncate(700)
    assert sound.truncate(200) == "One two"
    assert (sound.ms, len(sound.audio)) == (200, 1600)


def test_truncating_in_two_steps_keeps_the_words_of_one() -> None:
    sound = spoken(("One two three four.", 400))
    sound.truncate(399)
    assert sound.truncate(350) == spoken(("One two three four.", 400)).truncate(350) == "One two three"


def test_truncating_at_the_same_place_again_changes_nothing() -> None:
    sound = spoken(("One two three four.", 400))
    assert sound.truncate(200) == sound.truncate(200) == "One two"


def test_a_clause_without_sound_before_the_cut_was_heard() -> None:
    sound = Sound(PcmuFormat())
    sound.speak("(silent)")
    sound.speak(" One two.")
    sound.add(bytes(800))
    sound.speak(" (later)")
    assert sound.truncate(100) == "(silent) One two."


def test_truncating_what_has_no_sound_leaves_no_words() -> None:
    sound = Sound(PcmuFormat())
    sound.speak("Unheard.")
    assert sound.truncate(0) == ""


def written(*pieces: str | int) -> Sound:
    """What a model writes and how many milliseconds it speaks, as they come."""
    sound = Sound(PcmuFormat())
    for piece in pieces:
        if isinstance(piece, str):
            sound.write(piece)
        else:
            sound.add(bytes(piece * 8))
    return sound


@pytest.mark.parametrize(
    ("pieces", "ms", "words"),
    [
        pytest.param(["One two", " three", " four.", 200, 200], 399, "One two three", id="text well before its sound"),
        pytest.param(["One", 100, " two", 100, " three", 100], 200, "One two", id="side by side"),
        pytest.param(["One", 100, " two", 100, " three"], 200, "One two", id="what is written has not sounded"),
        pytest.param(["Hel", 100, "lo there.", 200], 100, "", id="half a word"),
        pytest.param(["Well, hel", 100, "lo there.", 200], 100, "Well,", id="half a word after another"),
        pytest.param(["Well, I don", 100, "'t.", 100], 100, "Well, I", id="half a word at its apostrophe"),
        pytest.param(["Hello", 100, ". Yes", 100], 100, "Hello", id="a whole word before its stop"),
        pytest.param(["你好", 100, "世界", 100], 100, "你好", id="a script without spaces"),
        pytest.param(["你好世界", 100], 75, "你好世", id="a script without spaces, in proportion"),
        pytest.param(["One\n\n", 100, "\ttwo  three", 100], 200, "One\n\n\ttwo  three", id="white space as it was written"),
        pytest.param(["One\n\n", 100, "\ttwo  three", 100], 199, "One\n\n\ttwo", id="white space as it was written, cut"),
        pytest.param(["One ", 100, "two", 100], 100, "One", id="none after the last word"),
        pytest.param([" One", 100], 100, " One", id="white space at the beginning"),
        pytest.param([100, "One", 100], 100, "", id="sound before any word"),
    ],
)
def test_what_is_written_is_said_by_the_sound_that_follows(pieces: list[str | int], ms: int, words: str) -> None:
    assert written(*pieces).truncate(ms) == words


def test_words_that_no_sound_followed_were_in_the_sound_before() -> None:
    sound = written(400, "One two", " three four.")
    sound.settle()
    assert sound.truncate(399) == "One two three"
    sound = written("One", 100, " two", 100, " three four")
    sound.settle()
    assert (sound.truncate(200), sound.truncate(199), sound.truncate(100)) == ("One two three four", "One two three", "One")


@pytest.mark.parametrize(("pieces", "words"), [([], ""), (["One"], ""), (["One", 100], "One")])
def test_where_nothing_was_left_over_nothing_changes(pieces: list[str | int], words: str) -> None:
    sound = written(*pieces)
    sound.settle()
    assert sound.truncate(sound.ms) == words


def test_what_is_released_keeps_its_length_and_its_words() -> None:
    sound = spoken(("One two three four.", 400), (" Five six.", 600))
    assert (sound.held, sound.released) == (8000, False)
    sound.release()
    assert (sound.held, sound.released) == (0, True)
    assert (sound.audio, sound.ms) == (b"", 1000)
    assert sound.truncate(700) == "One two three four. Five"
    assert (sound.audio, sound.ms) == (b"", 700)
    assert sound.truncate(200) == "One two"


def test_a_sound_that_was_kept_is_the_same() -> None:
    sound = Sound(PcmFormat(16_000))
    sound.speak("One, ")
    sound.add(bytes(3200))
    sound.speak("two.")
    sound.add(bytes(3200))
    kept = sound.keep()
    assert (kept.format, kept.rate) == (PcmFormat(), 16_000), "no other rate can be written"
    again = Sound.of(kept)
    assert (again.audio, again.ms, again.format, again.released) == (bytes(6400), 200, PcmFormat(16_000), False)
    assert again.truncate(150) == sound.truncate(150) == "One,"


def test_a_sound_that_was_let_go_is_kept_as_such() -> None:
    sound = Sound(PcmuFormat(), bytes(800))
    sound.release()
    again = Sound.of(sound.keep())
    assert (again.audio, again.ms, again.held, again.released, again.format) == (b"", 100, 0, True, PcmuFormat())
