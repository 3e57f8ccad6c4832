from __future__ import annotations

from random import Random

import pytest

from realtime.session.clauses import FIRST_CLAUSE, LATER_CLAUSE, MAX_CLAUSE, MAX_FIRST_CLAUSE, ClauseCutter


def pieces(*deltas: str) -> list[str]:
    """The clauses with their white space."""
    cutter = ClauseCutter()
    return [clause for delta in deltas for clause in cutter.push(delta)] + cutter.flush()


def cut(*deltas: str) -> list[str]:
    return [clause.strip() for clause in pieces(*deltas)]


def whole(text: str) -> list[str]:
    """The clauses that are known to be whole before the text has ended."""
    return [clause.strip() for clause in ClauseCutter().push(text)]


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("One. Two! Three? Four…", ["One.", "Two!", "Three?", "Four…"]),
        ("Wait... what?! Yes.", ["Wait...", "what?!", "Yes."]),
        ("First line\nsecond line\n\nthird", ["First line", "second line", "third"]),
        ("It is 3.14 today, or 1,000 at 10:30 on example.com.", ["It is 3.14 today,", "or 1,000 at 10:30 on example.com."]),
        ("你好。今天怎么样？很好！", ["你好。", "今天怎么样？", "很好！"]),
        ("これは長い文章の始まりです、そして続きます。", ["これは長い文章の始まりです、", "そして続きます。"]),
        ("", []),
        (" \n ", []),
    ],
)
def test_text_that_comes_letter_by_letter_is_cut_where_a_speaker_pauses(text: str, clauses: list[str]) -> None:
    assert cut(*text) == clauses


def test_a_sentence_that_comes_at_once_is_not_cut_at_its_comma() -> None:
    assert whole("It is raining again, so we stay. ") == ["It is raining again, so we stay."]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ('She said "Go." Then she went.', 'She said "Go."'),
        ("(It rained.) We left.", "(It rained.)"),
        ("He said \u201cNo!\u201d and left.", "He said \u201cNo!\u201d"),
        ("他说「走吧。」然后走了", "他说「走吧。」"),
        ("[Done.]' Next", "[Done.]'"),
    ],
)
def test_closing_quotes_and_brackets_stay_with_their_sentence(text: str, first: str) -> None:
    assert whole(text)[0] == first


@pytest.mark.parametrize("name", ["Mr.", "Mrs.", "Ms.", "Dr.", "Prof.", "St.", "vs.", "e.g.", "i.e.", "No.", "approx.", "J."])
def test_an_abbreviation_ends_no_sentence(name: str) -> None:
    assert cut(f"Ask {name} Smith. Now.") == [f"Ask {name} Smith.", "Now."]


def test_a_word_that_ends_like_an_abbreviation_is_none() -> None:
    assert whole("I like fist. Good") == ["I like fist."]


def test_a_stop_is_an_end_only_once_white_space_follows() -> None:
    cutter = ClauseCutter()
    assert cutter.push("It costs 3.") == []
    assert cutter.push("14 euros.") == []
    assert cutter.push(" Really") == ["It costs 3.14 euros."]
    assert cutter.flush() == [" Really"]


def test_a_wide_stop_needs_nothing_after_it() -> None:
    assert whole("你好。") == ["你好。"]


def test_the_first_clause_may_end_at_an_early_comma() -> None:
    text = "x" * FIRST_CLAUSE + ", and so on"
    assert whole(text) == ["x" * FIRST_CLAUSE + ","]


def test_a_comma_before_that_is_no_end() -> None:
    assert whole("x" * (FIRST_CLAUSE - 1) + ", and so on") == []


def test_a_later_clause_ends_at_a_later_comma() -> None:
    cutter = ClauseCutter()
    cutter.push("Well now. ")
    assert cutter.push("x" * (LATER_CLAUSE - 2) + ", y") == []
    cutter.flush()
    assert cutter.push("x" * LATER_CLAUSE + ", y") == ["x" * LATER_CLAUSE + ","]


@pytest.mark.parametrize("pause", [",", ";", ":", " —", " –"])
def test_there_are_many_pauses(pause: str) -> None:
    assert whole(f"Something quite long{pause} and more") == [f"Something quite long{pause}"]


def test_a_very_long_clause_is_cut_at_its_last_space() -> None:
    clauses = cut("word " * 200)
    assert " ".join(clauses) == ("word " * 200).strip()
    assert MAX_FIRST_CLAUSE - len("word ") <= len(clauses[0]) <= MAX_FIRST_CLAUSE, "somebody waits for the first"
    assert max(map(len, clauses)) <= MAX_CLAUSE
    assert min(map(len, clauses[1:-1])) >= MAX_CLAUSE - len("word ") - 1


@pytest.mark.parametrize("end", [". ", ", ", "。", "，"])
def test_a_page_that_comes_at_once_is_cut_even_if_it_ends_well(end: str) -> None:
    assert max(map(len, cut("word " * 100 + "end" + end))) <= MAX_CLAUSE


def test_a_very_long_word_is_cut_anywhere() -> None:
    assert [len(clause) for clause in cut("x" * (MAX_FIRST_CLAUSE + MAX_CLAUSE + 7))] == [MAX_FIRST_CLAUSE, MAX_CLAUSE, 7]


def test_a_clause_of_the_greatest_length_is_left_whole() -> None:
    assert whole("x" * MAX_FIRST_CLAUSE) == []
    assert whole("x" * (MAX_FIRST_CLAUSE + 1)) == ["x" * MAX_FIRST_CLAUSE]
    assert whole("Well. " + "x" * (MAX_CLAUSE - 1)) == ["Well."]
    assert whole("Well. " + "x" * (MAX_CLAUSE + 1)) == ["Well.", "x" * (MAX_CLAUSE - 1)]


def test_a_desert_of_white_space_is_no_clause() -> None:
    assert cut(" " * 1000, "Oasis.") == ["Oasis."]


def test_after_the_end_there_is_nothing_left() -> None:
    cutter = ClauseCutter()
    cutter.push("Half a")
    assert cutter.flush() == ["Half a"]
    assert cutter.flush() == []


def test_white_space_stays_as_it_was_written() -> None:
    assert pieces("\n One.  Two.\n", "\n \t", "Three, and more. \n") == ["\n One.", "  Two.", "\n\n \tThree, and more."]


def test_together_the_clauses_are_the_text() -> None:
    dice = Random(7)
    letters = [*"ab .,!?…\n\"')。、「」3", "Dr.", "word "]
    for _ in range(200):
        deltas = ["".join(dice.choices(letters, k=dice.randrange(1, 30))) for _ in range(dice.randrange(1, 25))]
        assert "".join(pieces(*deltas)).rstrip() == "".join(deltas).rstrip()
        assert max(map(len, cut(*deltas)), default=0) <= MAX_CLAUSE
