"""What somebody may have: the numbers in a line of the file of keys, `sessions=5 requests=60`."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from realtime.values import MAX_COUNT


class Quota(Struct, frozen=True, kw_only=True):
    """Of a key, for all of its sessions together. None: as the settings say. 0: no limit."""

    sessions: int | None = None
    """At once."""
    new_sessions: int | None = None
    """A minute, and so are those that follow."""
    events: int | None = None
    audio: int | None = None
    """Seconds."""
    requests: int | None = None
    """To the model."""
    tokens: int | None = None
    """That it reads and writes."""
    responses: int | None = None
    """At once."""


NAMES = Quota.__struct_fields__


def parse(words: Iterable[str]) -> Quota:
    """Each `name=number`, once. Raises `ValueError`."""
    numbers: dict[str, int] = {}
    for word in words:
        name, _, number = word.partition("=")
        if name not in NAMES or name in numbers or not (number.isascii() and number.isdigit()) or int(number) > MAX_COUNT:
            raise ValueError
        numbers[name] = int(number)
    return Quota(**numbers)
