"""The responses that run: one of the conversation, any number out of band.

create --(words or tools pending)--> waits --(known)--> asks --(outcomes)--> settled
"""

from __future__ import annotations

from typing import assert_never

from msgspec import UNSET, Struct

from realtime.errors import ClientError
from realtime.session.abilities import Abilities
from realtime.session.admission import admit
from realtime.session.approvals import Approvals
from realtime.session.conversation import Conversation, Entry, snapshot
from realtime.session.effects import Effects
from realtime.session.ids import Ids
from realtime.session.inputs import (
    ArgumentsGenerated,
    CallGenerated,
    ClauseSounded,
    ClauseSpoken,
    GenerationFinished,
    ResponseBroke,
    ResponseOutcome,
    TextGenerated,
    ToolBroke,
    ToolListingBroke,
    ToolOutcome,
    ToolReturned,
    ToolsListed,
    TranscriptionBroke,
)
from realtime.session.mcp import ToolServers
from realtime.session.response import CancelReason, Response, Terms
from realtime.session.transcripts import Transcripts
from realtime.session.updates import terms
from realtime.wire import client, server
from realtime.wire.items import InputAudio, Item, ItemReference, Message
from realtime.wire.settings import Settings, Tool, Transcription


class Wanted(Struct):
    """A response that has been agreed on, and has not begun."""

    terms: Terms
    own: bool
    """Is it the conversation's?"""
    aside: list[Entry] | None
    """What it is given instead of the conversation."""
    names_tools: bool
    """Did the client name tools for this response?"""
    transcription: Transcription | None


class Responses:
    """Creates responses, gives them their context, and lets go of them when they have ended."""

    def __init__(self, conversation: Conversation, transcripts: Transcripts, effects: Effects, ids: Ids, abilities: Abilities) -> None:
        self._conversation = conversation
        self._transcripts = transcripts
        self._effects = effects
        self._ids = ids
        self._abilities = abilities
        self._running: dict[str, Response] = {}
        self._asides: dict[str, tuple[Item, ...]] = {}
        """What a response was given instead of the conversation, by response id."""
        self._next: Wanted | None = None
        """Begins when the conversation's running response has ended."""
        self.approvals = Approvals(conversation, effects, ids)
        self.servers = ToolServers(conversation, effects, ids, self.heard)
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

    def adopt_tools(self, tools: tuple[Tool, ...]) -> None:
        """These are the session's tools now: servers among them that are new are asked what they offer."""
        self.servers.adopt(tools)

    def create(self, params: client.ResponseParams, settings: Settings, event_id: str | None) -> None:
        """Begin a response. Raises `ClientError`."""
        agreed = terms(settings, params, self._abilities, event_id)
        aside = None if params.input is UNSET else self._gather(params.input, settings)
        wanted = Wanted(agreed, params.conversation == "auto", aside, params.tools is not UNSET, settings.audio.input.transcription)
        active = self.active if wanted.own else None
        if active is None:
            self._begin(wanted)
        elif active.closing and self._next is None:
            self._next = wanted
        else:
            raise ClientError(
                "conversation_already_has_active_response",
                f"Conversation already has an active response in progress: {active.id}. "
                "Wait until the response is finished before creating a new one.",
            )

    def _begin(self, wanted: Wanted) -> None:
        response = Response(wanted.terms, self._conversation if wanted.own else None, self.approvals, self._effects, self._ids)
        self._running[response.id] = response
        if wanted.names_tools:
            self.servers.want(wanted.terms.tools)
        aside = wanted.aside
        if aside is not None:
            for entry in aside:
                self._transcripts.want(entry, wanted.transcription)
            self._asides[response.id] = tuple(entry.item for entry in aside)
        entries = self._conversation if aside is None else aside
        waited = {entry.id for entry in entries if self._transcripts.pending(entry.id)} | self.servers.pending(wanted.terms.tools)
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
        items = self._conversation.items() if aside is None else tuple(snapshot(item) for item in aside)
        if items and _said_nothing(items[-1]):
            response.end_silent()
            self._settle(response)
        else:
            response.generate(items, self.servers.toolbox(response.terms.tools, response.terms.tool_choice))

    # What happens to them

    def heard(self, item_id: str) -> None:
        """Those that waited for the words of that item, or for its tools, go on."""
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
        if response is not None and response.expects(outcome):
            self._progress(response, outcome)

    def tools_come_out(self, outcome: ToolOutcome) -> None:
        """Let an outcome reach the listing or the call that it serves, if somebody still waits for it."""
        match outcome:
            case ToolsListed():
                self.servers.complete(outcome)
            case ToolListingBroke():
                self.servers.fail(outcome)
            case ToolReturned() | ToolBroke():
                self._settle_call(outcome)
            case _:
                assert_never(outcome)

    def _settle_call(self, outcome: ToolReturned | ToolBroke) -> None:
        if self.approvals.come_out(outcome):
            return
        response = next((response for response in self._running.values() if response.runs(outcome.item_id)), None)
        if response is not None:
            response.settle_call(outcome)
            self._settle(response)

    def _progress(self, response: Response, outcome: ResponseOutcome) -> None:
        match outcome:
            case TextGenerated(text=text):
                response.add_text(text)
                return
            case ClauseSounded(clause=clause, audio=audio):
                self.spoken = True
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
        active = self.active
        if active is not None and active.writes(item_id):
            active.cancel("client_cancelled")
            self._settle(active)

    def release(self, item_id: str) -> None:
        """An item is about to be deleted: nothing that is done for it is waited for."""
        self.servers.stop(item_id)
        self.approvals.stop(item_id)
        self.stop_writing(item_id)

    def fail_all(self, error: server.ErrorInfo) -> None:
        for response in self._running.values():
            response.fail(error)
        self._running.clear()
        self._asides.clear()
        if self._next is not None:
            wanted, self._next = self._next, None
            Response(wanted.terms, self._conversation, self.approvals, self._effects, self._ids).fail(error)
        self.servers.fail_all(error.message)
        self.approvals.fail_all(error.message)

    def _finish(self, response: Response, reason: CancelReason) -> None:
        wanted, self._next = (self._next, None) if response.default else (None, self._next)
        response.cancel(reason)
        self._settle(response)
        if wanted is not None:  # it was to follow at once, so it is what the client wants to be silent; who asked for it is told so
            Response(wanted.terms, self._conversation, self.approvals, self._effects, self._ids).cancel(reason)

    def _settle(self, response: Response) -> None:
        """Let go of a response if it has ended."""
        if response.ended:
            self._running.pop(response.id, None)
            self._asides.pop(response.id, None)
            if response.default and self._next is not None:
                wanted, self._next = self._next, None
                self._begin(wanted)


def _said_nothing(item: Item) -> bool:
    """Was the last word only noise? Then there is nothing to answer."""
    parts = item.content if isinstance(item, Message) else []
    return bool(parts) and all(isinstance(part, InputAudio) and part.transcript == "" for part in parts)
