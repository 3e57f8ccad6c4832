"""The classic dialect of `/ws/realtime`: beta, and what the first clients of this project send and expect.

* `modalities` may name `image` and `video`. (User parts may be called `text`, `image` and `video` in every dialect.)
* Turn detection is off until asked for; PCM is at the configured rate both ways.
* The event that answers a client event has the id `<client event id>_response`.
* The model's speech is two parts: its words as `text`, then its sound as `audio`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from msgspec.structs import replace

from realtime.wire import server
from realtime.wire.beta import BetaCodec
from realtime.wire.client import ClientEvent, ConversationItemTruncate
from realtime.wire.codec import Frames
from realtime.wire.items import Audio, Item, Message, OutputAudio, Part, Text
from realtime.wire.settings import AudioInput, AudioOutput, AudioSettings, PcmFormat

TEXT, AUDIO = 0, 1
"""Content indexes of the two parts of a spoken answer."""


class ClassicCodec(BetaCodec):
    """`/ws/realtime`, with PCM at `sample_rate` samples a second."""

    def __init__(self, sample_rate: int) -> None:
        super().__init__(sample_rate)
        pcm = PcmFormat(sample_rate)
        self.audio = AudioSettings(AudioInput(format=pcm, turn_detection=None), AudioOutput(format=pcm))

    def to_ga(self, event: Any) -> ClientEvent:
        match event:
            case ConversationItemTruncate():
                return replace(event, content_index=0 if event.content_index == AUDIO else event.content_index)
            case _:
                return super().to_ga(event)

    def encode(self, event: server.ServerEvent, answers: str | None = None) -> Frames:
        if answers is not None:
            event = replace(event, event_id=f"{answers}_response")
        return [frame for each in _text_first(event) for frame in super(ClassicCodec, self).encode(each)]

    def item(self, item: Item) -> Item:
        if isinstance(item, Message):
            item = replace(item, content=[half for part in item.content for half in _halves(part)])
        return super().item(item)


def _halves(part: Part) -> Iterator[Part]:
    if isinstance(part, OutputAudio):
        yield Text(part.transcript or "")
        yield Audio(part.transcript, part.audio)
    else:
        yield part


def _text_first(event: server.ServerEvent) -> Iterator[server.ServerEvent]:
    """Events of a spoken part, as events of its words and of its sound."""
    match event:
        case server.ResponseContentPartAdded(part=server.AudioPart()):
            yield _as_text(server.ResponseContentPartAdded, event, part=server.TextPart(""))
        case server.ResponseContentPartDone(part=server.AudioPart(transcript=text)):
            yield _as_text(server.ResponseContentPartDone, event, part=server.TextPart(text))
        case server.ResponseOutputAudioTranscriptDelta(delta=delta):
            yield _as_text(server.ResponseOutputTextDelta, event, delta=delta)
        case server.ResponseOutputAudioTranscriptDone(transcript=text):
            yield _as_text(server.ResponseOutputTextDone, event, text=text)
        case server.ResponseOutputAudioDelta() | server.ResponseOutputAudioDone() | server.ConversationItemTruncated():
            pass
        case _:
            yield event
            return
    yield replace(event, content_index=AUDIO)


def _as_text(kind: Callable[..., server.ServerEvent], event: server.OutputEvent, **said: Any) -> server.ServerEvent:
    """The event of the text part that stands beside one of the audio part."""
    place = {"response_id": event.response_id, "item_id": event.item_id, "output_index": event.output_index}
    return kind(event_id=f"{event.event_id}_text", content_index=TEXT, **place, **said)
