"""Servers as processes of their own, and what the kernel counts for them (Linux, /proc)."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from realtime.options import SETTINGS

QUIET = ("--log-level", "error")

SCRIPTED = ("--llm", "scripted", "--stt", "scripted", "--tts", "scripted", "--vad", "scripted", "--turn-model", "words")
"""No model at all."""

KEPT = "REALTIME_CACHE_DIR"
"""What the environment may say to a daemon that is measured: where fetched models are."""


class Server(Struct, frozen=True):
    """One that listens on this machine."""

    pid: int
    port: int
    ready_after: float
    """Seconds from its start until it said that it listens."""

    @property
    def url(self) -> str:
        """A daemon's address for websockets."""
        return f"ws://127.0.0.1:{self.port}/v1/realtime"

    @property
    def base_url(self) -> str:
        """An endpoint's."""
        return f"http://127.0.0.1:{self.port}/v1"

    def cpu_ns(self) -> int:
        """CPU time so far, of all its threads, in nanoseconds."""
        return sum(int(task.joinpath("schedstat").read_text().split()[0]) for task in Path(f"/proc/{self.pid}/task").iterdir())

    def memory_kb(self) -> int:
        """Memory that is its own: what it shares with other processes (libraries' code) counts by its share."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))

    def resident_kb(self) -> int:
        """Memory as `ps` tells it (RSS)."""
        return resident_kb(self.pid)

    def files(self) -> int:
        """Open descriptors."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


def resident_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def knows(variable: str) -> bool:
    """Does this daemon have that setting?"""
    return any(setting.env == variable for setting in SETTINGS)


def environment(**more: str) -> dict[str, str]:
    """This process's, without the daemon's settings, and with `more`."""
    settings = {setting.env for setting in SETTINGS} - {KEPT}
    return {name: value for name, value in os.environ.items() if name not in settings} | more


@contextlib.contextmanager
def started(*arguments: str, **variables: str) -> Iterator[Server]:
    """Python with these arguments, once it has said which port it listens on; ended after."""
    begun = time.monotonic()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, env=environment(**variables))
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip().isdigit() or "listening" in line:
                port = int(line.split("/v1")[0].rsplit(":", 1)[-1])
                yield Server(process.pid, port, time.monotonic() - begun)
                return
        raise SystemExit(f"{' '.join(arguments)} ended with {process.wait()}")
    finally:
        process.terminate()
        process.communicate()


def daemon(*options: str, **variables: str) -> contextlib.AbstractContextManager[Server]:
    """The daemon, on a free port; later options win."""
    return started("-m", "realtime", "serve", "--host", "127.0.0.1", "--port", "0", *QUIET, *options, **variables)


def allow_files(count: int) -> None:
    """Let this process, and those that it starts, open so many files. Raises `OSError` or `ValueError` where the machine forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))
