"""A service manager as systemd is one: a socket to be told of a daemon's life, a watchdog, sockets that it opens and keeps."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.rigs.daemon import SCRIPTED, START_PATIENCE, Daemon

BECOME = """
import os, sys
from fcntl import F_DUPFD_CLOEXEC, fcntl
count = int(sys.argv[1])
given = [fcntl(int(number), F_DUPFD_CLOEXEC, 1000) for number in sys.argv[2:2 + count]]
os.closerange(3, 1000)
for place, descriptor in enumerate(given):
    os.dup2(descriptor, 3 + place)
os.environ.update(LISTEN_FDS=str(count), LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, *sys.argv[2 + count:]])
"""
"""Gives the sockets the numbers from 3 on, and becomes the daemon: only the process itself can know the id that it will have."""

STUCK = """
import runpy, signal, time
signal.signal(signal.SIGUSR1, lambda *_: time.sleep(3600))
runpy.run_module("realtime", run_name="__main__", alter_sys=True)
"""
"""A daemon whose loop can be told to hang: Python runs the handler in the thread of the loop, and the other threads go on."""


async def queued(door: socket.socket, count: int) -> None:
    """Wait until so many connections wait to be accepted."""
    while _queue(door) < count:  # noqa: ASYNC110 - the kernel tells nobody when another comes
        await asyncio.sleep(0)


def _queue(door: socket.socket) -> int:
    """Of a listening socket, `tcpi_unacked` is that (tcp_get_info in net/ipv4/tcp.c of Linux)."""
    return int.from_bytes(door.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[24:28], sys.byteorder)


class _Supervised(Daemon):
    def __init__(self, python: Sequence[str], keep: Sequence[int], options: Sequence[str], environment: dict[str, str]) -> None:
        self.python, self.keep = python, keep
        super().__init__(*options, **environment)


class ServiceManager:
    """`with ServiceManager(folder) as manager:` hears what daemons say inside."""

    def __init__(self, folder: Path, *, abstract: bool = False) -> None:
        path = str(folder / "notify")
        self.address = f"@realtime-tests-{os.getpid()}" if abstract else path
        """As in $NOTIFY_SOCKET."""
        self._heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._heard.bind(self.address.replace("@", "\0", 1) if abstract else path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._heard.close()

    def start(self, *options: str, sockets: Sequence[socket.socket] = (), python: Sequence[str] = (), **environment: str) -> Daemon:
        """A scripted daemon. `python` is what Python runs instead of the module."""
        descriptors = [given.dup() for given in sockets]
        numbers = [str(given.fileno()) for given in descriptors]
        become = ("-c", BECOME, str(len(numbers)), *numbers) if numbers else ()
        environment["NOTIFY_SOCKET"] = self.address
        try:
            keep = [given.fileno() for given in descriptors]
            return _Supervised((*become, *(python or Daemon.python)), keep, [*SCRIPTED, *options], environment)
        finally:
            for given in descriptors:
                given.close()

    def next(self, timeout: float = START_PATIENCE) -> dict[str, str]:
        """The next message. Raises `TimeoutError`."""
        self._heard.settimeout(timeout)
        return dict(line.split("=", 1) for line in self._heard.recv(4096).decode().splitlines())

    def wait_for(self, name: str) -> dict[str, str]:
        """The next message that has such a variable."""
        while name not in (message := self.next()):
            pass
        return message
