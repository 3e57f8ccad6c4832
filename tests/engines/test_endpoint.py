"""HTTP to an endpoint: pool, deadlines, retries, cancellation."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from realtime.engines import endpoint as endpoint_module
from realtime.engines.endpoint import MAX_ERROR_BODY, Endpoint, Kinds, Reply, Timeouts
from realtime.engines.refusals import Refused
from realtime.engines.retries import MAX_ATTEMPTS, Unreachable
from realtime.errors import EngineError
from tests.rigs.chat_endpoint import ChatEndpoint, Stop, answer, hang_up, raw, refusal
from tests.rigs.chat_endpoint import Reply as Script

PATH = "/chat/completions"
PATIENCE = Timeouts(connect=10, first_token=10, between_tokens=10)
TINY = 0.02
"""Seconds: a timeout that is meant to strike."""


class Pauses:
    """Takes the place of `asyncio.sleep`; remembers what was asked and waits for nothing."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
async def stub() -> AsyncIterator[ChatEndpoint]:
    async with ChatEndpoint() as stub:
        yield stub


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@asynccontextmanager
async def reaching(base_url: str, pauses: Pauses, *, key: str | None = None, timeouts: Timeouts = PATIENCE) -> AsyncIterator[Endpoint]:
    endpoint = Endpoint(base_url, key, timeouts=timeouts, dice=lambda: 1.0, pause=pauses)
    try:
        yield endpoint
    finally:
        await endpoint.close()


def within(seconds: float = 10) -> float:
    return asyncio.get_running_loop().time() + seconds


async def post(endpoint: Endpoint, deadline: float | None = None) -> Reply:
    return await endpoint.post(PATH, b"{}", deadline=within() if deadline is None else deadline)


async def whole(reply: Reply) -> bytes:
    body = b""
    while chunk := await reply.read(within()):
        body += chunk
    reply.close()
    return body


async def test_a_reply_is_read_to_its_end(stub: ChatEndpoint, pauses: Pauses) -> None:
    stub.script(raw(b"one ", b"two"))
    async with reaching(stub.base_url + "/", pauses) as endpoint:
        assert await whole(await post(endpoint)) == b"one two"


async def test_who_says_anything_is_reachable(stub: ChatEndpoint, pauses: Pauses) -> None:
    async with reaching(stub.base_url, pauses) as endpoint:  # it knows no such path
        assert await endpoint.reachable(10)
    assert stub.requests == []


@pytest.mark.parametrize(("status", "reachable"), [(200, True), (302, True), (401, True), (404, True), (500, False), (502, False)])
async def test_a_refusal_is_an_answer_and_a_failure_is_none(status: int, reachable: bool, pauses: Pauses) -> None:
    async def refuse(request: web.Request) -> web.Response:
        assert request.path == "/v1/models"
        return web.Response(status=status, headers={"Location": "http://127.0.0.1:1/"})

    app = web.Application()
    app.router.add_get("/v1/models", refuse)
    async with TestServer(app) as server, reaching(str(server.make_url("/v1")), pauses) as endpoint:
        assert await endpoint.reachable(10) is reachable


async def test_nobody_and_silence_are_not_reachable(pauses: Pauses) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        async with reaching(f"http://127.0.0.1:{port}/v1", pauses) as endpoint:
            assert not await endpoint.reachable(TINY)
    async with reaching(f"http://127.0.0.1:{port}/v1", pauses) as endpoint:
        assert not await endpoint.reachable(10)


async def test_the_key_is_sent_as_a_bearer(stub: ChatEndpoint, pauses: Pauses) -> None:
    async with reaching(stub.base_url, pauses, key="sk-1") as endpoint:
        await whole(await post(endpoint))
    assert stub.requests[0].headers["Authorization"] == "Bearer sk-1"


@pytest.mark.parametrize("key", [None, ""])
async def test_no_key_no_authorization(stub: ChatEndpoint, pauses: Pauses, key: str | None) -> None:
    async with reaching(stub.base_url, pauses, key=key) as endpoint:
        await whole(await post(endpoint))
    assert "Authorization" not in stub.requests[0].headers


async def test_no_proxy_is_invited_to_compress(stub: ChatEndpoint, pauses: Pauses) -> None:
    async with reaching(stub.base_url, pauses) as endpoint:
        await whole(await post(endpoint))
    assert stub.requests[0].headers["Accept-Encoding"] == "identity"


async def test_json_is_posted_and_events_are_hoped_for_unless_something_else_is_said(stub: ChatEndpoint, pauses: Pauses) -> None:
    async with reaching(stub.base_url, pauses) as endpoint:
        await whole(await post(endpoint))
        await whole(await endpoint.post(PATH, b"{}", deadline=within(), kinds=Kinds("text/x-sent", "audio/x-hoped")))
    kinds = [(request.headers["Content-Type"], request.headers["Accept"]) for request in stub.requests]
    assert kinds == [("application/json", "text/event-stream, application/json"), ("text/x-sent", "audio/x-hoped")]


async def test_a_body_of_many_bytes_arrives_whole(stub: ChatEndpoint, pauses: Pauses) -> None:
    body = b'"' + b"x" * (5 << 20) + b'"'
    async with reaching(stub.base_url, pauses) as endpoint:
        await whole(await endpoint.post(PATH, body, deadline=within()))
    assert len(stub.requests[0].body) == 5 << 20


@pytest.mark.parametrize(("header", "type"), [({"Content-Type": "Audio/PCM; rate=1"}, "audio/pcm"), ({}, "application/octet-stream")])
async def test_a_reply_tells_its_media_type(stub: ChatEndpoint, pauses: Pauses, header: dict[str, str], type: str) -> None:
    stub.script(Script((b"x",), headers=header))
    async with reaching(stub.base_url, pauses) as endpoint:
        reply = await post(endpoint)
        assert (reply.type, reply.header("content-type")) == (type, header.get("Content-Type", "application/octet-stream"))
        assert reply.header("X-Unheard-Of") == ""
        assert await whole(reply) == b"x"


async def test_a_reply_can_be_read_whole_up_to_a_limit(stub: ChatEndpoint, pauses: Pauses) -> None:
    stub.script(*[raw(b"one ", b"two")] * 2)
    async with reaching(stub.base_url, pauses) as endpoint:
        reply = await post(endpoint)
        assert await reply.read_whole(7, within()) == b"one two"
        reply.close()
        reply = await post(endpoint)
        with pytest.raises(EngineError, match="more than 6 bytes") as caught:
            await reply.read_whole(6, within())
        reply.close()
    assert caught.value.code == "server_error"


async def test_a_connection_serves_again(stub: ChatEndpoint, pauses: Pauses) -> None:
    async with reaching(stub.base_url, pauses) as endpoint:
        for _ in range(2):
            await whole(await post(endpoint))
    assert stub.requests[0].connection == stub.requests[1].connection


async def test_a_left_reply_gives_its_connection_back_when_its_end_comes(stub: ChatEndpoint, pauses: Pauses) -> None:
    gate = asyncio.Event()
    stub.script(raw(b"all", gate))
    async with reaching(stub.base_url, pauses) as endpoint:
        reply = await post(endpoint)
        assert await reply.read(within()) == b"all"
        ended = asyncio.Event()
        reply._response.content.on_eof(ended.set)
        reply.leave()
        reply.close()
        gate.set()
        await ended.wait()
        await whole(await post(endpoint))
    assert stub.requests[0].connection == stub.requests[1].connection


async def test_a_left_reply_that_never_ends_is_cut(stub: ChatEndpoint, pauses: Pauses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "LINGER", TINY)
    stub.script(raw(b"all", Stop.HANG))
    async with reaching(stub.base_url, pauses) as endpoint:
        reply = await post(endpoint)
        await reply.read(within())
        reply.leave()
        reply.close()
        await stub.wait_for(lambda stub: stub.disconnects == 1)


async def test_a_refusal_carries_what_the_endpoint_said(stub: ChatEndpoint, pauses: Pauses) -> None:
    stub.script(refusal(404, {"error": {"message": "No such model, sk-1."}}))
    async with reaching(stub.base_url, pauses, key="sk-1") as endpoint:
        with pytest.raises(Refused) as caught:
            await post(endpoint)
    assert (caught.value.status, caught.value.code, caught.value.message) == (404, "model_not_found", "No such model, ***.")
    assert pauses.seconds == []


async def test_a_huge_refusal_is_not_read_whole(stub: ChatEndpoint, pauses: Pauses) -> None:
    stub.script(refusal(400, b"x" * (MAX_ERROR_BODY + 1)))
    async with reaching(stub.base_url, pauses) as endpoint:
        with pytest.raises(Refused) as caught:
            await post(endpoint)
    assert len(caught.value.body) == MAX_ERROR_BODY


async def test_a_refusal_cut_short_is_still_a_refusal(stub: ChatEndpoint, pauses: Pauses) -> None:
    stub.script(Script((b'{"error":', Stop.CUT), status=401))
    async with reaching(stub.base_url, pauses) as endpoint:
        with pytest.raises(Refused) as caught:
            await post(endpoint)
    assert caught.value.code == "invalid_api_key"


@pytest.mark.parametrize("failure", [refusal(429), refusal(503), hang_up()], ids=["429", "503", "no answer"])
async def test_a_passing_failure_is_tried_again(stub: ChatEndpoint, pauses: Pauses, failure: Script) -> None:
    stub.script(failure, raw(b"at last"))
    async with reaching(stub.base_url, pauses) as endpoint:
        assert await whole(await post(endpoint)) == b"at last"
    assert len(pauses.seconds) == 1


async def test_what_nobody_wants_later_is_not_tried_again(stub: ChatEndpoint, pauses: Pauses) -> None:
    stub.script(refusal(503))
    async with reaching(stub.base_url, pauses) as endpoint:
        with pytest.raises(Refused):
            await endpoint.post(PATH, b"{}", deadline=within(), retry=False)
    assert (len(stub.requests), pauses.seconds) == (1, [])


async def test_retry_after_sets_the_pause(stub: ChatEndpoint, pauses: Pauses) -> None:
    stub.script(refusal(429, Retry_After="2"), raw(b"at last"))
    async with reaching(stub.base_url, pauses) as endpoint:
        await whole(await post(endpoint))
    assert pauses.seconds == [2.0]


async def test_attempts_are_bounded(stub: ChatEndpoint, pauses: Pauses) -> None:
    stub.script(*[refusal(500)] * MAX_ATTEMPTS)
    async with reaching(stub.base_url, pauses) as endpoint:
        with pytest.raises(Refused):
            await post(endpoint)
    assert (len(stub.requests), len(pauses.seconds)) == (MAX_ATTEMPTS, MAX_ATTEMPTS - 1)


async def test_no_pause_goes_past_the_deadline(stub: ChatEndpoint, pauses: Pauses) -> None:
    stub.script(refusal(429, Retry_After="5"))
    async with reaching(stub.base_url, pauses) as endpoint:
        with pytest.raises(Refused):
            await post(endpoint, within(4))
    assert pauses.seconds == []


async def test_nobody_there_is_a_connection_error(pauses: Pauses) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
    async with reaching(url, pauses) as endpoint:
        with pytest.raises(Unreachable) as caught:
            await post(endpoint)
    assert (caught.value.code, len(pauses.seconds)) == ("connection_error", MAX_ATTEMPTS - 1)


async def test_a_connection_that_does_not_come_about_times_out(pauses: Pauses) -> None:
    # A full backlog: the kernel lets further connections wait.
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        first.connect(full.getsockname())
        timeouts = Timeouts(connect=TINY, first_token=10, between_tokens=10)
        async with reaching(f"http://127.0.0.1:{full.getsockname()[1]}/v1", pauses, timeouts=timeouts) as endpoint:
            with pytest.raises(Unreachable) as caught:
                await post(endpoint)
    assert (caught.value.code, len(pauses.seconds)) == ("timeout", MAX_ATTEMPTS - 1)


async def test_no_status_in_time_is_a_timeout_and_not_tried_again(stub: ChatEndpoint, pauses: Pauses) -> None:
    stub.script(Script((), before_status=(Stop.HANG,)))
    async with reaching(stub.base_url, pauses) as endpoint:
        with pytest.raises(EngineError) as caught:
            await post(endpoint, within(TINY))
        await stub.wait_for(lambda stub: stub.disconnects == 1)
    assert (caught.value.code, len(stub.requests)) == ("timeout", 1)


async def test_a_silence_in_the_body_is_a_timeout(stub: ChatEndpoint, pauses: Pauses) -> None:
    stub.script(raw(b"one", Stop.HANG))
    async with reaching(stub.base_url, pauses) as endpoint:
        reply = await post(endpoint)
        await reply.read(within())
        with pytest.raises(EngineError) as caught:
            await reply.read(within(TINY))
        reply.close()
        await stub.wait_for(lambda stub: stub.disconnects == 1)
    assert caught.value.code == "timeout"


async def test_a_deadline_that_moves_on_keeps_its_timer_until_it_is_due(stub: ChatEndpoint, pauses: Pauses) -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    stub.script(raw(b"one", gates[0], b"two", gates[1], b"three"))
    async with reaching(stub.base_url, pauses) as endpoint:
        reply = await post(endpoint)
        await reply.read(within(TINY * 5))
        due = asyncio.Event()
        asyncio.get_running_loop().call_later(TINY * 10, due.set)
        reading = asyncio.create_task(reply.read(within()))
        await due.wait()
        gates[0].set()
        assert await reading == b"two"
        gates[1].set()
        assert await whole(reply) == b"three"


async def test_no_deadline_runs_while_nobody_reads(stub: ChatEndpoint, pauses: Pauses) -> None:
    gate = asyncio.Event()
    stub.script(raw(b"one", gate, b"two"))
    async with reaching(stub.base_url, pauses) as endpoint:
        reply = await post(endpoint)
        await reply.read(within(TINY))
        due = asyncio.Event()
        asyncio.get_running_loop().call_later(TINY * 2, due.set)
        await due.wait()
        gate.set()
        assert await whole(reply) == b"two"


async def test_a_cut_in_the_body_is_an_interruption(stub: ChatEndpoint, pauses: Pauses) -> None:
    gate = asyncio.Event()
    stub.script(raw(b"one", gate, Stop.CUT))
    async with reaching(stub.base_url, pauses) as endpoint:
        reply = await post(endpoint)
        await reply.read(within())
        gate.set()
        with pytest.raises(EngineError) as caught:
            await reply.read(within())
        reply.close()
    assert caught.value.code == "stream_interrupted"


WAITS: dict[str, tuple[Script, Callable[[ChatEndpoint], bool]]] = {
    "before the status": (Script((), before_status=(Stop.HANG,)), lambda stub: len(stub.requests) == 1),
    "inside a refusal": (Script((b"{", Stop.HANG), status=400), lambda stub: len(stub.requests) == 1),
    "inside the body": (answer("one", Stop.HANG), lambda stub: len(stub.requests) == 1),
}


@pytest.mark.parametrize(("script", "asked"), WAITS.values(), ids=WAITS)
async def test_a_cancelled_reader_disconnects_at_once(
    stub: ChatEndpoint, pauses: Pauses, script: Script, asked: Callable[[ChatEndpoint], bool]
) -> None:
    async def read() -> None:
        reply = await post(endpoint)
        try:
            while await reply.read(within()):
                pass
        finally:
            reply.close()

    stub.script(script)
    async with reaching(stub.base_url, pauses) as endpoint:
        reading = asyncio.create_task(read())
        await stub.wait_for(asked)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await stub.wait_for(lambda stub: stub.disconnects == 1)


async def test_closing_twice_is_closing_once(stub: ChatEndpoint, pauses: Pauses) -> None:
    async with reaching(stub.base_url, pauses) as endpoint:
        await whole(await post(endpoint))
        await endpoint.close()


async def test_closing_cuts_the_replies_that_linger(stub: ChatEndpoint, pauses: Pauses) -> None:
    stub.script(raw(b"all", Stop.HANG))
    async with reaching(stub.base_url, pauses) as endpoint:
        reply = await post(endpoint)
        await reply.read(within())
        reply.leave()
        reply.close()
    assert reply._response.connection is None
    await stub.wait_for(lambda stub: stub.disconnects == 1)


async def test_closing_interrupts_a_reply_that_is_being_read(stub: ChatEndpoint, pauses: Pauses) -> None:
    stub.script(raw(b"one", Stop.HANG))
    async with reaching(stub.base_url, pauses) as endpoint:
        reply = await post(endpoint)
        await reply.read(within())
        reading = asyncio.create_task(reply.read(within()))
        await asyncio.wait([reading], timeout=0)
        await endpoint.close()
        with pytest.raises(EngineError) as caught:
            await reading
        reply.close()
    assert caught.value.code == "stream_interrupted"


async def test_a_broken_reply_does_not_linger(stub: ChatEndpoint, pauses: Pauses) -> None:
    stub.script(raw(b"one", Stop.HANG))
    async with reaching(stub.base_url, pauses) as endpoint:
        reply = await post(endpoint)
        await reply.read(within())
        with pytest.raises(EngineError):
            await reply.read(within(TINY))
        reply.leave()
        reply.close()
        assert reply._response.connection is None
