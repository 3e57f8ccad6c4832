"""The session object: as it is served (`Settings`), and as a client asks to change it (`SettingsPatch`); PROTOCOL 2.1-2.5.

Served structs have a value for every field. Patch structs have `UNSET` for whatever the client did not name, and `merge` lays one over
the other: nested objects merge by key, `null` clears, lists replace (PROTOCOL 2.2).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from realtime.wire.items import LimitedText, Name, check_nesting
from realtime.wire.mcp import McpChoice, McpTool, without_secrets

PCM_RATE = 24_000
"""Samples a second of `audio/pcm` on `/v1/realtime`: the only rate that upstream serves and that its clients accept."""

G711_RATE = 8_000
"""Samples a second of G.711."""

MAX_TOOLS = 128
"""Tools of a session: as many as OpenAI's chat endpoint takes."""

MAX_TOOLS_SIZE = 2 * 1024 * 1024
"""Bytes of JSON of all tools together: they are served whole with the session, in one frame."""

MAX_TRACING_SIZE = 64 * 1024
"""Bytes of JSON of `tracing`: a few names."""

MAX_HINTS = 100
"""Languages, or keywords, of one wish for transcripts: more than Whisper's prompt has room for."""

MAX_INCLUDE = 16
"""Entries of `include`: there is one that may be named."""


class PcmFormat(Struct, frozen=True, tag="audio/pcm", forbid_unknown_fields=True):
    """16-bit little-endian mono. Classic sessions build it with another rate; the wire takes only `PCM_RATE`."""

    rate: Annotated[int, Meta(ge=PCM_RATE, le=PCM_RATE)] = PCM_RATE


class PcmuFormat(Struct, frozen=True, tag="audio/pcmu", forbid_unknown_fields=True):
    """G.711 mu-law, 8 kHz, one byte a sample."""


class PcmaFormat(Struct, frozen=True, tag="audio/pcma", forbid_unknown_fields=True):
    """G.711 A-law, 8 kHz, one byte a sample."""


AudioFormat = PcmFormat | PcmuFormat | PcmaFormat


def sample_rate(format: AudioFormat) -> int:
    """Samples a second."""
    return format.rate if isinstance(format, PcmFormat) else G711_RATE


def at_rate(format: AudioFormat, rate: int) -> AudioFormat:
    """The same, of another rate where it is PCM."""
    return PcmFormat(rate) if isinstance(format, PcmFormat) else format


def sample_width(format: AudioFormat) -> int:
    """Bytes a sample."""
    return 2 if isinstance(format, PcmFormat) else 1


def seconds(audio: bytes, format: AudioFormat) -> float:
    """How long it sounds."""
    return len(audio) / (sample_width(format) * sample_rate(format))


def encoding(format: AudioFormat) -> Literal["pcm16", "ulaw", "alaw"]:
    """How a sample is written, by the name that `media.formats` has for it."""
    return _ENCODINGS[type(format)]


_ENCODINGS: dict[type, Literal["pcm16", "ulaw", "alaw"]] = {PcmFormat: "pcm16", PcmuFormat: "ulaw", PcmaFormat: "alaw"}

Probability = Annotated[float, Meta(ge=0, le=1)]
Milliseconds = Annotated[int, Meta(ge=0, le=60_000)]
"""A minute at the most: longer paddings and silences are mistakes of unit."""
IdleTimeout = Annotated[int, Meta(ge=5_000, le=30_000)]
Eagerness = Literal["low", "medium", "high", "auto"]
Speed = Annotated[float, Meta(ge=0.25, le=1.5)]
Modality = Literal["text", "audio"]
MaxTokens = Annotated[int, Meta(ge=1, le=4096)] | Literal["inf"]
Temperature = Annotated[float, Meta(ge=0, le=2)]
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]],
    Meta(max_length=16),
]


class ServerVad(Struct, frozen=True, tag="server_vad"):
    """Turns by silence."""

    threshold: float = 0.5
    """Speech probability from which a window counts as speech."""
    prefix_padding_ms: int = 300
    """Audio kept from before the speech."""
    silence_duration_ms: int = 200
    """Silence that ends a turn."""
    idle_timeout_ms: int | None = None
    create_response: bool = True
    interrupt_response: bool = True


class SemanticVad(Struct, frozen=True, tag="semantic_vad"):
    """Turns by whether the speaker seems to have finished."""

    eagerness: Eagerness = "auto"
    create_response: bool = True
    interrupt_response: bool = True


TurnDetection = ServerVad | SemanticVad


class Transcription(Struct, frozen=True):
    """Wish for transcripts of the user's speech. Served with these three keys only: Pipecat refuses others."""

    model: str = "whisper-1"
    language: str | None = None
    """ISO 639-1; None to detect."""
    prompt: str | None = None


class NoiseReduction(Struct, frozen=True, forbid_unknown_fields=True):
    """Which kind of microphone it is."""

    type: Literal["near_field", "far_field"]
    strength: float | UnsetType = UNSET


class AudioInput(Struct, frozen=True):
    """How the user's voice arrives."""

    format: AudioFormat = PcmFormat()
    transcription: Transcription | None = None
    noise_reduction: NoiseReduction | None = None
    turn_detection: TurnDetection | None = ServerVad()


class AudioOutput(Struct, frozen=True):
    """How the model's voice leaves."""

    format: AudioFormat = PcmFormat()
    voice: str = "alloy"
    speed: float = 1.0


class AudioSettings(Struct, frozen=True):
    """Both directions."""

    input: AudioInput = AudioInput()
    output: AudioOutput = AudioOutput()


class FunctionTool(Struct, frozen=True, tag="function", forbid_unknown_fields=True):
    """A function that the model may ask the client to call."""

    name: Name
    description: str | UnsetType = UNSET
    parameters: dict[str, Any] | UnsetType = UNSET
    """JSON Schema, passed on untouched."""
    strict: bool | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        check_nesting(self.parameters)


class FunctionChoice(Struct, frozen=True, tag="function", forbid_unknown_fields=True):
    """The one function that must be called."""

    name: Name


ToolChoice = Literal["none", "auto", "required"] | FunctionChoice
"""What every dialect and every model knows."""

Tool = FunctionTool | McpTool
Tools = Annotated[tuple[Tool, ...], Meta(max_length=MAX_TOOLS)]
Functions = Annotated[tuple[FunctionTool, ...], Meta(max_length=MAX_TOOLS)]
AnyToolChoice = ToolChoice | McpChoice


class TokenLimits(Struct, frozen=True, forbid_unknown_fields=True):
    post_instructions: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    """Tokens of conversation kept after the instructions."""


class RetentionRatio(Struct, frozen=True, tag="retention_ratio", forbid_unknown_fields=True):
    """Drop the oldest until this share of the context is left."""

    retention_ratio: Probability
    token_limits: TokenLimits | UnsetType = UNSET


Truncation = Literal["auto", "disabled"] | RetentionRatio


Effort = Literal["minimal", "low", "medium", "high", "xhigh"]


class Reasoning(Struct, frozen=True, forbid_unknown_fields=True):
    effort: Effort


Include = Literal["item.input_audio_transcription.logprobs"]
Includes = Annotated[tuple[Include, ...], Meta(max_length=MAX_INCLUDE)]
Hints = Annotated[list[Name], Meta(max_length=MAX_HINTS)]

DEFAULT_INSTRUCTIONS = (
    "You are a helpful, friendly assistant in a spoken conversation. Answer in a few short, plain sentences, "
    "without lists, markup or emoji, in the language that the person speaks."
)


class Settings(Struct, frozen=True, tag="realtime", kw_only=True):
    """The session object of `session.created` and `session.updated`, in the order in which upstream serves its keys."""

    object: Literal["realtime.session"] = "realtime.session"
    id: str
    model: str
    output_modalities: tuple[Modality, ...] = ("audio",)
    """Exactly one: audio always brings its transcript."""
    instructions: str = DEFAULT_INSTRUCTIONS
    tools: tuple[Tool, ...] = ()
    tool_choice: AnyToolChoice = "auto"
    max_output_tokens: MaxTokens = "inf"
    tracing: str | dict[str, Any] | None = None
    """Echoed only: there is no tracing service behind a self-hosted server."""
    truncation: Truncation = "auto"
    prompt: None = None
    """Stored prompts live at OpenAI; asking for one is an error."""
    expires_at: int
    """Unix seconds."""
    audio: AudioSettings = AudioSettings()
    include: tuple[Include, ...] | None = None
    temperature: float | UnsetType = UNSET
    """Extension of this server in GA; served once it has been set."""
    parallel_tool_calls: bool | UnsetType = UNSET
    reasoning: Reasoning | UnsetType = UNSET


class TranscriptionAudio(Struct, frozen=True):
    """One direction only."""

    input: AudioInput = AudioInput(transcription=Transcription())


class TranscriptionSettings(Struct, frozen=True, tag="transcription", kw_only=True):
    """The session object of a transcription-only session (PROTOCOL 2.7): it hears, and never answers."""

    object: Literal["realtime.transcription_session"] = "realtime.transcription_session"
    id: str
    expires_at: int
    """Unix seconds."""
    audio: TranscriptionAudio = TranscriptionAudio()
    """Transcripts are on from the start: upstream wants a model to be named first, and here there is one anyway."""
    include: tuple[Include, ...] | None = None


AnySettings = Settings | TranscriptionSettings
"""Of either kind of session; a session stays of its kind."""


def shown(settings: AnySettings) -> AnySettings:
    """What a client may be shown: everything but the secrets of its tool servers."""
    if not isinstance(settings, Settings) or not any(isinstance(tool, McpTool) for tool in settings.tools):
        return settings
    return replace(settings, tools=tuple(without_secrets(tool) if isinstance(tool, McpTool) else tool for tool in settings.tools))


# Patches. A field that its `target` lacks is accepted and has no effect here.


class Patch(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a client wants changed in a `target`."""

    target: ClassVar[type[Struct]]


class ServerVadPatch(Patch, tag="server_vad"):
    target = ServerVad
    threshold: Probability | UnsetType = UNSET
    prefix_padding_ms: Milliseconds | UnsetType = UNSET
    silence_duration_ms: Milliseconds | UnsetType = UNSET
    idle_timeout_ms: IdleTimeout | UnsetType | None = UNSET
    create_response: bool | UnsetType = UNSET
    interrupt_response: bool | UnsetType = UNSET


class SemanticVadPatch(Patch, tag="semantic_vad"):
    target = SemanticVad
    eagerness: Eagerness | UnsetType = UNSET
    create_response: bool | UnsetType = UNSET
    interrupt_response: bool | UnsetType = UNSET
    model_version: str | UnsetType | None = UNSET
    """Sent by agents-realtime."""


class TranscriptionPatch(Patch):
    target = Transcription
    model: Name | UnsetType = UNSET
    language: Name | UnsetType | None = UNSET
    prompt: LimitedText | UnsetType | None = UNSET
    languages: Hints | UnsetType | None = UNSET
    """Of newer models: one is a `language`; of several it is found out which is spoken."""
    keywords: Hints | UnsetType | None = UNSET
    """Of newer models: words that a `prompt` would name."""
    delay: Literal["minimal", "low", "medium", "high", "xhigh"] | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        if self.languages and self.language is UNSET:
            self.language = self.languages[0] if len(self.languages) == 1 else None
        if self.keywords:
            words = ", ".join(self.keywords)
            self.prompt = f"{self.prompt} {words}" if self.prompt else words


TurnDetectionPatch = ServerVadPatch | SemanticVadPatch


class AudioInputPatch(Patch):
    target = AudioInput
    format: AudioFormat | UnsetType = UNSET
    transcription: TranscriptionPatch | UnsetType | None = UNSET
    noise_reduction: NoiseReduction | UnsetType | None = UNSET
    turn_detection: TurnDetectionPatch | UnsetType | None = UNSET


class CustomVoice(Struct, forbid_unknown_fields=True):
    """A voice by id, the object form."""

    id: Name


Voice = Name | CustomVoice


class AudioOutputPatch(Patch):
    target = AudioOutput
    format: AudioFormat | UnsetType = UNSET
    voice: Voice | UnsetType = UNSET
    speed: Speed | UnsetType = UNSET


class AudioPatch(Patch):
    target = AudioSettings
    input: AudioInputPatch | UnsetType = UNSET
    output: AudioOutputPatch | UnsetType = UNSET


class SettingsPatch(Patch, tag="realtime"):
    """`session` of a `session.update`."""

    target = Settings
    model: str | UnsetType = UNSET
    """Sent by most frameworks with every update; the model of a session does not change."""
    output_modalities: tuple[Modality, ...] | UnsetType = UNSET
    instructions: LimitedText | UnsetType = UNSET
    tools: Tools | UnsetType = UNSET
    tool_choice: AnyToolChoice | UnsetType = UNSET
    max_output_tokens: MaxTokens | UnsetType = UNSET
    tracing: str | dict[str, Any] | UnsetType | None = UNSET
    truncation: Truncation | UnsetType = UNSET
    prompt: dict[str, Any] | UnsetType | None = UNSET
    audio: AudioPatch | UnsetType = UNSET
    include: Includes | UnsetType | None = UNSET
    temperature: Temperature | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    reasoning: Reasoning | UnsetType = UNSET

    def __post_init__(self) -> None:
        check_nesting(self.tracing)


class TranscriptionAudioPatch(Patch):
    target = TranscriptionAudio
    input: AudioInputPatch | UnsetType = UNSET


class TranscriptionSettingsPatch(Patch, tag="transcription"):
    """`session` of a `session.update` meant for a transcription-only session (PROTOCOL 2.7)."""

    target = TranscriptionSettings
    audio: TranscriptionAudioPatch | UnsetType = UNSET
    include: Includes | UnsetType | None = UNSET


S = TypeVar("S", bound=Struct)


def merge(current: S | None, patch: Patch) -> S:
    """`current` with what `patch` names changed; another type than `current` starts from its own defaults."""
    base: Any = current if type(current) is patch.target else patch.target()
    changes = {}
    for name in patch.__struct_fields__:
        value = getattr(patch, name)
        if value is UNSET or name not in base.__struct_fields__:
            continue
        if isinstance(value, Patch):
            value = merge(getattr(base, name), value)
        elif isinstance(value, CustomVoice):
            value = value.id
        changes[name] = value
    merged: S = replace(base, **changes)
    return merged
