"""The inputs that reach a session, kept, with a way to wait for one."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from realtime.session.inputs import Happening

T = TypeVar("T")


class Posted:
    """Call it as the `post` of a performer."""

    def __init__(self) -> None:
        self.inputs: list[Happening] = []
        self._changed = asyncio.Event()

    def __call__(self, input: Happening) -> None:
        self.inputs.append(input)
        self._changed.set()

    async def wait_for(self, kind: type[T]) -> T:
        """The first input of that kind."""
        while not (found := [input for input in self.inputs if isinstance(input, kind)]):
            self._changed.clear()
            await self._changed.wait()
        return found[0]

    def of(self, kind: type[T]) -> list[T]:
        return [input for input in self.inputs if isinstance(input, kind)]
