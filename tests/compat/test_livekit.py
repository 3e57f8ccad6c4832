"""The `livekit-plugins-openai` package, unmodified: a session of its `RealtimeModel`, without a room.

Every frame of every test is held against the openai package's own types (`conftest.py`). It loses patience where an item or a
response is not acknowledged in time, so an answer is proof enough of what comes before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from realtime.engines.scripted import SENTENCE
from tests.compat.story import INTERRUPTION, PLAYED_MS, QUESTION, begin_story
from tests.compat.test_openai_python import STANDARD
from tests.e2e.conftest import Start
from tests.e2e.test_tools import ROME, call
from tests.rigs.chat_endpoint import ChatEndpoint, answer
from tests.rigs.daemon import SCRIPTED_EARS, Daemon
from tests.rigs.sounds import FRAME, WIRE_RATE
from tests.rigs.tap import Tap
from tests.rigs.wire_client import PATIENCE

livekit = pytest.importorskip("livekit.agents", reason="livekit-agents is not installed (extra: compat)")
plugin = pytest.importorskip("livekit.plugins.openai", reason="livekit-plugins-openai is not installed (extra: compat)")
rtc = pytest.importorskip("livekit.rtc", reason="livekit is not installed (extra: compat)")


class Call:
    """A session, and what it tells of its own accord."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self._told: dict[str, asyncio.Queue[Any]] = {}
        self.errors: list[Any] = []
        session.on("error", self.errors.append)
        for name in ("generation_created", "input_speech_started", "input_audio_transcription_completed"):
            self._told[name] = asyncio.Queue()
            session.on(name, self._told[name].put_nowait)

    async def told(self, name: str) -> Any:
        async with asyncio.timeout(PATIENCE):
            return await self._told[name].get()

    async def say(self, text: str) -> None:
        """Put a message into the conversation; returns once the server has it."""
        context = self.session.chat_ctx.copy()
        context.add_message(role="user", content=text)
        await self.session.update_chat_ctx(context)

    async def speak(self, sound: Any) -> None:
        for start in range(0, len(sound), FRAME):
            piece = np.asarray(sound[start : start + FRAME])
            self.session.push_audio(rtc.AudioFrame(piece.tobytes(), WIRE_RATE, 1, len(piece)))


@pytest.fixture
async def talk(tap: Tap) -> AsyncIterator[Call]:
    async with livekit.utils.http_context.open():
        model = plugin.realtime.RealtimeModel(base_url=tap.url("http"), api_key="k", model="x")
        session = model.session()
        talk = Call(session)
        yield talk
        await session.aclose()
        await model.aclose()
    assert talk.errors == []


async def drained(generation: Any) -> tuple[str, int, list[Any]]:
    """What an answer says, how many samples it sounds, and what it calls."""
    words, samples, calls = "", 0, []

    async def called() -> None:
        calls.extend([each async for each in generation.function_stream])

    async def sounded(message: Any) -> None:
        nonlocal samples
        async for frame in message.audio_stream:
            samples += frame.samples_per_channel

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        group.create_task(called())
        async for message in generation.message_stream:
            group.create_task(sounded(message))
            async for delta in message.text_stream:
                words += delta
    return words, samples, calls


async def test_a_written_question_is_answered(talk: Call, endpoint: ChatEndpoint) -> None:
    await talk.session.update_instructions("Be nice.")
    await talk.say("What does the fox do?")
    words, samples, _ = await drained(await talk.session.generate_reply())
    assert words == STANDARD
    assert samples > WIRE_RATE
    assert [message["content"] for message in endpoint.requests[0].body["messages"]] == ["Be nice.", "What does the fox do?"]


async def test_a_spoken_question_is_transcribed_and_answered_by_voice(talk: Call) -> None:
    await talk.speak(QUESTION)
    await talk.told("input_speech_started")
    words, samples, _ = await drained(await talk.told("generation_created"))
    assert words == STANDARD
    assert samples > WIRE_RATE
    heard = await talk.told("input_audio_transcription_completed")
    while not heard.is_final:
        heard = await talk.told("input_audio_transcription_completed")
    assert heard.transcript == SENTENCE


async def test_a_tool_is_called_and_its_result_answered(talk: Call, endpoint: ChatEndpoint) -> None:
    endpoint.script(answer(*call(0, "call_1", ROME), finish_reason="tool_calls"), answer("It is sunny."))

    @livekit.llm.function_tool  # type: ignore[untyped-decorator, unused-ignore]  # typed only where the package is installed
    async def weather(city: str) -> str:
        """Tells the weather."""
        return f"Sunny in {city}."

    await talk.session.update_tools([weather])
    await talk.say("What is the weather in Rome?")
    _, _, (asked,) = await drained(await talk.session.generate_reply())
    assert (asked.name, asked.arguments, asked.call_id) == ("weather", ROME, "call_1")
    context = talk.session.chat_ctx.copy()
    result = livekit.llm.FunctionCallOutput(call_id="call_1", name="weather", output="Sunny in Rome.", is_error=False)
    context.items.append(result)
    await talk.session.update_chat_ctx(context)
    words, _, _ = await drained(await talk.session.generate_reply())
    assert words == "It is sunny."
    assert endpoint.requests[-1].body["messages"][-1] == {"role": "tool", "tool_call_id": "call_1", "content": "Sunny in Rome."}


async def test_an_answer_is_interrupted_and_cut_to_what_was_heard(talk: Call, tap: Tap, endpoint: ChatEndpoint) -> None:
    begin_story(endpoint)
    await talk.say("Tell me a story.")
    generation = await talk.session.generate_reply()
    begun = await tap.wait_for("response.output_audio.delta")
    # What the framework's agent does when somebody speaks into its answer.
    await talk.speak(INTERRUPTION)
    await talk.told("input_speech_started")
    talk.session.interrupt()
    await drained(generation)
    talk.session.truncate(message_id=begun["item_id"], modalities=["audio"], audio_end_ms=PLAYED_MS)
    truncated = await tap.wait_for("conversation.item.truncated", item_id=begun["item_id"])
    assert truncated["audio_end_ms"] == PLAYED_MS


async def test_a_frame_of_the_camera_reaches_the_endpoint(talk: Call, endpoint: ChatEndpoint) -> None:
    size = 64
    talk.session.push_video(rtc.VideoFrame(size, size, rtc.VideoBufferType.RGBA, bytes(size * size * 4)))
    await talk.say("What is this?")
    await drained(await talk.session.generate_reply())
    (image,) = endpoint.requests[0].body["messages"][-1]["content"]
    assert image["image_url"]["url"].startswith("data:image/jpeg;base64,")


async def test_it_comes_back_by_itself_when_the_server_was_restarted(
    talk: Call, tap: Tap, daemon: Daemon, start: Start, endpoint: ChatEndpoint
) -> None:
    await talk.say("My name is Ada.")
    reconnected: asyncio.Queue[Any] = asyncio.Queue()
    talk.session.on("session_reconnected", reconnected.put_nowait)
    assert await asyncio.to_thread(daemon.stop) == 0
    start(*SCRIPTED_EARS, "--port", str(daemon.port), OPENAI_BASE_URL=endpoint.base_url)
    async with asyncio.timeout(PATIENCE):
        await reconnected.get()
        words, _, _ = await drained(await talk.session.generate_reply())
    assert words == STANDARD
    assert "My name is Ada." in str(endpoint.requests[-1].body["messages"])  # it was told anew
    assert all(error.recoverable for error in talk.errors)
    talk.errors.clear()
