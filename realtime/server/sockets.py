"""The listening sockets that the service manager opened and handed over (sd_listen_fds(3)), and the addresses of any.

The manager keeps its own copy of each: who connects while no daemon runs waits there for the next one.
"""

from __future__ import annotations

import os
import socket

from realtime.errors import ConfigError
from realtime.server.origins import is_loopback

FIRST = 3
"""Descriptor of the first socket: those before it are the standard streams (SD_LISTEN_FDS_START)."""


def inherited(count: int) -> list[socket.socket]:
    """Take over so many sockets. Raises `ConfigError` for what nobody can be accepted from."""
    return [_taken(descriptor) for descriptor in range(FIRST, FIRST + count)]


def _taken(descriptor: int) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)  # no process that we start has anything to do with it
        taken = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ConfigError(f"LISTEN_FDS: descriptor {descriptor} is no socket: {error.strerror}") from error
    streams = taken.family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX) and taken.type == socket.SOCK_STREAM
    if not streams or not taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        taken.detach()
        raise ConfigError(f"LISTEN_FDS: descriptor {descriptor} accepts no connections: needs ListenStream= and Accept=no")
    return taken


def address(listening: socket.socket, scheme: str = "ws") -> str:
    """`ws://host:port`, or `unix:path`; what a path begins with in the abstract namespace is shown as `@`."""
    if listening.family == socket.AF_UNIX:
        path: str | bytes = listening.getsockname()
        return f"unix:{path.decode(errors='replace').replace(chr(0), '@') if isinstance(path, bytes) else path}"
    host, port = listening.getsockname()[:2]
    return f"{scheme}://{url_host(host)}:{port}"


def is_local(listening: socket.socket) -> bool:
    """Does nobody but this machine reach it?"""
    return listening.family == socket.AF_UNIX or is_loopback(listening.getsockname()[0])


def url_host(host: str) -> str:
    """As an address holds it (RFC 3986, 3.2.2)."""
    return f"[{host}]" if ":" in host else host
