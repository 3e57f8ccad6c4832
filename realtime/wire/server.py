"""Server events, GA shape (PROTOCOL 3). The tag is the wire's `type`; `event_id` is set when the event is sent."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from realtime.wire.items import Item
from realtime.wire.settings import AnySettings, AudioFormat, MaxTokens, Modality, shown

MAX_FRAME = 8 * 1024 * 1024
"""Bytes that every frame to a client is shorter than: openai-agents closes the connection over a longer one (PROTOCOL 1.5). Whatever a
client or a model may have written back is bounded so that no dialect gets there, each character escaped."""


class ServerEvent(Struct, kw_only=True):
    """What every server event carries."""

    event_id: str = ""


class ErrorInfo(Struct, frozen=True, kw_only=True):
    """What went wrong; absent values are explicit nulls."""

    type: str = "invalid_request_error"
    code: str | None = None
    message: str
    param: str | None = None


class ErrorDetail(ErrorInfo, frozen=True, kw_only=True):
    """An `ErrorInfo` that names the client event which caused it."""

    event_id: str | None = None


class Error(ServerEvent, kw_only=True, tag="error"):
    error: ErrorDetail


# Session and conversation


class SessionCreated(ServerEvent, kw_only=True, tag="session.created"):
    session: AnySettings

    def __post_init__(self) -> None:
        self.session = shown(self.session)  # here, so that no event can carry a secret


class SessionUpdated(ServerEvent, kw_only=True, tag="session.updated"):
    session: AnySettings

    def __post_init__(self) -> None:
        self.session = shown(self.session)


class Conversation(Struct, frozen=True):
    id: str
    object: Literal["realtime.conversation"] = "realtime.conversation"


class ConversationCreated(ServerEvent, kw_only=True, tag="conversation.created"):
    """Written on beta sockets only: GA captures do not show it."""

    conversation: Conversation


class ConversationItemAdded(ServerEvent, kw_only=True, tag="conversation.item.added"):
    previous_item_id: str | None
    """None: it is the first."""
    item: Item


class ConversationItemDone(ServerEvent, kw_only=True, tag="conversation.item.done"):
    previous_item_id: str | None
    item: Item


class ConversationItemRetrieved(ServerEvent, kw_only=True, tag="conversation.item.retrieved"):
    item: Item
    """With its audio."""


class ConversationItemTruncated(ServerEvent, kw_only=True, tag="conversation.item.truncated"):
    item_id: str
    content_index: int
    audio_end_ms: int


class ConversationItemDeleted(ServerEvent, kw_only=True, tag="conversation.item.deleted"):
    item_id: str


# Input audio. Times are milliseconds from the start of all audio written in the session.


class InputAudioBufferSpeechStarted(ServerEvent, kw_only=True, tag="input_audio_buffer.speech_started"):
    audio_start_ms: int
    """Includes the prefix padding."""
    item_id: str


class InputAudioBufferSpeechStopped(ServerEvent, kw_only=True, tag="input_audio_buffer.speech_stopped"):
    audio_end_ms: int
    item_id: str


class InputAudioBufferCommitted(ServerEvent, kw_only=True, tag="input_audio_buffer.committed"):
    previous_item_id: str | None
    item_id: str


class InputAudioBufferCleared(ServerEvent, kw_only=True, tag="input_audio_buffer.cleared"):
    pass


class InputAudioBufferTimeoutTriggered(ServerEvent, kw_only=True, tag="input_audio_buffer.timeout_triggered"):
    audio_start_ms: int
    audio_end_ms: int
    item_id: str


class DtmfEventReceived(Struct, tag="input_audio_buffer.dtmf_event_received"):
    """SIP only; the one event without an `event_id`. Never sent here."""

    event: str
    received_at: int
    """Unix seconds."""


class LogProb(Struct, frozen=True):
    token: str
    logprob: float
    bytes: list[int]


class DurationUsage(Struct, frozen=True, tag="duration"):
    """What a transcription cost, by length."""

    seconds: float


class TranscriptionDelta(ServerEvent, kw_only=True, tag="conversation.item.input_audio_transcription.delta"):
    item_id: str
    content_index: int
    delta: str
    logprobs: list[LogProb] | UnsetType = UNSET


class TranscriptionCompleted(ServerEvent, kw_only=True, tag="conversation.item.input_audio_transcription.completed"):
    item_id: str
    content_index: int
    transcript: str
    usage: DurationUsage
    logprobs: list[LogProb] | UnsetType = UNSET


class TranscriptionSegment(ServerEvent, kw_only=True, tag="conversation.item.input_audio_transcription.segment"):
    """Diarizing models only."""

    item_id: str
    content_index: int
    text: str
    id: str
    speaker: str
    start: float
    """Seconds."""
    end: float


class TranscriptionFailed(ServerEvent, kw_only=True, tag="conversation.item.input_audio_transcription.failed"):
    item_id: str
    content_index: int
    error: ErrorInfo
    """All four keys are strings: agents-realtime drops the event when one is null."""


# Response


class TokenDetails(Struct, frozen=True):
    text_tokens: int = 0
    audio_tokens: int = 0
    image_tokens: int = 0


class InputTokenDetails(Struct, frozen=True):
    text_tokens: int = 0
    audio_tokens: int = 0
    image_tokens: int = 0
    cached_tokens: int = 0
    cached_tokens_details: TokenDetails = TokenDetails()


class OutputTokenDetails(Struct, frozen=True):
    text_tokens: int = 0
    audio_tokens: int = 0


class Usage(Struct, frozen=True):
    """Tokens of one response."""

    total_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    input_token_details: InputTokenDetails = InputTokenDetails()
    output_token_details: OutputTokenDetails = OutputTokenDetails()


class Failure(Struct, frozen=True):
    """Why a response failed."""

    type: str
    code: str | None
    message: str


class StatusDetails(Struct, frozen=True, kw_only=True):
    """Why a response ended otherwise than whole."""

    type: Literal["cancelled", "incomplete", "failed"]
    reason: Literal["turn_detected", "client_cancelled", "max_output_tokens", "content_filter"] | UnsetType = UNSET
    error: Failure | UnsetType = UNSET


ResponseStatus = Literal["in_progress", "completed", "cancelled", "incomplete", "failed"]


class ResponseAudioOutput(Struct, frozen=True):
    format: AudioFormat
    voice: str


class ResponseAudio(Struct, frozen=True):
    output: ResponseAudioOutput


class Response(Struct, frozen=True, kw_only=True):
    """The response object, in the order in which upstream serves its keys."""

    object: Literal["realtime.response"] = "realtime.response"
    id: str
    status: ResponseStatus
    status_details: StatusDetails | None = None
    output: list[Item]
    conversation_id: str | None
    """None: out of band."""
    output_modalities: tuple[Modality, ...]
    max_output_tokens: MaxTokens
    audio: ResponseAudio
    usage: Usage | None = None
    metadata: dict[str, str] | None = None
    temperature: float | UnsetType = UNSET


class ResponseCreated(ServerEvent, kw_only=True, tag="response.created"):
    response: Response


class ResponseDone(ServerEvent, kw_only=True, tag="response.done"):
    response: Response


class RateLimit(Struct, frozen=True):
    name: Literal["requests", "tokens"]
    limit: int
    remaining: int
    reset_seconds: float


class RateLimitsUpdated(ServerEvent, kw_only=True, tag="rate_limits.updated"):
    rate_limits: list[RateLimit]
    """Empty: nothing is limited."""


class OutputEvent(ServerEvent, kw_only=True):
    """An event of one output item."""

    response_id: str
    item_id: str
    output_index: int


class ResponseOutputItemAdded(ServerEvent, kw_only=True, tag="response.output_item.added"):
    response_id: str
    output_index: int
    item: Item


class ResponseOutputItemDone(ServerEvent, kw_only=True, tag="response.output_item.done"):
    response_id: str
    output_index: int
    item: Item


class TextPart(Struct, frozen=True, tag="text"):
    text: str


class AudioPart(Struct, frozen=True, tag="audio"):
    transcript: str


ContentPart = TextPart | AudioPart
"""In `content_part` events the types are `text` and `audio` in every dialect (PROTOCOL 0.3)."""


class ResponseContentPartAdded(OutputEvent, kw_only=True, tag="response.content_part.added"):
    content_index: int
    part: ContentPart


class ResponseContentPartDone(OutputEvent, kw_only=True, tag="response.content_part.done"):
    content_index: int
    part: ContentPart


class ResponseOutputTextDelta(OutputEvent, kw_only=True, tag="response.output_text.delta"):
    content_index: int
    delta: str


class ResponseOutputTextDone(OutputEvent, kw_only=True, tag="response.output_text.done"):
    content_index: int
    text: str


class ResponseOutputAudioDelta(OutputEvent, kw_only=True, tag="response.output_audio.delta"):
    content_index: int
    delta: bytes
    """Base64 on the wire, in the response's output format."""


class ResponseOutputAudioDone(OutputEvent, kw_only=True, tag="response.output_audio.done"):
    content_index: int


class ResponseOutputAudioTranscriptDelta(OutputEvent, kw_only=True, tag="response.output_audio_transcript.delta"):
    content_index: int
    delta: str


class ResponseOutputAudioTranscriptDone(OutputEvent, kw_only=True, tag="response.output_audio_transcript.done"):
    content_index: int
    transcript: str


class ResponseFunctionCallArgumentsDelta(OutputEvent, kw_only=True, tag="response.function_call_arguments.delta"):
    call_id: str
    delta: str


class ResponseFunctionCallArgumentsDone(OutputEvent, kw_only=True, tag="response.function_call_arguments.done"):
    call_id: str
    name: str
    arguments: str


class McpListToolsEvent(ServerEvent, kw_only=True):
    """An event of a listing."""

    item_id: str
    """Of the `mcp_list_tools` item."""


class McpListToolsInProgress(McpListToolsEvent, kw_only=True, tag="mcp_list_tools.in_progress"):
    pass


class McpListToolsCompleted(McpListToolsEvent, kw_only=True, tag="mcp_list_tools.completed"):
    pass


class McpListToolsFailed(McpListToolsEvent, kw_only=True, tag="mcp_list_tools.failed"):
    """The item says why."""


class ResponseMcpCallArgumentsDelta(OutputEvent, kw_only=True, tag="response.mcp_call_arguments.delta"):
    delta: str
    obfuscation: str = ""
    """Nothing is obfuscated; agents-realtime drops the event without the key."""


class ResponseMcpCallArgumentsDone(OutputEvent, kw_only=True, tag="response.mcp_call_arguments.done"):
    arguments: str


class McpCallEvent(ServerEvent, kw_only=True):
    """An event of a call that runs. It names no response: a call that was approved of runs without one."""

    item_id: str
    output_index: int


class ResponseMcpCallInProgress(McpCallEvent, kw_only=True, tag="response.mcp_call.in_progress"):
    pass


class ResponseMcpCallCompleted(McpCallEvent, kw_only=True, tag="response.mcp_call.completed"):
    pass


class ResponseMcpCallFailed(McpCallEvent, kw_only=True, tag="response.mcp_call.failed"):
    """The item says why."""


class OutputAudioBufferStarted(ServerEvent, kw_only=True, tag="output_audio_buffer.started"):
    """WebRTC and SIP only, like its two siblings. Never sent here."""

    response_id: str


class OutputAudioBufferStopped(ServerEvent, kw_only=True, tag="output_audio_buffer.stopped"):
    response_id: str


class OutputAudioBufferCleared(ServerEvent, kw_only=True, tag="output_audio_buffer.cleared"):
    response_id: str
