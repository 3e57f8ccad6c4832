"""The `openai` package's GA client, unmodified: `client.realtime.connect`.

Every frame of every test is held against the package's own types (`conftest.py`).
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import pytest

from realtime.engines.scripted import SENTENCE
from tests.compat.story import BEGINNING, INTERRUPTION, PICTURE, PIXEL, PLAYED_MS, QUESTION, begin_story, speak
from tests.e2e.test_tools import ROME, WEATHER, call
from tests.rigs.chat_endpoint import DEFAULT_TOKENS, ChatEndpoint, answer
from tests.rigs.pictures import shown
from tests.rigs.sounds import WIRE_RATE
from tests.rigs.tap import Tap
from tests.rigs.wire_client import PATIENCE

openai = pytest.importorskip("openai", reason="openai is not installed (extra: compat)")

STANDARD = "".join(DEFAULT_TOKENS)
"""What the endpoint answers without a script."""


@pytest.fixture
async def connection(tap: Tap) -> AsyncIterator[Any]:
    async with openai.AsyncOpenAI(api_key="k", base_url=tap.url("http")) as client, client.realtime.connect(model="x") as connection:
        yield connection


async def until(connection: Any, *types: str) -> list[Any]:
    """The events up to and with the next one of each of these types, in whatever order these come."""
    events: list[Any] = []
    missing = set(types)
    async with asyncio.timeout(PATIENCE):
        while missing:
            events.append(await connection.recv())
            missing.discard(events[-1].type)
    return events


def of(events: list[Any], type: str) -> list[Any]:
    return [event for event in events if event.type == type]


async def say(connection: Any, text: str, **part: Any) -> None:
    content = [{"type": "input_text", "text": text}, *([part] if part else [])]
    await connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})


async def test_a_written_question_is_answered(connection: Any) -> None:
    created = await until(connection, "session.created")
    assert created[-1].session.model == "x"
    await say(connection, "What does the fox do?")
    await connection.response.create(response={"output_modalities": ["text"]})
    events = await until(connection, "response.done")
    assert "".join(event.delta for event in of(events, "response.output_text.delta")) == STANDARD
    response = events[-1].response
    assert (response.status, response.output[0].content[0].text) == ("completed", STANDARD)
    assert response.usage.output_tokens == len(DEFAULT_TOKENS)


async def test_a_spoken_question_is_transcribed_and_answered_by_voice(connection: Any, endpoint: ChatEndpoint) -> None:
    audio = {"input": {"transcription": {"model": "whisper-1"}, "turn_detection": {"type": "server_vad"}}}
    await connection.session.update(session={"type": "realtime", "audio": audio})
    await until(connection, "session.updated")
    await speak(connection.input_audio_buffer.append, QUESTION)
    events = await until(connection, "response.done")
    started, stopped, committed = (
        of(events, f"input_audio_buffer.{name}")[0] for name in ("speech_started", "speech_stopped", "committed")
    )
    assert started.item_id == stopped.item_id == committed.item_id
    assert started.audio_start_ms < stopped.audio_end_ms
    (heard,) = of(events, "conversation.item.input_audio_transcription.completed")
    assert (heard.item_id, heard.transcript) == (committed.item_id, SENTENCE)
    assert endpoint.requests[0].body["messages"][-1] == {"role": "user", "content": SENTENCE}
    assert "".join(event.delta for event in of(events, "response.output_audio_transcript.delta")) == STANDARD
    assert sum(len(b64decode(event.delta)) for event in of(events, "response.output_audio.delta")) > WIRE_RATE


async def test_a_tool_is_called_and_its_result_answered(connection: Any, endpoint: ChatEndpoint) -> None:
    endpoint.script(answer(*call(0, "call_1", '{"city"', ':"Rome"}'), finish_reason="tool_calls"), answer("It is sunny."))
    await connection.session.update(session={"type": "realtime", "output_modalities": ["text"], "tools": [WEATHER]})
    await say(connection, "What is the weather in Rome?")
    await connection.response.create()
    events = await until(connection, "response.done")
    (asked,) = of(events, "response.function_call_arguments.done")
    assert (asked.name, asked.arguments, asked.call_id) == ("weather", ROME, "call_1")
    item = {"type": "function_call_output", "call_id": asked.call_id, "output": "Sunny."}
    await connection.conversation.item.create(item=item)
    await connection.response.create()
    done = (await until(connection, "response.done"))[-1]
    assert done.response.output[0].content[0].text == "It is sunny."
    assert endpoint.requests[-1].body["messages"][-1] == {"role": "tool", "tool_call_id": "call_1", "content": "Sunny."}


async def test_an_answer_is_interrupted_and_cut_to_what_was_heard(connection: Any, endpoint: ChatEndpoint) -> None:
    begin_story(endpoint)
    await say(connection, "Tell me a story.")
    await connection.response.create()
    begun = (await until(connection, "response.output_audio.delta"))[-1]
    await speak(connection.input_audio_buffer.append, INTERRUPTION)
    done = (await until(connection, "response.done"))[-1]
    assert (done.response.status, done.response.status_details.reason) == ("cancelled", "turn_detected")
    place = {"item_id": begun.item_id, "content_index": begun.content_index}
    await connection.conversation.item.truncate(**place, audio_end_ms=PLAYED_MS)
    truncated = (await until(connection, "conversation.item.truncated"))[-1]
    assert (truncated.item_id, truncated.audio_end_ms) == (begun.item_id, PLAYED_MS)
    await connection.conversation.item.retrieve(item_id=begun.item_id)
    (part,) = (await until(connection, "conversation.item.retrieved"))[-1].item.content
    assert len(b64decode(part.audio)) == PLAYED_MS * WIRE_RATE // 1000 * 2
    assert BEGINNING.startswith(part.transcript)
    assert len(part.transcript) < len(BEGINNING.strip())


async def test_an_answer_is_cancelled(connection: Any, endpoint: ChatEndpoint) -> None:
    begin_story(endpoint)
    await say(connection, "Tell me a story.")
    await connection.response.create(response={"output_modalities": ["text"]})
    await until(connection, "response.output_text.delta")
    await connection.response.cancel()
    done = (await until(connection, "response.done"))[-1]
    assert (done.response.status, done.response.status_details.reason) == ("cancelled", "client_cancelled")


async def test_a_picture_reaches_the_endpoint(connection: Any, endpoint: ChatEndpoint) -> None:
    await say(connection, "What is this?", type="input_image", image_url=PICTURE)
    await connection.response.create(response={"output_modalities": ["text"]})
    assert (await until(connection, "response.done"))[-1].response.status == "completed"
    text, image = endpoint.requests[0].body["messages"][-1]["content"]
    assert text["text"] == "What is this?"
    assert shown(image["image_url"]["url"]).size == PIXEL


async def test_a_session_that_only_transcribes(tap: Tap) -> None:
    client = openai.AsyncOpenAI(api_key="k", base_url=tap.url("http"))
    async with client, client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        created = (await until(connection, "session.created"))[-1].session
        assert (created.type, created.object) == ("transcription", "realtime.transcription_session")
        audio = {"input": {"transcription": {"model": "gpt-4o-transcribe", "language": "en"}, "turn_detection": {"type": "server_vad"}}}
        await connection.session.update(session={"type": "transcription", "audio": audio})
        assert (await until(connection, "session.updated"))[-1].session.audio.input.transcription.language == "en"
        await speak(connection.input_audio_buffer.append, QUESTION)
        events = await until(connection, "conversation.item.input_audio_transcription.completed")
        (committed,) = of(events, "input_audio_buffer.committed")
        assert (events[-1].item_id, events[-1].transcript) == (committed.item_id, SENTENCE)
        assert "".join(event.delta for event in of(events, "conversation.item.input_audio_transcription.delta")) == SENTENCE
        await connection.conversation.item.retrieve(item_id=committed.item_id)
        assert (await until(connection, "conversation.item.retrieved"))[-1].item.content[0].transcript == SENTENCE


async def test_a_mistake_is_told_with_its_place(connection: Any) -> None:
    session = {"type": "realtime", "audio": {"output": {"speed": 9}}}
    await connection.session.update(session=session, event_id="mine")
    error = (await until(connection, "error"))[-1].error
    assert (error.type, error.param, error.event_id) == ("invalid_request_error", "session.audio.output.speed", "mine")
    await connection.response.create(response={"output_modalities": ["text"]})
    assert (await until(connection, "response.done"))[-1].response.status == "completed"


async def test_the_client_without_asyncio_is_served_too(tap: Tap) -> None:
    def ask() -> str:
        with openai.OpenAI(api_key="k", base_url=tap.url("http")) as client, client.realtime.connect(model="x") as connection:
            connection.response.create(response={"output_modalities": ["text"]})
            said: str = next(event for event in connection if event.type == "response.output_text.done").text
            return said

    assert await asyncio.to_thread(ask) == STANDARD


async def test_azures_client_is_served_too(tap: Tap) -> None:
    azure = {"azure_endpoint": "https://unused.example", "api_version": "2024-10-01-preview"}
    client = openai.AsyncAzureOpenAI(api_key="k", websocket_base_url=tap.url(path="/openai"), **azure)
    async with client, client.realtime.connect(model="x") as connection:
        await connection.response.create(response={"output_modalities": ["text"]})
        assert (await until(connection, "response.done"))[-1].response.status == "completed"
