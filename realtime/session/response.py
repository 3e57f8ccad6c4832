"""One response, from `response.created` to `response.done`.

    Waiting --(transcripts and tools known)--> Generating --(text ended, every clause spoken, every tool returned)--> Ended
       '-----------------------(cancel, failure)---------------------------^

It writes its events in the orders of PROTOCOL 5 and asks for text and speech; its calls are `calls`' business. Whatever happens, it ends
exactly once, and what it opened it closes. It keeps the terms that it started with: a later `session.update` is for later responses.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from realtime.ports import LlmRequest, Recording, TokenUsage
from realtime.session.approvals import Approvals
from realtime.session.calls import Calls
from realtime.session.clauses import ClauseCutter
from realtime.session.conversation import Conversation
from realtime.session.effects import Abandon, Effects, Generate, Speak
from realtime.session.ids import Ids
from realtime.session.inputs import ClauseSounded, ClauseSpoken, ResponseBroke, ResponseOutcome, ToolBroke, ToolReturned
from realtime.session.mcp import Toolbox
from realtime.session.output import Output
from realtime.session.sound import Sound
from realtime.session.usage import usage
from realtime.wire import server
from realtime.wire.items import MAX_TEXT, Item, Message, OutputAudio, OutputText
from realtime.wire.settings import AnyToolChoice, AudioFormat, Effort, MaxTokens, Modality, Tool, Truncation

PART = 0
"""Index of the one content part of a message."""

MAX_ANSWER = MAX_TEXT
"""Characters of one answer, its calls included: `response.done` carries all of it in one frame. Upstream ends after 4,096 tokens."""


class Terms(Struct, frozen=True, kw_only=True):
    """The settings that one response goes by."""

    modality: Modality
    """Audio brings its transcript."""
    instructions: str
    max_output_tokens: MaxTokens
    temperature: float | UnsetType
    voice: str
    speed: float
    format: AudioFormat
    tools: tuple[Tool, ...] = ()
    tool_choice: AnyToolChoice = "auto"
    parallel_tool_calls: bool | UnsetType = UNSET
    effort: Effort | None = None
    native: bool = False
    """The model speaks by itself; where it does not, its text is spoken clause by clause."""
    truncation: Truncation = "auto"
    metadata: dict[str, str] | None = None
    answers: str | None = None
    """The id of the `response.create`."""


class Waiting(Struct):
    """Some of what the user said is still being transcribed, or some of the tools are still being listed."""

    item_ids: set[str]


class Generating(Struct, kw_only=True):
    """The model answers."""

    request: LlmRequest
    calls: Calls
    text: list[str]
    """What it has said so far."""
    left: int = MAX_ANSWER
    """Characters that it may still say."""
    message: str | None = None
    """Id of the message, once there is text."""
    message_index: int = 0
    """Its output index."""
    sound: Sound
    cutter: ClauseCutter
    clauses: deque[str]
    """Cut, not yet being spoken."""
    clause: int = -1
    """The one being spoken, counted from 0; -1 before the first."""
    speaking: bool = False
    finished: Literal["stop", "length", "content_filter"] | None = None
    """Why the text ended, once it has."""
    usage: TokenUsage | None = None


class Ended(Struct):
    """`response.done` is out."""


CancelReason = Literal["turn_detected", "client_cancelled"]


class Response:
    """The state machine of one response."""

    def __init__(
        self, terms: Terms, conversation: Conversation | None, approvals: Approvals, effects: Effects, ids: Ids, id: str | None = None
    ) -> None:
        """`conversation` is None for a response out of band: it stores nothing. `id`: where there is one already."""
        self.id = id or ids.new("resp")
        self.terms = terms
        self._conversation = conversation
        self._approvals = approvals
        self._effects = effects
        self._ids = ids
        self._output = Output(self.id, conversation, effects)
        self._state: Waiting | Generating | Ended = Waiting(set())
        self._send(server.ResponseCreated(response=self._snapshot("in_progress")))

    @property
    def ended(self) -> bool:
        return isinstance(self._state, Ended)

    @property
    def default(self) -> bool:
        """Is it the conversation's own?"""
        return self._conversation is not None

    @property
    def request(self) -> LlmRequest | None:
        """What the model was asked, while it answers."""
        return self._state.request if isinstance(self._state, Generating) else None

    @property
    def begun(self) -> bool:
        """Has anything of the answer come?"""
        run = self._state
        return isinstance(run, Generating) and bool(self._output or run.calls)

    def writes(self, item_id: str) -> bool:
        """Is that item being written?"""
        return self._output.writes(item_id)

    @property
    def closing(self) -> bool:
        """Does it only wait for the tools that it called? Who has seen one of them return may already want the next response."""
        run = self._state
        return isinstance(run, Generating) and _said_all(run)

    def expects(self, outcome: ResponseOutcome) -> bool:
        """May this still come? Not from a model that has finished, nor from a voice that has said all."""
        run = self._state
        if not isinstance(run, Generating) or run.finished is None:
            return True
        return isinstance(outcome, ClauseSounded | ClauseSpoken | ResponseBroke) and not self.closing

    def runs(self, item_id: str) -> bool:
        """Does it wait for the tool of that call?"""
        return isinstance(self._state, Generating) and self._state.calls.runs(item_id)

    # What happens to it

    def wait(self, item_ids: set[str]) -> None:
        """Hold the question until these items are transcribed, or listed."""
        self._state = Waiting(item_ids)

    def wait_for(self, item_ids: set[str]) -> None:
        """Of a question that is held already: these, too."""
        assert isinstance(self._state, Waiting)
        self._state.item_ids |= item_ids

    def heard(self, item_id: str) -> bool:
        """An item is transcribed, listed, or gone; True when it was the last one waited for."""
        if not isinstance(self._state, Waiting) or item_id not in self._state.item_ids:
            return False
        self._state.item_ids.discard(item_id)
        return not self._state.item_ids

    def waits_for(self, item_id: str) -> bool:
        return isinstance(self._state, Waiting) and item_id in self._state.item_ids

    def generate(self, items: tuple[Item, ...], tools: Toolbox, sounds: tuple[Recording, ...] = ()) -> None:
        """Ask the model, with this as the conversation so far, and these tools; `sounds` are to be heard, where they are parts of it.

        It may be asked anew while nothing of its answer has come.
        """
        terms, request = self.terms, question(self.terms, items, tools, sounds)
        calls = Calls(self.id, tools.offers, self._output, self._approvals, self._effects, self._ids)
        self._state = Generating(request=request, calls=calls, text=[], sound=Sound(terms.format), cutter=ClauseCutter(), clauses=deque())
        self._effects.add(Generate(self.id, request, terms.format if terms.native else None))

    def grant(self, characters: int) -> int:
        """How many of so many characters more the answer may have."""
        run = self._running()
        granted = characters if characters <= run.left else run.left
        run.left -= granted
        return granted

    def add_text(self, text: str) -> None:
        run = self._running()
        message = run.message or self._open(run)
        run.text.append(text)
        if self.terms.modality == "text":
            delta: server.ServerEvent = server.ResponseOutputTextDelta(
                response_id=self.id, item_id=message, output_index=run.message_index, content_index=PART, delta=text
            )
            self._send(delta)
            return
        delta = server.ResponseOutputAudioTranscriptDelta(
            response_id=self.id, item_id=message, output_index=run.message_index, content_index=PART, delta=text
        )
        self._send(delta)
        if self.terms.native:
            run.sound.write(text)
            return
        run.clauses.extend(run.cutter.push(text))
        self._speak_next(run)

    def add_speech(self, audio: bytes) -> None:
        """The model has spoken."""
        run = self._running()
        self._sound(run, run.message or self._open(run), audio)

    def begin_call(self, index: int, name: str, call_id: str) -> None:
        self._running().calls.begin(index, name, call_id)

    def add_arguments(self, index: int, text: str) -> None:
        self._running().calls.add_arguments(index, text)

    def end_text(
        self, reason: Literal["stop", "length", "content_filter"], counted: TokenUsage | None, extras: tuple[dict[str, Any] | None, ...]
    ) -> None:
        """The model has said all; `extras` are to go back to it, one with each call."""
        run = self._running()
        run.finished, run.usage = reason, counted
        run.calls.keep(extras)
        if reason == "stop":
            run.calls.start()
        if self.terms.native:
            run.sound.settle()
        elif self.terms.modality == "audio":
            run.clauses.extend(run.cutter.flush())
            self._speak_next(run)
        self._end_if_whole(run)

    def add_sound(self, clause: int, audio: bytes) -> None:
        run = self._running()
        if clause == run.clause and run.message is not None:
            self._sound(run, run.message, audio)

    def end_clause(self, clause: int) -> None:
        run = self._running()
        if clause != run.clause:
            return
        run.speaking = False
        self._speak_next(run)
        self._end_if_whole(run)

    def settle_call(self, outcome: ToolReturned | ToolBroke) -> None:
        """A tool that it waits for is done."""
        run = self._running()
        run.calls.settle(outcome)
        self._end_if_whole(run)

    def fail(self, error: server.ErrorInfo) -> None:
        failure = server.Failure(type=error.type, code=error.code, message=error.message)
        self._end("failed", server.StatusDetails(type="failed", error=failure))

    def cancel(self, reason: CancelReason) -> None:
        self._end("cancelled", server.StatusDetails(type="cancelled", reason=reason))

    def stop(self) -> None:
        """The answer has all that one may have, and the model goes on."""
        self._effects.add(Abandon(self.id))
        self._end("incomplete", server.StatusDetails(type="incomplete", reason="max_output_tokens"))

    def end_silent(self) -> None:
        """There was nothing to answer."""
        self._end("completed", None)

    # How it proceeds

    def _running(self) -> Generating:
        if not isinstance(self._state, Generating):  # the session drops what comes for other states
            raise AssertionError(f"{self.id} is {self._state}")
        return self._state

    def _send(self, event: server.ServerEvent, answers: str | None = None) -> None:
        self._effects.send(event, answers)

    def _sound(self, run: Generating, message: str, audio: bytes) -> None:
        run.sound.add(audio)
        delta = server.ResponseOutputAudioDelta(
            response_id=self.id, item_id=message, output_index=run.message_index, content_index=PART, delta=audio
        )
        self._send(delta)

    def _speak_next(self, run: Generating) -> None:
        """One clause at a time: sound is made much faster than it plays, and a cancelled answer wastes little."""
        if run.speaking or not run.clauses:
            return
        text = run.clauses.popleft()
        run.clause += 1
        run.speaking = True
        run.sound.speak(text)
        terms = self.terms
        self._effects.add(Speak(self.id, run.clause, text.strip(), terms.voice, terms.speed, terms.format))

    def _end_if_whole(self, run: Generating) -> None:
        if not _said_all(run):
            return
        if run.finished == "stop":
            self._close(run)
            if not run.calls.running:
                self._end("completed", None)
        else:
            reason: Literal["max_output_tokens", "content_filter"]
            reason = "max_output_tokens" if run.finished == "length" else "content_filter"
            self._end("incomplete", server.StatusDetails(type="incomplete", reason=reason))

    def _open(self, run: Generating) -> str:
        """Open the message and its part (PROTOCOL 5.2)."""
        run.message = message = self._ids.new("item")
        run.message_index = self._output.open(_message(message, "in_progress"))
        self._send(
            server.ResponseContentPartAdded(
                response_id=self.id, item_id=message, output_index=run.message_index, content_index=PART, part=self._part("")
            )
        )
        return message

    def _part(self, text: str) -> server.ContentPart:
        return server.TextPart(text) if self.terms.modality == "text" else server.AudioPart(text)

    def _close(self, run: Generating, *, cut: bool = False) -> None:
        """Close what is open, in the order in which it was opened, but for tools that run; if it is cut, those too."""
        for index in self._output.unfinished:
            if index == run.message_index and run.message is not None:
                self._close_message(run, run.message, "incomplete" if cut else "completed")
            elif cut:
                run.calls.cut(index)
            else:
                run.calls.close(index)

    def _close_message(self, run: Generating, message: str, status: Literal["completed", "incomplete"]) -> None:
        """PROTOCOL 5.2, 5.4, 5.7."""
        text = "".join(run.text)
        place: dict[str, Any] = {"response_id": self.id, "item_id": message, "output_index": run.message_index, "content_index": PART}
        if self.terms.modality == "text":
            self._send(server.ResponseOutputTextDone(text=text, **place))
        else:
            self._send(server.ResponseOutputAudioDone(**place))
            self._send(server.ResponseOutputAudioTranscriptDone(transcript=text, **place))
        self._send(server.ResponseContentPartDone(part=self._part(text), **place))
        content = OutputText(text) if self.terms.modality == "text" else OutputAudio(text)
        sounds = {PART: run.sound} if self.terms.modality == "audio" else {}
        self._output.finish(run.message_index, _message(message, status, content), sounds)

    def _end(self, status: Literal["completed", "cancelled", "incomplete", "failed"], details: server.StatusDetails | None) -> None:
        state, self._state = self._state, Ended()
        cost = usage(None, "", None)
        if isinstance(state, Generating):
            if status in ("cancelled", "failed"):
                self._effects.add(Abandon(self.id))
            self._close(state, cut=status != "completed")
            if status != "failed" or self._output:
                cost = usage(state.request, "".join(_written(state)), state.usage, spoken_ms=state.sound.ms if self.terms.native else 0)
        done = server.ResponseDone(response=self._snapshot(status, details, cost))
        self._send(done, self.terms.answers)
        self._send(server.RateLimitsUpdated(rate_limits=[]))

    def _snapshot(
        self, status: server.ResponseStatus, details: server.StatusDetails | None = None, cost: server.Usage | None = None
    ) -> server.Response:
        terms = self.terms
        return server.Response(
            id=self.id,
            status=status,
            status_details=details,
            output=self._output.items,
            conversation_id=None if self._conversation is None else self._conversation.id,
            output_modalities=(terms.modality,),
            max_output_tokens=terms.max_output_tokens,
            audio=server.ResponseAudio(server.ResponseAudioOutput(terms.format, terms.voice)),
            usage=cost,
            metadata=terms.metadata,
            temperature=terms.temperature,
        )


def question(terms: Terms, items: tuple[Item, ...], tools: Toolbox, sounds: tuple[Recording, ...] = ()) -> LlmRequest:
    """What the model is asked, on these terms."""
    known = {item.id for item in items}
    return LlmRequest(
        instructions=terms.instructions,
        items=items,
        sounds=tuple(sound for sound in sounds if sound.item_id in known),
        max_output_tokens=None if terms.max_output_tokens == "inf" else terms.max_output_tokens,
        temperature=None if terms.temperature is UNSET else terms.temperature,
        tools=tools.functions,
        tool_choice=tools.choice,
        parallel_tool_calls=None if terms.parallel_tool_calls is UNSET else terms.parallel_tool_calls,
        voice=terms.voice if terms.native else None,
        effort=terms.effort,
    )


def _said_all(run: Generating) -> bool:
    """The text has ended, and nothing of it is left to speak."""
    return run.finished is not None and not run.speaking and not run.clauses


def _written(run: Generating) -> list[str]:
    """All that the model wrote."""
    return run.text + run.calls.written


def _message(id: str, status: Literal["in_progress", "completed", "incomplete"], *content: OutputText | OutputAudio) -> Message:
    return Message("assistant", list(content), id, status)
