"""One session that lives in this process; what clients see of it is in test_sessions."""

from __future__ import annotations

import asyncio

import pytest

from realtime.errors import StoreError, Superseded
from realtime.metrics import Metrics
from realtime.runner.loop import Runner
from realtime.runner.meter import Meter
from realtime.runner.outbox import Outbox
from realtime.server.live import NOT_STORED, TRY_AGAIN_LATER, Live
from realtime.session import inputs
from realtime.session.abilities import Abilities
from realtime.session.ids import CountedIds
from realtime.session.intake import Intake
from realtime.session.machine import Session
from realtime.wire.codec import GaCodec
from realtime.wire.settings import Settings
from tests.rigs.engines import scripted_engines
from tests.rigs.socket import KeptSocket


class Guest:
    """Implements `live.Client`."""

    def __init__(self) -> None:
        self.superseded = 0

    def supersede(self) -> None:
        self.superseded += 1


@pytest.fixture
async def live() -> Live:
    settings, metrics = Settings(id="sess_1", model="m", expires_at=0), Metrics()
    session, outbox = Session(settings, CountedIds()), Outbox(KeptSocket(), keeps=True)
    meter = Meter(metrics, "ga", clock=asyncio.get_running_loop().time, when_written=outbox.when_written)
    live = Live("sess_1", None, "ga", GaCodec(), outbox, meter)
    with scripted_engines() as engines:
        live.runner = Runner(session, Intake(CountedIds(), Abilities()), engines, GaCodec(), outbox, meter)
    live.begin(inputs.Opened())
    return live


async def test_it_goes_on_until_it_ends_and_ends_once(live: Live) -> None:
    assert live.goes_on
    ends = [asyncio.create_task(live.end("client", 1000)) for _ in range(2)]
    await asyncio.gather(*ends)
    assert not live.goes_on


async def test_it_waits_for_its_client_and_not_for_ever(live: Live) -> None:
    over = asyncio.Event()
    live.wait(0.0, over.set)
    assert live.waits
    await over.wait()


async def test_who_comes_back_in_time_keeps_it(live: Live) -> None:
    live.wait(60.0, lambda: None)
    await live.take_back(KeptSocket(), lambda: None, 9, None)
    assert not live.waits
    assert live.goes_on


async def test_an_end_needs_no_wait_any_more(live: Live) -> None:
    live.wait(60.0, lambda: None)
    await live.end("lost", None)
    assert not live.waits


async def test_whoever_had_it_is_told_once(live: Live) -> None:
    live.client = guest = Guest()
    live.lost(Superseded("sess_1"))
    live.step_aside()
    assert (guest.superseded, live.goes_on) == (1, False)


async def test_what_can_not_be_stored_ends_it(live: Live) -> None:
    live.lost(StoreError("disk full"))
    assert live.outbox.goodbye == (TRY_AGAIN_LATER, NOT_STORED)
    assert not live.goes_on
