"""The settings as they hold: `options` has what may be chosen, this what was, by flag, environment or default.

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
from typing import Any, Literal
from urllib.parse import urlsplit

from msgspec import NODEFAULT, Struct, field, structs

from realtime import supervisor
from realtime.errors import ConfigError
from realtime.options import (
    OPENAI_URL,
    SECRETS,
    SECTIONS,
    SETTINGS,
    LlmChoice,
    LogFormat,
    LogLevel,
    NativeAudio,
    Setting,
    SpeculationChoice,
    StoreChoice,
    SttChoice,
    TtsChoice,
    TurnChoice,
    VadChoice,
)
from realtime.values import SWITCH, Network

MAX_SHOWN = 80
"""Characters of a bad value that a message repeats, so that it stays one line."""


def default_cache() -> Path:
    """The folder for fetched models. A relative `XDG_CACHE_HOME` is ignored, as the XDG base directory specification asks."""
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        folder = chosen if chosen.is_absolute() else Path.home() / ".cache"
    except RuntimeError as error:
        raise ConfigError("REALTIME_CACHE_DIR is unset and there is no home folder: must be a folder for the models") from error
    return folder / "realtime-daemon"


def default_state() -> Path | None:
    """The folder for what outlives a process: the service manager's (systemd.exec(5), `StateDirectory=`), else the user's own, as the XDG
    base directory specification asks. None where there is no home."""
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    chosen = Path(os.environ.get("XDG_STATE_HOME", ""))
    try:
        return (chosen if chosen.is_absolute() else Path.home() / ".local" / "state") / "realtime-daemon"
    except RuntimeError:
        return None


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
    workers: int = 1
    """Processes that share the port; each loads its own models."""
    log_level: LogLevel = "info"
    log_format: LogFormat = "text"
    record_dir: Path | None = None
    """Where every session is written down."""
    log_content: bool = False
    """What is said is logged, too."""
    traces: bool = False
    """Spans go to an OpenTelemetry collector."""
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

    max_sessions: int = 10_000
    """0 is no limit, here and below. An idle session is 43 KB, so that many take 430 MB. Those who talk cost processor time
    instead, by what they do and on what machine; of them the loop's lag keeps out the next."""
    key_sessions: int = 0
    address_sessions: int = 0
    key_new_sessions: int = 0
    """In a minute, and so are those that follow."""
    address_new_sessions: int = 0
    events_per_minute: int = 0
    audio_per_minute: int = 0
    """Seconds."""
    requests_per_minute: int = 0
    """To the model."""
    tokens_per_minute: int = 0
    session_responses: int = 16
    """At once: more than any client that means well asks for beside its conversation, and no flood of an endpoint."""
    idle_seconds: float = 0.0
    """Without an event of the client's."""
    trusted_proxies: tuple[Network, ...] | None = None

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
    speculation: SpeculationChoice = "auto"
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

    store: StoreChoice = "sqlite"
    state_dir: Path | None = field(default_factory=default_state)
    redis_url: str | None = None
    """Secret: there may be a password in it."""
    store_key: tuple[bytes, ...] | None = None
    """Secret: the first encrypts, all decrypt."""
    keep_seconds: int = 24 * 3600
    store_mb: int = 1024
    """MiB of all sessions together: three hours of speech in PCM, or years of text. 0 is no limit."""
    resume_seconds: float = 30.0
    """Without a client, before a session ends whose connection broke: a phone changes its network in less."""

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
    def speculates(self) -> Literal["off", "transcribe", "respond"]:
        """The choice, with `auto` settled. An endpoint may want money for what is thrown away; the embedded ear leaves it out when busy."""
        if self.speculation != "auto":
            return self.speculation
        return "transcribe" if self.stt_engine == "local" else "off"

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


def default(setting: Setting) -> str:
    """The default as the person would write it; empty for none that is fixed."""
    [value] = [row.default for row in structs.fields(Config) if row.name == setting.name]
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None or value is NODEFAULT else f"{value:g}" if isinstance(value, float) else str(value)


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
    value = default(setting)
    return f"{setting.help} [{setting.env}{f', {value}' if value else ''}]".replace("%", "%%")


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


def flags(said: Mapping[str, str | None]) -> list[str]:
    """What the command line said, as it would be said again."""
    flagged = (setting for setting in SETTINGS if setting.flag is not None and said.get(setting.name) is not None)
    return [f"{setting.flag}={said[setting.name]}" for setting in flagged]


def worker_environment(worker: supervisor.Supervisor) -> dict[str, str]:
    """This process's environment, and what its worker is to know of its parent."""
    return supervisor.told(os.environ, worker)


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
    secret = supervisor.credential(os.environ, setting.env) if setting.kind.secret else None
    return (setting.env, secret) if secret else None


def _read(setting: Setting, source: str, value: str) -> object:
    try:
        return setting.kind.parse(value)
    except ValueError:
        hidden = setting.kind.secret or "@" in value
        shown = "***" if hidden else repr(value if len(value) <= MAX_SHOWN else value[:MAX_SHOWN] + "...")
        raise ConfigError(f"{source}={shown}: must be {setting.kind.allowed}") from None
