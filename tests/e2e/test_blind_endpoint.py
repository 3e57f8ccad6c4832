"""A chat endpoint whose model sees no pictures, behind a real daemon: the conversation goes on, and the model is told what it can't see."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.rigs.chat_endpoint import DEFAULT_TOKENS, ChatEndpoint, refusal
from tests.rigs.daemon import SCRIPTED_EARS
from tests.rigs.film import film
from tests.rigs.pictures import drawn
from tests.rigs.wire_client import Event, WireClient, words

FOX = "".join(DEFAULT_TOKENS)
TEXT = {"output_modalities": ["text"]}
TOLD = "(a picture of 640 x 480 pixels (PNG), which you cannot see)"
CERTAIN = {
    "message": "Invalid content type. image_url is only supported by certain models.",
    "type": "invalid_request_error",
    "param": "messages.[0].content.[1].type",
    "code": None,
}
SERDE = "Failed to deserialize the JSON body into the target type: messages[0]: unknown variant `image_url`, expected `text` at line 1"
MMPROJ = "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"
REFUSALS: dict[str, tuple[int, Any, int]] = {
    "OpenAI": (400, CERTAIN, 1),
    "OpenRouter": (404, {"message": "No endpoints found that support image input", "code": 404}, 1),
    "DeepSeek": (400, {"message": SERDE, "type": "invalid_request_error", "param": None, "code": "invalid_request_error"}, 1),
    "Ollama's cloud": (400, "this model does not support image input", 1),
    "llama.cpp": (500, {"code": 500, "message": MMPROJ, "type": "server_error"}, 3),
}
"""Status, error and how often it is heard before it is believed: a failure of the server's may pass."""

BAD_PICTURE = {"message": "The image data you provided does not represent a valid image.", "code": "invalid_image"}


@pytest.fixture
async def client(start: Start, endpoint: ChatEndpoint) -> AsyncIterator[WireClient]:
    daemon = start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url)
    async with WireClient(daemon.url()) as client:
        yield client


async def show(client: WireClient, *parts: Event) -> None:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What is this?"}, *parts]}
    await client.send({"type": "conversation.item.create", "item": item})
    await client.wait_for("conversation.item.done")


def picture() -> Event:
    return {"type": "image", "image": b64encode(drawn("PNG", (640, 480))).decode()}


def asked(endpoint: ChatEndpoint) -> list[Any]:
    """The messages of each request, without the instructions."""
    return [request.body["messages"][1:] for request in endpoint.requests]


async def answered(client: WireClient) -> bool:
    response = await client.respond(**TEXT)
    return (response["status"], words(response)) == ("completed", FOX)


@pytest.mark.parametrize(("status", "error", "times"), REFUSALS.values(), ids=REFUSALS)
async def test_a_conversation_goes_on_in_words(client: WireClient, endpoint: ChatEndpoint, status: int, error: Any, times: int) -> None:
    endpoint.script(*[refusal(status, {"error": error})] * times)
    await show(client, picture())
    assert await answered(client)
    await client.say("And now?")
    assert await answered(client)
    *refused, first, second = asked(endpoint)
    assert [messages[0]["content"][1]["type"] for messages in refused] == ["image_url"] * times
    assert first == [{"role": "user", "content": f"What is this?\n{TOLD}"}]
    assert second == [*first, {"role": "assistant", "content": FOX}, {"role": "user", "content": "And now?"}]


async def test_a_clip_is_told_by_its_moments(client: WireClient, endpoint: ChatEndpoint) -> None:
    endpoint.script(refusal(400, {"error": CERTAIN}))
    await show(client, {"type": "input_video", "video": b64encode(film(range(10))).decode()})
    assert await answered(client)
    lines = asked(endpoint)[-1][0]["content"].splitlines()
    assert lines[:2] == ["What is this?", "[A video of 0:01.0. Its pictures, each after its time:]"]
    assert {line.endswith("which you cannot see)") for line in lines[3::2]} == {True}


async def test_one_bad_picture_does_not_blind_the_model(client: WireClient, endpoint: ChatEndpoint) -> None:
    await client.say("Hello.")
    assert await answered(client)
    endpoint.script(refusal(400, {"error": BAD_PICTURE}))
    await show(client, picture())
    response = await client.respond(**TEXT)
    assert (response["status"], response["status_details"]["error"]["code"]) == ("failed", "invalid_image")
    assert await answered(client)
    assert isinstance(asked(endpoint)[-1][-1]["content"], list)
