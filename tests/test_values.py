from __future__ import annotations

import pytest

from realtime.values import number, one_of, seconds, text, whole


def test_a_name_is_known_whatever_its_case() -> None:
    kind = one_of("auto", "local")
    assert (kind.parse("LOCAL"), kind.metavar, kind.allowed) == ("local", "auto|local", "one of auto, local")


@pytest.mark.parametrize("value", ["0", "-1", "10.5", "nan", "inf", "two", ""])
def test_a_number_is_above_nothing_and_below_its_bound(value: str) -> None:
    kind = number(10)
    assert kind.parse("0.5") == 0.5
    with pytest.raises(ValueError):
        kind.parse(value)


@pytest.mark.parametrize("value", ["0", "4", "2.5"])
def test_a_whole_number_is_within_its_bounds(value: str) -> None:
    kind = whole(1, 3, " of Hz")
    assert (kind.parse("3"), kind.allowed) == (3, "a whole number of Hz from 1 to 3")
    with pytest.raises(ValueError):
        kind.parse(value)


def test_no_time_at_all_is_allowed_where_it_means_something() -> None:
    assert seconds(zero=True).parse("0") == 0
    with pytest.raises(ValueError):
        seconds().parse("0")


@pytest.mark.parametrize("value", ["", "  ", "two\nlines"])
def test_text_is_one_line_of_something(value: str) -> None:
    kind = text("HOST", "a host")
    assert kind.parse("localhost") == "localhost"
    with pytest.raises(ValueError):
        kind.parse(value)
