"""What must hold after every input of a session, whatever the input was. The referee sees what went in and what came out, and keeps its own
account of the conversation; it asks the session only whether its state agrees with that account.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, field

from realtime.errors import CONTEXT_LENGTH_EXCEEDED
from realtime.ports import LlmRequest
from realtime.session import inputs
from realtime.session.effects import Abandon, CallTool, Close, Detect, Effect, Forgo, Generate, Judge, ListTools, Send, Speak, Transcribe
from realtime.session.inputs import Input
from realtime.session.machine import Session
from realtime.wire import client, server
from realtime.wire.items import FunctionCall, InputAudio, Item, McpApprovalRequest, McpApprovalResponse, McpCall, McpListTools, Message
from realtime.wire.mcp import McpChoice
from realtime.wire.settings import AnySettings, FunctionTool, Settings, TranscriptionSettings, sample_width, shown
from tests.rigs.terms import Terms, agreed

KEPT = ("conversation_id", "output_modalities", "max_output_tokens", "audio", "metadata", "temperature")
"""What `response.done` repeats of `response.created`."""


class Opened(Struct):
    """An output item."""

    id: str
    is_call: bool
    part: str = "none"
    """`none`, `open` or `done`; a call has none."""
    done: bool = False
    called: bool = False
    """Its arguments are done."""
    words: list[str] = field(default_factory=list)
    """Or arguments."""


class Running(Struct):
    """A response that has begun and has not ended."""

    created: server.Response
    terms: Terms
    asked: int = 0
    """How often the model was asked."""
    clause: int = -1
    speaking: bool = False
    items: list[Opened] = field(default_factory=list)
    """By output index."""

    def opened(self, id: str) -> bool:
        return any(opened.id == id for opened in self.items)

    @property
    def default(self) -> bool:
        return self.created.conversation_id is not None


def _spoken(message: Message) -> list[int]:
    """Indexes of what a client said aloud."""
    return [index for index, part in enumerate(message.content) if isinstance(part, InputAudio)]


class Referee:
    """Raises `AssertionError` as soon as a rule is broken."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.settings = session.settings
        self.running: dict[str, Running] = {}
        self.ended: list[str] = []
        self.order: list[str] = []
        """Ids of the conversation's items."""
        self._open_items: set[str] = set()
        """`added`, not yet `done`."""
        self._beside: set[str] = set()
        """Those of them that no response writes: listings, and calls that were approved of."""
        self.asked: set[str] = set()
        """Approvals that nobody has answered."""
        self._approved: set[str] = set()
        self._next: Terms | None = None
        """Of the response that begins when the conversation's has ended."""
        self.turn: str | None = None
        """The item that the open turn will become."""
        self._stopped: str | None = None
        """The turn that was stopped and must be committed next."""
        self._committed: str | None = None
        """The item that was committed and must be added next."""
        self._new: list[str] = []
        """Those that this input committed."""
        self._transcribed: set[tuple[str, int]] = set()
        """Parts whose transcript is out, by item and index."""
        self._written: dict[str, str] = {}
        """What each item of a response said, or called a tool with."""
        self._abandoned: set[str] = set()
        self._guesses: dict[str, list[Generate | Speak]] = {}
        """What was asked for speculations that are neither used nor given up, by response id."""
        self._hearings: set[tuple[str, int]] = set()
        """Items and attempts of what was asked to be transcribed."""
        self._said_ahead: set[str] = set()
        """Those whose first clause is spoken."""
        self._rates_due = False
        self._stream = bytearray()
        """Everything that came in, in the present format."""
        self._used = 0
        """Bytes of it, up to the end of the last commit."""
        self._taken = 0
        """Bytes of it that were committed."""
        self.closed = False

    def judge(self, input: Input, effects: list[Effect]) -> None:
        if self.closed:
            assert effects == [], "after Close nothing follows"
            assert self._session.deadline() is None
            return
        events = [effect.event for effect in effects if isinstance(effect, Send)]
        if isinstance(input, client.InputAudioBufferAppend) and not any(isinstance(event, server.Error) for event in events):
            self._stream += input.audio
        if isinstance(input, inputs.ClauseSpoken) and (run := self.running.get(input.response_id)) and run.clause == input.clause:
            run.speaking = False
        if isinstance(input, inputs.ClauseSpoken) and len(self._guesses.get(input.response_id, [])) > 1:
            self._said_ahead.add(input.response_id)
        if isinstance(input, client.ResponseCreate) and not events:
            assert self._next is None, "one waits at the most"
            assert any(run.default for run in self.running.values()), "what waits has something to wait for"
            assert isinstance(self.settings, Settings)
            self._next = agreed(self.settings, input.response or client.ResponseParams())
        if isinstance(input, client.ConversationItemCreate) and any(isinstance(event, server.ConversationItemAdded) for event in events):
            self._answered(input.item)
        answering = {id for id, run in self.running.items() if run.default}
        for effect in effects:
            self._effect(input, effect)
        if any(isinstance(event, server.InputAudioBufferSpeechStarted) for event in events) and self._interrupting:
            assert answering.isdisjoint(self.running), "who speaks interrupts"
        self._settled(input)
        self.closed = self.closed or isinstance(input, inputs.ClientLeft)  # who has left is not obeyed any more

    @property
    def calling(self) -> bool:
        """Does a response of the conversation wait for tools?"""
        return any(opened.called and not opened.done for run in self.running.values() if run.default for opened in run.items)

    @property
    def _interrupting(self) -> bool:
        detection = self.settings.audio.input.turn_detection
        return detection is not None and detection.interrupt_response

    def _effect(self, input: Input, effect: Effect) -> None:
        assert not self.closed, "Close is the last effect"
        event = effect.event if isinstance(effect, Send) else None
        assert self._rates_due == isinstance(event, server.RateLimitsUpdated), "rate_limits.updated follows response.done, and only it"
        assert self._stopped is None or isinstance(event, server.InputAudioBufferCommitted), "a turn that stops is committed at once"
        assert self._committed is None or isinstance(event, server.ConversationItemAdded | server.ConversationItemDone) or event is None
        match effect:
            case Send(event=event):
                self._event(input, event)
            case Generate(response_id=id, speculative=True):
                assert self.turn is not None, "nobody speaks"
                assert not any(run.default for run in self.running.values())
                assert not self._guesses, "one speculation at a time"
                self._guesses[id] = [effect]
            case Speak(response_id=id) if id in self._guesses:
                assert len(self._guesses[id]) == 1, "the first clause alone is spoken ahead"
                self._guesses[id].append(effect)
            case Generate() | Speak():
                self._asked(input, self.running[effect.response_id], effect)
            case Transcribe() if effect.partial:
                self._hearings.add((effect.item_id, effect.attempt))
                assert effect.item_id == self.turn, "half an utterance is heard while it is spoken"
            case Transcribe():
                self._hearings.add((effect.item_id, effect.attempt))
                assert (effect.item_id, effect.content_index) not in self._transcribed
            case Judge():
                assert effect.item_id == self.turn, "who has stopped is not judged"
                assert self._session._abilities.judges
            case Detect():
                assert effect.epoch == self._session._ear.epoch
                assert effect.audio
                assert len(effect.audio) % sample_width(effect.format) == 0
            case ListTools(item_id=id):
                assert id in self._beside, "what is listed shows as an item"
            case CallTool():
                self._called_for(effect)
            case Abandon(id=id):
                self._abandoned.add(id)
            case Forgo(response_id=id):
                del self._guesses[id]  # a KeyError is one that was used, or was not asked
            case Close():
                self.closed = True

    # Work that is asked for

    def _asked(self, input: Input, run: Running, effect: Generate | Speak) -> None:
        terms = run.terms
        native = terms.modality == "audio" and self._session._abilities.speaks
        if isinstance(effect, Speak):
            assert terms.modality == "audio"
            assert not native, "who speaks needs no voice"
            assert effect.clause == run.clause + 1, "clauses are spoken in order"
            assert not run.speaking, "clauses are spoken one at a time"
            run.clause, run.speaking = effect.clause, True
            assert (effect.voice, effect.speed, effect.format) == (terms.voice, terms.speed, terms.format)
            return
        run.asked += 1
        if run.asked > 1:
            assert isinstance(input, inputs.ResponseBroke)
            assert input.error.code == CONTEXT_LENGTH_EXCEEDED
            assert (run.asked, run.items, run.terms.aside) == (2, [], False), "the model is asked once more, if nothing has come of it"
        request = effect.request
        assert (request.voice, effect.format) == ((terms.voice, terms.format) if native else (None, None))
        self._hears(request)
        if not run.terms.aside:
            self._told(request.items, again=run.asked > 1)
        assert request.instructions == terms.instructions
        assert request.max_output_tokens == (None if terms.max_output_tokens == "inf" else terms.max_output_tokens)
        functions = tuple(tool for tool in terms.tools if isinstance(tool, FunctionTool))
        if not isinstance(terms.tool_choice, McpChoice):
            assert request.tool_choice == terms.tool_choice
            assert request.tools[: len(functions)] == functions
        assert {tool.name for tool in request.tools} <= {tool.name for tool in functions} | {"add", "disk_wipe"}
        assert request.temperature == (None if terms.temperature is UNSET else terms.temperature)

    def _hears(self, request: LlmRequest) -> None:
        """What is heard was said aloud, and is in the order of the items."""
        spoken = [(item.id, index) for item in request.items if isinstance(item, Message) for index in _spoken(item)]
        heard = [(recording.item_id, recording.content_index) for recording in request.sounds]
        assert not heard or self._session._abilities.hears
        assert heard == [place for place in spoken if place in heard]
        assert all(recording.audio and len(recording.audio) % sample_width(recording.format) == 0 for recording in request.sounds)

    def _told(self, items: tuple[Item, ...], *, again: bool) -> None:
        """What the model is told is the conversation, perhaps without some of its older turns."""
        ids = [str(item.id) for item in items]
        if not again:  # or it is what was told before, and that may have been changed since
            assert ids == [id for id in self.order if id in set(ids)]
            # What the same input added later, it was not told.
            said = {item.id: item for item in self._session.conversation.items() if item.id in self.order}
            system = {id for id, item in said.items() if isinstance(item, Message) and item.role == "system"}
            assert system <= set(ids), "instructions are never left out"
            newest = [item.id for item in said.values() if isinstance(item, Message) and item.role == "user"][-1:]
            assert set(newest) <= set(ids), "nor what is to be answered"

    def _answered(self, item: Item) -> None:
        if isinstance(item, McpApprovalResponse):
            self.asked.remove(item.approval_request_id)  # a KeyError is an answer to nothing
            if item.approve:
                self._approved.add(item.approval_request_id)

    def _called_for(self, effect: CallTool) -> None:
        entry = self._session.conversation.find(effect.item_id)
        if entry is None:  # out of band
            assert effect.server.require_approval == "never"
            return
        call = entry.item
        assert isinstance(call, McpCall)
        assert (call.status, call.name) == ("in_progress", effect.name)
        if effect.server.require_approval != "never":
            assert call.approval_request_id in self._approved, "nothing is called that nobody approved of"

    # Events

    def _event(self, input: Input, event: server.ServerEvent) -> None:
        assert event.event_id
        match event:
            case server.ResponseCreated():
                self._created(input, event.response)
            case server.ResponseDone():
                self._done(event.response)
            case server.RateLimitsUpdated():
                self._rates_due = False
            case server.ConversationItemAdded() | server.ConversationItemDone() | server.ConversationItemDeleted():
                self._item(event)
            case server.SessionUpdated(session=session):
                self._updated(session)
            case _ if hasattr(event, "response_id"):
                self._output(self.running[event.response_id], event)
            case _:
                self._heard(event)

    def _created(self, input: Input, response: server.Response) -> None:
        assert response.id not in self.running
        assert response.id not in self.ended
        assert response.conversation_id is None or not any(run.default for run in self.running.values()), "one default response at a time"
        params = input.response if isinstance(input, client.ResponseCreate) else None
        assert isinstance(self.settings, Settings), "who only writes down does not answer"
        terms = agreed(self.settings, params or client.ResponseParams())
        if self._next is not None and not isinstance(input, client.ResponseCreate):
            terms, self._next = self._next, None
        assert (response.status, response.output, response.usage) == ("in_progress", [], None)
        assert response.output_modalities == (terms.modality,)
        assert (response.audio.output.voice, response.audio.output.format) == (terms.voice, terms.format)
        assert (response.max_output_tokens, response.metadata) == (terms.max_output_tokens, terms.metadata)
        self.running[response.id] = run = Running(response, terms)
        for effect in self._guesses.pop(response.id, []):
            self._asked(input, run, effect)
        if response.id in self._said_ahead:
            run.speaking = False

    def _done(self, response: server.Response) -> None:
        run = self.running.pop(response.id)  # a KeyError is a second `response.done`, or one without `response.created`
        self.ended.append(response.id)
        self._rates_due = True
        assert all(getattr(response, name) == getattr(run.created, name) for name in KEPT)
        assert response.status != "in_progress"
        assert (response.status_details is None) == (response.status == "completed")
        assert response.usage is not None
        assert [item.id for item in response.output] == [opened.id for opened in run.items]
        assert all(opened.done for opened in run.items), "what was opened is closed before the end"
        assert self._open_items.isdisjoint(opened.id for opened in run.items)
        if run.asked and response.status in ("cancelled", "failed"):
            assert response.id in self._abandoned, "nobody goes on with what nobody wants"
        for item in response.output:
            assert item.status == "completed" or response.status != "completed"

    def _item(self, event: server.ConversationItemAdded | server.ConversationItemDone | server.ConversationItemDeleted) -> None:
        if isinstance(event, server.ConversationItemDeleted):
            self.order.remove(event.item_id)
            self._transcribed = {told for told in self._transcribed if told[0] != event.item_id}
            self.asked.discard(event.item_id)
            return
        id = event.item.id
        assert isinstance(id, str)
        if isinstance(event, server.ConversationItemDone):
            self._open_items.remove(id)
            if self._committed == id:
                self._committed = None
                self._new.append(id)
            self._beside.discard(id)
        else:
            assert self._committed in (None, id)
            assert id not in self.order
            if isinstance(event.item, McpListTools) or (isinstance(event.item, McpCall) and event.item.approval_request_id):
                self._beside.add(id)
            elif event.item.status == "in_progress":
                assert any(run.default and run.opened(id) for run in self.running.values()), "out of band nothing is stored"
            self.order.insert(0 if event.previous_item_id is None else self.order.index(event.previous_item_id) + 1, id)
            self._open_items.add(id)
        at = self.order.index(id)
        assert event.previous_item_id == (self.order[at - 1] if at else None)

    def _output(self, run: Running, event: Any) -> None:
        if isinstance(event, server.ResponseOutputItemAdded):
            assert event.output_index == len(run.items)
            run.items.append(Opened(str(event.item.id), isinstance(event.item, FunctionCall | McpCall | McpApprovalRequest)))
            return
        opened = run.items[event.output_index]
        assert not opened.done
        match event:
            case server.ResponseOutputItemDone():
                assert (event.item.id, opened.part) == (opened.id, "none" if opened.is_call else "done")
                opened.done = True
                self._written[opened.id] = "".join(opened.words)
                if isinstance(event.item, FunctionCall):
                    written = "".join(opened.words) or ("{}" if event.item.status == "completed" else "")
                    assert (event.item.arguments, opened.called) == (written, event.item.status == "completed")
                if isinstance(event.item, McpCall):
                    self._had_called(opened, event.item)
                if isinstance(event.item, McpApprovalRequest) and event.item.status == "completed":
                    self.asked.add(opened.id)
            case server.ResponseFunctionCallArgumentsDelta() | server.ResponseFunctionCallArgumentsDone():
                self._called(opened, event)
            case server.ResponseMcpCallArgumentsDelta() | server.ResponseMcpCallArgumentsDone():
                self._called(opened, event)
            case server.ResponseContentPartAdded():
                assert (opened.part, opened.is_call, event.item_id) == ("none", False, opened.id)
                opened.part = "open"
            case server.ResponseContentPartDone():
                assert (opened.part, event.item_id) == ("open", opened.id)
                assert getattr(event.part, "text" if run.terms.modality == "text" else "transcript") == "".join(opened.words)
                opened.part = "done"
            case _:
                self._spoken(run, opened, event)

    def _had_called(self, opened: Opened, call: McpCall) -> None:
        came = (call.output is not None) + (call.error is not None)
        assert came == opened.called, "what was called says what came of it, and nothing else does"
        assert call.status == "completed" or call.output is None
        assert call.arguments == ("".join(opened.words) or ("{}" if opened.called else ""))

    def _called(self, opened: Opened, event: Any) -> None:
        assert (opened.is_call, opened.called, event.item_id) == (True, False, opened.id)
        if isinstance(event, server.ResponseFunctionCallArgumentsDelta | server.ResponseMcpCallArgumentsDelta):
            opened.words.append(event.delta)
        else:
            assert event.arguments == ("".join(opened.words) or "{}")
            opened.called = True

    def _spoken(self, run: Running, opened: Opened, event: Any) -> None:
        assert (opened.part, event.item_id) == ("open", opened.id)
        audio = not isinstance(event, server.ResponseOutputTextDelta | server.ResponseOutputTextDone)
        assert audio == (run.terms.modality == "audio")
        match event:
            case server.ResponseOutputTextDelta(delta=words) | server.ResponseOutputAudioTranscriptDelta(delta=words):
                opened.words.append(words)
            case server.ResponseOutputTextDone(text=words) | server.ResponseOutputAudioTranscriptDone(transcript=words):
                assert words == "".join(opened.words)

    def _heard(self, event: server.ServerEvent) -> None:
        match event:
            case server.InputAudioBufferSpeechStarted(item_id=id):
                assert self.turn is None, "one turn at a time"
                self.turn = id
            case server.InputAudioBufferSpeechStopped(item_id=id):
                assert self.turn == id, "what stops has started"
                self._stopped = id
            case server.InputAudioBufferCommitted(item_id=id):
                assert self.turn in (None, id)
                assert event.previous_item_id == (self.order[-1] if self.order else None)
                self.turn = self._stopped = None
                self._committed = id
            case server.InputAudioBufferCleared():
                self.turn = None
            case server.ConversationItemTruncated(item_id=id):
                entry = self._session.conversation.find(id)
                part = None if entry is None else entry.part(0)
                assert part is not None
                assert self._written[id].startswith(part.transcript or ""), "what was heard is the beginning of what was said"
            case server.InputAudioBufferTimeoutTriggered():
                assert self.turn is None, "who speaks is not silent"
                assert not any(run.default for run in self.running.values())
            case server.TranscriptionDelta(item_id=id):
                assert id in self.order or id == self.turn, "what is spoken, and what has been"
                assert (id, event.content_index) not in self._transcribed, "nothing after the whole"
            case server.TranscriptionCompleted(item_id=id):
                assert id in self.order, "only what is in the conversation is transcribed for the client"
                self._transcribed.add((id, event.content_index))
            case server.TranscriptionFailed(item_id=id):
                assert id in self.order, "only what is in the conversation is transcribed for the client"

    def _updated(self, settings: AnySettings) -> None:
        if settings.audio.input.format != self.settings.audio.input.format:
            self._stream.clear()
            self._used = self._taken = 0
        self.settings = settings

    # After the last effect

    def _settled(self, input: Input) -> None:
        session = self._session
        assert not self._rates_due
        assert self._stopped is None
        assert self._committed is None, "what is committed becomes an item"
        written = {opened.id for run in self.running.values() if run.default for opened in run.items if not opened.done}
        assert self._open_items == written | self._beside
        assert self._beside == session._responses.servers.pending_ids | session._responses.approvals.running_ids
        assert [entry.id for entry in session.conversation] == self.order
        assert shown(session.settings) == self.settings
        assert session.busy == bool(self.running)
        guess = session._responses.speculation
        assert ([] if guess is None else [guess.id]) == list(self._guesses)
        assert guess is None or guess.item_id == self.turn, "it is about what is being said"
        assert not session._responses._held
        assert session._responses._asides.keys() <= self.running.keys(), "nothing is kept of what has ended"
        assert session._responses._final <= self.running.keys()
        if isinstance(input, client.SessionUpdate | inputs.DetectionFailed) and session._speaking.id is None:
            self.turn = None  # these may forget a turn, without a word
        assert session._speaking.id == self.turn
        assert session._ear.talking == (self.turn is not None), "speech_started if and only if a turn is open"
        for id in self._new:
            self._check_new(id)
        self._new.clear()
        self._account()

        self._sounds()

    def _check_new(self, id: str) -> None:
        entry = self._session.conversation.find(id)
        assert entry is not None
        sound, part = entry.sounds[0], entry.part(0)
        at = self._used if sound.released else self._stream.find(sound.audio, self._used)
        assert at >= 0, "what is committed is what came in, and nothing twice"
        self._used = at + sound._size
        self._taken += sound._size
        assert part is not None
        awaited = self._session._transcripts._pending.get((id, 0))
        assert awaited is None or (id, awaited.asked.attempt) in self._hearings, "nobody waits for what was not asked"
        known = part.transcript is not None or id in self._session._transcripts.pending
        assert known or isinstance(self.settings, TranscriptionSettings), "what is committed is transcribed"

    def _sounds(self) -> None:
        """Sound is kept within its budget, but for what is needed."""
        conversation = self._session.conversation
        held = {entry.id: sum(len(sound.audio) for sound in entry.sounds.values()) for entry in conversation}
        assert conversation.sounds.size == sum(held.values())
        if conversation.sounds.size > self._session._abilities.audio_bytes:
            kept = [id for id, size in held.items() if size]
            assert all(id == self.order[-1] or id in self._session._transcripts.pending for id in kept)

    def _account(self) -> None:
        """Samples in are samples committed, let go and held."""
        buffer = self._session._ear.buffer
        width = sample_width(buffer.format)
        assert buffer.received == len(self._stream) // width
        assert buffer.taken * width == self._taken
        assert self._used <= buffer.start * width or buffer.taken == 0
        assert b"".join(buffer._chunks) == self._stream[buffer.start * width : buffer.received * width]
        assert buffer.received == buffer.taken + buffer.dropped + buffer.held
