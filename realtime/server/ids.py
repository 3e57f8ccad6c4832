"""Ids that no two sessions share."""

from __future__ import annotations

import secrets
import string
from itertools import count

_ALPHABET = string.ascii_letters + string.digits
LENGTH = 21
"""Characters after the kind, as upstream has (PROTOCOL 1.5)."""

FIRST = 100_000_000
"""Where the count begins, so that all ids are of one length for the first 900 million."""


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


class RandomIds:
    """The ids of one session: 71 random bits that are its own, then a count. Dice for every event would cost more than the event.

    The session's own id is all dice: who knows an item's id must not know the session's.
    """

    def __init__(self) -> None:
        self._own = _random(LENGTH - len(str(FIRST)))
        self._counts = count(FIRST)

    def new(self, kind: str) -> str:
        if kind == "sess":
            return f"sess_{_random(LENGTH)}"
        return f"{kind}_{self._own}{next(self._counts)}"
