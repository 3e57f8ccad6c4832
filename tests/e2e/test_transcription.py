"""Sessions that only write down what is said (PROTOCOL 2.7, 5.12), over real sockets: of both dialects, by human voice too."""

from __future__ import annotations

import pytest

from realtime.engines.scripted import SENTENCE
from tests.e2e.orders import outline
from tests.rigs.daemon import Daemon
from tests.rigs.recordings import spread, word_error_rate
from tests.rigs.sounds import silence, tone, voice
from tests.rigs.wire_client import Event, WireClient

TRANSCRIPTION = "/v1/realtime?intent=transcription"
BETA = {"OpenAI-Beta": "realtime=v1"}
COMPLETED = "conversation.item.input_audio_transcription.completed"
DELTA = "conversation.item.input_audio_transcription.delta"

PATIENCE = 60.0
"""Seconds for a transcript, on a busy machine."""

MAX_WER = 0.15

MOST_SPEECH = 60
"""Half seconds of speech by which words must have come: the second hearing of it is due after two."""


def of(client: WireClient, type: str) -> list[Event]:
    return [event for event in client.received if event["type"] == type]


async def test_what_is_said_is_written_down_and_nothing_is_answered(scripted: Daemon) -> None:
    async with WireClient(scripted.url(TRANSCRIPTION)) as client:
        created = await client.wait_for("session.created")
        assert (created["session"]["type"], created["session"]["object"]) == ("transcription", "realtime.transcription_session")
        await client.send(
            {"type": "session.update", "session": {"type": "transcription", "audio": {"input": {"transcription": {"language": "en"}}}}}
        )
        updated = await client.wait_for("session.updated")
        assert updated["session"]["audio"]["input"]["transcription"] == {"model": "whisper-1", "language": "en", "prompt": None}
        await client.speak(tone(0.6))
        await client.speak(silence(1.0))
        completed = await client.wait_for(COMPLETED)
        assert (completed["transcript"], completed["usage"]["type"]) == (SENTENCE, "duration")
        await client.send({"type": "response.create"})
        assert (await client.wait_for("error"))["error"]["param"] == "type"
    assert [name for name in outline(client.received) if name.startswith(("response", "rate_limits"))] == []
    assert "".join(event["delta"] for event in of(client, DELTA)) == SENTENCE


async def test_words_come_while_they_are_spoken(scripted: Daemon) -> None:
    async with WireClient(scripted.url(TRANSCRIPTION)) as client:
        for _ in range(MOST_SPEECH):
            await client.speak(tone(0.5))
            await (await client.socket.ping())
            if of(client, DELTA):
                break
        delta = await client.wait_for(DELTA)
        assert delta["item_id"] == (await client.wait_for("input_audio_buffer.speech_started"))["item_id"]
        assert of(client, "input_audio_buffer.speech_stopped") == [], "it is not over"
        await client.speak(silence(1.0))
        completed = await client.wait_for(COMPLETED)
    assert "".join(event["delta"] for event in of(client, DELTA)) == completed["transcript"] == SENTENCE


async def test_without_turn_detection_the_client_says_what_belongs_together(scripted: Daemon) -> None:
    async with WireClient(scripted.url(TRANSCRIPTION)) as client:
        await client.send({"type": "session.update", "session": {"type": "transcription", "audio": {"input": {"turn_detection": None}}}})
        await client.wait_for("session.updated")
        await client.speak(tone(0.6))
        await client.send({"type": "input_audio_buffer.commit"})
        committed = await client.wait_for("input_audio_buffer.committed")
        assert (await client.wait_for(COMPLETED))["item_id"] == committed["item_id"]


async def test_beta_has_a_session_of_its_own_shape(scripted: Daemon) -> None:
    async with WireClient(scripted.url(TRANSCRIPTION), headers=BETA) as client:
        created = await client.wait_for("transcription_session.created")
        assert created["session"]["input_audio_format"] == "pcm16"
        update = {"input_audio_transcription": {"model": "gpt-4o-transcribe"}, "turn_detection": {"type": "server_vad"}}
        await client.send({"type": "transcription_session.update", "session": update})
        updated = await client.wait_for("transcription_session.updated")
        assert updated["session"]["input_audio_transcription"]["model"] == "gpt-4o-transcribe"
        await client.speak(tone(0.6))
        await client.speak(silence(1.0))
        completed = await client.wait_for(COMPLETED)
        assert completed["transcript"] == SENTENCE
    assert "conversation.item.created" in client.types()
    assert {"conversation.item.added", "conversation.created"}.isdisjoint(client.types())


@pytest.mark.timeout(180)
async def test_a_recorded_person_is_written_down_with_how_sure_each_word_is(embedded: Daemon) -> None:
    prompts = spread(5)
    heard = []
    async with WireClient(embedded.url(TRANSCRIPTION), patience=PATIENCE) as client:
        session = {
            "type": "transcription",
            "include": ["item.input_audio_transcription.logprobs"],
            "audio": {"input": {"turn_detection": None}},
        }
        await client.send({"type": "session.update", "session": session})
        await client.wait_for("session.updated")
        for prompt in prompts:
            await client.speak(voice(prompt.audio))
            await client.send({"type": "input_audio_buffer.commit"})
            completed = await client.wait_for(COMPLETED)
            heard.append(completed["transcript"])
            assert "".join(each["token"] for each in completed["logprobs"]).strip() == completed["transcript"]
            assert all(each["logprob"] <= 0 for each in completed["logprobs"])
            assert bytes(completed["logprobs"][0]["bytes"]).decode() == completed["logprobs"][0]["token"]
    error = word_error_rate([prompt.text for prompt in prompts], heard)
    print(f"{error:.3f}", *zip([prompt.text for prompt in prompts], heard, strict=True), sep="\n")
    assert error <= MAX_WER
