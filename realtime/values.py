"""What the value of a setting may be, and how it is read from text."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

MIN_RATE, MAX_RATE = 8_000, 48_000
"""Samples a second: from the telephone to the sound card. Anything else is a typing error."""

MAX_SECONDS = 7 * 24 * 3600
"""A week: longer than any connection lives, and short enough to catch milliseconds written as seconds."""

KEY_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What somebody's key may be called."""

MAX_COUNT = 1_000_000
"""Of sessions, and of what somebody does in a minute: more is no limit."""

MIN_SECRET = 16
"""Characters of a secret that has to withstand guessing."""

STORE_KEY_BYTES = 32
"""Of a key of AES-256."""

Network = IPv4Network | IPv6Network


class Kind(Struct, frozen=True):
    """What a value may be."""

    metavar: str
    allowed: str
    """Completes the sentence `must be ...`."""
    parse: Callable[[str], object]
    """Raises `ValueError` for anything else."""
    secret: bool = False
    """Never shown, never logged, and never taken from a command line, which is public to every user of the machine."""


def text(metavar: str, allowed: str) -> Kind:
    def parse(value: str) -> str:
        if not value.strip() or not value.isprintable():
            raise ValueError
        return value

    return Kind(metavar, allowed, parse)


def one_of(*names: str) -> Kind:
    def parse(value: str) -> str:
        return names[names.index(value.lower())]

    return Kind("|".join(names), f"one of {', '.join(names)}", parse)


def whole(low: int, high: int, unit: str = "") -> Kind:
    def parse(value: str) -> int:
        if not low <= int(value) <= high:
            raise ValueError
        return int(value)

    return Kind("N", f"a whole number{unit} from {low} to {high}", parse)


def seconds(*, zero: bool = False) -> Kind:
    def parse(value: str) -> float:
        seconds = float(value)
        if not math.isfinite(seconds) or seconds < 0 or seconds > MAX_SECONDS or (seconds == 0 and not zero):
            raise ValueError
        return seconds

    return Kind("SECONDS", f"seconds, {'0 or more' if zero else 'more than 0'} and at most {MAX_SECONDS}", parse)


def number(high: float) -> Kind:
    def parse(value: str) -> float:
        number = float(value)
        if not 0 < number <= high:  # nor is it NaN
            raise ValueError
        return number

    return Kind("N", f"a number above 0 and at most {high:g}", parse)


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
    if parts.username is not None:  # it is logged: secrets have variables of their own
        raise ValueError
    return value


def _urls(value: str) -> tuple[str, ...]:
    return tuple(_url(each.strip()) for each in value.split(","))


def _redis(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("redis", "rediss", "unix") or not (parts.hostname or parts.path) or not value.isprintable() or " " in value:
        raise ValueError
    return value


def _store_keys(value: str) -> tuple[bytes, ...]:
    """In base64 or hex."""
    return tuple(_store_key(each.strip()) for each in value.split(","))


def _store_key(value: str) -> bytes:
    key = bytes.fromhex(value) if len(value) == 2 * STORE_KEY_BYTES else base64.b64decode(value, validate=True)
    if len(key) != STORE_KEY_BYTES:
        raise ValueError
    return key


def _secret(value: str) -> str:
    if not (value.isascii() and value.isprintable()) or " " in value:  # it travels in a header
        raise ValueError
    return value


def _long_secret(value: str) -> str:
    if len(value) < MIN_SECRET:
        raise ValueError
    return _secret(value)


def _keys(value: str) -> dict[str, str]:
    """By name; one without a name is called after its place."""
    entries = [entry.strip() for entry in value.split(",")]
    pairs = [entry.split("=", 1) if "=" in entry else [f"key-{place}", entry] for place, entry in enumerate(entries, 1)]
    table = {name: _long_secret(key) for name, key in pairs}
    if len(table) != len(pairs) or not all(KEY_NAME.fullmatch(name) for name in table):
        raise ValueError
    return table


def _origin(value: str) -> str:
    """As browsers write it: no capitals, no path, no port that goes without saying."""
    parts = urlsplit(value.lower())
    if not parts.scheme or not parts.netloc or parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError
    usual = {"http": ":80", "https": ":443"}.get(parts.scheme, " ")
    return f"{parts.scheme}://{parts.netloc.removesuffix(usual)}"


def _origins(value: str) -> frozenset[str]:
    return frozenset("*" if each.strip() == "*" else _origin(each.strip()) for each in value.split(","))


def _networks(value: str) -> tuple[Network, ...]:
    return tuple(ip_network(each.strip(), strict=False) for each in value.split(","))


def _pairs(value: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    table = {name.strip(): meant.strip() for name, _, meant in pairs}
    if not value.isprintable() or len(table) != len(pairs) or not all([*table, *table.values()]):
        raise ValueError
    return table


def _folder(value: str) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError from error


RATE = whole(MIN_RATE, MAX_RATE, " of Hz")
COUNT = whole(0, MAX_COUNT)
SWITCH = Kind("true|false", f"one of {', '.join(_SWITCH_WORDS)}", _switch)
URL = Kind("URL", "an http:// or https:// address without a query or a password", _url)
URLS = Kind("URL,...", "http:// or https:// addresses without a query or a password, with commas between them", _urls)
SECRET = Kind("KEY", "printable ASCII without spaces", _secret, secret=True)
LONG_SECRET = Kind("SECRET", f"at least {MIN_SECRET} characters of printable ASCII without spaces", _long_secret, secret=True)
KEYS = Kind("KEYS", f"name=key or bare keys, with commas between them, each name once, each {LONG_SECRET.allowed}", _keys, secret=True)
REDIS = Kind("URL", "a redis://, rediss:// or unix:// address", _redis, secret=True)
STORE_KEYS = Kind(
    "KEYS", f"keys of {STORE_KEY_BYTES} bytes in base64 or hex, the newest first, with commas between them", _store_keys, secret=True
)
ORIGINS = Kind("ORIGIN,...", "origins such as https://app.example, or *, with commas between them", _origins)
NETWORKS = Kind("ADDRESS,...", "IP addresses or networks such as 10.0.0.0/8, with commas between them", _networks)
FILE = Kind("FILE", "a file whose ~ can be resolved", _folder)
FOLDER = Kind("FOLDER", "a folder whose ~ can be resolved", _folder)
ADDRESS = text("HOST", "a host name or an IP address")
MODEL = text("MODEL", "the name of a model")
WHISPER = text("MODEL", "a name such as base, a folder or a hub id")
PIPER = text("VOICE", "an .onnx file, or a name such as en_US-joe-medium")
VOICES = Kind("NAME=VOICE,...", "pairs such as alloy=af_heart,ash=am_adam, each name once", _pairs)
