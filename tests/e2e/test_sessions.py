"""Sessions that go on: daemons that are killed and replaced, a real Redis, and the command line beside them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from random import Random
from signal import SIGKILL, SIGTERM
from typing import Any

import numpy as np
import pytest

from realtime.server.keys import hashed
from tests.e2e.conftest import Start
from tests.rigs.daemon import SCRIPTED, Daemon, bare_environment
from tests.rigs.redis_server import RedisServer
from tests.rigs.wire_client import Event, WireClient, spoken, words

TEXT = {"output_modalities": ["text"]}
SECRET = "the launch code is four eight fifteen"
STORE_KEY = b64encode(bytes(range(32))).decode()


def kill(daemon: Daemon) -> None:
    daemon.signal(SIGKILL)
    daemon.wait()


def resumed(daemon: Daemon, client: WireClient, more: str = "") -> WireClient:
    return WireClient(daemon.url(f"/v1/realtime?session_id={session_id(client)}{more}"))


def session_id(client: WireClient) -> str:
    created = client.received[0]
    assert created["type"] == "session.created"
    return str(created["session"]["id"])


async def go_on(client: WireClient, text: str) -> dict[str, Event]:
    """Say something in a session that was resumed; returns all items that there are once that is one of them."""
    item = {"type": "message", "role": "user", "id": "going_on", "content": [{"type": "input_text", "text": text}]}
    await client.send({"type": "conversation.item.create", "item": item})
    while (await client.wait_for("conversation.item.done"))["item"]["id"] != "going_on":
        pass
    return Account(client.received).items


class Account:
    """What a client was told that the server has, from the events that it received."""

    def __init__(self, received: list[Event]) -> None:
        self.items: dict[str, Event] = {}
        self.instructions: str | None = None
        for event in received:
            match event["type"]:
                case "session.created" | "session.updated":
                    self.instructions = event["session"]["instructions"]
                case "conversation.item.done":
                    self.items[event["item"]["id"]] = event["item"]
                case "conversation.item.deleted":
                    del self.items[event["item_id"]]
                case "conversation.item.input_audio_transcription.completed":
                    self.items[event["item_id"]]["content"][0]["transcript"] = event["transcript"]


async def chat(client: WireClient, dice: Random, unwanted: set[str]) -> None:
    """Do all that can be done to a conversation, without a pause, until the server is gone. `unwanted`: ids of what is to be deleted."""
    number = 0
    while True:
        number += 1
        what = dice.random()
        known = list(Account(client.received).items)
        if what < 0.35:
            item: dict[str, Any] = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": f"Number {number}."}]}
            await client.send({"type": "conversation.item.create", "item": item})
        elif what < 0.5:
            await client.send({"type": "conversation.item.create", "item": spoken(np.full(2400, number, np.int16))})
        elif what < 0.6:
            await client.send({"type": "session.update", "session": {"type": "realtime", "instructions": f"Be number {number}."}})
        elif what < 0.7 and known:
            unwanted.add(item_id := dice.choice(known))
            await client.send({"type": "conversation.item.delete", "item_id": item_id})
        elif what < 0.8:
            await client.append(bytes(9600))
            await client.send({"type": "input_audio_buffer.commit"})
        elif what < 0.9:
            await client.send({"type": "response.create", "response": TEXT})
        else:
            await asyncio.sleep(0)


@pytest.mark.timeout(180)
async def test_a_daemon_killed_at_any_moment_loses_nothing_that_was_acknowledged(start: Start, redis: RedisServer) -> None:
    environment = {"REALTIME_STORE": "redis", "REALTIME_REDIS_URL": redis.url}
    other = start(*SCRIPTED, **environment)
    for moment in range(20):
        dice = Random(moment)
        one, other = other, start(*SCRIPTED, **environment)
        async with WireClient(one.url()) as client:
            await client.wait_for("session.created")
            unwanted: set[str] = set()
            chatting = asyncio.create_task(chat(client, dice, unwanted))
            most = 3 + moment * 7
            async with client._changed:
                await client._changed.wait_for(lambda most=most: len(client.received) >= most)  # type: ignore[misc]
            await asyncio.to_thread(kill, one)
            await client.closed()
            chatting.cancel()
            await asyncio.gather(chatting, return_exceptions=True)
        told = Account(client.received)
        async with resumed(other, client) as later:
            known = await go_on(later, "Are you still there?")
            assert told.items.keys() - unwanted <= known.keys(), f"moment {moment}"
            for id in told.items.keys() & known.keys():
                assert content(known[id]) == content(told.items[id]), f"moment {moment}"
            response = await later.respond(**TEXT)
            assert "still there" in words(response)


def content(item: Event) -> list[Event]:
    """What can't change any more: a transcript that came after the last event that the client got is news."""
    return [{key: value for key, value in part.items() if key != "transcript"} for part in item.get("content", [])]


def on_the_disk(text: str, folder: Path) -> bool:
    return any(text.encode() in path.read_bytes() for path in folder.iterdir())


@pytest.mark.parametrize("number", [SIGTERM, SIGKILL])
async def test_a_conversation_goes_on_after_a_restart(start: Start, tmp_path: Path, number: int) -> None:
    one = start(*SCRIPTED, "--state-dir", str(tmp_path))
    async with WireClient(one.url()) as client:
        await client.say("My name is Ada.")
        await client.respond(**TEXT)
        item = await client.retrieve(await said(client, 440))
        one.signal(number)  # type: ignore[arg-type]
        await client.closed()
    await asyncio.to_thread(one.wait)
    two = start(*SCRIPTED, "--state-dir", str(tmp_path))
    async with resumed(two, client) as later:
        again = await later.retrieve(item["id"])
        assert again == item, "sound and all"
        assert len(Account(later.received).items) == 3


async def said(client: WireClient, pitch: int) -> str:
    sound = (8000 * np.sin(np.arange(24_000) * 2 * np.pi * pitch / 24_000)).astype(np.int16)
    await client.send({"type": "conversation.item.create", "item": spoken(sound)})
    return str((await client.wait_for("conversation.item.done"))["item"]["id"])


async def test_who_was_cut_off_in_the_middle_of_an_answer_hears_the_rest(scripted: Daemon) -> None:
    async with WireClient(scripted.url()) as client:
        await client.say("Say something long. " * 50)
        await client.send({"type": "response.create"})
        await client.wait_for("response.output_audio.delta")
        client.socket.transport.abort()
        await client.closed()
    last = client.received[-1]["event_id"]
    async with resumed(scripted, client, f"&last_event_id={last}") as later:
        response = await later.response()
    assert response["status"] == "completed"
    whole = [event for event in client.received + later.received[1:] if event["type"] == "response.output_audio_transcript.delta"]
    assert "".join(event["delta"] for event in whole) == words(response), "no word twice, none missing"


async def test_a_session_is_found_by_the_key_whose_it_is_alone(start: Start, tmp_path: Path) -> None:
    keys, phone, watch = tmp_path / "keys", "phone-key-of-16-chars", "watch-key-of-16-chars"
    keys.write_text(f"phone:{hashed(phone).hex()}\nwatch:{hashed(watch).hex()}\n")
    daemon = start(*SCRIPTED, "--api-keys-file", str(keys), "--state-dir", str(tmp_path))
    async with WireClient(daemon.url(), headers={"Authorization": f"Bearer {phone}"}) as client:
        await client.say("Mine.")
        wanted = daemon.url(f"/v1/realtime?session_id={session_id(client)}")
        for guess in (wanted, wanted[:-1], wanted + "0"):
            async with WireClient(guess, headers={"Authorization": f"Bearer {watch}"}) as thief:
                assert await thief.closed() == (1008, "invalid_request_error.session_not_found")
        await client.say("Still mine.")
    async with WireClient(wanted, headers={"Authorization": f"Bearer {phone}"}) as later:
        assert len(await go_on(later, "And again.")) == 3


async def test_without_its_key_a_stolen_store_tells_nothing(start: Start, tmp_path: Path) -> None:
    one = start(*SCRIPTED, "--state-dir", str(tmp_path), REALTIME_STORE_KEY=STORE_KEY)
    async with WireClient(one.url()) as client:
        await client.say(SECRET)
        assert not on_the_disk(SECRET, tmp_path)
        await asyncio.to_thread(kill, one)
    two = start(*SCRIPTED, "--state-dir", str(tmp_path))
    async with resumed(two, client) as thief:
        assert await thief.closed() == (1013, "server_error.store_unavailable")
    three = start(*SCRIPTED, "--state-dir", str(tmp_path), REALTIME_STORE_KEY=STORE_KEY)
    async with resumed(three, client) as later:
        await later.wait_for("conversation.item.done")
        assert SECRET in json.dumps(later.received)


async def test_what_is_deleted_is_not_on_the_disk_any_more(start: Start, tmp_path: Path) -> None:
    daemon = start(*SCRIPTED, "--state-dir", str(tmp_path))
    async with WireClient(daemon.url()) as client:
        item_id = await client.say(SECRET)
        await client.send({"type": "conversation.item.delete", "item_id": item_id})
        await client.wait_for("conversation.item.deleted")
    await asyncio.to_thread(daemon.stop)
    assert not on_the_disk(SECRET, tmp_path)


async def test_a_redis_that_is_gone_closes_sessions_and_lies_to_nobody(start: Start) -> None:
    with RedisServer() as server:
        daemon = start(*SCRIPTED, REALTIME_STORE="redis", REALTIME_REDIS_URL=server.url)
        async with WireClient(daemon.url()) as client:
            await client.say("One.")
            server.kill()
            item = {"type": "message", "role": "user", "id": "two", "content": [{"type": "input_text", "text": "Two."}]}
            await client.send({"type": "conversation.item.create", "item": item})
            assert await client.closed() == (1013, "the session could not be stored")
            assert "two" not in json.dumps(client.received)
        server.start()
        async with resumed(daemon, client) as later:
            texts = [item["content"][0]["text"] for item in (await go_on(later, "Three.")).values()]
            assert texts == ["One.", "Three."]


async def test_a_store_that_can_not_be_opened_is_no_reason_to_start_without(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    status, output = await run("serve", *SCRIPTED, "--port", "0", "--state-dir", str(tmp_path / "state"))
    assert status == 1
    assert "sessions.db" in output
    assert "REALTIME_STATE_DIR" in output


async def run(*arguments: str, **environment: str) -> tuple[int, str]:
    """A command, its status and all that it said."""

    def call() -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "realtime", *arguments],
            env=bare_environment(**environment),
            capture_output=True,
            timeout=60,
            check=False,
        )
        return done.returncode, (done.stdout + done.stderr).decode()

    return await asyncio.to_thread(call)


async def test_the_command_line_lists_shows_exports_imports_and_deletes(start: Start, tmp_path: Path) -> None:
    here, there, file = tmp_path / "here", tmp_path / "there", tmp_path / "session.json"
    daemon = start(*SCRIPTED, "--state-dir", str(here))
    async with WireClient(daemon.url()) as client:
        await client.say("Good morning.")
        await said(client, 220)
        id = session_id(client)
        assert id in (await run("sessions", "list", "--state-dir", str(here)))[1]
        status, shown = await run("sessions", "show", "--state-dir", str(here), id)
        assert status == 0
        assert "user: Good morning." in shown
        assert "[1.0 s of sound]" in shown
        assert await run("sessions", "export", "--state-dir", str(here), id, str(file)) == (0, "")
        assert await run("sessions", "import", "--state-dir", str(there), str(file)) == (0, f"{id}: imported\n")
        assert "there is such a session already" in (await run("sessions", "import", "--state-dir", str(there), str(file)))[1]
        assert await run("sessions", "delete", "--state-dir", str(here), id) == (0, f"{id}: deleted\n")
        assert (await client.closed())[0] == 4001, "who was in it is sent away"
        assert await run("sessions", "delete", "--state-dir", str(here), id) == (1, f"{id}: was not here\n")
    other = start(*SCRIPTED, "--state-dir", str(there))
    async with resumed(other, client) as later:
        assert len(await go_on(later, "Here I am.")) == 3
    status, output = await run("sessions", "list", "--store", "memory")
    assert (status, "only the daemon has them" in output) == (2, True)
