"""What clients should not do, done to a real daemon: it answers everybody else meanwhile, keeps its memory, and is at rest afterwards.

How much longer the others wait is measured by bench/abuse.py.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.conftest import Start
from tests.rigs import abuse
from tests.rigs.daemon import SCRIPTED, Daemon
from tests.rigs.wire_client import WireClient, words

MEBIBYTE = 1 << 20

MOST_MEMORY = 160 * MEBIBYTE
"""That the daemon may have taken at its peak. It starts with fifty."""


class Watched:
    """The daemon of a test, as it is seen from outside."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self._process = Path("/proc") / str(daemon._process.pid)

    @property
    def peak(self) -> int:
        """Bytes of memory that it has had at most."""
        told = re.search(r"VmHWM:\s+(\d+) kB", (self._process / "status").read_text())
        assert told is not None
        return int(told[1]) * 1024

    def descriptors(self) -> int:
        return sum(1 for _ in (self._process / "fd").iterdir())

    async def sessions(self) -> int:
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{self.daemon.port}/metrics") as reply:
            told = re.findall(r"^realtime_sessions_open\{.*\} (\d+)", await reply.text(), re.MULTILINE)
        return sum(map(int, told))


@asynccontextmanager
async def watched(daemon: Daemon, most: int = MOST_MEMORY) -> AsyncIterator[Watched]:
    """Inside, whoever has a session is answered; after it, everything is as before."""
    seen = Watched(daemon)
    await seen.sessions()  # whatever takes a descriptor for good has taken it
    before = seen.descriptors()
    over = asyncio.Event()
    async with WireClient(daemon.url()) as client:
        talking = asyncio.create_task(talk(client, over))
        try:
            yield seen
        finally:
            over.set()
        assert await talking > 0, "somebody was answered meanwhile"
    async with asyncio.timeout(10):  # so long it may take until all is as before
        while await seen.sessions() or seen.descriptors() != before:
            pass  # each look is an event of its own
    assert seen.peak < most


async def talk(client: WireClient, over: asyncio.Event) -> int:
    """Ask until it is over, out of band, so that no conversation grows meanwhile; returns how often it was answered."""
    question = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Are you there?"}]}
    answered = 0
    while not (over.is_set() and answered):
        response = await client.respond(output_modalities=["text"], conversation="none", input=[question])
        assert words(response) == "You said: Are you there?"
        answered += 1
    return answered


@pytest.fixture
def daemon(start: Start) -> Daemon:
    return start(*SCRIPTED)


async def test_handshakes_that_never_end_are_cut_off(daemon: Daemon) -> None:
    async with watched(daemon):
        assert await abuse.slow_handshakes(daemon.port) == {"cut off": 200}


async def test_clients_that_are_gone_leave_nothing_behind(daemon: Daemon) -> None:
    async with watched(daemon):
        await abuse.half_open(daemon.port)


async def test_a_thousand_clients_that_come_and_go_leave_nothing_behind(daemon: Daemon) -> None:
    async with watched(daemon):
        seen = await abuse.storm(daemon.port)
        assert seen["let in"] + seen["HTTP 503"] == 1_000, "or were told that there is too much to do"
        assert seen["let in"]


async def test_an_address_that_comes_too_often_is_told_so(start: Start) -> None:
    daemon = start(*SCRIPTED, "--address-new-sessions", "60")
    async with watched(daemon):
        seen = await abuse.storm(daemon.port, 500)
        assert seen["HTTP 429"] >= 400
        assert seen.keys() <= {"let in", "HTTP 429", "HTTP 503"}


async def test_pings_without_end_are_answered_in_turn(daemon: Daemon) -> None:
    async with watched(daemon):
        assert await abuse.pings(daemon.port) == {"answered": 100_000}


async def test_who_reads_no_pongs_is_dropped(daemon: Daemon) -> None:
    async with watched(daemon):
        assert await abuse.unread_pongs(daemon.port) == {"dropped": 1}


async def test_a_message_in_crumbs_takes_no_more_than_its_bytes(daemon: Daemon) -> None:
    async with watched(daemon):
        await abuse.crumbs(daemon.port)


async def test_frames_at_the_limit_are_answered_and_those_beyond_it_refused(daemon: Daemon) -> None:
    async with watched(daemon, 256 * MEBIBYTE):
        assert await abuse.large_frames(daemon.port) == {"answered": 4, "closed 1009": 1}


async def test_clients_that_stop_reading_are_dropped(daemon: Daemon) -> None:
    async with watched(daemon, 512 * MEBIBYTE):  # for each of three: 32 MiB that wait, what it has said, and what is being made of it
        await abuse.deaf(daemon.port, partial(asyncio.to_thread, dropped, daemon, 3))


def dropped(daemon: Daemon, count: int) -> None:
    for _ in range(count):
        daemon.wait_for_line("Session closed .* reason=too_slow")


async def test_all_who_speak_at_once_are_answered(daemon: Daemon) -> None:
    async with watched(daemon, 512 * MEBIBYTE):
        seen = await abuse.choir(daemon.port)
        assert seen["answered"] + seen["HTTP 503"] == 200
        assert seen["answered"]


async def test_a_client_that_commits_all_the_time_is_served(daemon: Daemon) -> None:
    async with watched(daemon):
        seen = await abuse.hasty(daemon.port)
        assert seen["input_audio_buffer.committed"] == 300
        assert not seen["error"]
