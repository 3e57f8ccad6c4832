"""What one session does as OpenTelemetry spans: a look at what goes in and comes out of it, as `meter` has one (extra: otel).

A turn is a span; in it stand its transcription and its response, and in that the model's answer, each clause that is said and each tool
that is called. Names of attributes are those of OpenTelemetry's semantic conventions for generative AI, where there are some. Whoever
wants no spans never imports this module.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import Thread
from typing import Any, assert_never

from msgspec import UNSET, Struct
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from realtime.runner.perform import Engines
from realtime.session import inputs
from realtime.session.effects import Abandon, CallTool, Forgo, Generate, Speak, Transcribe
from realtime.wire import server

SEEN: frozenset[type] = frozenset(
    {
        inputs.SpeechTranscribed,
        inputs.TranscriptionBroke,
        inputs.GenerationFinished,
        inputs.ClauseSounded,
        inputs.ClauseSpoken,
        inputs.ResponseBroke,
        inputs.ToolReturned,
        inputs.ToolBroke,
        Transcribe,
        Generate,
        Speak,
        CallTool,
        Abandon,
        Forgo,
        server.InputAudioBufferSpeechStarted,
        server.InputAudioBufferSpeechStopped,
        server.InputAudioBufferCommitted,
        server.ResponseCreated,
        server.ResponseOutputItemAdded,
        server.ResponseDone,
    }
)
"""What a tracer looks at. Tokens are not among these."""

FLUSH_SECONDS = 5.0
"""That the end of the daemon waits for the collector, which may be gone."""

Told = Mapping[str, Any]
"""Attributes of a span."""

NOTHING: Told = {}
ABANDONED: Told = {"realtime.abandoned": True}
"""Of what nobody wanted any more."""

Job = tuple[str, str, int]
"""What is done, the id that it serves, and what tells it from others of that id."""


class Tracing:
    """Of the daemon: where spans go. The SDK reads `OTEL_*` by itself."""

    def __init__(self, processor: SpanProcessor | None = None, *, words: bool = False) -> None:
        """`words`: what is said is told, too."""
        resource = Resource({"service.name": "realtime"}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor or BatchSpanProcessor(OTLPSpanExporter()))
        self._words = words

    def session(self, id: str, headers: Mapping[str, str], engines: Engines, clock: Callable[[], float]) -> Tracer:
        """One for a session, in the trace of its caller where `headers` (lower case) have a `traceparent` (W3C Trace Context)."""
        carrier = {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}
        context = TraceContextTextMapPropagator().extract(carrier, Context())
        return Tracer(self._provider.get_tracer("realtime"), context, id, engines, clock, words=self._words)

    def close(self) -> None:
        """Send what is left; blocking, for `FLUSH_SECONDS` at the most."""
        flush = Thread(target=self._provider.shutdown, daemon=True)
        flush.start()
        flush.join(FLUSH_SECONDS)


class Turn(Struct, eq=False):
    """A span that others stand in."""

    span: Span
    context: Context
    item_id: str | None = None
    response: Turn | None = None


class Tracer:
    """Of one session. All times are in seconds on the clock of `clock`."""

    def __init__(self, tracer: Any, context: Context, id: str, engines: Engines, clock: Callable[[], float], *, words: bool) -> None:
        self._tracer = tracer
        self._context = context
        self._id = id
        self._engines = engines
        self._clock = clock
        self._words = words
        self._epoch = time.time_ns() - int(clock() * 1e9)
        self._heard: Turn | None = None
        """The last that somebody spoke, until a response begins."""
        self._answers: dict[str, Turn] = {}
        """By the ids of the responses that run."""
        self._turns: list[Turn] = []
        """Those that are open."""
        self._jobs: dict[Job, Span] = {}
        self._silent: set[Job] = set()
        """Clauses of which nothing has sounded."""

    def see(self, seen: Any, now: float) -> None:
        """Take an input, an effect or an event; all but `SEEN` costs a look into a set."""
        if type(seen) not in SEEN:
            return
        match seen:
            case server.ServerEvent():
                self._told(seen, now)
            case Transcribe() | Generate() | Speak() | CallTool() | Abandon() | Forgo():
                self._asked(seen, now)
            case _:
                self._happened(seen, now)

    def close(self) -> None:
        """The client is gone."""
        now = self._clock()
        for job in list(self._jobs):
            self._end(job, now, told=ABANDONED)
        for turn in list(self._turns):
            self._close(turn, now)

    # What the client is told

    def _told(self, event: server.ServerEvent, now: float) -> None:
        match event:
            case server.InputAudioBufferSpeechStarted(item_id=id):
                self._hear(id, now)
            case server.InputAudioBufferSpeechStopped(item_id=id):
                self._hear(id, now).span.add_event("speech_stopped", timestamp=self._at(now))
            case server.InputAudioBufferCommitted(item_id=id):
                self._hear(id, now).span.add_event("committed", timestamp=self._at(now))
            case server.ResponseCreated(response=response):
                self._create(response, now)
            case server.ResponseOutputItemAdded(response_id=id):
                job = self._jobs.get(("chat", id, 0))
                if job is not None:
                    job.add_event("first_token", timestamp=self._at(now))
            case server.ResponseDone(response=response):
                self._finish(response, now)
            case _:
                raise AssertionError("it is not in SEEN")

    def _hear(self, item_id: str, now: float) -> Turn:
        """The turn that becomes this item. One that came to nothing before is over."""
        if self._heard is None or self._heard.item_id != item_id:
            if self._heard is not None:
                self._close(self._heard, now)
            self._heard = self._open(item_id, now)
        return self._heard

    def _open(self, item_id: str | None, now: float) -> Turn:
        span = self._start("turn", self._context, now, kind=SpanKind.SERVER)
        if item_id is not None:
            span.set_attribute("realtime.item.id", item_id)
        turn = Turn(span, set_span_in_context(span, Context()), item_id)
        self._turns.append(turn)
        return turn

    def _create(self, response: server.Response, now: float) -> None:
        turn = None
        if response.conversation_id is not None:
            turn, self._heard = self._heard, None
        turn = turn or self._open(None, now)
        span = self._start("response", turn.context, now, told={"gen_ai.response.id": response.id})
        turn.response = Turn(span, set_span_in_context(span, Context()))
        self._answers[response.id] = turn

    def _finish(self, response: server.Response, now: float) -> None:
        turn = self._answers.pop(response.id, None)
        if turn is None or turn.response is None:
            return
        self._abandon(response.id, now)
        span, details = turn.response.span, response.status_details
        span.set_attribute("realtime.response.status", response.status)
        if details is not None and details.reason is not UNSET:
            span.set_attribute("realtime.response.reason", details.reason)
        if details is not None and details.error is not UNSET:
            for failed in (span, turn.span):
                _fail(failed, details.error.code or details.error.type)
        span.end(self._at(now))
        turn.response = None
        self._settle(turn, now)

    def _settle(self, turn: Turn, now: float) -> None:
        """An answered turn is over once its words are known, too."""
        read = any(job == "transcribe" and id == turn.item_id for job, id, _ in self._jobs)
        if turn in self._turns and turn is not self._heard and turn.response is None and not read:
            self._close(turn, now)

    def _close(self, turn: Turn, now: float) -> None:
        self._turns.remove(turn)
        if turn.response is not None:
            turn.response.span.end(self._at(now))
        turn.span.end(self._at(now))

    # What is asked for

    def _asked(self, effect: Transcribe | Generate | Speak | CallTool | Abandon | Forgo, now: float) -> None:
        engines = self._engines
        match effect:
            case Transcribe(item_id=id, attempt=attempt):
                turn = self._of_item(id)
                self._begin(("transcribe", id, attempt), "transcribe", turn and turn.context, now, engines.stt.name)
            case Generate(response_id=id):
                self._begin(("chat", id, 0), "chat", self._of_response(id), now, engines.llm.name)
            case Speak(response_id=id, clause=clause, text=text, voice=voice):
                model = None if engines.tts is None else engines.tts.name
                span = self._begin(("speak", id, clause), "speak", self._of_response(id), now, model)
                self._silent.add(("speak", id, clause))
                span.set_attributes({"realtime.clause": clause, "realtime.voice": voice})
                if self._words:
                    span.set_attribute("realtime.text", text)
            case CallTool(item_id=id, name=name):
                running = next(reversed(self._answers), None)
                span = self._begin(("call", id, 0), "execute_tool", running and self._of_response(running), now, name)
                span.set_attribute("gen_ai.tool.name", name)
            case Abandon(id=id) | Forgo(response_id=id):
                self._abandon(id, now)
            case _:
                assert_never(effect)

    def _of_item(self, item_id: str) -> Turn | None:
        return next((turn for turn in self._turns if turn.item_id == item_id), None)

    def _of_response(self, id: str) -> Context | None:
        turn = self._answers.get(id)
        if turn is None:  # it is a speculation, about what is being said
            return None if self._heard is None else self._heard.context
        return None if turn.response is None else turn.response.context

    def _begin(self, job: Job, operation: str, context: Any, now: float, model: str | None) -> Span:
        """`model`: or the tool that is called."""
        name = operation if model is None else f"{operation} {model}"
        span = self._start(name, context or self._context, now, kind=SpanKind.CLIENT, told={"gen_ai.operation.name": operation})
        if model is not None and operation != "execute_tool":
            span.set_attribute("gen_ai.request.model", model)
        self._jobs[job] = span
        return span

    def _abandon(self, id: str, now: float) -> None:
        for job in [job for job in self._jobs if job[1] == id]:
            self._end(job, now, told=ABANDONED)

    # What comes of it

    def _happened(self, happening: Any, now: float) -> None:
        match happening:
            case inputs.SpeechTranscribed(item_id=id, attempt=attempt, text=text):
                told: dict[str, Any] = {"realtime.text": text} if self._words else {}
                self._end(("transcribe", id, attempt), now, told=told)
                self._read(id, now)
            case inputs.TranscriptionBroke(item_id=id, attempt=attempt, error=error):
                self._end(("transcribe", id, attempt), now, error)
                self._read(id, now)
            case inputs.GenerationFinished(response_id=id, reason=reason, usage=usage):
                told = {"gen_ai.response.finish_reasons": (reason,)}
                if usage is not None:
                    told |= {"gen_ai.usage.input_tokens": usage.input_tokens, "gen_ai.usage.output_tokens": usage.output_tokens}
                self._end(("chat", id, 0), now, told=told)
            case inputs.ClauseSounded(response_id=id, clause=clause):
                if (job := ("speak", id, clause)) in self._silent:
                    self._silent.remove(job)
                    self._jobs[job].add_event("first_sound", timestamp=self._at(now))
            case inputs.ClauseSpoken(response_id=id, clause=clause):
                self._end(("speak", id, clause), now)
            case inputs.ResponseBroke(response_id=id, error=error):
                self._break(id, error, now)
            case inputs.ToolReturned(item_id=id):
                self._end(("call", id, 0), now)
            case inputs.ToolBroke(item_id=id, error=error):
                self._end(("call", id, 0), now, error)
            case _:
                raise AssertionError("it is not in SEEN")

    def _break(self, response_id: str, error: server.ErrorInfo, now: float) -> None:
        """Nobody says whether the model or the voice broke: a model that has not ended did."""
        jobs = sorted(job for job in self._jobs if job[1] == response_id)  # `chat` comes before `speak`
        if jobs:
            self._end(jobs[0], now, error)

    def _read(self, item_id: str, now: float) -> None:
        turn = self._of_item(item_id)
        if turn is not None:
            self._settle(turn, now)

    # Spans

    def _start(self, name: str, context: Context, now: float, kind: SpanKind = SpanKind.INTERNAL, told: Told = NOTHING) -> Span:
        all = {"session.id": self._id, "gen_ai.conversation.id": self._id, **told}
        span: Span = self._tracer.start_span(name, context, kind=kind, attributes=all, start_time=self._at(now))
        return span

    def _end(self, job: Job, now: float, error: server.ErrorInfo | None = None, told: Told = NOTHING) -> None:
        self._silent.discard(job)
        span = self._jobs.pop(job, None)
        if span is None:
            return
        span.set_attributes(dict(told))
        if error is not None:
            _fail(span, error.code or error.type)
        span.end(self._at(now))

    def _at(self, now: float) -> int:
        """Nanoseconds since 1970."""
        return self._epoch + int(now * 1e9)


def _fail(span: Span, code: str) -> None:
    span.set_attribute("error.type", code)
    span.set_status(Status(StatusCode.ERROR, code))
