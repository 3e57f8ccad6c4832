"""The beta dialect: flat sessions, older event names (PROTOCOL 2.8, 4). A pure translation to and from GA.

It has no servers of tools: who speaks beta can't name one, and nothing of one is told in it.
"""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict, replace

from realtime.wire import server
from realtime.wire.beta_events import (
    BetaClientEvent,
    BetaItemCreate,
    BetaItemCreated,
    BetaModality,
    BetaResponse,
    BetaResponseCreate,
    BetaResponseCreated,
    BetaResponseDone,
    BetaResponseParams,
    BetaServerVad,
    BetaSessionCreated,
    BetaSessionUpdate,
    BetaSessionUpdated,
    BetaSettings,
    BetaSettingsPatch,
    BetaTranscriptionCreated,
    BetaTranscriptionPatch,
    BetaTranscriptionSettings,
    BetaTranscriptionUpdate,
    BetaTranscriptionUpdated,
    FormatName,
)
from realtime.wire.client import (
    ClientEvent,
    ConversationItemCreate,
    ResponseAudio,
    ResponseAudioOutput,
    ResponseCreate,
    ResponseParams,
    SessionUpdate,
)
from realtime.wire.codec import Frame, Frames, Reader, encode_json
from realtime.wire.items import (
    Audio,
    Item,
    McpItem,
    Message,
    OutputAudio,
    OutputText,
    Part,
    Text,
)
from realtime.wire.mcp import McpChoice
from realtime.wire.settings import (
    PCM_RATE,
    AudioFormat,
    AudioInput,
    AudioInputPatch,
    AudioOutputPatch,
    AudioPatch,
    AudioSettings,
    FunctionTool,
    Modality,
    PcmaFormat,
    PcmFormat,
    PcmuFormat,
    SemanticVad,
    ServerVad,
    Settings,
    SettingsPatch,
    TranscriptionAudioPatch,
    TranscriptionSettings,
    TranscriptionSettingsPatch,
    TurnDetection,
)

DEFAULT_TEMPERATURE = 0.8
"""Shown until one is set."""

_FORMAT_NAMES: dict[type, FormatName] = {PcmFormat: "pcm16", PcmuFormat: "g711_ulaw", PcmaFormat: "g711_alaw"}

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


def _heard(input: AudioInput) -> dict[str, Any]:
    """The flat fields of the input side."""
    return {
        "input_audio_format": _FORMAT_NAMES[type(input.format)],
        "input_audio_transcription": input.transcription,
        "turn_detection": _turn_detection(input.turn_detection),
        "input_audio_noise_reduction": input.noise_reduction,
    }


def _transcription_settings(settings: TranscriptionSettings) -> BetaTranscriptionSettings:
    return _pick(BetaTranscriptionSettings, settings, **_heard(settings.audio.input))


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
            case BetaTranscriptionUpdate(session=patch):
                heard = TranscriptionAudioPatch(input=self._input_patch(patch))
                return SessionUpdate(session=TranscriptionSettingsPatch(audio=heard, include=patch.include), event_id=event.event_id)
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

    def _input_patch(self, patch: BetaSettingsPatch | BetaTranscriptionPatch) -> AudioInputPatch:
        return AudioInputPatch(
            format=self._format(patch.input_audio_format),
            transcription=patch.input_audio_transcription,
            noise_reduction=patch.input_audio_noise_reduction,
            turn_detection=patch.turn_detection,
        )

    def _settings_patch(self, patch: BetaSettingsPatch) -> SettingsPatch:
        audio = AudioPatch(
            input=self._input_patch(patch),
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
            case server.SessionCreated(session=Settings() as settings):
                return BetaSessionCreated(event_id=event.event_id, session=self._settings(settings))
            case server.SessionUpdated(session=Settings() as settings):
                return BetaSessionUpdated(event_id=event.event_id, session=self._settings(settings))
            case server.SessionCreated(session=TranscriptionSettings() as settings):
                return BetaTranscriptionCreated(event_id=event.event_id, session=_transcription_settings(settings))
            case server.SessionUpdated(session=TranscriptionSettings() as settings):
                return BetaTranscriptionUpdated(event_id=event.event_id, session=_transcription_settings(settings))
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
        spoken = settings.audio.output
        return _pick(
            BetaSettings,
            settings,
            modalities=_modalities(settings.output_modalities),
            tools=tuple(tool for tool in settings.tools if isinstance(tool, FunctionTool)),
            tool_choice="auto" if isinstance(settings.tool_choice, McpChoice) else settings.tool_choice,
            voice=spoken.voice,
            speed=spoken.speed,
            output_audio_format=_FORMAT_NAMES[type(spoken.format)],
            **_heard(settings.audio.input),
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
