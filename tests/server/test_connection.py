"""One client on a real socket; the dialects and the sessions have their own tests."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import ClassVar

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from realtime import logs
from realtime.engines.scripted import ScriptedLlm
from realtime.logs import TextForm
from realtime.metrics import Metrics
from realtime.runner.loop import Runner
from realtime.server import connection
from realtime.server.crowd import Bounds
from realtime.server.fragments import PIECE
from realtime.server.idleness import Idleness
from realtime.server.listener import Listener
from realtime.server.quotas import Quota
from tests.rigs.listening import listening


async def read_until(client: ClientConnection, type: str) -> list[dict[str, object]]:
    events = []
    async for frame in client:
        events.append(json.loads(frame))
        if events[-1]["type"] == type:
            return events
    raise AssertionError(f"no {type} among {[event['type'] for event in events]}")


async def test_the_session_is_announced_at_once_and_answers() -> None:
    async with listening() as (listener, url), connect(url + "/v1/realtime") as client:
        await read_until(client, "session.created")
        await client.send('{"type":"response.create"}')
        done = (await read_until(client, "response.done"))[-1]
        assert done["response"]["status"] == "completed"  # type: ignore[index]
        assert listener.port == int(url.rpartition(":")[2])


async def test_a_frame_that_is_no_event_is_answered_and_survived() -> None:
    async with listening() as (_, url), connect(url + "/v1/realtime") as client:
        for frame in ("{", b"\x00", '{"type":"nope"}'):
            await client.send(frame)
        errors = [(await read_until(client, "error"))[-1]["error"] for _ in range(3)]
        assert [error["code"] for error in errors] == ["invalid_json", "invalid_event", "invalid_value"]  # type: ignore[index]
        await client.send('{"type":"input_audio_buffer.clear"}')
        await read_until(client, "input_audio_buffer.cleared")


LARGE = 3 * PIECE
"""Bytes that come in fragments."""


async def test_a_large_event_is_obeyed() -> None:
    event = {"type": "input_audio_buffer.append", "audio": "A" * LARGE}
    async with listening() as (_, url), connect(url + "/v1/realtime") as client:
        await client.send(
            json.dumps({"type": "session.update", "session": {"type": "realtime", "audio": {"input": {"turn_detection": None}}}})
        )
        await client.send(json.dumps(event))
        await client.send('{"type":"input_audio_buffer.commit"}')
        await read_until(client, "input_audio_buffer.committed")


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (json.dumps({"type": "nope", "é": "é" * LARGE}), "invalid_value"),
        (json.dumps({"type": "nope", "a": [[]] * connection.MAX_VALUES}), "invalid_value"),
        (json.dumps({"type": "nope", "a": [[]] * (connection.MAX_VALUES + 2 * PIECE)}), "invalid_event"),
        ('{"type": "' + "A" * LARGE, "invalid_json"),
        (bytes(LARGE), "invalid_event"),
        (["{", '"type": "no', 'pe"', "}"], "invalid_value"),
        ([b"{", b"}"], "invalid_event"),
    ],
    ids=["text", "many values", "too many values", "no JSON", "binary", "fragments of the client's own", "binary fragments"],
)
async def test_what_comes_in_fragments_is_judged_as_a_whole(frame: str | bytes | list[str] | list[bytes], code: str) -> None:
    async with listening() as (_, url), connect(url + "/v1/realtime") as client:
        await client.send(frame)
        error = (await read_until(client, "error"))[-1]["error"]
        assert error["code"] == code  # type: ignore[index]
        await client.send('{"type":"input_audio_buffer.clear"}')
        await read_until(client, "input_audio_buffer.cleared")


async def test_a_client_that_leaves_stops_what_ran_for_it() -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def wait_for_ever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with listening(ScriptedLlm([[wait_for_ever]])) as (_, url):
        async with connect(url + "/v1/realtime") as client:
            await client.send('{"type":"response.create"}')
            await begun.wait()
        await stopped.wait()


async def test_a_client_that_breaks_off_in_the_middle_is_no_error_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    async with listening() as (_, url):
        client = await connect(url + "/v1/realtime")
        await read_until(client, "session.created")
        client.transport.abort()
        with pytest.raises(ConnectionClosed):
            await client.recv()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_file_pushed_at_full_speed_waits_for_the_detector_and_is_heard_whole() -> None:
    quiet = "AA" * (48_000 * 6)  # base64 of nine seconds of silence
    async with listening() as (_, url), connect(url + "/v1/realtime", max_size=None) as client:
        for _ in range(8):
            await client.send(json.dumps({"type": "input_audio_buffer.append", "audio": quiet}))
        await client.send('{"type":"input_audio_buffer.clear"}')
        await read_until(client, "input_audio_buffer.cleared")


async def test_a_session_that_reaches_its_end_is_closed_with_1001() -> None:
    async with listening(session_seconds=0.05) as (_, url), connect(url + "/v1/realtime") as client:
        assert (await read_until(client, "error"))[-1]["error"]["code"] == "session_expired"  # type: ignore[index]
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001


async def turn() -> None:
    await asyncio.sleep(0)


async def goodbyes(listener: Listener) -> dict[str, float]:
    """How often sessions ended, by reason; once none is open any more."""
    while listener._connections:
        await turn()
    families = {family.name: family for family in listener._service.metrics.registry.collect()}
    return {sample.labels["reason"]: sample.value for sample in families["realtime_sessions_closed"].samples}


async def test_the_metrics_know_why_a_session_ended() -> None:
    async with listening(session_seconds=0.01) as (listener, url):
        async with connect(url + "/v1/realtime") as client:
            await read_until(client, "error")
            await client.wait_closed()
        assert await goodbyes(listener) == {"expired": 1}
    async with listening() as (listener, url):
        async with connect(url + "/v1/realtime") as client:
            await read_until(client, "session.created")
        assert await goodbyes(listener) == {"client": 1}
        async with connect(url + "/v1/realtime") as client:
            client.transport.abort()
        assert await goodbyes(listener) == {"client": 1, "lost": 1}
        await asyncio.wait_for(too_large(url), 20)
        assert await goodbyes(listener) == {"client": 1, "lost": 1, "frame_too_large": 1}
        async with connect(url + "/v1/realtime") as client:
            await read_until(client, "session.created")
            [connection] = listener._connections
            connection._live.outbox.close(1008, "the client reads too slowly")
            await client.wait_closed()
        assert await goodbyes(listener) == {"client": 1, "lost": 1, "frame_too_large": 1, "too_slow": 1}


async def too_large(url: str) -> None:
    async with connect(url + "/v1/realtime") as client:
        # The header of a frame of a terabyte (RFC 6455, 5.2) is enough.
        client.transport.write(b"\x81\xff" + (1 << 40).to_bytes(8) + bytes(4))
        await client.wait_closed()


async def test_every_line_of_a_session_names_it(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.INFO, logs.OURS)
    monkeypatch.setattr(caplog.handler, "formatter", TextForm())
    async with listening() as (listener, url):
        async with connect(url + "/v1/realtime") as client:
            (created,) = await read_until(client, "session.created")
        await goodbyes(listener)
    about = [line for line in caplog.text.splitlines() if "Session" in line]
    assert len(about) == 2
    assert all(f" session_id={created['session']['id']}" in line for line in about)  # type: ignore[index]


SILENCE = {"type": "input_audio_buffer.append", "audio": "A" * 64_000}
"""A second of PCM at 24 kHz."""


async def test_an_event_too_many_is_refused_and_so_is_what_is_none() -> None:
    bounds = Bounds(session=Quota(events=3))
    async with listening(bounds=bounds) as (_, url), connect(url + "/v1/realtime") as client:
        for frame in ("{", '{"type":"input_audio_buffer.clear"}', "{", "{", '{"type":"input_audio_buffer.clear","event_id":"mine"}'):
            await client.send(frame)
        errors = [(await read_until(client, "error"))[-1]["error"] for _ in range(4)]
        assert [error["code"] for error in errors] == ["invalid_json"] * 2 + ["rate_limit_exceeded"] * 2  # type: ignore[index]
        assert errors[-1]["event_id"] == "mine"  # type: ignore[index]


async def test_sound_too_much_is_refused_whole_and_everything_else_goes_on() -> None:
    metrics = Metrics()
    bounds = Bounds(session=Quota(audio=2))
    async with listening(bounds=bounds, metrics=metrics) as (_, url), connect(url + "/v1/realtime") as client:
        await client.send(
            json.dumps({"type": "session.update", "session": {"type": "realtime", "audio": {"input": {"turn_detection": None}}}})
        )
        for number in range(3):
            await client.send(json.dumps(SILENCE | {"event_id": f"ev_{number}"}))
        error = (await read_until(client, "error"))[-1]["error"]
        assert (error["code"], error["param"], error["event_id"]) == ("rate_limit_exceeded", "audio", "ev_2")  # type: ignore[index]
        await client.send('{"type":"input_audio_buffer.commit"}')
        committed = (await read_until(client, "conversation.item.done"))[-1]["item"]
        await client.send(json.dumps({"type": "conversation.item.retrieve", "item_id": committed["id"]}))  # type: ignore[index]
        item = (await read_until(client, "conversation.item.retrieved"))[-1]["item"]
        assert len(item["content"][0]["audio"]) == 2 * 64_000  # type: ignore[index]
    assert metrics.registry.get_sample_value("realtime_events_refused_total", {"limit": "audio"}) == 1


async def test_who_sends_nothing_is_let_go_with_a_reason() -> None:
    metrics = Metrics()
    async with listening(idle_seconds=0.05, metrics=metrics) as (_, url), connect(url + "/v1/realtime") as client:
        await read_until(client, "session.created")
        await client.wait_closed()
        assert (client.close_code, client.close_reason) == (1001, "idle: nothing was sent")
    labels = {"dialect": "ga", "reason": "idle"}
    assert metrics.registry.get_sample_value("realtime_sessions_closed_total", labels) == 1


class KeptIdleness(Idleness):
    """Its clock does not run; what it is told is kept."""

    made: ClassVar[list[KeptIdleness]] = []

    def __init__(self, seconds: float, *, busy: Callable[[], bool], ended: Callable[[], None]) -> None:
        super().__init__(0, busy=busy, ended=ended)
        self.busy, self.times = busy, 0
        self.made.append(self)

    def heard(self) -> None:
        self.times += 1


async def test_who_is_being_answered_need_not_say_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "Idleness", KeptIdleness)
    async with listening(ScriptedLlm(["One two."], first_delay=3600)) as (_, url), connect(url + "/v1/realtime") as client:
        await read_until(client, "session.created")
        assert not KeptIdleness.made[-1].busy()
        await client.send('{"type":"response.create"}')
        await read_until(client, "response.created")
        assert KeptIdleness.made[-1].busy()
        await client.send('{"type":"response.cancel"}')
        await read_until(client, "response.done")
        assert not KeptIdleness.made[-1].busy()
        monkeypatch.setattr(Runner, "behind", True)  # nor who is not listened to
        assert KeptIdleness.made[-1].busy()


async def test_every_piece_of_a_large_event_is_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "Idleness", KeptIdleness)
    async with listening() as (_, url), connect(url + "/v1/realtime") as client:
        await client.send(["{", '"type":', '"input_audio_buffer.clear"', "}"])
        await read_until(client, "input_audio_buffer.cleared")
        assert KeptIdleness.made[-1].times >= 1 + 4  # when it began, and of each piece


async def test_a_stop_that_is_cut_short_cuts_off_everybody() -> None:
    """The second signal: whoever does not read holds nobody up."""
    begun = asyncio.Event()

    async def begin() -> None:
        begun.set()

    daemon = AsyncExitStack()
    listener, url = await daemon.enter_async_context(listening(ScriptedLlm([[begin, asyncio.Event().wait]]), grace_seconds=3600))
    async with connect(url + "/v1/realtime") as client:
        await client.send('{"type":"response.create"}')
        await begun.wait()
        stopping = asyncio.create_task(daemon.aclose())
        await asyncio.sleep(0)
        assert listener._health.draining
        stopping.cancel()
        await asyncio.wait([stopping])
        assert stopping.cancelled()
        with pytest.raises(ConnectionClosed):
            await read_until(client, "the end")
        assert client.close_code == CloseCode.ABNORMAL_CLOSURE
