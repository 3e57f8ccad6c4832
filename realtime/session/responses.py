"""The responses that run: one of the conversation, any number out of band.

create --(words or tools pending)--> waits --(known)--> asks --(outcomes)--> settled
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import assert_never

from msgspec import UNSET, Struct
from msgspec.structs import replace

from realtime.errors import CONTEXT_LENGTH_EXCEEDED, ClientError
from realtime.ports import LlmRequest, Recording
from realtime.session.abilities import Abilities
from realtime.session.admission import admit
from realtime.session.approvals import Approvals
from realtime.session.context import Context
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
    ToolBroke,
    ToolListingBroke,
    ToolOutcome,
    ToolReturned,
    ToolsListed,
    TranscriptionBroke,
)
from realtime.session.mcp import Toolbox, ToolServers
from realtime.session.response import CancelReason, Response, Terms, question
from realtime.session.seeing import is_frame, is_watched, seen
from realtime.session.speculation import Speculation
from realtime.session.transcripts import Transcripts
from realtime.session.updates import terms
from realtime.wire import client, server
from realtime.wire.items import InputAudio, InputImage, Item, ItemReference, Message, OutputAudio
from realtime.wire.settings import Settings, Tool


class Wanted(Struct):
    """A response that has been agreed on, and has not begun."""

    terms: Terms
    own: bool
    """Is it the conversation's?"""
    aside: list[Entry] | None
    """What it is given instead of the conversation."""
    names_tools: bool
    """Did the client name tools for this response?"""
    settings: Settings
    """The session's, as they were when it was agreed on."""
    silence: bool
    """Is it wanted because nobody says anything?"""
    files: frozenset[str]
    """Ids of items that were on their way when it was agreed on."""


MAX_TEXT_DELTA = 10_000
"""Characters of one delta: more than a model says at once, so that only who sends an answer in one piece is cut; and what cuts clauses
works in proportion to the square of it."""

MAX_SOUND_DELTA = 1024 * 1024
"""Bytes of sound in one delta, whole samples: 22 seconds of PCM at 24 kHz, and a sixth of what a frame takes in base64."""

BLIND = "I can't see pictures. "
"""What the first answer after a picture begins with, where the model sees nothing."""

CALL_SIZE = 100
"""Characters that a call of a tool is taken to have beside its name and its arguments: its keys, ids and brackets."""

TOO_LONG = server.ErrorInfo(
    code=CONTEXT_LENGTH_EXCEEDED,
    message="The conversation is longer than the model takes, and truncation is disabled: delete items, or let it be truncated.",
)


class Responses:
    """Creates responses, gives them their context, and lets go of them when they have ended."""

    def __init__(self, conversation: Conversation, transcripts: Transcripts, effects: Effects, ids: Ids, abilities: Abilities) -> None:
        self._conversation = conversation
        self._transcripts = transcripts
        self._effects = effects
        self._ids = ids
        self._abilities = abilities
        self._running: dict[str, Response] = {}
        self.active: Response | None = None
        """The running one of the conversation."""
        self._asides: dict[str, list[Entry]] = {}
        """What a response was given instead of the conversation, by response id."""
        self._silence: str | None = None
        """The response that is to break a silence: for any other, there is nothing to answer where nothing was said."""
        self._context = Context(abilities.context_tokens)
        self._final: set[str] = set()
        """Ids of the responses whose prompt can't be shortened: it has been once, or the client chose it."""
        self._next: Wanted | None = None
        """Begins when the conversation's running response has ended."""
        self.approvals = Approvals(conversation, effects, ids)
        responses: Responses = weakref.proxy(self)  # in a circle, a conversation would be kept until the garbage collector comes
        self.servers = ToolServers(conversation, effects, ids, lambda item_id: responses.heard(item_id))
        self.spoken = False
        """The model's voice has been heard: it can't change any more."""
        self._confessed = False
        """The client has been told that the model sees nothing."""
        self.speculation: Speculation | None = None
        """The answer to the turn that is being spoken, if that is over."""
        self._held: list[ResponseOutcome] = []
        """What came for the response that has just begun, while it was a speculation."""

    def __bool__(self) -> bool:
        """Does any run?"""
        return bool(self._running)

    # Beginning

    def adopt_tools(self, tools: tuple[Tool, ...]) -> None:
        """These are the session's tools now: servers among them that are new are asked what they offer."""
        self.servers.adopt(tools)

    def remember(self, tools: tuple[Tool, ...]) -> None:
        """Of a conversation that goes on: what its items say of servers, of calls to be approved of, and whether the voice was heard."""
        self.spoken = self.spoken or any(
            isinstance(entry.part(index), OutputAudio) for entry in self._conversation for index in entry.sounds
        )
        self.servers.remember(tools)
        self.approvals.remember(tools)
        self.adopt_tools(tools)

    def create(
        self,
        params: client.ResponseParams,
        settings: Settings,
        event_id: str | None,
        *,
        silence: bool = False,
        files: frozenset[str] = frozenset(),
    ) -> None:
        """Begin a response; `silence`: it is wanted because nobody says anything; `files`: ids of the items that are on their way, which
        it waits for. Raises `ClientError`."""
        agreed = terms(settings, params, self._abilities, event_id)
        aside = None if params.input is UNSET else self._gather(params.input, settings)
        wanted = Wanted(agreed, params.conversation == "auto", aside, params.tools is not UNSET, settings, silence, files)
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
        id = self._use_speculation(wanted) if wanted.own else None
        response = Response(wanted.terms, self._conversation if wanted.own else None, self.approvals, self._effects, self._ids, id)
        self._running[response.id] = response
        if wanted.own:
            self.active = response
        self._silence = response.id if wanted.silence else None
        if wanted.names_tools:
            self.servers.want(wanted.terms.tools)
        aside = wanted.aside
        entries = list(self._conversation) if aside is None else aside
        heard = {recording.item_id for recording in self._recordings(entries)}
        if aside is not None:
            for entry in aside:
                if entry.id not in heard:  # nobody would read the words of what only this response knows
                    self._transcripts.want(entry, wanted.settings)
            self._asides[response.id] = aside
        unknown = self._transcripts.pending - heard
        waited = unknown & {entry.id for entry in entries} if unknown else set()
        waited |= self.servers.pending(wanted.terms.tools) | wanted.files
        if waited:
            response.wait(waited)
        else:
            self._ask(response)

    # Speculation

    def speculate(self, turn: Message, until: int, settings: Settings) -> None:
        """Ask for the answer to a turn that may be over; `until`: position in the buffer up to which it has been spoken."""
        if self.speculation is not None or self._abilities.hears:  # what a model hears of a turn is not whole before it is over
            return
        agreed = terms(settings, client.ResponseParams(), self._abilities, None)
        request = self._foreseen(agreed, (*self._conversation.items(), turn))
        if request is not None:
            self.speculation = Speculation(self._ids.new("resp"), str(turn.id), until, agreed, request, self._effects)

    def doubt(self, item_id: str | None, spoken_until: int) -> None:
        """Give the speculation up, if it is not about that turn as far as it has been spoken, or something else is being answered."""
        guess = self.speculation
        if guess is not None and ((guess.item_id, guess.until) != (item_id, spoken_until) or self.active is not None):
            self.give_up()

    def give_up(self) -> None:
        """The turn goes on, or something else has happened that the speculation did not know."""
        if self.speculation is not None:
            self.speculation.drop()
            self.speculation = None

    def _use_speculation(self, wanted: Wanted) -> str | None:
        """The id of the response, if it is the one that was asked for ahead: the model would be asked the very same now."""
        guess = self.speculation
        if guess is None:
            return None
        as_foreseen = wanted.aside is None and not wanted.silence and not wanted.files and wanted.terms == guess.terms
        if not as_foreseen or self._foreseen(wanted.terms, self._conversation.items()) != guess.request:
            self.give_up()
            return None
        self.speculation, self._held = None, guess.held
        self._effects.asked_ahead(guess.asked)
        return guess.id

    def take_held(self) -> list[ResponseOutcome]:
        """What has come already for the response that has just begun, once."""
        held, self._held = self._held, []
        return held

    def _foreseen(self, terms: Terms, items: tuple[Item, ...]) -> LlmRequest | None:
        """What the model would be asked now; None where it would not be, or not at once, or is not all that says something."""
        if self.servers.pending(terms.tools) or any(item_id in self._conversation for item_id in self._transcripts.pending):
            return None
        told = self._context.fork().tell(seen(items, self._abilities.camera_frames), terms)
        if told is None or _said_nothing(told) or self._confesses(told):
            return None
        return question(terms, told, self.servers.toolbox(terms.tools, terms.tool_choice))

    def _gather(self, items: list[Item | ItemReference], settings: Settings) -> list[Entry]:
        return [self._resolve(item, f"response.input[{index}]", settings) for index, item in enumerate(items)]

    def _resolve(self, item: Item | ItemReference, param: str, settings: Settings) -> Entry:
        if not isinstance(item, ItemReference):
            # Under an id of ours: nobody is told of it, but words are filed under ids, and this one may be another item's.
            nameless = replace(item, id=UNSET)
            return admit(nameless, param, format=settings.audio.input.format, abilities=self._abilities, ids=self._ids)
        entry = self._conversation.find(item.id)
        if entry is None:
            raise ClientError("invalid_value", f"Item with id '{item.id}' not found.", param=f"{param}.id")
        return entry

    def _ask(self, response: Response) -> None:
        aside = self._asides.pop(response.id, None)
        entries: Iterable[Entry] = self._conversation if aside is None else aside
        items = self._told(response, aside)
        if items is None:
            response.fail(TOO_LONG)
        elif _said_nothing(items) and response.id != self._silence:
            response.end_silent()
        else:
            response.generate(items, self._toolbox(response), self._recordings(entries))
            self._confess(response, items)
        self._settle(response)

    def _confess(self, response: Response, items: tuple[Item, ...]) -> None:
        """A model that sees nothing would say what comes to its mind of a picture: the first answer after one begins with the truth."""
        if self._confesses(items):
            self._confessed = True
            self._write(response, BLIND, response.add_text)

    def _confesses(self, items: tuple[Item, ...]) -> bool:
        if self._abilities.sees or self._confessed:
            return False
        return any(isinstance(part, InputImage) for item in items if isinstance(item, Message) for part in item.content)

    def _recordings(self, entries: Iterable[Entry]) -> tuple[Recording, ...]:
        """What the model hears of them."""
        return recordings(entries) if self._abilities.hears else ()

    def _toolbox(self, response: Response) -> Toolbox:
        return self.servers.toolbox(response.terms.tools, response.terms.tool_choice)

    def _told(self, response: Response, aside: list[Entry] | None) -> tuple[Item, ...] | None:
        """What the model is told; None where that is too much."""
        if aside is None:
            items = seen(self._conversation.items(), self._abilities.camera_frames)
            return self._context.tell(items, response.terms)
        self._final.add(response.id)
        return tuple(snapshot(entry.item) for entry in aside)

    def _ask_again(self, response: Response, error: server.ErrorInfo) -> bool:
        """Ask once more, with less, where the model found the prompt too long; False where that can't be."""
        request, terms = response.request, response.terms
        if error.code != CONTEXT_LENGTH_EXCEEDED or terms.truncation == "disabled" or request is None:
            return False
        if response.begun or response.id in self._final:
            return False
        self._final.add(response.id)
        items = self._context.shorten(request.items, terms)
        if items is None:
            return False
        response.generate(items, self._toolbox(response), request.sounds)
        return True

    # What happens to them

    def heard(self, item_id: str) -> None:
        """Those that waited for the words of that item, or for its tools, go on."""
        for response in list(self._running.values()):
            if response.heard(item_id):
                self._ask(response)

    def settle_files(self, id: str, words: set[str]) -> None:
        """Those that waited for that item wait for these, whose words are not known yet, or go on."""
        for response in self._running.values():
            if response.waits_for(id):
                response.wait_for(words)
        self.heard(id)

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
            return
        guess = self.speculation
        if guess is not None and outcome.response_id == guess.id and not guess.hold(outcome):
            self.give_up()

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
                self._write(response, text, response.add_text)
                return
            case ClauseSounded(clause=clause, audio=audio):
                self.spoken = True
                for start in range(0, len(audio), MAX_SOUND_DELTA):
                    response.add_sound(clause, audio[start : start + MAX_SOUND_DELTA])
                return
            case SpeechGenerated(audio=audio):
                self.spoken = True
                for start in range(0, len(audio), MAX_SOUND_DELTA):
                    response.add_speech(audio[start : start + MAX_SOUND_DELTA])
                return
            case CallGenerated(index=index, name=name, call_id=call_id):
                size = len(name) + len(call_id) + CALL_SIZE
                if response.grant(size) == size:
                    response.begin_call(index, name, call_id)
                else:
                    response.stop()
            case ArgumentsGenerated(index=index, text=text):
                self._write(response, text, lambda piece: response.add_arguments(index, piece))
                return
            case ClauseSpoken(clause=clause):
                response.end_clause(clause)
            case GenerationFinished(reason=reason, usage=usage, extras=extras):
                if usage is not None and response.request is not None:
                    self._context.learn(response.request, usage)
                response.end_text(reason, usage, extras)
            case ResponseBroke(error=error):
                if not self._ask_again(response, error):
                    response.fail(error)
            case _:
                assert_never(outcome)
        self._settle(response)

    def _write(self, response: Response, text: str, add: Callable[[str], None]) -> None:
        """Add what the model wrote, in pieces of a bearable length, as long as there is room for it in one answer."""
        granted = response.grant(len(text))
        if granted == len(text) <= MAX_TEXT_DELTA:
            add(text)
            return
        for start in range(0, granted, MAX_TEXT_DELTA):
            add(text[start : min(start + MAX_TEXT_DELTA, granted)])
        if granted < len(text):
            response.stop()
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
        self._context.release(item_id)
        self.servers.stop(item_id)
        self.approvals.stop(item_id)
        self.stop_writing(item_id)

    def fail_all(self, error: server.ErrorInfo) -> None:
        self._end_all(lambda response: response.fail(error), error.message)

    def cancel_all(self) -> None:
        """Nobody is there any more who could read them."""
        self._end_all(lambda response: response.cancel("client_cancelled"), "The client left.")

    def _end_all(self, end: Callable[[Response], None], message: str) -> None:
        self.give_up()
        for response in self._running.values():
            end(response)
        self._running.clear()
        self.active = None
        self._asides.clear()
        self._final.clear()
        if self._next is not None:
            wanted, self._next = self._next, None
            end(Response(wanted.terms, self._conversation, self.approvals, self._effects, self._ids))
        self.servers.fail_all(message)
        self.approvals.fail_all(message)

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
            if response is self.active:
                self.active = None
            self._asides.pop(response.id, None)
            self._final.discard(response.id)
            if response.default and self._next is not None:
                wanted, self._next = self._next, None
                self._begin(wanted)


def _said_nothing(items: tuple[Item, ...]) -> bool:
    """Was the last word only noise? Then there is nothing to answer; what a camera saw meanwhile asks nothing."""
    last = next((item for item in reversed(items) if not is_frame(item)), None)
    parts = last.content if isinstance(last, Message) else []
    said = parts[:1] if last is not None and is_watched(last) else parts
    return bool(said) and all(isinstance(part, InputAudio) and part.transcript == "" for part in said)
