from __future__ import annotations

import pytest

from realtime.engines.voices import HIBARI, OPENAI, renamed, speaker


def test_every_name_of_openai_has_a_place_in_hibaris_table() -> None:
    assert sorted(HIBARI) == sorted(OPENAI)


def test_no_pitch_is_one_that_was_not_listened_to() -> None:
    assert set(HIBARI.values()) == {0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15}


@pytest.mark.parametrize(
    ("table", "meant"),
    [({}, "alloy"), ({"ash": "am_adam"}, "alloy"), ({"alloy": "af_heart", "*": "am_adam"}, "af_heart"), ({"*": "am_adam"}, "am_adam")],
)
def test_the_operators_table_renames_and_everything_else_is_passed_on(table: dict[str, str], meant: str) -> None:
    assert renamed("alloy", table) == meant


SPEAKERS = {"p225": 3, "ash": 0}


@pytest.mark.parametrize(
    ("name", "speakers", "count", "id"),
    [
        ("p225", SPEAKERS, 5, 3),
        ("ash", SPEAKERS, 5, 0),
        ("alloy", {}, 5, 0),
        ("coral", {}, 5, 3),
        ("sage", {}, 5, None),
        ("nobody", {}, 5, None),
        ("ash", {}, 1, None),
    ],
)
def test_a_name_stands_for_the_speaker_of_that_name_else_openais_have_their_order(
    name: str, speakers: dict[str, int], count: int, id: int | None
) -> None:
    assert speaker(name, speakers, count) == id
