"""The voices that a session may ask for by name, and Piper in the place of the embedded one: heard over the wire, and understood."""

from __future__ import annotations

import pytest

from realtime.engines.models import VOICES
from realtime.ports import Int16
from tests.e2e.conftest import Start, need_models
from tests.rigs.daemon import Daemon
from tests.rigs.recordings import word_error_rate
from tests.rigs.wire_client import WireClient, spoken

pytestmark = pytest.mark.timeout(600)  # The voice may have to be fetched.

SENTENCE = "The weather will be sunny tomorrow, with a light wind from the west."
OPTIONS = ("--llm", "scripted", "--vad", "scripted", "--whisper-model", "tiny.en")


@pytest.fixture
def piper(start: Start) -> Daemon:
    need_models("tiny.en", *VOICES)
    return start(*OPTIONS, "--tts", "piper")


@pytest.fixture
def hibari(start: Start) -> Daemon:
    need_models("tiny.en")
    return start(*OPTIONS)


async def said(daemon: Daemon, **output: object) -> Int16:
    """The sound of an answer that repeats the sentence, in a session of its own."""
    async with WireClient(daemon.url(), patience=60) as client:
        await client.send({"type": "session.update", "session": {"type": "realtime", "audio": {"output": output}}})
        await client.wait_for("session.updated")
        await client.say(SENTENCE)
        response = await client.respond()
        assert response["status"] == "completed"
        return client.sound(response["id"])


async def understood(daemon: Daemon, sound: Int16) -> str:
    async with WireClient(daemon.url(), patience=60) as client:
        session = {"type": "realtime", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}
        await client.send({"type": "session.update", "session": session})
        await client.send({"type": "conversation.item.create", "item": spoken(sound)})
        transcript: str = (await client.wait_for("conversation.item.input_audio_transcription.completed"))["transcript"]
        return transcript


async def test_piper_is_understood_and_keeps_to_the_speed(piper: Daemon) -> None:
    assert f"voice         {VOICES[0]}: embedded, as asked" in piper.output
    sound = await said(piper)
    assert word_error_rate([f"You said: {SENTENCE}"], [await understood(piper, sound)]) <= 0.1
    assert 0.55 < len(await said(piper, speed=1.5)) / len(sound) < 0.85


async def test_openais_names_are_different_voices_that_are_all_understood(hibari: Daemon) -> None:
    sounds = {name: await said(hibari, voice=name) for name in ("alloy", "cedar", "shimmer", "nobody")}
    assert sounds["alloy"].tobytes() == sounds["nobody"].tobytes()
    assert len({sound.tobytes() for sound in sounds.values()}) == 3
    heard = [await understood(hibari, sounds[name]) for name in ("alloy", "cedar", "shimmer")]
    assert word_error_rate([f"You said: {SENTENCE}"] * 3, heard) <= 0.1
