"""What children tell the process that started them, in the words that they would have for a service manager (sd_notify(3)).

Owns the socket at which they tell it. Who says something is what the kernel says (SCM_CREDENTIALS): any process of the machine may write to
an abstract address, but only as itself.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import struct
from collections.abc import Callable
from types import TracebackType
from typing import Self

CREDENTIALS = struct.Struct("3i")
"""Process, user and group (struct ucred in unix(7))."""

LONGEST = 4096
"""Bytes of a message; ours have a hundred."""


class Reports:
    """`with Reports(told) as reports:` hears them inside. For use from the loop."""

    def __init__(self, told: Callable[[int, dict[str, str]], None]) -> None:
        """`told` is given the process that said something, and what it said, as variables."""
        self._told = told
        self.address = f"@realtime-{os.getpid()}-{secrets.token_hex(8)}"
        """As in $NOTIFY_SOCKET: in the abstract namespace, so that nothing is left behind however we end."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def __enter__(self) -> Self:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.setblocking(False)
        self._socket.bind(self.address.replace("@", "\0", 1))
        asyncio.get_running_loop().add_reader(self._socket, self._hear)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _hear(self) -> None:
        message, attached, _, _ = self._socket.recvmsg(LONGEST, socket.CMSG_SPACE(CREDENTIALS.size))
        for level, kind, data in attached:
            if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                process, _, _ = CREDENTIALS.unpack(data[: CREDENTIALS.size])
                self._told(process, _variables(message))


def _variables(message: bytes) -> dict[str, str]:
    lines = (line.partition("=") for line in message.decode(errors="replace").splitlines())
    return {name: value for name, _, value in lines}
