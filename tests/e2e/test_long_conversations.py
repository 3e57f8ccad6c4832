"""Conversations that are longer than the model takes, and items that are larger than a frame, over real sockets."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.e2e.conftest import Start
from tests.rigs.chat_endpoint import DEFAULT_TOKENS, ChatEndpoint, Request
from tests.rigs.daemon import SCRIPTED_EARS
from tests.rigs.pictures import noise
from tests.rigs.wire_client import Event, WireClient, words

FOX = "".join(DEFAULT_TOKENS)
LINE = "Tell me more of the fox, of the dog, and of what they think of one another, please. "
"""Twenty-one tokens by the estimate."""

TURNS = 14
SMALLEST_CLIENT = 8 * 1024 * 1024
"""Bytes of the longest frame that openai-agents takes."""

TEXT = {"type": "realtime", "output_modalities": ["text"], "instructions": "Be brief."}


def prompt(request: Request) -> str:
    """The messages as they were sent, but for the bracket that closes them."""
    return json.dumps(request.body["messages"])[:-1]


def cuts(requests: list[Request]) -> int:
    """How often a prompt did not begin with the whole prompt before it: then the endpoint's cache was of no use."""
    return sum(not prompt(later).startswith(prompt(earlier)) for earlier, later in pairwise(requests))


def check_prompts(requests: list[Request]) -> None:
    for request in requests:
        instructions, first, *rest = request.body["messages"]
        assert instructions == {"role": "system", "content": "Be brief."}
        assert first["role"] == "user", "turns leave whole"
        assert [message["role"] for message in rest] == ["assistant", "user"] * (len(rest) // 2)


async def say(client: WireClient, text: str, id: str) -> None:
    item = {"type": "message", "role": "user", "id": id, "content": [{"type": "input_text", "text": text}]}
    await client.send({"type": "conversation.item.create", "item": item})


async def talk(client: WireClient, turns: int) -> None:
    for turn in range(turns):
        await say(client, f"{turn}. {LINE}", f"turn_{turn}")
        response = await client.respond()
        assert (response["status"], words(response)) == ("completed", FOX)


async def opened(client: WireClient, **more: Any) -> None:
    await client.send({"type": "session.update", "session": {**TEXT, **more}})
    await client.wait_for("session.updated")


@pytest.fixture
async def client(start: Start, endpoint: ChatEndpoint) -> AsyncIterator[WireClient]:
    daemon = start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url)
    async with WireClient(daemon.url()) as client:
        yield client


async def test_a_conversation_outlives_an_endpoint_that_refuses_it(client: WireClient, endpoint: ChatEndpoint) -> None:
    endpoint.max_prompt = 1200
    await opened(client)
    await talk(client, TURNS)
    answered = [request for request in endpoint.requests if request not in endpoint.refused]
    assert len(answered) == TURNS
    assert 1 <= len(endpoint.refused) <= TURNS // 3, "a cut lasts for several turns"
    check_prompts(answered)
    assert cuts(answered) == len(endpoint.refused), "between two cuts, every prompt begins with the one before it"
    assert "error" not in client.types()
    assert (await client.retrieve("turn_0"))["content"][0]["text"] == f"0. {LINE}", "nothing is gone from the conversation"


async def test_where_the_limit_is_known_nobody_has_to_refuse(start: Start, endpoint: ChatEndpoint) -> None:
    endpoint.max_prompt = 1200
    daemon = start(*SCRIPTED_EARS, "--context-tokens", "250", OPENAI_BASE_URL=endpoint.base_url)
    async with WireClient(daemon.url()) as client:
        await opened(client)
        await talk(client, TURNS)
    assert endpoint.refused == []
    check_prompts(endpoint.requests)
    assert 1 <= cuts(endpoint.requests) <= TURNS // 2


async def test_a_client_may_want_nothing_to_be_left_out(client: WireClient, endpoint: ChatEndpoint) -> None:
    endpoint.max_prompt = 600
    await opened(client, truncation="disabled")
    await talk(client, 2)
    await say(client, LINE * 2, "more")
    response = await client.respond()
    assert response["status_details"]["error"]["code"] == "context_length_exceeded"
    assert len(endpoint.refused) == 1
    await opened(client, truncation="auto")
    last = await client.respond()
    assert last["status"] == "completed", last


async def test_what_is_too_long_by_itself_fails_and_the_session_lives_on(client: WireClient, endpoint: ChatEndpoint) -> None:
    endpoint.max_prompt = 1200
    await opened(client)
    await talk(client, 1)
    await say(client, LINE * 20, "long")
    response = await client.respond()
    assert response["status_details"]["error"]["code"] == "context_length_exceeded"
    assert len(endpoint.refused) == 2, "once more with less, and then no more"
    await client.send({"type": "conversation.item.delete", "item_id": "long"})
    await client.wait_for("conversation.item.deleted")
    last = await client.respond()
    assert last["status"] == "completed", last


def speech(seconds: int, transcript: str) -> Event:
    part = {"type": "input_audio", "audio": b64encode(bytes(48_000 * seconds)).decode(), "transcript": transcript}
    return {"type": "message", "role": "user", "content": [part]}


async def create(client: WireClient, item: Event) -> Event:
    await client.send({"type": "conversation.item.create", "item": item})
    await client.wait_for("conversation.item.added")
    done: Event = (await client.wait_for("conversation.item.done"))["item"]
    return done


async def test_the_oldest_sound_is_let_go_and_its_words_are_not(start: Start, endpoint: ChatEndpoint) -> None:
    daemon = start(*SCRIPTED_EARS, "--session-audio-mb", "1", OPENAI_BASE_URL=endpoint.base_url)
    async with WireClient(daemon.url()) as client:
        ids = [(await create(client, speech(12, f"Number {number}.")))["id"] for number in range(3)]
        kept = [(await client.retrieve(id))["content"][0] for id in ids]
        assert ["audio" in part for part in kept] == [False, False, True]
        assert [part["transcript"] for part in kept] == ["Number 0.", "Number 1.", "Number 2."]


@pytest.mark.parametrize(("path", "created"), [("/v1/realtime", "conversation.item.added"), ("/ws/realtime", "conversation.item.created")])
async def test_what_no_frame_can_carry_is_left_out_for_the_client_alone(
    start: Start, endpoint: ChatEndpoint, path: str, created: str
) -> None:
    item = {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": noise()}] * 3}
    daemon = start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url)
    async with connect(daemon.url(path), max_size=SMALLEST_CLIENT, proxy=None) as socket:

        async def wait_for(type: str) -> Event:
            async for frame in socket:
                event: Event = json.loads(frame)
                assert event["type"] != "error"
                if event["type"] == type:
                    return event
            raise AssertionError("the socket was closed")

        async def send(event: Event) -> None:
            await socket.send(json.dumps(event))

        await send({"type": "conversation.item.create", "item": item})
        shown = (await wait_for(created))["item"]
        assert ["image_url" in part for part in shown["content"]] == [True, True, False]
        await send({"type": "conversation.item.create", "item": {**speech(140, "Hello."), "id": "long"}})
        await send({"type": "conversation.item.retrieve", "item_id": "long"})
        assert (await wait_for("conversation.item.retrieved"))["item"]["content"] == [{"type": "input_audio", "transcript": "Hello."}]
        await send({"type": "response.create"})
        assert (await wait_for("response.done"))["response"]["status"] == "completed"
    seen, _ = endpoint.requests[0].body["messages"][-2:]
    assert sum(len(part["image_url"]["url"]) for part in seen["content"]) > SMALLEST_CLIENT
