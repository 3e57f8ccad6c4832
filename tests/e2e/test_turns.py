"""Whose turn it is, over real sockets: who thinks is not cut off, who has finished is not kept waiting, who is silent is spoken to."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.ports import Int16
from tests.e2e.conftest import Start, need_models
from tests.e2e.test_voice import PATIENCE, TRANSCRIBED, configure, named
from tests.rigs.chat_endpoint import ChatEndpoint
from tests.rigs.daemon import SCRIPTED_EARS, Daemon
from tests.rigs.recordings import word_error_rate
from tests.rigs.sounds import WIRE_RATE, silence, tone, voice
from tests.rigs.wire_client import WireClient, spoken

IDLE_MS = 5000
"""The shortest idle timeout that there is (PROTOCOL 2.3)."""

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def daemon(start: Start, endpoint: ChatEndpoint) -> Daemon:
    return start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url)


async def test_who_says_nothing_is_spoken_to(daemon: Daemon, endpoint: ChatEndpoint) -> None:
    async with WireClient(daemon.url()) as client:
        detection = {"type": "server_vad", "idle_timeout_ms": IDLE_MS}
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
        cough = np.concatenate([tone(0.03), silence(0.5)])
        for _ in range(5):
            await client.speak(cough)
        assert (await client.response())["status"] == "completed"
        await client.speak(np.concatenate([tone(0.6), silence(0.5)]))  # a listener who speaks is heard all the same
        await client.wait_for("input_audio_buffer.speech_started")
    assert client.types().count("input_audio_buffer.speech_started") == 1


# By human voice: Silero hears it, and the pause is judged by its sound or by its words.

SENTENCE = "queue-thankyou"
"""Thank you for your patience. At its half a speaker is surely not done: both judges say so, and of the whole that it is."""

CUT = (0.45, 0.65)
"""Shares of the recording between which its speaker stops to think."""

THOUGHT = 1.5
"""Seconds: longer than a pause that nobody could judge would last (1 s)."""

PAUSE = 0.6
"""Seconds of silence that end a turn: less than any eagerness waits for who has not finished."""


def halves() -> tuple[Int16, Int16]:
    """The sentence, cut between two words."""
    sound = voice(named(SENTENCE).audio)
    size = WIRE_RATE // 25
    starts = range(round(len(sound) * CUT[0]), round(len(sound) * CUT[1]), size // 4)
    quietest = min(starts, key=lambda start: float(np.abs(sound[start : start + size].astype(np.int32)).sum()))
    return sound[: quietest + size // 2], sound[quietest + size // 2 :]


@pytest.mark.parametrize("turns", ["smart-turn", "words"])
async def test_who_thinks_is_not_cut_off_and_who_has_finished_is_not_kept_waiting(turns: str, start: Start, endpoint: ChatEndpoint) -> None:
    need_models("base", "smart-turn-v3.2")
    daemon = start("--turn-model", turns, "--tts", "none", OPENAI_BASE_URL=endpoint.base_url)
    beginning, end = halves()
    async with WireClient(daemon.url(), patience=PATIENCE) as client:
        detection = {"type": "semantic_vad", "eagerness": "low"}
        await configure(client, audio={"input": TRANSCRIBED | {"turn_detection": detection}})
        await client.speak(beginning)
        await client.speak(silence(THOUGHT))
        # The pause is judged before this, which is asked for after it, is written down.
        await client.send({"type": "conversation.item.create", "item": spoken(beginning)})
        await client.wait_for("conversation.item.input_audio_transcription.completed")
        await client.speak(end)
        await client.speak(silence(PAUSE))
        committed = await client.wait_for("input_audio_buffer.committed")
        heard = await client.wait_for("conversation.item.input_audio_transcription.completed", item_id=committed["item_id"])
    assert client.types().count("input_audio_buffer.speech_stopped") == 1, "one turn"
    assert word_error_rate([named(SENTENCE).text], [heard["transcript"]]) == 0
