"""How the daemon ends, and how its clients do."""

from __future__ import annotations

import asyncio
from signal import SIGINT, SIGTERM, Signals

import pytest
from websockets.exceptions import InvalidStatus

from tests.e2e.conftest import Start
from tests.rigs.chat_endpoint import DEFAULT_TOKENS, ChatEndpoint, Stop, answer
from tests.rigs.daemon import SCRIPTED, SCRIPTED_EARS, Daemon
from tests.rigs.wire_client import WireClient, words

SERVICE_RESTART = 1012
"""Come back: the registry of RFC 6455, 11.7."""

TEXT = {"output_modalities": ["text"]}


async def ask(client: WireClient) -> None:
    await client.say("Hello.")
    await client.send({"type": "response.create", "response": TEXT})


async def tell_to_end(daemon: Daemon, number: Signals = SIGTERM) -> None:
    """Return when it has heard."""
    daemon.signal(number)
    await asyncio.to_thread(daemon.wait_for_line, "stopping")


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
async def test_an_idle_client_is_told_goodbye_and_all_is_well(start: Start, number: Signals) -> None:
    daemon = start(*SCRIPTED)
    async with WireClient(daemon.url()) as client:
        await client.wait_for("session.created")
        daemon.signal(number)
        code, reason = await client.closed()
        assert (code, reason) == (SERVICE_RESTART, "server is shutting down")
        assert await asyncio.to_thread(daemon.wait) == 0


async def test_a_daemon_that_nobody_uses_ends_at_once(start: Start) -> None:
    daemon = start(*SCRIPTED)
    assert await asyncio.to_thread(daemon.stop) == 0


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
async def test_a_running_answer_ends_and_is_delivered_before_the_goodbye(start: Start, endpoint: ChatEndpoint, number: Signals) -> None:
    daemon, gate = start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url), asyncio.Event()
    endpoint.script(answer("Not ", "yet", gate, ", but now."))
    async with WireClient(daemon.url()) as client:
        await ask(client)
        await client.wait_for("response.output_text.delta", delta="yet")
        await tell_to_end(daemon, number)
        gate.set()
        response = await client.response()
        assert (response["status"], words(response)) == ("completed", "Not yet, but now.")
        assert (await client.closed())[0] == SERVICE_RESTART
        assert await asyncio.to_thread(daemon.wait) == 0


async def test_nobody_new_is_let_in_while_an_answer_ends(start: Start, endpoint: ChatEndpoint) -> None:
    daemon, gate = start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url), asyncio.Event()
    endpoint.script(answer("Wait", gate, "."))
    async with WireClient(daemon.url()) as client:
        await ask(client)
        await client.wait_for("response.output_text.delta")
        # Nobody is let in before the idle are sent away, so their goodbye tells that it is so.
        async with WireClient(daemon.url()) as idle:
            await idle.wait_for("session.created")
            await tell_to_end(daemon)
            assert (await idle.closed())[0] == SERVICE_RESTART
        with pytest.raises(InvalidStatus, match="503"):
            async with WireClient(daemon.url()):
                pass
        gate.set()
        assert (await client.response())["status"] == "completed"


async def test_an_answer_that_never_ends_is_cut_when_the_grace_is_over(start: Start, endpoint: ChatEndpoint) -> None:
    daemon = start(*SCRIPTED_EARS, "--grace-seconds", "0.2", OPENAI_BASE_URL=endpoint.base_url)
    endpoint.script(answer("And so on", Stop.HANG))
    async with WireClient(daemon.url()) as client:
        await ask(client)
        await client.wait_for("response.output_text.delta")
        daemon.signal(SIGTERM)
        assert (await client.closed())[0] == SERVICE_RESTART
        assert await asyncio.to_thread(daemon.wait) == 0
    await endpoint.wait_for(lambda endpoint: endpoint.disconnects == 1)


async def test_a_second_signal_waits_for_nobody(start: Start, endpoint: ChatEndpoint) -> None:
    daemon = start(*SCRIPTED_EARS, "--grace-seconds", "3600", OPENAI_BASE_URL=endpoint.base_url)
    endpoint.script(answer("And so on", Stop.HANG))
    async with WireClient(daemon.url()) as client:
        await ask(client)
        await client.wait_for("response.output_text.delta")
        await tell_to_end(daemon)
        daemon.signal(SIGTERM)
        await client.closed()
        assert await asyncio.to_thread(daemon.wait) == 1


async def test_two_sessions_do_not_disturb_one_another(start: Start, endpoint: ChatEndpoint) -> None:
    daemon, gate = start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url), asyncio.Event()
    endpoint.script(answer("One ", gate, "and all."))
    async with WireClient(daemon.url()) as one, WireClient(daemon.url()) as other:
        await ask(one)
        await one.wait_for("response.output_text.delta")
        await other.say("Me too.")
        assert words(await other.respond(**TEXT)) == "".join(DEFAULT_TOKENS)
        assert "response.done" not in one.types()
        gate.set()
        assert words(await one.response()) == "One and all."
        heard = endpoint.requests[1].body["messages"]
        assert [message["content"] for message in heard if message["role"] == "user"] == ["Me too."]


async def test_a_client_that_breaks_off_leaves_no_request_behind(start: Start, endpoint: ChatEndpoint) -> None:
    daemon = start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url)
    endpoint.script(answer("Still ", Stop.HANG))
    async with WireClient(daemon.url()) as client:
        await ask(client)
        await client.wait_for("response.output_text.delta")
        client.socket.transport.abort()
        await endpoint.wait_for(lambda endpoint: endpoint.disconnects == 1)
    async with WireClient(daemon.url()) as client:
        await client.say("Is anybody there?")
        assert (await client.respond(**TEXT))["status"] == "completed"


async def test_a_client_that_says_goodbye_mid_answer_leaves_no_request_behind(start: Start, endpoint: ChatEndpoint) -> None:
    daemon = start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url)
    endpoint.script(answer("Still ", Stop.HANG))
    async with WireClient(daemon.url()) as client:
        await ask(client)
        await client.wait_for("response.output_text.delta")
    await endpoint.wait_for(lambda endpoint: endpoint.disconnects == 1)
