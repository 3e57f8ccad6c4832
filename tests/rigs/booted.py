"""systemd itself, booted in namespaces of its own with the units of systemd/, so that their sandbox is the real one.

Nothing of it touches the machine: the root is an overlay whose changes are in memory, and processes, network, mounts and host name are
its own. /opt/realtime is the Python that runs the tests, with the checkout's package. Of systemd's own units none is there: only what is
shipped, and what a test adds. It takes root and `unshare` of util-linux.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL
from types import TracebackType
from typing import Self

import pytest

from realtime.config import default_cache

ROOT = Path(__file__).parent.parent.parent

PATIENCE = 60.0
"""Seconds until all units are up: the models are loaded in three."""

NAMESPACES = ("--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--cgroup", "--uts", "--ipc", "--net")

SYSTEMD = "/lib/systemd/systemd"

BOOT = r"""
set -eu
folder=$1; checkout=$2; base=$3; packages=$4; models=$5; python=$6
mount -t tmpfs tmpfs "$folder/overlay"
mkdir "$folder/overlay/upper" "$folder/overlay/work" "$folder/overlay/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/overlay/upper,workdir=$folder/overlay/work" "$folder/overlay/root"
cd "$folder/overlay/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for empty in dev run tmp usr/lib/systemd/system usr/lib/systemd/system-generators; do mount -t tmpfs -o mode=755 tmpfs "$empty"; done
chmod 1777 tmp
for node in null zero full random urandom tty; do touch "dev/$node"; mount --bind "/dev/$node" "dev/$node"; done
mkdir dev/shm dev/pts dev/mqueue dev/hugepages
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
rm -rf etc/systemd/system opt/realtime opt/python opt/checkout opt/packages opt/models etc/realtime
mkdir -p etc/systemd/system etc/realtime opt/python opt/checkout opt/packages opt/models opt/realtime/bin run/told
: > etc/fstab
for unit in sysinit basic sockets shutdown network-online; do
    printf '[Unit]\nDefaultDependencies=no\n' > "usr/lib/systemd/system/$unit.target"
done
mount --bind "$base" opt/python
mount --bind "$checkout" opt/checkout
mount --bind "$packages" opt/packages
mount --bind "$models" opt/models
mount --bind "$folder/told" run/told
mkdir -p "opt/realtime/lib/$python/site-packages"
printf 'home = /opt/python/bin\n' > opt/realtime/pyvenv.cfg
printf '/opt/checkout\n/opt/packages\n' > "opt/realtime/lib/$python/site-packages/checkout.pth"
ln -s "/opt/python/bin/$python" opt/realtime/bin/python
cp -r "$folder/files/." .
mkdir old
pivot_root . old
umount --lazy old
mount --make-rshared / # as it is where systemd is not told that it is in a container: credentials come to be that way
ldconfig /opt/python/lib # Python may have a library of its own, where it is not found any more
exec env -i container=tests PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=tests.target --log-target=null --show-status=no
"""
"""Of the folder of this boot, where the checkout, Python, its packages and the models are, and Python's name."""

TARGET = """
[Unit]
DefaultDependencies=no
Wants={units} told.service
"""

TOLD = """
[Unit]
DefaultDependencies=no
After={units}
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'systemctl show --property=Id,ActiveState,Result,ExecMainStatus,StatusText {units} >/run/told/pipe'
"""


class Booted:
    """`with Booted(folder, files, units) as booted:` those units are up inside, or have failed: `booted.states` says which."""

    def __init__(self, folder: Path, files: Mapping[str, str], units: tuple[str, ...]) -> None:
        """`files`: what is put into the root, by path; every unit that is named besides those of systemd/ has to be among them. Skips the
        test where it can't be done."""
        self._folder = folder
        for name in ("overlay", "told", "files"):
            (folder / name).mkdir()
        os.mkfifo(folder / "told" / "pipe")
        named = " ".join(units)
        files = {
            "etc/systemd/system/tests.target": TARGET.format(units=named),
            "etc/systemd/system/told.service": TOLD.format(units=named),
            **files,
        }
        for unit in (ROOT / "systemd").glob("realtime*.s*"):
            files.setdefault(f"etc/systemd/system/{unit.name}", unit.read_text(encoding="utf-8"))
        for path, content in files.items():
            file = folder / "files" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
            file.chmod(0o600 if path.startswith("etc/realtime/") else 0o644)
        (folder / "files").chmod(0o755)
        self.states: dict[str, dict[str, str]] = {}
        """What systemd says of each unit."""

    def __enter__(self) -> Self:
        able()
        python = f"python{sysconfig.get_python_version()}"
        cache = os.environ.get("REALTIME_CACHE_DIR") or default_cache()
        places = [str(Path(place).resolve()) for place in (ROOT, sys.base_prefix, sysconfig.get_path("purelib"), cache)]
        command = ["unshare", *NAMESPACES, "sh", "-c", BOOT, "boot", str(self._folder), *places, python]
        pipe = os.open(self._folder / "told" / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            told = self._wait_for(pipe)
        except BaseException:
            self._end()
            raise
        finally:
            os.close(pipe)
        for block in told.strip().split("\n\n"):
            state = dict(line.split("=", 1) for line in block.splitlines())
            self.states[state["Id"]] = state
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def path(self, inside: str) -> Path:
        """Where a file of its root is seen from here."""
        return Path(f"/proc/{self._first()}/root", inside.lstrip("/"))

    def _wait_for(self, pipe: int) -> str:
        """All that comes through the pipe, until whoever writes it closes it. Raises `AssertionError` where nothing will."""
        told, said, end = b"", b"", time.monotonic() + PATIENCE
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        while True:
            ready, _, _ = select.select([pipe, output], [], [], max(0.0, end - time.monotonic()))
            if pipe in ready:
                if not (piece := os.read(pipe, 65536)):
                    return told.decode()
                told += piece
            elif output in ready and (piece := os.read(output, 65536)):
                said += piece
            else:
                raise AssertionError(f"systemd came up with nothing{' in time' if not ready else ''}. It said:\n{said.decode()}")

    def _first(self) -> int:
        """The process that is the first one inside."""
        return int(Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()[0])

    def _end(self) -> None:
        """Whoever ends the first process ends all of them."""
        if self._process.poll() is None:
            with suppress(IndexError, ProcessLookupError):
                os.kill(self._first(), SIGKILL)
        self._process.kill()
        self._process.communicate()


def able() -> None:
    """Skip the test where there is no systemd, or nobody may make namespaces."""
    if not Path(SYSTEMD).exists():
        pytest.skip("systemd is not installed (Debian: systemd)")
    tried = subprocess.run(["unshare", *NAMESPACES, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"namespaces can't be made here, or nothing mounted in them: {tried.stderr.strip()}")
