"""The page in a real Chromium, whose microphone hears a human recording."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from signal import SIGKILL
from typing import Any

import numpy as np
import pytest
from playwright.async_api import Page

from realtime.server.keys import hashed
from tests.e2e.conftest import Start
from tests.e2e.test_tools import call
from tests.rigs.browser import NARROW, browsing, sound_file, until
from tests.rigs.chat_endpoint import ChatEndpoint, answer, chunk
from tests.rigs.daemon import SCRIPTED, SCRIPTED_EARS, Daemon
from tests.rigs.pictures import drawn
from tests.rigs.recordings import recordings, word_error_rate
from tests.rigs.sounds import silence, voice

pytestmark = pytest.mark.timeout(120)

SPEECH = "priv-recordintro"
"""Said in one breath."""

STORY = "Once upon a time there was a fox. " + "It went on and on through the woods, and never came home. " * 5
"""Twenty seconds of the scripted voice."""


def speech() -> tuple[str, Any]:
    recording = next(recording for recording in recordings() if recording.path.stem == SPEECH)
    return recording.text, voice(recording.audio)


async def visit(page: Page, daemon: Daemon) -> None:
    await page.goto(daemon.address.replace("ws://", "http://"))
    await page.wait_for_selector("#status.open")
    await page.evaluate("""() => {
        window.seen = [];
        for (const side of ["sent", "received"]) realtime.client.on(side, (event) => seen.push(event));
    }""")


async def write(page: Page, text: str) -> None:
    await page.fill("#text", text)
    await page.click("#send")


async def seen(page: Page, type: str) -> dict[str, Any]:
    """The first event of that type, sent or received; waits for it."""
    await until(page, f"seen.some((event) => event.type === {json.dumps(type)})")
    event: dict[str, Any] = await page.evaluate(f"() => seen.find((event) => event.type === {json.dumps(type)})")
    return event


async def bubbles(page: Page) -> list[str]:
    return await page.locator(".bubble .words").all_inner_texts()


async def test_somebody_speaks_and_is_answered_by_voice(embedded: Daemon, tmp_path: Path) -> None:
    text, sound = speech()
    microphone = sound_file(tmp_path / "microphone.wav", np.concatenate([silence(1), sound, silence(30)]))
    async with browsing(microphone) as page:
        await visit(page, embedded)
        await page.click("#talk")
        await page.wait_for_selector("#talk[aria-pressed=true]")
        await page.wait_for_selector(".bubble.user:not(.live)")
        await page.wait_for_selector(".bubble.assistant")
        assert word_error_rate([text], [(await bubbles(page))[0]]) <= 0.15
        await until(page, "realtime.speaker.energy > 1")
        await until(page, "document.querySelectorAll('#latency-list .bar').length >= 3")
        stages = await page.locator("#latency-list .bars").first.get_attribute("aria-label")
        assert stages is not None
        assert all(stage in stages for stage in ("transcript", "first token", "first sound"))


async def test_a_picture_and_a_text_are_sent_and_answered(start: Start, endpoint: ChatEndpoint, tmp_path: Path) -> None:
    endpoint.script(answer("A red square."))
    (tmp_path / "red.png").write_bytes(drawn("PNG", (300, 200)))
    daemon = start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url)
    async with browsing() as page:
        await visit(page, daemon)
        await page.fill("#text", "What is this?")
        await page.set_input_files("#file", str(tmp_path / "red.png"))
        await until(page, "document.querySelector('.bubble.assistant:not(.live)')")
        assert await bubbles(page) == ["What is this?", "A red square."]
        assert await page.evaluate("() => document.querySelector('.bubble.user img').naturalWidth") == 300
        [request] = endpoint.requests
        assert [part["type"] for part in request.body["messages"][-1]["content"]] == ["image_url", "text"]


async def test_speaking_into_the_answer_silences_it_and_cuts_it_to_what_was_heard(
    start: Start, endpoint: ChatEndpoint, tmp_path: Path
) -> None:
    endpoint.script(answer(STORY), answer("Yes?"))
    daemon = start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url)
    _, sound = speech()
    microphone = sound_file(tmp_path / "microphone.wav", np.concatenate([silence(1), sound, silence(5), sound, silence(30)]))
    async with browsing(microphone) as page:
        await visit(page, daemon)
        await page.click("#talk")
        truncate = await seen(page, "conversation.item.truncate")
        assert 1000 < truncate["audio_end_ms"] < 10_000, "of twenty seconds"
        await seen(page, "conversation.item.truncated")
        await page.wait_for_selector(".bubble.assistant.cut")
        await until(page, "seen.filter((event) => event.type === 'response.done').length === 2")
        heard = endpoint.requests[1].body["messages"][-2]
        assert heard["role"] == "assistant"
        assert STORY.startswith(heard["content"])
        assert len(heard["content"]) < len(STORY) / 2


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def test_after_a_restart_of_the_server_the_conversation_goes_on(start: Start, tmp_path: Path) -> None:
    options = (*SCRIPTED, "--port", str(free_port()), "--state-dir", str(tmp_path))
    daemon = start(*options)
    async with browsing() as page:
        await visit(page, daemon)
        await write(page, "My name is Ada.")
        await page.wait_for_selector(".bubble.assistant:not(.live)")
        session = await page.inner_text("#session-id")
        daemon.signal(SIGKILL)
        await page.wait_for_selector("#status.reconnecting")
        await asyncio.to_thread(daemon.wait)
        start(*options)
        await page.wait_for_selector("text=the conversation goes on")
        assert await page.inner_text("#session-id") == session
        await write(page, "What is my name?")
        await until(page, "document.querySelectorAll('.bubble.assistant:not(.live)').length === 2")
        assert len(await bubbles(page)) == 4, "nothing twice"


async def test_a_page_that_is_loaded_again_shows_the_conversation_and_a_forgotten_one_begins_anew(start: Start, tmp_path: Path) -> None:
    options = (*SCRIPTED, "--port", str(free_port()))
    daemon = start(*options, "--state-dir", str(tmp_path / "one"))
    async with browsing() as page:
        await visit(page, daemon)
        await write(page, "Hello.")
        await page.wait_for_selector(".bubble.assistant:not(.live)")
        before = await bubbles(page)
        await page.reload()
        await until(page, "document.querySelectorAll('.bubble').length === 2")
        assert await bubbles(page) == before
        await asyncio.to_thread(daemon.stop)
        start(*options, "--state-dir", str(tmp_path / "two"))
        await page.wait_for_selector("text=this is a new one")
        await write(page, "Hello again.")
        await until(page, "document.querySelectorAll('.bubble.assistant:not(.live)').length === 2")


async def test_a_server_that_wants_a_key_is_given_one(start: Start, tmp_path: Path) -> None:
    key, keys = "a-long-random-key", tmp_path / "keys"
    keys.write_text(f"phone:{hashed(key).hex()}\n")
    daemon = start(*SCRIPTED, "--api-keys-file", str(keys))
    async with browsing() as page:
        await page.goto(daemon.address.replace("ws://", "http://"))
        await page.wait_for_selector("text=This server wants a key")
        await until(page, "document.activeElement.id === 'key'")
        await page.keyboard.type(key)
        await page.keyboard.press("Enter")
        await page.wait_for_selector("#status.open")


async def test_a_tool_runs_in_the_page(start: Start, endpoint: ChatEndpoint) -> None:
    name = chunk({"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "set_page_colour", "arguments": ""}}]})
    arguments = call(0, "c", '{"colour":"green"}')[1:]
    endpoint.script(answer(name, *arguments, finish_reason="tool_calls"), answer("It is green now."))
    daemon = start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url)
    async with browsing() as page:
        await visit(page, daemon)
        await page.check("#tool-set_page_colour")
        await write(page, "Make it green.")
        await page.wait_for_selector("text=It is green now.")
        assert await page.evaluate("() => document.documentElement.style.getPropertyValue('--hue')") == "150"
        assert "→ The page is green now." in await bubbles(page)


async def test_push_to_talk_by_the_space_bar(start: Start, endpoint: ChatEndpoint, tmp_path: Path) -> None:
    _, sound = speech()
    microphone = sound_file(tmp_path / "microphone.wav", np.concatenate([sound, sound, sound, sound, silence(30)]))
    daemon = start(*SCRIPTED)
    async with browsing(microphone) as page:
        await visit(page, daemon)
        await page.select_option("#turns", "push")
        await page.click("#settings button[type=submit]")
        await until(page, "seen.some((event) => event.type === 'session.updated' && event.session.audio.input.turn_detection === null)")
        await page.focus("#talk")
        await page.keyboard.down("Space")
        await until(page, "seen.filter((event) => event.type === 'input_audio_buffer.append').length > 30")
        await page.keyboard.up("Space")
        await seen(page, "input_audio_buffer.committed")
        await page.wait_for_selector(".bubble.assistant:not(.live)")


async def test_events_are_searched_and_taken_along(scripted: Daemon, tmp_path: Path) -> None:
    async with browsing() as page:
        await visit(page, scripted)
        await write(page, "A needle in a haystack.")
        await seen(page, "response.done")
        await page.click("#tab-events")
        await page.fill("#filter", "needle")
        first = page.locator("#event-list details").first
        assert "conversation.item.create" in await first.inner_text()
        await first.locator("summary").click()
        await first.locator("pre", has_text="A needle in a haystack.").wait_for()
        async with page.expect_download() as download:
            await page.click("#download")
        file = await (await download.value).path()
        lines = (await asyncio.to_thread(Path(file).read_text)).splitlines()
        assert {line[0] for line in lines} == {"+", "<", ">"}
        assert next(json.loads(line[2:])["type"] for line in lines if line[0] == "<") == "session.created"


async def test_the_camera_shows_itself_and_is_seen(start: Start) -> None:
    daemon = start(*SCRIPTED)
    async with browsing(size=NARROW, dark=True) as page:
        await visit(page, daemon)
        await page.click("#camera")
        frame = await seen(page, "input_image_buffer.append")
        assert frame["image"].startswith("data:image/jpeg;base64,")
        assert await page.is_visible("#camera-view")
        await page.click("#camera")
        assert not await page.is_visible("#camera-view")


async def test_everything_can_be_reached_by_the_keyboard_and_has_a_name(scripted: Daemon) -> None:
    async with browsing() as page:
        await visit(page, scripted)
        nameless = await page.evaluate("""() => [...document.querySelectorAll("button, input, textarea, select")]
            .filter((control) => !(control.innerText || control.ariaLabel || control.labels?.length)).map((control) => control.id)""")
        assert nameless == []
        reached = set()
        for _ in range(40):
            await page.keyboard.press("Tab")
            reached.add(await page.evaluate("() => document.activeElement.id"))
        assert {"talk", "text", "send", "attach", "camera", "connect", "anew", "panel-toggle", "tab-settings", "instructions"} <= reached
