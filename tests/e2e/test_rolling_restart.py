"""A rolling restart under load: two daemons behind nginx, a Redis, and people who talk without a pause through our Python client."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from realtime_client import RealtimeClient
from tests.e2e.conftest import Start
from tests.e2e.test_sessions import Account, go_on
from tests.e2e.test_watched import get
from tests.rigs import proxies
from tests.rigs.daemon import SCRIPTED, Daemon
from tests.rigs.redis_server import RedisServer
from tests.rigs.wire_client import WireClient

PEOPLE = 16

PATIENCE = 60.0
"""Seconds for one answer, whatever happens meanwhile."""

FURTHER = 2
"""Answers that everybody gets between two restarts: that is what shows that it went on."""


class Talker:
    """Somebody who asks, waits for the answer, and asks again."""

    def __init__(self, url: str, name: int) -> None:
        self.client = RealtimeClient(url, output_modalities=["text"], send_seconds=PATIENCE)
        self._name = name
        self.asked: list[str] = []
        self.answers: list[tuple[str, str]] = []
        """The status and the words of every answer, in the order in which they came."""
        self._changed = asyncio.Condition()

    async def talk(self, over: asyncio.Event) -> None:
        async with self.client as client:
            while not over.is_set():
                self.asked.append(f"Person {self._name} asks {len(self.asked)}.")
                await client.send_text(self.asked[-1])
                async with asyncio.timeout(PATIENCE):
                    done = await client.answer()
                async with self._changed:
                    self.answers.append((done.status, done.text))
                    self._changed.notify_all()

    async def has(self, answers: int) -> None:
        """Wait for so many in all."""
        async with self._changed, asyncio.timeout(PATIENCE):
            await self._changed.wait_for(lambda: len(self.answers) >= answers)


async def restarted(daemon: Daemon, start: Start, redis: RedisServer) -> Daemon:
    """As `systemctl restart` does it: SIGTERM, the end, the same command again."""
    port = daemon.port
    assert await asyncio.to_thread(daemon.stop) == 0
    return await asyncio.to_thread(started, start, redis, port)


def started(start: Start, redis: RedisServer, port: int = 0) -> Daemon:
    return start(*SCRIPTED, "--port", str(port), REALTIME_STORE="redis", REALTIME_REDIS_URL=redis.url)


async def gone_on(people: list[Talker], talking: list[asyncio.Task[None]]) -> None:
    """Everybody has got some more answers. Raises what one of them failed with."""
    enough = [asyncio.create_task(person.has(len(person.answers) + FURTHER)) for person in people]
    broken = asyncio.gather(*talking)
    await asyncio.wait([asyncio.gather(*enough), broken], return_when="FIRST_COMPLETED")
    if broken.done():
        await broken
    await asyncio.gather(*enough)


@pytest.mark.timeout(120)
async def test_a_rolling_restart_loses_no_turn_and_doubles_none(
    start: Start, redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemons = [started(start, redis), started(start, redis)]
    with proxies.nginx(tmp_path, [daemon.port for daemon in daemons]) as proxy:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
        people, over = [Talker(proxy.url, name) for name in range(PEOPLE)], asyncio.Event()
        talking = [asyncio.create_task(person.talk(over)) for person in people]
        for which in (0, 1, 0, 1):
            await gone_on(people, talking)
            daemons[which] = await restarted(daemons[which], start, redis)
            assert (await get(daemons[which], "/readyz"))[0] == 200
        await gone_on(people, talking)
        over.set()
        await asyncio.gather(*talking)
        for person in people:
            assert person.answers == [("completed", f"You said: {question}") for question in person.asked]
            assert await told(f"{proxy.url}?session_id={person.client.session_id}") == [
                text for question in person.asked for text in (question, f"You said: {question}")
            ]


async def told(url: str) -> list[str]:
    """What is said in the items of that session, as the server tells whoever comes back, in order."""
    async with WireClient(url) as client:
        await go_on(client, "That is all.")
        items = list(Account(client.received).items.values())
    assert items[-1]["id"] == "going_on"
    assert len({item["id"] for item in items}) == len(items)
    return [item["content"][0]["text"] for item in items[:-1]]
