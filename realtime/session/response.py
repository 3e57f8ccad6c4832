"""One response, from `response.created` to `response.done`.

    Waiting --(all transcripts there)--> Generating --(text ended, every clause spoken)--> Ended
       '-----------------------(cancel, failure)---------------------------^

It writes its events in the orders of PROTOCOL 5 and asks for text and speech. Whatever happens, it ends exactly once, and what it opened
it closes. It keeps the terms that it started with: a later `session.update` is for later responses.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from realtime.ports import LlmRequest, TokenUsage
from realtime.session.clauses import ClauseCutter
from realtime.session.conversation import Conversation, Entry
from realtime.session.effects import Abandon, Effects, Generate, Speak
from realtime.session.ids import Ids
from realtime.session.sound import Sound
from realtime.session.usage import usage
from realtime.wire import server
from realtime.wire.items import Item, Message, OutputAudio, OutputText
from realtime.wire.settings import AudioFormat, MaxTokens, Modality

INDEX = 0
"""The one output item of a response, and its one content part."""


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
    metadata: dict[str, str] | None = None
    answers: str | None = None
    """The id of the `response.create`."""


class Waiting(Struct):
    """Some of what the user said is still being transcribed."""

    item_ids: set[str]


class Generating(Struct, kw_only=True):
    """The model answers."""

    request: LlmRequest
    text: list[str]
    """What it has said so far."""
    message: str | None = None
    """Id of the output item, once there is text."""
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

    def __init__(self, terms: Terms, conversation: Conversation | None, effects: Effects, ids: Ids) -> None:
        """`conversation` is None for a response out of band: it stores nothing."""
        self.id = ids.new("resp")
        self.terms = terms
        self._conversation = conversation
        self._effects = effects
        self._ids = ids
        self._output: list[Item] = []
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
    def message_id(self) -> str | None:
        """Of the item that is being written."""
        return self._state.message if isinstance(self._state, Generating) else None

    # What happens to it

    def wait(self, item_ids: set[str]) -> None:
        """Hold the question until these items are transcribed."""
        self._state = Waiting(item_ids)

    def heard(self, item_id: str) -> bool:
        """An item is transcribed, or gone; True when it was the last one waited for."""
        if not isinstance(self._state, Waiting) or item_id not in self._state.item_ids:
            return False
        self._state.item_ids.discard(item_id)
        return not self._state.item_ids

    def waits_for(self, item_id: str) -> bool:
        return isinstance(self._state, Waiting) and item_id in self._state.item_ids

    def generate(self, items: tuple[Item, ...]) -> None:
        """Ask the model, with this as the conversation so far."""
        terms = self.terms
        request = LlmRequest(
            instructions=terms.instructions,
            items=items,
            max_output_tokens=None if terms.max_output_tokens == "inf" else terms.max_output_tokens,
            temperature=None if terms.temperature is UNSET else terms.temperature,
        )
        self._state = Generating(request=request, text=[], sound=Sound(terms.format), cutter=ClauseCutter(), clauses=deque())
        self._effects.add(Generate(self.id, request))

    def add_text(self, text: str) -> None:
        run = self._running()
        message = run.message or self._open(run)
        run.text.append(text)
        if self.terms.modality == "text":
            delta: server.ServerEvent = server.ResponseOutputTextDelta(
                response_id=self.id, item_id=message, output_index=INDEX, content_index=INDEX, delta=text
            )
            self._send(delta)
            return
        delta = server.ResponseOutputAudioTranscriptDelta(
            response_id=self.id, item_id=message, output_index=INDEX, content_index=INDEX, delta=text
        )
        self._send(delta)
        run.clauses.extend(run.cutter.push(text))
        self._speak_next(run)

    def end_text(self, reason: Literal["stop", "length", "content_filter"], counted: TokenUsage | None) -> None:
        run = self._running()
        run.finished, run.usage = reason, counted
        if self.terms.modality == "audio":
            run.clauses.extend(run.cutter.flush())
            self._speak_next(run)
        self._end_if_whole(run)

    def add_sound(self, clause: int, audio: bytes) -> None:
        run = self._running()
        if clause != run.clause or run.message is None:
            return
        run.sound.add(audio)
        delta = server.ResponseOutputAudioDelta(
            response_id=self.id, item_id=run.message, output_index=INDEX, content_index=INDEX, delta=audio
        )
        self._send(delta)

    def end_clause(self, clause: int) -> None:
        run = self._running()
        if clause != run.clause:
            return
        run.speaking = False
        self._speak_next(run)
        self._end_if_whole(run)

    def fail(self, error: server.ErrorInfo) -> None:
        failure = server.Failure(type=error.type, code=error.code, message=error.message)
        self._end("failed", server.StatusDetails(type="failed", error=failure))

    def cancel(self, reason: CancelReason) -> None:
        self._end("cancelled", server.StatusDetails(type="cancelled", reason=reason))

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

    def _speak_next(self, run: Generating) -> None:
        """One clause at a time: sound is made much faster than it plays, and a cancelled answer wastes little."""
        if run.speaking or not run.clauses:
            return
        text = run.clauses.popleft()
        run.clause += 1
        run.speaking = True
        run.sound.speak(text)
        terms = self.terms
        self._effects.add(Speak(self.id, run.clause, text, terms.voice, terms.speed, terms.format))

    def _end_if_whole(self, run: Generating) -> None:
        if run.finished is None or run.speaking or run.clauses:
            return
        if run.finished == "stop":
            self._end("completed", None)
        else:
            reason: Literal["max_output_tokens", "content_filter"]
            reason = "max_output_tokens" if run.finished == "length" else "content_filter"
            self._end("incomplete", server.StatusDetails(type="incomplete", reason=reason))

    def _open(self, run: Generating) -> str:
        """Open the output item and its part (PROTOCOL 5.2)."""
        run.message = message = self._ids.new("item")
        self._send(server.ResponseOutputItemAdded(response_id=self.id, output_index=INDEX, item=_message(message, "in_progress")))
        if self._conversation is not None:
            entry = Entry(_message(message, "in_progress"))
            previous = self._conversation.insert(entry)
            self._send(server.ConversationItemAdded(previous_item_id=previous, item=_message(message, "in_progress")))
        self._send(
            server.ResponseContentPartAdded(
                response_id=self.id, item_id=message, output_index=INDEX, content_index=INDEX, part=self._part("")
            )
        )
        return message

    def _part(self, text: str) -> server.ContentPart:
        return server.TextPart(text) if self.terms.modality == "text" else server.AudioPart(text)

    def _close(self, run: Generating, message: str, status: Literal["completed", "incomplete"]) -> None:
        """Close what `_open` opened (PROTOCOL 5.2, 5.4, 5.7)."""
        text = "".join(run.text)
        place: dict[str, Any] = {"response_id": self.id, "item_id": message, "output_index": INDEX, "content_index": INDEX}
        if self.terms.modality == "text":
            self._send(server.ResponseOutputTextDone(text=text, **place))
        else:
            self._send(server.ResponseOutputAudioDone(**place))
            self._send(server.ResponseOutputAudioTranscriptDone(transcript=text, **place))
        self._send(server.ResponseContentPartDone(part=self._part(text), **place))
        item = _message(message, status, OutputText(text) if self.terms.modality == "text" else OutputAudio(text))
        if self._conversation is not None:
            self._conversation.finish(message, item, {INDEX: run.sound} if self.terms.modality == "audio" else {})
            self._send(server.ConversationItemDone(previous_item_id=self._conversation.previous_id(message), item=item))
        self._send(server.ResponseOutputItemDone(response_id=self.id, output_index=INDEX, item=item))
        self._output = [item]

    def _end(self, status: Literal["completed", "cancelled", "incomplete", "failed"], details: server.StatusDetails | None) -> None:
        state, self._state = self._state, Ended()
        cost = usage(None, "", None)
        if isinstance(state, Generating):
            if status in ("cancelled", "failed"):
                self._effects.add(Abandon(self.id))
            if state.message is not None:
                self._close(state, state.message, "completed" if status == "completed" else "incomplete")
            if status != "failed" or state.message is not None:
                cost = usage(state.request, "".join(state.text), state.usage)
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
            output=self._output,
            conversation_id=None if self._conversation is None else self._conversation.id,
            output_modalities=(terms.modality,),
            max_output_tokens=terms.max_output_tokens,
            audio=server.ResponseAudio(server.ResponseAudioOutput(terms.format, terms.voice)),
            usage=cost,
            metadata=terms.metadata,
            temperature=terms.temperature,
        )


def _message(id: str, status: Literal["in_progress", "completed", "incomplete"], *content: OutputText | OutputAudio) -> Message:
    return Message("assistant", list(content), id, status)
