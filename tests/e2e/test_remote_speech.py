"""Ears and a voice behind endpoints, set as a person would set them.

What they are asked, what is heard of their sound in every format, and how they may fail.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from realtime.media import g711
from realtime.media.formats import G711_RATE
from realtime.media.pcm import to_float, to_int16
from realtime.media.resample import resample
from realtime.ports import EAR_RATE, Int16
from tests.e2e.conftest import Start
from tests.e2e.orders import OPENING, SPOKEN_END, SPOKEN_TURN, check_response, check_spoken_turn, outline
from tests.rigs.chat_endpoint import Reply, Stop, hang_up, refusal
from tests.rigs.daemon import Daemon
from tests.rigs.sounds import WIRE_RATE, silence, tone
from tests.rigs.speech_endpoint import HEARD, SOUND_SECONDS, SpeechEndpoint, hum, json_reply, read_wav, sound, transcription
from tests.rigs.wire_client import Event, WireClient, words

EAR_KEY, VOICE_KEY = "sk-ear-0123456789", "sk-voice-0123456789"
ECHO = f"You said: {HEARD}"
TINY = "1.0"
"""Seconds: a timeout that is meant to strike, and that an answer on a busy machine still meets."""

SPEECH_OPTIONS = ("--llm", "scripted", "--vad", "scripted", "--speech-seconds", TINY)
TRANSCRIBED = {"transcription": {"model": "whisper-1", "language": "en", "prompt": "Zürich"}}

FAILED = "conversation.item.input_audio_transcription.failed"
COMPLETED = "conversation.item.input_audio_transcription.completed"


@pytest.fixture
async def ear() -> AsyncIterator[SpeechEndpoint]:
    async with SpeechEndpoint() as ear:
        yield ear


@pytest.fixture
async def voice() -> AsyncIterator[SpeechEndpoint]:
    async with SpeechEndpoint() as voice:
        yield voice


@pytest.fixture
def daemon(start: Start, ear: SpeechEndpoint, voice: SpeechEndpoint) -> Daemon:
    """Everything about speech is said in the environment; the model echoes."""
    return start(
        *SPEECH_OPTIONS,
        REALTIME_STT_BASE_URL=ear.base_url,
        REALTIME_STT_MODEL="ear-1",
        REALTIME_STT_API_KEY=EAR_KEY,
        REALTIME_TTS_BASE_URL=voice.base_url,
        REALTIME_TTS_MODEL="voice-1",
        REALTIME_TTS_API_KEY=VOICE_KEY,
        REALTIME_VOICES="alloy=af_heart",
    )


@pytest.fixture
async def client(daemon: Daemon) -> AsyncIterator[WireClient]:
    async with WireClient(daemon.url()) as client:
        yield client


async def configure(client: WireClient, **audio: Any) -> None:
    await client.send({"type": "session.update", "session": {"type": "realtime", "audio": audio}})
    await client.wait_for("session.updated")


async def speak(client: WireClient, seconds: float = 1.0) -> Event:
    """Say something; return the response to it."""
    await client.speak(tone(seconds))
    await client.speak(silence(1.0))
    return await client.response()


async def test_a_spoken_turn_is_heard_and_answered_by_endpoints(
    daemon: Daemon, client: WireClient, ear: SpeechEndpoint, voice: SpeechEndpoint
) -> None:
    assert f"transcripts   ear-1: at {ear.base_url}, with a key" in daemon.output
    assert f"voice         voice-1: at {voice.base_url}, with a key" in daemon.output
    await configure(client, input=TRANSCRIBED)
    since = len(client.received)
    response = await speak(client)
    transcript = await client.wait_for(COMPLETED)
    events = client.received[since:]

    assert outline(events) == [*SPOKEN_TURN, *OPENING, *SPOKEN_END]
    check_spoken_turn(events, transcript["item_id"])
    check_response(events, response)
    assert transcript["transcript"] == HEARD
    assert (response["status"], words(response)) == ("completed", ECHO)

    [asked] = ear.requests
    assert asked.headers["Authorization"] == f"Bearer {EAR_KEY}"
    assert asked.body.fields == {"model": "ear-1", "response_format": "verbose_json", "language": "en", "prompt": "Zürich"}
    rate, channels, width, samples = read_wav(asked.body.file)
    assert (rate, channels, width) == (EAR_RATE, 1, 2)
    assert 1.0 <= len(samples) / EAR_RATE <= 2.0
    assert np.abs(samples).max() == pytest.approx(np.abs(tone(1.0)).max(), rel=0.02)

    assert [request.body["input"] for request in voice.requests] == [ECHO]
    [asked] = voice.requests
    assert asked.headers["Authorization"] == f"Bearer {VOICE_KEY}"
    assert asked.body == {"model": "voice-1", "input": ECHO, "voice": "af_heart", "response_format": "pcm"}
    np.testing.assert_array_equal(client.sound(response["id"]), hum())
    assert EAR_KEY not in daemon.output
    assert VOICE_KEY not in daemon.output


async def test_the_voice_and_the_speed_of_the_session_reach_the_endpoint(client: WireClient, voice: SpeechEndpoint) -> None:
    await configure(client, output={"voice": "marin", "speed": 1.25})
    await client.say("Hello.")
    await client.respond()
    await configure(client, output={"speed": 0.5})
    await client.respond()
    asked = [(request.body["voice"], request.body["speed"]) for request in voice.requests]
    assert asked == [("marin", 1.25), ("marin", 0.5)]


LAWS = {"audio/pcmu": g711.decode_ulaw, "audio/pcma": g711.decode_alaw}


@pytest.mark.parametrize("law", LAWS)
async def test_a_telephone_is_heard_and_answered_in_its_own_format(
    client: WireClient, ear: SpeechEndpoint, voice: SpeechEndpoint, law: str
) -> None:
    format = {"format": {"type": law}}
    await configure(client, input=format | TRANSCRIBED, output=format)
    spoken, quiet = (as_telephone(sound, law) for sound in (tone(1.0), silence(1.0)))
    for start in range(0, len(spoken + quiet), 160):
        await client.append((spoken + quiet)[start : start + 160])
    response = await client.response()

    rate, _, _, samples = read_wav(ear.requests[0].body.file)
    assert rate == EAR_RATE
    assert strongest(samples, rate) == pytest.approx(220, abs=5)
    pieces = [event["delta"] for event in client.received if event["type"] == "response.output_audio.delta"]
    heard = LAWS[law](b"".join(map(b64decode, pieces)))
    assert response["status"] == "completed"
    assert len(heard) / G711_RATE == pytest.approx(SOUND_SECONDS, abs=0.01)
    assert strongest(heard, G711_RATE) == pytest.approx(330, abs=5)


def as_telephone(sound: Int16, law: str) -> bytes:
    narrow = to_int16(resample(to_float(sound), WIRE_RATE, G711_RATE))
    return (g711.encode_ulaw if law == "audio/pcmu" else g711.encode_alaw)(narrow)


def strongest(sound: Int16, rate: int) -> float:
    """Hz."""
    spectrum = np.abs(np.fft.rfft(sound.astype(np.float64), 1 << 16))
    return float(np.argmax(spectrum) * rate / (1 << 16))


async def test_sound_is_heard_while_the_endpoint_still_makes_it(client: WireClient, voice: SpeechEndpoint) -> None:
    voice.script(sound(hum().tobytes()[:4801], Stop.HANG))
    await client.say("Hello.")
    await client.send({"type": "response.create", "response": {}})
    delta = await client.wait_for("response.output_audio.delta")
    assert len(b64decode(delta["delta"])) == 4800
    await client.send({"type": "response.cancel"})
    response = await client.response()
    assert response["status"] == "cancelled"
    await voice.wait_for(lambda voice: voice.disconnects == 1)


async def test_speaking_into_the_answer_hangs_up_on_the_voice(client: WireClient, voice: SpeechEndpoint) -> None:
    voice.script(sound(hum().tobytes(), Stop.HANG))
    await client.say("Hello.")
    await client.send({"type": "response.create", "response": {}})
    await client.wait_for("response.output_audio.delta")
    await client.speak(tone(0.5))
    response = await client.response()
    assert (response["status"], response["status_details"]["reason"]) == ("cancelled", "turn_detected")
    await voice.wait_for(lambda voice: voice.disconnects == 1)


async def test_nothing_understood_is_an_answer_without_words(client: WireClient, ear: SpeechEndpoint) -> None:
    ear.script(transcription(""))
    response = await speak(client)
    assert (response["status"], response["output"]) == ("completed", [])


async def lives_on(client: WireClient) -> None:
    response = await speak(client)
    assert (response["status"], words(response)) == ("completed", ECHO)


def said(code: str) -> Any:
    return {"error": {"message": f"It was {code}.", "type": "invalid_request_error", "code": code}}


BUSY = refusal(503, {"error": {"message": "Busy."}}, Retry_After="0")
REFUSALS: dict[str, tuple[tuple[Reply, ...], str]] = {
    "401": ((refusal(401, said("invalid_api_key")),), "invalid_api_key"),
    "404 without words": ((refusal(404, b"<html>"),), "model_not_found"),
    "429 for good": ((refusal(429, said("insufficient_quota")),), "insufficient_quota"),
    "503 again and again": ((BUSY,) * 3, "server_error"),
    "no status": ((hang_up(),) * 3, "connection_error"),
    "silence": ((Reply((), before_status=(Stop.HANG,)),), "timeout"),
}
"""Replies, and the code that the client is told."""


@pytest.mark.parametrize(("replies", "code"), REFUSALS.values(), ids=REFUSALS)
async def test_an_ear_that_fails_fails_the_transcript_and_the_answer(
    client: WireClient, ear: SpeechEndpoint, voice: SpeechEndpoint, replies: tuple[Reply, ...], code: str
) -> None:
    ear.script(*replies)
    await configure(client, input=TRANSCRIBED)
    response = await speak(client)
    failed = await client.wait_for(FAILED)
    assert (failed["error"]["type"], failed["error"]["code"]) == ("transcription_error", code)
    assert failed["error"]["message"]
    assert (response["status"], response["status_details"]["error"]["code"]) == ("failed", code)
    assert len(ear.requests) == len(replies)
    assert voice.requests == []
    await lives_on(client)


BROKEN: dict[str, tuple[Reply, str]] = {
    "no JSON": (json_reply(b"Good morning."), "server_error"),
    "cut off": (Reply((b'{"text":', Stop.CUT)), "stream_interrupted"),
}


@pytest.mark.parametrize(("reply", "code"), BROKEN.values(), ids=BROKEN)
async def test_an_answer_of_the_ear_that_means_nothing_is_a_failure(
    client: WireClient, ear: SpeechEndpoint, reply: Reply, code: str
) -> None:
    ear.script(reply)
    await configure(client, input=TRANSCRIBED)
    await speak(client)
    assert (await client.wait_for(FAILED))["error"]["code"] == code
    await lives_on(client)


@pytest.mark.parametrize(("replies", "code"), REFUSALS.values(), ids=REFUSALS)
async def test_a_voice_that_refuses_fails_the_answer_and_its_words_are_kept(
    client: WireClient, voice: SpeechEndpoint, replies: tuple[Reply, ...], code: str
) -> None:
    voice.script(*replies)
    await client.say("Hello.")
    since = len(client.received)
    response = await client.respond()
    check_voice_failure(client, since, response, code)
    assert len(voice.requests) == len(replies)
    await lives_on(client)


HALFWAY: dict[str, tuple[Reply, str]] = {
    "cut": (sound(hum().tobytes(), Stop.CUT), "stream_interrupted"),
    "silence": (sound(hum().tobytes(), Stop.HANG), "timeout"),
    "half a sample": (sound(hum().tobytes() + b"\x00"), "server_error"),
}


@pytest.mark.parametrize(("reply", "code"), HALFWAY.values(), ids=HALFWAY)
async def test_a_voice_that_breaks_off_fails_the_answer_after_what_was_heard(
    client: WireClient, voice: SpeechEndpoint, reply: Reply, code: str
) -> None:
    voice.script(reply)
    await client.say("Hello.")
    since = len(client.received)
    response = await client.respond()
    check_voice_failure(client, since, response, code)
    await lives_on(client)


def check_voice_failure(client: WireClient, since: int, response: Event, code: str) -> None:
    assert (response["status"], response["status_details"]["error"]["code"]) == ("failed", code)
    assert ([item["status"] for item in response["output"]], words(response)) == (["incomplete"], "You said: Hello.")
    assert outline(client.received[since:]) == [*OPENING, *SPOKEN_END]


async def test_an_mp3_is_not_played_as_noise(client: WireClient, voice: SpeechEndpoint) -> None:
    voice.script(sound(b"ID3" + bytes(5000), type="audio/mpeg"))
    await client.say("Hello.")
    response = await client.respond()
    assert response["status_details"]["error"]["message"] == "The endpoint sent audio/mpeg, and not the PCM that was asked for."
    assert client.sound(response["id"]).size == 0


async def test_the_chat_endpoint_speaks_and_hears_where_it_is_told_to(start: Start, ear: SpeechEndpoint) -> None:
    options = ("--llm", "scripted", "--vad", "scripted", "--stt", "endpoint", "--tts", "endpoint")
    daemon = start(*options, OPENAI_BASE_URL=ear.base_url, OPENAI_API_KEY=EAR_KEY)
    async with WireClient(daemon.url()) as client:
        await lives_on(client)
    bodies = [request.body for request in ear.requests]
    assert (bodies[0].fields["model"], bodies[1]["model"], bodies[1]["voice"]) == ("whisper-1", "gpt-4o-mini-tts", "alloy")
    assert {request.headers["Authorization"] for request in ear.requests} == {f"Bearer {EAR_KEY}"}
