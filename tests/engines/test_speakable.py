from __future__ import annotations

import pytest

from realtime.engines.speakable import MAX_DIGITS, pieces, speakable


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Hello, world.", "Hello, world."),
        ("**bold**, *soft*, ***both*** and `code`", "bold, soft, both and code"),
        ("un**believ**able", "unbelievable"),
        ("a mark cut **in half", "a mark cut in half"),
        ("_under_ __two__ snake_case", "under two snake_case"),
        ("~~gone~~ but ~5 stays", "gone but ~5 stays"),
        ("# Title\n## Second", "Title\nSecond"),
        ("> quoted\n>> twice", "quoted\ntwice"),
        ("- one\n* two\n+ three\n• four\n1. five", "one\ntwo\nthree\nfour\n1. five"),
        ("> - nested", "nested"),
        ("above\n---\nbelow\n* * *", "above\n\nbelow"),
        ("```python\nprint(1)\n```", "print(1)"),
        ("see [the page](http://a.b/c_d 'title')", "see the page"),
        ("![a cat](cat.png)", "a cat"),
        ("[x](/həlˈO/) sneaks no sounds in", "x sneaks no sounds in"),
        ("| a | b |", "a b"),
        ("2 * 3 and 4×5", "2 times 3 and 4 times 5"),
        ("Issue #5 costs 5% at 20°C", "Issue #5 costs 5% at 20°C"),
        ("x^2 - 1", "x^2 - 1"),
        ("Hi 😀👩\u200d👧🏽 there 🇬🇧", "Hi there"),
        ("a\u200bb \x00c\x1b", "ab c"),
        ("naïve café", "naïve café"),
        ("e\u0301", "e\u0301"),
        ("你好", "你好"),
        ("  spaces \t and\n\nlines ", "spaces and\n\nlines"),
    ],
)
def test_marks_are_for_the_eye_and_words_for_the_ear(written: str, said: str) -> None:
    assert speakable(written) == said


@pytest.mark.parametrize("text", ["", "   ", "...", "?!", "---", "😀🎉", "(", "—", "**", "```", "\x00"])
def test_text_without_a_letter_or_a_digit_is_nothing(text: str) -> None:
    assert speakable(text) == ""


def test_a_number_of_the_longest_kind_is_left_whole() -> None:
    assert speakable("9" * MAX_DIGITS) == "9" * MAX_DIGITS
    assert speakable("1,234,567.89") == "1,234,567.89"


def test_a_longer_number_is_read_digit_by_digit() -> None:
    assert speakable(f"it is {'9' * (MAX_DIGITS + 1)}, yes") == f"it is {'9 ' * (MAX_DIGITS + 1)}yes"
    assert speakable(",".join(["123"] * 7)) == " ".join("123" * 7)


def test_short_text_is_one_piece() -> None:
    assert list(pieces(" One. Two. ", 20)) == ["One. Two."]


def test_no_text_is_no_piece() -> None:
    assert list(pieces("  ", 20)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One two three. Four five six.", ["One two three.", "Four five six."]),
        ("One two three, four five six", ["One two three,", "four five six"]),
        ("One two three four five six", ["One two three four", "five six"]),
        ("A. one two three four five", ["A. one two three", "four five"]),
        ("x" * 45, ["x" * 20, "x" * 20, "x" * 5]),
        ("exactly twenty chars next", ["exactly twenty chars", "next"]),
    ],
)
def test_a_cut_falls_on_the_best_break_within_reach(text: str, expected: list[str]) -> None:
    assert list(pieces(text, 20)) == expected


def test_no_piece_passes_the_limit_and_no_word_is_lost() -> None:
    text = " ".join(f"word{n}{'.,;! '[n % 5]}" for n in range(300))
    cut = list(pieces(text, 64))
    assert max(map(len, cut)) <= 64
    assert " ".join(cut).split() == text.split()
