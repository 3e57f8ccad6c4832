"""The signals that a daemon obeys, as its loop hears of them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_signal(again: Callable[[], object] | None = None) -> Iterator[asyncio.Event]:
    """Set by the first SIGTERM or SIGINT; a second one does not wait for anybody: it calls `again`, or else ends the task that is in here.
    After, one ends the process at once: a loop that is being closed could not take it any more."""
    stop, loop, task = asyncio.Event(), asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    second = again or task.cancel

    def ring() -> None:
        if stop.is_set():
            second()
        stop.set()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, ring)
    try:
        yield stop
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def on_hangup(reload: Callable[[], None]) -> Iterator[None]:
    """SIGHUP: what daemons take for "read your files again"."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
