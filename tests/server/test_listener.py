from __future__ import annotations

import asyncio
import json
import socket
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError
from websockets.typing import Subprotocol

from realtime.engines.scripted import ScriptedLlm, ScriptedTts
from realtime.errors import ConfigError
from realtime.server import connection
from realtime.server.http import AZURE_PATHS, CLASSIC_PATH, STANDARD_PATH
from realtime.server.listener import Listener
from tests.rigs.listening import listening


async def first(client: ClientConnection) -> dict[str, object]:
    event = json.loads(await client.recv())
    assert isinstance(event, dict)
    return event


async def read_to_the_end(client: ClientConnection) -> tuple[list[dict[str, Any]], int | None]:
    """Every event, and the code with which the server closed."""
    events = [json.loads(frame) async for frame in client]
    return events, client.close_code


async def test_each_address_speaks_its_dialect() -> None:
    async with listening() as (_, url):
        async with connect(url + STANDARD_PATH) as client:
            assert (await first(client))["session"]["type"] == "realtime"  # type: ignore[index]
        async with connect(url + STANDARD_PATH, additional_headers={"OpenAI-Beta": "realtime=v1"}) as client:
            assert (await first(client))["session"]["input_audio_format"] == "pcm16"  # type: ignore[index]
        async with connect(url + CLASSIC_PATH) as client:
            assert (await first(client))["session"]["turn_detection"] is None  # type: ignore[index]


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


async def test_a_port_that_is_taken_is_one_clear_line() -> None:
    async with listening() as (listener, _):
        second = Listener(listener._service, host="127.0.0.1", port=listener.port, grace_seconds=1)
        with pytest.raises(ConfigError, match=rf"SERVER_HOST=127.0.0.1, SERVER_PORT={listener.port}: .*in use"):
            await second.__aenter__()


async def test_stopping_lets_a_running_answer_end_and_says_1001() -> None:
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
        assert (await read_to_the_end(idle))[1] == 1001
        events, code = await read_to_the_end(busy)
        assert code == 1001
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
        assert code == 1001
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
        with pytest.raises(ConnectionClosedError):
            await read_to_the_end(client)


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
