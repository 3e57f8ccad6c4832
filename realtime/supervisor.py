"""What the service manager that started this process says of itself, in the environment; `config` reads that.

systemd is one that does; anything else that follows its protocols will do as well. The parent of several workers (`parent`) is one, too: it
speaks the same protocols to them, and names the worker, which no other manager does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from realtime.errors import ConfigError
from realtime.values import whole

MICROSECONDS = 1_000_000
"""In a second: the unit of the manager's times."""

WORKER = "REALTIME_WORKER"
"""Which worker a parent has started; nobody else sets it."""

METRICS = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus-client's own name: it keeps its numbers in files there, where that is set when it is imported."""

OURS_ALONE = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", METRICS}
"""What a manager says to a parent, and means for no other process."""

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
    worker: int = 0
    """Our number, from 1, where a parent has started several of us; then its end shows as the end of our standard input."""
    metrics: Path | None = None
    """The folder in which all workers keep what they count."""


def read(environment: Mapping[str, str], pid: int) -> Supervisor:
    """What holds for the process `pid`: what was said to another, whose environment was handed on, does not. Raises `ConfigError`."""
    address = environment.get("NOTIFY_SOCKET") or None
    if address is not None and address[0] not in "/@":
        raise ConfigError(f"NOTIFY_SOCKET={address!r}: must be a path, or @ and a name")
    watched = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
    wait = _count(environment, "WATCHDOG_USEC") if watched else 0
    worker = _count(environment, WORKER)
    # A parent does not know our id when it writes our environment, and leaves nothing in it that is meant for others.
    sockets = _count(environment, "LISTEN_FDS") if worker or environment.get("LISTEN_PID") == str(pid) else 0
    metrics = Path(environment[METRICS]) if worker and environment.get(METRICS) else None
    return Supervisor(notify_socket=address, watchdog_seconds=wait / MICROSECONDS or None, sockets=sockets, worker=worker, metrics=metrics)


def told(environment: Mapping[str, str], worker: Supervisor) -> dict[str, str]:
    """The environment in which a worker `read`s this."""
    said = {WORKER: str(worker.worker), "LISTEN_FDS": str(worker.sockets)}
    if worker.notify_socket is not None:
        said["NOTIFY_SOCKET"] = worker.notify_socket
    if worker.watchdog_seconds is not None:
        said["WATCHDOG_USEC"] = str(round(worker.watchdog_seconds * MICROSECONDS))
    if worker.metrics is not None:
        said[METRICS] = str(worker.metrics)
    return {name: value for name, value in environment.items() if name not in OURS_ALONE} | said


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
