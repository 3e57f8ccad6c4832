"""The `openai` package's GA client, unmodified, with a model that hears and speaks by itself behind the daemon."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest

from realtime.engines.scripted import SENTENCE
from tests.compat.story import QUESTION, speak
from tests.compat.test_openai_python import connection as connection
from tests.compat.test_openai_python import of, until
from tests.e2e.conftest import Start
from tests.e2e.test_native_audio import EARS, HELLO, hello, user_parts
from tests.rigs.chat_endpoint import ChatEndpoint, answer
from tests.rigs.daemon import Daemon

pytest.importorskip("openai", reason="openai is not installed (extra: compat)")


@pytest.fixture
def daemon(start: Start, endpoint: ChatEndpoint) -> Daemon:
    return start(*EARS, OPENAI_BASE_URL=endpoint.base_url, REALTIME_NATIVE_AUDIO="both")


async def test_a_spoken_question_is_heard_and_answered_in_the_models_own_voice(connection: Any, endpoint: ChatEndpoint) -> None:
    endpoint.script(answer(*hello()))
    audio = {"input": {"transcription": {"model": "whisper-1"}, "turn_detection": {"type": "server_vad"}}, "output": {"voice": "ash"}}
    await connection.session.update(session={"type": "realtime", "audio": audio})
    await until(connection, "session.updated")
    await speak(connection.input_audio_buffer.append, QUESTION)
    # The transcript is made beside the answer, so either may be whole first.
    events = await until(connection, "rate_limits.updated", "conversation.item.input_audio_transcription.completed")
    (heard,) = of(events, "conversation.item.input_audio_transcription.completed")
    assert heard.transcript == SENTENCE
    assert [part["type"] for part in user_parts(endpoint.requests[0])] == ["input_audio"]
    assert "".join(event.delta for event in of(events, "response.output_audio_transcript.delta")) == "Hello there, how are you?"
    assert b"".join(b64decode(event.delta) for event in of(events, "response.output_audio.delta")) == HELLO.tobytes()

    (done,) = of(events, "response.done")
    (item,) = done.response.output
    await connection.conversation.item.truncate(item_id=item.id, content_index=0, audio_end_ms=400)
    await connection.conversation.item.retrieve(item_id=item.id)
    (part,) = (await until(connection, "conversation.item.retrieved"))[-1].item.content
    assert part.transcript == "Hello there, how are"
    assert b64decode(part.audio) == HELLO.tobytes()[: 400 * 48]
