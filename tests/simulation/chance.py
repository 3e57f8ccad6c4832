"""Where code takes chance and clocks from, bent for one seed: the one place that patches anything.

Sets of tasks and of connections are walked in the order of their hashes, which are addresses elsewhere; strings have theirs from
PYTHONHASHSEED, which `__main__` fixes.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from random import Random
from typing import Any
from unittest.mock import patch

import aiohappyeyeballs
from aiohttp import connector

from realtime.runner import pulse
from realtime.server import health, listener, sessions
from realtime.server.connection import Connection
from realtime.server.pages import Pages
from tests.simulation.loop import SimulatedLoop
from tests.simulation.network import Address

EPOCH = 1_700_000_000.0
"""What the calendar says when a seed begins."""

PAGES = Pages()
"""Read once: they never change."""

BEAT_SECONDS = 1.0
"""Of the loop's pulse: at its own of 50 ms a seed would do nothing else."""


class Calendar:
    """The clock on the wall, which somebody may set."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self.set_back = 0.0
        """Seconds."""

    def now(self) -> float:
        return EPOCH + self._loop.time() - self.set_back


@contextmanager
def bent(dice: Random, loop: SimulatedLoop, calendar: Calendar, session: Any) -> Iterator[None]:
    """`session`: the class of sessions inside."""
    numbers = count()

    def numbered(self: Any) -> int:
        if not hasattr(self, "simulated"):
            self.simulated = next(numbers)
        return int(self.simulated)

    async def start_connection(addr_infos: Any, **_: Any) -> Address:
        host, port = addr_infos[0][4][:2]
        return Address(f"{host}:{port}")

    state = random.getstate()
    random.seed(dice.random())
    with ExitStack() as bends:
        for owner, name, bend in (
            (secrets, "choice", dice.choice),
            (secrets, "token_bytes", lambda size=32: dice.randbytes(size)),
            (time, "time", calendar.now),
            (connector, "monotonic", loop.time),
            (aiohappyeyeballs, "start_connection", start_connection),
            (Connection, "__hash__", numbered),
            (sessions, "Session", session),
            (listener, "Pages", lambda: PAGES),
            (health, "version", lambda _: "0"),  # a look through all that is installed
            (pulse, "BEAT_SECONDS", BEAT_SECONDS),
        ):
            bends.enter_context(patch.object(owner, name, bend))
        try:
            yield
        finally:
            random.setstate(state)
