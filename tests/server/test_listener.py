from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import struct
from contextlib import AsyncExitStack, ExitStack, suppress
from ipaddress import ip_network
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.frames import CloseCode
from websockets.server import ServerProtocol
from websockets.typing import Origin, Subprotocol

from realtime.engines.scripted import ScriptedLlm, ScriptedTts
from realtime.errors import ConfigError
from realtime.metrics import Metrics
from realtime.runner.pulse import Pulse
from realtime.server import connection, portions
from realtime.server.access import UNAUTHORIZED, Access
from realtime.server.addresses import Addresses
from realtime.server.client_secrets import ClientSecrets
from realtime.server.crowd import MAX_LAG_SECONDS, Bounds, Crowd
from realtime.server.fragments import PIECE
from realtime.server.http import AZURE_PATHS, CLASSIC_PATH, SECRETS_PATH, STANDARD_PATH
from realtime.server.keys import Key, Keys, hashed
from realtime.server.listener import Listener, Socket
from realtime.server.minting import BETA_PATH
from realtime.server.origins import Origins
from realtime.server.portions import PORTION
from realtime.server.quotas import Quota
from tests.rigs import raw_socket
from tests.rigs.listening import listening


async def first(client: ClientConnection) -> dict[str, object]:
    event = json.loads(await client.recv())
    assert isinstance(event, dict)
    return event


async def read_to_the_end(client: ClientConnection) -> tuple[list[dict[str, Any]], int | None]:
    """Every event, and the code with which the server closed."""
    events: list[dict[str, Any]] = []
    with suppress(ConnectionClosed):  # how it ended is what the code says
        while True:
            events.append(json.loads(await client.recv()))
    return events, client.close_code


async def turned_away(client: ClientConnection) -> tuple[dict[str, Any], int, str]:
    """The one event that came, and how the server closed."""
    event = await first(client)
    with pytest.raises(ConnectionClosedError) as closed:
        await client.recv()
    assert closed.value.rcvd is not None
    return event, closed.value.rcvd.code, closed.value.rcvd.reason


async def test_each_address_speaks_its_dialect() -> None:
    async with listening() as (_, url):
        async with connect(url + STANDARD_PATH) as client:
            assert (await first(client))["session"]["type"] == "realtime"  # type: ignore[index]
        async with connect(url + STANDARD_PATH, additional_headers={"OpenAI-Beta": "realtime=v1"}) as client:
            assert (await first(client))["session"]["input_audio_format"] == "pcm16"  # type: ignore[index]
        async with connect(url + CLASSIC_PATH) as client:
            assert (await first(client))["session"]["turn_detection"] is None  # type: ignore[index]


@pytest.mark.parametrize(
    ("request_line", "answer", "closes"),
    [("GET /v1/realtime HTTP/1.1", b"101", b"\x88\x00"), ("GET / HTTP/1.1", b"200", b"browser.\n"), ("GET nothing", None, b"")],
)
async def test_frames_right_behind_the_handshake_are_read_after_it(request_line: str, answer: bytes | None, closes: bytes) -> None:
    frames = raw_socket.frame(raw_socket.PING, b"hi") + raw_socket.frame(raw_socket.CLOSE)
    async with listening() as (listener, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(raw_socket.handshake(line=request_line) + frames)
        told = await reader.read()
        writer.close()
    assert told.startswith(b"HTTP/1.1 " + answer) if answer else not told
    assert told.endswith(closes)
    assert (b"\x8a\x02hi" in told) is (answer == b"101")


@pytest.mark.parametrize("portion", [100, PORTION])  # two or three frames; and so many that the library pauses
async def test_however_many_frames_come_at_once_all_are_read_in_order(portion: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "PORTION", portion)
    events = (f'{{"type":"input_audio_buffer.commit","event_id":"e{number}."}}'.encode() for number in range(100))
    frames = [raw_socket.frame(raw_socket.TEXT, event) + raw_socket.frame(raw_socket.PING, b"hi") for event in events]
    async with listening() as (listener, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(raw_socket.handshake())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"".join(frames))
        told = await reader.readuntil(b"e99.")
        writer.close()
    assert re.findall(rb"e(\d+)\.", told) == [b"%d" % number for number in range(100)]
    assert told.count(b"\x8a\x02hi") == 100


@pytest.mark.parametrize(("most", "seconds"), [(100_000, 40), (1 << 40, 0.05)])  # so much waits for it; it takes nothing for so long
async def test_who_reads_no_pongs_is_dropped(most: int, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.server.listener.MAX_UNREAD", most)
    monkeypatch.setattr("realtime.server.listener.STALLED_SECONDS", seconds)
    async with listening() as (listener, _):
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(raw_socket.handshake())
        pings = raw_socket.frame(raw_socket.PING, bytes(125)) * 1000
        with pytest.raises(ConnectionError):
            await flood(writer, pings)
        writer.close()


async def flood(writer: asyncio.StreamWriter, data: bytes) -> None:
    while True:
        writer.write(data)
        await writer.drain()


@pytest.mark.parametrize("path", AZURE_PATHS)
async def test_azures_addresses_are_the_standard_one(path: str) -> None:
    async with listening() as (_, url), connect(url + path + "?model=mine", additional_headers={"api-key": "k"}) as client:
        session = (await first(client))["session"]
        assert (session["type"], session["model"]) == ("realtime", "mine")  # type: ignore[index]


async def test_the_session_shows_the_model_that_was_named_else_the_one_that_answers() -> None:
    async with listening(ScriptedLlm(name="parrot")) as (_, url):
        async with connect(url + STANDARD_PATH) as client:
            assert (await first(client))["session"]["model"] == "parrot"  # type: ignore[index]
        async with connect(url + STANDARD_PATH + "?model=gpt-realtime") as client:
            assert (await first(client))["session"]["model"] == "gpt-realtime"  # type: ignore[index]


async def test_a_session_that_only_transcribes_is_of_its_own_kind_in_every_dialect() -> None:
    async with listening() as (_, url):
        async with connect(url + STANDARD_PATH + "?intent=transcription") as client:
            created = await first(client)
            assert created["session"]["object"] == "realtime.transcription_session"  # type: ignore[index]
            assert created["session"]["audio"]["input"]["transcription"]["model"] == "whisper-1"  # type: ignore[index]
        async with connect(url + STANDARD_PATH + "?intent=transcription", additional_headers={"OpenAI-Beta": "realtime=v1"}) as client:
            assert (await first(client))["type"] == "transcription_session.created"
        async with connect(url + CLASSIC_PATH + "?intent=transcription") as client:
            created = await first(client)
            assert (created["type"], created["session"]["turn_detection"]) == ("transcription_session.created", None)  # type: ignore[index]


async def test_a_server_without_a_voice_answers_in_text() -> None:
    async with listening(mute=True) as (_, url), connect(url + STANDARD_PATH) as client:
        assert (await first(client))["session"]["output_modalities"] == ["text"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("offered", "answered"),
    [(None, None), (["realtime", "openai-insecure-api-key.k"], "realtime"), (["openai-insecure-api-key.k"], None)],
)
async def test_the_subprotocol_is_realtime_or_none_and_never_a_key(offered: list[Subprotocol] | None, answered: str | None) -> None:
    async with listening() as (_, url), connect(url + STANDARD_PATH, subprotocols=offered) as client:
        assert client.subprotocol == answered


@pytest.mark.parametrize(
    ("path", "status", "part"),
    [
        ("/", 200, STANDARD_PATH),
        ("/healthz", 200, "ok"),
        ("/v1/reeltime", 404, STANDARD_PATH),
        (STANDARD_PATH, 426, "websocket client"),
    ],
)
async def test_plain_http_is_told_where_to_go(path: str, status: int, part: str) -> None:
    async with listening() as (_, url), aiohttp.ClientSession() as http, http.get(url.replace("ws", "http", 1) + path) as reply:
        assert reply.status == status
        assert part in (await reply.text()).lower()


KEY = Key("phone", hashed("a-long-random-key"))
HEADERS = {"Authorization": "Bearer a-long-random-key"}


def keyed() -> Access:
    """Somebody has one key."""
    return Access(lambda: Keys([KEY]), ClientSecrets(None), Origins(loopback=True, keys=True))


@pytest.mark.parametrize(
    ("headers", "code", "reason"),
    [
        ({}, None, "invalid_request_error"),
        ({"Authorization": "Bearer wrong"}, "invalid_api_key", "invalid_request_error.invalid_api_key"),
    ],
)
@pytest.mark.parametrize("path", [STANDARD_PATH, CLASSIC_PATH])
async def test_who_may_not_come_in_is_told_on_the_socket(
    path: str, headers: dict[str, str], code: str | None, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "realtime")
    async with listening(access=keyed()) as (_, url), connect(url + path, additional_headers=headers) as client:
        error, *closed = await turned_away(client)
        assert (error["type"], error["error"]["code"], closed) == ("error", code, [3000, reason])
        assert error["event_id"].startswith("event_")
    assert "127.0.0.1 was refused" in caplog.text
    assert "wrong" not in caplog.text


async def test_who_leaves_before_that_is_told_nothing() -> None:
    async with listening(access=keyed()) as (_, url):
        client = await connect(url + STANDARD_PATH)
        client.transport.abort()
        with pytest.raises(ConnectionClosed):
            [await client.recv() for _ in range(2)]


@pytest.mark.parametrize("path", AZURE_PATHS)
async def test_azures_addresses_refuse_the_handshake(path: str) -> None:
    async with listening(access=keyed()) as (_, url):
        with pytest.raises(InvalidStatus) as refused:
            await connect(url + path, additional_headers={"api-key": "wrong"})
        assert refused.value.response.status_code == 401
        assert json.loads(refused.value.response.body or b"")["error"]["code"] == "invalid_api_key"
        async with connect(url + path, additional_headers={"api-key": "a-long-random-key"}) as client:
            assert (await first(client))["type"] == "session.created"


async def test_a_strange_page_is_refused_at_the_handshake() -> None:
    async with listening(access=keyed()) as (_, url):
        with pytest.raises(InvalidStatus) as refused:
            await connect(url + STANDARD_PATH, origin=Origin("https://evil.example"), additional_headers=HEADERS)
        assert refused.value.response.status_code == 403
        async with connect(url + STANDARD_PATH, origin=Origin("http://localhost:3000"), additional_headers=HEADERS) as client:
            assert (await first(client))["type"] == "session.created"


async def mint(url: str, body: dict[str, Any], path: str = SECRETS_PATH, headers: dict[str, str] = HEADERS) -> dict[str, Any]:
    async with aiohttp.ClientSession() as http, http.post(url.replace("ws", "http", 1) + path, json=body, headers=headers) as reply:
        assert reply.status == 200, await reply.text()
        made: dict[str, Any] = await reply.json()
        return made


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (SECRETS_PATH, {"session": {"type": "realtime", "model": "mine", "instructions": "Be brief."}}),
        (BETA_PATH, {"model": "mine", "instructions": "Be brief."}),
    ],
)
async def test_a_client_secret_opens_the_session_that_it_was_minted_for(path: str, body: dict[str, Any]) -> None:
    async with listening(access=keyed()) as (_, url):
        made = await mint(url, body, path)
        secret = made["value"] if "value" in made else made["client_secret"]["value"]
        offered = [Subprotocol("realtime"), Subprotocol(f"openai-insecure-api-key.{secret}")]
        for address in (STANDARD_PATH + "?model=other", CLASSIC_PATH + "?intent=transcription"):
            async with connect(url + address, subprotocols=offered) as client:
                session: Any = (await first(client))["session"]
                assert (session["model"], session["instructions"]) == ("mine", "Be brief.")


async def test_a_client_secret_for_transcription_opens_such_a_session() -> None:
    async with listening(access=keyed()) as (_, url):
        made = await mint(url, {"session": {"type": "transcription"}})
        async with connect(url + STANDARD_PATH, additional_headers={"Authorization": f"Bearer {made['value']}"}) as client:
            assert (await first(client))["session"]["type"] == "transcription"  # type: ignore[index]


async def test_a_client_secret_without_a_session_leaves_it_to_the_address() -> None:
    async with listening(access=keyed()) as (_, url):
        made = await mint(url, {})
        headers = {"Authorization": f"Bearer {made['value']}"}
        async with connect(url + STANDARD_PATH + "?intent=transcription", additional_headers=headers) as client:
            assert (await first(client))["session"]["type"] == "transcription"  # type: ignore[index]


async def test_a_session_that_this_instance_can_not_give_is_refused_on_the_socket() -> None:
    access = keyed()
    async with listening(access=access) as (_, able), listening(access=access, mute=True) as (_, mute):
        made = await mint(able, {"session": {"type": "realtime", "output_modalities": ["audio"]}})
        async with connect(mute + STANDARD_PATH, additional_headers={"Authorization": f"Bearer {made['value']}"}) as client:
            error, code, _ = await turned_away(client)
            assert (error["error"]["param"], code) == ("session.output_modalities", 3000)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_websockets_address_takes_nothing_but_handshakes(method: str) -> None:
    async with listening() as (_, url), aiohttp.request(method, url.replace("ws", "http", 1) + STANDARD_PATH, data=b"{}") as reply:
        assert (reply.status, reply.headers["Allow"]) == (405, "GET")


async def test_a_port_that_is_taken_is_one_clear_line() -> None:
    async with listening() as (listener, _):
        second = Listener(listener._service, host="127.0.0.1", port=listener.port, grace_seconds=1)
        with pytest.raises(ConfigError, match=rf"SERVER_HOST=127.0.0.1, SERVER_PORT={listener.port}: .*in use"):
            await second.__aenter__()


async def test_stopping_lets_a_running_answer_end_and_says_1012() -> None:
    gate, begun = asyncio.Event(), asyncio.Event()

    async def begin() -> None:
        begun.set()

    async with AsyncExitStack() as clients:
        async with listening(ScriptedLlm([[begin, gate.wait, "At last."]]), mute=True) as (_, url):
            idle = await clients.enter_async_context(connect(url + STANDARD_PATH))
            busy = await clients.enter_async_context(connect(url + STANDARD_PATH))
            await busy.send('{"type":"response.create"}')
            await begun.wait()
            asyncio.get_running_loop().call_soon(gate.set)
        assert (await read_to_the_end(idle))[1] == 1012
        events, code = await read_to_the_end(busy)
        assert code == 1012
        assert [event["response"]["status"] for event in events if event["type"] == "response.done"] == ["completed"]


async def test_stopping_does_not_wait_for_an_answer_longer_than_the_grace_period() -> None:
    begun = asyncio.Event()

    async def begin() -> None:
        begun.set()

    async with AsyncExitStack() as clients:
        async with listening(ScriptedLlm([[begin, asyncio.Event().wait]]), grace_seconds=0.05) as (_, url):
            client = await clients.enter_async_context(connect(url + STANDARD_PATH))
            await client.send('{"type":"response.create"}')
            await begun.wait()
        events, code = await read_to_the_end(client)
        assert code == 1012
        done = [event["response"] for event in events if event["type"] == "response.done"]
        assert [response["status_details"]["error"]["code"] for response in done] == ["server_stopping"]


async def test_stopping_cuts_off_a_client_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "GOODBYE_SECONDS", 0.05)
    async with AsyncExitStack() as clients:
        async with listening(tts=ScriptedTts(seconds_per_character=20)) as (_, url):
            client = await clients.enter_async_context(connect(url + STANDARD_PATH, max_queue=1, close_timeout=0.1))
            await client.send('{"type":"response.create"}')
            done = False
            while not done:  # so that there is more sound on its way than the sockets hold
                done = json.loads(await client.recv())["type"] == "response.output_audio.delta"
        assert (await read_to_the_end(client))[1] == CloseCode.ABNORMAL_CLOSURE


async def test_nobody_is_accepted_once_it_has_stopped() -> None:
    async with listening() as (_, url):
        pass
    with pytest.raises(OSError):
        await connect(url + STANDARD_PATH)


REQUEST = (
    b"GET /v1/realtime HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
"""A whole handshake (RFC 6455, 1.3)."""


@pytest.mark.parametrize("passes", range(6))
async def test_whenever_it_stops_nobody_at_a_given_socket_is_lost(passes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """`passes` of the loop go by between the arrival of clients and the end: they are still outside, or anywhere on their way in."""
    monkeypatch.setattr(connection, "GOODBYE_SECONDS", 0.05)  # nobody here says goodbye
    with socket.create_server(("127.0.0.1", 0)) as door, ExitStack() as stack:
        async with listening(sockets=[door.dup()]):
            clients = [stack.enter_context(socket.create_connection(door.getsockname(), timeout=5)) for _ in range(5)]
            for client in clients:
                client.sendall(REQUEST)
            for _ in range(passes):
                await asyncio.sleep(0)
        async with listening(sockets=[door.dup()]) as (_, url), connect(url + STANDARD_PATH) as last:
            await first(last)  # let in after all others
        answers = [client.recv(100) for client in clients]
    assert [answer.partition(b"\r\n")[0] for answer in answers] == [b"HTTP/1.1 101 Switching Protocols"] * len(clients)


async def test_given_sockets_are_where_it_is_and_may_be_several() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        async with listening(sockets=[one.dup(), other.dup()]) as (listener, url):
            assert listener.addresses == [f"ws://127.0.0.1:{given.getsockname()[1]}" for given in (one, other)]
            assert listener.addresses[0] == url
            for where in listener.addresses:
                async with connect(where + STANDARD_PATH) as client:
                    await first(client)


# How many


async def refused(url: str, **how: Any) -> InvalidStatus:
    with pytest.raises(InvalidStatus) as caught:
        await connect(url, **how)
    return caught.value


async def test_a_session_too_many_is_told_at_the_handshake_and_when_to_come_back() -> None:
    metrics, bounds = Metrics(), Bounds(address=Quota(sessions=1, new_sessions=2))
    async with listening(bounds=bounds, metrics=metrics) as (_, url):
        for path in (STANDARD_PATH, AZURE_PATHS[0]):
            async with connect(url + path) as client:
                await first(client)
                response = (await refused(url + path)).response
                assert (response.status_code, response.headers["Retry-After"]) == (429, "5")
                error = json.loads(response.body)["error"]
                assert (error["code"], error["type"]) == ("rate_limit_exceeded", "rate_limit_error")
        response = (await refused(url + STANDARD_PATH)).response
        assert (response.status_code, 20 < int(response.headers["Retry-After"]) <= 30) == (429, True)
    counted = [metrics.registry.get_sample_value("realtime_sessions_refused_total", {"limit": f"address_{limit}"}) for limit in NAMED]
    assert counted == [2, 1]


NAMED = ("sessions", "new_sessions")


async def test_where_the_server_is_full_nobody_comes_in_until_somebody_leaves() -> None:
    async with listening(bounds=Bounds(sessions=1)) as (_, url):
        async with connect(url + CLASSIC_PATH) as client:
            await first(client)
            response = (await refused(url + STANDARD_PATH)).response
            assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
            assert json.loads(response.body)["error"]["code"] == "overloaded"
        async with connect(url + STANDARD_PATH) as client:
            await first(client)


async def test_while_the_loop_drowns_nobody_comes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening() as (_, url), connect(url + STANDARD_PATH) as client:
        await first(client)
        monkeypatch.setattr(Pulse, "lag", MAX_LAG_SECONDS * 2)
        assert (await refused(url + STANDARD_PATH)).response.status_code == 503
        await client.send('{"type":"input_audio_buffer.clear"}')
        while (await first(client))["type"] != "input_audio_buffer.cleared":
            pass


async def test_each_key_has_its_own_number_and_a_wrong_one_counts_for_the_address() -> None:
    bounds = Bounds(key=Quota(sessions=1), address=Quota(new_sessions=3))
    async with listening(access=keyed(), bounds=bounds) as (_, url), connect(url + STANDARD_PATH, additional_headers=HEADERS) as client:
        await first(client)
        assert (await refused(url + STANDARD_PATH, additional_headers=HEADERS)).response.status_code == 429
        for _ in range(2):
            async with connect(url + STANDARD_PATH) as stranger:
                assert (await turned_away(stranger))[1] == UNAUTHORIZED
        assert (await refused(url + STANDARD_PATH)).response.status_code == 429


async def test_who_is_turned_away_and_does_not_go_takes_nobodys_place() -> None:
    async with listening(access=keyed(), bounds=Bounds(sessions=1)) as (listener, url):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(REQUEST)
        await reader.readuntil(b"Missing bearer")
        async with connect(url + STANDARD_PATH, additional_headers=HEADERS) as client:
            await first(client)
        writer.close()


async def test_guesses_that_are_answered_at_the_handshake_count_for_the_address_too() -> None:
    async with listening(access=keyed(), bounds=Bounds(address=Quota(new_sessions=2))) as (_, url):
        statuses = [(await refused(url + AZURE_PATHS[0])).response.status_code for _ in range(3)]
    assert statuses == [401, 401, 429]


async def test_behind_a_trusted_proxy_the_address_that_it_names_counts() -> None:
    addresses = Addresses((ip_network("127.0.0.0/8"),))
    async with listening(addresses=addresses, bounds=Bounds(address=Quota(sessions=1))) as (_, url):
        one, other = ({"X-Forwarded-For": f"1.1.1.1, 198.51.100.{number}"} for number in (1, 2))
        async with connect(url + STANDARD_PATH, additional_headers=one), connect(url + STANDARD_PATH, additional_headers=other):
            assert (await refused(url + STANDARD_PATH, additional_headers=one)).response.status_code == 429


@pytest.mark.parametrize("passes", range(4))
async def test_who_is_gone_before_the_handshake_ends_takes_no_place(passes: int) -> None:
    async with listening(bounds=Bounds(sessions=1)) as (listener, url):
        with socket.create_connection(("127.0.0.1", listener.port), timeout=5) as client:
            client.sendall(REQUEST)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # it breaks off
            for _ in range(passes):
                await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        async with connect(url + STANDARD_PATH) as last:
            await first(last)


async def test_a_place_that_is_given_to_a_lost_connection_is_given_back_at_once() -> None:
    crowd = Crowd(Bounds())
    async with listening() as (listener, _):
        lost = Socket(ServerProtocol(), listener._servers[0], largest=PIECE)
        lost.protocol.receive_eof()
        lost.sit(crowd.enter(None, None, 0.0))
        assert len(crowd) == 0
