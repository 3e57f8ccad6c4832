"""The Python client over real sockets, with real daemons behind them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from signal import SIGKILL
from types import SimpleNamespace
from typing import Annotated, Any, Literal, TypeVar

import pytest

import realtime_client
from realtime.engines.scripted import SENTENCE
from realtime_client import (
    FRAME_MS,
    RATE,
    AudioDelta,
    Event,
    ItemDone,
    RealtimeClient,
    RealtimeError,
    ResponseDone,
    Resumed,
    ServerError,
    SoundMissing,
    SpeechStarted,
    SpeechStopped,
    TextDelta,
    ToolCall,
    Transcript,
    schema_of,
    sound_file,
    tool_of,
    words,
)
from terminal import write_wav
from tests.e2e.conftest import Start
from tests.e2e.test_tools import call
from tests.rigs.chat_endpoint import ChatEndpoint, answer
from tests.rigs.daemon import SCRIPTED, SCRIPTED_EARS, Daemon
from tests.rigs.film import film
from tests.rigs.pictures import drawn
from tests.rigs.sounds import silence, tone

TEXT: dict[str, Any] = {"output_modalities": ["text"]}
TRANSCRIBED: dict[str, Any] = {"audio": {"input": {"transcription": {"model": "whisper-1"}}}}
PATIENCE = 20.0
"""Seconds for an event."""

Kind = TypeVar("Kind", bound=Event)


@pytest.fixture
def daemon(start: Start, endpoint: ChatEndpoint) -> Daemon:
    """Its language model is the endpoint."""
    return start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url)


@pytest.fixture
def recording() -> Path:
    return Path(realtime_client.__file__).with_name("recording.wav")


async def until(rt: RealtimeClient, kind: type[Kind]) -> Kind:
    """The next event of this kind, past all others."""
    async with asyncio.timeout(PATIENCE):
        async for event in rt:
            if isinstance(event, kind):
                return event
    raise AssertionError


async def until_type(rt: RealtimeClient, type: str) -> Event:
    async with asyncio.timeout(PATIENCE):
        async for event in rt:
            if event.type == type:
                return event
    raise AssertionError


def asked(endpoint: ChatEndpoint) -> Any:
    """The newest message of the newest request."""
    return endpoint.requests[-1].body["messages"][-1]


async def test_a_text_is_answered_piece_by_piece(scripted: Daemon) -> None:
    async with RealtimeClient(scripted.url(), **TEXT) as rt:
        item_id = await rt.send_text("Good morning.")
        pieces, rest = [], []
        async for event in rt:
            match event:
                case TextDelta(text=text, spoken=False):
                    pieces.append(text)
                case ResponseDone(status=status, text=text):
                    break
                case _:
                    rest.append(event.type)
        assert (status, text, "".join(pieces)) == ("completed", "You said: Good morning.", text)
        assert "response.content_part.added" in rest, "what has no class comes all the same"
        assert [words(item) for item in rt.items.values()] == ["Good morning.", text]
        assert next(iter(rt.items)) == item_id


async def test_an_answer_is_spoken_too(scripted: Daemon) -> None:
    async with RealtimeClient(scripted.url()) as rt:
        await rt.send_text("Hello.")
        sound, said, whole = b"", "", ""
        async for event in rt:
            match event:
                case AudioDelta(audio=audio):
                    sound += audio
                case TextDelta(text=text, spoken=True):
                    said += text
                case ResponseDone(text=whole):
                    break
        assert said == whole == "You said: Hello."
        assert len(sound) > RATE, "half a second and more"


async def test_settings_are_the_server_s(scripted: Daemon) -> None:
    async with RealtimeClient(scripted.url(), instructions="Be brief.") as rt:
        await until_type(rt, "session.updated")
        assert rt.session["instructions"] == "Be brief."
        await rt.update(audio={"input": {"turn_detection": None}})
        await until_type(rt, "session.updated")
        assert (rt.session["audio"]["input"]["turn_detection"], rt.session["instructions"]) == (None, "Be brief.")


async def test_a_mistake_is_told_and_the_session_goes_on(scripted: Daemon) -> None:
    async with RealtimeClient(scripted.url(), **TEXT) as rt:
        event_id = await rt.send({"type": "conversation.item.delete", "item_id": "none"})
        error = await until(rt, ServerError)
        assert (error.event_id, bool(error.code), bool(error.message)) == (event_id, True, True)
        await rt.send_text("Well?")
        assert (await rt.answer()).status == "completed"


async def test_a_key_is_brought_and_a_wrong_one_told(start: Start) -> None:
    daemon = start(*SCRIPTED, REALTIME_API_KEYS="phone=a-key-of-16-characters")
    async with RealtimeClient(daemon.url(), api_key="a-key-of-16-characters") as rt:
        assert rt.session_id
    with pytest.raises(RealtimeError) as caught:
        async with RealtimeClient(daemon.url(), api_key="another-key-of-16-chars"):
            pass
    assert caught.value.code == "invalid_api_key"


async def test_a_recording_is_heard(scripted: Daemon, recording: Path) -> None:
    async with RealtimeClient(scripted.url(), **TEXT, **TRANSCRIBED) as rt:
        item_id = await rt.send_audio_file(recording)
        heard = await until(rt, Transcript)
        assert (heard.item_id, heard.text) == (item_id, SENTENCE)
        assert (await rt.answer()).text == f"You said: {SENTENCE}"
        assert words(rt.items[item_id]) == SENTENCE


async def test_a_picture_and_a_clip_are_shown(daemon: Daemon, endpoint: ChatEndpoint, tmp_path: Path) -> None:
    picture, clip = tmp_path / "picture.png", tmp_path / "clip.mp4"
    picture.write_bytes(drawn("PNG", (300, 200)))
    clip.write_bytes(film())
    async with RealtimeClient(daemon.url(), **TEXT) as rt:
        await rt.send_image(picture, "What is this?", detail="low")
        assert (await rt.answer()).status == "completed"
        image, text = asked(endpoint)["content"]
        assert (text["text"], image["image_url"]["detail"]) == ("What is this?", "low")
        await rt.send_video(clip, "And this?")
        assert (await rt.answer()).status == "completed"
        kinds = [part["type"] for part in asked(endpoint)["content"]]
        assert kinds.count("image_url") > 1


async def test_sound_that_streams_in_is_a_turn(scripted: Daemon) -> None:
    async def frames() -> AsyncIterator[bytes]:
        sound = tone(0.6).tobytes() + silence(1.0).tobytes()
        step = 2 * RATE * FRAME_MS // 1000
        for start in range(0, len(sound), step):
            yield sound[start : start + step]

    async with RealtimeClient(scripted.url(), **TEXT, **TRANSCRIBED) as rt:
        await rt.stream_audio(frames())
        started, stopped = await until(rt, SpeechStarted), await until(rt, SpeechStopped)
        assert started.item_id == stopped.item_id
        assert 0 <= started.at_ms < stopped.at_ms
        assert (await rt.answer()).text == f"You said: {SENTENCE}"


async def test_cancelling_ends_the_answer_and_forgets_what_nobody_heard(daemon: Daemon, endpoint: ChatEndpoint) -> None:
    endpoint.script(answer("Once upon a time there was a fox. ", asyncio.Event(), "The end."))
    async with RealtimeClient(daemon.url()) as rt:
        await rt.send_text("Tell me a story.")
        sounding = await until(rt, AudioDelta)
        await rt.cancel()
        assert (await until(rt, ResponseDone)).status == "cancelled"
        cut = await until_type(rt, "conversation.item.truncated")
        assert (cut.raw["item_id"], cut.raw["audio_end_ms"] < 1900) == (sounding.item_id, True)
        await rt.cancel()
        await rt.send_text("Well?", respond=False)
        assert (await until(rt, ItemDone)).item["role"] == "user", "where nothing is said, nothing is cancelled"


async def test_a_tool_is_described_called_and_answered(daemon: Daemon, endpoint: ChatEndpoint) -> None:
    rt = RealtimeClient(daemon.url(), **TEXT)

    @rt.tool
    async def weather(city: str) -> dict[str, str]:
        """Tells the weather."""
        return {city: "Sunny."}

    @rt.tool
    def fails() -> None:
        """Never works."""
        raise OSError("no such place")

    calls = [*call(0, "call_1", '{"city":"Rome"}'), *call(1, "call_2", "{}")]
    calls[2] = calls[2].replace(b'"weather"', b'"fails"')
    endpoint.script(answer(*calls, finish_reason="tool_calls"), answer("It is sunny."))
    async with rt:
        await rt.send_text("What is the weather in Rome?")
        called = await until(rt, ToolCall)
        assert (called.name, called.arguments, called.call_id) == ("weather", '{"city":"Rome"}', "call_1")
        assert (await rt.answer()).text == "It is sunny."
    first, second = endpoint.requests
    assert [tool["function"]["name"] for tool in first.body["tools"]] == ["weather", "fails"]
    results = {message["tool_call_id"]: json.loads(message["content"]) for message in second.body["messages"] if message["role"] == "tool"}
    assert results == {"call_1": {"Rome": "Sunny."}, "call_2": {"error": "OSError: no such place"}}


async def test_a_tool_may_come_while_the_session_runs(scripted: Daemon) -> None:
    async with RealtimeClient(scripted.url()) as rt:

        @rt.tool
        def late() -> None: ...

        await until_type(rt, "session.updated")
        assert [tool["name"] for tool in rt.session["tools"]] == ["late"]


def test_a_tool_is_described_by_its_signature_and_docstring() -> None:
    def book(
        city: str,
        nights: int,
        stars: Literal[3, 4, 5] = 3,
        names: list[str] | None = None,
        price: Annotated[float, "in euros"] = 0.0,
        **more: Any,
    ) -> None:
        """Book a room.

        Ask before.

        Args:
            city: where it is
            nights (int): how long
        """

    described = tool_of(book)
    assert (described["name"], described["description"]) == ("book", "Book a room.\n\nAsk before.")
    assert described["parameters"] == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "where it is"},
            "nights": {"type": "integer", "description": "how long"},
            "stars": {"enum": [3, 4, 5]},
            "names": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
            "price": {"type": "number", "description": "in euros"},
        },
        "required": ["city", "nights"],
        "additionalProperties": True,
    }
    with pytest.raises(TypeError, match="no JSON Schema"):
        schema_of(Path)


async def test_a_daemon_that_is_killed_and_started_again_goes_on_with_the_conversation(start: Start, tmp_path: Path) -> None:
    one = start(*SCRIPTED, "--state-dir", str(tmp_path))
    rt = RealtimeClient(one.url(), **TEXT)
    async with rt:
        await rt.send_text("My name is Ada.")
        await rt.answer()
        known, session_id = dict(rt.items), rt.session_id
        one.signal(SIGKILL)
        await asyncio.to_thread(one.wait)
        sending = asyncio.create_task(rt.send_text("Are you still there?"))
        start(*SCRIPTED, "--state-dir", str(tmp_path), "--port", str(one.port))
        assert (await until(rt, Resumed)).session_id == session_id
        await sending
        assert (await rt.answer()).text == "You said: Are you still there?"
        assert list(rt.items)[:2] == list(known), "nothing was lost, nothing came twice"
        assert len(rt.items) == 4


async def test_what_was_said_is_there_for_who_comes_back_by_the_session_s_id(scripted: Daemon) -> None:
    async with RealtimeClient(scripted.url(), **TEXT) as rt:
        await rt.send_text("Remember me.")
        await rt.answer()
    async with RealtimeClient(f"{scripted.url()}?session_id={rt.session_id}") as later:
        assert (later.session_id, later.items) == (rt.session_id, rt.items)
        await later.send_text("Do you?")
        assert (await later.answer()).text == "You said: Do you?"


class Loudspeaker:
    """Stands for the module `sounddevice`: no machine of the tests has a speaker or a microphone."""

    PortAudioError = type("PortAudioError", (Exception,), {})

    def __init__(self) -> None:
        self.played = b""

    def RawOutputStream(self, *, callback: Any, **_: Any) -> Any:
        self._callback = callback
        return SimpleNamespace(start=lambda: None, close=lambda: None)

    def RawInputStream(self, *, callback: Any, blocksize: int, **_: Any) -> Any:
        sound = (tone(0.6).tobytes() + silence(1.0).tobytes()) if blocksize else b""

        class Stream:
            def __enter__(self) -> None:
                for start in range(0, len(sound), 2 * blocksize):
                    callback(sound[start : start + 2 * blocksize], blocksize, None, None)

            def __exit__(self, *_: object) -> None: ...

        return Stream()

    def play(self, seconds: float) -> None:
        """Let so much time go by."""
        out = bytearray(int(2 * RATE * seconds))
        self._callback(memoryview(out), len(out) // 2, None, None)
        self.played += out


@pytest.fixture
def loudspeaker(monkeypatch: pytest.MonkeyPatch) -> Loudspeaker:
    loudspeaker = Loudspeaker()
    monkeypatch.setitem(sys.modules, "sounddevice", loudspeaker)
    return loudspeaker


async def test_speech_that_is_interrupted_was_heard_as_far_as_it_was_played(
    daemon: Daemon, endpoint: ChatEndpoint, loudspeaker: Loudspeaker
) -> None:
    endpoint.script(answer("Once upon a time there was a fox. ", asyncio.Event(), "The end."))
    unanswered = {"input": {"turn_detection": {"type": "server_vad", "create_response": False}}}  # or its answer would be heard, too
    async with RealtimeClient(daemon.url(), play=True, audio=unanswered) as rt:
        await rt.send_text("Tell me a story.")
        await until(rt, AudioDelta)
        loudspeaker.play(0.1)
        microphone = asyncio.create_task(rt.stream_microphone())
        await until(rt, SpeechStarted)
        cut = await until_type(rt, "conversation.item.truncated")
        assert cut.raw["audio_end_ms"] == 100
        loudspeaker.play(0.1)
        assert any(loudspeaker.played[:4800])
        assert not any(loudspeaker.played[4800:]), "not a word more"
        microphone.cancel()


async def test_without_a_speaker_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(SoundMissing, match="pip install sounddevice"):
        async with RealtimeClient(play=True):
            pass


def test_a_wav_in_the_protocol_s_format_is_sent_as_its_samples(tmp_path: Path, recording: Path) -> None:
    sound = tone(0.1).tobytes()
    write_wav(str(tmp_path / "tone.wav"), sound)
    assert sound_file(tmp_path / "tone.wav") == sound
    assert sound_file(recording) == recording.read_bytes(), "of another rate: the server reads it"
