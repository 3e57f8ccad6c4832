"""Two daemons behind the proxies that systemd/ has configurations for: nginx and HAProxy themselves, over TLS."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.frames import CloseCode

from tests.e2e.conftest import Start
from tests.e2e.test_sessions import Account, go_on, session_id
from tests.e2e.test_shutdown import SERVICE_RESTART, ask, tell_to_end
from tests.e2e.test_watched import get, metrics, speak_a_turn
from tests.rigs import proxies
from tests.rigs.chat_endpoint import ChatEndpoint, answer
from tests.rigs.daemon import SCRIPTED, SCRIPTED_EARS, Daemon
from tests.rigs.proxies import Proxy
from tests.rigs.redis_server import RedisServer
from tests.rigs.wire_client import WireClient, words

STORE_OPERATIONS = 4
"""Of a turn by voice: what was said, its words, the answer, some in two steps."""

SEVERAL = 6
"""New sessions, of which none may go wrong."""

Before = Callable[[Sequence[Daemon]], Proxy]


@pytest.fixture(params=["nginx", "haproxy"])
def before(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Before]:
    """Puts the proxy before daemons; clients trust its certificate."""
    started: list[Proxy] = []

    def start(daemons: Sequence[Daemon]) -> Proxy:
        proxy: Proxy = getattr(proxies, request.param)(tmp_path, [daemon.port for daemon in daemons])
        started.append(proxy)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
        return proxy

    yield start
    for proxy in started:
        proxy.stop()


async def sessions(daemon: Daemon) -> float:
    """That it has ever had."""
    return (await metrics(daemon)).get("realtime_sessions_opened_total ga", 0.0)


async def test_a_turn_goes_through_and_sessions_go_where_the_fewest_are(start: Start, before: Before) -> None:
    daemons = [start(*SCRIPTED), start(*SCRIPTED)]
    proxy = before(daemons)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(WireClient(proxy.url)) for _ in range(4)]
        for client in clients:
            await client.wait_for("session.created")
        response = await speak_a_turn(clients[0])
        assert response["status"] == "completed"
        assert len(clients[0].sound(response["id"])) > 0
        assert [await sessions(daemon) for daemon in daemons] == [2, 2]


async def test_plain_http_goes_through_but_what_is_for_prometheus(start: Start, before: Before) -> None:
    proxy = before([start(*SCRIPTED), start(*SCRIPTED)])
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as http:
        secret = {"session": {"type": "realtime"}}
        async with http.post(f"https://localhost:{proxy.port}/v1/realtime/client_secrets", json=secret) as reply:
            assert (reply.status, (await reply.json())["value"][:3]) == (200, "ek_")
        async with http.get(f"https://localhost:{proxy.port}/metrics") as reply:
            assert reply.status == 404
        async with http.get(f"https://localhost:{proxy.port}/readyz") as reply:
            assert reply.status == 200


async def test_the_address_that_counts_is_the_clients(start: Start, before: Before) -> None:
    trusting = ("--trusted-proxies", "127.0.0.1", "--address-sessions", "1")
    daemons = [start(*SCRIPTED, *trusting), start(*SCRIPTED, *trusting)]
    proxy = before(daemons)

    def come(address: str, **forged: str) -> Any:
        return connect(proxy.url, local_addr=(address, 0), additional_headers=forged, proxy=None, server_hostname="localhost")

    async with come("127.0.0.2"), come("127.0.0.2"):  # one at each daemon
        with pytest.raises(InvalidStatus, match="429"):
            async with come("127.0.0.2"):
                pass
        with pytest.raises(InvalidStatus, match="429"):
            async with come("127.0.0.2", **{"X-Forwarded-For": "127.0.0.9"}):
                pass
        async with come("127.0.0.3") as other:
            assert json.loads(await other.recv())["type"] == "session.created"
    assert sum(daemon.output.count("127.0.0.2 was refused") for daemon in daemons) == 2


async def test_an_instance_that_lets_go_gets_no_new_sessions_and_its_clients_come_back_to_the_other(
    start: Start, before: Before, endpoint: ChatEndpoint
) -> None:
    daemons, gate = [start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url) for _ in range(2)], asyncio.Event()
    proxy = before(daemons)
    endpoint.script(answer("Not ", "yet", gate, ", but now."))
    async with WireClient(proxy.url) as busy:
        await ask(busy)
        await busy.wait_for("response.output_text.delta", delta="yet")
        leaving, staying = daemons if await sessions(daemons[0]) else reversed(daemons)
        await tell_to_end(leaving)
        assert (await get(leaving, "/readyz"))[0] == 503
        async with AsyncExitStack() as stack:
            for _ in range(SEVERAL):
                client = await stack.enter_async_context(WireClient(proxy.url))
                await client.wait_for("session.created")
            assert [await sessions(leaving), await sessions(staying)] == [1, SEVERAL]
            gate.set()
            assert words(await busy.response()) == "Not yet, but now."
            assert (await busy.closed())[0] == SERVICE_RESTART
        async with WireClient(proxy.url) as back:
            await back.wait_for("session.created")
            assert await sessions(staying) == SEVERAL + 1
    assert await asyncio.to_thread(leaving.wait) == 0


async def test_an_instance_that_is_killed_is_passed_over(start: Start, before: Before) -> None:
    daemons = [start(*SCRIPTED), start(*SCRIPTED)]
    proxy = before(daemons)
    async with WireClient(proxy.url) as one, WireClient(proxy.url) as other:
        for client in (one, other):
            await client.wait_for("session.created")
        daemons[0].signal(SIGKILL)
        assert await asyncio.to_thread(daemons[0].wait) == -SIGKILL
        for _ in range(SEVERAL):
            async with WireClient(proxy.url) as client:
                await client.wait_for("session.created")
        # Its own session is lost, that of the other goes on.
        await asyncio.wait([asyncio.ensure_future(client.socket.wait_closed()) for client in (one, other)], return_when="FIRST_COMPLETED")
        lost, kept = (one, other) if one.socket.close_code else (other, one)
        assert (await lost.closed())[0] == CloseCode.ABNORMAL_CLOSURE
        assert (await speak_a_turn(kept))["status"] == "completed"


def test_the_shipped_files_are_understood(tmp_path: Path) -> None:
    for command in (
        [proxies.program("nginx"), "-t", "-q", "-p", str(tmp_path), "-e", "stderr", "-c", str(proxies.nginx_files(tmp_path, (1, 2), 3))],
        [proxies.program("haproxy"), "-c", "-q", "-f", str(proxies.haproxy_files(tmp_path, (1, 2), 3))],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), command


async def test_haproxys_operator_can_drain_an_instance_and_take_it_back(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemons = [start(*SCRIPTED), start(*SCRIPTED)]
    with proxies.haproxy(tmp_path, [daemon.port for daemon in daemons]) as proxy:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
        for state, expected in (("drain", [0, SEVERAL]), ("ready", [SEVERAL / 2, SEVERAL * 3 / 2])):
            reader, writer = await asyncio.open_unix_connection(tmp_path / "admin.sock")
            writer.write(f"set server realtime/one state {state}\n".encode())
            assert (await reader.read()).strip() == b""
            writer.close()
            async with AsyncExitStack() as stack:
                for _ in range(SEVERAL):
                    client = await stack.enter_async_context(WireClient(proxy.url))
                    await client.wait_for("session.created")
            assert [await sessions(daemon) for daemon in daemons] == expected


@pytest.mark.parametrize("how", ["killed", "drained"])
async def test_a_session_goes_on_at_the_other_instance(start: Start, before: Before, redis: RedisServer, how: str) -> None:
    environment = {"REALTIME_STORE": "redis", "REALTIME_REDIS_URL": redis.url}
    daemons = [start(*SCRIPTED, **environment), start(*SCRIPTED, **environment)]
    proxy = before(daemons)
    async with WireClient(proxy.url) as client:
        await client.say("My name is Ada.")
        await client.respond(output_modalities=["text"])
        await speak_a_turn(client)
        leaving, staying = daemons if await sessions(daemons[0]) else reversed(daemons)
        leaving.signal(SIGKILL if how == "killed" else SIGTERM)
        await client.closed()
    told = Account(client.received).items
    assert len(told) == 4
    async with WireClient(f"{proxy.url}?session_id={session_id(client)}") as later:
        known = await go_on(later, "What is my name?")
        assert told.keys() | {"going_on"} == known.keys()
        assert (await later.respond(output_modalities=["text"]))["status"] == "completed"
    assert (await metrics(staying))["realtime_sessions_resumed_total store"] == 1


async def test_what_a_turn_by_voice_costs_the_store(start: Start, redis: RedisServer) -> None:
    daemon = start(*SCRIPTED, REALTIME_STORE="redis", REALTIME_REDIS_URL=redis.url)
    async with WireClient(daemon.url()) as client:
        await client.wait_for("session.created")
        await speak_a_turn(client)
        before_it = (await metrics(daemon))["realtime_store_commit_seconds_count"]
        await speak_a_turn(client)
        cost = (await metrics(daemon))["realtime_store_commit_seconds_count"] - before_it
    assert cost <= STORE_OPERATIONS, "systemd/CAPACITY.md reckons with so many"
