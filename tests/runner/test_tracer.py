from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from realtime.ports import TokenUsage
from realtime.runner import tracer
from realtime.runner.tracer import SEEN, Tracing
from realtime.session import inputs
from realtime.session.effects import Abandon, CallTool, Speak
from realtime.wire import server
from realtime.wire.items import Message
from realtime.wire.mcp import McpTool
from realtime.wire.settings import PcmFormat
from tests.rigs.engines import scripted_engines
from tests.runner.test_meter import ERROR, committed, created, done, generate, transcribe, transcribed


class Traced:
    """A tracer, the clock that it goes by, and the spans that have ended."""

    def __init__(self, headers: dict[str, str], *, words: bool, mute: bool) -> None:
        self.now = 100.0
        self._exporter = InMemorySpanExporter()
        with scripted_engines(mute=mute) as engines:
            tracing = Tracing(SimpleSpanProcessor(self._exporter), words=words)
            self.tracer = tracing.session("sess_1", headers, engines, lambda: self.now)

    def see(self, *seen: Any) -> None:
        for each in seen:
            self.tracer.see(each, self.now)
            self.now += 1

    def ended(self) -> dict[str, ReadableSpan]:
        """By the first word of their names."""
        return {span.name.split()[0]: span for span in self._exporter.get_finished_spans()}

    def told(self, name: str) -> dict[str, Any]:
        return dict(self.ended()[name].attributes or {})

    def speak(self) -> None:
        self.see(started(), server.InputAudioBufferSpeechStopped(audio_end_ms=0, item_id="item_1"), committed())


@pytest.fixture
def traced() -> Traced:
    return Traced({}, words=False, mute=False)


def started(item_id: str = "item_1") -> server.InputAudioBufferSpeechStarted:
    return server.InputAudioBufferSpeechStarted(audio_start_ms=0, item_id=item_id)


def speak(clause: int = 0) -> Speak:
    return Speak("resp_1", clause, "Hi.", "alloy", 1.0, PcmFormat())


def call() -> CallTool:
    return CallTool("item_9", McpTool(server_label="maths", server_url="https://maths.example/mcp"), "add", {})


def parent(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def id_of(span: ReadableSpan) -> int:
    context = span.get_span_context()
    assert context is not None
    return context.span_id


def test_a_turn_is_over_when_it_is_answered_and_read(traced: Traced) -> None:
    traced.speak()
    traced.see(transcribe(), created(), generate(), inputs.GenerationFinished("resp_1", "stop", TokenUsage(5, 3)), done())
    assert "turn" not in traced.ended()
    traced.see(transcribed())
    spans = traced.ended()
    assert parent(spans["response"]) == parent(spans["transcribe"]) == id_of(spans["turn"])
    assert parent(spans["chat"]) == id_of(spans["response"])
    told = traced.told("chat")
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (5, 3)
    assert told["gen_ai.response.finish_reasons"] == ("stop",)
    assert spans["chat"].end_time is not None
    assert spans["chat"].start_time is not None
    assert spans["chat"].end_time - spans["chat"].start_time == 1_000_000_000
    assert "realtime.text" not in traced.told("transcribe")


def test_a_clause_tells_of_its_first_sound_alone(traced: Traced) -> None:
    sound = inputs.ClauseSounded("resp_1", 0, b"")
    traced.see(created(), generate(), speak(), sound, sound, inputs.ClauseSpoken("resp_1", 0), sound)
    assert [event.name for event in traced.ended()["speak"].events] == ["first_sound"]


def test_what_begins_an_answer_is_its_first_token(traced: Traced) -> None:
    added = server.ResponseOutputItemAdded(response_id="resp_1", output_index=0, item=Message(role="assistant", content=[]))
    traced.see(added, created(), generate(), added, inputs.GenerationFinished("resp_1", "stop", None))
    assert [event.name for event in traced.ended()["chat"].events] == ["first_token"]


@pytest.mark.parametrize(("code", "type"), [("timeout", "server_error"), (None, "server_error")])
def test_what_breaks_is_an_error_up_to_the_turn(traced: Traced, code: str | None, type: str) -> None:
    failure = server.Failure(type=type, code=code, message="Secret words.")
    broke = inputs.ResponseBroke("resp_1", server.ErrorInfo(type=type, code=code, message="Secret words."))
    details = server.StatusDetails(type="failed", error=failure)
    traced.see(created(), speak(), generate(), broke, done("failed", status_details=details))
    assert {name: traced.told(name).get("error.type") for name in ("turn", "response", "chat", "speak")} == {
        "turn": code or type,
        "response": code or type,
        "chat": code or type,
        "speak": None,
    }
    assert traced.told("speak")["realtime.abandoned"] is True
    assert "Secret" not in str([span.to_json() for span in traced.ended().values()])


def test_what_ends_early_says_why(traced: Traced) -> None:
    details = server.StatusDetails(type="cancelled", reason="turn_detected")
    traced.see(created(), generate(), Abandon("resp_1"), inputs.ResponseBroke("resp_1", ERROR), done("cancelled", status_details=details))
    assert traced.told("chat")["realtime.abandoned"] is True
    assert traced.told("response")["realtime.response.reason"] == "turn_detected"
    before = traced.ended()
    traced.see(done("cancelled"), transcribed(), speak(), Abandon("resp_1"))  # it is known no more, and neither is the turn
    assert traced.ended().keys() - before.keys() == {"speak"}


def test_a_turn_that_is_heard_twice_is_over_with_the_last(traced: Traced) -> None:
    traced.speak()
    traced.see(transcribe(1), transcribe(), created(), done(), transcribed(1))
    assert "turn" not in traced.ended()
    traced.see(transcribed())
    assert "turn" in traced.ended()


def test_a_tool_stands_in_the_response_that_runs(traced: Traced) -> None:
    traced.see(created(), call(), inputs.ToolReturned("item_9", "3"))
    assert traced.told("execute_tool")["gen_ai.tool.name"] == "add"
    assert traced.ended()["execute_tool"].name == "execute_tool add"
    traced.see(done(), call(), inputs.ToolBroke("item_9", ERROR))
    assert traced.told("execute_tool")["error.type"] == "timeout"
    assert parent(traced.ended()["execute_tool"]) is None


def test_speech_that_came_to_nothing_ends_with_the_next(traced: Traced) -> None:
    traced.see(started(), transcribe(), started("item_2"), inputs.TranscriptionBroke("item_1", 0, ERROR))
    assert traced.told("turn")["realtime.item.id"] == "item_1"
    assert traced.told("transcribe")["error.type"] == "timeout"


def test_what_is_out_of_band_is_no_answer_to_what_was_said(traced: Traced) -> None:
    traced.see(started(), created(conversation_id=None), done(conversation_id=None))
    assert "realtime.item.id" not in traced.told("turn")


def test_whoever_leaves_ends_it_all(traced: Traced) -> None:
    traced.speak()
    traced.see(created(), generate())
    traced.tracer.close()
    assert set(traced.ended()) == {"turn", "response", "chat"}


def test_a_callers_trace_goes_on_with_what_is_said_where_that_may_be_told() -> None:
    traced = Traced({"traceparent": f"00-{10:032x}-{11:016x}-01"}, words=True, mute=True)
    traced.see(created(), speak(), done())
    assert parent(traced.ended()["turn"]) == 11
    assert traced.told("speak")["realtime.text"] == "Hi."
    assert "gen_ai.request.model" not in traced.told("speak")


def test_tokens_are_not_looked_at(traced: Traced) -> None:
    assert inputs.TextGenerated not in SEEN
    traced.see(inputs.TextGenerated("resp_1", "Hi."))
    assert not traced.ended()


class Stuck(SpanProcessor):
    """Its collector is gone."""

    def __init__(self) -> None:
        self.asked, self.released = Event(), Event()

    def shutdown(self) -> None:
        self.asked.set()
        self.released.wait()


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    processor = Stuck()
    yield processor
    processor.released.set()


def test_a_collector_that_is_gone_keeps_nobody(stuck: Stuck, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracer, "FLUSH_SECONDS", 0.01)
    Tracing(stuck).close()
    assert stuck.asked.wait(10)
    assert not stuck.released.is_set()
