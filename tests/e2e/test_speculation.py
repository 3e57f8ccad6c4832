"""What is begun before a turn is over, over real sockets and by human voice: it is there when the turn ends, or nobody hears of it."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Start, need_models
from tests.e2e.test_turns import SENTENCE, halves
from tests.e2e.test_voice import PATIENCE, TRANSCRIBED, configure, named
from tests.e2e.test_watched import metrics
from tests.rigs.chat_endpoint import ChatEndpoint
from tests.rigs.daemon import Daemon
from tests.rigs.recordings import word_error_rate
from tests.rigs.sounds import silence, voice
from tests.rigs.wire_client import WireClient, words

SILENCE_MS = 2000
"""That ends a turn here: what the client sends says when, however slow the machine is."""

HALT = 0.5
"""Seconds of silence that are no end, and enough to find out what was said."""

REST = 2.0

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def daemon(start: Start, endpoint: ChatEndpoint) -> Daemon:
    need_models("base")
    return start("--turn-model", "words", "--tts", "scripted", OPENAI_BASE_URL=endpoint.base_url, REALTIME_SPECULATION="respond")


async def listening(client: WireClient) -> None:
    detection = {"type": "server_vad", "silence_duration_ms": SILENCE_MS}
    await configure(client, audio={"input": TRANSCRIBED | {"turn_detection": detection}})


async def test_the_answer_is_there_when_the_turn_is_over(daemon: Daemon, endpoint: ChatEndpoint) -> None:
    async with WireClient(daemon.url(), patience=PATIENCE) as client:
        await listening(client)
        await client.speak(voice(named(SENTENCE).audio))
        await client.speak(silence(HALT))
        await endpoint.wait_for(lambda endpoint: len(endpoint.requests) == 1)
        assert client.types()[-1] == "input_audio_buffer.speech_started", "all is held back"
        await client.speak(silence(REST))
        response = await client.response()
        heard = await client.wait_for("conversation.item.input_audio_transcription.completed")
        assert (await metrics(daemon))["realtime_speculations_total used"] == 1
    assert response["status"] == "completed"
    assert client.sound(response["id"]).any()
    assert len(endpoint.requests) == 1
    assert word_error_rate([named(SENTENCE).text], [heard["transcript"]]) == 0
    told = client.types()
    in_order = ["speech_stopped", "committed", "item.added", "transcription.completed", "response.created", "response.done"]
    places = [next(place for place, type in enumerate(told) if type.endswith(ending)) for ending in in_order]
    assert places == sorted(places)


async def test_who_speaks_on_never_hears_of_it(daemon: Daemon, endpoint: ChatEndpoint) -> None:
    beginning, end = halves()
    async with WireClient(daemon.url(), patience=PATIENCE) as client:
        await listening(client)
        for said in (beginning, end):
            asked = len(endpoint.requests)
            await client.speak(said)
            await client.speak(silence(HALT))
            await endpoint.wait_for(lambda endpoint, asked=asked: len(endpoint.requests) > asked)  # type: ignore[misc]
        assert client.types()[-1] == "input_audio_buffer.speech_started"
        await client.speak(silence(REST))
        response = await client.response()
        seen = await metrics(daemon)
        await client.send({"type": "conversation.item.retrieve", "item_id": response["output"][0]["id"]})
        await client.wait_for("conversation.item.retrieved")
    assert words(response)
    assert client.types().count("response.created") == client.types().count("response.done") == 1
    assert seen["realtime_speculations_total used"] == 1
    assert seen["realtime_speculations_total dropped"] >= 1
    told = [message["content"] for message in endpoint.requests[-1].body["messages"] if message["role"] == "user"]
    assert len(told) == 1, "nothing is left of what was dropped"
