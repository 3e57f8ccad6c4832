"""The keys that clients need: each has a name, and is known by its hash alone.

Owns the file of keys, one `name:sha256` a line, with what the key may have after it (`quotas`), and the comparison. It never says a key,
nor repeats a line that it could not read: somebody may have written a key there.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from realtime.errors import ConfigError
from realtime.server import quotas
from realtime.server.quotas import Quota
from realtime.values import KEY_NAME, MAX_COUNT

PREFIX = "rt_"
"""Of the keys that are made here, so that a scanner for leaked secrets may know them."""

RANDOM_BYTES = 32
"""Of a new key: as many as its hash has."""

_LINE = re.compile(rf"(?P<name>{KEY_NAME.pattern}):(?P<hash>[0-9a-fA-F]{{64}})(?P<quota>(\s+\S+)*)")


class Key(Struct, frozen=True):
    """One key, and whose it is."""

    name: str
    digest: bytes
    """SHA-256. Keys are long and random, so a slow hash would protect nothing more."""
    quota: Quota = Quota()


class Keys:
    """Those that open this server."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._by_name: dict[str, Key] = {}
        for key in keys:
            if self._by_name.setdefault(key.name, key) is not key:
                raise ConfigError(f"two keys are called {key.name}: each needs a name of its own")

    def __len__(self) -> int:
        return len(self._by_name)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._by_name.values())

    def find(self, presented: str) -> Key | None:
        """The key that this is. All of them are compared, in constant time, so that the time tells nothing of any."""
        digest, found = hashed(presented), None
        for key in self:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


def hashed(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()  # a header may hold anything


def read(file: Path | None, given: Mapping[str, str] | None) -> Keys:
    """The keys of a file, and those given by name. Raises `ConfigError`."""
    listed = [] if file is None else _read_file(file)
    return Keys([*listed, *(Key(name, hashed(key)) for name, key in (given or {}).items())])


def _read_file(file: Path) -> list[Key]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(f"{file}: the keys can't be read: {reason}") from error
    return [_parse(line.strip(), f"{file}, line {number}") for number, line in enumerate(lines, 1) if line.strip() and line[0] != "#"]


def _parse(line: str, where: str) -> Key:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ConfigError(f"{where}: must be a name, a colon and the SHA-256 of a key in hex, as `python -m realtime keys new NAME` prints")
    try:
        quota = quotas.parse(match["quota"].split())
    except ValueError:
        known = ", ".join(f"{name}=N" for name in quotas.NAMES)
        raise ConfigError(
            f"{where}: after the hash may come {known}, each once, N a whole number up to {MAX_COUNT}, 0 for no limit"
        ) from None
    return Key(match["name"], bytes.fromhex(match["hash"]), quota)


def fresh(name: str) -> tuple[str, str]:
    """A new key, and its line for the file. Raises `ConfigError` for a name that can't be one."""
    if KEY_NAME.fullmatch(name) is None:
        raise ConfigError(f"{name!r}: must be 1 to 64 letters, digits, dots, dashes or underscores")
    key = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    return key, f"{name}:{hashed(key).hex()}"
