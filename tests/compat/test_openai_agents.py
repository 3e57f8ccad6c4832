"""The `openai-agents` package, unmodified: a `RealtimeRunner` and its session, and the voice pipeline's session that transcribes.

Every frame of every test is held against the types of the openai package (`conftest.py`), as the SDK itself does before it acts on one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from signal import SIGTERM
from typing import Any

import numpy as np
import pytest
import websockets

from realtime.engines.scripted import SENTENCE
from realtime.wire.server import MAX_FRAME
from tests.compat.story import BEGINNING, INTERRUPTION, PICTURE, PIXEL, PLAYED_MS, QUESTION, begin_story, frames
from tests.compat.test_openai_python import STANDARD, openai
from tests.e2e.test_tools import ROME, call
from tests.rigs.chat_endpoint import ChatEndpoint, answer
from tests.rigs.daemon import Daemon
from tests.rigs.pictures import noise, shown
from tests.rigs.tap import Tap
from tests.rigs.wire_client import PATIENCE, Event

agents = pytest.importorskip("agents", reason="openai-agents is not installed (extra: compat)")
sdk = pytest.importorskip("agents.realtime", reason="openai-agents is not installed (extra: compat)")

TEXT = {"output_modalities": ["text"]}

BEYOND_MS = 60_000
"""A player that claims to have played more than it was given: the SDK then names the end of what it was given."""


class Call:
    """A session, and what it has told so far. An error that it tells of fails the test."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.told: list[Any] = []

    async def until(self, sought: Callable[[Any], bool]) -> Any:
        """Return the next event that is sought."""
        async with asyncio.timeout(PATIENCE):
            async for event in self.session:
                kind = event.data.type if event.type == "raw_model_event" else event.type
                assert kind not in ("error", "exception"), event
                self.told.append(event)
                if sought(event):
                    return event
        raise AssertionError("The session ended.")

    async def until_type(self, type: str) -> Any:
        return await self.until(lambda event: event.type == type)

    async def until_known(self, item_id: str, text: str) -> None:
        """Wait until the session's own history has an item say this."""

        def known(event: Any) -> bool:
            return event.type == "history_updated" and said(event.history).get(item_id) == text

        await self.until(known)

    async def speak(self, sound: Any) -> None:
        for frame in frames(sound):
            await self.session.send_audio(frame)


def said(history: list[Any]) -> dict[str, str]:
    """What each message of a history says, by the id of its item."""
    messages = (item for item in history if item.type == "message")
    return {item.item_id: "".join(_words(part) for part in item.content) for item in messages}


def _words(part: Any) -> str:
    return getattr(part, "text", None) or getattr(part, "transcript", None) or ""


async def dial(tap: Tap, *tools: Any, tracker: Any = None, **settings: Any) -> Any:
    """A session that is not connected yet."""
    agent = sdk.RealtimeAgent(name="A", instructions="Be nice.", tools=list(tools))
    config = {"url": tap.url("ws", "/v1/realtime?model=x"), "api_key": "k", "initial_model_settings": settings}
    if tracker:
        config["playback_tracker"] = tracker
    return await sdk.RealtimeRunner(agent).run(model_config=config)


async def test_a_written_question_is_answered(tap: Tap, endpoint: ChatEndpoint) -> None:
    async with await dial(tap, **TEXT) as session:
        call = Call(session)
        await session.send_message("What does the fox do?")
        added = await call.until(lambda event: event.type == "history_added" and event.item.role == "assistant")
        await call.until_known(added.item.item_id, STANDARD)
        await call.until_type("agent_end")
    system, user = endpoint.requests[0].body["messages"]
    assert (system["content"], user["content"]) == ("Be nice.", "What does the fox do?")


async def test_a_spoken_question_is_transcribed_and_answered_by_voice(tap: Tap) -> None:
    async with await dial(tap) as session:
        call = Call(session)
        await call.speak(QUESTION)
        committed = await tap.wait_for("input_audio_buffer.committed")
        await call.until_known(committed["item_id"], SENTENCE)
        if not any(event.type == "agent_end" for event in call.told):
            await call.until_type("agent_end")
    assert any(event.type == "audio" for event in call.told)
    histories = [event.history for event in call.told if event.type == "history_updated"]
    assert STANDARD in said(histories[-1]).values()


async def test_a_tool_is_called_and_its_result_answered(tap: Tap, endpoint: ChatEndpoint) -> None:
    endpoint.script(answer(*call(0, "call_1", ROME), finish_reason="tool_calls"), answer("It is sunny."))

    def weather(city: str) -> str:
        """Tells the weather."""
        return f"Sunny in {city}."

    async with await dial(tap, agents.function_tool(weather), **TEXT) as session:
        running = Call(session)
        await session.send_message("What is the weather in Rome?")
        ended = await running.until_type("tool_end")
        assert (ended.tool.name, ended.output) == ("weather", "Sunny in Rome.")
        await running.until(lambda event: event.type == "history_updated" and "It is sunny." in said(event.history).values())
    assert endpoint.requests[-1].body["messages"][-1] == {"role": "tool", "tool_call_id": "call_1", "content": "Sunny in Rome."}


async def interrupted(tap: Tap, endpoint: ChatEndpoint, played_ms: int) -> tuple[Event, Event]:
    """Speak into a story of which so much was played; return what the client had truncated, and the item as it was retrieved after."""
    begin_story(endpoint)
    tracker = sdk.RealtimePlaybackTracker()
    async with await dial(tap, tracker=tracker) as session:
        call = Call(session)
        await session.send_message("Tell me a story.")
        heard = await call.until_type("audio")
        tracker.on_play_ms(heard.item_id, heard.content_index, played_ms)
        await call.speak(INTERRUPTION)
        await call.until_type("audio_interrupted")
        done = await tap.wait_for("response.done")
        assert done["response"]["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
        truncated = await tap.wait_for("conversation.item.truncated", item_id=heard.item_id)
        item: Event = (await tap.wait_for("conversation.item.retrieved"))["item"]
        assert item["id"] == heard.item_id
        await call.until_known(heard.item_id, item["content"][0]["transcript"])
    return truncated, item


async def test_an_answer_is_interrupted_and_cut_to_what_was_heard(tap: Tap, endpoint: ChatEndpoint) -> None:
    truncated, item = await interrupted(tap, endpoint, PLAYED_MS)
    assert truncated["audio_end_ms"] == PLAYED_MS
    transcript = item["content"][0]["transcript"]
    assert BEGINNING.startswith(transcript)
    assert len(transcript) < len(BEGINNING.strip())


async def test_a_player_ahead_of_the_voice_truncates_at_its_end(tap: Tap, endpoint: ChatEndpoint) -> None:
    truncated, item = await interrupted(tap, endpoint, BEYOND_MS)
    assert 0 < truncated["audio_end_ms"] < BEYOND_MS
    assert item["content"][0]["transcript"].strip() in BEGINNING


async def test_a_picture_reaches_the_endpoint(tap: Tap, endpoint: ChatEndpoint) -> None:
    content = [{"type": "input_text", "text": "What is this?"}, {"type": "input_image", "image_url": PICTURE, "detail": "low"}]
    async with await dial(tap, **TEXT) as session:
        call = Call(session)
        await session.send_message({"type": "message", "role": "user", "content": content})
        await call.until_type("agent_end")
    text, image = endpoint.requests[0].body["messages"][-1]["content"]
    assert (text["text"], image["image_url"]["detail"]) == ("What is this?", "low")
    assert shown(image["image_url"]["url"]).size == PIXEL


async def test_a_picture_that_no_frame_may_carry_reaches_the_endpoint_and_breaks_nothing(tap: Tap, endpoint: ChatEndpoint) -> None:
    content = [{"type": "input_text", "text": "What is this?"}, *[{"type": "input_image", "image_url": noise(), "detail": "high"}] * 3]
    async with await dial(tap, **TEXT) as session:
        call = Call(session)
        await session.send_message({"type": "message", "role": "user", "content": content})
        await call.until_type("agent_end")
        added = await tap.wait_for("conversation.item.added")
    assert ["image_url" in part for part in added["item"]["content"]] == [False, True, True, False]
    pictures = [part["image_url"]["url"] for part in endpoint.requests[0].body["messages"][-1]["content"][1:]]
    assert sum(map(len, pictures)) > MAX_FRAME
    assert [shown(picture).size for picture in pictures] == [(1536, 1536)] * 3


async def test_a_session_that_only_transcribes(tap: Tap) -> None:
    from agents import voice

    async with openai.AsyncOpenAI(api_key="k", websocket_base_url=tap.url()) as client:
        model = voice.OpenAISTTModel("gpt-4o-transcribe", client)
        spoken = voice.StreamedAudioInput()
        settings = voice.STTModelSettings(language="en", turn_detection={"type": "server_vad"})
        session = await model.create_session(spoken, settings, False, False)
        for frame in frames(QUESTION):
            await spoken.add_audio(np.frombuffer(frame, np.int16))
        async with asyncio.timeout(PATIENCE):
            turns = session.transcribe_turns()
            assert await anext(turns) == SENTENCE
            await spoken.queue.put(None)  # has the rest committed: silence, in which the scripted ear hears the same
            assert [turn async for turn in turns] == [SENTENCE]
    (updated,) = [event["session"] for event in tap.received if event["type"] == "session.updated"]
    assert updated["audio"]["input"]["transcription"]["language"] == "en"


async def test_the_application_is_told_that_the_server_restarts(tap: Tap, daemon: Daemon) -> None:
    async with await dial(tap, **TEXT) as session:
        await tap.wait_for("session.created")
        daemon.signal(SIGTERM)
        with pytest.raises(websockets.exceptions.ConnectionClosedError, match="1012"):
            await heard_out(session)


async def heard_out(session: Any) -> None:
    """Everything that it tells, to its end."""
    async with asyncio.timeout(PATIENCE):
        async for _ in session:
            pass
