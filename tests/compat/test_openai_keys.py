"""The `openai` package, unmodified, where a key is needed: the right one, a wrong one, and a client secret that it has minted.

Every frame of every test is held against the package's own types (`conftest.py`).
"""

from __future__ import annotations

from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError

from tests.compat.test_openai_python import STANDARD, openai, say, until
from tests.e2e.conftest import Start
from tests.rigs.chat_endpoint import ChatEndpoint
from tests.rigs.daemon import SCRIPTED_EARS, Daemon
from tests.rigs.tap import Tap

KEY = "a-long-random-key"


@pytest.fixture
def daemon(start: Start, endpoint: ChatEndpoint) -> Daemon:
    """One that needs a key; the tap stands before it."""
    return start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url, REALTIME_API_KEYS=f"phone={KEY}")


async def answered(tap: Tap, key: str) -> Any:
    """The session that a key opens, once a question has been answered in it."""
    async with openai.AsyncOpenAI(api_key=key, base_url=tap.url("http")) as client, client.realtime.connect(model="x") as connection:
        created = (await until(connection, "session.created"))[-1]
        await say(connection, "What does the fox do?")
        await connection.response.create(response={"output_modalities": ["text"]})
        done = (await until(connection, "response.done"))[-1]
        assert done.response.output[0].content[0].text == STANDARD
        return created.session


async def test_the_right_key_opens(tap: Tap) -> None:
    assert (await answered(tap, KEY)).model == "x"


async def test_a_wrong_key_is_told_so(tap: Tap) -> None:
    async with openai.AsyncOpenAI(api_key="wrong", base_url=tap.url("http")) as client, client.realtime.connect(model="x") as connection:
        error = await connection.recv()
        assert (error.type, error.error.code) == ("error", "invalid_api_key")
        assert "Incorrect API key provided" in error.error.message
        with pytest.raises(ConnectionClosedError) as closed:
            await connection.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (3000, "invalid_request_error.invalid_api_key")


async def test_a_wrong_key_is_told_so_in_beta(beta_tap: Tap) -> None:
    client = openai.AsyncOpenAI(api_key="wrong", websocket_base_url=beta_tap.url())
    async with client, client.beta.realtime.connect(model="x") as connection:
        error = await connection.recv()
        assert (error.type, error.error.code) == ("error", "invalid_api_key")


def at(daemon: Daemon, key: str) -> Any:
    """A client that asks the daemon over HTTP, where the tap would not understand it."""
    return openai.AsyncOpenAI(api_key=key, base_url=daemon.url("/v1").replace("ws", "http", 1), max_retries=0)


async def test_a_client_secret_that_it_mints_opens_the_session_it_was_minted_for(daemon: Daemon, tap: Tap) -> None:
    session = {"type": "realtime", "model": "mine", "instructions": "Be brief.", "audio": {"output": {"voice": "ash"}}}
    async with at(daemon, KEY) as client:
        made = await client.realtime.client_secrets.create(session=session, expires_after={"anchor": "created_at", "seconds": 60})
    assert (made.session.type, made.session.model, made.session.audio.output.voice) == ("realtime", "mine", "ash")
    opened = await answered(tap, made.value)
    assert (opened.model, opened.instructions, opened.audio.output.voice) == ("mine", "Be brief.", "ash")


async def test_it_mints_in_beta(daemon: Daemon, beta_tap: Tap) -> None:
    from tests.compat.schemas import BETA_MODEL

    async with at(daemon, KEY) as client:
        made = await client.beta.realtime.sessions.create(model=BETA_MODEL, voice="ash")
        transcription = await client.beta.realtime.transcription_sessions.create(input_audio_format="g711_ulaw")
    assert transcription.input_audio_format == "g711_ulaw"
    client = openai.AsyncOpenAI(api_key=made.client_secret.value, websocket_base_url=beta_tap.url())
    async with client, client.beta.realtime.connect(model=BETA_MODEL) as connection:
        assert (await until(connection, "session.created"))[-1].session.voice == "ash"


async def test_who_has_no_key_mints_nothing(daemon: Daemon) -> None:
    async with at(daemon, "wrong") as client:
        with pytest.raises(openai.AuthenticationError, match="Incorrect API key provided"):
            await client.realtime.client_secrets.create()
