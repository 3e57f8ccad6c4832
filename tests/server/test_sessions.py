"""Sessions that go on: over a real socket, with a store in this process."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from realtime.engines.scripted import ScriptedLlm, ScriptedTts
from realtime.errors import StoreError
from realtime.metrics import Metrics
from realtime.ports import HEAD
from realtime.server import connection, sessions
from realtime.server.access import Access
from realtime.server.client_secrets import ClientSecrets
from realtime.server.keys import Key, Keys, hashed
from realtime.server.listener import Listener
from realtime.server.origins import Origins
from tests.rigs.listening import listening
from tests.rigs.store import ScriptedStore

GONE = StoreError("gone")
FIRST_KEY, SECOND_KEY = "the-first-long-key", "the-second-long-key"


def keyed() -> Access:
    """Two may come in."""
    keys = [Key("first", hashed(FIRST_KEY)), Key("second", hashed(SECOND_KEY))]
    return Access(lambda: Keys(keys), ClientSecrets(None), Origins(loopback=True, keys=True))


class Guest:
    """A client that keeps what it was told."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.told: list[dict[str, Any]] = []

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.told]

    @property
    def session_id(self) -> str:
        return str(self.told[0]["session"]["id"])

    async def until(self, type: str) -> dict[str, Any]:
        async for frame in self.socket:
            self.told.append(json.loads(frame))
            if self.told[-1]["type"] == type:
                return self.told[-1]
        raise AssertionError(f"no {type} among {self.types}")

    async def say(self, text: str, id: str) -> None:
        item = {"type": "message", "role": "user", "id": id, "content": [{"type": "input_text", "text": text}]}
        await self.socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
        while (await self.until("conversation.item.done"))["item"]["id"] != id:
            pass

    async def respond(self) -> None:
        await self.socket.send('{"type":"response.create","response":{"output_modalities":["text"]}}')

    async def end(self) -> tuple[int, str]:
        """Everything until the close, and how that was."""
        with suppress(ConnectionClosed):
            while True:
                self.told.append(json.loads(await self.socket.recv()))
        return self.socket.close_code or 0, self.socket.close_reason or ""


@asynccontextmanager
async def guest(url: str, query: str = "", path: str = "/v1/realtime", **more: Any) -> AsyncIterator[Guest]:
    async with connect(url + path + query, **more) as socket:
        ours = Guest(socket)
        await ours.until("session.created")
        yield ours


def items(told: Guest) -> list[str]:
    return [event["item"]["id"] for event in told.told if event["type"] == "conversation.item.done"]


async def test_a_conversation_goes_on_in_another_process() -> None:
    store = ScriptedStore()
    llm = ScriptedLlm(["Hello there.", "Welcome back."])
    async with listening(llm, store=store) as (_, url), guest(url) as first:
        await first.socket.send('{"type":"session.update","session":{"type":"realtime","instructions":"Be brief."}}')
        await first.until("session.updated")
        await first.say("Hello", "mine_1")
        await first.respond()
        await first.until("response.done")
        answer = items(first)[-1]
    async with listening(llm, store=store) as (_, url), guest(url, f"?session_id={first.session_id}") as second:
        assert second.session_id == first.session_id
        assert second.told[0]["session"]["instructions"] == "Be brief."
        while len(items(second)) < 2:
            await second.until("conversation.item.done")
        assert items(second) == ["mine_1", answer]
        await second.respond()
        await second.until("response.done")
    assert [item.id for item in llm.requests[1].items] == ["mine_1", answer]
    assert llm.requests[1].instructions == "Be brief."


async def test_who_was_gone_for_a_moment_gets_what_was_missed() -> None:
    gate, begun = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        begun.set()
        await gate.wait()

    store, metrics = ScriptedStore(), Metrics()
    async with listening(ScriptedLlm([["One, ", wait, "two."]]), store=store, resume_seconds=60, metrics=metrics) as (listener, url):
        async with guest(url) as first:
            await first.say("Count.", "mine_1")
            await first.respond()
            last = await first.until("response.output_text.delta")
            await begun.wait()
            first.socket.transport.abort()
        await waits(listener)
        gate.set()
        query = f"?session_id={first.session_id}&last_event_id={last['event_id']}"
        async with guest(url, query) as second:
            await second.until("response.done")
        assert second.types[:1] == ["session.created"]
        assert "conversation.item.added" not in second.types, "it knows them"
        assert [event["delta"] for event in second.told if event["type"] == "response.output_text.delta"] == ["two."]
        assert metrics.registry.get_sample_value("realtime_sessions_resumed_total", {"source": "memory"}) == 1


async def waits(listener: Listener) -> None:
    """Until the server has noticed that the connection broke."""
    while not listener._sessions.waiting:  # noqa: ASYNC110 - it has no event for it
        await asyncio.sleep(0)


async def test_who_does_not_say_what_it_had_is_told_everything() -> None:
    store = ScriptedStore()
    async with listening(store=store, resume_seconds=60) as (listener, url):
        async with guest(url) as first:
            await first.say("One.", "mine_1")
            first.socket.transport.abort()
        await waits(listener)
        async with guest(url, f"?session_id={first.session_id}") as second:
            await second.say("Two.", "mine_2")
        assert items(second) == ["mine_1", "mine_2"]


async def test_an_answer_that_nobody_comes_back_for_ends_with_its_wait() -> None:
    store = ScriptedStore()

    async def forever() -> None:
        await asyncio.Event().wait()

    llm = ScriptedLlm([["One, ", forever]])
    async with listening(llm, store=store, resume_seconds=0.01) as (listener, url):
        async with guest(url) as first:
            await first.say("Count.", "mine_1")
            await first.respond()
            await first.until("response.output_text.delta")
            first.socket.transport.abort()
        await ends(listener)
        async with guest(url, f"?session_id={first.session_id}") as second:
            while len(items(second)) < 2:
                await second.until("conversation.item.done")
        [answer] = [event["item"] for event in second.told if event["type"] == "conversation.item.done" and event["item"]["id"] != "mine_1"]
        assert (answer["status"], answer["content"][0]["text"]) == ("incomplete", "One, ")


async def test_a_goodbye_does_not_wait_for_a_store_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "GOODBYE_SECONDS", 0.05)
    store = ScriptedStore()
    daemon = AsyncExitStack()
    _, url = await daemon.enter_async_context(listening(store=store))
    async with guest(url) as client:
        await client.say("One.", "mine_1")
        store.asked.clear()
        store.writing.clear()
        saying = asyncio.create_task(client.say("Two.", "mine_2"))
        await store.asked.wait()
        saying.cancel()
        await asyncio.wait([saying])
        stopping = asyncio.create_task(daemon.aclose())
        assert await client.end() == (1012, "server is shutting down")
        assert items(client) == ["mine_1"], "what was not stored was not acknowledged"
        store.writing.set()
        await stopping


async def test_who_waits_for_the_store_while_the_server_stops_gets_a_goodbye() -> None:
    store = ScriptedStore()
    daemon = AsyncExitStack()
    listener, url = await daemon.enter_async_context(listening(store=store))
    async with guest(url) as first:
        await first.say("One.", "mine_1")
    await ends(listener)
    store.reading.clear()
    store.claimed.clear()
    async with connect(f"{url}/v1/realtime?session_id={first.session_id}") as socket:
        await store.claimed.wait()
        stopping = asyncio.create_task(daemon.aclose())
        await asyncio.sleep(0)
        store.reading.set()
        second = Guest(socket)
        assert await second.end() == (1012, "server is shutting down")
        assert second.types[0] == "session.created"
        await stopping


async def test_the_newer_connection_wins_and_the_older_is_told() -> None:
    store = ScriptedStore()
    async with listening(store=store, resume_seconds=60) as (_, url), guest(url) as first:
        await first.say("One.", "mine_1")
        async with guest(url, f"?session_id={first.session_id}") as second:
            assert await first.end() == (4001, "session_taken_over")
            assert first.told[-1]["error"]["code"] == "session_taken_over"
            await second.say("Two.", "mine_2")
        assert items(second) == ["mine_1", "mine_2"]


async def test_another_process_that_resumes_it_wins_too() -> None:
    store = ScriptedStore()
    async with listening(store=store) as (one, here), listening(store=store) as (_, there), guest(here) as first:
        await first.say("One.", "mine_1")
        async with guest(there, f"?session_id={first.session_id}") as second:
            await one._sessions.look(age=True, touch=True)
            assert await first.end() == (4001, "session_taken_over")
            await second.say("Two.", "mine_2")
        assert store.touched == [[first.session_id]]


async def test_an_older_process_that_has_not_noticed_can_not_write() -> None:
    store = ScriptedStore()
    async with (
        listening(store=store) as (_, here),
        listening(store=store) as (_, there),
        guest(here) as first,
        guest(there, f"?session_id={first.session_id}") as second,
    ):
        await first.socket.send('{"type":"session.update","session":{"type":"realtime","instructions":"Mine."}}')
        assert await first.end() == (4001, "session_taken_over")
        assert "session.updated" not in first.types
        await second.say("Two.", "mine_2")


async def test_who_comes_back_while_another_process_takes_the_session_gets_it_from_there() -> None:
    store = ScriptedStore()
    async with listening(store=store, resume_seconds=60) as (_, url), guest(url) as first:
        await first.say("Hello", "mine_1")
        store.writing.clear()
        store.asked.clear()
        item = {"type": "message", "role": "user", "id": "mine_2", "content": [{"type": "input_text", "text": "Lost"}]}
        await first.socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
        await store.asked.wait()
        await store.claim(first.session_id)

        async def come_back() -> Guest:
            query = f"?session_id={first.session_id}&last_event_id={first.told[-1]['event_id']}"
            async with guest(url, query) as second:
                await second.say("Again", "mine_3")
                return second

        coming = asyncio.create_task(come_back())
        assert (await first.end())[0] == 4001
        store.writing.set()
        second = await coming
        assert (second.types[0], items(second)) == ("session.created", ["mine_1", "mine_3"]), "what was not stored was never acknowledged"


async def test_another_dialect_is_told_the_same_conversation() -> None:
    store = ScriptedStore()
    async with listening(store=store, resume_seconds=60) as (_, url), guest(url) as first:
        await first.say("One.", "mine_1")
        async with guest(url, f"?session_id={first.session_id}", path="/ws/realtime") as second:
            created = await second.until("conversation.item.created")
            assert created["item"]["id"] == "mine_1"
            assert (await first.end())[0] == 4001


async def test_only_the_key_whose_it_is_finds_it() -> None:
    store, access = ScriptedStore(), keyed()
    mine, other = ({"Authorization": f"Bearer {key}"} for key in (FIRST_KEY, SECOND_KEY))
    async with listening(store=store, access=access, resume_seconds=60) as (_, url), guest(url, additional_headers=mine) as first:
        for wanted in (first.session_id, "sess_of_nobody"):
            for headers in (other, mine) if wanted != first.session_id else (other,):
                async with connect(f"{url}/v1/realtime?session_id={wanted}", additional_headers=headers) as socket:
                    stranger = Guest(socket)
                    assert await stranger.end() == (1008, "invalid_request_error.session_not_found")
                    error = stranger.told[0]["error"]
                    assert (error["code"], error["param"]) == ("session_not_found", "session_id")
                    assert error["message"] == f"Session with id '{wanted}' not found."
        await first.say("Nobody noticed.", "mine_1")


async def test_without_a_store_nothing_can_be_resumed() -> None:
    async with listening() as (_, url), guest(url) as first, connect(f"{url}/v1/realtime?session_id={first.session_id}") as socket:
        assert (await Guest(socket).end())[0] == 1008


async def test_a_store_that_is_gone_is_no_reason_to_lie() -> None:
    store = ScriptedStore()
    async with listening(store=store) as (_, url):
        async with guest(url) as first:
            pass
        store.head = fails  # type: ignore[method-assign]
        async with connect(f"{url}/v1/realtime?session_id={first.session_id}") as socket:
            second = Guest(socket)
            assert await second.end() == (1013, "server_error.store_unavailable")
            error = second.told[0]["error"]
            assert (error["type"], error["code"]) == ("server_error", "store_unavailable")


async def fails(session_id: str) -> bytes | None:
    raise GONE


async def test_a_session_that_can_not_be_stored_is_not_announced() -> None:
    store = ScriptedStore(GONE, GONE, GONE, GONE, GONE)
    async with listening(store=store, store_pauses=(0, 0)) as (_, url), connect(url + "/v1/realtime") as socket:
        first = Guest(socket)
        assert await first.end() == (1013, "the session could not be stored")
        assert first.told == []


@pytest.mark.parametrize("store", [None, ScriptedStore()])
async def test_a_session_that_is_over_is_let_go_of_without_the_garbage_collector(store: ScriptedStore | None) -> None:
    gc.disable()
    try:
        async with listening(ScriptedLlm(["Hello there."]), store=store, tts=ScriptedTts()) as (listener, url), guest(url) as first:
            await first.say("Hello", "mine_1")
            await first.socket.send('{"type":"response.create"}')
            await first.until("response.done")
            live = listener._sessions._lives[first.session_id]
            kept: list[weakref.ref[object]] = [weakref.ref(live), weakref.ref(live.runner._session), weakref.ref(live.outbox)]
            del live
        assert [ref() for ref in kept] == [None, None, None]
    finally:
        gc.enable()


async def test_a_deleted_session_ends() -> None:
    store = ScriptedStore()
    async with listening(store=store) as (listener, url), guest(url) as first:
        await store.delete(first.session_id)
        await listener._sessions.look()
        assert (await first.end())[0] == 4001
        async with connect(f"{url}/v1/realtime?session_id={first.session_id}") as socket:
            assert (await Guest(socket).end())[0] == 1008


async def test_a_session_deleted_in_the_moment_of_its_return_is_not_found() -> None:
    store = ScriptedStore()
    async with listening(store=store) as (_, url):
        async with guest(url) as first:
            pass
        records = store.records[first.session_id][HEAD]
        await store.delete(first.session_id)

        async def head(session_id: str) -> bytes | None:
            return records

        store.head = head  # type: ignore[method-assign]
        async with connect(f"{url}/v1/realtime?session_id={first.session_id}") as socket:
            assert (await Guest(socket).end())[0] == 1008


async def test_a_voice_that_is_not_here_does_not_keep_a_session_from_going_on() -> None:
    store = ScriptedStore()
    async with listening(store=store) as (_, url), guest(url) as first:
        assert first.told[0]["session"]["output_modalities"] == ["audio"]
    async with listening(store=store, mute=True) as (_, url), guest(url, f"?session_id={first.session_id}") as second:
        assert second.told[0]["session"]["output_modalities"] == ["text"]


async def test_a_server_that_stops_ends_those_that_wait() -> None:
    store = ScriptedStore()
    async with listening(store=store, resume_seconds=60) as (listener, url):
        async with guest(url) as first:
            await first.say("One.", "mine_1")
            first.socket.transport.abort()
        await waits(listener)
    assert list(listener._sessions) == []


async def test_a_session_in_which_nothing_was_said_waits_for_nobody_and_is_there_all_the_same() -> None:
    async with listening(store=ScriptedStore(), resume_seconds=60) as (listener, url):
        async with guest(url) as first:
            first.socket.transport.abort()
        await ends(listener)
        async with guest(url, f"?session_id={first.session_id}") as second:
            await second.say("One.", "mine_1")


async def test_no_more_wait_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_WAITING", 0)
    async with listening(store=ScriptedStore(), resume_seconds=60) as (listener, url):
        async with guest(url) as first:
            await first.say("One.", "mine_1")
            first.socket.transport.abort()
        await ends(listener)
        async with guest(url, f"?session_id={first.session_id}") as second:
            await second.say("Two.", "mine_2")
        assert items(second) == ["mine_1", "mine_2"]


async def ends(listener: Listener) -> None:
    """Until nobody is left."""
    while list(listener._sessions):  # noqa: ASYNC110 - as above
        await asyncio.sleep(0)
