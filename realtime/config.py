"""The settings: one table that drives the flags, the environment, the help text and the README.

This is the only module that reads the environment, what the service manager says there included. A flag beats the environment, which
beats the default; an empty environment variable counts as unset, as systemd units and compose files leave them. A key that the environment
does not name may be a credential of systemd's. It refuses what it can judge by itself, as a `ConfigError` that names the setting the way
the person gave it; whether a model exists or an endpoint answers is for those who use it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from msgspec import NODEFAULT, Struct, field, structs

from realtime import supervisor
from realtime.errors import ConfigError
from realtime.values import (
    ADDRESS,
    FILE,
    FOLDER,
    KEYS,
    LONG_SECRET,
    MODEL,
    ORIGINS,
    PIPER,
    RATE,
    SECRET,
    SWITCH,
    URL,
    URLS,
    VOICES,
    WHISPER,
    Kind,
    number,
    one_of,
    seconds,
    whole,
)

OPENAI_URL = "https://api.openai.com/v1"
"""The endpoint when only a key is set."""

MAX_PORT = 65_535
"""Ports are 16 bits (RFC 9293, section 3.1)."""

MAX_MS = 10_000
"""Ten seconds: no reaction may take longer, and no network does."""

MAX_CONTEXT_TOKENS = 100_000_000
"""Ten times what any model takes: more is a typing error."""

MAX_MB = 16_384
"""Of one session: a day of PCM at 48 kHz, twice over; more is a number of bytes."""

MIN_MEMORY_MB = 256
"""With less, a process that reads files does not even start."""

MAX_FILE = 1024 * 1024 * 1024
"""Bytes of a client's file: a gigabyte is no longer part of a conversation."""

MAX_PIXELS = 1_000_000_000
"""Of a picture: more than any camera makes."""

MAX_SIDE = 16_384
"""Pixels of a picture's side: more than any model looks at."""

MAX_FRAMES = 100
"""Pictures of a clip, and of a camera: more than most endpoints take at once."""

MAX_FPS = 60
"""Frames that a camera makes in a second."""

MAX_SHOWN = 80
"""Characters of a bad value that a message repeats, so that it stays one line."""

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]
LlmChoice = Literal["auto", "endpoint", "local", "scripted"]
SttChoice = Literal["auto", "endpoint", "local", "scripted"]
TtsChoice = Literal["auto", "endpoint", "local", "piper", "scripted", "none"]
VadChoice = Literal["auto", "silero", "scripted"]
TurnChoice = Literal["auto", "smart-turn", "words"]
NativeAudio = Literal["none", "input", "output", "both"]


def default_cache() -> Path:
    """The folder for fetched models. A relative `XDG_CACHE_HOME` is ignored, as the XDG base directory specification asks."""
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        folder = chosen if chosen.is_absolute() else Path.home() / ".cache"
    except RuntimeError as error:
        raise ConfigError("REALTIME_CACHE_DIR is unset and there is no home folder: must be a folder for the models") from error
    return folder / "realtime-daemon"


class Address(Struct, frozen=True):
    """Where an endpoint is, and what opens it."""

    url: str
    api_key: str | None
    """Secret."""

    def __repr__(self) -> str:
        return f"Address(url={self.url!r}, api_key={'***' if self.api_key else None!r})"


class Config(Struct, frozen=True, kw_only=True):
    """Everything that the operator may choose."""

    host: str = "localhost"
    port: int = 8001
    """0 takes a free port."""
    log_level: LogLevel = "info"
    log_format: LogFormat = "text"
    log_content: bool = False
    """What is said is logged, too."""
    tls_cert: Path | None = None
    """PEM, the whole chain; its key may be in it."""
    tls_key: Path | None = None

    api_keys_file: Path | None = None
    """Names and hashes. Keys are needed where there are some here or there."""
    api_keys: dict[str, str] | None = None
    """Secret: keys by their names."""
    signing_secret: str | None = None
    """Secret: of client secrets."""
    allowed_origins: frozenset[str] | None = None
    """Web pages that may connect, beside those of this server itself."""
    insecure: bool = False
    """Nobody needs a key, wherever the server listens."""

    openai_base_url: str | None = None
    """As the person wrote it; use `endpoint` for what holds."""
    openai_api_key: str | None = None
    """Secret: never shown, never logged."""
    openai_model: str = "gpt-4o-mini"
    connect_seconds: float = 10.0
    first_token_seconds: float = 60.0
    token_seconds: float = 30.0
    context_tokens: int = 0
    """What the model can be told at once; 0 where nobody knows."""

    llm: LlmChoice = "auto"
    stt: SttChoice = "auto"
    tts: TtsChoice = "auto"
    vad: VadChoice = "auto"
    turn_model: TurnChoice = "auto"
    native_audio: NativeAudio = "none"
    """What the chat endpoint does by itself; use `hears` and `speaks`."""
    whisper_model: str = "base"
    """A name of the catalogue, a folder or a hub id."""
    cache_dir: Path = field(default_factory=default_cache)

    stt_base_url: str | None = None
    """As the person wrote it; use `stt_address` for what holds, and so on."""
    stt_api_key: str | None = None
    """Secret."""
    stt_model: str = "whisper-1"
    tts_base_url: str | None = None
    tts_api_key: str | None = None
    """Secret."""
    tts_model: str = "gpt-4o-mini-tts"
    tts_sample_rate: int = 24_000
    """Of the endpoint's `pcm`, where it does not tell."""
    speech_seconds: float = 30.0
    voices: dict[str, str] = field(default_factory=dict)
    """What the clients' names for voices are to the endpoint, or to Piper; `*` is any other."""
    piper_voice: str = "en_US-joe-medium"
    """A name of the catalogue, or an .onnx file."""

    sample_rate: int = 16_000
    """Samples a second of pcm16 in the classic dialect."""
    enable_audio_processing: bool = True
    enable_image_processing: bool = True
    enable_video_processing: bool = True
    image_side: int = 1536
    """Longest side of a picture as the model sees it, in pixels."""
    low_image_side: int = 512
    """The same where `detail` is `low`, for the pictures of a clip and those of a camera."""
    video_frames: int = 16
    """Pictures that stand for a clip."""
    camera_fps: float = 1.0
    """Frames of a camera that are taken in a second."""
    camera_frames: int = 12
    """Frames of a camera that the model is shown."""

    max_media_bytes: int = 64 * 1024 * 1024
    max_media_seconds: float = 30.0
    """For reading one file."""
    max_media_memory_mb: int = 1280
    """Of the process that reads it, libraries included. Pictures of 64 megapixels take 375 MiB as a PNG, 540 as a progressive CMYK JPEG,
    and at the most 1110, as a lossless WebP."""
    max_image_pixels: int = 64_000_000
    max_audio_seconds: float = 600.0
    max_video_seconds: float = 600.0

    mcp_urls: tuple[str, ...] | None = None
    """Beginnings of the addresses that clients may name as tool servers; None for any."""

    session_seconds: float = 3600.0
    session_audio_mb: int = 32
    """MiB of sound that a session keeps."""
    session_image_mb: int = 32
    """MiB of pictures, in base64."""
    grace_seconds: float = 10.0
    """What running responses get at shutdown; 0 cuts them."""
    interruption_ms: int = 96
    latency_ms: int = 0

    @property
    def endpoint(self) -> str | None:
        """The chat endpoint's base URL, None when neither URL nor key is set."""
        if self.openai_base_url is None and self.openai_api_key is not None:
            return OPENAI_URL
        return self.openai_base_url

    @property
    def asks_endpoint(self) -> bool:
        """Is the language model an endpoint's?"""
        return self.llm == "endpoint" or (self.llm == "auto" and self.endpoint is not None)

    @property
    def hears(self) -> bool:
        """The model is given what people say as sound."""
        return self.native_audio in ("input", "both")

    @property
    def speaks(self) -> bool:
        """The model makes the sound of its answers."""
        return self.native_audio in ("output", "both")

    @property
    def stt_address(self) -> Address | None:
        """Where speech to text is to be had, None when no URL and no key says so. The chat endpoint is the last resort."""
        return self._speech_address(self.stt_base_url, self.stt_api_key)

    @property
    def tts_address(self) -> Address | None:
        """The same for the voice."""
        return self._speech_address(self.tts_base_url, self.tts_api_key)

    @property
    def stt_engine(self) -> SttChoice:
        """The choice, with `auto` settled. A chat endpoint alone is not sent what people say aloud."""
        if self.stt != "auto":
            return self.stt
        return "endpoint" if self.stt_base_url is not None else "local"

    @property
    def tts_engine(self) -> TtsChoice:
        """The choice, with `auto` settled as far as settings settle it: to `endpoint`, else it stays."""
        return "endpoint" if self.tts == "auto" and self.tts_base_url is not None else self.tts

    def _speech_address(self, url: str | None, key: str | None) -> Address | None:
        where = url or self.endpoint or (OPENAI_URL if key else None)
        if where is None:
            return None
        # A key opens the place that it was given for: no other host gets to see it.
        shared = self.openai_api_key if self.endpoint and _origin(where) == _origin(self.endpoint) else None
        return Address(where, key or shared)

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        shown = structs.asdict(self)
        hidden = {name: "***" for name in SECRETS if shown[name] is not None}
        return list((shown | hidden).items())

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port (RFC 6454): what a secret may be sent to."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


class Setting(Struct, frozen=True):
    """One row of the table."""

    name: str
    """Field of `Config`."""
    env: str
    flag: str | None
    """None for secrets."""
    kind: Kind
    help: str
    """A phrase for `--help`, without the default."""

    def default(self) -> str:
        """The default as the person would write it; empty for none that is fixed."""
        [value] = [row.default for row in structs.fields(Config) if row.name == self.name]
        if isinstance(value, bool):
            return str(value).lower()
        return "" if value is None or value is NODEFAULT else f"{value:g}" if isinstance(value, float) else str(value)


SIDE = whole(1, MAX_SIDE, " of pixels")

SECTIONS: dict[str, tuple[Setting, ...]] = {
    "listening": (
        Setting("host", "SERVER_HOST", "--host", ADDRESS, "address to listen on"),
        Setting("port", "SERVER_PORT", "--port", whole(0, MAX_PORT), "port to listen on, 0 for a free one"),
        Setting("log_level", "REALTIME_LOG_LEVEL", "--log-level", one_of(*get_args(LogLevel)), "least important line to log"),
        Setting("log_format", "REALTIME_LOG_FORMAT", "--log-format", one_of(*get_args(LogFormat)), "form of a line of the log"),
        Setting("log_content", "REALTIME_LOG_CONTENT", "--log-content", SWITCH, "log what is said, too, at the level debug"),
        Setting("tls_cert", "REALTIME_TLS_CERT", "--tls-cert", FILE, "certificate chain in PEM: listen with TLS"),
        Setting("tls_key", "REALTIME_TLS_KEY", "--tls-key", FILE, "its key in PEM, where that is not in the same file"),
    ),
    "access": (
        Setting("api_keys_file", "REALTIME_API_KEYS_FILE", "--api-keys-file", FILE, "names and hashes of the keys that open this server"),
        Setting("api_keys", "REALTIME_API_KEYS", None, KEYS, "keys that open this server"),
        Setting("signing_secret", "REALTIME_SECRET", None, LONG_SECRET, "what client secrets are signed with"),
        Setting("allowed_origins", "REALTIME_ALLOWED_ORIGINS", "--allowed-origins", ORIGINS, "web pages that may connect, * for any"),
        Setting("insecure", "REALTIME_INSECURE", "--insecure", SWITCH, "serve others than this machine without keys"),
    ),
    "chat endpoint": (
        Setting("openai_api_key", "OPENAI_API_KEY", None, SECRET, "key of the chat endpoint"),
        Setting("openai_base_url", "OPENAI_BASE_URL", "--base-url", URL, f"chat endpoint; {OPENAI_URL} when only a key is set"),
        Setting("openai_model", "OPENAI_MODEL", "--model", MODEL, "model to ask the endpoint for"),
        Setting("connect_seconds", "REALTIME_LLM_CONNECT_SECONDS", "--llm-connect-seconds", seconds(), "longest wait for a connection"),
        Setting(
            "first_token_seconds",
            "REALTIME_LLM_FIRST_TOKEN_SECONDS",
            "--llm-first-token-seconds",
            seconds(),
            "longest wait for the first token",
        ),
        Setting("token_seconds", "REALTIME_LLM_TOKEN_SECONDS", "--llm-token-seconds", seconds(), "longest wait for each later token"),
        Setting(
            "native_audio",
            "REALTIME_NATIVE_AUDIO",
            "--native-audio",
            one_of(*get_args(NativeAudio)),
            "audio that the endpoint's model itself hears (input) and speaks (output)",
        ),
        Setting(
            "context_tokens",
            "REALTIME_CONTEXT_TOKENS",
            "--context-tokens",
            whole(0, MAX_CONTEXT_TOKENS, " of tokens"),
            "the model's context, in tokens; 0 is not known",
        ),
    ),
    "engines": (
        Setting("llm", "REALTIME_LLM", "--llm", one_of(*get_args(LlmChoice)), "language model; auto: the endpoint if set, else local"),
        Setting("stt", "REALTIME_STT", "--stt", one_of(*get_args(SttChoice)), "speech to text; auto: the endpoint if set, else local"),
        Setting("tts", "REALTIME_TTS", "--tts", one_of(*get_args(TtsChoice)), "voice; auto: the endpoint if set, else local if installed"),
        Setting("vad", "REALTIME_VAD", "--vad", one_of(*get_args(VadChoice)), "voice activity detection; auto: silero"),
        Setting(
            "turn_model",
            "REALTIME_TURN_MODEL",
            "--turn-model",
            one_of(*get_args(TurnChoice)),
            "what judges whether a turn is over; auto: smart-turn if it has been fetched, else words",
        ),
        Setting("whisper_model", "WHISPER_MODEL", "--whisper-model", WHISPER, "speech model: a name, a folder or a hub id"),
        Setting("cache_dir", "REALTIME_CACHE_DIR", "--cache-dir", FOLDER, "fetched models; default: realtime-daemon in the user's cache"),
    ),
    "speech": (
        Setting("stt_base_url", "REALTIME_STT_BASE_URL", "--stt-base-url", URL, "speech-to-text endpoint"),
        Setting("stt_api_key", "REALTIME_STT_API_KEY", None, SECRET, "key of that endpoint"),
        Setting("stt_model", "REALTIME_STT_MODEL", "--stt-model", MODEL, "model to ask it for"),
        Setting("tts_base_url", "REALTIME_TTS_BASE_URL", "--tts-base-url", URL, "text-to-speech endpoint"),
        Setting("tts_api_key", "REALTIME_TTS_API_KEY", None, SECRET, "key of that endpoint"),
        Setting("tts_model", "REALTIME_TTS_MODEL", "--tts-model", MODEL, "model to ask it for"),
        Setting("tts_sample_rate", "REALTIME_TTS_SAMPLE_RATE", "--tts-sample-rate", RATE, "its raw sound in Hz, where it does not tell"),
        Setting("speech_seconds", "REALTIME_SPEECH_SECONDS", "--speech-seconds", seconds(), "longest wait for a transcript, or for sound"),
        Setting("voices", "REALTIME_VOICES", "--voices", VOICES, "the endpoint's or Piper's voice for a client's; * is any other"),
        Setting("piper_voice", "REALTIME_PIPER_VOICE", "--piper-voice", PIPER, "Piper's voice: an .onnx file or a name"),
    ),
    "media": (
        Setting("sample_rate", "SAMPLE_RATE", "--sample-rate", RATE, "pcm16 of /ws/realtime, in Hz"),
        Setting("enable_audio_processing", "ENABLE_AUDIO_PROCESSING", "--enable-audio-processing", SWITCH, "accept audio"),
        Setting("enable_image_processing", "ENABLE_IMAGE_PROCESSING", "--enable-image-processing", SWITCH, "accept images"),
        Setting("enable_video_processing", "ENABLE_VIDEO_PROCESSING", "--enable-video-processing", SWITCH, "accept video"),
        Setting("image_side", "REALTIME_IMAGE_SIDE", "--image-side", SIDE, "longest side of a picture as the model sees it, in pixels"),
        Setting("low_image_side", "REALTIME_LOW_IMAGE_SIDE", "--low-image-side", SIDE, "the same in low detail, of clips and of cameras"),
        Setting("video_frames", "REALTIME_VIDEO_FRAMES", "--video-frames", whole(1, MAX_FRAMES), "pictures that stand for a clip"),
        Setting("camera_fps", "REALTIME_CAMERA_FPS", "--camera-fps", number(MAX_FPS), "frames of a camera that are taken in a second"),
        Setting(
            "camera_frames", "REALTIME_CAMERA_FRAMES", "--camera-frames", whole(1, MAX_FRAMES), "of them, those that the model is shown"
        ),
    ),
    "media files": (
        Setting("max_media_bytes", "MAX_MEDIA_BYTES", "--max-media-bytes", whole(1, MAX_FILE), "bytes of a picture, a sound or a clip"),
        Setting("max_media_seconds", "MAX_MEDIA_SECONDS", "--max-media-seconds", seconds(), "longest time to read one"),
        Setting(
            "max_media_memory_mb",
            "MAX_MEDIA_MEMORY_MB",
            "--max-media-memory-mb",
            whole(MIN_MEMORY_MB, MAX_MB, " of MiB"),
            "memory to read it in, in MiB",
        ),
        Setting("max_image_pixels", "MAX_IMAGE_PIXELS", "--max-image-pixels", whole(1, MAX_PIXELS), "width times height of a picture"),
        Setting("max_audio_seconds", "MAX_AUDIO_SECONDS", "--max-audio-seconds", seconds(), "length of a sound file"),
        Setting("max_video_seconds", "MAX_VIDEO_SECONDS", "--max-video-seconds", seconds(), "length of a clip"),
    ),
    "limits": (
        Setting("mcp_urls", "REALTIME_MCP_URLS", "--mcp-urls", URLS, "beginnings of the addresses that clients may name as tool servers"),
        Setting("session_seconds", "REALTIME_SESSION_SECONDS", "--session-seconds", seconds(), "longest life of a session"),
        Setting(
            "session_audio_mb",
            "REALTIME_SESSION_AUDIO_MB",
            "--session-audio-mb",
            whole(0, MAX_MB, " of MiB"),
            "sound that a session keeps, in MiB",
        ),
        Setting(
            "session_image_mb",
            "REALTIME_SESSION_IMAGE_MB",
            "--session-image-mb",
            whole(0, MAX_MB, " of MiB"),
            "pictures that a session keeps, in MiB of base64",
        ),
        Setting(
            "interruption_ms",
            "REALTIME_INTERRUPTION_MS",
            "--interruption-ms",
            whole(0, MAX_MS, " of ms"),
            "speech that interrupts an answer",
        ),
        Setting("grace_seconds", "REALTIME_GRACE_SECONDS", "--grace-seconds", seconds(zero=True), "for running responses at shutdown"),
        Setting(
            "latency_ms",
            "REALTIME_LATENCY_MS",
            "--latency-ms",
            whole(0, MAX_MS, " of ms"),
            "wait before every frame: a network, for tests",
        ),
    ),
}

SETTINGS = tuple(setting for section in SECTIONS.values() for setting in section)

SECRETS = tuple(setting.name for setting in SETTINGS if setting.kind.secret)
"""Never shown, never logged."""


def add_flags(parser: argparse.ArgumentParser, settings: Container[Setting] = SETTINGS) -> None:
    """Give `parser` a flag for each of these settings that may have one. Values stay text: `load` judges them."""
    for title, section in SECTIONS.items():
        group = parser.add_argument_group(title)
        for setting in section:
            if setting.flag is not None and setting in settings:
                # A switch that is only named is on.
                bare: dict[str, Any] = {"nargs": "?", "const": "true"} if setting.kind is SWITCH else {}
                group.add_argument(setting.flag, dest=setting.name, metavar=setting.kind.metavar, help=_help(setting), **bare)


def _help(setting: Setting) -> str:
    default = setting.default()
    return f"{setting.help} [{setting.env}{f', {default}' if default else ''}]".replace("%", "%%")


def load(flags: Mapping[str, str | None]) -> Config:
    """Settle every setting. `flags` maps names of settings to what the command line said; None and absent count as not given.

    Raises `ConfigError`.
    """
    given = {setting.name: said for setting in SETTINGS if (said := _said(setting, flags)) is not None}
    values: dict[str, Any] = {setting.name: _read(setting, *given[setting.name]) for setting in SETTINGS if setting.name in given}
    values.setdefault("api_keys_file", supervisor.credential_file(os.environ, "api-keys"))
    config = Config(**values)
    for name, address, url in (
        ("llm", config.endpoint, ""),
        ("stt", config.stt_address, "REALTIME_STT_BASE_URL (or --stt-base-url), or "),
        ("tts", config.tts_address, "REALTIME_TTS_BASE_URL (or --tts-base-url), or "),
    ):
        if values.get(name) == "endpoint" and address is None:
            source, value = given[name]
            raise ConfigError(f"{source}={value}: needs {url}OPENAI_BASE_URL (or --base-url), or OPENAI_API_KEY")
    if config.native_audio != "none" and not config.asks_endpoint:
        source, value = given["native_audio"]
        raise ConfigError(f"{source}={value}: needs a chat endpoint for a language model, whose audio it would be")
    if config.tls_key is not None and config.tls_cert is None:
        source, value = given["tls_key"]
        raise ConfigError(f"{source}={value}: needs a certificate, REALTIME_TLS_CERT (or --tls-cert)")
    return config


def supervision() -> supervisor.Supervisor:
    """What the service manager says, where there is one. Raises `ConfigError`."""
    return supervisor.read(os.environ, os.getpid())


def _said(setting: Setting, flags: Mapping[str, str | None]) -> tuple[str, str] | None:
    """Where the person chose a value, and the value."""
    flag, variable = flags.get(setting.name), os.environ.get(setting.env)
    if setting.flag is not None and flag is not None:
        return setting.flag, flag
    if variable:
        return setting.env, variable
    secret = supervisor.credential(os.environ, setting.env) if setting.kind is SECRET else None
    return (setting.env, secret) if secret else None


def _read(setting: Setting, source: str, value: str) -> object:
    try:
        return setting.kind.parse(value)
    except ValueError:
        hidden = setting.kind.secret or "@" in value
        shown = "***" if hidden else repr(value if len(value) <= MAX_SHOWN else value[:MAX_SHOWN] + "...")
        raise ConfigError(f"{source}={shown}: must be {setting.kind.allowed}") from None
