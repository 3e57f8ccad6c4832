from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from realtime.engines.scripted import ScriptedLlm, ScriptedStt
from realtime.metrics import Metrics
from realtime.runner.perform import Engines
from realtime.server import health as health_module
from realtime.server.crowd import Bounds, Crowd
from realtime.server.health import Health
from tests.rigs.engines import scripted_engines
from tests.rigs.listening import listening
from tests.server.test_listener import read_to_the_end


class FarLlm(ScriptedLlm):
    """Implements `ports.Remote`, too."""

    def __init__(self, *answers: bool) -> None:
        super().__init__()
        self.answers = list(answers)
        self.probes = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def reachable(self, seconds: float) -> bool:
        self.probes += 1
        await self.gate.wait()
        return self.answers.pop(0)


class BusyStt(ScriptedStt):
    """Implements `ports.Queueing`, too."""

    waiting = 7


class Client:
    """As a connection is looked at."""

    def __init__(self, waiting_bytes: int, backlog_seconds: float) -> None:
        self.waiting_bytes, self.backlog_seconds, self.settled = waiting_bytes, backlog_seconds, 0

    def settle(self) -> None:
        self.settled += 1


@pytest.fixture
def engines() -> Iterator[Engines]:
    with scripted_engines(stt=BusyStt()) as engines:
        yield engines


@contextmanager
def health(llm: FarLlm) -> Iterator[Health]:
    with scripted_engines(llm) as engines:
        yield Health(Metrics(), engines, [], Crowd(Bounds()))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "WAIT_SECONDS", 0.01)


async def test_what_only_shows_when_somebody_looks_is_gathered_then(engines: Engines) -> None:
    clients, metrics = [Client(100, 0.5), Client(50, 2.0)], Metrics()
    text = Health(metrics, engines, clients, Crowd(Bounds())).metrics()
    value = metrics.registry.get_sample_value
    assert [client.settled for client in clients] == [1, 1]
    assert value("realtime_outbox_bytes") == 150
    assert value("realtime_detector_backlog_seconds") == 2
    assert value("realtime_queue_jobs", {"queue": "stt"}) == 7
    assert value("realtime_queue_jobs", {"queue": "workers"}) == 0
    assert value("realtime_tasks") == len(asyncio.all_tasks())
    assert 'realtime_build_info{version="' in text


async def test_what_other_workers_may_be_asked_for_is_gathered_again_and_again(
    engines: Engines, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(health_module, "REFRESH_SECONDS", 0.0)
    client = Client(100, 0.5)
    ours = Health(Metrics(tmp_path), engines, [client], Crowd(Bounds()))
    ours.start()
    async with asyncio.timeout(5):
        while client.settled < 3:  # noqa: ASYNC110 - the loop's next turn
            await asyncio.sleep(0)
    await ours.stop()
    settled = client.settled
    for _ in range(3):
        await asyncio.sleep(0)
    assert client.settled == settled


async def test_a_server_without_endpoints_is_ready_until_it_drains(engines: Engines) -> None:
    ours = Health(Metrics(), engines, [], Crowd(Bounds()))
    assert await ours.checks() == (True, {"models": "loaded", "clients": "welcome"})
    ours.draining = True
    assert await ours.checks() == (False, {"models": "loaded", "clients": "sent away"})


@pytest.mark.parametrize(("answer", "word"), [(True, "reachable"), (False, "unreachable")])
async def test_an_endpoint_has_to_be_reachable(answer: bool, word: str) -> None:
    with health(FarLlm(answer)) as ours:
        ready, checks = await ours.checks()
        assert (ready, checks["llm_endpoint"]) == (answer, word)
        await ours.stop()


async def test_an_endpoint_is_asked_once_in_a_while_however_often_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    llm = FarLlm(True, False)
    with health(llm) as ours:
        for _ in range(3):
            assert (await ours.checks())[0]
        assert llm.probes == 1
        monkeypatch.setattr(health_module, "FRESH_SECONDS", 0)
        assert not (await ours.checks())[0]
        assert llm.probes == 2
        await ours.stop()


async def test_nobody_waits_long_for_an_endpoint_and_nobody_asks_it_twice_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "FRESH_SECONDS", 0)
    llm = FarLlm(True, True)
    llm.gate.clear()
    with health(llm) as ours:
        for _ in range(2):
            ready, checks = await ours.checks()
            assert (ready, checks["llm_endpoint"]) == (False, "not known yet")
        assert llm.probes == 1
        llm.gate.set()
        await ours._known.wait()
        assert (await ours.checks())[0]
        await ours.stop()


# Over the wire


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


async def test_metrics_are_served_as_prometheus_wants_them(http: aiohttp.ClientSession) -> None:
    async with listening() as (_, url):
        async with connect(url + "/v1/realtime") as client:
            await client.recv()
            async with http.get(url.replace("ws", "http", 1) + "/metrics") as reply:
                text = await reply.text()
        assert (reply.status, reply.headers.getall("Content-Type")) == (200, ["text/plain; version=0.0.4; charset=utf-8"])
        samples = {
            (sample.name, tuple(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        assert samples["realtime_sessions_open", ("ga",)] == 1


async def test_whoever_looks_or_knocks_while_answers_end_is_told_so(http: aiohttp.ClientSession) -> None:
    gate, begun = asyncio.Event(), asyncio.Event()

    async def begin() -> None:
        begun.set()

    async def look() -> tuple[int, Any]:
        async with http.get(address + "/readyz") as reply:
            return reply.status, await reply.json()

    running = listening(ScriptedLlm([[begin, gate.wait, "At last."]]), mute=True)
    listener, url = await running.__aenter__()
    address = url.replace("ws", "http", 1)
    async with connect(url + "/v1/realtime") as client:
        assert await look() == (200, {"ready": True, "checks": {"models": "loaded", "clients": "welcome"}})
        await client.send('{"type":"response.create"}')
        await begun.wait()
        ending = asyncio.create_task(running.__aexit__(None, None, None))
        await asyncio.sleep(0)  # it begins
        assert listener._health.draining
        assert await look() == (503, {"ready": False, "checks": {"models": "loaded", "clients": "sent away"}})
        with pytest.raises(InvalidStatus, match="503"):
            await connect(url + "/v1/realtime")
        async with http.get(address + "/healthz") as reply:
            assert reply.status == 200
        gate.set()
        await ending
        events, code = await read_to_the_end(client)
        assert code == 1012
        assert "At last." in str(events)


async def test_it_is_not_ready_where_there_is_no_room_and_is_again_when_somebody_leaves(engines: Engines) -> None:
    crowd = Crowd(Bounds(sessions=1))
    ours = Health(Metrics(), engines, [], crowd)
    place = crowd.enter(None, None, 0.0)
    assert await ours.checks() == (False, {"models": "loaded", "clients": "too many"})
    place.leave()
    assert await ours.checks() == (True, {"models": "loaded", "clients": "welcome"})
