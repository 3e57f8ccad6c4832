"""The classic dialect of `/ws/realtime`: beta, and what the first clients of this project send and expect.

* User parts may be called `text`, `image` and `video`; `modalities` may name `image` and `video`.
* Turn detection is off until asked for; PCM is at the configured rate both ways.
* The event that answers a client event has the id `<client event id>_response`.
* The model's speech is two parts: its words as `text`, then its sound as `audio`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from realtime.errors import ClientError
from realtime.wire import server
from realtime.wire.beta import BetaCodec
from realtime.wire.beta_events import BetaResponseCreate, BetaSessionUpdate, BetaTranscriptionUpdate, CommonEvent
from realtime.wire.client import ClientEvent, ClientEventBase, ConversationItemCreate, ConversationItemTruncate
from realtime.wire.codec import Frames, Reader
from realtime.wire.items import (
    MAX_PARTS,
    Audio,
    FunctionCall,
    FunctionCallOutput,
    Id,
    InputImage,
    Item,
    Message,
    Name,
    OutputAudio,
    Part,
    Role,
    Status,
    Text,
)
from realtime.wire.settings import AudioInput, AudioOutput, AudioSettings, PcmFormat

TEXT, AUDIO = 0, 1
"""Content indexes of the two parts of a spoken answer."""

_IMAGE_HEADS = {"/9j/": "jpeg", "iVBORw0KGgo": "png", "UklGR": "webp", "R0lGOD": "gif"}
"""First characters of each kind of picture, in base64."""

_DATA_URI = re.compile(r"data:image/[\w.+-]+;base64,")


class Image(Struct, tag="image", forbid_unknown_fields=True):
    """A picture from the user."""

    image: str
    """Base64, or a whole `data:` URI."""


class Video(Struct, tag="video", forbid_unknown_fields=True):
    """A clip from the user."""

    video: str
    """Base64."""


class ClassicMessage(Struct, tag="message", forbid_unknown_fields=True):
    """A message whose parts may go by their classic names."""

    role: Role
    content: Annotated[list[Part | Image | Video], Meta(max_length=MAX_PARTS)]
    id: Id | UnsetType = UNSET
    status: Status = "completed"
    object: str = "realtime.item"


class ClassicItemCreate(ClientEventBase, tag="conversation.item.create"):
    item: ClassicMessage | FunctionCall | FunctionCallOutput
    previous_item_id: Name | None = None


ClassicClientEvent = CommonEvent | BetaSessionUpdate | BetaTranscriptionUpdate | BetaResponseCreate | ClassicItemCreate


class ClassicCodec(BetaCodec):
    """`/ws/realtime`, with PCM at `sample_rate` samples a second."""

    read = Reader(ClassicClientEvent)

    def __init__(self, sample_rate: int) -> None:
        super().__init__(sample_rate)
        pcm = PcmFormat(sample_rate)
        self.audio = AudioSettings(AudioInput(format=pcm, turn_detection=None), AudioOutput(format=pcm))

    def to_ga(self, event: Any) -> ClientEvent:
        match event:
            case ClassicItemCreate(item=ClassicMessage() as message):
                item: Item = _message(message, event.event_id)
                return ConversationItemCreate(item=item, previous_item_id=event.previous_item_id, event_id=event.event_id)
            case ClassicItemCreate(item=FunctionCall() | FunctionCallOutput() as item):
                return ConversationItemCreate(item=item, previous_item_id=event.previous_item_id, event_id=event.event_id)
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


def _message(message: ClassicMessage, event_id: str | None) -> Message:
    content = [_part(part, index, event_id) for index, part in enumerate(message.content)]
    return Message(message.role, content, message.id, message.status)


def _part(part: Part | Image | Video, index: int, event_id: str | None) -> Part:
    match part:
        case Image(image=image):
            return InputImage(_data_uri(image, f"item.content[{index}].image", event_id))
        case Video():
            raise ClientError(
                "unsupported_content_type",
                "This server does not read video yet.",
                param=f"item.content[{index}].type",
                event_id=event_id,
            )
        case _:
            return part


def _data_uri(image: str, param: str, event_id: str | None) -> str:
    if _DATA_URI.match(image):
        return image
    for head, kind in _IMAGE_HEADS.items():
        if image.startswith(head):
            return f"data:image/{kind};base64,{image}"
    raise ClientError("invalid_value", "Expected a PNG, JPEG, WebP or GIF image in base64.", param=param, event_id=event_id)
