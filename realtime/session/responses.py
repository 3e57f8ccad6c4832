"""The responses that run: one of the conversation, any number out of band.

create --(words pending)--> waits --(heard)--> asks --(outcomes)--> settled
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from msgspec import UNSET

from realtime.errors import ClientError
from realtime.ports import Recording
from realtime.session.abilities import Abilities
from realtime.session.admission import admit
from realtime.session.conversation import Conversation, Entry, snapshot
from realtime.session.effects import Effects
from realtime.session.hearing import recordings
from realtime.session.ids import Ids
from realtime.session.inputs import (
    ArgumentsGenerated,
    CallGenerated,
    ClauseSounded,
    ClauseSpoken,
    GenerationFinished,
    ResponseBroke,
    ResponseOutcome,
    SpeechGenerated,
    TextGenerated,
    TranscriptionBroke,
)
from realtime.session.response import CancelReason, Response
from realtime.session.transcripts import Transcripts
from realtime.session.updates import terms
from realtime.wire import client, server
from realtime.wire.items import InputAudio, Item, ItemReference, Message
from realtime.wire.settings import Settings


class Responses:
    """Creates responses, gives them their context, and lets go of them when they have ended."""

    def __init__(self, conversation: Conversation, transcripts: Transcripts, effects: Effects, ids: Ids, abilities: Abilities) -> None:
        self._conversation = conversation
        self._transcripts = transcripts
        self._effects = effects
        self._ids = ids
        self._abilities = abilities
        self._running: dict[str, Response] = {}
        self._asides: dict[str, list[Entry]] = {}
        """What a response was given instead of the conversation, by response id."""
        self._silence: str | None = None
        """The response that is to break a silence: for any other, there is nothing to answer where nothing was said."""
        self.spoken = False
        """The model's voice has been heard: it can't change any more."""

    def __bool__(self) -> bool:
        """Does any run?"""
        return bool(self._running)

    @property
    def active(self) -> Response | None:
        """The running response of the conversation."""
        return next((response for response in self._running.values() if response.default), None)

    # Beginning

    def create(self, params: client.ResponseParams, settings: Settings, event_id: str | None, *, silence: bool = False) -> None:
        """Begin a response; `silence`: it is wanted because nobody says anything. Raises `ClientError`."""
        agreed = terms(settings, params, self._abilities, event_id)
        aside = None if params.input is UNSET else self._gather(params.input, settings)
        own = params.conversation == "auto"
        active = self.active if own else None
        if active is not None:
            raise ClientError(
                "conversation_already_has_active_response",
                f"Conversation already has an active response in progress: {active.id}. "
                "Wait until the response is finished before creating a new one.",
            )
        response = Response(agreed, self._conversation if own else None, self._effects, self._ids)
        self._running[response.id] = response
        self._silence = response.id if silence else None
        entries = list(self._conversation) if aside is None else aside
        heard = {recording.item_id for recording in self._recordings(entries)}
        if aside is not None:
            for entry in aside:
                if entry.id not in heard:  # nobody would read the words of what only this response knows
                    self._transcripts.want(entry, settings)
            self._asides[response.id] = aside
        waited = {entry.id for entry in entries if entry.id not in heard and self._transcripts.pending(entry.id)}
        if waited:
            response.wait(waited)
        else:
            self._ask(response)

    def _gather(self, items: list[Item | ItemReference], settings: Settings) -> list[Entry]:
        return [self._resolve(item, f"response.input[{index}]", settings) for index, item in enumerate(items)]

    def _resolve(self, item: Item | ItemReference, param: str, settings: Settings) -> Entry:
        if not isinstance(item, ItemReference):
            return admit(item, param, format=settings.audio.input.format, abilities=self._abilities, ids=self._ids)
        entry = self._conversation.find(item.id)
        if entry is None:
            raise ClientError("invalid_value", f"Item with id '{item.id}' not found.", param=f"{param}.id")
        return entry

    def _ask(self, response: Response) -> None:
        aside = self._asides.pop(response.id, None)
        items = self._conversation.items() if aside is None else tuple(snapshot(entry.item) for entry in aside)
        if items and _said_nothing(items[-1]) and response.id != self._silence:
            response.end_silent()
            self._settle(response)
        else:
            response.generate(items, self._recordings(self._conversation if aside is None else aside))

    def _recordings(self, entries: Iterable[Entry]) -> tuple[Recording, ...]:
        """What the model hears of them."""
        return recordings(entries) if self._abilities.hears else ()

    # What happens to them

    def heard(self, item_id: str) -> None:
        """Those that waited for the words of that item go on."""
        for response in list(self._running.values()):
            if response.heard(item_id):
                self._ask(response)

    def not_transcribed(self, outcome: TranscriptionBroke) -> None:
        """Those that waited for these words can't have them."""
        for response in list(self._running.values()):
            if response.waits_for(outcome.item_id):
                response.fail(outcome.error)
                self._settle(response)

    def come_out(self, outcome: ResponseOutcome) -> None:
        """Let an outcome reach the response that it serves, if that still runs."""
        response = self._running.get(outcome.response_id)
        if response is not None:
            self._progress(response, outcome)

    def _progress(self, response: Response, outcome: ResponseOutcome) -> None:
        match outcome:
            case TextGenerated(text=text):
                response.add_text(text)
                return
            case ClauseSounded(clause=clause, audio=audio):
                self.spoken = True
                response.add_sound(clause, audio)
                return
            case SpeechGenerated(audio=audio):
                self.spoken = True
                response.add_speech(audio)
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

    # Ending

    def cancel(self, response_id: str | None) -> None:
        """End one by the client's wish; None for the conversation's. Raises `ClientError` when it does not run."""
        response = self.active if response_id is None else self._running.get(response_id)
        if response is None:
            raise ClientError("response_cancel_not_active", "Cancellation failed: no active response found", param="response_id")
        self._finish(response, "client_cancelled")

    def interrupt(self) -> None:
        """Somebody speaks into the answer."""
        if self.active is not None:
            self._finish(self.active, "turn_detected")

    def stop_writing(self, item_id: str) -> None:
        """Who cuts or removes what is being said wants it to end."""
        if self.active is not None and self.active.writes(item_id):
            self._finish(self.active, "client_cancelled")

    def fail_all(self, error: server.ErrorInfo) -> None:
        for response in self._running.values():
            response.fail(error)
        self._running.clear()
        self._asides.clear()

    def _finish(self, response: Response, reason: CancelReason) -> None:
        response.cancel(reason)
        self._settle(response)

    def _settle(self, response: Response) -> None:
        """Let go of a response if it has ended."""
        if response.ended:
            self._running.pop(response.id, None)
            self._asides.pop(response.id, None)


def _said_nothing(item: Item) -> bool:
    """Was the last word only noise? Then there is nothing to answer."""
    parts = item.content if isinstance(item, Message) else []
    return bool(parts) and all(isinstance(part, InputAudio) and part.transcript == "" for part in parts)
