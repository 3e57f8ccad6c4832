"""What a file is, by its first bytes; where the sound of a WAV is; how often a JPEG goes over its picture: an answer for any bytes."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.media import files, jpeg, wav
from tests.fuzz.corpus import kept
from tests.rigs.corpus import FORMATS, Kind, good

HEADS = [
    "\x89PNG\r\n\x1a\n",
    "RIFF",
    "WEBP",
    "WAVE",
    "fmt ",
    "data",
    "GIF89a",
    "BM",
    "II*\0",
    "fLaC",
    "OggS\0",
    "ID3",
    "ftyp",
    "\x1a\x45\xdf\xa3",
]
DICTIONARY = [*HEADS, "\xff\xd8\xff", "\xff\xda", "\xff\xd9", "\xff\xfb\x90\x00"]


def check(data: bytes) -> None:
    picture, sound, container = files.image_format(data), files.sound_format(data), files.container_format(data)
    assert picture is None or picture in get_args(files.ImageFormat)
    assert container is None or sound is not None, "what holds pictures and sound may be a sound file"
    scans = jpeg.scans(data)
    assert 0 <= scans <= len(data) // 2
    begins = wav.begins(data)
    assert all(wav.begins(data[:size]) for size in range(13)) or not begins, "what begins so has begun so"
    if begins and len(data) >= 12:
        read(data)


def read(data: bytes) -> None:
    try:
        layout = wav.layout(data)
    except ValueError:
        return
    if layout is not None:
        assert layout.rate > 0
        assert 12 <= layout.start <= len(data)
        assert layout.end is None or layout.end >= layout.start


@pytest.mark.parametrize("path", kept("sniffing"), ids=lambda path: path.name)
def test_what_is_kept_is_known(path: Path) -> None:
    check(path.read_bytes())


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    check(data)


@cache
def file(kind: Kind, format: str) -> bytes:
    return good(kind, format)[0]


NAMES: list[tuple[Kind, str]] = [(kind, format) for kind, formats in FORMATS.items() for format in formats]


@given(st.sampled_from(NAMES), st.integers(0, 400), st.binary(max_size=8))
def test_good_files_with_other_bytes_in_them(name: tuple[Kind, str], at: int, other: bytes) -> None:
    data = file(*name)
    check(data[:at] + other + data[at + len(other) :])
    check(data[:at])
