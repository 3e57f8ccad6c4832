"""What the service manager is told: when the daemon is ready, that its loop still turns, when it ends (sd_notify(3)).

Owns the socket to the manager and the rhythm of the watchdog. The signs of life are sent from the loop and from nowhere else, so that a
loop that is stuck is noticed. Nothing here can fail the daemon: a manager that does not listen is logged.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Self

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.1
"""Until a message that the manager has no room for is sent again: it reads none while it reloads its units."""

MICROSECONDS = 1_000_000
"""In a second: the unit of the manager's times."""


class Notifier:
    """`with Notifier(...) as manager:` it is told of life inside. Without an address all of it does nothing. For use from the loop."""

    def __init__(self, address: str | None, watchdog_seconds: float | None, alive: Callable[[], bool] = lambda: True) -> None:
        """`address` as in $NOTIFY_SOCKET; `watchdog_seconds` is how long the manager waits for a sign of life, None for ever. None is given
        while nobody is `alive`."""
        self._alive = alive
        self._address = address and (f"\0{address[1:]}" if address.startswith("@") else address)
        self._interval = watchdog_seconds and watchdog_seconds / 2  # as sd_watchdog_enabled(3) recommends
        self._socket: socket.socket | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        """What is to be sent later, each message once."""

    def __enter__(self) -> Self:
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)  # the loop waits for nobody
            if self._interval:
                self._live(self._interval)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for timer in self._timers.values():
            timer.cancel()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ready(self, status: str) -> None:
        """Clients are served from now on. `status` is the line that `systemctl status` shows."""
        self._tell(f"READY=1\nSTATUS={status}")

    def stopping(self, status: str, seconds: float) -> None:
        """The end has begun, and may take so long."""
        self._tell(f"STOPPING=1\nSTATUS={status}\nEXTEND_TIMEOUT_USEC={round(seconds * MICROSECONDS)}")

    def _live(self, interval: float) -> None:
        if self._alive():
            self._tell("WATCHDOG=1")
        self._timers["live"] = asyncio.get_running_loop().call_later(interval, self._live, interval)

    def _tell(self, message: str) -> None:
        if self._socket is None or self._address is None:
            return
        try:
            self._socket.sendto(message.encode(), self._address)
        except BlockingIOError:
            self._timers[message] = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._tell, message)
        except OSError as error:
            log.warning("The service manager can't be told %s: %s", message.partition("\n")[0], error.strerror or error)
