from __future__ import annotations

import pytest

from realtime.server.quotas import Quota, parse
from realtime.values import MAX_COUNT


def test_what_is_not_named_is_as_the_settings_say() -> None:
    assert parse([]) == Quota()
    assert parse(["requests=60", "sessions=0"]) == Quota(requests=60, sessions=0)
    assert parse(["sessions=1", "new_sessions=2", "events=3", "audio=4", f"requests={MAX_COUNT}", "tokens=5", "responses=6"]) == Quota(
        sessions=1, new_sessions=2, events=3, audio=4, requests=MAX_COUNT, tokens=5, responses=6
    )


@pytest.mark.parametrize(
    "words",
    [["sessions"], ["sessions="], ["sessions=-1"], ["sessions=1.5"], ["sessions=²"], ["session=1"], ["=1"], [f"audio={MAX_COUNT + 1}"]],
)
def test_anything_else_is_a_mistake(words: list[str]) -> None:
    with pytest.raises(ValueError):
        parse(words)


def test_each_is_named_once() -> None:
    with pytest.raises(ValueError):
        parse(["events=1", "events=1"])
