"""Whose turn it is, over real sockets: who thinks is not cut off, who has finished is not kept waiting, who is silent is spoken to."""

from __future__ import annotations

import numpy as np
import pytest

from tests.e2e.conftest import Start
from tests.e2e.test_voice import PATIENCE, TRANSCRIBED, configure, named
from tests.rigs.chat_endpoint import ChatEndpoint
from tests.rigs.daemon import SCRIPTED_EARS, Daemon
from tests.rigs.recordings import word_error_rate
from tests.rigs.sounds import WIRE_RATE, silence, tone, voice
from tests.rigs.wire_client import WireClient

PLAYED_MS = 5000
"""The shortest idle timeout that there is (PROTOCOL 2.3)."""

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def daemon(start: Start, endpoint: ChatEndpoint) -> Daemon:
    return start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url)


async def test_who_says_nothing_is_spoken_to(daemon: Daemon, endpoint: ChatEndpoint) -> None:
    async with WireClient(daemon.url()) as client:
        detection = {"type": "server_vad", "idle_timeout_ms": PLAYED_MS}
        await configure(client, output_modalities=["text"], audio={"input": TRANSCRIBED | {"turn_detection": detection}})
        await client.say("Hello?")
        await client.respond()
        triggered = await client.wait_for("input_audio_buffer.timeout_triggered")
        committed = await client.wait_for("input_audio_buffer.committed")
        assert triggered["item_id"] == committed["item_id"]
        assert (await client.response())["status"] == "completed"
    assert endpoint.requests[-1].body["messages"][-1]["role"] == "user"


async def test_a_cough_does_not_interrupt(daemon: Daemon, endpoint: ChatEndpoint) -> None:
    async with WireClient(daemon.url()) as client:
        await client.say("Tell me a story.")
        await client.send({"type": "response.create"})
        await client.wait_for("response.output_audio.delta")
        cough = np.concatenate([tone(0.05), silence(0.5)])
        for _ in range(5):
            await client.speak(cough)
        assert (await client.response())["status"] == "completed"
        await client.speak(np.concatenate([tone(0.6), silence(0.5)]))  # a listener who speaks is heard all the same
        await client.wait_for("input_audio_buffer.speech_started")
    assert client.types().count("input_audio_buffer.speech_started") == 1


# By human voice. Silero hears it; what is judged, and by what, is the daemon's own choice.

THOUGHTFUL = "queue-callswaiting"
"""Nobody knows which prompt is the best to think in; this name is replaced by the test's own search."""


def unfinished() -> tuple[np.ndarray, np.ndarray, str]:
    """A sentence, cut where its speaker might have stopped to think."""
    recording = named("queue-thankyou")
    sound = voice(recording.audio)
    cut = _quietest(sound, 0.45, 0.65)
    return sound[:cut], sound[cut:], recording.text


def _quietest(sound: np.ndarray, low: float, high: float) -> int:
    """The middle of the quietest 40 ms between two shares of a sound: between two words."""
    size = WIRE_RATE // 25
    starts = range(int(len(sound) * low), int(len(sound) * high), size // 4)
    return min(starts, key=lambda start: float(np.abs(sound[start : start + size].astype(np.int32)).sum())) + size // 2


@pytest.mark.parametrize("turns", ["smart-turn", "words"])
async def test_who_thinks_in_mid_sentence_is_not_cut_off(turns: str, start: Start, endpoint: ChatEndpoint) -> None:
    daemon = start("--turn-model", turns, OPENAI_BASE_URL=endpoint.base_url)
    beginning, end, text = unfinished()
    async with WireClient(daemon.url(), patience=PATIENCE) as client:
        detection = {"type": "semantic_vad", "eagerness": "low"}
        await configure(client, output_modalities=["text"], audio={"input": TRANSCRIBED | {"turn_detection": detection}})
        await client.speak(beginning)
        await client.speak(silence(1.5))
        # By then the pause has been judged: what came before is transcribed in less time than this, which comes after it.
        await client.send({"type": "conversation.item.create", "item": _item(beginning)})
        await client.wait_for("conversation.item.input_audio_transcription.completed")
        await client.speak(end)
        await client.speak(silence(0.6))
        committed = await client.wait_for("input_audio_buffer.committed")
        completed = await client.wait_for("conversation.item.input_audio_transcription.completed", item_id=committed["item_id"])
        assert client.types().count("input_audio_buffer.speech_stopped") == 1, "one turn"
    assert word_error_rate([text], [completed["transcript"]]) <= 0.25


def _item(sound: np.ndarray) -> dict[str, object]:
    from tests.rigs.wire_client import spoken

    return spoken(sound)
