"""Where ids come from: injected, so that the core has no dice of its own."""

from __future__ import annotations

from typing import Protocol


class Ids(Protocol):
    """A source of ids, unique within the session at least."""

    def new(self, kind: str) -> str:
        """An id such as `item_...`; `kind` is `event`, `item`, `call`, `resp`, `conv` or `sess`."""
        ...


class CountedIds:
    """`item_1`, `item_2`, `resp_1`, ...: what a reader of a transcript can follow."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def new(self, kind: str) -> str:
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        return f"{kind}_{count}"
