"""Speaking into a running answer, over the wire: it ends, closed in order, and can be cut to what was heard."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator

import numpy as np
import pytest

from realtime.engines.scripted import SENTENCE
from tests.e2e.conftest import Start
from tests.e2e.orders import OPENING, SPOKEN_END, SPOKEN_TURN, WRITTEN_END, outline
from tests.rigs.chat_endpoint import DEFAULT_TOKENS, ChatEndpoint, answer
from tests.rigs.daemon import SCRIPTED_EARS
from tests.rigs.recordings import spread
from tests.rigs.sounds import WIRE_RATE, silence, tone, voice
from tests.rigs.wire_client import WireClient, words

BEGINNING = "Once upon a time there was a fox. "
"""The first clause of the long answer, two seconds of sound. The endpoint holds back the rest, so that the answer is surely running."""

PLAYED_MS = 400
"""Of that, what was heard before the listener spoke."""


@pytest.fixture
async def client(start: Start, endpoint: ChatEndpoint) -> AsyncIterator[WireClient]:
    daemon = start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url)
    async with WireClient(daemon.url()) as client:
        yield client


@pytest.fixture
async def gate(endpoint: ChatEndpoint) -> asyncio.Event:
    """Holds the long answer back until it is set."""
    gate = asyncio.Event()
    endpoint.script(answer(BEGINNING, gate, "The end."))
    return gate


async def begin_story(client: WireClient, **wanted: object) -> str:
    """Have the long answer made, and wait until it is under way; return the id of its item."""
    await client.say("Tell me a story.")
    await client.send({"type": "response.create", "response": wanted})
    added = await client.wait_for("response.output_item.added")
    await client.wait_for("response.output_text.delta" if wanted else "response.output_audio.delta")
    item_id: str = added["item"]["id"]
    return item_id


async def interrupt(client: WireClient) -> None:
    await client.speak(tone(0.4))
    await client.response()


async def truncate(client: WireClient, item_id: str, ms: int) -> None:
    await client.send({"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0, "audio_end_ms": ms})


async def test_speech_ends_the_answer_with_every_closing_in_order(client: WireClient, gate: asyncio.Event) -> None:
    item_id = await begin_story(client)
    await client.speak(tone(0.4))
    response = await client.response()
    assert response["status"] == "cancelled"
    assert response["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    (item,) = response["output"]
    assert (item["id"], item["status"]) == (item_id, "incomplete")
    assert item["content"] == [{"type": "output_audio", "transcript": BEGINNING}]
    started = outline(client.received).index("response.created")
    assert outline(client.received)[started:] == [*OPENING, "input_audio_buffer.speech_started", *SPOKEN_END]


async def test_a_human_voice_ends_it_and_is_answered(start: Start, endpoint: ChatEndpoint, gate: asyncio.Event) -> None:
    daemon = start("--stt", "scripted", "--tts", "scripted", OPENAI_BASE_URL=endpoint.base_url)
    async with WireClient(daemon.url()) as client:
        item_id = await begin_story(client)
        await client.speak(np.concatenate([voice(spread(1)[0].audio), silence(1.0)]))
        response = await client.response()
        assert response["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
        await truncate(client, item_id, PLAYED_MS)
        await client.wait_for("conversation.item.truncated")
        while response["status"] == "cancelled":  # a speaker who pauses interrupts the answer to what came before
            response = await client.response()
        assert words(response) == "".join(DEFAULT_TOKENS)


async def test_a_written_answer_is_ended_too(client: WireClient, gate: asyncio.Event) -> None:
    await begin_story(client, output_modalities=["text"])
    await client.speak(tone(0.4))
    response = await client.response()
    assert (response["status"], words(response)) == ("cancelled", BEGINNING)
    assert outline(client.received)[-len(WRITTEN_END) - 1 :] == ["input_audio_buffer.speech_started", *WRITTEN_END]


async def test_the_endpoint_sees_that_nobody_listens_any_more(client: WireClient, endpoint: ChatEndpoint, gate: asyncio.Event) -> None:
    await begin_story(client)
    await interrupt(client)
    await endpoint.wait_for(lambda endpoint: endpoint.disconnects == 1)


async def test_what_interrupted_is_a_turn_and_is_answered(client: WireClient, endpoint: ChatEndpoint, gate: asyncio.Event) -> None:
    await begin_story(client)
    await interrupt(client)
    since = len(client.received)
    await client.speak(silence(1.0))
    response = await client.response()
    assert (response["status"], words(response)) == ("completed", "".join(DEFAULT_TOKENS))
    assert outline(client.received[since:]) == [*SPOKEN_TURN[1:], *OPENING, *SPOKEN_END]
    heard = [(message["role"], message["content"]) for message in endpoint.requests[-1].body["messages"]]
    assert heard[-3:] == [("user", "Tell me a story."), ("assistant", BEGINNING), ("user", SENTENCE)]


async def test_truncating_leaves_the_sound_and_the_words_that_were_heard(client: WireClient, gate: asyncio.Event) -> None:
    item_id = await begin_story(client)
    await interrupt(client)
    before = (await client.retrieve(item_id))["content"][0]
    await truncate(client, item_id, PLAYED_MS)
    truncated = await client.wait_for("conversation.item.truncated")
    assert (truncated["item_id"], truncated["content_index"], truncated["audio_end_ms"]) == (item_id, 0, PLAYED_MS)
    after = (await client.retrieve(item_id))["content"][0]
    sound = b64decode(after["audio"])
    assert len(sound) == PLAYED_MS * WIRE_RATE // 1000 * 2
    assert b64decode(before["audio"]).startswith(sound)
    assert len(b64decode(before["audio"])) > len(sound)
    assert before["transcript"] == BEGINNING
    assert BEGINNING.startswith(after["transcript"])
    assert 0 < len(after["transcript"].split()) < len(BEGINNING.split())


async def test_the_model_is_told_only_what_was_heard(client: WireClient, endpoint: ChatEndpoint, gate: asyncio.Event) -> None:
    item_id = await begin_story(client)
    await interrupt(client)
    await truncate(client, item_id, PLAYED_MS)
    heard = (await client.retrieve(item_id))["content"][0]["transcript"]
    await client.speak(silence(1.0))
    await client.response()
    assert {"role": "assistant", "content": heard} in endpoint.requests[-1].body["messages"]


async def test_an_answer_that_was_whole_already_can_be_truncated(client: WireClient) -> None:
    await client.say("Hello.")
    response = await client.respond()
    item_id = response["output"][0]["id"]
    await truncate(client, item_id, PLAYED_MS)
    await client.wait_for("conversation.item.truncated")
    part = (await client.retrieve(item_id))["content"][0]
    assert len(b64decode(part["audio"])) == PLAYED_MS * WIRE_RATE // 1000 * 2


async def test_truncating_to_more_than_there_is_changes_nothing(client: WireClient) -> None:
    await client.say("Hello.")
    response = await client.respond()
    item_id = response["output"][0]["id"]
    await truncate(client, item_id, 3_600_000)
    assert (await client.wait_for("error"))["error"]["param"] == "audio_end_ms"
    assert (await client.retrieve(item_id))["content"][0]["transcript"] == "".join(DEFAULT_TOKENS)


async def test_an_answer_that_may_not_be_interrupted_is_finished_first(
    client: WireClient, endpoint: ChatEndpoint, gate: asyncio.Event
) -> None:
    detection = {"type": "server_vad", "interrupt_response": False}
    await client.send({"type": "session.update", "session": {"type": "realtime", "audio": {"input": {"turn_detection": detection}}}})
    await client.wait_for("session.updated")
    await begin_story(client)
    await client.speak(tone(0.4))
    await client.speak(silence(1.0))
    await client.wait_for("input_audio_buffer.committed")
    gate.set()
    assert words(await client.response()) == f"{BEGINNING}The end."
    assert words(await client.response()) == "".join(DEFAULT_TOKENS)
    assert endpoint.disconnects == 0
