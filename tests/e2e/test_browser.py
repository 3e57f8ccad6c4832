"""The page that the daemon serves, in a real Chromium: spoken to, written to, interrupted, cut off."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from pathlib import Path
from signal import SIGKILL
from typing import Any

import numpy as np
import pytest
from playwright.async_api import Page
from websockets.asyncio.server import ServerConnection, serve

from tests.e2e.conftest import Start, need_models
from tests.rigs.browser import SPOKEN_TO, browser, sounding, until, visit
from tests.rigs.chat_endpoint import ChatEndpoint, answer, chunk
from tests.rigs.daemon import SCRIPTED, SCRIPTED_EARS, Daemon
from tests.rigs.film import film
from tests.rigs.pictures import drawn
from tests.rigs.recordings import Recording, recordings, word_error_rate

pytestmark = pytest.mark.timeout(180)

KEY = "a-key-of-this-test-alone"
FEEDBACK_MS = 250
"""Milliseconds within which the audio thread and the tap beside it tell what they do, on a busy machine."""

LONG_ANSWER = "Let me tell you about the sea. " + "The waves come in, and the waves go out again, all day and all night. " * 12


def page_of(daemon: Daemon) -> str:
    return daemon.url("/").replace("ws:", "http:")


def spoken(words: str) -> Recording:
    return next(recording for recording in recordings() if recording.text.startswith(words))


async def bubbles(page: Page) -> list[list[str]]:
    """What somebody sees: who, and the words."""
    script = "(all) => all.map((each) => [each.querySelector('.who').textContent, each.querySelector('.text').textContent])"
    return await page.eval_on_selector_all("#transcript .message:not([hidden])", script)  # type: ignore[no-any-return]


async def events(page: Page, direction: str, kind: str) -> list[dict[str, Any]]:
    """Those of a kind that the inspector has."""
    lines = (await page.evaluate("realtime.inspector.transcript")).splitlines()
    parsed = (json.loads(line[2:]) for line in lines if line.startswith(direction))
    return [event for event in parsed if event["type"] == kind]


async def write(page: Page, text: str) -> None:
    await page.fill("#text", text)
    await page.press("#text", "Enter")


async def answered(page: Page, count: int = 1) -> None:
    await until(page, f"document.querySelectorAll('.message.assistant.done').length >= {count}")


async def test_who_speaks_is_understood_and_answered_aloud(embedded: Daemon, tmp_path: Path) -> None:
    said = spoken("Please enter your password")
    async with browser(sounding(tmp_path / "microphone.wav", said.audio)) as chromium, visit(chromium, page_of(embedded)) as page:
        await page.click("#talk")
        await until(page, "document.querySelector('.message.user.done')")
        await until(page, "document.querySelector('.message.assistant.done')")
        await until(page, "heard.loudest > 0.01 && !realtime.speaker.playing")
        (who, words), (other, reply) = await bubbles(page)
        assert (who, other) == ("You", "Assistant")
        assert word_error_rate([said.text], [words]) < 0.2, words
        assert reply
        (turn,) = await page.evaluate("realtime.latency.turns")
        assert 0 < turn["transcript"] <= turn["token"] <= turn["sound"]
        assert await page.locator("#latency dd").count() == 3


async def test_a_picture_and_a_text_are_sent_and_answered(embedded: Daemon) -> None:
    async with browser() as chromium, visit(chromium, page_of(embedded)) as page:
        await page.set_input_files("#file", {"name": "red.png", "mimeType": "image/png", "buffer": drawn("PNG", (640, 480))})
        await until(page, "document.querySelector('#attachments img')")
        await write(page, "What do you see?")
        await answered(page)
        assert await page.locator(".message.user .images img").count() == 1
        assert await until(page, "document.querySelector('.message.user img').naturalWidth") == 640
        assert [who for who, _ in await bubbles(page)] == ["You", "Assistant"]
        assert (await bubbles(page))[1][1].startswith("I can't see pictures.")


NOTE_TIMES = """
    window.times = {};
    realtime.client.addEventListener('sent', ({detail}) => {
        if (detail.type === 'conversation.item.truncate') times.cut = performance.now();
    });
    realtime.speaker.addEventListener('started', () => (times[times.cut ? 'again' : 'first'] ??= performance.now()));
"""


async def test_who_speaks_into_an_answer_silences_it_and_it_is_cut_at_what_was_heard(start: Start, endpoint: ChatEndpoint) -> None:
    need_models("base")
    daemon = start(OPENAI_BASE_URL=endpoint.base_url)
    endpoint.script(answer(LONG_ANSWER), answer("Yes?"))
    wav = spoken("Please enter your password").path.read_bytes()
    async with browser() as chromium, visit(chromium, page_of(daemon), SPOKEN_TO) as page:
        await page.evaluate(NOTE_TIMES)
        await page.click("#talk")
        await until(page, "document.querySelector('#dock[data-phase=listening]')")
        await write(page, "Tell me about the sea.")
        await until(page, "performance.now() - times.first > 1500")
        await page.evaluate("say", b64encode(wav).decode())
        await until(page, "document.querySelector('.message.assistant.cut') && times.again")
        (truncate,) = await events(page, ">", "conversation.item.truncate")
        (truncated,) = await events(page, "<", "conversation.item.truncated")
        assert truncated["audio_end_ms"] == truncate["audio_end_ms"]
        times, sounded = await page.evaluate("times"), await page.evaluate("heard.times")
        assert 1000 < truncate["audio_end_ms"] <= times["cut"] - times["first"] + FEEDBACK_MS
        assert any(times["first"] < at < times["cut"] for at in sounded)
        assert [at for at in sounded if times["cut"] + FEEDBACK_MS < at < times["again"] - FEEDBACK_MS] == []
        assert [who for who, _ in await bubbles(page)] == ["You", "Assistant", "You", "Assistant"]
        unheard = await until(page, "document.querySelector('.message.cut .unheard')?.textContent")
        assert LONG_ANSWER.endswith(unheard)
        assert len(unheard) > len(LONG_ANSWER) / 2
        await until(page, "document.querySelectorAll('.message.assistant.done').length === 1")
        assert len(endpoint.requests) == 2
        (heard,) = [message for message in endpoint.requests[1].body["messages"] if message["role"] == "assistant"]
        assert len(heard["content"]) < len(LONG_ANSWER) / 2  # the model is not told what nobody heard


async def test_push_to_talk_by_the_keyboard(scripted: Daemon) -> None:
    async with browser() as chromium, visit(chromium, page_of(scripted), SPOKEN_TO) as page:
        await page.check("[name=talk][value=push]", force=True)
        await page.focus("#talk")
        await page.keyboard.down(" ")
        await until(page, "realtime.inspector.sent('input_audio_buffer.append') >= 10")
        await page.keyboard.up(" ")
        await answered(page)
        assert len(await events(page, ">", "input_audio_buffer.commit")) == 1
        assert (await bubbles(page))[0][0] == "You"


@pytest.mark.parametrize(("kind", "part"), [("audio/wav", "input_audio"), ("video/mp4", "input_video")])
async def test_sounds_and_clips_are_sent(scripted: Daemon, kind: str, part: str) -> None:
    file = spoken("Please enter your password").path.read_bytes() if kind == "audio/wav" else film()
    async with browser() as chromium, visit(chromium, page_of(scripted)) as page:
        await page.set_input_files("#file", {"name": "it", "mimeType": kind, "buffer": file})
        await until(page, "document.querySelector('#attachments li')")
        await page.click("#send")
        await answered(page)
        (sent,) = await events(page, ">", "conversation.item.create")
        assert [each["type"] for each in sent["item"]["content"]] == [part]
        if part == "input_video":
            await until(page, "document.querySelector('.message.user img')?.naturalWidth")


async def test_what_the_camera_sees_is_sent(scripted: Daemon) -> None:
    async with browser() as chromium, visit(chromium, page_of(scripted)) as page:
        await page.click("#camera")
        await until(page, "realtime.inspector.sent('input_image_buffer.append') >= 2")
        await page.click("#camera")
        assert await page.is_hidden("#camera-box")


async def test_a_tool_runs_in_the_page(start: Start, endpoint: ChatEndpoint) -> None:
    daemon = start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url)
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "set_page_color", "arguments": '{"color":"teal"}'}}
    endpoint.script(answer(chunk({"tool_calls": [call]}), finish_reason="tool_calls"), answer("It is teal now."))
    async with browser() as chromium, visit(chromium, page_of(daemon)) as page:
        await write(page, "Make it teal.")
        await until(page, "document.querySelector('.message.assistant.done .text')?.textContent.includes('teal now')")
        assert await page.evaluate("document.documentElement.style.getPropertyValue('--accent')") == "teal"
        assert [who for who, _ in await bubbles(page)] == ["You", "Tool · set_page_color", "Result", "Assistant"]


async def test_a_tool_that_the_page_has_not_is_answered_by_hand(start: Start, endpoint: ChatEndpoint) -> None:
    daemon = start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url)
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    endpoint.script(answer(chunk({"tool_calls": [call]}), finish_reason="tool_calls"), answer("It snows."))
    async with browser() as chromium, visit(chromium, page_of(daemon)) as page:
        await page.click("#tab-tools")
        await page.fill("#own-tools", '[{"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}]')
        await page.dispatch_event("#own-tools", "change")
        await write(page, "How is the weather?")
        await page.fill(".reply input", "snow")
        await page.press(".reply input", "Enter")
        await answered(page)
        assert (await bubbles(page))[-1] == ["Assistant", "It snows."]


async def test_settings_reach_the_session_and_name_only_what_changed(scripted: Daemon) -> None:
    async with browser() as chromium, visit(chromium, page_of(scripted)) as page:
        await page.click("#connect")
        await until(page, "document.querySelector('#status[data-state=open]')")
        await page.select_option("[name=modality]", "text")
        await page.select_option("[name=turns]", "semantic_vad")
        await until(page, "realtime.inspector.received('session.updated') >= 3")
        *_, first, second = await events(page, ">", "session.update")
        assert first["session"] == {"type": "realtime", "output_modalities": ["text"]}
        *_, told = await events(page, "<", "session.updated")
        assert told["session"]["output_modalities"] == ["text"]
        assert told["session"]["audio"]["input"]["turn_detection"]["type"] == "semantic_vad"
        assert second["session"]["audio"].keys() == {"input"}
        await write(page, "Hello")
        await answered(page)
        assert await page.evaluate("heard.loudest") == 0


async def test_the_inspector_filters_and_saves_a_transcript(scripted: Daemon) -> None:
    async with browser() as chromium, visit(chromium, page_of(scripted)) as page:
        await write(page, "Hello")
        await answered(page)
        await page.click("#tab-events")
        await page.select_option("#direction", ">")
        await page.fill("#search", "response.create")
        await until(page, "document.querySelectorAll('#events li').length === 1")
        async with page.expect_download() as saving:
            await page.click("#events-save")
        path = await (await saving.value).path()
        assert path.read_text() == '> {"type":"response.create"}\n'


async def test_a_server_with_keys_wants_one(start: Start) -> None:
    daemon = start(*SCRIPTED, REALTIME_API_KEYS=f"test={KEY}")
    async with browser() as chromium, visit(chromium, page_of(daemon)) as page:
        await page.click("#connect")
        await until(page, "document.querySelector('.note.error')")
        assert await page.get_attribute("#status", "data-state") == "closed"
        await page.fill("[name=key]", KEY)
        await page.click("#connect")
        await until(page, "document.querySelector('#status[data-state=open]')")
        assert KEY not in await page.evaluate("JSON.stringify(localStorage)")


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "lost"])
async def test_after_a_restart_it_comes_back_by_itself_and_says_what_became_of_the_conversation(
    start: Start, tmp_path: Path, kept: bool
) -> None:
    daemon = start(*SCRIPTED, "--state-dir", str(tmp_path / "one"))
    async with browser() as chromium, visit(chromium, page_of(daemon)) as page:
        await write(page, "Hello")
        await answered(page)
        session, before = await page.evaluate("realtime.client.sessionId"), await bubbles(page)
        daemon.signal(SIGKILL)
        await until(page, "document.querySelector('#status[data-state=waiting]')")
        assert "lost" in await page.inner_text("#status") or "again" in await page.inner_text("#status")
        await asyncio.to_thread(daemon.wait)
        await page.fill("[name=instructions]", "Be brief.")
        await page.evaluate("document.querySelector('[name=instructions]').dispatchEvent(new Event('change', {bubbles: true}))")
        start(*SCRIPTED, "--port", str(daemon.port), "--state-dir", str(tmp_path / ("one" if kept else "two")))
        await until(page, "document.querySelector('#status[data-state=open]')")
        told = (
            "Connected again. The conversation goes on." if kept else "The server no longer has the earlier conversation. A new one begins."
        )
        assert (await page.locator(".note").all_inner_texts())[-1] == told
        assert (await page.evaluate("realtime.client.sessionId") == session) is kept
        await write(page, "Are you there?")
        await answered(page, 2)
        assert (await bubbles(page))[:2] == before, "nothing twice"
        assert len(await bubbles(page)) == 4
        settings = [event["session"] for event in await events(page, "<", "session.updated")]
        assert settings[-1]["instructions"] == "Be brief."


async def test_a_page_that_is_loaded_again_shows_the_conversation(scripted: Daemon) -> None:
    async with browser() as chromium, visit(chromium, page_of(scripted)) as page:
        await write(page, "Hello")
        await answered(page)
        before = await bubbles(page)
        await page.reload()
        await page.click("#connect")
        await until(page, "document.querySelectorAll('#transcript .message:not([hidden])').length === 2")
        assert await bubbles(page) == before


class Scribe:
    """A server that answers each connection as it is told, and notes what each asked for."""

    def __init__(self, *ends: tuple[dict[str, Any], int | None]) -> None:
        self.asked: list[str] = []
        self._ends = list(ends)

    async def __call__(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.asked.append(socket.request.path)
        event, code = self._ends.pop(0)
        await socket.send(json.dumps(event))
        if code is None:
            await socket.wait_closed()
        else:
            await socket.close(code)


def created(session: str, event_id: str) -> dict[str, Any]:
    return {"type": "session.created", "event_id": event_id, "session": {"id": session}}


def failed(code: str) -> dict[str, Any]:
    return {"type": "error", "event_id": "event_e", "error": {"code": code, "message": f"It is {code}.", "param": "session_id"}}


@pytest.mark.parametrize(
    ("ends", "asked", "state", "note"),
    [
        (
            [(created("sess_1", "event_1"), 1012), (created("sess_1", "event_2"), None)],
            ["/", "/?session_id=sess_1&last_event_id=event_1"],
            "open",
            "Connected again. The conversation goes on.",
        ),
        (
            [(created("sess_1", "event_1"), 1012), (failed("session_not_found"), 1008), (created("sess_2", "event_2"), None)],
            ["/", "/?session_id=sess_1&last_event_id=event_1", "/"],
            "open",
            "The server no longer has the earlier conversation. A new one begins.",
        ),
        (
            [(created("sess_1", "event_1"), None), (failed("session_taken_over"), 4001)][1:],
            ["/"],
            "closed",
            "It is session_taken_over.",
        ),
    ],
    ids=["resumed", "unknown", "taken over"],
)
async def test_it_resumes_the_session_that_it_had(
    scripted: Daemon, ends: list[tuple[dict[str, Any], int | None]], asked: list[str], state: str, note: str
) -> None:
    scribe = Scribe(*ends)
    async with (
        serve(scribe, "127.0.0.1", 0, subprotocols=["realtime"]) as server,  # type: ignore[list-item]
        browser() as chromium,
        visit(chromium, page_of(scripted)) as page,
    ):
        port = next(iter(server.sockets)).getsockname()[1]
        await page.fill("[name=url]", f"ws://127.0.0.1:{port}/")
        await page.click("#connect")
        await until(page, f"[...document.querySelectorAll('.note')].at(-1)?.textContent === {json.dumps(note)}")
        await until(page, f"realtime.client.state === '{state}'")
        assert scribe.asked == asked


async def test_the_module_works_in_any_page(scripted: Daemon) -> None:
    use = """
        async (url) => {
            const {RealtimeClient} = await import('/realtime-client.js');
            const client = new RealtimeClient(url, {session: {output_modalities: ['text']}});
            let words = '';
            client.addEventListener('response.output_text.delta', ({detail}) => (words += detail.delta));
            await client.connect();
            client.sendText('Hello');
            await new Promise((done) => client.addEventListener('response.done', done, {once: true}));
            client.disconnect();
            return words;
        }
    """
    async with browser() as chromium, visit(chromium, page_of(scripted) + "healthz") as page:
        assert await page.evaluate(use, scripted.url()) == "You said: Hello"


async def test_everything_has_a_name_and_the_words_can_be_read(scripted: Daemon) -> None:
    unnamed = """
        [...document.querySelectorAll('button, input, select, textarea, meter, video')].filter((each) =>
            !each.getAttribute('aria-label') && !each.labels?.length && !each.textContent.trim()).map((each) => each.outerHTML)
    """
    async with browser() as chromium:
        for scheme in ("light", "dark"):
            async with visit(chromium, page_of(scripted), color_scheme=scheme) as page:
                assert await page.evaluate(unnamed) == []
                for ink, ground in (("--ink", "--page"), ("--soft", "--page"), ("--soft", "--raised"), ("--on-accent", "--accent")):
                    assert await contrast(page, ink, ground) >= 4.5, (scheme, ink, ground)  # WCAG 2.2, 1.4.3


async def contrast(page: Page, *names: str) -> float:
    """Of two of the page's colours, as WCAG counts it."""
    script = "(name) => { document.body.style.color = `var(${name})`; return getComputedStyle(document.body).color; }"
    lights = []
    for name in names:
        channels = np.array([int(each) / 255 for each in (await page.evaluate(script, name))[4:-1].split(",")])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        lights.append(float(linear @ [0.2126, 0.7152, 0.0722]))
    return (max(lights) + 0.05) / (min(lights) + 0.05)
