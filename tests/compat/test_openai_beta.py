"""The `openai` package's beta client, unmodified: `client.beta.realtime.connect`.

Every frame of every test is held against the package's own beta types (`conftest.py`), which know no pictures.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import pytest

from realtime.engines.scripted import SENTENCE
from tests.compat.story import INTERRUPTION, PLAYED_MS, QUESTION, begin_story, speak
from tests.compat.test_openai_python import STANDARD, of, openai, say, until
from tests.e2e.test_tools import ROME, WEATHER, call
from tests.rigs.chat_endpoint import ChatEndpoint, answer
from tests.rigs.sounds import WIRE_RATE
from tests.rigs.tap import Tap


@pytest.fixture
async def connection(beta_tap: Tap) -> AsyncIterator[Any]:
    from tests.compat.schemas import BETA_MODEL

    client = openai.AsyncOpenAI(api_key="k", websocket_base_url=beta_tap.url())
    async with client, client.beta.realtime.connect(model=BETA_MODEL) as connection:
        yield connection


async def test_a_written_question_is_answered(connection: Any) -> None:
    await until(connection, "session.created")
    await connection.session.update(session={"modalities": ["text"], "instructions": "Be brief.", "temperature": 0.7})
    updated = (await until(connection, "session.updated"))[-1].session
    assert (updated.modalities, updated.instructions, updated.temperature) == (["text"], "Be brief.", 0.7)
    await say(connection, "What does the fox do?")
    await connection.response.create()
    events = await until(connection, "response.done")
    assert "".join(event.delta for event in of(events, "response.text.delta")) == STANDARD
    assert len(of(events, "conversation.item.created")) == 2
    assert events[-1].response.output[0].content[0].text == STANDARD


async def test_a_spoken_question_is_transcribed_and_answered_by_voice(connection: Any) -> None:
    session = {"input_audio_transcription": {"model": "whisper-1"}, "turn_detection": {"type": "server_vad"}}
    await connection.session.update(session=session)
    await speak(connection.input_audio_buffer.append, QUESTION)
    events = await until(connection, "response.done")
    (committed,) = of(events, "input_audio_buffer.committed")
    (heard,) = of(events, "conversation.item.input_audio_transcription.completed")
    assert (heard.item_id, heard.transcript) == (committed.item_id, SENTENCE)
    assert "".join(event.delta for event in of(events, "response.audio_transcript.delta")) == STANDARD
    assert sum(len(b64decode(event.delta)) for event in of(events, "response.audio.delta")) > WIRE_RATE


async def test_a_tool_is_called_and_its_result_answered(connection: Any, endpoint: ChatEndpoint) -> None:
    endpoint.script(answer(*call(0, "call_1", ROME), finish_reason="tool_calls"), answer("It is sunny."))
    await connection.session.update(session={"modalities": ["text"], "tools": [WEATHER]})
    await say(connection, "What is the weather in Rome?")
    await connection.response.create()
    (asked,) = of(await until(connection, "response.done"), "response.function_call_arguments.done")
    assert (asked.arguments, asked.call_id) == (ROME, "call_1")
    item = {"type": "function_call_output", "call_id": asked.call_id, "output": "Sunny."}
    await connection.conversation.item.create(item=item)
    await connection.response.create()
    done = (await until(connection, "response.done"))[-1]
    assert done.response.output[0].content[0].text == "It is sunny."


async def test_an_answer_is_interrupted_and_cut_to_what_was_heard(connection: Any, endpoint: ChatEndpoint) -> None:
    begin_story(endpoint)
    await say(connection, "Tell me a story.")
    await connection.response.create()
    begun = (await until(connection, "response.audio.delta"))[-1]
    await connection.session.update(session={"turn_detection": {"type": "server_vad"}})
    await speak(connection.input_audio_buffer.append, INTERRUPTION)
    done = (await until(connection, "response.done"))[-1]
    assert (done.response.status, done.response.status_details.reason) == ("cancelled", "turn_detected")
    place = {"item_id": begun.item_id, "content_index": begun.content_index}
    await connection.conversation.item.truncate(**place, audio_end_ms=PLAYED_MS)
    await until(connection, "conversation.item.truncated")
    await connection.conversation.item.retrieve(item_id=begun.item_id)
    (part,) = (await until(connection, "conversation.item.retrieved"))[-1].item.content
    assert len(b64decode(part.audio)) == PLAYED_MS * WIRE_RATE // 1000 * 2


async def test_a_session_that_only_transcribes(beta_tap: Tap) -> None:
    client = openai.AsyncOpenAI(api_key="k", websocket_base_url=beta_tap.url())
    async with client, client.beta.realtime.connect(model="x", extra_query={"intent": "transcription"}) as connection:
        await until(connection, "transcription_session.created")
        session = {"input_audio_transcription": {"model": "whisper-1"}, "turn_detection": {"type": "server_vad"}}
        await connection.transcription_session.update(session=session)
        await until(connection, "transcription_session.updated")
        await speak(connection.input_audio_buffer.append, QUESTION)
        events = await until(connection, "conversation.item.input_audio_transcription.completed")
        (committed,) = of(events, "input_audio_buffer.committed")
        assert (events[-1].item_id, events[-1].transcript) == (committed.item_id, SENTENCE)


async def test_a_mistake_is_told_with_its_place(connection: Any) -> None:
    await connection.session.update(session={"turn_detection": {"type": "server_vad", "threshold": 7}}, event_id="mine")
    error = (await until(connection, "error"))[-1].error
    assert (error.param, error.event_id) == ("session.turn_detection.threshold", "mine")
