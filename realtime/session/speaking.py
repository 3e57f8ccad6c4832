"""The turn that is being spoken: what is asked about it before it is over.

    begin --(speech goes on)--> hears it again, where its words are wanted at once
          --(a pause)---------> hears it, or has it judged, where that decides whether the turn is over
          --(end)-------------> a `Draft`: the words, if they are known already or are just being found out

It asks for transcripts of the turn so far and tells the client the words that are certain. It does not end turns: `Ear` does.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from realtime.session.abilities import Abilities
from realtime.session.ear import Ear, TurnEnded
from realtime.session.effects import Abandon, Effects, Judge, Transcribe
from realtime.session.endings import finished
from realtime.session.hypothesis import Hypothesis
from realtime.session.inputs import SpeechTranscribed, TranscriptionBroke, TurnJudged
from realtime.session.noise import understood
from realtime.wire import server
from realtime.wire.items import MAX_TEXT, InputAudio, InputImage, Message
from realtime.wire.settings import AnySettings, SemanticVad, TranscriptionSettings

LIVE_MS = 1000
"""Audio from one hearing to the next while somebody goes on speaking: Whisper needs about as long for it on two cores."""

LIVE_LIMIT_MS = 30_000
"""Of a longer turn the rest is heard when it is over: Whisper hears half a minute at a time, and twice as much would take twice as long."""

JUDGED_MS = 8_000
"""What is judged of a turn: its last eight seconds, all that Smart Turn hears."""

LIVE_MODELS = ("gpt-realtime-whisper", "gpt-live-transcribe")
"""Models that write down speech while it lasts (PROTOCOL 2.3). To name one is to ask for it."""

PART = 0
"""Index of the one content part of a spoken item."""


class Hearing(Struct):
    """A transcript or a judgement of the turn so far that is under way."""

    attempt: int
    end: int
    """Position in the buffer up to which it hears, samples."""


class Draft(Struct):
    """What is known of the words of a turn when it ends."""

    hypothesis: Hypothesis
    """What the client was told."""
    attempt: int
    """The last one, or the one that is still running."""
    outcome: SpeechTranscribed | None = None
    """All the words, where they are known."""
    running: bool = False
    """The last attempt hears all of the speech; its outcome is still to come."""


class Speaking:
    """One turn at a time."""

    def __init__(self, ear: Ear, effects: Effects, abilities: Abilities) -> None:
        self._ear = ear
        self._effects = effects
        self._abilities = abilities
        self.id: str | None = None
        """Of the item that the open turn will become; None while nobody speaks."""
        self._forget()

    def _forget(self) -> None:
        self._hypothesis = Hypothesis()
        self._attempt = 0
        self._hearing: Hearing | None = None
        self._judging: Hearing | None = None
        self._heard: tuple[int, SpeechTranscribed] | None = None
        """The last transcript, and up to where it heard."""
        self._asked = 0
        """Up to where the last attempt heard."""
        self._again = False
        """There was a pause while an earlier attempt was under way."""

    # The course of a turn

    def begin(self, item_id: str) -> None:
        self._forget()
        self.id = item_id
        self._asked = self._ear.buffer.start

    def go_on(self, settings: AnySettings) -> None:
        """More of it has been scored."""
        buffer = self._ear.buffer
        if self._hearing is not None or not _is_live(settings) or self._ear.spoken_until <= self._asked:
            return
        fresh, whole = self._ear.scored_until - self._asked, self._ear.scored_until - buffer.start
        if fresh >= buffer.samples(LIVE_MS) and whole <= buffer.samples(LIVE_LIMIT_MS):
            self._hear(settings)

    def pause(self, settings: AnySettings) -> None:
        """Nobody has spoken for a moment."""
        semantic = isinstance(settings.audio.input.turn_detection, SemanticVad)
        if semantic and self._abilities.judges:
            self._judge()
        elif semantic or _is_live(settings):
            self._hear_pause(settings)

    def halt(self, settings: AnySettings) -> None:
        """Nobody has spoken for a very short while. If that is the end, its words are known when the turn is over."""
        stale = self._hearing is not None and self._hearing.end < self._ear.spoken_until
        if stale and self._judging is None and not _is_live(settings):
            assert self.id is not None
            self._effects.add(Abandon(self.id))
            self._hearing = None
        self._hear_pause(settings)

    @property
    def words(self) -> str | None:
        """All that has been said, where it is known."""
        return self._heard[1].text if self._heard is not None and self._heard[0] >= self._ear.spoken_until else None

    def end(self, ended: TurnEnded) -> Draft:
        """It is over: what is known of its words."""
        draft = Draft(self._hypothesis, self._attempt)
        if self._heard is not None and self._heard[0] >= ended.spoken_until:
            draft.outcome = self._heard[1]
        elif self._hearing is not None and self._hearing.end >= ended.spoken_until:
            draft.running, draft.attempt = True, self._hearing.attempt  # a judgement may have been asked for since
            self.id = None  # and nothing is abandoned
        self.drop()
        return draft

    def drop(self) -> None:
        """Nothing more is wanted of it."""
        if self.id is not None and (self._hearing is not None or self._judging is not None):
            self._effects.add(Abandon(self.id))
        self.id = None
        self._forget()

    # Asking

    def _hear_pause(self, settings: AnySettings) -> None:
        if self._hearing is not None:
            self._again = self._hearing.end < self._ear.spoken_until
        elif self._asked < self._ear.spoken_until:
            self._hear(settings)

    def _hear(self, settings: AnySettings) -> None:
        assert self.id is not None
        buffer, wish = self._ear.buffer, settings.audio.input.transcription
        self._attempt += 1
        self._again = False
        self._asked = self._ear.scored_until
        self._hearing = Hearing(self._attempt, self._asked)
        language, prompt = (None, None) if wish is None else (wish.language, wish.prompt)
        audio = buffer.peek(buffer.start, self._asked)
        self._effects.add(
            Transcribe(self.id, PART, audio, buffer.format, language, prompt, self._attempt, partial=True, logprobs=bool(settings.include))
        )

    def _judge(self) -> None:
        assert self.id is not None
        buffer, end = self._ear.buffer, self._ear.scored_until
        self._attempt += 1
        self._judging = Hearing(self._attempt, end)
        audio = buffer.peek(end - buffer.samples(JUDGED_MS), end)
        self._effects.add(Judge(self.id, self._attempt, audio, buffer.format))

    # Outcomes

    def expects(self, outcome: SpeechTranscribed | TranscriptionBroke | TurnJudged) -> bool:
        if outcome.item_id != self.id:
            return False
        awaited = self._judging if isinstance(outcome, TurnJudged) else self._hearing
        return awaited is not None and outcome.attempt == awaited.attempt

    def learn(self, outcome: SpeechTranscribed | TranscriptionBroke | TurnJudged, settings: AnySettings) -> TurnEnded | None:
        """Take an outcome that is expected; returns the end of the turn, if that is what it means."""
        if isinstance(outcome, TurnJudged):
            judging, self._judging = self._judging, None
            return self._judged(judging, outcome.finished)
        hearing, self._hearing = self._hearing, None
        assert hearing is not None
        text = None
        if isinstance(outcome, SpeechTranscribed):
            text = self._understood(outcome, settings)
            self._heard = hearing.end, replace(outcome, text=text)
        if self._again:
            self._hear(settings)
            return None
        if self._abilities.judges:
            return None
        wish = settings.audio.input.transcription
        return self._judged(hearing, None if text is None else finished(text, None if wish is None else wish.language))

    def _judged(self, hearing: Hearing | None, finished: float | None) -> TurnEnded | None:
        """What was judged of all that has been said; of an earlier pause it means nothing."""
        assert hearing is not None
        return self._ear.judged(finished) if hearing.end >= self._ear.spoken_until else None

    def _understood(self, outcome: SpeechTranscribed, settings: AnySettings) -> str:
        text = understood(
            outcome.text[:MAX_TEXT],
            no_speech=outcome.no_speech,
            confidence=outcome.confidence,
            speech_ms=self._ear.speech_ms,
            audio_ms=round(outcome.seconds * 1000),
        )
        delta = self._hypothesis.push(text) if _is_live(settings) else ""
        if delta:
            self._effects.send(server.TranscriptionDelta(item_id=outcome.item_id, content_index=PART, delta=delta))
        return text


def turn(transcript: str | None, seen: Sequence[InputImage], id: str) -> Message:
    """The item that a turn becomes, with what was seen meanwhile."""
    return Message("user", [InputAudio(transcript), *seen], id)


def _is_live(settings: AnySettings) -> bool:
    """Does the client want words while they are being said?"""
    wish = settings.audio.input.transcription
    return wish is not None and (isinstance(settings, TranscriptionSettings) or wish.model in LIVE_MODELS)
