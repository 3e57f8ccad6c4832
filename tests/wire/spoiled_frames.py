"""Frames gone wrong: whatever a broken client may send."""

from __future__ import annotations

import json
import random
from typing import Any

from tests.wire.client_frames import Event

EVIL = "x - at `$.evil`"
"""Ends like the place that msgspec appends to its errors."""


JUNK: tuple[Any, ...] = (
    *(None, True, -1, 1.5, 10**30, 1e308),
    *("", "x", EVIL, "\ud800", "\x00", "=", "é" * 600),
    *([], {}, [[]], {"type": "x"}, {"": ""}),
)


def spoil(value: Any, dice: random.Random) -> Any:
    """The value with one place in it, mostly a deep one, made into something else."""
    if isinstance(value, dict) and value and dice.random() < 0.95:
        key = dice.choice([key for key in value if key != "type"] or list(value))
        return {**value, dice.choice([key] * 8 + [EVIL, "type"]): spoil(value[key], dice)}
    if isinstance(value, list) and value and dice.random() < 0.95:
        at = dice.randrange(len(value))
        return [*value[:at], spoil(value[at], dice), *value[at + 1 :]]
    return dice.choice(JUNK)


def mangle(text: str, dice: random.Random) -> str:
    """The text with a few characters gone, doubled or changed."""
    for _ in range(dice.randint(1, 3)):
        at = dice.randint(0, len(text))
        text = text[:at] + dice.choice(["", text[at : at + 1] * 2, '"', "}", "\\", "\ud800", "9e999", "[" * 2000]) + text[at + 1 :]
    return text


def spoiled(event: Event, dice: random.Random) -> str:
    """A frame made of the event, wrong in one way or another."""
    frame = json.dumps(spoil(event, dice), ensure_ascii=dice.random() < 0.5)
    return mangle(frame, dice) if dice.random() < 0.3 else frame
