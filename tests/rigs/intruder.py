"""Somebody who has got into the daemon: tries what the unit is to forbid, and prints what came of each attempt, as JSON.

    python tests/rigs/intruder.py PID

It runs in the unit, as its user, beside the daemon of that process id. `done` is an attempt that came through, else there is the name of
what the kernel said. It knows only the standard library.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)

PTRACE_ATTACH, CLONE_NEWUSER, CLONE_NEWNS, PER_LINUX32, KEY_SPEC_SESSION_KEYRING = 16, 0x10000000, 0x00020000, 0x0008, -3
"""From ptrace.h, sched.h, personality.h and keyctl.h."""


def called(name: str, *arguments: object) -> None:
    """A function of the C library that returns -1 for an error."""
    if getattr(LIBC, name)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def write(folder: str) -> None:
    path = Path(folder, "intruder")
    path.write_text("was here")
    path.unlink()


def read(path: str) -> None:
    Path(path).read_bytes()


def listed(path: str) -> None:
    list(Path(path).iterdir())


def strangers() -> None:
    """Is any process of another user's to be seen?"""
    if not any(path.stat().st_uid != os.getuid() for path in Path("/proc").glob("[0-9]*")):
        raise FileNotFoundError(errno.ENOENT, "none")


def setuid_file() -> None:
    path = Path(os.environ["STATE_DIRECTORY"], "program")
    path.touch()
    try:
        path.chmod(0o4755)
    finally:
        path.unlink()


def opened(family: int, kind: int, protocol: int = 0) -> None:
    socket.socket(family, kind, protocol).close()


def read_memory(pid: int) -> None:
    with Path(f"/proc/{pid}/mem").open("rb"):
        pass


def attempts(daemon: int) -> dict[str, Callable[[], object]]:
    state, cache, credentials = (os.environ[name] for name in ("STATE_DIRECTORY", "CACHE_DIRECTORY", "CREDENTIALS_DIRECTORY"))
    return {
        **{f"write {folder}": lambda folder=folder: write(folder) for folder in (state, cache, "/tmp")},  # type: ignore[misc]
        **{
            f"write {folder}": lambda folder=folder: write(folder)  # type: ignore[misc]
            for folder in (
                "/",
                "/etc",
                "/usr/bin",
                "/opt/realtime",
                "/opt/checkout",
                "/opt/models",
                "/var",
                "/var/lib",
                "/run",
                "/dev",
                "/sys",
            )
        },
        f"write {credentials}": lambda: write(credentials),
        "write /proc/sys": lambda: Path("/proc/sys/kernel/hostname").write_text("intruder"),
        "read own key": lambda: read(f"{credentials}/api-keys"),
        "read the file of keys": lambda: read("/etc/realtime/api-keys"),
        "read another service's key": lambda: read("/run/credentials/other.service/secret"),
        "list another service's keys": lambda: listed("/run/credentials/other.service"),
        "read another service's state": lambda: listed("/var/lib/private/other"),
        "read /root": lambda: listed("/root"),
        "read /home": lambda: read("/home/somebody/diary"),
        "read a file of /tmp": lambda: read("/tmp/of-the-machine"),
        "read passwords": lambda: read("/etc/shadow"),
        "read the kernel's log": lambda: read("/dev/kmsg"),
        "read the disk": lambda: listed("/dev/disk"),
        "see strangers": strangers,
        "look into the first process": lambda: read("/proc/1/environ"),
        "attach to the daemon": lambda: called("ptrace", PTRACE_ATTACH, daemon, 0, 0),
        "signal the first process": lambda: os.kill(1, signal.SIGTERM),
        "make a user namespace": lambda: called("unshare", CLONE_NEWUSER),
        "make a mount namespace": lambda: called("unshare", CLONE_NEWNS),
        "mount": lambda: called("mount", b"none", b"/tmp", b"tmpfs", 0, None),
        "become root": lambda: os.setuid(0),
        "chroot": lambda: os.chroot("/tmp"),
        "make a program of root's": setuid_file,
        "set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
        "name the machine": lambda: socket.sethostname("intruder"),
        "be urgent": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
        "change its personality": lambda: called("personality", PER_LINUX32),
        "restart the machine": lambda: called("reboot", 0),
        "raise its limits": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 20, 1 << 20)),
        "open a raw socket": lambda: opened(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        "open a packet socket": lambda: opened(socket.AF_PACKET, socket.SOCK_RAW),
        "open a netlink socket": lambda: opened(socket.AF_NETLINK, socket.SOCK_RAW),
        "open an ordinary socket": lambda: opened(socket.AF_INET, socket.SOCK_STREAM),
        "get memory to write and run": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close(),
        "read the daemon's memory": lambda: read_memory(daemon),
    }


def outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except ValueError:  # how setrlimit says EPERM
        return "EPERM"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


if __name__ == "__main__":
    print(json.dumps({name: outcome(attempt) for name, attempt in attempts(int(sys.argv[1])).items()}))
