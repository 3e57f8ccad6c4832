"""How much of a daemon one client may have, told on real sockets."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64encode
from pathlib import Path
from signal import SIGHUP

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from realtime.server.keys import hashed
from tests.e2e.conftest import Start
from tests.rigs.chat_endpoint import ChatEndpoint, answer
from tests.rigs.daemon import SCRIPTED, Daemon
from tests.rigs.film import film, loud
from tests.rigs.sounds import silence
from tests.rigs.wire_client import Event, WireClient, spoken

PHONE, WATCH = ({"Authorization": f"Bearer a-long-random-key-of-a-{name}"} for name in ("phone", "watch"))

TEXT = {"output_modalities": ["text"]}


async def kept_out(daemon: Daemon, **headers: str) -> tuple[int, int, Event]:
    """The status, the seconds of `Retry-After`, and the error."""
    with pytest.raises(InvalidStatus) as caught:
        await connect(daemon.url(), additional_headers=headers, proxy=None)
    response = caught.value.response
    error: Event = json.loads(response.body)["error"]
    return response.status_code, int(response.headers["Retry-After"]), error


async def comes_in(daemon: Daemon, headers: dict[str, str] | None = None) -> None:
    async with WireClient(daemon.url(), headers=headers) as client:
        await client.wait_for("session.created")


def keys(file: Path, **numbers: str) -> Path:
    lines = (f"{name}:{hashed(f'a-long-random-key-of-a-{name}').hex()} {said}\n" for name, said in numbers.items())
    file.write_text("".join(lines))
    return file


async def test_the_server_has_room_for_so_many(start: Start) -> None:
    daemon = start(*SCRIPTED, "--max-sessions", "1")
    async with WireClient(daemon.url()) as client:
        await client.wait_for("session.created")
        status, seconds, error = await kept_out(daemon)
        assert (status, seconds > 0, error["code"], error["type"]) == (503, True, "overloaded", "server_error")
    await comes_in(daemon)


async def test_an_address_has_so_many_and_behind_a_proxy_each_has_its_own(start: Start) -> None:
    daemon = start(*SCRIPTED, "--address-sessions", "1", "--trusted-proxies", "127.0.0.1")
    async with WireClient(daemon.url()) as client:
        await client.wait_for("session.created")
        status, seconds, error = await kept_out(daemon)
        assert (status, seconds > 0, error["code"], error["type"]) == (429, True, "rate_limit_exceeded", "rate_limit_error")
        async with WireClient(daemon.url(), headers={"X-Forwarded-For": "203.0.113.5"}) as other:
            await other.wait_for("session.created")
            assert (await kept_out(daemon, **{"X-Forwarded-For": "198.51.100.1, 203.0.113.5"}))[0] == 429
    await comes_in(daemon)


async def test_an_address_begins_so_many_in_a_minute(start: Start) -> None:
    daemon = start(*SCRIPTED, "--address-new-sessions", "3")
    for _ in range(3):
        await comes_in(daemon)
    status, seconds, error = await kept_out(daemon)
    assert (status, 15 <= seconds <= 20, error["code"]) == (429, True, "rate_limit_exceeded")


async def test_a_key_has_what_its_line_says_and_the_line_is_read_again(start: Start, tmp_path: Path) -> None:
    file = keys(tmp_path / "keys", phone="sessions=1", watch="")
    daemon = start(*SCRIPTED, "--api-keys-file", str(file), "--key-sessions", "2")
    async with WireClient(daemon.url(), headers=PHONE) as client:
        await client.wait_for("session.created")
        assert (await kept_out(daemon, **PHONE))[0] == 429
        async with WireClient(daemon.url(), headers=WATCH), WireClient(daemon.url(), headers=WATCH):
            assert (await kept_out(daemon, **WATCH))[0] == 429
        keys(file, phone="sessions=2", watch="")
        daemon.signal(SIGHUP)
        await asyncio.to_thread(daemon.wait_for_line, "keys read again")
        await comes_in(daemon, PHONE)


async def test_an_event_too_many_is_refused_and_the_session_lives_on(start: Start) -> None:
    daemon = start(*SCRIPTED, "--events-per-minute", "60")
    async with WireClient(daemon.url()) as client:
        for _ in range(70):
            await client.send({"type": "input_audio_buffer.clear"})
        error = (await client.wait_for("error"))["error"]
        assert (error["code"], error["type"]) == ("rate_limit_exceeded", "rate_limit_error")
        assert "60 events a minute. Please try again in" in error["message"]
        assert int(error["event_id"].removeprefix("ev_")) > 60
        await client.socket.ping()


async def test_sound_comes_as_fast_as_people_speak_and_no_faster(start: Start) -> None:
    daemon = start(*SCRIPTED, "--audio-per-minute", "2")
    async with WireClient(daemon.url()) as client:
        await client.speak(silence(2.5))
        error = (await client.wait_for("error"))["error"]
        assert (error["code"], error["param"]) == ("rate_limit_exceeded", "audio")
        assert "2 seconds of audio a minute" in error["message"]
        assert (await client.respond(**TEXT))["status"] == "completed"


async def test_requests_that_are_left_are_told_and_one_too_many_fails(start: Start) -> None:
    daemon = start(*SCRIPTED, "--requests-per-minute", "2")
    async with WireClient(daemon.url()) as client:
        assert [(await client.respond(**TEXT))["status"] for _ in range(2)] == ["completed"] * 2
        failed = await client.respond(**TEXT)
        error = failed["status_details"]["error"]
        assert (failed["status"], error["code"], error["type"]) == ("failed", "rate_limit_exceeded", "rate_limit_error")
        told = [limit for event in client.received if event["type"] == "rate_limits.updated" for limit in event["rate_limits"]]
        assert [(limit["name"], limit["limit"], limit["remaining"]) for limit in told] == [("requests", 2, left) for left in (1, 0, 0)]


async def test_a_keys_requests_are_those_of_all_its_sessions(start: Start, tmp_path: Path) -> None:
    daemon = start(*SCRIPTED, "--api-keys-file", str(keys(tmp_path / "keys", phone="requests=1", watch="")))
    for headers, status in ((PHONE, "completed"), (PHONE, "failed"), (WATCH, "completed")):
        async with WireClient(daemon.url(), headers=headers) as client:
            assert (await client.respond(**TEXT))["status"] == status


async def test_who_sends_nothing_is_let_go_and_who_does_stays(start: Start) -> None:
    daemon = start(*SCRIPTED, "--idle-seconds", "1")
    async with WireClient(daemon.url()) as client:
        await client.wait_for("session.created")
        began = time.monotonic()
        while time.monotonic() - began < 1.5:
            await client.send({"type": "input_audio_buffer.clear"})
            await client.wait_for("input_audio_buffer.cleared")
        assert await client.closed() == (1001, "idle: nothing was sent")


async def test_sound_in_items_counts_too_and_what_is_refused_is_not_there(start: Start) -> None:
    daemon = start(*SCRIPTED, "--audio-per-minute", "2")
    async with WireClient(daemon.url()) as client:
        await client.send({"type": "conversation.item.create", "item": spoken(silence(1.5))})
        await client.wait_for("conversation.item.done")
        await client.send({"type": "conversation.item.create", "item": spoken(silence(1.5)) | {"id": "refused"}})
        error = (await client.wait_for("error"))["error"]
        assert (error["code"], error["param"]) == ("rate_limit_exceeded", "item.content[0].audio")
        await client.send({"type": "conversation.item.retrieve", "item_id": "refused"})
        assert (await client.wait_for("error"))["error"]["code"] == "item_retrieve_invalid_item_id"


async def test_tokens_that_are_left_are_told_and_who_has_none_waits(start: Start) -> None:
    daemon = start(*SCRIPTED, "--tokens-per-minute", "10")
    async with WireClient(daemon.url()) as client:
        await client.say("These are many more words than there are tokens in a whole minute of this server's.")
        assert (await client.respond(**TEXT))["status"] == "completed"
        failed = await client.respond(**TEXT)
        assert failed["status_details"]["error"]["code"] == "rate_limit_exceeded"
        assert "10 tokens a minute" in failed["status_details"]["error"]["message"]
        told = [limit for event in client.received if event["type"] == "rate_limits.updated" for limit in event["rate_limits"]]
        assert [(limit["name"], limit["limit"], limit["remaining"]) for limit in told] == [("tokens", 10, 0)] * 2


async def test_answers_at_once_are_limited_for_a_session_and_for_a_key(start: Start, endpoint: ChatEndpoint, tmp_path: Path) -> None:
    gate = asyncio.Event()
    endpoint.script(*[answer("Wait", gate, ".")] * 3)
    environment = {"OPENAI_BASE_URL": endpoint.base_url}
    ours = keys(tmp_path / "keys", phone="responses=2", watch="")
    daemon = start(*SCRIPTED[2:], "--session-responses", "1", "--api-keys-file", str(ours), **environment)
    async with WireClient(daemon.url(), headers=PHONE) as one, WireClient(daemon.url(), headers=PHONE) as two:
        for client in (one, two):
            await client.say("Hello.")
            await client.send({"type": "response.create", "response": TEXT | {"conversation": "none"}})
            await client.wait_for("response.output_text.delta", delta="Wait")
        refused = await two.respond(**TEXT, conversation="none")
        assert "2 responses at once" in refused["status_details"]["error"]["message"]
        async with WireClient(daemon.url(), headers=WATCH) as other:
            await other.say("Hello.")
            await other.send({"type": "response.create", "response": TEXT | {"conversation": "none"}})
            await other.wait_for("response.output_text.delta", delta="Wait")
            refused = await other.respond(**TEXT, conversation="none")
            assert "1 responses at once" in refused["status_details"]["error"]["message"]
            gate.set()
            assert (await other.response())["status"] == "completed"
        assert [(await client.response())["status"] for client in (one, two)] == ["completed"] * 2
        assert (await two.respond(**TEXT))["status"] == "completed"


async def test_the_sound_of_a_clip_counts_and_the_error_names_what_the_client_sent(start: Start) -> None:
    daemon = start(*SCRIPTED, "--audio-per-minute", "2")
    clip = b64encode(film(range(20), "mp4", "libx264", sound=[(0.0, loud(1.5))], sound_codec="aac")).decode()
    async with WireClient(daemon.url()) as client:
        for id in ("ours", "refused"):
            content = [{"type": "input_text", "text": "Look:"}, {"type": "video", "video": clip}]
            await client.send(
                {"type": "conversation.item.create", "item": {"type": "message", "role": "user", "id": id, "content": content}}
            )
        error = (await client.wait_for("error"))["error"]
        assert (error["code"], error["param"]) == ("rate_limit_exceeded", "item.content[1].video")
        added = [event["item"]["id"] for event in client.received if event["type"] == "conversation.item.done"]
        assert added == ["ours"]


async def test_who_comes_back_to_a_session_finds_what_was_left(start: Start) -> None:
    daemon = start(*SCRIPTED, "--audio-per-minute", "2")
    async with WireClient(daemon.url()) as client:
        created = await client.wait_for("session.created")
        await client.append(silence(1.9).tobytes())
        await client.send({"type": "input_audio_buffer.clear"})
        await client.wait_for("input_audio_buffer.cleared")
        async with WireClient(daemon.url(f"/v1/realtime?session_id={created['session']['id']}")) as again:
            await again.append(silence(1.9).tobytes())
            assert (await again.wait_for("error"))["error"]["param"] == "audio"
            await again.send({"type": "conversation.item.create", "item": spoken(silence(1.9))})
            assert (await again.wait_for("error"))["error"]["param"] == "item.content[0].audio"


async def test_who_leaves_in_the_middle_of_an_answer_has_paid_for_it(start: Start, endpoint: ChatEndpoint, tmp_path: Path) -> None:
    gate = asyncio.Event()
    endpoint.script(answer("Wait", gate, "."))
    ours = keys(tmp_path / "keys", phone="tokens=5")
    daemon = start(*SCRIPTED[2:], "--api-keys-file", str(ours), "--store", "none", OPENAI_BASE_URL=endpoint.base_url)
    async with WireClient(daemon.url(), headers=PHONE) as one:
        await one.say("These are many more words than there are tokens in a whole minute of this key's.")
        await one.send({"type": "response.create", "response": TEXT})
        await one.wait_for("response.output_text.delta", delta="Wait")
    async with WireClient(daemon.url(), headers=PHONE) as other:
        failed = await other.respond(**TEXT)
        assert "5 tokens a minute" in failed["status_details"]["error"]["message"]
    gate.set()


async def test_who_comes_back_to_a_session_has_what_the_keys_line_says_now(start: Start, tmp_path: Path) -> None:
    file = keys(tmp_path / "keys", phone="audio=60")
    daemon = start(*SCRIPTED, "--api-keys-file", str(file))
    async with WireClient(daemon.url(), headers=PHONE) as client:
        created = await client.wait_for("session.created")
        keys(file, phone="audio=2")
        daemon.signal(SIGHUP)
        await asyncio.to_thread(daemon.wait_for_line, "keys read again")
        async with WireClient(daemon.url(f"/v1/realtime?session_id={created['session']['id']}"), headers=PHONE) as again:
            await again.speak(silence(2.5))
            assert "2 seconds of audio a minute" in (await again.wait_for("error"))["error"]["message"]
