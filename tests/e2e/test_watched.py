"""What a daemon tells those who watch it: Prometheus, a load balancer, whoever reads the log."""

from __future__ import annotations

import asyncio
import json
from signal import SIGTERM
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import Start
from tests.rigs.chat_endpoint import ChatEndpoint, Stop, answer
from tests.rigs.daemon import SCRIPTED, SCRIPTED_EARS, Daemon
from tests.rigs.promtool import check
from tests.rigs.sounds import silence, tone
from tests.rigs.wire_client import Event, WireClient

KEY = "sk-secret-0123"
SAID = "Hello, can you hear me?"
"""What the scripted ear hears."""

Samples = dict[str, float]


async def get(daemon: Daemon, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{daemon.port}{path}") as reply:
        return reply.status, await reply.text()


async def metrics(daemon: Daemon) -> Samples:
    """Every sample by its name and the values of its labels, in the order of their names, as Prometheus's own parser reads it."""
    _, text = await get(daemon, "/metrics")
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {" ".join([sample.name, *map(str, sample.labels.values())]): sample.value for sample in samples}


async def speak_a_turn(client: WireClient) -> Event:
    """Somebody speaks and is answered; returns the response."""
    await client.speak(tone(0.6))
    await client.speak(silence(1.0))
    return await client.response()


def log(daemon: Daemon) -> list[dict[str, Any]]:
    return [json.loads(line) for line in daemon.output.splitlines() if line.startswith("{")]


async def test_a_spoken_turn_moves_what_it_should(start: Start) -> None:
    daemon = start(*SCRIPTED)
    async with WireClient(daemon.url()) as client:
        response = await speak_a_turn(client)
        await client.send({"type": "no.such.event"})
        await client.wait_for("error")
        seen = await metrics(daemon)
        assert (seen["realtime_sessions_open ga"], seen["realtime_responses_running"]) == (1, 0)
        assert seen["realtime_turns_total detector"] == 1
        assert seen["realtime_responses_total none completed"] == 1
        assert seen["realtime_errors_total invalid_value event"] == 1
        measured = (
            "turn_transcript",
            "turn_first_token",
            "turn_first_sound",
            "model_first_token",
            "voice_first_sound",
            "response_duration",
        )
        for name in measured:
            assert seen[f"realtime_{name}_seconds_count"] >= 1, name
        assert seen["realtime_transcription_pace_ratio_count whole"] == 1
        assert seen["realtime_audio_seconds_total in"] == pytest.approx(1.6)
        assert seen["realtime_audio_seconds_total out"] == pytest.approx(len(client.sound(response["id"])) / 24_000)
        assert seen["realtime_tokens_total output_text"] == response["usage"]["output_tokens"]
        assert seen["realtime_queue_jobs media"] == 0
    async with WireClient(daemon.url("/ws/realtime")) as client:
        await client.wait_for("session.created")
        seen = await metrics(daemon)
    assert seen["realtime_sessions_open classic"] == 1
    assert seen["realtime_sessions_closed_total ga client"] == 1
    assert "realtime_loop_lag_seconds_count" in seen


async def test_an_interruption_is_measured(start: Start, endpoint: ChatEndpoint) -> None:
    daemon = start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url)
    endpoint.script(answer("Once upon a time, there was a king. ", "He", Stop.HANG))
    async with WireClient(daemon.url()) as client:
        await client.say("Tell me a story.")
        await client.send({"type": "response.create"})
        await client.wait_for("response.output_audio.delta")
        await client.speak(tone(0.3))
        assert (await client.response())["status"] == "cancelled"
        seen = await metrics(daemon)
    assert seen["realtime_responses_total turn_detected cancelled"] == 1
    assert seen["realtime_interruption_seconds_count"] == 1


async def test_promtool_finds_nothing_wrong_with_a_daemon_in_use(start: Start) -> None:
    daemon = start(*SCRIPTED)
    async with WireClient(daemon.url()) as client:
        await speak_a_turn(client)
        _, text = await get(daemon, "/metrics")
    assert await asyncio.to_thread(check, "metrics", input=text) == ""
    for secret in (SAID, "sess_", "resp_", "item_", "alloy"):
        assert secret not in text


async def test_it_is_ready_until_it_lets_go(start: Start, endpoint: ChatEndpoint) -> None:
    daemon, gate = start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url), asyncio.Event()
    endpoint.script(answer("Wait", gate, "."))
    status, text = await get(daemon, "/readyz")
    assert (status, json.loads(text)["checks"]["llm_endpoint"]) == (200, "reachable")
    async with WireClient(daemon.url()) as client:
        await client.say("Hello.")
        await client.send({"type": "response.create", "response": {"output_modalities": ["text"]}})
        await client.wait_for("response.output_text.delta")
        daemon.signal(SIGTERM)
        await asyncio.to_thread(daemon.wait_for_line, "stopping")
        status, text = await get(daemon, "/readyz")
        assert (status, json.loads(text)["ready"]) == (503, False)
        assert (await get(daemon, "/healthz"))[0] == 200
        assert (await metrics(daemon))["realtime_responses_running"] == 1
        gate.set()
        assert (await client.response())["status"] == "completed"


async def test_it_is_not_ready_without_its_endpoint(start: Start) -> None:
    async with ChatEndpoint() as endpoint:
        daemon = start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url)
    status, text = await get(daemon, "/readyz")
    assert (status, json.loads(text)["checks"]["llm_endpoint"]) == (503, "unreachable")


@pytest.mark.parametrize("content", ["false", "true"])
async def test_the_log_is_json_with_ids_and_without_what_is_said_or_any_key(start: Start, endpoint: ChatEndpoint, content: str) -> None:
    daemon = start(
        *SCRIPTED_EARS,
        REALTIME_LOG_FORMAT="json",
        REALTIME_LOG_LEVEL="debug",
        REALTIME_LOG_CONTENT=content,
        OPENAI_BASE_URL=endpoint.base_url,
        OPENAI_API_KEY=KEY,
    )
    endpoint.script(answer("Loud and clear."))
    async with WireClient(daemon.url(), headers={"Authorization": f"Bearer {KEY}"}) as client:
        created = await client.wait_for("session.created")
        response = await speak_a_turn(client)
    await asyncio.to_thread(daemon.wait_for_line, "Session closed")
    lines = {line["message"]: line for line in log(daemon)}
    about = ("Session opened", "Turn ended", "Speech transcribed", "Response ended", "Session closed")
    assert {lines[message]["session_id"] for message in about} == {created["session"]["id"]}
    assert lines["Response ended"]["response_id"] == response["id"]
    closed = lines["Session closed"]
    assert (closed["turns"], closed["responses"], closed["reason"], closed["close_code"]) == (1, 1, "client", 1000)
    assert lines["Speech transcribed"].get("heard") == (SAID if content == "true" else None)
    assert lines["Response ended"].get("said") == ("Loud and clear." if content == "true" else None)
    assert KEY not in daemon.output
    for words in (SAID, "Loud and clear"):
        assert (words in daemon.output) is (content == "true")


async def test_a_failing_job_names_its_session_and_its_response_in_text_too(start: Start) -> None:
    daemon = start(*SCRIPTED)
    async with WireClient(daemon.url()) as client:
        created = await client.wait_for("session.created")
    line = await asyncio.to_thread(daemon.wait_for_line, "Session closed.*")
    assert f" session_id={created['session']['id']} dialect=ga reason=client close_code=1000 turns=0" in line[0]
