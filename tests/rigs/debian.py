"""Debian's packages, unpacked into the user's cache folder: nothing is installed, so no service starts and no root is needed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory


def unpacked(name: str, packages: Sequence[str], wanted: Sequence[Path]) -> Path | str:
    """The folder of that name, with what is `wanted` of these packages in it; or why there is none.

    Fetched with apt-get and dpkg-deb where they are at hand, and kept.
    """
    folder = Path.home() / ".cache" / "realtime-daemon" / name
    if all((folder / path).exists() for path in wanted):
        return folder
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return f"no {name} in {folder}, and no apt-get and dpkg-deb to fetch {' and '.join(packages)} with"
    try:
        _unpack(folder, packages)
    except (subprocess.SubprocessError, OSError) as error:
        return f"could not fetch {' and '.join(packages)}: {error}"
    return folder


def _unpack(folder: Path, packages: Sequence[str]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent) as temporary:
        place = Path(temporary)
        subprocess.run(["apt-get", "download", "-qq", *packages], cwd=place, check=True, capture_output=True, timeout=120)
        for package in place.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, place / "tree"], check=True, capture_output=True, timeout=60)
        # A folder appears whole or not at all, so that an interrupted run is not taken for a finished one.
        shutil.rmtree(folder, ignore_errors=True)
        (place / "tree").rename(folder)
