"""The session: whatever a client says in any dialect, and whatever the engines answer whenever they do, the referee finds nothing wrong.

The walk (tests/rigs/walk.py) throws dice; here a fuzzer throws them, and looks for throws that reach new code. Beside what the walk's
client says come events of every shape that the schema knows.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.wire.client import ClientEvent
from tests.fuzz.corpus import kept
from tests.fuzz.dice import BytesDice
from tests.fuzz.shapes import frames
from tests.rigs.walk import Life

MAX_STEPS = 500
"""Of one session: the longest that is still worth the time."""


def check(data: bytes) -> None:
    dice = BytesDice(data)
    live(Life(dice, Counter()), dice)


def live(life: Life, dice: BytesDice) -> None:
    for _ in range(MAX_STEPS):
        if dice.empty or life.over:
            break
        life.step()


@pytest.mark.parametrize("path", kept("session"), ids=lambda path: path.name)
def test_what_is_kept_breaks_no_rule(path: Path) -> None:
    check(path.read_bytes())


@given(st.binary(min_size=200, max_size=2_000))
def test_any_dice(data: bytes) -> None:
    check(data)


@given(st.lists(frames(ClientEvent), min_size=1, max_size=12), st.binary(min_size=20, max_size=400))
def test_events_of_any_shape_between_what_happens(said: list[bytes], data: bytes) -> None:
    dice = BytesDice(data)
    life = Life(dice, Counter())
    for frame in said:
        live_a_little(life, dice)
        life._give(frame.decode(errors="replace"))
    live(life, dice)


def live_a_little(life: Life, dice: BytesDice) -> None:
    for _ in range(dice.randrange(4)):
        if not life.over:
            life.step()
