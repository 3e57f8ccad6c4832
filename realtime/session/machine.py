"""The session: every input in, every effect out.

`receive` takes one input and returns what is to be done about it, in order. There is no socket, clock, dice, wait or log in here, so that
the same inputs give the same effects. A client's mistake becomes an `error` event; an exception is a bug of ours.
"""

from __future__ import annotations

from typing import assert_never

from msgspec import UNSET

from realtime.errors import ClientError
from realtime.session.abilities import Abilities
from realtime.session.admission import admit, check_audio
from realtime.session.conversation import Conversation, Entry, snapshot
from realtime.session.ear import Ear, TurnBegan, TurnEnded
from realtime.session.effects import Close, Effect, Effects
from realtime.session.ids import Ids
from realtime.session.inputs import (
    ArgumentsGenerated,
    CallGenerated,
    ClauseSounded,
    ClauseSpoken,
    DetectionFailed,
    FrameRefused,
    GenerationFinished,
    Input,
    Opened,
    Outcome,
    ResponseBroke,
    ServerStopping,
    SpeechScored,
    SpeechTranscribed,
    TextGenerated,
    TimePassed,
    TranscriptionBroke,
)
from realtime.session.response import CancelReason, Response
from realtime.session.sound import Sound
from realtime.session.transcripts import Transcripts
from realtime.session.updates import terms, updated
from realtime.wire import client, server
from realtime.wire.items import FunctionCallOutput, InputAudio, Item, ItemReference, Message, OutputAudio
from realtime.wire.settings import Settings

GOING_AWAY = 1001
"""Close code of a session that reached its end, and of a server that stops (PROTOCOL 1.4; RFC 6455, 7.4.1)."""


class Session:
    """Everything about one client, but the wires."""

    def __init__(self, settings: Settings, ids: Ids, abilities: Abilities = Abilities()) -> None:  # noqa: B008 - frozen
        self.settings = settings
        self.conversation = Conversation(ids.new("conv"))
        self._abilities = abilities
        self._ids = ids
        self._effects = Effects(ids)
        self._ear = Ear(settings.audio.input.format, settings.audio.input.turn_detection)
        self._turn: str | None = None
        """Id of the item that the open turn will become."""
        self._transcripts = Transcripts(self._effects)
        self._responses: dict[str, Response] = {}
        """The running ones, by id."""
        self._asides: dict[str, tuple[Item, ...]] = {}
        """What a response was given instead of the conversation, by response id."""
        self._owed = False
        """A turn ended while a response was running and not to be interrupted: it is answered next."""
        self._spoken = False
        """The model's voice has been heard: it can't change any more."""
        self._deadline: float | None = None
        self._closed = False

    # The world's side

    def receive(self, input: Input, *, now: float) -> list[Effect]:
        """Take what happened. `now` is in seconds on any clock that does not run backwards."""
        if self._closed:
            return []
        match input:
            case TextGenerated() | ClauseSounded() | SpeechScored() | ClauseSpoken() | GenerationFinished():
                self._come_out(input)
            case CallGenerated() | ArgumentsGenerated() | ResponseBroke() | SpeechTranscribed() | TranscriptionBroke() | DetectionFailed():
                self._come_out(input)
            case Opened():
                self._open(now)
            case FrameRefused(error=error):
                self._refuse(error, error.event_id)
            case TimePassed():
                self._pass_time(now)
            case ServerStopping():
                self._stop()
            case _:
                self._obey(input)
        return self._effects.take()

    def deadline(self) -> float | None:
        """When `TimePassed` is wanted, on the clock of `now`; None for never."""
        return None if self._closed else self._deadline

    @property
    def busy(self) -> bool:
        """Is a response running?"""
        return bool(self._responses)

    # Beginning and end

    def _open(self, now: float) -> None:
        self._deadline = now + self._abilities.session_seconds
        self._effects.send(server.SessionCreated(session=self.settings))
        self._effects.send(server.ConversationCreated(conversation=server.Conversation(self.conversation.id)))

    def _pass_time(self, now: float) -> None:
        if self._deadline is None or now < self._deadline:
            return
        minutes = self._abilities.session_seconds / 60
        expired = server.ErrorInfo(code="session_expired", message=f"Your session hit the maximum duration of {minutes:g} minutes.")
        self._fail_all(expired)
        self._effects.send(server.Error(error=server.ErrorDetail(code=expired.code, message=expired.message)))
        self._close("session_expired")

    def _stop(self) -> None:
        self._fail_all(
            server.ErrorInfo(type="server_error", code="server_stopping", message="The server stopped before the answer was whole.")
        )
        self._close("server is shutting down")

    def _fail_all(self, error: server.ErrorInfo) -> None:
        for response in self._responses.values():
            response.fail(error)
        self._responses.clear()
        self._asides.clear()

    def _close(self, reason: str) -> None:
        self._effects.add(Close(GOING_AWAY, reason))
        self._closed = True

    # The client's side

    def _obey(self, event: client.ClientEvent) -> None:
        try:
            self._act(event)
        except ClientError as error:
            self._refuse(error, event.event_id)

    def _refuse(self, error: ClientError, event_id: str | None) -> None:
        detail = server.ErrorDetail(code=error.code, message=error.message, param=error.param, event_id=event_id)
        self._effects.send(server.Error(error=detail))

    def _act(self, event: client.ClientEvent) -> None:
        match event:
            case client.InputAudioBufferAppend():
                self._append(event)
            case client.SessionUpdate():
                self._update(event)
            case client.InputAudioBufferCommit():
                self._commit_by_hand(event)
            case client.InputAudioBufferClear():
                self._clear(event)
            case client.ConversationItemCreate():
                self._create_item(event)
            case client.ConversationItemRetrieve():
                self._retrieve(event)
            case client.ConversationItemTruncate():
                self._truncate(event)
            case client.ConversationItemDelete():
                self._delete(event)
            case client.ResponseCreate():
                self._create_response(event.response or client.ResponseParams(), event.event_id)
            case client.ResponseCancel():
                self._cancel_by_hand(event)
            case client.OutputAudioBufferClear():
                raise ClientError(
                    "invalid_value", "There is no output audio buffer on a websocket: stop the playback yourself.", param="type"
                )
            case _:
                assert_never(event)

    def _update(self, event: client.SessionUpdate) -> None:
        self.settings = updated(self.settings, event.session, self._abilities, spoken=self._spoken)
        heard = self.settings.audio.input
        self._ear.tune(heard.format, heard.turn_detection)
        if not self._ear.talking:
            self._turn = None
        self._effects.send(server.SessionUpdated(session=self.settings), event.event_id)

    # Input audio and turns

    def _append(self, event: client.InputAudioBufferAppend) -> None:
        check_audio("audio", self._abilities)
        detect = self._ear.append(event.audio)
        if detect is not None:
            self._effects.add(detect)

    def _commit_by_hand(self, event: client.InputAudioBufferCommit) -> None:
        self._commit(self._ear.commit(), event.event_id)

    def _clear(self, event: client.InputAudioBufferClear) -> None:
        self._ear.clear()
        self._turn = None
        self._effects.send(server.InputAudioBufferCleared(), event.event_id)

    def _hear(self, scored: SpeechScored) -> None:
        for score in scored.scores:
            match self._ear.hear(score):
                case TurnBegan(at_ms=at_ms):
                    self._begin_turn(at_ms)
                case TurnEnded(at_ms=at_ms, end=end):
                    self._end_turn(at_ms, end)

    def _begin_turn(self, at_ms: int) -> None:
        self._turn = self._ids.new("item")
        self._effects.send(server.InputAudioBufferSpeechStarted(audio_start_ms=at_ms, item_id=self._turn))
        detection = self.settings.audio.input.turn_detection
        if detection is not None and detection.interrupt_response:
            self._owed = False
            active = self._active()
            if active is not None:
                self._finish(active, "turn_detected")

    def _end_turn(self, at_ms: int, end: int) -> None:
        if self._turn is None:
            raise AssertionError("a turn ended that had not begun")
        self._effects.send(server.InputAudioBufferSpeechStopped(audio_end_ms=at_ms, item_id=self._turn))
        self._commit(self._ear.buffer.take(end))
        detection = self.settings.audio.input.turn_detection
        if detection is None or not detection.create_response:
            return
        if self._active() is None:
            self._create_response(client.ResponseParams(), None)
        else:
            self._owed = True

    def _commit(self, audio: bytes, answers: str | None = None) -> None:
        item_id, self._turn = self._turn or self._ids.new("item"), None
        entry = Entry(Message("user", [InputAudio()], item_id), {0: Sound(self._ear.buffer.format, audio)})
        committed = server.InputAudioBufferCommitted(previous_item_id=self.conversation.last_id, item_id=item_id)
        self._effects.send(committed, answers)
        self._add(entry, None)
        self._transcribe(entry)

    # Items

    def _add(self, entry: Entry, index: int | None, answers: str | None = None) -> None:
        previous = self.conversation.insert(entry, index)
        self._effects.send(server.ConversationItemAdded(previous_item_id=previous, item=snapshot(entry.item)), answers)
        self._effects.send(server.ConversationItemDone(previous_item_id=previous, item=snapshot(entry.item)), answers)

    def _create_item(self, event: client.ConversationItemCreate) -> None:
        index = self.conversation.place(event.previous_item_id)
        entry = self._admit(event.item, "item")
        if entry.id in self.conversation or entry.id == self._turn:  # the open turn's id is announced, so it is taken
            raise ClientError(
                "item_create_duplicate_item_id", f"Error adding item: an item with id '{entry.id}' already exists.", param="item.id"
            )
        if isinstance(entry.item, FunctionCallOutput) and not self.conversation.calls(entry.item.call_id):
            message = f"Error adding item: no tool has been called with the call_id '{entry.item.call_id}'."
            raise ClientError("invalid_value", message, param="item.call_id")
        self._add(entry, index, event.event_id)
        self._transcribe(entry)

    def _admit(self, item: Item, param: str) -> Entry:
        return admit(item, param, format=self.settings.audio.input.format, abilities=self._abilities, ids=self._ids)

    def _find(self, item_id: str, action: str) -> Entry:
        entry = self.conversation.find(item_id)
        if entry is None:
            verb = {"delete": "deleting", "retrieve": "retrieving"}[action]
            message = f"Error {verb} item: the item with id '{item_id}' does not exist."
            raise ClientError(f"item_{action}_invalid_item_id", message, param="item_id")
        return entry

    def _retrieve(self, event: client.ConversationItemRetrieve) -> None:
        entry = self._find(event.item_id, "retrieve")
        self._effects.send(server.ConversationItemRetrieved(item=entry.with_audio()), event.event_id)

    def _delete(self, event: client.ConversationItemDelete) -> None:
        entry = self._find(event.item_id, "delete")
        self._stop_writing(entry.id)
        self.conversation.delete(entry.id)
        self._effects.send(server.ConversationItemDeleted(item_id=entry.id), event.event_id)
        self._transcripts.forget(entry.id)
        self._heard(entry.id)

    def _truncate(self, event: client.ConversationItemTruncate) -> None:
        self._stop_writing(event.item_id)
        entry = self.conversation.find(event.item_id)
        if entry is None:
            raise ClientError("item_truncate_invalid_item_id", f"Item with item_id not found: {event.item_id}", param="item_id")
        part = entry.part(event.content_index)
        sound = entry.sounds.get(event.content_index)
        if not isinstance(part, OutputAudio) or sound is None:
            raise ClientError("unsupported_content_type", "Only model output audio messages can be truncated", param="content_index")
        if event.audio_end_ms > sound.ms:
            message = f"Audio content of {sound.ms}ms is already shorter than {event.audio_end_ms}ms"
            raise ClientError("invalid_value", message, param="audio_end_ms")
        part.transcript = sound.truncate(event.audio_end_ms)
        truncated = server.ConversationItemTruncated(item_id=entry.id, content_index=event.content_index, audio_end_ms=event.audio_end_ms)
        self._effects.send(truncated, event.event_id)

    def _stop_writing(self, item_id: str) -> None:
        """Who cuts or removes what is being said wants it to end."""
        active = self._active()
        if active is not None and active.writes(item_id):
            self._finish(active, "client_cancelled")

    # Transcripts

    def _transcribe(self, entry: Entry) -> None:
        wish = self.settings.audio.input.transcription
        # What is only one response's context is no news for the client: nothing out of band shows in `conversation.item.*` (PROTOCOL 5.9).
        announced = wish is not None and self.conversation.find(entry.id) is entry
        self._transcripts.want(entry, wish, announced=announced)

    def _not_transcribed(self, outcome: TranscriptionBroke) -> None:
        self._transcripts.fail(outcome)
        for response in list(self._responses.values()):
            if response.waits_for(outcome.item_id):
                self._fail(response, outcome.error)

    def _heard(self, item_id: str) -> None:
        """Responses that waited for the words of that item go on."""
        if self._transcripts.pending(item_id):
            return
        for response in list(self._responses.values()):
            if response.heard(item_id):
                self._ask(response)

    # Responses

    def _active(self) -> Response | None:
        """The running response of the conversation."""
        return next((response for response in self._responses.values() if response.default), None)

    def _create_response(self, params: client.ResponseParams, event_id: str | None) -> None:
        agreed = terms(self.settings, params, self._abilities, event_id)
        aside = None if params.input is UNSET else self._gather(params.input)
        own = params.conversation == "auto"
        active = self._active() if own else None
        if active is not None:
            raise ClientError(
                "conversation_already_has_active_response",
                f"Conversation already has an active response in progress: {active.id}. "
                "Wait until the response is finished before creating a new one.",
            )
        response = Response(agreed, self.conversation if own else None, self._effects, self._ids)
        self._responses[response.id] = response
        if aside is not None:
            for entry in aside:
                self._transcribe(entry)
            self._asides[response.id] = tuple(entry.item for entry in aside)
        entries = self.conversation if aside is None else aside
        waited = {entry.id for entry in entries if self._transcripts.pending(entry.id)}
        if waited:
            response.wait(waited)
        else:
            self._ask(response)

    def _gather(self, items: list[Item | ItemReference]) -> list[Entry]:
        return [self._resolve(item, f"response.input[{index}]") for index, item in enumerate(items)]

    def _resolve(self, item: Item | ItemReference, param: str) -> Entry:
        if not isinstance(item, ItemReference):
            return self._admit(item, param)
        entry = self.conversation.find(item.id)
        if entry is None:
            raise ClientError("invalid_value", f"Item with id '{item.id}' not found.", param=f"{param}.id")
        return entry

    def _ask(self, response: Response) -> None:
        aside = self._asides.pop(response.id, None)
        items = self.conversation.items() if aside is None else tuple(snapshot(item) for item in aside)
        if items and _said_nothing(items[-1]):
            response.end_silent()
            self._settle(response)
        else:
            response.generate(items)

    def _cancel_by_hand(self, event: client.ResponseCancel) -> None:
        response = self._active() if event.response_id is None else self._responses.get(event.response_id)
        if response is None:
            raise ClientError("response_cancel_not_active", "Cancellation failed: no active response found", param="response_id")
        self._finish(response, "client_cancelled")

    def _finish(self, response: Response, reason: CancelReason) -> None:
        response.cancel(reason)
        self._settle(response)

    def _fail(self, response: Response, error: server.ErrorInfo) -> None:
        response.fail(error)
        self._settle(response)

    def _settle(self, response: Response) -> None:
        """Let go of a response if it has ended; what it kept waiting comes next."""
        if not response.ended:
            return
        self._responses.pop(response.id, None)
        self._asides.pop(response.id, None)
        if self._owed and self._active() is None:
            self._owed = False
            self._create_response(client.ResponseParams(), None)

    # Outcomes

    def _come_out(self, outcome: Outcome) -> None:
        """Let an outcome reach what it serves. What it serves may be gone: this is the one place where late results are dropped."""
        match outcome:
            case (
                TextGenerated()
                | ClauseSounded()
                | ClauseSpoken()
                | CallGenerated()
                | ArgumentsGenerated()
                | GenerationFinished()
                | ResponseBroke()
            ):
                response = self._responses.get(outcome.response_id)
                if response is not None:
                    self._progress(response, outcome)
            case SpeechScored() | DetectionFailed():
                if outcome.epoch == self._ear.epoch:
                    self._detect(outcome)
            case SpeechTranscribed() | TranscriptionBroke():
                if self._transcripts.expects(outcome):
                    self._learn(outcome)
            case _:
                assert_never(outcome)

    def _detect(self, outcome: SpeechScored | DetectionFailed) -> None:
        if isinstance(outcome, SpeechScored):
            self._hear(outcome)
            return
        error = outcome.error
        self._effects.send(server.Error(error=server.ErrorDetail(type=error.type, code=error.code, message=error.message)))
        self._ear.restart()
        self._turn = None

    def _learn(self, outcome: SpeechTranscribed | TranscriptionBroke) -> None:
        if isinstance(outcome, SpeechTranscribed):
            self._transcripts.complete(outcome)
            self._heard(outcome.item_id)
        else:
            self._not_transcribed(outcome)

    def _progress(
        self,
        response: Response,
        outcome: TextGenerated | ClauseSounded | ClauseSpoken | CallGenerated | ArgumentsGenerated | GenerationFinished | ResponseBroke,
    ) -> None:
        match outcome:
            case TextGenerated(text=text):
                response.add_text(text)
                return
            case ClauseSounded(clause=clause, audio=audio):
                self._spoken = True
                response.add_sound(clause, audio)
                return
            case CallGenerated(index=index, name=name, call_id=call_id):
                response.begin_call(index, name, call_id)
                return
            case ArgumentsGenerated(index=index, text=text):
                response.add_arguments(index, text)
                return
            case ClauseSpoken(clause=clause):
                response.end_clause(clause)
            case GenerationFinished(reason=reason, usage=usage, extras=extras):
                response.end_text(reason, usage, extras)
            case ResponseBroke(error=error):
                response.fail(error)
            case _:
                assert_never(outcome)
        self._settle(response)


def _said_nothing(item: Item) -> bool:
    """Was the last word only noise? Then there is nothing to answer."""
    parts = item.content if isinstance(item, Message) else []
    return bool(parts) and all(isinstance(part, InputAudio) and part.transcript == "" for part in parts)
