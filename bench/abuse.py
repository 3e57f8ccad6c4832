"""How much longer others wait while somebody abuses the daemon, what memory it takes, and when it is at rest again.

    python bench/abuse.py [NAME...] [--seconds 10]

The abuses are those of tests/rigs/abuse.py, done again and again for so long by a process of its own. A talker in a session of its own asks
a small question every 20 ms (`conversation.item.retrieve`) and measures until the answer: first alone, then during the abuse.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from websockets.asyncio.client import connect

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.rigs import abuse

BUDGET = 2.0
"""Times the p99 of the talker alone."""

SCRIPTED = ("--llm", "scripted", "--stt", "scripted", "--tts", "scripted", "--vad", "scripted", "--turn-model", "words")
COMMAND = (sys.executable, "-m", "realtime", "serve", "--host", "127.0.0.1", "--port", "0", "--log-level", "error", *SCRIPTED)

Abuse = Callable[[int], Awaitable[object]]


async def connects(port: int) -> Counter[str]:
    """As many as make 10,000 a minute."""
    begun = time.monotonic()
    seen = await abuse.storm(port, 17)
    await asyncio.sleep(max(0.0, 0.1 - (time.monotonic() - begun)))
    return seen


ABUSES: dict[str, Abuse] = {
    "slow handshakes": abuse.slow_handshakes,
    "half-open connections": abuse.half_open,
    "10,000 connects a minute": connects,
    "connects without pause": partial(abuse.storm, count=200),
    "frames at the limit": abuse.large_frames,
    "pings": abuse.pings,
    "pings, no pong read": abuse.unread_pongs,
    "crumbs": abuse.crumbs,
    "commits": abuse.hasty,
    "200 speak at once": abuse.choir,
    "1000 speak at once": partial(abuse.choir, count=1_000),
}


async def talk(url: str, until: Callable[[], bool]) -> list[float]:
    """Milliseconds of every answer."""
    took: list[float] = []
    async with connect(url, proxy=None, compression=None) as socket:
        item = {"id": "a", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi."}]}
        await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
        question = json.dumps({"type": "conversation.item.retrieve", "item_id": "a"})
        while json.loads(await socket.recv())["type"] != "conversation.item.done":
            pass
        while not until():
            asked = time.monotonic()
            await socket.send(question)
            await socket.recv()
            took.append((time.monotonic() - asked) * 1000)
            await asyncio.sleep(max(0.0, 0.02 - took[-1] / 1000))
    return took


async def abused(name: str, port: int, seconds: float) -> None:
    """Do it for so long, and print what came of it."""
    end, seen = time.monotonic() + seconds, Counter[str]()
    while time.monotonic() < end:
        told = await ABUSES[name](port)
        seen.update(told if isinstance(told, Counter) else {})
    print(dict(seen))


def metric(port: int, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as reply:
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)", reply.read().decode(), re.MULTILINE))


def measured(name: str, seconds: float) -> float:
    """The ratio of the p99s."""
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        line = next(line for line in daemon.stdout if "listening" in line)
        url = line.split()[1]
        port = int(url.rpartition(":")[2].partition("/")[0])
        before, end = metric(port, "process_open_fds"), time.monotonic() + seconds
        alone = asyncio.run(talk(url, lambda: time.monotonic() > end))
        command = [sys.executable, __file__, "--abuse", name, "--port", str(port), "--seconds", str(seconds)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as abuser:
            during = asyncio.run(talk(url, lambda: abuser.poll() is not None))
            told, _ = abuser.communicate()
        over = time.monotonic()
        while metric(port, "realtime_sessions_open") or metric(port, "process_open_fds") > before:
            time.sleep(0.05)
        rest = time.monotonic() - over
        peak = int(re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{daemon.pid}/status").read_text())[0]) / 1024
        daemon.terminate()
        daemon.communicate()
    floor, loaded = (statistics.quantiles(each, n=100)[98] for each in (alone, during))
    worst = f"median {statistics.median(during):5.1f}, p99 {loaded:6.1f}, worst {max(during):6.1f} ms"
    print(
        f"{name:24} alone p99 {floor:5.1f} ms; during {worst}; {loaded / floor:5.1f} x; {peak:4.0f} MB; at rest after {rest:.1f} s",
        flush=True,
    )
    print(f"{'':24} {told.strip()}", flush=True)
    return loaded / floor


def main(names: list[str], seconds: float) -> int:
    print(f"{platform.machine()}, Python {platform.python_version()}")
    ratios = {name: measured(name, seconds) for name in names or ABUSES}
    beyond = [name for name, ratio in ratios.items() if ratio > BUDGET]
    print(f"beyond {BUDGET:g} times the p99 of the unloaded: {', '.join(beyond) or 'none'}")
    return 1 if beyond else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(ABUSES))
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--abuse", choices=list(ABUSES), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.abuse:
        asyncio.run(abused(asked.abuse, asked.port, asked.seconds))
    else:
        sys.exit(main(asked.names, asked.seconds))
