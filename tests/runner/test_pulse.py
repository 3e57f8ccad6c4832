from __future__ import annotations

import asyncio
import logging

import pytest

from realtime.runner import pulse
from realtime.runner.pulse import Pulse


class Kept:
    """What a pulse has observed, and a way to wait for the next."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self._came = asyncio.Event()

    def __call__(self, seconds: float) -> None:
        self.late.append(seconds)
        self._came.set()

    async def next(self) -> float:
        self._came.clear()
        await self._came.wait()
        return self.late[-1]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "BEAT_SECONDS", 0.001)


async def test_it_beats_until_it_is_stopped() -> None:
    kept = Kept()
    beating = Pulse(kept)
    beating.start()
    assert await kept.next() >= 0
    assert await kept.next() >= 0
    beating.stop()
    beating.stop()
    seen = len(kept.late)
    await asyncio.sleep(0)
    assert len(kept.late) == seen


async def test_a_loop_that_is_held_is_a_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    loop, kept = asyncio.get_running_loop(), Kept()
    beating = Pulse(kept)
    beating.start()
    await kept.next()
    assert "held" not in caplog.text or kept.late[-1] > pulse.HELD_SECONDS
    caplog.clear()
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: time() + 0.5)  # as if somebody had held it for so long
    assert await kept.next() >= 0.4
    beating.stop()
    warning, *_ = [record for record in caplog.records if record.message == "The event loop was held"]
    assert (warning.levelno, vars(warning)["facts"]["seconds"] >= 0.4) == (logging.WARNING, True)


async def test_how_late_it_is_now_is_told_by_half_of_the_recent_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "RECENT", 4)
    loop, kept = asyncio.get_running_loop(), Kept()
    beating, time, late = Pulse(kept), loop.time, 0.0
    assert beating.lag == 0
    for beat, seconds in enumerate((0, 100, 0, 0, 100, 100, 100), 1):
        beating._beat(time() - seconds, loop)
        beating.stop()
        late = beating.lag
        assert (late >= 100) is (beat == 7), beat  # one hold tells nothing, nor do too few beats
