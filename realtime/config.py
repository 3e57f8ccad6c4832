"""The settings: one table that drives the flags, the environment, the help text and the README.

This is the only module that reads the environment. A flag beats the environment, which beats the default; an empty environment
variable counts as unset, as systemd units and compose files leave them. It refuses what it can judge by itself, as a `ConfigError`
that names the setting the way the person gave it; whether a model exists or an endpoint answers is for those who use it.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from msgspec import NODEFAULT, Struct, field, structs

from realtime.errors import ConfigError

OPENAI_URL = "https://api.openai.com/v1"
"""The endpoint when only a key is set."""

MAX_PORT = 65_535
"""Ports are 16 bits (RFC 9293, section 3.1)."""

MIN_RATE, MAX_RATE = 8_000, 48_000
"""Samples a second: from the telephone to the sound card. Anything else is a typing error."""

MAX_SECONDS = 7 * 24 * 3600
"""A week: longer than any connection lives, and short enough to catch milliseconds written as seconds."""

MAX_SHOWN = 80
"""Characters of a bad value that a message repeats, so that it stays one line."""

LogLevel = Literal["debug", "info", "warning", "error"]
LlmChoice = Literal["auto", "endpoint", "local", "scripted"]
SttChoice = Literal["auto", "local", "scripted"]
TtsChoice = Literal["auto", "local", "scripted", "none"]
VadChoice = Literal["auto", "silero", "scripted"]


def default_cache() -> Path:
    """The folder for fetched models. A relative `XDG_CACHE_HOME` is ignored, as the XDG base directory specification asks."""
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        folder = chosen if chosen.is_absolute() else Path.home() / ".cache"
    except RuntimeError as error:
        raise ConfigError("REALTIME_CACHE_DIR is unset and there is no home folder: must be a folder for the models") from error
    return folder / "realtime-daemon"


class Config(Struct, frozen=True, kw_only=True):
    """Everything that the operator may choose."""

    host: str = "localhost"
    port: int = 8001
    """0 takes a free port."""
    log_level: LogLevel = "info"

    openai_base_url: str | None = None
    """As the person wrote it; use `endpoint` for what holds."""
    openai_api_key: str | None = None
    """Secret: never shown, never logged."""
    openai_model: str = "gpt-4o-mini"
    connect_seconds: float = 10.0
    first_token_seconds: float = 60.0
    token_seconds: float = 30.0

    llm: LlmChoice = "auto"
    stt: SttChoice = "auto"
    tts: TtsChoice = "auto"
    vad: VadChoice = "auto"
    whisper_model: str = "base"
    """A name of the catalogue, a folder or a hub id."""
    cache_dir: Path = field(default_factory=default_cache)

    sample_rate: int = 16_000
    """Samples a second of pcm16 in the classic dialect."""
    enable_audio_processing: bool = True
    enable_image_processing: bool = True
    enable_video_processing: bool = True

    mcp_urls: tuple[str, ...] | None = None
    """Beginnings of the addresses that clients may name as tool servers; None for any."""

    session_seconds: float = 3600.0
    grace_seconds: float = 10.0
    """What running responses get at shutdown; 0 cuts them."""

    @property
    def endpoint(self) -> str | None:
        """The chat endpoint's base URL, None when neither URL nor key is set."""
        if self.openai_base_url is None and self.openai_api_key is not None:
            return OPENAI_URL
        return self.openai_base_url

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        shown = structs.asdict(self)
        if self.openai_api_key is not None:
            shown["openai_api_key"] = "***"
        return list(shown.items())

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


class Kind(Struct, frozen=True):
    """What a value may be."""

    metavar: str
    allowed: str
    """Completes the sentence `must be ...`."""
    parse: Callable[[str], object]
    """Raises `ValueError` for anything else."""


class Setting(Struct, frozen=True):
    """One row of the table."""

    name: str
    """Field of `Config`."""
    env: str
    flag: str | None
    """None for secrets: a command line is public to every user of the machine."""
    kind: Kind
    help: str
    """A phrase for `--help`, without the default."""

    def default(self) -> str:
        """The default as the person would write it; empty for none that is fixed."""
        [value] = [row.default for row in structs.fields(Config) if row.name == self.name]
        if isinstance(value, bool):
            return str(value).lower()
        return "" if value is None or value is NODEFAULT else f"{value:g}" if isinstance(value, float) else str(value)


def _text(metavar: str, allowed: str) -> Kind:
    def parse(value: str) -> str:
        if not value.strip() or not value.isprintable():
            raise ValueError
        return value

    return Kind(metavar, allowed, parse)


def _one_of(*names: str) -> Kind:
    def parse(value: str) -> str:
        return names[names.index(value.lower())]

    return Kind("|".join(names), f"one of {', '.join(names)}", parse)


def _whole(low: int, high: int, unit: str = "") -> Kind:
    def parse(value: str) -> int:
        if not low <= int(value) <= high:
            raise ValueError
        return int(value)

    return Kind("N", f"a whole number{unit} from {low} to {high}", parse)


def _seconds(*, zero: bool = False) -> Kind:
    def parse(value: str) -> float:
        seconds = float(value)
        if not math.isfinite(seconds) or seconds < 0 or seconds > MAX_SECONDS or (seconds == 0 and not zero):
            raise ValueError
        return seconds

    return Kind("SECONDS", f"seconds, {'0 or more' if zero else 'more than 0'} and at most {MAX_SECONDS}", parse)


_SWITCH_WORDS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def _switch(value: str) -> bool:
    if value.lower() not in _SWITCH_WORDS:
        raise ValueError
    return _SWITCH_WORDS[value.lower()]


def _url(value: str) -> str:
    parts = urlsplit(value)  # raises ValueError by itself for a broken IPv6 address, and `.port` for a bad port
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0 or not value.isprintable() or " " in value:
        raise ValueError
    if parts.query or parts.fragment:  # paths are appended to it
        raise ValueError
    if parts.username is not None:  # it is logged: secrets go into OPENAI_API_KEY
        raise ValueError
    return value


def _urls(value: str) -> tuple[str, ...]:
    return tuple(_url(each.strip()) for each in value.split(","))


def _secret(value: str) -> str:
    if not (value.isascii() and value.isprintable()) or " " in value:  # it travels in a header
        raise ValueError
    return value


def _folder(value: str) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError from error


SWITCH = Kind("true|false", f"one of {', '.join(_SWITCH_WORDS)}", _switch)
URL = Kind("URL", "an http:// or https:// address without a query or a password", _url)
URLS = Kind("URL,...", "http:// or https:// addresses without a query or a password, with commas between them", _urls)
SECRET = Kind("KEY", "printable ASCII without spaces", _secret)
FOLDER = Kind("FOLDER", "a folder whose ~ can be resolved", _folder)
ADDRESS = _text("HOST", "a host name or an IP address")
MODEL = _text("MODEL", "the name of a model")
WHISPER = _text("MODEL", "a name such as base, a folder or a hub id")

SECTIONS: dict[str, tuple[Setting, ...]] = {
    "listening": (
        Setting("host", "SERVER_HOST", "--host", ADDRESS, "address to listen on"),
        Setting("port", "SERVER_PORT", "--port", _whole(0, MAX_PORT), "port to listen on, 0 for a free one"),
        Setting("log_level", "REALTIME_LOG_LEVEL", "--log-level", _one_of(*get_args(LogLevel)), "least important line to log"),
    ),
    "chat endpoint": (
        Setting("openai_api_key", "OPENAI_API_KEY", None, SECRET, "key of the chat endpoint"),
        Setting("openai_base_url", "OPENAI_BASE_URL", "--base-url", URL, f"chat endpoint; {OPENAI_URL} when only a key is set"),
        Setting("openai_model", "OPENAI_MODEL", "--model", MODEL, "model to ask the endpoint for"),
        Setting("connect_seconds", "REALTIME_LLM_CONNECT_SECONDS", "--llm-connect-seconds", _seconds(), "longest wait for a connection"),
        Setting(
            "first_token_seconds",
            "REALTIME_LLM_FIRST_TOKEN_SECONDS",
            "--llm-first-token-seconds",
            _seconds(),
            "longest wait for the first token",
        ),
        Setting("token_seconds", "REALTIME_LLM_TOKEN_SECONDS", "--llm-token-seconds", _seconds(), "longest wait for each later token"),
    ),
    "engines": (
        Setting("llm", "REALTIME_LLM", "--llm", _one_of(*get_args(LlmChoice)), "language model; auto: the endpoint if set, else local"),
        Setting("stt", "REALTIME_STT", "--stt", _one_of(*get_args(SttChoice)), "speech to text; auto: local"),
        Setting("tts", "REALTIME_TTS", "--tts", _one_of(*get_args(TtsChoice)), "voice; auto: local if it is installed"),
        Setting("vad", "REALTIME_VAD", "--vad", _one_of(*get_args(VadChoice)), "voice activity detection; auto: silero"),
        Setting("whisper_model", "WHISPER_MODEL", "--whisper-model", WHISPER, "speech model: a name, a folder or a hub id"),
        Setting("cache_dir", "REALTIME_CACHE_DIR", "--cache-dir", FOLDER, "fetched models; default: realtime-daemon in the user's cache"),
    ),
    "media": (
        Setting("sample_rate", "SAMPLE_RATE", "--sample-rate", _whole(MIN_RATE, MAX_RATE, " of Hz"), "pcm16 of /ws/realtime, in Hz"),
        Setting("enable_audio_processing", "ENABLE_AUDIO_PROCESSING", "--enable-audio-processing", SWITCH, "accept audio"),
        Setting("enable_image_processing", "ENABLE_IMAGE_PROCESSING", "--enable-image-processing", SWITCH, "accept images"),
        Setting("enable_video_processing", "ENABLE_VIDEO_PROCESSING", "--enable-video-processing", SWITCH, "accept video"),
    ),
    "limits": (
        Setting("mcp_urls", "REALTIME_MCP_URLS", "--mcp-urls", URLS, "beginnings of the addresses that clients may name as tool servers"),
        Setting("session_seconds", "REALTIME_SESSION_SECONDS", "--session-seconds", _seconds(), "longest life of a session"),
        Setting("grace_seconds", "REALTIME_GRACE_SECONDS", "--grace-seconds", _seconds(zero=True), "for running responses at shutdown"),
    ),
}

SETTINGS = tuple(setting for section in SECTIONS.values() for setting in section)


def add_flags(parser: argparse.ArgumentParser, settings: Container[Setting] = SETTINGS) -> None:
    """Give `parser` a flag for each of these settings that may have one. Values stay text: `load` judges them."""
    for title, section in SECTIONS.items():
        group = parser.add_argument_group(title)
        for setting in section:
            if setting.flag is not None and setting in settings:
                group.add_argument(setting.flag, dest=setting.name, metavar=setting.kind.metavar, help=_help(setting))


def _help(setting: Setting) -> str:
    default = setting.default()
    return f"{setting.help} [{setting.env}{f', {default}' if default else ''}]".replace("%", "%%")


def load(flags: Mapping[str, str | None]) -> Config:
    """Settle every setting. `flags` maps names of settings to what the command line said; None and absent count as not given.

    Raises `ConfigError`.
    """
    given = {setting.name: said for setting in SETTINGS if (said := _said(setting, flags)) is not None}
    values: dict[str, Any] = {setting.name: _read(setting, *given[setting.name]) for setting in SETTINGS if setting.name in given}
    config = Config(**values)
    if config.llm == "endpoint" and config.endpoint is None:
        source, value = given["llm"]
        raise ConfigError(f"{source}={value}: needs OPENAI_BASE_URL (or --base-url), or OPENAI_API_KEY")
    return config


def _said(setting: Setting, flags: Mapping[str, str | None]) -> tuple[str, str] | None:
    """Where the person chose a value, and the value."""
    flag, variable = flags.get(setting.name), os.environ.get(setting.env)
    if setting.flag is not None and flag is not None:
        return setting.flag, flag
    return (setting.env, variable) if variable else None


def _read(setting: Setting, source: str, value: str) -> object:
    try:
        return setting.kind.parse(value)
    except ValueError:
        hidden = setting.kind is SECRET or "@" in value
        shown = "***" if hidden else repr(value if len(value) <= MAX_SHOWN else value[:MAX_SHOWN] + "...")
        raise ConfigError(f"{source}={shown}: must be {setting.kind.allowed}") from None
