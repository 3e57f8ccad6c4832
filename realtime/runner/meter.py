"""What one session comes to in numbers: a look at what goes in and comes out of it, and when.

Owns the times that are running: of a turn, of an answer, of each job. The session knows nothing of it; a meter is shown what happens to it
(`HAPPENED`), what it asks for (`ASKED`) and what the client is told (`TOLD`). Tokens are not among these: the first of an answer shows by
the item that it opens.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from math import inf
from typing import assert_never, get_args

from msgspec import UNSET, Struct

from realtime.logs import facts
from realtime.media.readings import Wanted, WantedClip, WantedPicture, WantedSound
from realtime.metrics import Metrics, known
from realtime.session import inputs
from realtime.session.effects import WHOLE, Abandon, CallTool, Forgo, Generate, Judge, ListTools, Read, Speak, Transcribe
from realtime.wire import server
from realtime.wire.client import InputAudioBufferAppend
from realtime.wire.items import Message, OutputAudio, OutputText
from realtime.wire.settings import AnySettings, ServerVad, sample_rate, sample_width

log = logging.getLogger(__name__)

Happened = (
    InputAudioBufferAppend
    | inputs.ClauseSounded
    | inputs.SpeechTranscribed
    | inputs.TranscriptionBroke
    | inputs.TurnJudged
    | inputs.ToolsListed
    | inputs.ToolListingBroke
    | inputs.ToolReturned
    | inputs.ToolBroke
    | inputs.FileRead
    | inputs.FileBroke
)
Asked = Generate | Speak | Transcribe | Judge | ListTools | CallTool | Read | Abandon | Forgo
Told = (
    server.SessionCreated
    | server.SessionUpdated
    | server.Error
    | server.InputAudioBufferSpeechStarted
    | server.InputAudioBufferSpeechStopped
    | server.InputAudioBufferTimeoutTriggered
    | server.InputAudioBufferCommitted
    | server.TranscriptionFailed
    | server.ResponseCreated
    | server.ResponseOutputItemAdded
    | server.ResponseOutputAudioDelta
    | server.ResponseDone
)
HAPPENED: frozenset[type] = frozenset(get_args(Happened))
ASKED: frozenset[type] = frozenset(get_args(Asked))
TOLD: frozenset[type] = frozenset(get_args(Told))
"""What a meter is to be shown. A look into a set is all that anything else costs, tokens above all."""

MAX_ARRIVALS = 64
"""Pieces of sound whose arrival is remembered: a second of 20 ms. Speech that interrupts is known as such after a tenth."""

STALE_SECONDS = 60.0
"""An answer that begins so long after a turn was wanted for something else."""

Job = tuple[str, str, int]
"""What is done, the id that it serves, and what tells it from others of that id."""


class Answer(Struct):
    """A response that runs."""

    created: float
    sound_bytes: int
    """Of a second of its sound."""
    turn: str | None = None
    """Id of the spoken item that it is the first to answer."""
    ended: float | None = None
    """When that speech ended."""
    asked: float = inf
    """When the model was asked last."""
    began: float | None = None
    """When the first token came, or the first call."""
    sounded: float | None = None
    """When the first sound came."""


class Meter:
    """Of one session. All times are in seconds on the clock of `clock`."""

    def __init__(
        self,
        metrics: Metrics,
        dialect: str,
        *,
        clock: Callable[[], float],
        when_written: Callable[[Callable[[], None]], None],
        words: bool = False,
    ) -> None:
        """`when_written` calls back once all that the client was sent so far has been written. `words`: what is said is logged, too."""
        self._metrics = metrics
        self._dialect = dialect
        self._clock = clock
        self._when_written = when_written
        self._words = words
        self._opened = clock()
        self._turns = self._responses = 0
        self._second_bytes = 1
        """Bytes of a second of what comes in."""
        self._padding_ms = 0
        """Sound that is told to belong to a turn, from before its speech."""
        self._heard = 0
        """Bytes that came in this format."""
        self._heard_before_ms = 0.0
        """Sound that came in formats before."""
        self._settled_ms = self._said = 0.0
        """Sound that came and is in the metrics already; seconds of sound that went out and are not."""
        self._arrivals: deque[tuple[float, float]] = deque(maxlen=MAX_ARRIVALS)
        """While answers run: up to which millisecond there was sound, and when."""
        self._interrupted = 0.0
        """When the speech came that is going on."""
        self._stopped = self._silence = ""
        """Ids of the items whose end was heard last, and that stands for a silence."""
        self._unanswered: tuple[str, float] | None = None
        """The last spoken item, and when it ended, until a response begins."""
        self._unread: tuple[str, float] | None = None
        """The same, until its words are known."""
        self._answers: dict[str, Answer] = {}
        self._speculations: set[str] = set()
        """Ids of responses that nobody has been told of yet."""
        self._jobs: dict[Job, float] = {}
        """Since when each runs."""

    def open(self) -> None:
        """The client is here."""
        self._metrics.sessions.opened.labels(self._dialect).inc()
        self._metrics.sessions.open.labels(self._dialect).inc()
        log.info("Session opened", extra=facts(dialect=self._dialect))

    def close(self, reason: str, code: int | None) -> None:
        """The client is gone; `code` is that of the websocket, where there was one."""
        sessions, seconds = self._metrics.sessions, self._clock() - self._opened
        self._metrics.responses.running.dec(len(self._answers))
        self._answers.clear()
        for id in {job[1] for job in self._jobs}:
            self._abandon(id)
        self.settle()
        sessions.open.labels(self._dialect).dec()
        sessions.closed.labels(self._dialect, reason).inc()
        sessions.seconds.observe(seconds)
        counts = facts(turns=self._turns, responses=self._responses, seconds=round(seconds, 3))["facts"]
        log.info("Session closed", extra=facts(dialect=self._dialect, reason=reason, close_code=code, **counts))

    def settle(self) -> None:
        """Put into the metrics what was only added up: before they are read."""
        audio, heard_ms = self._metrics.turns.audio, self._position_ms
        if heard_ms == self._settled_ms and not self._said:  # as with most: thousands are asked at once
            return
        audio.labels("in").inc((heard_ms - self._settled_ms) / 1000)
        audio.labels("out").inc(self._said)
        self._settled_ms, self._said = heard_ms, 0.0

    # What goes in

    def happened(self, happening: Happened, now: float) -> None:
        engines = self._metrics.engines
        match happening:
            case InputAudioBufferAppend(audio=audio):
                self._heard += len(audio)
                if self._answers:
                    self._arrivals.append((self._position_ms, now))
            case inputs.ClauseSounded(response_id=id, clause=clause):
                self._end(("speak", id, clause), now, engines.first_sound.observe)
            case inputs.SpeechTranscribed() | inputs.TranscriptionBroke():
                self._learn(happening, now)
            case inputs.TurnJudged(item_id=id, attempt=attempt):
                self._end(("judge", id, attempt), now, self._metrics.turns.judgement.observe)
            case inputs.ToolsListed(item_id=id):
                self._end(("list", id, 0), now, engines.tools.labels("list", "done").observe)
            case inputs.ToolListingBroke(item_id=id):
                self._end(("list", id, 0), now, engines.tools.labels("list", "failed").observe)
            case inputs.ToolReturned(item_id=id):
                self._end(("call", id, 0), now, engines.tools.labels("call", "done").observe)
            case inputs.ToolBroke(item_id=id):
                self._end(("call", id, 0), now, engines.tools.labels("call", "failed").observe)
            case inputs.FileRead(id=id, index=index):
                self._end_file(id, index, "read", now)
            case inputs.FileBroke(id=id, index=index, error=error):
                self._end_file(id, index, known(error.code), now)
            case _:
                assert_never(happening)

    def _learn(self, heard: inputs.SpeechTranscribed | inputs.TranscriptionBroke, now: float) -> None:
        engines, item_id = self._metrics.engines, heard.item_id
        began = self._jobs.pop(("transcribe", item_id, heard.attempt), None)
        if began is None or isinstance(heard, inputs.TranscriptionBroke):
            return
        hearing = "whole" if heard.attempt == WHOLE else "draft"
        engines.transcription.labels(hearing).observe(now - began)
        if heard.seconds > 0:
            engines.pace.labels(hearing).observe((now - began) / heard.seconds)
        self._read(item_id, now)
        if log.isEnabledFor(logging.DEBUG):
            said = heard.text if self._words else None
            told = facts(item_id=item_id, hearing=hearing, audio_seconds=heard.seconds, seconds=round(now - began, 3), heard=said)
            log.debug("Speech transcribed", extra=told)

    def _read(self, item_id: str | None, now: float) -> None:
        """The words of a turn are known."""
        if self._unread is not None and self._unread[0] == item_id:
            self._metrics.turns.transcript.observe(now - self._unread[1])
            self._unread = None

    # What is asked of the engines

    def asked(self, effect: Asked, now: float) -> None:
        match effect:
            case Generate(response_id=id, speculative=True):
                self._speculations.add(id)
            case Generate(response_id=id):
                self._ask(self._answers.get(id), now)
            case Speak(response_id=id, clause=clause):
                self._jobs["speak", id, clause] = now
            case Transcribe(item_id=id, attempt=attempt):
                self._jobs["transcribe", id, attempt] = now
            case Judge(item_id=id, attempt=attempt):
                self._jobs["judge", id, attempt] = now
            case ListTools(item_id=id):
                self._jobs["list", id, 0] = now
            case CallTool(item_id=id):
                self._jobs["call", id, 0] = now
            case Read(id=id, index=index, wanted=wanted):
                self._jobs[_kind(wanted), id, index] = now
            case Abandon(id=id):
                self._abandon(id)
            case Forgo(response_id=id, usage=usage):
                self._abandon(id)
                self._speculations.discard(id)
                self._metrics.responses.speculations.labels("dropped").inc()
                self._spend(usage)
            case _:
                assert_never(effect)

    def _ask(self, answer: Answer | None, now: float) -> None:
        if answer is None:
            return
        answer.asked = now
        if not any(job == "transcribe" and id == answer.turn for job, id, _ in self._jobs):
            self._read(answer.turn, now)  # an earlier hearing had heard all of it

    def _end(self, job: Job, now: float, observe: Callable[[float], None]) -> None:
        """A job has ended, or has come as far as is measured; what was abandoned, or has been measured, is not."""
        began = self._jobs.pop(job, None)
        if began is not None:
            observe(now - began)

    def _end_file(self, id: str, index: int, outcome: str, now: float) -> None:
        engines = self._metrics.engines
        for kind in FILES:
            began = self._jobs.pop((kind, id, index), None)
            if began is not None:
                engines.file.labels(kind).observe(now - began)
                engines.files.labels(kind, outcome).inc()

    def _abandon(self, id: str) -> None:
        for job in [job for job in self._jobs if job[1] == id]:
            del self._jobs[job]
            if job[0] in FILES:
                self._metrics.engines.files.labels(job[0], "abandoned").inc()

    # What the client is told

    def told(self, event: Told, now: float) -> None:
        match event:
            case server.ResponseOutputAudioDelta(response_id=id, delta=delta):
                self._sound(self._answers.get(id), delta, now)
            case server.ResponseOutputItemAdded(response_id=id):
                self._begin(self._answers.get(id), now)
            case server.SessionCreated(session=settings) | server.SessionUpdated(session=settings):
                self._tune(settings)
            case server.Error(error=error):
                self._fail("event", error.code)
            case server.InputAudioBufferSpeechStarted(audio_start_ms=at_ms):
                speech_ms = at_ms + self._padding_ms
                self._interrupted = next((when for upto_ms, when in self._arrivals if upto_ms > speech_ms), now)
            case server.InputAudioBufferSpeechStopped(item_id=id):
                self._stopped = id
            case server.InputAudioBufferTimeoutTriggered(item_id=id):
                self._silence = id
            case server.InputAudioBufferCommitted(item_id=id):
                self._commit(id, now)
            case server.TranscriptionFailed(error=error):
                self._fail("transcription", error.code)
            case server.ResponseCreated(response=response):
                self._create(response, now)
            case server.ResponseDone(response=response):
                self._finish(response, now)
            case _:
                assert_never(event)

    def _tune(self, settings: AnySettings) -> None:
        heard, self._heard_before_ms, self._heard = settings.audio.input, self._position_ms, 0
        self._second_bytes = sample_rate(heard.format) * sample_width(heard.format)
        detection = heard.turn_detection
        self._padding_ms = (detection if isinstance(detection, ServerVad) else ServerVad()).prefix_padding_ms

    @property
    def _position_ms(self) -> float:
        """Sound that came, on the session's own count."""
        return self._heard_before_ms + self._heard * 1000 / self._second_bytes

    def _fail(self, where: str, code: str | None) -> None:
        self._metrics.sessions.errors.labels(where, known(code)).inc()

    def _commit(self, item_id: str, now: float) -> None:
        ended_by = "detector" if item_id == self._stopped else "silence" if item_id == self._silence else "client"
        self._turns += 1
        self._metrics.turns.turns.labels(ended_by).inc()
        if ended_by != "silence":
            self._unanswered = self._unread = (item_id, now)
        log.debug("Turn ended", extra=facts(item_id=item_id, ended_by=ended_by))

    def _create(self, response: server.Response, now: float) -> None:
        answer = Answer(now, sample_rate(response.audio.output.format) * sample_width(response.audio.output.format))
        if response.conversation_id is not None and self._unanswered is not None:
            (turn, ended), self._unanswered = self._unanswered, None
            if now - ended < STALE_SECONDS:
                answer.turn, answer.ended = turn, ended
        self._answers[response.id] = answer
        if response.id in self._speculations:
            self._speculations.discard(response.id)
            self._metrics.responses.speculations.labels("used").inc()
            self._read(answer.turn, now)
        self._metrics.responses.running.inc()

    def _begin(self, answer: Answer | None, now: float) -> None:
        if answer is None or answer.began is not None:
            return
        answer.began = now
        if now > answer.asked:  # what the session itself says before the model does comes with the question
            self._metrics.responses.first_token.observe(now - answer.asked)
        if answer.ended is not None:
            self._metrics.turns.first_token.observe(now - answer.ended)

    def _sound(self, answer: Answer | None, audio: bytes, now: float) -> None:
        if answer is None:
            return
        self._said += len(audio) / answer.sound_bytes
        if answer.sounded is None:
            answer.sounded = now
            if answer.ended is not None:
                self._metrics.turns.first_sound.observe(now - answer.ended)

    def _finish(self, response: server.Response, now: float) -> None:
        answer = self._answers.pop(response.id, None)
        if answer is None:
            return
        self._abandon(response.id)
        self._responses += 1
        responses, reason = self._metrics.responses, _reason(response)
        responses.running.dec()
        responses.done.labels(response.status, reason).inc()
        responses.seconds.observe(now - answer.created)
        self._spend(response.usage)
        if response.status == "failed":
            self._fail("response", reason)
        if reason == "turn_detected" and answer.sounded is not None:
            self._when_written(partial(self._fall_silent, self._interrupted))
        if not self._answers:
            self._arrivals.clear()
        if log.isEnabledFor(logging.DEBUG):
            self._log(response, reason, answer, now)

    def _spend(self, usage: server.Usage | None) -> None:
        for kind, count in _tokens(usage):
            self._metrics.responses.tokens.labels(kind).inc(count)

    def _fall_silent(self, interrupted: float) -> None:
        self._metrics.turns.interruption.observe(self._clock() - interrupted)

    def _log(self, response: server.Response, reason: str, answer: Answer, now: float) -> None:
        def since(then: float, moment: float | None) -> float | None:
            return None if moment is None else round(moment - then, 3)

        usage = response.usage or server.Usage()
        told = facts(
            response_id=response.id,
            status=response.status,
            reason=reason,
            seconds=since(answer.created, now),
            first_token_seconds=since(answer.created, answer.began),
            first_sound_seconds=since(answer.created, answer.sounded),
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            said=_words(response) if self._words else None,
        )
        log.debug("Response ended", extra=told)


FILES = ("image", "audio", "video")
"""Kinds of files, and the jobs that read them."""


def _kind(wanted: Wanted) -> str:
    match wanted:
        case WantedPicture():
            return "image"
        case WantedSound():
            return "audio"
        case WantedClip():
            return "video"
        case _:
            assert_never(wanted)


def _reason(response: server.Response) -> str:
    """Why a response ended as it did."""
    details = response.status_details
    if details is None:
        return "none"
    if details.error is not UNSET:
        return known(details.error.code)
    return "none" if details.reason is UNSET else details.reason


def _tokens(usage: server.Usage | None) -> Iterator[tuple[str, int]]:
    """The tokens of each kind. Those that an endpoint remembered are among the others, too."""
    if usage is None:
        return
    read, written = usage.input_token_details, usage.output_token_details
    yield "input_text", read.text_tokens
    yield "input_audio", read.audio_tokens
    yield "input_image", read.image_tokens
    yield "input_cached", read.cached_tokens
    yield "output_text", written.text_tokens
    yield "output_audio", written.audio_tokens


def _words(response: server.Response) -> str:
    parts = (part for item in response.output if isinstance(item, Message) for part in item.content)
    return " ".join(part.text if isinstance(part, OutputText) else part.transcript or "" for part in parts if isinstance(part, SPOKEN))


SPOKEN = OutputText | OutputAudio
"""Parts that an answer's words are in."""
