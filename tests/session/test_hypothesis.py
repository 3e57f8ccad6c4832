from __future__ import annotations

import pytest

from realtime.session.hypothesis import Hypothesis


def told(*hearings: str) -> list[str]:
    """What is told after each of them; the last is the one that counts."""
    hypothesis = Hypothesis()
    return [*(hypothesis.push(text) for text in hearings[:-1]), hypothesis.finish(hearings[-1])]


def test_words_are_told_once_two_hearings_agree() -> None:
    hearings = ("I would", "I would like a cup", "I would like a copy of", "I would like a cup of tea.")
    assert told(*hearings) == ["", "I would", " like a", " cup of tea."]


def test_what_was_told_is_never_told_again() -> None:
    assert told("Hello there.", "Hello there.", "Hello there.", "Hello there.") == ["", "Hello there.", "", ""]


def test_one_hearing_is_told_whole() -> None:
    assert told("  Where is Paris?  In France.") == ["  Where is Paris?  In France."]


def test_stops_and_capitals_make_no_difference() -> None:
    assert told("i would.", 'I "would" like.', "I would like. Tea!") == ["", 'I "would"', " like. Tea!"]


def test_a_change_of_mind_about_what_was_told_tells_nothing() -> None:
    assert told("Their house", "Their house", "There, how", "There, how much is it?") == ["", "Their house", "", ""]


def test_after_a_change_of_mind_it_may_come_back() -> None:
    assert told("A b", "A b", "X y z", "A b c") == ["", "A b", "", " c"]


def test_where_nothing_is_heard_nothing_is_told() -> None:
    assert told("", "", "") == ["", "", ""]


def test_a_language_without_spaces_is_told_by_the_character() -> None:
    assert told("今日は", "今日は天気", "今日は天気がいい。") == ["", "今日は", "天気がいい。"]


@pytest.mark.parametrize("text", ["Hello.", "3,5 km? Ja: 3,5!", "日本語 and English, mixed", "a  b\nc", "... --"])
def test_no_character_is_lost(text: str) -> None:
    assert "".join(told(text, text, text)) == text
