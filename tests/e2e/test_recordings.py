"""Sessions of the real daemon, written down and run again."""

from __future__ import annotations

import asyncio
import json
import stat
from base64 import b64decode
from pathlib import Path
from signal import SIGKILL

from tests.e2e.conftest import Start
from tests.e2e.test_barge_in import BEGINNING, PLAYED_MS, begin_story, interrupt, truncate
from tests.e2e.test_sessions import STORE_KEY, resumed, run
from tests.e2e.test_tools import WEATHER, call, give_result
from tests.rigs.chat_endpoint import ChatEndpoint, answer
from tests.rigs.daemon import SCRIPTED, SCRIPTED_EARS
from tests.rigs.sounds import silence, tone
from tests.rigs.wire_client import WireClient, spoken

SECRET = "a-tool-servers-key"

SMALL = {"type": "realtime", "tools": [WEATHER], "audio": {"output": {"format": {"type": "audio/pcmu"}}}}
"""What such a recording may begin with that is to be kept in tests/recordings: most of it is sound."""


async def test_what_was_recorded_runs_again_and_what_was_changed_is_found(start: Start, endpoint: ChatEndpoint, tmp_path: Path) -> None:
    state, recordings = tmp_path / "state", tmp_path / "recordings"
    folders = ("--record-dir", str(recordings), "--state-dir", str(state))
    daemon = start(*SCRIPTED_EARS, *folders, OPENAI_BASE_URL=endpoint.base_url, REALTIME_STORE_KEY=STORE_KEY)
    endpoint.script(answer(*call(0, "call_1", '{"city":"Rome"}'), finish_reason="tool_calls"), answer("It is sunny."))
    async with WireClient(daemon.url()) as client:
        tools = [WEATHER, {"type": "mcp", "server_label": "s", "server_url": "http://127.0.0.1:1/mcp", "authorization": SECRET}]
        await client.send({"type": "session.update", "session": {"type": "realtime", "tools": tools}})
        await client.send({"type": "nonsense"})
        await client.wait_for("mcp_list_tools.failed")
        await client.say("What is the weather in Rome?")
        await client.respond()
        await give_result(client, "call_1", "Sunny.")
        await client.respond()
        await client.speak(tone(0.5))
        await client.speak(silence(1.0))
        await client.response()
        await client.send({"type": "conversation.item.create", "item": spoken(tone(0.3))})
        client.socket.transport.abort()
        await client.closed()
    session_id = client.received[0]["session"]["id"]
    async with WireClient(daemon.url(f"/ws/realtime?session_id={session_id}")) as later:
        await later.wait_for("session.created")
        await later.send({"type": "session.update", "session": {"input_audio_format": "pcm16", "modalities": ["text"]}})
        await later.send({"type": "response.create"})
        await later.wait_for("response.done")
    await asyncio.to_thread(daemon.stop)

    files = sorted(recordings.iterdir())
    assert len(files) == 2, "another dialect is read from the store"
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        first, *_ = (text := file.read_text()).splitlines()
        records = b"".join(b64decode(record) for record in json.loads(first[2:])["records"].values())
        assert b"mcp" in records or file == files[0], "the server is among what is remembered"
        assert SECRET.encode() not in records
        assert SECRET not in text
        assert await run("replay", str(file)) == (0, f"{file}: the same\n")

    lines = files[0].read_text().splitlines(keepends=True)
    wrong = next(number for number, line in enumerate(lines) if line.startswith("< ") and "It is sunny." in line)
    lines[wrong] = lines[wrong].replace("It is sunny.", "It rains.")
    files[0].write_text("".join(lines))
    status, output = await run("replay", str(files[0]))
    assert status == 1
    assert "It rains." in output
    assert "It is sunny." in output
    assert (await run("replay", str(tmp_path / "nothing")))[0] == 2


async def test_an_interrupted_answer_and_a_client_that_came_back_run_again(start: Start, endpoint: ChatEndpoint, tmp_path: Path) -> None:
    recordings, gate = tmp_path / "recordings", asyncio.Event()
    daemon = start(*SCRIPTED_EARS, "--record-dir", str(recordings), OPENAI_BASE_URL=endpoint.base_url)
    endpoint.script(answer(BEGINNING, gate, "The end."), answer(*call(0, "call_1", '{"city":"Rome"}'), finish_reason="tool_calls"))
    endpoint.script(answer("Sunny."))
    async with WireClient(daemon.url()) as client:
        await client.send({"type": "session.update", "session": SMALL})
        item_id = await begin_story(client)
        await interrupt(client)
        await truncate(client, item_id, PLAYED_MS)
        await client.wait_for("conversation.item.truncated")
        client.socket.transport.abort()
        await client.closed()
    async with resumed(daemon, client, f"&last_event_id={client.received[-1]['event_id']}") as later:
        await later.speak(silence(1.0))
        await later.response()
        await give_result(later, "call_1", "Sunny.")
        await later.respond()
    await asyncio.to_thread(daemon.stop)

    (file,) = recordings.iterdir()
    text = file.read_text()
    for happened in ('"turn_detected"', '~ {"type":"Resumed"', '"response.function_call_arguments.done"', "conversation.item.truncated"):
        assert happened in text
    assert await run("replay", str(file)) == (0, f"{file}: the same\n")


async def test_a_daemon_that_is_killed_leaves_a_recording_of_all_that_it_wrote(start: Start, tmp_path: Path) -> None:
    recordings = tmp_path / "recordings"
    daemon = start(*SCRIPTED, "--record-dir", str(recordings))
    async with WireClient(daemon.url()) as client:
        await client.say("Say something long. " * 50)
        await client.send({"type": "response.create"})
        await client.wait_for("response.output_audio.delta")
        await asyncio.to_thread(daemon.stop, SIGKILL)
    (file,) = recordings.iterdir()
    assert "session.created" in file.read_text()
    assert await run("replay", str(file)) == (0, f"{file}: the same\n")
