from __future__ import annotations

import asyncio
import os
import sys

from realtime.server.notify import Notifier
from realtime.server.reports import Reports

OTHER = """
import socket, sys
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"WATCHDOG=1", sys.argv[1].replace("@", chr(0)))
"""

Said = tuple[int, dict[str, str]]


async def test_what_a_process_says_is_heard_with_its_id() -> None:
    heard: asyncio.Queue[Said] = asyncio.Queue()
    with Reports(lambda pid, said: heard.put_nowait((pid, said))) as reports, Notifier(reports.address, None) as notifier:
        notifier.ready("listening")
        assert await heard.get() == (os.getpid(), {"READY": "1", "STATUS": "listening"})
        other = await asyncio.create_subprocess_exec(sys.executable, "-c", OTHER, reports.address)
        assert await heard.get() == (other.pid, {"WATCHDOG": "1"})
        assert await other.wait() == 0


async def test_every_parent_has_an_address_of_its_own_and_leaves_it() -> None:
    with Reports(lambda pid, said: None) as one, Reports(lambda pid, said: None) as other:
        assert one.address != other.address
    with open("/proc/net/unix", encoding="utf-8") as sockets:  # noqa: ASYNC230 - the kernel's, and at once
        assert one.address not in sockets.read()
