"""The npm package `@openai/agents-realtime`, unmodified, in Node over `transport: "websocket"`; `agents_realtime.mjs` is its user.

Every frame of every test is held against the types of the openai package (`conftest.py`), and against the schemas of this one: a frame
that they don't know is dropped. The package says of every session that it is one that answers, so only its transport can transcribe.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from realtime.engines.scripted import SENTENCE
from realtime.ports import Int16
from tests.compat.story import BEGINNING, INTERRUPTION, PICTURE, PIXEL, QUESTION, begin_story
from tests.compat.test_openai_python import STANDARD
from tests.e2e.test_mcp import SUM, calling
from tests.e2e.test_tools import ROME, call
from tests.rigs.chat_endpoint import ChatEndpoint, answer
from tests.rigs.daemon import bare_environment
from tests.rigs.mcp_server import McpServer
from tests.rigs.pictures import shown
from tests.rigs.program import Program
from tests.rigs.tap import Tap

USER = Path(__file__).with_name("agents_realtime.mjs")

TEXT = {"outputModalities": ["text"]}


@cache
def absence() -> str | None:
    """Why the package can't be used here; None where it can."""
    if shutil.which("node") is None:
        return "node is not installed"
    look = ["node", "--input-type=module", "--eval", "await import('@openai/agents-realtime')"]
    found = subprocess.run(look, cwd=USER.parent, capture_output=True, stdin=subprocess.DEVNULL, timeout=30)
    return (
        None if found.returncode == 0 else "@openai/agents-realtime is not installed (npm install --no-save @openai/agents-realtime@0.20)"
    )


class Person:
    """Someone who types into the program, and reads what it prints."""

    def __init__(self, program: Program) -> None:
        self._program = program

    async def does(self, **asked: str | bool | dict[str, Any]) -> None:
        # In a thread: the endpoint and the tap live on this loop, and the program may wait for them.
        await asyncio.to_thread(self._program.type, json.dumps(asked))

    async def speaks(self, sound: Int16) -> None:
        await self.does(speak=b64encode(sound.tobytes()).decode())

    async def is_told(self, event: str, *texts: str) -> dict[str, Any]:
        """The next event of this name with these texts in it, in this order."""
        within = "".join(f"{re.escape(text)}.*" for text in texts)
        pattern = rf'^(\{{"event":"{event}".*{within}\}})$'
        line = await asyncio.to_thread(self._program.wait_for_line, pattern)
        told: dict[str, Any] = json.loads(line[1])
        return told

    def all_told(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self._program.lines if line.startswith("{")]
        return [line for line in lines if line["event"] == event]


@asynccontextmanager
async def person(
    tap: Tap,
    config: dict[str, Any],
    may_drop: Callable[[dict[str, Any]], bool] = lambda frame: False,
    server: dict[str, Any] | None = None,
    *,
    query: str = "model=x",
    errors: int = 0,
) -> AsyncIterator[Person]:
    """Connected inside; after, so many errors have been told, and no frame dropped but those that may be."""
    if reason := absence():
        pytest.skip(reason)
    command = ["node", str(USER), tap.url("ws", f"/v1/realtime?{query}"), json.dumps(config)]
    if server is not None:
        command.append(json.dumps(server))
    with Program(command, env=bare_environment()) as program:
        person = Person(program)
        await person.is_told("connected")
        yield person
        await person.does(close=True)
        assert await asyncio.to_thread(program.wait) == 0, program.output
    assert len(person.all_told("error")) == errors, person.all_told("error")
    assert [frame for frame in person.all_told("frame") if frame["dropped"] and not may_drop(frame)] == []


async def test_a_written_question_is_answered(tap: Tap, endpoint: ChatEndpoint) -> None:
    async with person(tap, TEXT) as user:
        await user.does(say="What does the fox do?")
        assert (await user.is_told("answered"))["text"] == STANDARD
    system, asked = endpoint.requests[0].body["messages"]
    assert (system["content"], asked["content"]) == ("Be nice.", "What does the fox do?")
    assert [item["words"] for item in user.all_told("history")[-1]["items"]] == ["What does the fox do?", STANDARD]


async def test_a_spoken_question_is_transcribed_and_answered_by_voice(tap: Tap) -> None:
    async with person(tap, {}) as user:
        await user.speaks(QUESTION)
        # The package asks for the item once more when its transcript has come, and writes down what it is given: perhaps last of all.
        await user.is_told("history", SENTENCE, STANDARD)
    assert tap.of("conversation.item.retrieve")
    assert sum(piece["bytes"] for piece in user.all_told("audio")) > 0


async def test_a_tool_is_called_and_its_result_answered(tap: Tap, endpoint: ChatEndpoint) -> None:
    endpoint.script(answer(*call(0, "call_1", ROME), finish_reason="tool_calls"), answer("It is sunny."))
    async with person(tap, TEXT) as user:
        await user.does(say="What is the weather in Rome?")
        assert (await user.is_told("tool"))["result"] == "Sunny in Rome."
        await user.is_told("answered", "It is sunny.")
    assert endpoint.requests[-1].body["messages"][-1] == {"role": "tool", "tool_call_id": "call_1", "content": "Sunny in Rome."}


def unknown(frame: dict[str, Any]) -> bool:
    """The package has no schema for a call that failed."""
    return bool(frame["type"] == "response.mcp_call.failed")


async def test_a_servers_tool_is_called_and_the_package_asks_for_the_answer(tap: Tap, endpoint: ChatEndpoint) -> None:
    endpoint.script(calling("add", SUM), answer("Three."))
    async with McpServer() as tools:
        server = {"serverLabel": "rig", "serverUrl": tools.url, "allowedTools": ["add", "slow"]}
        async with person(tap, TEXT, server=server) as user:
            assert (await user.is_told("listed"))["tools"] == ["add", "slow"]
            await user.does(say="What is one and two?")
            assert await user.is_told("called") == {"event": "called", "name": "add", "output": "3"}
            await user.is_told("answered", "Three.")
        assert tools.calls == [("add", {"a": 1, "b": 2})]
    assert endpoint.requests[-1].body["messages"][-1]["content"] == "3"
    assert tap.of("conversation.item.retrieve")


async def test_a_call_is_approved_of_and_another_refused(tap: Tap, endpoint: ChatEndpoint) -> None:
    endpoint.script(calling("add", SUM), answer("Three."), calling("add", SUM))
    async with McpServer() as tools:
        approval = {"always": {"toolNames": ["add"]}}
        async with person(tap, TEXT, server={"serverLabel": "rig", "serverUrl": tools.url, "requireApproval": approval}) as user:
            await user.is_told("listed")
            await user.does(say="What is one and two?")
            assert (await user.is_told("asked"))["name"] == "add"
            assert tools.calls == []
            await user.does(approve=True)
            assert (await user.is_told("called"))["output"] == "3"
            await user.is_told("answered", "Three.")
            await user.does(say="And again?")
            await user.is_told("asked")
            await user.does(approve=False)
            await user.does(say="Why not?")
            await user.is_told("answered", STANDARD)
        assert len(tools.calls) == 1
    assert any("did not allow" in str(message) for message in endpoint.requests[-1].body["messages"])


async def test_a_server_that_is_not_there_is_no_error(tap: Tap, endpoint: ChatEndpoint) -> None:
    async with McpServer() as gone:
        pass
    async with person(tap, TEXT, server={"serverLabel": "rig", "serverUrl": gone.url}) as user:
        await user.is_told("frame", "mcp_list_tools.failed")
        await user.does(say="What does the fox do?")
        await user.is_told("answered", STANDARD)


async def test_a_tool_that_fails_is_answered_all_the_same(tap: Tap, endpoint: ChatEndpoint) -> None:
    endpoint.script(calling("divide", '{"a":1,"b":0}'), answer("I can't."))
    async with McpServer() as tools, person(tap, TEXT, unknown, {"serverLabel": "rig", "serverUrl": tools.url}) as user:
        await user.is_told("listed")
        await user.does(say="What is one by none?")
        assert (await user.is_told("called"))["output"] is None
        await user.is_told("answered", "I can't.")


async def test_an_answer_is_interrupted_and_cut_to_what_was_heard(tap: Tap, endpoint: ChatEndpoint) -> None:
    begin_story(endpoint)
    async with person(tap, {}) as user:
        await user.does(say="Tell me a story.")
        await user.is_told("audio")
        await user.speaks(INTERRUPTION)
        await user.is_told("interrupted")
        done = await tap.wait_for("response.done")
        assert done["response"]["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
        (item,) = done["response"]["output"]
        truncated = await tap.wait_for("conversation.item.truncated", item_id=item["id"])
        await user.is_told("frame", "conversation.item.truncated")
    (asked,) = tap.of("conversation.item.truncate")
    assert truncated["audio_end_ms"] == asked["audio_end_ms"]
    assert item["content"] == [{"type": "output_audio", "transcript": BEGINNING}]


async def test_a_picture_reaches_the_endpoint(tap: Tap, endpoint: ChatEndpoint) -> None:
    def is_item(frame: dict[str, Any]) -> bool:
        """The package has no schema for an item with a picture, neither the vendor's nor ours."""
        return frame["type"] in ("conversation.item.added", "conversation.item.done")

    async with person(tap, TEXT, may_drop=is_item) as user:
        await user.does(show=PICTURE)
        await user.is_told("answered", STANDARD)
    (image,) = endpoint.requests[0].body["messages"][-1]["content"]
    assert shown(image["image_url"]["url"]).size == PIXEL


async def test_a_session_that_only_transcribes(tap: Tap) -> None:
    wish = {"transcription": {"model": "gpt-4o-transcribe"}, "turn_detection": {"type": "server_vad"}}
    update = {"type": "session.update", "session": {"type": "transcription", "audio": {"input": wish}}}
    async with person(tap, {}, query="intent=transcription", errors=2) as user:  # for its settings and for its tracing
        await user.is_told("error", "transcription session is not allowed")
        await user.does(send=update)
        await user.is_told("frame", "session.updated")
        await user.speaks(QUESTION)
        await user.is_told("frame", "conversation.item.input_audio_transcription.completed")
    assert "".join(told["delta"] for told in user.all_told("heard")) == SENTENCE
