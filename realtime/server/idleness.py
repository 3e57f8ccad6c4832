"""How long a client has sent nothing, and what is done about it: one timer, which is moved only when it rings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Idleness:
    """From `start` to `stop`, on the running loop."""

    def __init__(self, seconds: float, *, busy: Callable[[], bool], ended: Callable[[], None]) -> None:
        """`ended` is called once, after so many seconds without `heard` and without being `busy`; never for 0."""
        self._seconds = seconds
        self._busy = busy
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self.heard()
        if self._seconds:
            self._arm()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def heard(self) -> None:
        """The client sent something."""
        self._heard = self._loop.time()

    def _arm(self) -> None:
        self._timer = self._loop.call_at(self._heard + self._seconds, self._ring)

    def _ring(self) -> None:
        if self._busy():  # who is being answered need not say anything
            self.heard()
        if self._loop.time() < self._heard + self._seconds:
            self._arm()
        else:
            self._ended()
