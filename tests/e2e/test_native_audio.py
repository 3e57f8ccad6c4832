"""A model that hears and speaks by itself, behind a real daemon: what reaches the endpoint, and what comes back of its answer."""

from __future__ import annotations

import asyncio
import io
import wave
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from realtime.engines.scripted import SENTENCE
from realtime.media import formats
from realtime.ports import Int16
from tests.e2e.conftest import Start
from tests.e2e.orders import OPENING, SPOKEN_END, SPOKEN_TURN, check_response, check_spoken_turn, outline
from tests.e2e.test_tools import ROME, WEATHER, call
from tests.rigs.chat_endpoint import ChatEndpoint, Request, Stop, answer, chunk, event, raw, refusal, spoken, usage
from tests.rigs.sounds import WIRE_RATE, silence, tone
from tests.rigs.wire_client import Event, WireClient, words

EARS = ("--stt", "scripted", "--vad", "scripted")
"""There is no voice but the model's."""

HELLO = np.concatenate([tone(0.2), silence(0.1), tone(0.3)])
"""What the model says, 0.6 s."""

PIECES = [HELLO[start : start + 2400].tobytes() for start in range(0, len(HELLO), 2400)]
"""Tenths of a second."""


def hello() -> list[bytes]:
    """An answer as OpenAI streams it: transcript and sound side by side."""
    texts = ["Hello", " there,", " how", " are", " you", "?"]
    return [chunk({"role": "assistant", "audio": {"id": "audio_1", "transcript": ""}}), *map(spoken, texts, PIECES), spoken(expires_at=1)]


@pytest.fixture
async def client(start: Start, endpoint: ChatEndpoint) -> AsyncIterator[WireClient]:
    daemon = start(*EARS, OPENAI_BASE_URL=endpoint.base_url, OPENAI_MODEL="gpt-audio", REALTIME_NATIVE_AUDIO="both")
    assert "gpt-audio: at" in daemon.output
    assert "it hears and speaks" in daemon.output
    async with WireClient(daemon.url()) as client:
        yield client


async def configure(client: WireClient, **audio: Any) -> None:
    await client.send({"type": "session.update", "session": {"type": "realtime", "audio": audio}})
    await client.wait_for("session.updated")


def heard(part: Event) -> tuple[int, Int16]:
    """Rate and samples of what the endpoint was given to hear."""
    assert (part["type"], part["input_audio"]["format"]) == ("input_audio", "wav")
    with wave.open(io.BytesIO(b64decode(part["input_audio"]["data"], validate=True))) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), np.int16)


def user_parts(request: Request) -> list[Event]:
    return [part for message in request.body["messages"] if message["role"] == "user" for part in message["content"]]


async def test_a_spoken_question_is_heard_and_answered_in_the_models_own_voice(client: WireClient, endpoint: ChatEndpoint) -> None:
    counted = usage(9) | {"prompt_tokens_details": {"audio_tokens": 5}, "completion_tokens_details": {"audio_tokens": 7}}
    endpoint.script(raw(*hello(), chunk({}, "stop"), event({"choices": [], "usage": counted})))
    await configure(client, input={"transcription": {"model": "whisper-1"}}, output={"voice": "ash"})
    since, sent = len(client.received), np.concatenate([silence(0.5), tone(0.6), silence(1.0)])
    await client.speak(sent)
    response = await client.response()
    events = client.received[since:]

    assert outline(events) == [*SPOKEN_TURN, *OPENING, *SPOKEN_END]
    check_response(events, response)
    check_spoken_turn(events, (await client.wait_for("input_audio_buffer.committed"))["item_id"])
    completed = await client.wait_for("conversation.item.input_audio_transcription.completed")
    assert completed["transcript"] == SENTENCE

    (request,) = endpoint.requests
    assert (request.body["modalities"], request.body["audio"]) == (["text", "audio"], {"voice": "ash", "format": "pcm16"})
    rate, question = heard(*user_parts(request))
    assert rate == WIRE_RATE
    assert len(question) >= len(tone(0.6))
    assert question.tobytes() in sent.tobytes()

    deltas = [event["type"] for event in events if event["type"].endswith("delta") and event["type"].startswith("response.")]
    assert deltas == ["response.output_audio_transcript.delta", "response.output_audio.delta"] * 6
    assert words(response) == "Hello there, how are you?"
    assert client.sound(response["id"]).tobytes() == HELLO.tobytes()
    details = response["usage"]["input_token_details"], response["usage"]["output_token_details"]
    assert [(each["text_tokens"], each["audio_tokens"]) for each in details] == [(7, 5), (2, 7)]


async def test_the_next_question_begins_with_what_the_endpoint_knows(client: WireClient, endpoint: ChatEndpoint) -> None:
    endpoint.script(answer(*hello()), answer(*hello()))
    for _ in range(2):
        await client.speak(np.concatenate([tone(0.4), silence(0.6)]))
        await client.response()
    first, second = (request.body["messages"] for request in endpoint.requests)
    assert second[: len(first)] == first
    assert [message["role"] for message in second[len(first) :]] == ["assistant", "user"]
    assert second[-2]["content"] == "Hello there, how are you?", "an earlier answer goes back as text"
    assert len(user_parts(endpoint.requests[1])) == 2


@pytest.mark.parametrize(("kind", "encoding"), [("audio/pcmu", "ulaw"), ("audio/pcma", "alaw")])
async def test_a_telephone_hears_and_is_heard_too(
    client: WireClient, endpoint: ChatEndpoint, kind: str, encoding: formats.Encoding
) -> None:
    endpoint.script(answer(*hello()))
    await configure(client, input={"format": {"type": kind}, "turn_detection": None}, output={"format": {"type": kind}})
    sent = formats.encode(encoding, tone(0.5)[::3])
    await client.append(sent)
    await client.send({"type": "input_audio_buffer.commit"})
    response = await client.respond()

    rate, question = heard(*user_parts(endpoint.requests[0]))
    assert (rate, question.tolist()) == (8_000, formats.decode(encoding, sent).tolist())
    pieces = [b64decode(event["delta"]) for event in client.received if event["type"] == "response.output_audio.delta"]
    back = formats.decode(encoding, b"".join(pieces))
    assert len(back) == len(HELLO) // 3
    assert np.corrcoef(back, HELLO[::3])[0, 1] > 0.99
    assert words(response) == "Hello there, how are you?"


async def test_an_interrupted_answer_keeps_the_words_that_were_heard(client: WireClient, endpoint: ChatEndpoint) -> None:
    gate = asyncio.Event()
    endpoint.script(answer(*hello()[:5], spoken(" my"), spoken(" friend"), gate), answer(*hello()))
    await client.say("Hi.")
    await client.send({"type": "response.create"})
    await client.wait_for("response.output_audio_transcript.delta", delta=" friend")
    await client.speak(tone(0.4))
    response = await client.response()
    assert (response["status"], response["status_details"]["reason"]) == ("cancelled", "turn_detected")
    await endpoint.wait_for(lambda endpoint: endpoint.disconnects == 1)
    (item,) = response["output"]
    assert words(response) == "Hello there, how are my friend"

    for ms, said in ((400, "Hello there, how are"), (250, "Hello there,")):
        await client.send({"type": "conversation.item.truncate", "item_id": item["id"], "content_index": 0, "audio_end_ms": ms})
        await client.wait_for("conversation.item.truncated", audio_end_ms=ms)
        (part,) = (await client.retrieve(item["id"]))["content"]
        assert part["transcript"] == said
        assert b64decode(part["audio"]) == HELLO.tobytes()[: ms * 48]

    await client.speak(silence(0.6))
    await client.response()
    assert {"role": "assistant", "content": "Hello there,"} in endpoint.requests[1].body["messages"]


async def test_a_response_in_text_is_asked_for_and_given_in_text(client: WireClient, endpoint: ChatEndpoint) -> None:
    await client.say("Hi.")
    response = await client.respond(output_modalities=["text"])
    assert response["output"][0]["content"][0]["type"] == "output_text"
    assert endpoint.requests[0].body["modalities"] == ["text"]
    assert "audio" not in endpoint.requests[0].body


async def test_a_tool_is_called_beside_the_models_own_voice(client: WireClient, endpoint: ChatEndpoint) -> None:
    endpoint.script(answer(*hello(), *call(0, "call_1", ROME), finish_reason="tool_calls"))
    await client.say("What is the weather in Rome?")
    response = await client.respond(tools=[WEATHER])
    assert [item["type"] for item in response["output"]] == ["message", "function_call"]
    assert response["output"][1]["arguments"] == ROME
    assert client.sound(response["id"]).tobytes() == HELLO.tobytes()


async def test_an_answer_that_breaks_off_is_kept_as_far_as_it_came(client: WireClient, endpoint: ChatEndpoint) -> None:
    endpoint.script(answer(*hello()[:3], Stop.CUT), refusal(400, {"error": {"message": "Voice 'alloy' is not supported.", "code": "bad"}}))
    await client.say("Hi.")
    response = await client.respond()
    assert (response["status"], response["status_details"]["error"]["code"]) == ("failed", "stream_interrupted")
    (part,) = (await client.retrieve(response["output"][0]["id"]))["content"]
    assert (part["transcript"], b64decode(part["audio"])) == ("Hello there,", b"".join(PIECES[:2]))
    response = await client.respond()
    assert response["status_details"]["error"]["message"] == "Voice 'alloy' is not supported."


async def test_qwens_way_of_streaming_is_heard_too(client: WireClient, endpoint: ChatEndpoint) -> None:
    text = [chunk({"content": "Hello there,"}), chunk({"audio": {"transcript": "Hello there,"}})]
    sound = b64encode(HELLO.tobytes()).decode()
    pieces = [chunk({"audio": {"data": sound[start : start + 997]}}) for start in range(0, len(sound), 997)]
    endpoint.script(answer(*text, *pieces))
    await client.say("Hi.")
    response = await client.respond()
    assert words(response) == "Hello there,"
    assert client.sound(response["id"]).tobytes() == HELLO.tobytes()


async def test_how_hard_to_think_reaches_the_endpoint(client: WireClient, endpoint: ChatEndpoint) -> None:
    await client.say("Hi.")
    await client.respond(output_modalities=["text"], reasoning={"effort": "high"})
    await client.respond(output_modalities=["text"])
    assert [request.body.get("reasoning_effort") for request in endpoint.requests] == ["high", None]
