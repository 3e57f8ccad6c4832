"""Spoken parts whose words are not known yet."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from realtime.session.conversation import Conversation, Entry
from realtime.session.effects import WHOLE, Abandon, Effects, Transcribe
from realtime.session.hypothesis import Hypothesis
from realtime.session.inputs import SpeechTranscribed, TranscriptionBroke
from realtime.session.noise import understood
from realtime.session.speaking import PART, Draft
from realtime.wire import server
from realtime.wire.items import MAX_TEXT, InputAudio, OutputAudio
from realtime.wire.settings import AnySettings

MAX_LOGPROBS = 20_000
"""Words of a transcript whose probabilities are told: more than two hours of speech, in half of the largest frame."""


class Pending(Struct):
    """One part that is being transcribed."""

    part: InputAudio | OutputAudio
    asked: Transcribe
    announced: bool
    """Is the client told of it? Only of its conversation, and if it asked; the model needs the words in any case."""
    hypothesis: Hypothesis
    """What the client was told while it was being said."""
    speech_ms: int | None
    """How much of it the detector took for speech, if it heard it."""
    draft: bool = False
    """A hearing from before its end is waited for: if it fails, the whole is asked for."""


class Transcripts:
    """Asks for transcripts and puts them where they belong. Keys are item id and content index."""

    def __init__(self, conversation: Conversation, effects: Effects) -> None:
        self._conversation = conversation
        self._effects = effects
        self._pending: dict[tuple[str, int], Pending] = {}

    @property
    def pending(self) -> set[str]:
        """The ids of the items of which any part is still unknown."""
        return {item_id for item_id, _ in self._pending}

    def expects(self, outcome: SpeechTranscribed | TranscriptionBroke) -> bool:
        pending = self._pending.get((outcome.item_id, outcome.content_index))
        return pending is not None and pending.asked.attempt == outcome.attempt

    def want(self, entry: Entry, settings: AnySettings) -> None:
        """Have every spoken part transcribed that has no words and is not being transcribed."""
        for index in entry.sounds:
            part, key = entry.part(index), (entry.id, index)
            if part is not None and part.transcript is None and key not in self._pending and not entry.sounds[index].released:
                pending = self._pending[key] = self._asking(entry, index, part, settings)
                self._effects.add(pending.asked)

    def want_turn(self, entry: Entry, settings: AnySettings, draft: Draft, speech_ms: int) -> None:
        """Have a turn transcribed of which something may be known already."""
        part = entry.part(PART)
        assert part is not None
        pending = self._pending[entry.id, PART] = self._asking(entry, PART, part, settings)
        pending.hypothesis, pending.speech_ms = draft.hypothesis, speech_ms
        pending.draft = draft.running
        if draft.running:
            pending.asked = replace(pending.asked, attempt=draft.attempt)
        if draft.outcome is not None:
            self.complete(draft.outcome)
        elif not draft.running:
            self._effects.add(pending.asked)

    def silent(self, entry: Entry, settings: AnySettings) -> None:
        """Say of an item in which nobody spoke that it has no words."""
        if settings.audio.input.transcription is not None:
            usage = server.DurationUsage(entry.sounds[PART].ms / 1000)
            self._effects.send(server.TranscriptionCompleted(item_id=entry.id, content_index=PART, transcript="", usage=usage))

    def _asking(self, entry: Entry, index: int, part: InputAudio | OutputAudio, settings: AnySettings) -> Pending:
        sound, wish = entry.sounds[index], settings.audio.input.transcription
        # What is only one response's context is no news for the client: nothing out of band shows in `conversation.item.*` (PROTOCOL 5.9).
        announced = wish is not None and self._conversation.find(entry.id) is entry
        language, prompt = (None, None) if wish is None else (wish.language, wish.prompt)
        asked = Transcribe(entry.id, index, sound.audio, sound.format, language, prompt, logprobs=announced and bool(settings.include))
        return Pending(part, asked, announced, Hypothesis(), None)

    def forget(self, item_id: str) -> None:
        """The item is gone."""
        for key in [key for key in self._pending if key[0] == item_id]:
            del self._pending[key]
            self._effects.add(Abandon(item_id))

    def complete(self, outcome: SpeechTranscribed) -> None:
        item_id, index = outcome.item_id, outcome.content_index
        pending = self._pending.pop((item_id, index))
        text = pending.part.transcript = understood(
            outcome.text[:MAX_TEXT],  # as much as a client may write itself: it goes into one frame
            no_speech=outcome.no_speech,
            confidence=outcome.confidence,
            speech_ms=pending.speech_ms,
            audio_ms=round(outcome.seconds * 1000),
        )
        self._conversation.note(item_id)
        if not pending.announced:
            return
        logprobs: list[server.LogProb] | UnsetType = UNSET
        if pending.asked.logprobs:
            logprobs = _logprobs(outcome) if text else []
        if delta := pending.hypothesis.finish(text):
            self._effects.send(server.TranscriptionDelta(item_id=item_id, content_index=index, delta=delta))
        usage = server.DurationUsage(outcome.seconds)
        completed = server.TranscriptionCompleted(item_id=item_id, content_index=index, transcript=text, usage=usage, logprobs=logprobs)
        self._effects.send(completed)

    def fail(self, outcome: TranscriptionBroke) -> bool:
        """Take a failure; False if the words can still come."""
        key = outcome.item_id, outcome.content_index
        pending = self._pending[key]
        if pending.draft:
            pending.draft = False
            pending.asked = replace(pending.asked, attempt=WHOLE)
            self._effects.add(pending.asked)
            return False
        del self._pending[key]
        if pending.announced:
            self._effects.send(
                server.TranscriptionFailed(item_id=outcome.item_id, content_index=outcome.content_index, error=outcome.error)
            )
        return True


def _logprobs(outcome: SpeechTranscribed) -> list[server.LogProb]:
    told = outcome.tokens[:MAX_LOGPROBS] if sum(len(token.text) for token in outcome.tokens) <= MAX_TEXT else ()
    return [server.LogProb(token.text, token.logprob, list(token.text.encode())) for token in told]
