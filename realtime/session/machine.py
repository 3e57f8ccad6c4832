"""The session: every input in, every effect out.

`receive` takes one input and returns what is to be done about it, in order. There is no socket, clock, dice, wait or log in here, so that
the same inputs give the same effects. A client's mistake becomes an `error` event; an exception is a bug of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from msgspec import UNSET, Struct
from msgspec.structs import replace

from realtime.errors import ClientError
from realtime.session.abilities import Abilities
from realtime.session.admission import check_audio
from realtime.session.camera import Camera
from realtime.session.conversation import Conversation, Entry
from realtime.session.ear import Ear, Heard, TurnBegan, TurnEnded, TurnPaused
from realtime.session.editing import Editor
from realtime.session.effects import SERVICE_RESTART, STOPPING, Close, Effect, Effects
from realtime.session.ids import Ids
from realtime.session.inputs import (
    ArgumentsGenerated,
    CallGenerated,
    ClauseSounded,
    ClauseSpoken,
    ClientLeft,
    DetectionFailed,
    FilesAwaited,
    FilesSettled,
    FrameRefused,
    GenerationFinished,
    Input,
    Opened,
    Outcome,
    PictureSeen,
    ResponseBroke,
    Resumed,
    ServerStopping,
    SpeechGenerated,
    SpeechScored,
    SpeechTranscribed,
    TextGenerated,
    TimePassed,
    ToolBroke,
    ToolListingBroke,
    ToolReturned,
    ToolsListed,
    TranscriptionBroke,
    TurnJudged,
)
from realtime.session.playback import Playback
from realtime.session.response import Response
from realtime.session.responses import Responses
from realtime.session.sound import Sound
from realtime.session.speaking import Draft, Speaking, turn
from realtime.session.transcripts import Transcripts
from realtime.session.turns import HALT_MS, WINDOW_MS
from realtime.session.updates import updated
from realtime.wire import client, server
from realtime.wire.items import InputImage
from realtime.wire.settings import AnySettings, ServerVad, Settings, SettingsPatch, seconds

GOING_AWAY = 1001
"""Close code of a session that reached its end (PROTOCOL 1.4; RFC 6455, 7.4.1)."""


class Answered(Struct, frozen=True):
    """The last response is over, and nothing has happened since."""

    at: float
    """On the session's clock, seconds."""
    heard_ms: int
    """Audio that the session had received by then."""


class Session:
    """Everything about one client, but the wires."""

    def __init__(
        self,
        settings: AnySettings,
        ids: Ids,
        abilities: Abilities = Abilities(),  # noqa: B008 - frozen
        conversation: Conversation | None = None,
    ) -> None:
        """`conversation`: one that goes on; what was said in it is as it was."""
        self.settings = settings
        self.conversation = conversation or Conversation(ids.new("conv"))
        self._sounds, self._pictures = self.conversation.sounds, self.conversation.pictures
        self._abilities = abilities
        self._ids = ids
        self._effects = Effects(ids)
        self._ear = Ear(settings.audio.input.format, settings.audio.input.turn_detection)
        self._speaking = Speaking(self._ear, self._effects, abilities)
        self._camera = Camera(abilities.camera_frames)
        self._files: set[str] = set()
        """Ids of the items that are on their way."""
        self._transcripts = Transcripts(self.conversation, self._effects)
        self._responses = Responses(self.conversation, self._transcripts, self._effects, ids, abilities)
        self._editor = Editor(self.conversation, self._responses, self._effects, ids, abilities)
        self._owed: Response | None = None
        """A turn ended while this response was running and not to be interrupted: it is answered next."""
        self._playback = Playback()
        self._answered: Answered | None = None
        self._now = 0.0
        self._deadline: float | None = None
        self._closed = False

    # The world's side

    def receive(self, input: Input, *, now: float) -> list[Effect]:
        """Take what happened. `now` is in seconds on any clock that does not run backwards."""
        if self._closed:
            return []
        self._now = now
        answering = self._responses.active
        match input:
            case TextGenerated():  # by far the most frequent, so it comes first and takes the shortest way
                self._responses.come_out(input)
            case ClauseSounded() | SpeechScored() | ClauseSpoken() | GenerationFinished():
                self._come_out(input)
            case SpeechGenerated() | CallGenerated() | ArgumentsGenerated():
                self._come_out(input)
            case ResponseBroke() | SpeechTranscribed() | TranscriptionBroke() | DetectionFailed():
                self._come_out(input)
            case TurnJudged():
                self._come_out(input)
            case ToolsListed() | ToolListingBroke() | ToolReturned() | ToolBroke():
                self._come_out(input)
            case Opened():
                self._open(now)
            case Resumed():
                self._resume(input, now)
            case ClientLeft():
                self._leave()
            case FrameRefused(error=error):
                self._refuse(error)
            case PictureSeen():
                self._see(input)
            case FilesAwaited(id=id):
                self._files.add(id)
            case FilesSettled(id=id):
                self._settle_files(id)
            case TimePassed():
                self._pass_time(now)
            case ServerStopping():
                self._stop()
            case _:
                self._obey(input)
        if self._owed is not None and not self._closed:
            self._pay(self._owed)
        if self._responses.speculation is not None:
            self._responses.doubt(self._speaking.id, self._ear.spoken_until)
        if self._responses.active is not answering:
            self._answered = Answered(now, self._ear.buffer.end_ms) if self._responses.active is None else None
        if self._sounds.size > self._abilities.audio_bytes or self._pictures.size > self._abilities.image_bytes:
            self.conversation.let_go(self._abilities.audio_bytes, self._abilities.image_bytes, self._transcripts.pending)
        return self._effects.take()

    def deadline(self) -> float | None:
        """When `TimePassed` is wanted, on the clock of `now`; None for never."""
        if self._closed or self._deadline is None:
            return None
        idle = None if self._answered is None else self._idle_deadline()
        return self._deadline if idle is None else min(idle, self._deadline)

    def _idle_deadline(self) -> float | None:
        """When somebody who says nothing is spoken to."""
        if self._answered is None or self._speaking.id is not None:
            return None
        detection = self.settings.audio.input.turn_detection
        if not isinstance(detection, ServerVad) or detection.idle_timeout_ms is None:
            return None
        return max(self._answered.at, self._playback.until) + detection.idle_timeout_ms / 1000

    @property
    def busy(self) -> bool:
        """Is a response running?"""
        return bool(self._responses)

    # Beginning and end

    def _open(self, now: float) -> None:
        self._announce(now)
        if isinstance(self.settings, Settings):
            self._responses.adopt_tools(self.settings.tools)  # a client secret may bring some

    def _announce(self, now: float) -> None:
        self._deadline = now + self._abilities.session_seconds
        self._effects.send(server.SessionCreated(session=self.settings))
        if isinstance(self.settings, Settings):
            self._effects.send(server.ConversationCreated(conversation=server.Conversation(self.conversation.id)))

    def _resume(self, resumed: Resumed, now: float) -> None:
        """What was to be done for the conversation when its process ended is asked for again."""
        self.settings = replace(self.settings, expires_at=resumed.expires_at)
        self._announce(now)
        if resumed.whole:
            self._editor.tell_all()
        if isinstance(self.settings, Settings):
            self._responses.remember(self.settings.tools)
        for entry in self.conversation:
            self._transcribe(entry)

    def _leave(self) -> None:
        """Nobody listens: what runs ends, and is kept as far as it came."""
        self._responses.cancel_all()
        self._closed = True

    def _pass_time(self, now: float) -> None:
        idle = self._idle_deadline()
        if self._deadline is not None and now >= self._deadline:
            self._expire()
        elif idle is not None and now >= idle:
            self._break_silence()

    def _expire(self) -> None:
        minutes = self._abilities.session_seconds / 60
        expired = server.ErrorInfo(code="session_expired", message=f"Your session hit the maximum duration of {minutes:g} minutes.")
        self._responses.fail_all(expired)
        self._effects.send(server.Error(error=server.ErrorDetail(code=expired.code, message=expired.message)))
        self._close("session_expired")

    def _stop(self) -> None:
        self._responses.fail_all(
            server.ErrorInfo(type="server_error", code="server_stopping", message="The server stopped before the answer was whole.")
        )
        self._close(STOPPING, SERVICE_RESTART)

    def _close(self, reason: str, code: int = GOING_AWAY) -> None:
        self._effects.add(Close(code, reason))
        self._closed = True

    # The client's side

    def _obey(self, event: client.ClientEvent) -> None:
        try:
            self._act(event)
        except ClientError as error:
            error.event_id = event.event_id
            self._refuse(error)

    def _refuse(self, error: ClientError) -> None:
        detail = server.ErrorDetail(type=error.type, code=error.code, message=error.message, param=error.param, event_id=error.event_id)
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
                self._transcribe(self._editor.create(event, self.settings, taken=self._speaking.id))
            case client.ConversationItemRetrieve():
                self._editor.retrieve(event)
            case client.ConversationItemTruncate():
                self._editor.truncate(event)
            case client.ConversationItemDelete():
                self._editor.delete(event)
                self._transcripts.forget(event.item_id)
                self._heard(event.item_id)
            case client.ResponseCreate():
                self._respond(event)
            case client.ResponseCancel():
                self._responses.cancel(event.response_id)
            case client.InputImageBufferAppend():
                raise AssertionError("the intake has pictures read")
            case client.OutputAudioBufferClear():
                raise ClientError(
                    "invalid_value", "There is no output audio buffer on a websocket: stop the playback yourself.", param="type"
                )
            case _:
                assert_never(event)

    def _update(self, event: client.SessionUpdate) -> None:
        self.settings = updated(self.settings, event.session, self._abilities, spoken=self._responses.spoken)
        heard = self.settings.audio.input
        self._ear.tune(heard.format, heard.turn_detection)
        if not self._ear.talking:
            self._speaking.drop()
        self._effects.send(server.SessionUpdated(session=self.settings), event.event_id)
        if isinstance(event.session, SettingsPatch) and event.session.tools is not UNSET:  # those that failed are tried again
            self._responses.adopt_tools(event.session.tools)

    # Input audio and turns

    def _append(self, event: client.InputAudioBufferAppend) -> None:
        check_audio("audio", self._abilities)
        detect = self._ear.append(event.audio, urgent=self._answering)
        if detect is not None:
            self._effects.add(detect)

    def _commit_by_hand(self, event: client.InputAudioBufferCommit) -> None:
        audio, item_id = self._ear.commit(), self._speaking.id
        self._speaking.drop()
        self._transcribe(self._commit(audio, item_id, event.event_id, seen=self._camera.take()))

    def _clear(self, event: client.InputAudioBufferClear) -> None:
        self._ear.clear()
        self._speaking.drop()
        self._effects.send(server.InputAudioBufferCleared(), event.event_id)

    @property
    def _answering(self) -> bool:
        """Does an answer run, or still play?"""
        return self._responses.active is not None or self._playback.until > self._now

    def _hear(self, scored: SpeechScored) -> None:
        detection = self.settings.audio.input.turn_detection
        interrupting = detection is not None and detection.interrupt_response
        needed_ms = self._abilities.interruption_ms if interrupting and self._answering else WINDOW_MS
        for score in scored.scores:
            self._follow(self._ear.hear(score, needed_ms))
            if self._ear.silence_ms == HALT_MS and self._abilities.speculation != "off" and self._wants_words:
                self._speaking.halt(self.settings)
        if self._speaking.id is not None:
            self._speaking.go_on(self.settings)

    def _follow(self, heard: Heard | None) -> None:
        match heard:
            case TurnBegan(at_ms=at_ms):
                self._begin_turn(at_ms)
            case TurnPaused():
                self._speaking.pause(self.settings)
            case TurnEnded():
                self._end_turn(heard)
            case None:
                pass
            case _:
                assert_never(heard)

    def _begin_turn(self, at_ms: int) -> None:
        item_id = self._ids.new("item")
        self._speaking.begin(item_id)
        self._effects.send(server.InputAudioBufferSpeechStarted(audio_start_ms=at_ms, item_id=item_id))
        detection = self.settings.audio.input.turn_detection
        if detection is not None and detection.interrupt_response:
            self._owed = None
            self._playback.stop(self._now)
            self._responses.interrupt()

    def _end_turn(self, ended: TurnEnded) -> None:
        item_id, draft = self._speaking.id, self._speaking.end(ended)
        if item_id is None:
            raise AssertionError("a turn ended that had not begun")
        self._effects.send(server.InputAudioBufferSpeechStopped(audio_end_ms=ended.at_ms, item_id=item_id))
        entry = self._commit(self._ear.buffer.take(ended.end), item_id, seen=self._camera.take())
        self._transcribe_turn(entry, draft, ended.speech_ms)
        detection = self.settings.audio.input.turn_detection
        if detection is None or not detection.create_response:
            return
        if self._responses.active is None:
            self._answer()
        else:
            self._owed = self._responses.active

    def _commit(
        self,
        audio: bytes,
        item_id: str | None,
        answers: str | None = None,
        *,
        transcript: str | None = None,
        seen: Sequence[InputImage] = (),
    ) -> Entry:
        """Make an item of audio, and of what was seen meanwhile, under the id that was announced for it, if one was."""
        item = turn(transcript, seen, item_id or self._ids.new("item"))
        entry = Entry(item, {0: Sound(self._ear.buffer.format, audio)})
        committed = server.InputAudioBufferCommitted(previous_item_id=self.conversation.last_id, item_id=entry.id)
        self._effects.send(committed, answers)
        self._editor.add(entry, pictures=False)  # the client has them, and did not ask
        return entry

    def _break_silence(self) -> None:
        """Nobody has said anything for long enough: the model speaks (PROTOCOL 5.11)."""
        detection = self.settings.audio.input.turn_detection
        if self._answered is None or not isinstance(detection, ServerVad) or detection.idle_timeout_ms is None:
            raise AssertionError("there is no silence to break")
        end_ms, item_id = self._ear.buffer.end_ms, self._ids.new("item")
        start_ms = max(self._answered.heard_ms, end_ms - detection.idle_timeout_ms)
        self._effects.send(server.InputAudioBufferTimeoutTriggered(audio_start_ms=start_ms, audio_end_ms=end_ms, item_id=item_id))
        entry = self._commit(self._ear.take_all(), item_id, transcript="")
        self._transcripts.silent(entry, self.settings)
        self._answer(silence=True)

    def _see(self, seen: PictureSeen) -> None:
        """A frame of the camera joins the turn that is being spoken."""
        if not isinstance(self.settings, Settings):
            message = "A transcription session looks at no pictures."
            self._refuse(ClientError("invalid_value", message, param="type", event_id=seen.event_id))
            return
        detection = self.settings.audio.input.turn_detection
        self._camera.see(seen.picture, talking=detection is None or self._ear.talking, now=self._now)

    # Items

    def _settle_files(self, id: str) -> None:
        """The item has come or never will; an answer that waited for it waits for its words, if it has any."""
        self._files.discard(id)
        words = {item_id for item_id in self._transcripts.pending if item_id in self.conversation}
        self._responses.settle_files(id, words)

    # Transcripts

    @property
    def _wants_words(self) -> bool:
        """A model needs the words of every spoken item; without one, only a client that asked does."""
        return isinstance(self.settings, Settings) or self.settings.audio.input.transcription is not None

    def _transcribe(self, entry: Entry) -> None:
        if self._wants_words:
            self._transcripts.want(entry, self.settings)

    def _transcribe_turn(self, entry: Entry, draft: Draft, speech_ms: int) -> None:
        if self._wants_words:
            self._transcripts.want_turn(entry, self.settings, draft, speech_ms)

    def _learn(self, outcome: SpeechTranscribed | TranscriptionBroke) -> None:
        if isinstance(outcome, SpeechTranscribed):
            self._transcripts.complete(outcome)
            self._heard(outcome.item_id)
        elif self._transcripts.fail(outcome):
            self._responses.not_transcribed(outcome)

    def _heard(self, item_id: str) -> None:
        if item_id not in self._transcripts.pending:
            self._responses.heard(item_id)

    # Responses

    def _respond(self, event: client.ResponseCreate) -> None:
        if not isinstance(self.settings, Settings):
            raise ClientError("invalid_value", "A transcription session has no responses.", param="type")
        self._responses.create(event.response or client.ResponseParams(), self.settings, event.event_id)

    def _answer(self, *, silence: bool = False) -> None:
        """Respond of our own accord."""
        if isinstance(self.settings, Settings):
            self._responses.create(client.ResponseParams(), self.settings, None, silence=silence, files=frozenset(self._files))
            for outcome in self._responses.take_held():
                self._come_out(outcome)

    def _speculate(self) -> None:
        """Ask for the answer to what may be the whole turn. Under `semantic_vad` a turn is over as soon as that is believed."""
        settings, words, ear = self.settings, self._speaking.words, self._ear
        if self._abilities.speculation != "respond" or not words or ear.silence_ms < HALT_MS or not isinstance(settings, Settings):
            return
        detection = settings.audio.input.turn_detection
        if isinstance(detection, ServerVad) and detection.create_response and self._responses.active is None and not self._files:
            self._responses.speculate(turn(words, self._camera.frames, str(self._speaking.id)), ear.spoken_until, settings)

    def _pay(self, running: Response) -> None:
        """Answer the turn that waited for a response to end, unless one that the client wanted has begun: it answers the turn, too."""
        if self._responses.active is running:
            return
        self._owed = None
        if self._responses.active is None:
            self._answer()

    # Outcomes

    def _come_out(self, outcome: Outcome) -> None:
        """Let an outcome reach what it serves. What it serves may be gone: this is the one place where late results are dropped."""
        match outcome:
            case SpeechScored() | DetectionFailed():
                if outcome.epoch == self._ear.epoch:
                    self._detect(outcome)
            case SpeechTranscribed() | TranscriptionBroke() if self._transcripts.expects(outcome):
                self._learn(outcome)
            case SpeechTranscribed() | TranscriptionBroke() | TurnJudged():
                if self._speaking.expects(outcome):
                    self._follow(self._speaking.learn(outcome, self.settings))
                    self._speculate()
            case ClauseSounded(response_id=id, audio=audio) | SpeechGenerated(response_id=id, audio=audio):
                self._responses.come_out(outcome)
                if (active := self._responses.active) is not None and active.id == id:
                    self._playback.add(seconds(audio, active.terms.format), self._now)
            case ToolsListed() | ToolListingBroke() | ToolReturned() | ToolBroke():
                self._responses.tools_come_out(outcome)
            case _:
                self._responses.come_out(outcome)

    def _detect(self, outcome: SpeechScored | DetectionFailed) -> None:
        if isinstance(outcome, SpeechScored):
            self._hear(outcome)
            return
        error = outcome.error
        self._effects.send(server.Error(error=server.ErrorDetail(type=error.type, code=error.code, message=error.message)))
        self._ear.restart()
        self._speaking.drop()
