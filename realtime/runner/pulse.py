"""Whether the event loop keeps time: a timer that measures how late it is.

Whatever holds the loop holds every session, so a long hold is a warning in the log, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from statistics import median

from realtime.logs import facts

log = logging.getLogger(__name__)

BEAT_SECONDS = 0.05
"""Between two looks. A hold is measured from the beat in it, so it may be longer by so much than it seems; a beat costs some 10 us."""

HELD_SECONDS = 0.1
"""Late by more is a warning: three windows of the detector, and as long as a listener needs to notice."""

RECENT = 40
"""Beats that tell how the loop is now: two seconds of it, more where it is late. One hold among them tells nothing."""


class Pulse:
    """Beats from `start` to `stop`."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        """`observe` is given the seconds that each beat was late."""
        self._observe = observe
        self._timer: asyncio.TimerHandle | None = None
        self._recent: deque[float] = deque(maxlen=RECENT)

    @property
    def lag(self) -> float:
        """Seconds that half of the recent beats were late, or more; 0 before there are enough to tell."""
        return median(self._recent) if len(self._recent) == RECENT else 0.0

    def start(self) -> None:
        """On the running loop."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(loop.time() + BEAT_SECONDS, self._beat, loop.time() + BEAT_SECONDS, loop)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self, due: float, loop: asyncio.AbstractEventLoop) -> None:
        late = max(0.0, loop.time() - due)
        self._observe(late)
        self._recent.append(late)
        if late > HELD_SECONDS:
            log.warning("The event loop was held", extra=facts(seconds=round(late, 3)))
        self.start()
