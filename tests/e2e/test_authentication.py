"""Who comes in and who does not, to a daemon of its own: keys, client secrets, web pages, TLS.

Every threat that the README's table names is tried here.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from signal import SIGHUP
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from realtime.server.client_secrets import ClientSecrets
from realtime.server.keys import Key, hashed
from tests.e2e.conftest import Start
from tests.rigs.certificate import certificate
from tests.rigs.daemon import SCRIPTED, Daemon, bare_environment
from tests.rigs.program import Program
from tests.rigs.wire_client import Event, WireClient

PHONE, WATCH = "a-long-random-key-of-a-phone", "a-long-random-key-of-a-watch"
APP = "https://app.example"

SECRETS = "/v1/realtime/client_secrets"
BETA_SESSIONS = "/v1/realtime/sessions"
TEXT = {"type": "realtime", "output_modalities": ["text"], "instructions": "Be brief."}


def write(file: Path, **keys: str) -> Path:
    file.write_text("".join(f"{name}:{hashed(key).hex()}\n" for name, key in keys.items()))
    return file


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("keys") / "api-keys", phone=PHONE)


@pytest.fixture(scope="module")
def keyed(keys: Path) -> Iterator[Daemon]:
    """It needs a key, and lets pages of one other origin connect."""
    with Daemon(*SCRIPTED, "--api-keys-file", str(keys), "--allowed-origins", APP, "--log-level", "debug") as daemon:
        yield daemon
        for key in (PHONE, WATCH, "ek_"):
            assert key not in daemon.output


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def opened(daemon: Daemon, path: str = "/v1/realtime", **how: Any) -> Event:
    """The session that a client gets."""
    async with WireClient(daemon.url(path), **how) as client:
        session: Event = (await client.wait_for("session.created"))["session"]
        return session


async def refused(daemon: Daemon, path: str = "/v1/realtime", **how: Any) -> tuple[Event, int | None, str | None]:
    """The error that a client is told, and the close."""
    async with WireClient(daemon.url(path), **how) as client:
        closed = await client.closed()
        (event,) = client.received
        assert event["type"] == "error"
        return (event["error"], *closed)


WRONG = (3000, "invalid_request_error.invalid_api_key")


async def test_what_the_server_counts_is_for_those_with_a_key(keyed: Daemon, http: aiohttp.ClientSession) -> None:
    for headers, status in (({}, 401), (bearer("wrong"), 401), (bearer(PHONE), 200)):
        async with http.get(f"http://127.0.0.1:{keyed.port}/metrics", headers=headers) as response:
            assert response.status == status
    async with http.get(f"http://127.0.0.1:{keyed.port}/readyz") as response:
        assert response.status == 200


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def post(http: aiohttp.ClientSession, daemon: Daemon, path: str, body: object, key: str | None = PHONE, **headers: str) -> Event:
    """The body of the answer, with its `status`."""
    url = daemon.url(path).replace("ws", "http", 1)
    async with http.post(url, json=body, headers=(bearer(key) if key else {}) | headers) as reply:
        said: Event = await reply.json()
        return said | {"status": reply.status}


# Keys


@pytest.mark.parametrize(
    ("path", "how"),
    [
        ("/v1/realtime", {"headers": bearer(PHONE)}),
        ("/ws/realtime", {"headers": bearer(PHONE)}),
        ("/v1/realtime", {"headers": {"api-key": PHONE}}),
        ("/openai/v1/realtime", {"headers": {"api-key": PHONE}}),
        ("/v1/realtime", {"subprotocols": ["realtime", f"openai-insecure-api-key.{PHONE}"]}),
        ("/v1/realtime", {"subprotocols": ["realtime", f"openai-insecure-api-key.{PHONE}", "openai-beta.realtime-v1"]}),
    ],
)
async def test_a_key_opens_however_it_is_brought(keyed: Daemon, path: str, how: dict[str, Any]) -> None:
    assert await opened(keyed, path, **how)


async def test_the_subprotocol_with_the_key_is_not_echoed(keyed: Daemon) -> None:
    async with WireClient(keyed.url(), subprotocols=[f"openai-insecure-api-key.{PHONE}", "realtime"]) as client:
        await client.wait_for("session.created")
        assert client.socket.subprotocol == "realtime"
        assert client.socket.response is not None
        assert PHONE not in str(client.socket.response.headers)


@pytest.mark.parametrize(
    "how",
    [
        {"headers": bearer(WATCH)},
        {"headers": {"api-key": WATCH}},
        {"headers": bearer("null")},
        {"subprotocols": ["realtime", f"openai-insecure-api-key.{WATCH}"]},
        {"subprotocols": ["realtime", "openai-insecure-api-key.null", "openai-beta.realtime-v1"]},
    ],
)
@pytest.mark.parametrize("path", ["/v1/realtime", "/ws/realtime"])
async def test_a_wrong_key_is_told_so_on_the_socket(keyed: Daemon, path: str, how: dict[str, Any]) -> None:
    error, *closed = await refused(keyed, path, **how)
    assert (error["type"], error["code"], tuple(closed)) == ("invalid_request_error", "invalid_api_key", WRONG)
    assert error["message"].startswith("Incorrect API key provided")
    assert WATCH not in error["message"]


async def test_no_key_is_told_so_on_the_socket(keyed: Daemon) -> None:
    error, *closed = await refused(keyed)
    assert (error["code"], error["message"]) == (None, "Missing bearer or basic authentication in header")
    assert closed == [3000, "invalid_request_error"]


@pytest.mark.parametrize("headers", [{}, {"api-key": WATCH}])
@pytest.mark.parametrize("path", ["/openai/realtime", "/openai/v1/realtime"])
async def test_azures_addresses_answer_401(keyed: Daemon, path: str, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await connect(keyed.url(path), additional_headers=headers, proxy=None)
    assert caught.value.response.status_code == 401
    assert json.loads(caught.value.response.body or b"")["error"]["type"] == "invalid_request_error"


async def test_keys_from_the_environment_open_and_are_never_said(start: Start) -> None:
    daemon = start(*SCRIPTED, "--log-level", "debug", REALTIME_API_KEYS=f"phone={PHONE},{WATCH}")
    for key in (PHONE, WATCH):
        await opened(daemon, headers=bearer(key))
        assert key not in daemon.output
    await refused(daemon)
    assert "2 known, from REALTIME_API_KEYS" in daemon.output


async def test_keys_that_systemd_hands_over_open(start: Start, tmp_path: Path) -> None:
    write(tmp_path / "api-keys", phone=PHONE)
    daemon = start(*SCRIPTED, CREDENTIALS_DIRECTORY=str(tmp_path))
    await opened(daemon, headers=bearer(PHONE))
    await refused(daemon)


def test_a_new_key_is_shown_once_and_its_hash_kept(tmp_path: Path) -> None:
    made = subprocess.run([sys.executable, "-m", "realtime", "keys", "new", "phone"], capture_output=True, text=True, check=True)
    key = made.stderr.split()[-1]
    assert made.stdout == f"phone:{hashed(key).hex()}\n"


async def test_a_key_that_is_taken_away_opens_nothing_more_and_who_is_in_stays(start: Start, tmp_path: Path) -> None:
    file = write(tmp_path / "api-keys", phone=PHONE)
    daemon = start(*SCRIPTED, "--api-keys-file", str(file))
    async with WireClient(daemon.url(), headers=bearer(PHONE)) as client:
        await client.wait_for("session.created")
        write(file, watch=WATCH)
        daemon.signal(SIGHUP)
        await asyncio.to_thread(daemon.wait_for_line, "keys read again: 1 known")
        assert (await refused(daemon, headers=bearer(PHONE)))[1:] == WRONG
        await opened(daemon, headers=bearer(WATCH))
        file.write_text(f"phone={PHONE}")
        daemon.signal(SIGHUP)
        await asyncio.to_thread(daemon.wait_for_line, "ERROR .*The keys stay as they were.*line 1")
        await opened(daemon, headers=bearer(WATCH))
        assert (await client.respond(output_modalities=["text"]))["status"] == "completed"
    assert PHONE not in daemon.output


# Where nobody needs one


@pytest.mark.parametrize("how", [{}, {"headers": bearer("none")}, {"headers": bearer("null")}])
async def test_on_loopback_nobody_needs_a_key_as_it_comes(scripted: Daemon, how: dict[str, Any]) -> None:
    assert await opened(scripted, **how)
    assert "keys          none needed: only this machine" in scripted.output


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_on_any_other_address_it_refuses_to_start_without_keys(host: str) -> None:
    command = [sys.executable, "-m", "realtime", "serve", *SCRIPTED, "--host", host, "--port", "0"]
    with Program(command, env=bare_environment()) as program:
        assert program.wait() == 2
    (line,) = program.lines
    assert line.startswith(f"realtime: SERVER_HOST={host}: others than this machine could use the server without a key.")


async def test_on_any_other_address_it_starts_with_keys_or_when_it_is_said_to(start: Start) -> None:
    open_one = start(*SCRIPTED, "--host", "0.0.0.0", "--insecure")
    assert "keys          NONE NEEDED" in open_one.output
    assert await opened_at(open_one)
    keyed = start(*SCRIPTED, "--host", "0.0.0.0", REALTIME_API_KEYS=PHONE)
    assert await opened_at(keyed, headers=bearer(PHONE))


async def opened_at(daemon: Daemon, **how: Any) -> bool:
    async with WireClient(f"ws://127.0.0.1:{daemon.port}/v1/realtime", **how) as client:
        return bool(await client.wait_for("session.created"))


# Web pages


async def handshake(daemon: Daemon, origin: str, **headers: str) -> int:
    """The status that a page is answered."""
    try:
        async with connect(daemon.url(), origin=Origin(origin), additional_headers=headers, proxy=None):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example", APP])
async def test_a_strange_page_can_not_use_the_daemon_of_who_visits_it(scripted: Daemon, origin: str) -> None:
    assert await handshake(scripted, origin) == 403


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:8443"])
async def test_pages_of_this_machine_can(scripted: Daemon, origin: str) -> None:
    assert await handshake(scripted, origin) == 101


async def test_a_page_whose_name_was_rebound_to_this_machine_can_not(scripted: Daemon) -> None:
    evil = f"evil.example:{scripted.port}"
    request = f"GET /v1/realtime HTTP/1.1\r\nHost: {evil}\r\nOrigin: http://{evil}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", scripted.port)
    writer.write(f"{request}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode())
    assert b" 403 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_pages_that_were_named_can_and_others_can_not_even_with_a_key(keyed: Daemon) -> None:
    assert await handshake(keyed, APP, **bearer(PHONE)) == 101
    assert await handshake(keyed, "https://evil.example", **bearer(PHONE)) == 403


async def test_a_page_mints_only_where_it_may(keyed: Daemon, http: aiohttp.ClientSession) -> None:
    url = keyed.url(SECRETS).replace("ws", "http", 1)
    asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    for origin, status, allowed in ((APP, 204, APP), ("https://evil.example", 403, None)):
        async with http.options(url, headers={"Origin": origin, **asking}) as reply:
            assert (reply.status, reply.headers.get("Access-Control-Allow-Origin")) == (status, allowed)
    assert (await post(http, keyed, SECRETS, {}, Origin=APP))["status"] == 200
    assert (await post(http, keyed, SECRETS, {}, Origin="https://evil.example"))["status"] == 403


# Client secrets


async def minted(http: aiohttp.ClientSession, daemon: Daemon, session: Event | None = None, **more: Any) -> str:
    made = await post(http, daemon, SECRETS, ({} if session is None else {"session": session}) | more)
    assert made["status"] == 200, made
    value: str = made["value"]
    return value


async def test_a_client_secret_opens_the_session_it_was_minted_for(keyed: Daemon, http: aiohttp.ClientSession) -> None:
    before = time.time()
    made = await post(http, keyed, SECRETS, {"session": TEXT})
    assert before + 599 <= made["expires_at"] <= time.time() + 600
    assert made["session"].items() >= TEXT.items()
    for how in ({"headers": bearer(made["value"])}, {"subprotocols": ["realtime", f"openai-insecure-api-key.{made['value']}"]}):
        async with WireClient(keyed.url("/v1/realtime?model=x&intent=transcription"), **how) as client:
            session = (await client.wait_for("session.created"))["session"]
            assert session.items() >= TEXT.items()
            assert (await client.respond())["status"] == "completed"


async def test_tool_servers_of_a_client_secret_are_asked_for_their_tools(keyed: Daemon, http: aiohttp.ClientSession) -> None:
    tool = {"type": "mcp", "server_label": "maths", "server_url": "http://127.0.0.1:9/mcp"}
    secret = await minted(http, keyed, TEXT | {"tools": [tool]})
    async with WireClient(keyed.url(), headers=bearer(secret)) as client:
        assert (await client.wait_for("session.created"))["session"]["tools"] == [tool]
        await client.wait_for("mcp_list_tools.in_progress")


@pytest.mark.parametrize(
    ("path", "body", "created"),
    [
        (BETA_SESSIONS, {"model": "mine", "modalities": ["text"], "voice": "ash"}, "session.created"),
        ("/v1/realtime/transcription_sessions", {"input_audio_format": "g711_ulaw"}, "transcription_session.created"),
    ],
)
async def test_beta_mints_and_opens_too(keyed: Daemon, http: aiohttp.ClientSession, path: str, body: Event, created: str) -> None:
    made = await post(http, keyed, path, body)
    assert made.items() >= body.items()
    subprotocols = ["realtime", f"openai-insecure-api-key.{made['client_secret']['value']}", "openai-beta.realtime-v1"]
    async with WireClient(keyed.url(), subprotocols=subprotocols) as client:
        assert (await client.wait_for(created))["session"].items() >= body.items()


async def test_an_expired_client_secret_opens_nothing(keyed: Daemon) -> None:
    """Minted here, with what the daemon signs with: waiting for the shortest life of one would take ten seconds."""
    old = ClientSecrets(None).mint(Key("phone", hashed(PHONE)), expires_at=int(time.time()) - 1, update=None, dialect="ga")
    error, *closed = await refused(keyed, headers=bearer(old))
    assert "expired" in error["message"]
    assert tuple(closed) == WRONG


async def test_a_tampered_client_secret_opens_nothing(keyed: Daemon, http: aiohttp.ClientSession) -> None:
    secret = await minted(http, keyed, TEXT)
    for at in (3, 40, len(secret) // 2, len(secret) - 3):
        other = secret[:at] + ("A" if secret[at] != "A" else "B") + secret[at + 1 :]
        assert (await refused(keyed, headers=bearer(other)))[1:] == WRONG


async def test_a_stolen_client_secret_mints_no_other(keyed: Daemon, http: aiohttp.ClientSession) -> None:
    secret = await minted(http, keyed, TEXT)
    assert (await post(http, keyed, SECRETS, {}, secret))["status"] == 401


@pytest.mark.parametrize("path", [SECRETS, BETA_SESSIONS])
@pytest.mark.parametrize(("key", "code"), [(None, None), (WATCH, "invalid_api_key")])
async def test_who_has_no_key_mints_nothing(
    keyed: Daemon, http: aiohttp.ClientSession, path: str, key: str | None, code: str | None
) -> None:
    said = await post(http, keyed, path, {}, key)
    assert (said["status"], said["error"]["type"], said["error"]["code"]) == (401, "invalid_request_error", code)


async def test_what_can_not_be_minted_is_told_its_place(keyed: Daemon, http: aiohttp.ClientSession) -> None:
    said = await post(http, keyed, SECRETS, {"session": {"type": "realtime", "output_modalities": ["smell"]}})
    assert (said["status"], said["error"]["code"], said["error"]["param"]) == (400, "invalid_value", "session.output_modalities[0]")
    said = await post(http, keyed, SECRETS, {"session": {"type": "realtime", "instructions": "x" * 70_000}})
    assert said["status"] == 413


async def test_a_body_in_chunks_is_refused(keyed: Daemon, http: aiohttp.ClientSession) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"{}"

    async with http.post(keyed.url(SECRETS).replace("ws", "http", 1), data=chunks(), headers=bearer(PHONE)) as reply:
        assert reply.status == 411


@pytest.mark.parametrize("environment", [{}, {"REALTIME_SECRET": "of-all-the-instances"}])
async def test_every_instance_with_the_same_keys_accepts_it_until_its_key_is_taken_away(
    start: Start, http: aiohttp.ClientSession, tmp_path: Path, environment: dict[str, str]
) -> None:
    file = write(tmp_path / "api-keys", phone=PHONE, watch=WATCH)
    one, other = (start(*SCRIPTED, "--api-keys-file", str(file), **environment) for _ in range(2))
    secret = await minted(http, one, TEXT)
    assert (await opened(other, headers=bearer(secret))).items() >= TEXT.items()
    write(file, watch=WATCH)
    other.signal(SIGHUP)
    await asyncio.to_thread(other.wait_for_line, "keys read again")
    assert (await refused(other, headers=bearer(secret)))[1:] == WRONG


async def test_without_keys_anybody_mints_and_the_session_is_bound_all_the_same(scripted: Daemon, http: aiohttp.ClientSession) -> None:
    secret = await minted(http, scripted, TEXT)
    assert (await opened(scripted, headers=bearer(secret))).items() >= TEXT.items()
    assert (await refused(scripted, headers=bearer("ek_" + secret[:2:-1])))[1:] == WRONG


# TLS


async def test_with_a_certificate_it_listens_with_tls_alone(start: Start, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    # While it is debugged, asyncio logs every stranger's handshake that fails, with its traceback.
    daemon = start(*SCRIPTED, "--tls-cert", str(cert), "--tls-key", str(key), PYTHONASYNCIODEBUG="")
    assert daemon.address.startswith("wss://")
    trust = ssl.create_default_context(cafile=os.fspath(cert))
    async with connect(daemon.url(), ssl=trust, proxy=None) as client:
        assert json.loads(await client.recv())["type"] == "session.created"
        await client.send(json.dumps({"type": "input_audio_buffer.append", "audio": "A" * (3 << 20)}))
        await client.send('{"type":"input_audio_buffer.clear"}')
        assert json.loads(await client.recv())["type"] == "input_audio_buffer.cleared"
    with pytest.raises(ssl.SSLCertVerificationError):
        await connect(daemon.url(), proxy=None)
    with pytest.raises((OSError, EOFError, aiohttp.ClientError)):
        async with aiohttp.request("GET", f"http://127.0.0.1:{daemon.port}/healthz"):
            pass
    async with aiohttp.request("POST", f"https://127.0.0.1:{daemon.port}{SECRETS}", json={}, ssl=trust) as reply:
        assert reply.status == 200


async def test_guessing_keys_takes_sessions_of_the_address(start: Start, keys: Path) -> None:
    daemon = start(*SCRIPTED, "--api-keys-file", str(keys), "--address-new-sessions", "2")
    for number in range(2):
        assert (await refused(daemon, headers=bearer(f"a-guess-of-a-key-{number}")))[0]["code"] == "invalid_api_key"
    with pytest.raises(InvalidStatus) as caught:
        await opened(daemon, headers=bearer(PHONE))
    assert caught.value.response.status_code == 429
