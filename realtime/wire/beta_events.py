"""What travels in beta: its flat sessions and the events that have them (PROTOCOL 2.8, 4). Structs alone: `beta` translates them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from realtime.wire import server
from realtime.wire.client import (
    ClientEventBase,
    ConversationItemDelete,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    InputImageBufferAppend,
    OutputAudioBufferClear,
    ResponseCancel,
)
from realtime.wire.items import (
    FunctionItem,
    Item,
    ItemReference,
    LimitedText,
    Name,
    check_nesting,
)
from realtime.wire.settings import (
    Functions,
    FunctionTool,
    Include,
    Includes,
    MaxTokens,
    Metadata,
    Modality,
    NoiseReduction,
    SemanticVad,
    Speed,
    ToolChoice,
    Transcription,
    TranscriptionPatch,
    Truncation,
    TurnDetectionPatch,
    Voice,
)

FormatName = Literal["pcm16", "g711_ulaw", "g711_alaw"]
BetaModality = Literal["text", "audio", "image", "video"]
"""`image` and `video` are classic's: they name what may come in, and change nothing."""
BetaTemperature = Annotated[float, Meta(ge=0, le=2)]
"""Upstream's beta took 0.6..1.2; the models behind this server take more."""


class BetaSettingsPatch(Struct, kw_only=True, forbid_unknown_fields=True):
    """`session` of a beta `session.update`."""

    model: str | UnsetType = UNSET
    modalities: tuple[BetaModality, ...] | UnsetType = UNSET
    instructions: LimitedText | UnsetType = UNSET
    voice: Voice | UnsetType = UNSET
    input_audio_format: FormatName | UnsetType = UNSET
    output_audio_format: FormatName | UnsetType = UNSET
    input_audio_transcription: TranscriptionPatch | UnsetType | None = UNSET
    turn_detection: TurnDetectionPatch | UnsetType | None = UNSET
    input_audio_noise_reduction: NoiseReduction | UnsetType | None = UNSET
    tools: Functions | UnsetType = UNSET
    tool_choice: ToolChoice | UnsetType = UNSET
    temperature: BetaTemperature | UnsetType = UNSET
    max_response_output_tokens: MaxTokens | UnsetType = UNSET
    speed: Speed | UnsetType = UNSET
    tracing: str | dict[str, Any] | UnsetType | None = UNSET
    truncation: Truncation | UnsetType = UNSET
    prompt: dict[str, Any] | UnsetType | None = UNSET
    include: Includes | UnsetType | None = UNSET
    client_secret: Any = UNSET
    """Ignored on a websocket."""

    def __post_init__(self) -> None:
        check_nesting(self.tracing)


class BetaSessionUpdate(ClientEventBase, tag="session.update"):
    session: BetaSettingsPatch


class BetaTranscriptionPatch(Struct, kw_only=True, forbid_unknown_fields=True):
    """`session` of a `transcription_session.update`."""

    input_audio_format: FormatName | UnsetType = UNSET
    input_audio_transcription: TranscriptionPatch | UnsetType | None = UNSET
    turn_detection: TurnDetectionPatch | UnsetType | None = UNSET
    input_audio_noise_reduction: NoiseReduction | UnsetType | None = UNSET
    include: Includes | UnsetType | None = UNSET
    modalities: tuple[BetaModality, ...] | UnsetType = UNSET
    """Without effect: such a session has no answers that could take one."""
    client_secret: Any = UNSET
    """Ignored on a websocket."""


class BetaTranscriptionUpdate(ClientEventBase, tag="transcription_session.update"):
    session: BetaTranscriptionPatch


class BetaResponseParams(Struct, kw_only=True, forbid_unknown_fields=True):
    """`response` of a beta `response.create`."""

    modalities: tuple[BetaModality, ...] | UnsetType = UNSET
    instructions: LimitedText | None = None
    voice: Voice | UnsetType = UNSET
    output_audio_format: FormatName | UnsetType = UNSET
    tools: Functions | UnsetType = UNSET
    tool_choice: ToolChoice | UnsetType = UNSET
    temperature: BetaTemperature | UnsetType = UNSET
    max_response_output_tokens: MaxTokens | UnsetType = UNSET
    max_output_tokens: MaxTokens | UnsetType = UNSET
    conversation: Literal["auto", "none"] = "auto"
    metadata: Metadata | None = None
    prompt: dict[str, Any] | None = None
    input: list[FunctionItem | ItemReference] | UnsetType = UNSET


class BetaResponseCreate(ClientEventBase, tag="response.create"):
    response: BetaResponseParams | None = None


class BetaItemCreate(ClientEventBase, tag="conversation.item.create"):
    item: FunctionItem
    previous_item_id: Name | None = None


CommonEvent = (
    InputAudioBufferAppend
    | InputAudioBufferCommit
    | InputAudioBufferClear
    | InputImageBufferAppend
    | ConversationItemRetrieve
    | ConversationItemTruncate
    | ConversationItemDelete
    | ResponseCancel
    | OutputAudioBufferClear
)
"""Client events that are the same in every dialect."""

BetaClientEvent = CommonEvent | BetaSessionUpdate | BetaTranscriptionUpdate | BetaResponseCreate | BetaItemCreate


class BetaServerVad(Struct, tag="server_vad"):
    """`ServerVad` as beta serves it: the idle timeout came with GA, so it is shown only to those who set it."""

    threshold: float
    prefix_padding_ms: int
    silence_duration_ms: int
    create_response: bool
    interrupt_response: bool
    idle_timeout_ms: int | UnsetType = UNSET


class BetaSettings(Struct, kw_only=True):
    """The session object as beta serves it."""

    id: str
    object: Literal["realtime.session"] = "realtime.session"
    model: str
    modalities: list[Modality]
    instructions: str
    voice: str
    input_audio_format: FormatName
    output_audio_format: FormatName
    input_audio_transcription: Transcription | None
    turn_detection: BetaServerVad | SemanticVad | None
    input_audio_noise_reduction: NoiseReduction | None
    tools: tuple[FunctionTool, ...]
    tool_choice: ToolChoice
    temperature: float
    max_response_output_tokens: MaxTokens
    speed: float
    tracing: str | dict[str, Any] | None
    prompt: None = None
    expires_at: int
    include: tuple[Include, ...] | None


class BetaTranscriptionSettings(Struct, kw_only=True):
    """The session object of a transcription-only session as beta serves it."""

    id: str
    object: Literal["realtime.transcription_session"] = "realtime.transcription_session"
    expires_at: int
    modalities: tuple[Modality, ...] = ("audio", "text")
    input_audio_format: FormatName
    input_audio_transcription: Transcription | None
    turn_detection: BetaServerVad | SemanticVad | None
    input_audio_noise_reduction: NoiseReduction | None
    include: tuple[Include, ...] | None
    client_secret: None = None
    """Of sessions that were made over REST."""


class BetaResponse(Struct, kw_only=True):
    """The response object as beta serves it."""

    object: Literal["realtime.response"] = "realtime.response"
    id: str
    status: server.ResponseStatus
    status_details: server.StatusDetails | None
    output: list[Item]
    conversation_id: str | None
    modalities: list[Modality]
    voice: str
    output_audio_format: FormatName
    temperature: float
    max_output_tokens: MaxTokens
    usage: server.Usage | None
    metadata: dict[str, str] | None


class BetaSessionCreated(server.ServerEvent, kw_only=True, tag="session.created"):
    session: BetaSettings


class BetaSessionUpdated(server.ServerEvent, kw_only=True, tag="session.updated"):
    session: BetaSettings


class BetaTranscriptionCreated(server.ServerEvent, kw_only=True, tag="transcription_session.created"):
    session: BetaTranscriptionSettings


class BetaTranscriptionUpdated(server.ServerEvent, kw_only=True, tag="transcription_session.updated"):
    session: BetaTranscriptionSettings


class BetaItemCreated(server.ServerEvent, kw_only=True, tag="conversation.item.created"):
    previous_item_id: str | None
    item: Item


class BetaResponseCreated(server.ServerEvent, kw_only=True, tag="response.created"):
    response: BetaResponse


class BetaResponseDone(server.ServerEvent, kw_only=True, tag="response.done"):
    response: BetaResponse
