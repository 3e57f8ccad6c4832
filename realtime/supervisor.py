"""What the service manager that started this process says of itself, in the environment; `config` reads that.

systemd is one that does; anything else that follows its protocols will do as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from realtime.errors import ConfigError
from realtime.values import whole

MICROSECONDS = 1_000_000
"""In a second: the unit of the manager's times."""

COUNT = whole(0, 2**63 - 1)
"""As wide as the manager's own."""


class Supervisor(Struct, frozen=True, kw_only=True):
    """What there is to know of it; nothing where nobody supervises us."""

    notify_socket: str | None = None
    """Where it wants to be told of the start and the end (sd_notify(3)): a path, or an abstract name that begins with `@`."""
    watchdog_seconds: float | None = None
    """How long it waits for a sign of life (sd_watchdog_enabled(3))."""
    sockets: int = 0
    """That it has opened for us (sd_listen_fds(3))."""


def read(environment: Mapping[str, str], pid: int) -> Supervisor:
    """What holds for the process `pid`: what was said to another, whose environment was handed on, does not. Raises `ConfigError`."""
    address = environment.get("NOTIFY_SOCKET") or None
    if address is not None and address[0] not in "/@":
        raise ConfigError(f"NOTIFY_SOCKET={address!r}: must be a path, or @ and a name")
    watched = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
    wait = _count(environment, "WATCHDOG_USEC") if watched else 0
    sockets = _count(environment, "LISTEN_FDS") if environment.get("LISTEN_PID") == str(pid) else 0
    return Supervisor(notify_socket=address, watchdog_seconds=wait / MICROSECONDS or None, sockets=sockets)


def credential_file(environment: Mapping[str, str], name: str) -> Path | None:
    """Where that secret lies; None for none, or an empty one, which is what a unit gives where the operator gives none.

    Raises `ConfigError`.
    """
    return None if credential(environment, name) is None else Path(environment["CREDENTIALS_DIRECTORY"], name)


def credential(environment: Mapping[str, str], name: str) -> str | None:
    """The secret that it hands over under that name (`LoadCredential=`); None for none, or an empty one. Raises `ConfigError`."""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    try:
        return Path(folder, name).read_text(encoding="utf-8", errors="replace").strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"The credential {name} can't be read: {error.strerror}") from error


def _count(environment: Mapping[str, str], name: str) -> int:
    value = environment.get(name) or "0"
    try:
        count = COUNT.parse(value)
    except ValueError as error:
        raise ConfigError(f"{name}={value!r}: must be {COUNT.allowed}") from error
    assert isinstance(count, int)
    return count
