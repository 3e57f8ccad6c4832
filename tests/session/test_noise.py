from __future__ import annotations

from random import Random

import pytest

from realtime.session.noise import (
    CONFIDENCE_WEIGHT,
    CONFIDENT,
    DOUBTFUL,
    INVENTED,
    LIKELY_SILENCE,
    LOW_CONFIDENCE,
    MAX_COPIES,
    MAX_PHRASE,
    MAX_SINGLES,
    NEXT_TO_NOTHING_MS,
    NEXT_TO_NOTHING_PART,
    PHRASE_MS,
    PLAIN_MS,
    RAISED,
    SOME_DOUBT,
    understood,
)

SENTENCE = "What is the capital of France?"


def believed(
    text: str, *, no_speech: float | None = 0.03, confidence: float | None = -0.2, speech_ms: int | None = 1200, audio_ms: int = 2000
) -> str:
    """With the signals of clear speech, unless others are given."""
    return understood(text, no_speech=no_speech, confidence=confidence, speech_ms=speech_ms, audio_ms=audio_ms)


SEEN_WORDS = [
    # (text, no_speech, confidence, speech_ms, audio_ms) of human recordings: tiny.en, base
    ("Thank you.", 0.080, -0.19, 576, 1759),
    ("Pound!", 0.128, -0.42, 0, 1548),
    ("X", 0.354, -0.52, 32, 1448),
    ("N", 0.199, -1.34, 288, 1417),
    ("15.", 0.510, -0.27, 704, 1948),
    ("SISTY", 0.443, -1.15, 608, 2024),
    ("Oh!", 0.118, -0.64, 480, 1382),
    ("Follow the time here.", 0.334, -1.10, 1376, 1520),
    ("Press star to cancel.", 0.458, -0.32, 1440, 1859),
]
SEEN_INVENTIONS = [
    # the same of noises: breath, a cough, 50 to 100 ms of a voice
    (".", 0.451, -1.40, 0, 3000),
    ("I", 0.599, -2.27, 0, 1470),
    ("That's it.", 0.653, -0.73, 32, 900),
    ("Bye.", 0.668, -0.70, 0, 900),
    ("Okay.", 0.778, -0.89, 0, 870),
    ("Thank you.", 0.823, -0.72, 0, 830),
    ("Bye.", 0.517, -0.48, 0, 850),
    ("I...", 0.497, -0.81, 0, 900),
    ("Yeah.", 0.592, -1.19, 64, 900),
]


@pytest.mark.parametrize(("text", "no_speech", "confidence", "speech_ms", "audio_ms"), SEEN_WORDS)
@pytest.mark.parametrize("detector", [True, False])
def test_words_that_people_said_are_kept(
    text: str, no_speech: float, confidence: float, speech_ms: int, audio_ms: int, detector: bool
) -> None:
    heard = speech_ms if detector else None
    assert understood(text, no_speech=no_speech, confidence=confidence, speech_ms=heard, audio_ms=audio_ms) == text


@pytest.mark.parametrize(("text", "no_speech", "confidence", "speech_ms", "audio_ms"), SEEN_INVENTIONS)
def test_what_noises_gave_is_dropped(text: str, no_speech: float, confidence: float, speech_ms: int, audio_ms: int) -> None:
    assert understood(text, no_speech=no_speech, confidence=confidence, speech_ms=speech_ms, audio_ms=audio_ms) == ""


def test_without_any_signal_words_are_words() -> None:
    for text in (SENTENCE, "Thank you.", "Bye."):
        assert understood(text, no_speech=None, confidence=None, speech_ms=None, audio_ms=2000) == text


@pytest.mark.parametrize("text", ["", " ", ".", "...", "♪♪", "- ", "[MUSIC]", "(applause)", "[ Silence ] (coughs).", "[BLANK_AUDIO]"])
def test_what_holds_no_words_is_nothing(text: str) -> None:
    assert believed(text) == ""


@pytest.mark.parametrize("text", ["(Well, yes.) I think so.", "Press [star] now."])
def test_brackets_around_a_part_are_left(text: str) -> None:
    assert believed(text) == text


# The engine's own doubt


def test_whispers_own_corner_is_on_the_line() -> None:
    assert pytest.approx(LIKELY_SILENCE - LOW_CONFIDENCE * CONFIDENCE_WEIGHT) == DOUBTFUL
    for speech_ms in (None, PLAIN_MS - 1):
        assert believed(SENTENCE, no_speech=LIKELY_SILENCE + 0.01, confidence=LOW_CONFIDENCE, speech_ms=speech_ms) == ""
        assert believed(SENTENCE, no_speech=LIKELY_SILENCE - 0.01, confidence=LOW_CONFIDENCE, speech_ms=speech_ms) == SENTENCE


def test_more_doubt_of_one_kind_needs_less_of_the_other() -> None:
    assert believed(SENTENCE, no_speech=LIKELY_SILENCE - 0.1, confidence=LOW_CONFIDENCE - 0.5, speech_ms=None) == ""
    assert believed(SENTENCE, no_speech=LIKELY_SILENCE + 0.12, confidence=LOW_CONFIDENCE + 0.49, speech_ms=None) == SENTENCE


def test_speech_that_the_detector_heard_plainly_is_dropped_in_whispers_own_corner_alone() -> None:
    assert believed(SENTENCE, no_speech=LIKELY_SILENCE, confidence=-3.0, speech_ms=PLAIN_MS) == SENTENCE
    assert believed(SENTENCE, no_speech=0.99, confidence=LOW_CONFIDENCE, speech_ms=PLAIN_MS) == SENTENCE
    assert believed(SENTENCE, no_speech=LIKELY_SILENCE + 0.01, confidence=LOW_CONFIDENCE - 0.01, speech_ms=PLAIN_MS) == ""


def test_clear_words_are_believed_whatever_the_silence() -> None:
    assert believed(SENTENCE, no_speech=0.99, confidence=CONFIDENT, speech_ms=None) == SENTENCE
    assert believed(SENTENCE, no_speech=0.99, confidence=CONFIDENT - 0.01, speech_ms=None) == ""
    assert believed(SENTENCE, no_speech=0.99, confidence=None, speech_ms=None) == SENTENCE


# The detector


def test_words_over_next_to_no_speech_need_a_low_no_speech_probability() -> None:
    assert believed(SENTENCE, no_speech=SOME_DOUBT + 0.01, speech_ms=NEXT_TO_NOTHING_MS) == ""
    assert believed(SENTENCE, no_speech=SOME_DOUBT, speech_ms=NEXT_TO_NOTHING_MS) == SENTENCE
    assert believed(SENTENCE, no_speech=SOME_DOUBT + 0.01, speech_ms=NEXT_TO_NOTHING_MS + 1) == SENTENCE
    assert believed(SENTENCE, no_speech=None, speech_ms=0) == SENTENCE


def test_next_to_no_speech_grows_with_the_audio() -> None:
    part = int(20_000 * NEXT_TO_NOTHING_PART)
    assert believed(SENTENCE, no_speech=0.5, speech_ms=part, audio_ms=20_000) == ""
    assert believed(SENTENCE, no_speech=0.5, speech_ms=part + 1, audio_ms=20_000) == SENTENCE


# What is often invented

STOCK = [
    "Thank you.",
    "you",
    "Thanks for watching!",
    "Please subscribe.",
    "Subtitles by the Amara.org community",
    "Bye.",
    "ご視聴ありがとうございました",
]


@pytest.mark.parametrize("text", [*STOCK, "Thank you for watching! Please subscribe.", "Thank you. Bye-bye.", "I’ll see you next time."])
def test_a_stock_phrase_needs_speech_that_is_long_enough_for_it(text: str) -> None:
    assert believed(text, speech_ms=PHRASE_MS) == ""
    assert believed(text, speech_ms=PHRASE_MS + 1) == text


@pytest.mark.parametrize("text", STOCK)
def test_a_stock_phrase_needs_a_low_no_speech_probability_where_little_was_heard(text: str) -> None:
    assert believed(text, no_speech=RAISED + 0.01, speech_ms=None) == ""
    assert believed(text, no_speech=RAISED, speech_ms=None) == text
    assert believed(text, no_speech=RAISED + 0.01, speech_ms=PLAIN_MS - 1) == ""
    assert believed(text, no_speech=RAISED + 0.01, speech_ms=PLAIN_MS) == text


@pytest.mark.parametrize("text", ["Thank you for the music.", "Thank you. What time is it?", "Subscribe me to it."])
def test_a_sentence_that_holds_a_stock_phrase_is_no_such_phrase(text: str) -> None:
    assert believed(text, speech_ms=PHRASE_MS) == text


def test_stock_phrases_are_written_as_they_are_compared() -> None:
    assert all(believed(phrase, speech_ms=0) == "" for phrase in INVENTED)


# Loops


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("no " * 30, "no"),
        ("No, no, no, no, no, no.", "no."),
        ("I said so. " + "Thank you. " * 4, "I said so. Thank you."),
        ("and we go " * 5 + "and we", "and we go"),
        ("and we go " * 5 + "home now", "and we go home now"),
        ("Wait, " + "stop " * 8 + "right there.", "Wait, stop right there."),
        ("ha" * 40, "ha"),
        ("我们去吧" * 5, "我们去吧"),
        ("- " * 8 + "yes", "- yes"),
    ],
)
def test_a_loop_is_cut_to_one_copy(text: str, rest: str) -> None:
    assert believed(text) == rest


@pytest.mark.parametrize(
    "text",
    [
        " ".join(["no"] * MAX_SINGLES),
        " ".join(["very good"] * MAX_COPIES),
        "My number is 5 5 5 5 5 5 5 5 1 2.",
        "zero zero zero zero zero zero zero",
        "It is two two, two two, two two, two two.",
        "5555555555",
        "Well,  two  spaces.",
        " ".join(["a b c d e f g h i j k l m"] * (MAX_COPIES + 1)),
    ],
)
def test_what_people_do_repeat_is_left(text: str) -> None:
    assert believed(text) == text
    assert len(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"]) > MAX_PHRASE


@pytest.mark.parametrize("signals", [{"no_speech": RAISED + 0.01}, {"speech_ms": NEXT_TO_NOTHING_MS}])
def test_a_loop_with_bad_signals_is_nothing(signals: dict[str, float]) -> None:
    assert believed("so long " * 9, **signals) == ""  # type: ignore[arg-type]  # some of its keywords
    assert believed("so long", **signals) == "so long"  # type: ignore[arg-type]  # likewise


def test_anything_is_answered_with_a_part_of_itself() -> None:
    dice = Random(4)
    for _ in range(2000):
        text = "".join(dice.choice("a b, no. no no 5 [x] (y) 谢 ♪\n…!") for _ in range(dice.randrange(40)))
        words = understood(
            text,
            no_speech=dice.choice([None, dice.random()]),
            confidence=dice.choice([None, -3 * dice.random()]),
            speech_ms=dice.choice([None, dice.randrange(3000)]),
            audio_ms=dice.randrange(1, 5000),
        )
        assert len(words) <= len(text)
