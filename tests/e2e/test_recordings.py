"""Sessions of the real daemon, written down and run again."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

from tests.e2e.conftest import Start
from tests.e2e.test_sessions import run
from tests.e2e.test_tools import WEATHER, call, give_result
from tests.rigs.chat_endpoint import ChatEndpoint, answer
from tests.rigs.daemon import SCRIPTED_EARS
from tests.rigs.sounds import silence, tone
from tests.rigs.wire_client import WireClient, spoken

SECRET = "a-tool-servers-key"


async def test_what_was_recorded_runs_again_and_what_was_changed_is_found(start: Start, endpoint: ChatEndpoint, tmp_path: Path) -> None:
    state, recordings = tmp_path / "state", tmp_path / "recordings"
    folders = ("--record-dir", str(recordings), "--state-dir", str(state))
    daemon = start(*SCRIPTED_EARS, *folders, OPENAI_BASE_URL=endpoint.base_url)
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
        assert SECRET not in file.read_text()
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
