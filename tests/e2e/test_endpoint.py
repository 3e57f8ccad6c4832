"""A chat endpoint behind the daemon, by `OPENAI_BASE_URL` as a person would set it: what it is asked, and how it may fail."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.e2e.conftest import Start, need_models
from tests.e2e.orders import OPENING, SPOKEN_END, SPOKEN_TURN, WRITTEN_END, check_response, check_spoken_turn, outline
from tests.rigs.chat_endpoint import DEFAULT_TOKENS, PROMPT_TOKENS, ChatEndpoint, Reply, Stop, answer, chunk, event, hang_up, raw, refusal
from tests.rigs.daemon import SCRIPTED_EARS
from tests.rigs.recordings import recordings, word_error_rate
from tests.rigs.sounds import silence, voice
from tests.rigs.wire_client import Event, WireClient, spoken, words

KEY = "sk-secret-0123456789"
FOX = "".join(DEFAULT_TOKENS)
TEXT = {"output_modalities": ["text"]}

TINY = "1.0"
"""Seconds: a timeout that is meant to strike, and that an answer on a busy machine still meets."""


ONE_WORD_IN_NINE = 1 / 9 + 0.001
"""Of the fox's sentence, what the ear may get wrong of the voice."""


@pytest.mark.timeout(180)
async def test_a_spoken_question_reaches_the_endpoint_as_text_and_its_answer_is_spoken(start: Start, endpoint: ChatEndpoint) -> None:
    need_models("base")
    question = next(recording for recording in recordings() if recording.path.stem == "conf-getconfno")
    daemon = start(OPENAI_BASE_URL=endpoint.base_url, OPENAI_MODEL="fox-1", OPENAI_API_KEY=KEY)
    async with WireClient(daemon.url(), patience=60) as client:
        session = {"type": "realtime", "instructions": "Be brief.", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}
        await client.send({"type": "session.update", "session": session})
        await client.wait_for("session.updated")
        since = len(client.received)
        await client.speak(voice(question.audio))
        await client.speak(silence(1.0))
        response = await client.response()
        transcript = await client.wait_for("conversation.item.input_audio_transcription.completed")
        events = client.received[since:]

        assert outline(events) == [*SPOKEN_TURN, *OPENING, *SPOKEN_END]
        check_spoken_turn(events, transcript["item_id"])
        check_response(events, response)
        assert word_error_rate([question.text], [transcript["transcript"]]) <= 0.15
        (request,) = endpoint.requests
        assert request.body["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": transcript["transcript"]},
        ]
        assert (request.body["stream"], request.body["model"]) == (True, "fox-1")
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        assert (response["status"], words(response)) == ("completed", FOX)
        assert response["usage"]["input_tokens"] == PROMPT_TOKENS
        assert KEY not in daemon.output

        await client.send({"type": "conversation.item.create", "item": spoken(client.sound(response["id"]))})
        heard = await client.wait_for("conversation.item.input_audio_transcription.completed")
        assert word_error_rate([FOX], [heard["transcript"]]) <= ONE_WORD_IN_NINE


@pytest.fixture
async def client(start: Start, endpoint: ChatEndpoint) -> AsyncIterator[WireClient]:
    """Talks to a daemon with nothing but the endpoint and impatience."""
    options = ("--llm-first-token-seconds", TINY, "--llm-token-seconds", TINY)
    daemon = start(*SCRIPTED_EARS, *options, OPENAI_BASE_URL=endpoint.base_url)
    async with WireClient(daemon.url()) as client:
        yield client


async def test_a_written_answer_comes_in_order(client: WireClient, endpoint: ChatEndpoint) -> None:
    await client.say("Hello.")
    since = len(client.received)
    response = await client.respond(**TEXT)
    events = client.received[since:]
    assert outline(events) == [*OPENING, *WRITTEN_END]
    check_response(events, response)
    assert (response["status"], words(response)) == ("completed", FOX)
    assert "Authorization" not in endpoint.requests[0].headers


async def test_every_token_is_a_delta(client: WireClient) -> None:
    await client.say("Hello.")
    await client.respond(**TEXT)
    assert [event["delta"] for event in client.received if event["type"] == "response.output_text.delta"] == list(DEFAULT_TOKENS)


async def test_the_endpoint_is_told_the_whole_conversation(client: WireClient, endpoint: ChatEndpoint) -> None:
    await client.say("Hello.")
    await client.respond(**TEXT)
    await client.say("Again.")
    await client.respond(**TEXT, instructions="Shout.", temperature=0.5, max_output_tokens=99)
    body = endpoint.requests[-1].body
    assert body["messages"] == [
        {"role": "system", "content": "Shout."},
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": FOX},
        {"role": "user", "content": "Again."},
    ]
    assert (body["temperature"], body["max_tokens"]) == (0.5, 99)


async def test_an_answer_cut_by_its_limit_is_incomplete(client: WireClient, endpoint: ChatEndpoint) -> None:
    endpoint.script(answer("Hel", finish_reason="length"))
    await client.say("Hello.")
    response = await client.respond(**TEXT)
    assert (response["status"], words(response)) == ("incomplete", "Hel")
    assert response["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}


def said(code: str, **more: Any) -> Any:
    return {"error": {"message": f"It was {code}.", "type": "invalid_request_error", "code": code, **more}}


PASSING = refusal(429, {"error": {"message": "Slow down."}}, Retry_After="0")
BUSY = refusal(503, {"error": {"message": "Busy."}}, Retry_After="0")
AT_ONCE: dict[str, tuple[tuple[Reply, ...], str]] = {
    "401": ((refusal(401, said("invalid_api_key")),), "invalid_api_key"),
    "404": ((refusal(404, said("model_not_found")),), "model_not_found"),
    "404 without words": ((refusal(404, b"<html>"),), "model_not_found"),
    "429 for good": ((refusal(429, said("insufficient_quota")),), "insufficient_quota"),
    "429 again and again": ((PASSING,) * 3, "rate_limit_exceeded"),
    "503 again and again": ((BUSY,) * 3, "server_error"),
    "no first token": ((raw(Stop.HANG),), "timeout"),
    "no status": ((hang_up(),) * 3, "connection_error"),
}
"""Before there is a token: replies, and the code that the client is told."""

HALFWAY: dict[str, tuple[Reply, str]] = {
    "cut": (answer("Hel", Stop.CUT), "stream_interrupted"),
    "an end without a reason": (raw(chunk({"content": "Hel"})), "stream_interrupted"),
    "an error": (raw(chunk({"content": "Hel"}), event(said("overloaded"))), "overloaded"),
    "silence": (answer("Hel", Stop.HANG), "timeout"),
}
"""After the first token."""


async def lives_on(client: WireClient) -> None:
    response = await client.respond(**TEXT)
    assert (response["status"], words(response)) == ("completed", FOX)


def check_failure(response: Event, code: str) -> None:
    assert response["status"] == "failed"
    assert response["status_details"]["type"] == "failed"
    error = response["status_details"]["error"]
    assert error["code"] == code
    assert error["type"]
    assert error["message"]


@pytest.mark.parametrize(("replies", "code"), AT_ONCE.values(), ids=AT_ONCE.keys())
async def test_an_endpoint_that_refuses_makes_a_failed_response(
    client: WireClient, endpoint: ChatEndpoint, replies: tuple[Reply, ...], code: str
) -> None:
    endpoint.script(*replies)
    await client.say("Hello.")
    since = len(client.received)
    response = await client.respond(**TEXT)
    check_failure(response, code)
    assert response["output"] == []
    assert client.types(since) == ["response.created", "response.done", "rate_limits.updated"]
    assert len(endpoint.requests) == len(replies)
    await lives_on(client)


@pytest.mark.parametrize("modality", ["text", "audio"])
@pytest.mark.parametrize(("reply", "code"), HALFWAY.values(), ids=HALFWAY.keys())
async def test_an_endpoint_that_breaks_off_makes_a_failed_response_of_what_it_said(
    client: WireClient, endpoint: ChatEndpoint, reply: Reply, code: str, modality: str
) -> None:
    endpoint.script(reply)
    await client.say("Hello.")
    since = len(client.received)
    response = await client.respond(output_modalities=[modality])
    check_failure(response, code)
    assert words(response) == "Hel"
    assert response["output"][0]["status"] == "incomplete"
    assert outline(client.received[since:]) == [*OPENING, *(WRITTEN_END if modality == "text" else SPOKEN_END)]
    assert len(endpoint.requests) == 1
    await lives_on(client)


async def test_a_passing_refusal_is_not_even_noticed(client: WireClient, endpoint: ChatEndpoint) -> None:
    endpoint.script(PASSING, BUSY)
    await client.say("Hello.")
    await lives_on(client)
    assert len(endpoint.requests) == 3


async def test_an_endpoint_that_is_down_may_come_up_later(start: Start, endpoint: ChatEndpoint) -> None:
    with socket.socket() as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(("127.0.0.1", 0))  # taken, but nobody listens
        port = place.getsockname()[1]
        daemon = start(*SCRIPTED_EARS, OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1")
        async with WireClient(daemon.url()) as client:
            await client.say("Hello.")
            check_failure(await client.respond(**TEXT), "connection_error")
            await endpoint.listen_also(place.dup())  # closed by the endpoint, after this one
            await lives_on(client)
