"""A conversation by voice with the daemon as it comes: a recorded person speaks, nothing is configured, every model is embedded."""

from __future__ import annotations

from itertools import pairwise

import pytest

from realtime.ports import Int16
from tests.e2e.orders import OPENING, SPOKEN_END, SPOKEN_TURN, check_response, check_spoken_turn, outline
from tests.rigs.daemon import Daemon
from tests.rigs.recordings import Recording, recordings, spread, word_error_rate
from tests.rigs.sounds import WIRE_RATE, silence, voice
from tests.rigs.wire_client import Event, WireClient, spoken, words

pytestmark = pytest.mark.timeout(180)

PATIENCE = 60.0
"""Seconds for an event: the queue of 20 utterances before the last one's transcript, on a busy machine."""

PROMPTS = 20
"""Recordings to be understood."""

MAX_WER = 0.15
"""Word error rate of the default model over `PROMPTS`."""

PAUSE = 1.0
"""Seconds after each recording: what tells one from the next."""

QUESTIONS = ("priv-recordintro", "conf-onlyperson", "queue-thankyou")
"""Recordings said in one breath, so that each is one turn for a detector that waits 200 ms."""

MAX_WER_READ_BACK = MAX_WER
"""Word error rate between what the model wrote and what the ear hears of the voice that read it: the voice has to be as clear as a person.
It is no zero because one text can be written in more than one way ("okay", "OK"; "3", "three")."""

TRANSCRIBED = {"transcription": {"model": "whisper-1"}}


async def configure(client: WireClient, **settings: object) -> None:
    await client.send({"type": "session.update", "session": {"type": "realtime", **settings}})
    await client.wait_for("session.updated")


def named(stem: str) -> Recording:
    return next(recording for recording in recordings() if recording.path.stem == stem)


async def understood(daemon: Daemon, sound: Int16) -> str:
    """What the daemon's own ear makes of a sound, in a session of its own."""
    async with WireClient(daemon.url(), patience=PATIENCE) as client:
        await configure(client, audio={"input": TRANSCRIBED})
        await client.send({"type": "conversation.item.create", "item": spoken(sound)})
        completed = await client.wait_for("conversation.item.input_audio_transcription.completed")
        transcript: str = completed["transcript"]
        return transcript


async def test_a_spoken_question_is_answered_by_voice(embedded: Daemon) -> None:
    texts, heard = [], []
    async with WireClient(embedded.url(), patience=PATIENCE) as client:
        # The most likely words, not the dice's: now and then they have a model this small run on until it is cut.
        await configure(client, temperature=0)
        for question in map(named, QUESTIONS):
            since = len(client.received)
            await client.speak(voice(question.audio))
            await client.speak(silence(PAUSE))
            response = await client.response()
            events = client.received[since:]

            assert outline(events) == [*SPOKEN_TURN, *OPENING, *SPOKEN_END]
            check_response(events, response)
            asked = (await client.wait_for("input_audio_buffer.committed"))["item_id"]
            check_spoken_turn(events, asked)
            item = await client.retrieve(asked)
            assert word_error_rate([question.text], [item["content"][0]["transcript"]]) <= 0.2
            assert response["status"] == "completed"
            assert response["usage"]["output_tokens"] > 0
            texts.append(words(response))
            heard.append(await understood(embedded, client.sound(response["id"])))
    error = word_error_rate(texts, heard)
    print(f"read back: {error:.3f}", *zip(texts, heard, strict=True), sep="\n")
    assert error <= MAX_WER_READ_BACK


async def test_a_recorded_person_is_understood(embedded: Daemon) -> None:
    prompts = spread(PROMPTS)
    async with WireClient(embedded.url(), patience=PATIENCE) as client:
        detection = {"type": "server_vad", "create_response": False}
        await configure(client, audio={"input": TRANSCRIBED | {"turn_detection": detection}})
        # A turn is counted from before its first sound (`prefix_padding_ms`), so the borders lie amid the pauses.
        borders = [round(-PAUSE * 500)]
        for prompt in prompts:
            sound = voice(prompt.audio)
            await client.speak(sound)
            await client.speak(silence(PAUSE))
            borders.append(borders[-1] + round((len(sound) / WIRE_RATE + PAUSE) * 1000))
        turns = await all_turns(client, borders[-2])
    heard = [" ".join(turns[at] for at in sorted(turns) if start <= at < end) for start, end in pairwise(borders)]
    error = word_error_rate([prompt.text for prompt in prompts], heard)
    print(f"{len(turns)} turns: {error:.3f}", *zip([prompt.text for prompt in prompts], heard, strict=True), sep="\n")
    assert error <= MAX_WER


async def all_turns(client: WireClient, last_ms: int) -> dict[int, str]:
    """The transcript of every turn by its start, once one that began after `last_ms` is transcribed."""
    turns: dict[int, str] = {}
    while not turns or max(turns) < last_ms:
        began: Event = await client.wait_for("input_audio_buffer.speech_started")
        item_id = began["item_id"]
        ended = await client.wait_for("input_audio_buffer.speech_stopped", item_id=item_id)
        assert ended["audio_end_ms"] > began["audio_start_ms"]
        completed = await client.wait_for("conversation.item.input_audio_transcription.completed", item_id=item_id)
        turns[began["audio_start_ms"]] = completed["transcript"]
    return turns
