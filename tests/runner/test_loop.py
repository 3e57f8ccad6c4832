from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from realtime.engines.scripted import ScriptedLlm
from realtime.metrics import Metrics
from realtime.ports import Llm
from realtime.runner.allowance import Allowance
from realtime.runner.bucket import Bucket
from realtime.runner.loop import OUR_FAULT, Runner
from realtime.runner.meter import Meter
from realtime.runner.outbox import Outbox
from realtime.runner.recorder import BROKE, Aliases, Disk, NotedIds, Recorder
from realtime.session import inputs
from realtime.session.abilities import Abilities
from realtime.session.effects import Effect
from realtime.session.ids import CountedIds
from realtime.session.intake import Intake
from realtime.session.machine import Session
from realtime.wire.client import ConversationItemCreate, InputAudioBufferAppend, ResponseCreate
from realtime.wire.codec import GaCodec
from realtime.wire.items import InputAudio, Message
from realtime.wire.settings import Settings
from tests.rigs.engines import scripted_engines
from tests.rigs.socket import KeptSocket
from tests.runner.test_recorder import beginning


class Shell:
    """A session in its runner, writing to a kept socket."""

    def __init__(self, runner: Runner, socket: KeptSocket) -> None:
        self.runner, self.socket = runner, socket

    def types(self) -> list[str]:
        return [msgspec.json.decode(frame)["type"] for frame in self.socket.frames]


@asynccontextmanager
async def shell(
    llm: Llm | None = None,
    session_seconds: float = 3600,
    kind: type[Session] = Session,
    metrics: Metrics | None = None,
    allowance: Allowance | None = None,
    recorder: Recorder | None = None,
) -> AsyncIterator[Shell]:
    settings = Settings(id="sess_1", model="m", expires_at=0, output_modalities=("text",))
    session = kind(settings, CountedIds(), Abilities(session_seconds=session_seconds))
    with scripted_engines(llm) as engines:
        socket = KeptSocket()
        outbox = Outbox(socket)
        meter = Meter(metrics or Metrics(), "ga", clock=asyncio.get_running_loop().time, when_written=outbox.when_written)
        runner = Runner(session, Intake(CountedIds(), Abilities()), engines, GaCodec(), outbox, meter, allowance, recorder=recorder)
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(outbox.write())
            yield Shell(runner, socket)
            writer.cancel()
        await runner.close()


async def test_inputs_become_frames_and_outcomes_come_back_by_themselves() -> None:
    async with shell(ScriptedLlm(["Hi there."])) as ours:
        ours.runner.post(inputs.Opened())
        ours.runner.post(ResponseCreate())
        assert not ours.runner.idle.is_set()
        await ours.runner.idle.wait()
        await ours.socket.wait_for_frame(b"rate_limits.updated")
        assert ours.types() == [
            "session.created",
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            *["response.output_text.delta"] * 2,
            "response.output_text.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
            "rate_limits.updated",
        ]


async def test_the_meter_is_shown_what_goes_in_and_what_comes_out() -> None:
    metrics = Metrics()
    async with shell(ScriptedLlm(["Hi there."]), metrics=metrics) as ours:
        ours.runner.post(inputs.Opened())
        ours.runner.post(InputAudioBufferAppend(audio=bytes(24_000)))
        ours.runner.post(ResponseCreate())
        await ours.runner.idle.wait()
        ours.runner._meter.settle()
        value = metrics.registry.get_sample_value
        assert value("realtime_audio_seconds_total", {"direction": "in"}) == 0.5
        assert value("realtime_model_first_token_seconds_count") == 1
        assert value("realtime_responses_total", {"status": "completed", "reason": "none"}) == 1


async def test_the_session_is_rung_at_its_deadline() -> None:
    async with shell(session_seconds=0.01) as ours:
        ours.runner.post(inputs.Opened())
        await ours.socket.wait_closed()
        assert ours.types() == ["session.created", "error"]
        assert ours.socket.closed == (1001, "session_expired")


async def test_a_session_that_breaks_is_logged_and_closed_and_hears_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Session):
        def receive(self, input: inputs.Input, *, now: float) -> list[Effect]:
            raise ZeroDivisionError

    async with shell(kind=Broken) as ours:
        ours.runner.post(inputs.Opened())
        await ours.socket.wait_closed()
        assert ours.socket.closed == (OUR_FAULT, "internal error")
        assert "ZeroDivisionError" in caplog.text
        caplog.clear()
        ours.runner.post(inputs.Opened())
        assert caplog.text == ""


async def test_what_broke_a_session_is_recorded(tmp_path: Path) -> None:
    class Brittle(Session):
        def receive(self, input: inputs.Input, *, now: float) -> list[Effect]:
            if isinstance(input, ResponseCreate):
                raise ZeroDivisionError
            return super().receive(input, now=now)

    disk = Disk(tmp_path)
    recorder = Recorder(disk, "sess_1", NotedIds(CountedIds()), beginning(), Aliases())
    async with shell(kind=Brittle, recorder=recorder) as ours:
        ours.runner.post(inputs.Opened())
        ours.runner.post(ResponseCreate())
        await ours.socket.wait_closed()
    disk.close()
    lines = recorder.path.read_bytes().splitlines()
    assert b"session.created" in lines[3]
    assert lines[-2].startswith(b'> {"type":"response.create"')
    assert lines[-1] == BROKE


async def test_an_input_that_comes_while_another_is_taken_waits_its_turn() -> None:
    order: list[str] = []

    class Nested(Session):
        def receive(self, input: inputs.Input, *, now: float) -> list[Effect]:
            order.append(f"begin {type(input).__name__}")
            if isinstance(input, inputs.Opened):
                ours.runner.post(inputs.TimePassed())
            effects = super().receive(input, now=now)
            order.append(f"end {type(input).__name__}")
            return effects

    async with shell(kind=Nested) as ours:
        ours.runner.post(inputs.Opened())
        assert order == ["begin Opened", "end Opened", "begin TimePassed", "end TimePassed"]


async def test_a_backlog_of_the_detector_shows_and_passes() -> None:
    async with shell() as ours:
        ours.runner.post(inputs.Opened())
        for _ in range(2):  # the first second becomes a job, the rest waits behind it
            ours.runner.post(InputAudioBufferAppend(audio=bytes(48_000 * 6)))
        assert ours.runner.behind
        assert ours.runner.backlog_seconds == 6
        await ours.runner.catch_up()
        assert not ours.runner.behind


async def test_nothing_is_taken_after_closing() -> None:
    async with shell() as ours:
        ours.runner.post(inputs.Opened())
        await ours.runner.close()
        ours.runner.post(ResponseCreate())
        await ours.socket.wait_for_frames(1)
        assert ours.types() == ["session.created"]


async def test_who_waits_for_a_running_answer_is_let_go_when_the_session_is_over() -> None:
    async with shell(ScriptedLlm([[asyncio.Event().wait]])) as ours:
        ours.runner.post(ResponseCreate())
        assert not ours.runner.idle.is_set()
        await ours.runner.close()
        assert ours.runner.idle.is_set()


async def test_closing_a_runner_that_was_never_opened_is_fine() -> None:
    async with shell() as ours:
        await ours.runner.close()


async def test_an_item_with_more_sound_than_is_allowed_is_refused_before_the_session_sees_it() -> None:
    async with shell(allowance=Allowance(audio=Bucket(2, asyncio.get_running_loop().time()))) as ours:
        ours.runner.post(inputs.Opened())
        for id in ("ours", "refused"):
            ours.runner.post(ConversationItemCreate(item=Message("user", [InputAudio(audio=bytes(72_000))], id=id), event_id=f"for_{id}"))
        frame = msgspec.json.decode(await ours.socket.wait_for_frame(b'"error"'))
        assert (frame["error"]["code"], frame["error"]["param"]) == ("rate_limit_exceeded", "item.content[0].audio")
        assert frame["error"]["event_id"] == "for_refused"
        assert ours.types() == ["session.created", "conversation.item.added", "conversation.item.done", "error"]
