"""Spoken parts whose words are not known yet."""

from __future__ import annotations

from msgspec import Struct

from realtime.session.conversation import Conversation, Entry
from realtime.session.effects import Abandon, Effects, Transcribe
from realtime.session.inputs import SpeechTranscribed, TranscriptionBroke
from realtime.wire import server
from realtime.wire.items import MAX_TEXT, InputAudio, OutputAudio
from realtime.wire.settings import Transcription


class Pending(Struct):
    """One part that is being transcribed."""

    part: InputAudio | OutputAudio
    announced: bool
    """Is the client told of it? Only of its conversation, and if it asked; the model needs the words in any case."""


class Transcripts:
    """Asks for transcripts and puts them where they belong. Keys are item id and content index."""

    def __init__(self, conversation: Conversation, effects: Effects) -> None:
        self._conversation = conversation
        self._effects = effects
        self._pending: dict[tuple[str, int], Pending] = {}

    def pending(self, item_id: str) -> bool:
        """Is any part of that item still unknown?"""
        return any(key[0] == item_id for key in self._pending)

    def expects(self, outcome: SpeechTranscribed | TranscriptionBroke) -> bool:
        return (outcome.item_id, outcome.content_index) in self._pending

    def want(self, entry: Entry, wish: Transcription | None) -> None:
        """Have every spoken part transcribed that has no words and is not being transcribed."""
        # What is only one response's context is no news for the client: nothing out of band shows in `conversation.item.*` (PROTOCOL 5.9).
        announced = wish is not None and self._conversation.find(entry.id) is entry
        language, prompt = (None, None) if wish is None else (wish.language, wish.prompt)
        for index, sound in entry.sounds.items():
            part, key = entry.part(index), (entry.id, index)
            if part is None or part.transcript is not None or key in self._pending or sound.released:
                continue
            self._pending[key] = Pending(part, announced)
            self._effects.add(Transcribe(entry.id, index, sound.audio, sound.format, language, prompt))

    def forget(self, item_id: str) -> None:
        """The item is gone."""
        for key in [key for key in self._pending if key[0] == item_id]:
            del self._pending[key]
            self._effects.add(Abandon(item_id))

    def complete(self, outcome: SpeechTranscribed) -> None:
        # As much as a client may write itself: it goes into one frame.
        item_id, index, text = outcome.item_id, outcome.content_index, outcome.text[:MAX_TEXT]
        pending = self._pending.pop((item_id, index))
        pending.part.transcript = text
        if not pending.announced:
            return
        if text:
            self._effects.send(server.TranscriptionDelta(item_id=item_id, content_index=index, delta=text))
        usage = server.DurationUsage(outcome.seconds)
        self._effects.send(server.TranscriptionCompleted(item_id=item_id, content_index=index, transcript=text, usage=usage))

    def fail(self, outcome: TranscriptionBroke) -> None:
        item_id, index = outcome.item_id, outcome.content_index
        if self._pending.pop((item_id, index)).announced:
            self._effects.send(server.TranscriptionFailed(item_id=item_id, content_index=index, error=outcome.error))
