"""Client events, GA shape (PROTOCOL 2). One tagged union; the tag is the wire's `type`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from realtime.wire.items import MAX_ID, Base64, Id, Item, ItemReference, LimitedText, Name
from realtime.wire.settings import (
    AnyToolChoice,
    AudioFormat,
    MaxTokens,
    Metadata,
    Modality,
    Reasoning,
    SettingsPatch,
    Temperature,
    Tools,
    TranscriptionSettingsPatch,
    Voice,
)

EventId = Annotated[str, Meta(max_length=MAX_ID)]


class ClientEventBase(Struct, kw_only=True, forbid_unknown_fields=True):
    """What every client event may carry."""

    event_id: EventId | None = None
    """The client's own name for the event, echoed in the `error` that it causes."""


class SessionUpdate(ClientEventBase, tag="session.update"):
    session: SettingsPatch | TranscriptionSettingsPatch


class InputAudioBufferAppend(ClientEventBase, tag="input_audio_buffer.append"):
    audio: Base64
    """In the session's input format."""


class InputAudioBufferCommit(ClientEventBase, tag="input_audio_buffer.commit"):
    pass


class InputAudioBufferClear(ClientEventBase, tag="input_audio_buffer.clear"):
    pass


class InputImageBufferAppend(ClientEventBase, tag="input_image_buffer.append"):
    """Extension of this server, by Qwen-Omni's name: what a camera sees now. It joins the turn that is being spoken."""

    image: str
    """Base64 of the file, or a whole `data:` URI."""


class ConversationItemCreate(ClientEventBase, tag="conversation.item.create"):
    item: Item
    previous_item_id: Name | None = None
    """None or empty: at the end; `root`: first; else after that item."""


class ConversationItemRetrieve(ClientEventBase, tag="conversation.item.retrieve"):
    item_id: Id


class ConversationItemTruncate(ClientEventBase, tag="conversation.item.truncate"):
    item_id: Id
    content_index: Annotated[int, Meta(ge=0)]
    audio_end_ms: Annotated[int, Meta(ge=0)]
    """How much of the audio was played."""


class ConversationItemDelete(ClientEventBase, tag="conversation.item.delete"):
    item_id: Id


class ResponseAudioOutput(Struct, kw_only=True, forbid_unknown_fields=True):
    format: AudioFormat | UnsetType = UNSET
    voice: Voice | UnsetType = UNSET


class ResponseAudio(Struct, kw_only=True, forbid_unknown_fields=True):
    output: ResponseAudioOutput | UnsetType = UNSET


class ResponseParams(Struct, kw_only=True, forbid_unknown_fields=True):
    """Overrides of the session's settings for one response (PROTOCOL 2.4)."""

    output_modalities: tuple[Modality, ...] | UnsetType = UNSET
    instructions: LimitedText | None = None
    """None: the session's (LiveKit sends an explicit null)."""
    audio: ResponseAudio | UnsetType = UNSET
    tools: Tools | UnsetType = UNSET
    tool_choice: AnyToolChoice | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    reasoning: Reasoning | UnsetType = UNSET
    max_output_tokens: MaxTokens | UnsetType = UNSET
    temperature: Temperature | UnsetType = UNSET
    conversation: Literal["auto", "none"] = "auto"
    metadata: Metadata | None = None
    prompt: dict[str, Any] | None = None
    input: list[Item | ItemReference] | UnsetType = UNSET
    """Replaces the conversation as context."""


class ResponseCreate(ClientEventBase, tag="response.create"):
    response: ResponseParams | None = None


class ResponseCancel(ClientEventBase, tag="response.cancel"):
    response_id: str | None = None
    """None: the one of the default conversation."""


class OutputAudioBufferClear(ClientEventBase, tag="output_audio_buffer.clear"):
    """WebRTC and SIP only; answered with an error here."""


ClientEvent = (
    InputAudioBufferAppend
    | SessionUpdate
    | InputAudioBufferCommit
    | InputAudioBufferClear
    | InputImageBufferAppend
    | ConversationItemCreate
    | ConversationItemRetrieve
    | ConversationItemTruncate
    | ConversationItemDelete
    | ResponseCreate
    | ResponseCancel
    | OutputAudioBufferClear
)
