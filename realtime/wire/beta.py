"""The beta dialect: flat sessions, older event names (PROTOCOL 2.8, 4). A pure translation to and from GA.

It has no servers of tools: who speaks beta can't name one, and nothing of one is told in it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import asdict, replace

from realtime.wire import server
from realtime.wire.client import (
    ClientEvent,
    ClientEventBase,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    OutputAudioBufferClear,
    ResponseAudio,
    ResponseAudioOutput,
    ResponseCancel,
    ResponseCreate,
    ResponseParams,
    SessionUpdate,
)
from realtime.wire.codec import Frame, Frames, Reader, encode_json
from realtime.wire.items import (
    Audio,
    FunctionItem,
    Item,
    ItemReference,
    McpItem,
    Message,
    OutputAudio,
    OutputText,
    Part,
    Text,
    check_nesting,
)
from realtime.wire.mcp import McpChoice
from realtime.wire.settings import (
    PCM_RATE,
    AudioFormat,
    AudioInputPatch,
    AudioOutputPatch,
    AudioPatch,
    AudioSettings,
    CustomVoice,
    FunctionTool,
    Include,
    MaxTokens,
    Metadata,
    Modality,
    NoiseReduction,
    PcmaFormat,
    PcmFormat,
    PcmuFormat,
    SemanticVad,
    ServerVad,
    Settings,
    SettingsPatch,
    Speed,
    ToolChoice,
    Transcription,
    TranscriptionPatch,
    Truncation,
    TurnDetection,
    TurnDetectionPatch,
)

FormatName = Literal["pcm16", "g711_ulaw", "g711_alaw"]
BetaModality = Literal["text", "audio", "image", "video"]
"""`image` and `video` are classic's: they name what may come in, and change nothing."""
BetaTemperature = Annotated[float, Meta(ge=0, le=2)]
"""Upstream's beta took 0.6..1.2; the models behind this server take more."""

DEFAULT_TEMPERATURE = 0.8
"""Shown until one is set."""

_FORMAT_NAMES: dict[type, FormatName] = {PcmFormat: "pcm16", PcmuFormat: "g711_ulaw", PcmaFormat: "g711_alaw"}


class BetaSettingsPatch(Struct, kw_only=True, forbid_unknown_fields=True):
    """`session` of a beta `session.update`."""

    model: str | UnsetType = UNSET
    modalities: tuple[BetaModality, ...] | UnsetType = UNSET
    instructions: str | UnsetType = UNSET
    voice: str | CustomVoice | UnsetType = UNSET
    input_audio_format: FormatName | UnsetType = UNSET
    output_audio_format: FormatName | UnsetType = UNSET
    input_audio_transcription: TranscriptionPatch | UnsetType | None = UNSET
    turn_detection: TurnDetectionPatch | UnsetType | None = UNSET
    input_audio_noise_reduction: NoiseReduction | UnsetType | None = UNSET
    tools: tuple[FunctionTool, ...] | UnsetType = UNSET
    tool_choice: ToolChoice | UnsetType = UNSET
    temperature: BetaTemperature | UnsetType = UNSET
    max_response_output_tokens: MaxTokens | UnsetType = UNSET
    speed: Speed | UnsetType = UNSET
    tracing: str | dict[str, Any] | UnsetType | None = UNSET
    truncation: Truncation | UnsetType = UNSET
    prompt: dict[str, Any] | UnsetType | None = UNSET
    include: tuple[Include, ...] | UnsetType | None = UNSET
    client_secret: Any = UNSET
    """Ignored on a websocket."""

    def __post_init__(self) -> None:
        check_nesting(self.tracing)


class BetaSessionUpdate(ClientEventBase, tag="session.update"):
    session: BetaSettingsPatch


class BetaResponseParams(Struct, kw_only=True, forbid_unknown_fields=True):
    """`response` of a beta `response.create`."""

    modalities: tuple[BetaModality, ...] | UnsetType = UNSET
    instructions: str | None = None
    voice: str | CustomVoice | UnsetType = UNSET
    output_audio_format: FormatName | UnsetType = UNSET
    tools: tuple[FunctionTool, ...] | UnsetType = UNSET
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
    previous_item_id: str | None = None


CommonEvent = (
    InputAudioBufferAppend
    | InputAudioBufferCommit
    | InputAudioBufferClear
    | ConversationItemRetrieve
    | ConversationItemTruncate
    | ConversationItemDelete
    | ResponseCancel
    | OutputAudioBufferClear
)
"""Client events that are the same in every dialect."""

BetaClientEvent = CommonEvent | BetaSessionUpdate | BetaResponseCreate | BetaItemCreate


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


class BetaItemCreated(server.ServerEvent, kw_only=True, tag="conversation.item.created"):
    previous_item_id: str | None
    item: Item


class BetaResponseCreated(server.ServerEvent, kw_only=True, tag="response.created"):
    response: BetaResponse


class BetaResponseDone(server.ServerEvent, kw_only=True, tag="response.done"):
    response: BetaResponse


_RENAMED = {
    server.ResponseOutputTextDelta: "response.text.delta",
    server.ResponseOutputTextDone: "response.text.done",
    server.ResponseOutputAudioDelta: "response.audio.delta",
    server.ResponseOutputAudioDone: "response.audio.done",
    server.ResponseOutputAudioTranscriptDelta: "response.audio_transcript.delta",
    server.ResponseOutputAudioTranscriptDone: "response.audio_transcript.done",
}


def _head(type: str) -> bytes:
    return f'{{"type":"{type}"'.encode()


_HEADS = {cls: (len(_head(str(cls.__struct_config__.tag))), _head(name)) for cls, name in _RENAMED.items()}
"""The tag is the first key of every frame, so that renaming is a change of the first bytes: no copy of structs for each delta."""

_PARAMS = (
    ("session.output_modalities", "session.modalities"),
    ("session.max_output_tokens", "session.max_response_output_tokens"),
    ("session.audio.input.format", "session.input_audio_format"),
    ("session.audio.input.transcription", "session.input_audio_transcription"),
    ("session.audio.input.turn_detection", "session.turn_detection"),
    ("session.audio.output.format", "session.output_audio_format"),
    ("session.audio.output.voice", "session.voice"),
    ("response.output_modalities", "response.modalities"),
    ("response.audio.output.format", "response.output_audio_format"),
    ("response.audio.output.voice", "response.voice"),
)
"""Paths of the fields that the session itself judges, GA and beta."""


def _output_modalities(modalities: tuple[BetaModality, ...] | UnsetType) -> tuple[Modality, ...] | UnsetType:
    if modalities is UNSET:
        return UNSET
    return ("audio",) if "audio" in modalities else ("text",)


def _modalities(output_modalities: tuple[Modality, ...]) -> list[Modality]:
    return ["audio", "text"] if "audio" in output_modalities else ["text"]


def _part(part: Part) -> Part:
    match part:
        case OutputText(text=text):
            return Text(text)
        case OutputAudio(transcript=transcript, audio=audio):
            return Audio(transcript, audio)
        case _:
            return part


S = TypeVar("S", bound=Struct)


def _pick(cls: type[S], source: Struct, **changed: Any) -> S:
    """A `cls` with the fields of `source` that both have, and `changed` over them."""
    fields = {name: value for name, value in asdict(source).items() if name in cls.__struct_fields__}
    return cls(**{**fields, **changed})


def _turn_detection(detection: TurnDetection | None) -> BetaServerVad | SemanticVad | None:
    if not isinstance(detection, ServerVad):
        return detection
    return _pick(BetaServerVad, detection, idle_timeout_ms=detection.idle_timeout_ms or UNSET)


class BetaCodec:
    """OpenAI-Beta: realtime=v1."""

    read = Reader(BetaClientEvent)
    audio = AudioSettings()
    """What a new session starts with."""

    def __init__(self, pcm_rate: int = PCM_RATE) -> None:
        self._formats: dict[FormatName, AudioFormat] = {
            "pcm16": PcmFormat(pcm_rate),
            "g711_ulaw": PcmuFormat(),
            "g711_alaw": PcmaFormat(),
        }

    # Client to server

    def decode(self, frame: Frame) -> ClientEvent:
        return self.to_ga(self.read(frame))

    def to_ga(self, event: Any) -> ClientEvent:
        match event:
            case BetaSessionUpdate(session=patch):
                return SessionUpdate(session=self._settings_patch(patch), event_id=event.event_id)
            case BetaResponseCreate(response=params):
                response = None if params is None else self._response_params(params)
                return ResponseCreate(response=response, event_id=event.event_id)
            case BetaItemCreate(item=item):
                return ConversationItemCreate(item=item, previous_item_id=event.previous_item_id, event_id=event.event_id)
            case _:
                common: ClientEvent = event
                return common

    def _format(self, name: FormatName | UnsetType) -> AudioFormat | UnsetType:
        return UNSET if name is UNSET else self._formats[name]

    def _settings_patch(self, patch: BetaSettingsPatch) -> SettingsPatch:
        audio = AudioPatch(
            input=AudioInputPatch(
                format=self._format(patch.input_audio_format),
                transcription=patch.input_audio_transcription,
                noise_reduction=patch.input_audio_noise_reduction,
                turn_detection=patch.turn_detection,
            ),
            output=AudioOutputPatch(format=self._format(patch.output_audio_format), voice=patch.voice, speed=patch.speed),
        )
        return _pick(
            SettingsPatch,
            patch,
            output_modalities=_output_modalities(patch.modalities),
            max_output_tokens=patch.max_response_output_tokens,
            audio=audio,
        )

    def _response_params(self, params: BetaResponseParams) -> ResponseParams:
        limits = (params.max_output_tokens, params.max_response_output_tokens)
        return _pick(
            ResponseParams,
            params,
            output_modalities=_output_modalities(params.modalities),
            max_output_tokens=next((limit for limit in limits if limit is not UNSET), UNSET),
            audio=ResponseAudio(output=ResponseAudioOutput(format=self._format(params.output_audio_format), voice=params.voice)),
        )

    # Server to client

    def encode(self, event: server.ServerEvent, answers: str | None = None) -> Frames:
        renamed = _HEADS.get(type(event))
        if renamed is not None:
            length, head = renamed
            return [head + encode_json(event)[length:]]
        translated = self.from_ga(event)
        return [] if translated is None else [encode_json(translated)]

    def from_ga(self, event: server.ServerEvent) -> server.ServerEvent | None:
        """The beta event; None where beta has none."""
        match event:
            case server.ConversationItemDone() | server.McpListToolsEvent() | server.McpCallEvent():
                return None
            case server.ResponseMcpCallArgumentsDelta() | server.ResponseMcpCallArgumentsDone():
                return None
            case server.ConversationItemAdded(item=item) | server.ConversationItemRetrieved(item=item) if isinstance(item, McpItem):
                return None
            case server.ResponseOutputItemAdded(item=item) | server.ResponseOutputItemDone(item=item) if isinstance(item, McpItem):
                return None
            case server.ConversationItemAdded():
                return BetaItemCreated(event_id=event.event_id, previous_item_id=event.previous_item_id, item=self.item(event.item))
            case server.ConversationItemRetrieved() | server.ResponseOutputItemAdded() | server.ResponseOutputItemDone():
                return replace(event, item=self.item(event.item))
            case server.SessionCreated():
                return BetaSessionCreated(event_id=event.event_id, session=self._settings(event.session))
            case server.SessionUpdated():
                return BetaSessionUpdated(event_id=event.event_id, session=self._settings(event.session))
            case server.ResponseCreated():
                return BetaResponseCreated(event_id=event.event_id, response=self._response(event.response))
            case server.ResponseDone():
                return BetaResponseDone(event_id=event.event_id, response=self._response(event.response))
            case server.Error():
                return replace(event, error=replace(event.error, param=_beta_param(event.error.param)))
            case _:
                return event

    def item(self, item: Item) -> Item:
        """The item with its parts under their beta names."""
        if not isinstance(item, Message) or item.role != "assistant":
            return item
        return replace(item, content=[_part(part) for part in item.content])

    def _settings(self, settings: Settings) -> BetaSettings:
        audio = settings.audio
        return _pick(
            BetaSettings,
            settings,
            modalities=_modalities(settings.output_modalities),
            tools=tuple(tool for tool in settings.tools if isinstance(tool, FunctionTool)),
            tool_choice="auto" if isinstance(settings.tool_choice, McpChoice) else settings.tool_choice,
            voice=audio.output.voice,
            speed=audio.output.speed,
            input_audio_format=_FORMAT_NAMES[type(audio.input.format)],
            output_audio_format=_FORMAT_NAMES[type(audio.output.format)],
            input_audio_transcription=audio.input.transcription,
            turn_detection=_turn_detection(audio.input.turn_detection),
            input_audio_noise_reduction=audio.input.noise_reduction,
            temperature=DEFAULT_TEMPERATURE if settings.temperature is UNSET else settings.temperature,
            max_response_output_tokens=settings.max_output_tokens,
        )

    def _response(self, response: server.Response) -> BetaResponse:
        return _pick(
            BetaResponse,
            response,
            output=[self.item(item) for item in response.output if not isinstance(item, McpItem)],
            modalities=_modalities(response.output_modalities),
            voice=response.audio.output.voice,
            output_audio_format=_FORMAT_NAMES[type(response.audio.output.format)],
            temperature=DEFAULT_TEMPERATURE if response.temperature is UNSET else response.temperature,
        )


def _beta_param(param: str | None) -> str | None:
    for ga, beta in _PARAMS:
        if param is not None and (param == ga or param.startswith(ga + ".")):
            return beta + param[len(ga) :]
    return param
