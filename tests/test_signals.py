from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from realtime.signals import STOP_SIGNALS, on_hangup, stop_signal


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Whoever interrupts the tests wants their report."""
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    yield
    for number, handler in zip(STOP_SIGNALS, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOP_SIGNALS)
async def test_the_first_is_told_and_a_second_ends_the_task(number: signal.Signals) -> None:
    async def serve() -> None:
        with stop_signal() as stop:
            os.kill(os.getpid(), number)
            await stop.wait()
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.ensure_future(serve())


async def test_a_second_does_what_it_is_given_to_do() -> None:
    again = asyncio.Event()
    with stop_signal(again.set) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        assert not again.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        await again.wait()


async def test_after_it_a_signal_ends_the_process_at_once() -> None:
    with stop_signal():
        pass
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == [signal.SIG_DFL] * 2


async def test_a_hangup_reads_again_as_often_as_it_comes_and_then_no_more() -> None:
    heard: asyncio.Queue[None] = asyncio.Queue()
    with on_hangup(lambda: heard.put_nowait(None)):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            await heard.get()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
