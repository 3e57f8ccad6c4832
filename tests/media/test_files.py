from __future__ import annotations

import io
import random
import struct

import numpy as np
import pytest
import soundfile
from PIL import Image

from realtime.media import files, wav

TONE = (np.sin(np.arange(24_000) / 10) * 8000).astype(np.int16)


def image(format: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, format.upper())
    return buffer.getvalue()


def sound(format: str, rate: int = 24_000) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, TONE, rate, format=format)
    return buffer.getvalue()


def mp3(second: int, third: int, size: int, frames: int = 3) -> bytes:
    """Frames of a layer III header with these bytes."""
    return bytes((0xFF, second, third, 0)).ljust(size, b"\0") * frames


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WebP", "GIF", "BMP", "TIFF"])
def test_a_picture_is_known_by_its_first_bytes(format: str) -> None:
    data = image(format)
    assert files.image_format(data) == format
    assert files.image_format(data[:12]) == format
    assert files.sound_format(data) is None


@pytest.mark.parametrize(("head", "format"), [(b"GIF87a", "GIF"), (b"MM\0*", "TIFF"), (b"II*\0", "TIFF"), (b"\xff\xd8\xff\xdb", "JPEG")])
def test_a_format_may_begin_in_several_ways(head: bytes, format: str) -> None:
    assert files.image_format(head) == format


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"B",
        b"BM",
        b"BM is two letters of any text",
        b"RIFF1234WAVE",
        b"RIFF1234",
        b"\x89PNG\n\x1a\n",
        b"\xff\xd8",
        b"GIF88a",
        b"<svg/>",
        b"\0\0\0\x20ftypheic",
        b"PK\3\4",
    ],
)
def test_anything_else_is_no_picture(data: bytes) -> None:
    assert files.image_format(data) is None


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_sound_is_known_by_its_first_bytes(format: str) -> None:
    data = sound(format)
    assert files.sound_format(data) == format
    assert files.image_format(data) is None
    assert files.container_format(data) is None


def test_a_wav_file_may_be_longer_than_four_gigabytes() -> None:
    data = wav.write(TONE, 24_000)
    assert files.sound_format(data) == "WAV"
    assert files.sound_format(b"RF64" + data[4:]) == "WAV"


@pytest.mark.parametrize("rate", [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000])
def test_an_mp3_file_of_any_rate_is_known(rate: int) -> None:
    assert files.sound_format(sound("MP3", rate)) == "MP3"


@pytest.mark.parametrize(
    ("second", "third", "size"),
    [
        (0xFB, 0x90, 417),  # MPEG 1, 128 kbit/s, 44.1 kHz
        (0xFB, 0x92, 418),  # padded
        (0xFA, 0x94, 384),  # 48 kHz, with a checksum
        (0xFB, 0xE8, 1440),  # 320 kbit/s, 32 kHz
        (0xF3, 0x80, 208),  # MPEG 2, 64 kbit/s, 22.05 kHz
        (0xE3, 0x18, 72),  # MPEG 2.5, 8 kbit/s, 8 kHz
    ],
)
def test_three_frames_that_follow_one_another_are_mp3(second: int, third: int, size: int) -> None:
    assert files.sound_format(mp3(second, third, size)) == "MP3"
    assert files.sound_format(mp3(second, third, size, frames=2)) is None
    assert files.sound_format(mp3(second, third, size - 1)) is None


@pytest.mark.parametrize(
    ("second", "third"),
    [
        (0xEB, 0x90),  # a version that is reserved
        (0xFD, 0x90),  # layer II
        (0xFF, 0x90),  # layer I
        (0xF9, 0x90),  # no layer
        (0x1B, 0x90),  # half a sync word
        (0xFB, 0x00),  # of any bitrate
        (0xFB, 0xF0),  # of a bitrate that is forbidden
        (0xFB, 0x9C),  # of a rate that is reserved
    ],
)
def test_other_headers_are_no_mp3(second: int, third: int) -> None:
    assert files.sound_format(mp3(second, third, 417)) is None


def test_an_id3_tag_begins_an_mp3_file() -> None:
    assert files.sound_format(b"ID3\4\0\0\0\0\0\0") == "MP3"


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"\xff\xfb\x90", bytes(2000), b"\xff" * 2000, TONE.tobytes(), b"a sound", b"OggS\1", b"RIFF1234AVI "]
)
def test_anything_else_is_no_sound(data: bytes) -> None:
    assert files.sound_format(data) is None


def test_samples_are_not_taken_for_mp3() -> None:
    dice = random.Random(1)
    for _ in range(200):
        assert files.sound_format(b"\xff\xfb" + dice.randbytes(2000)) is None


@pytest.mark.parametrize("box", [b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"])
def test_the_first_box_tells_mp4(box: bytes) -> None:
    data = struct.pack(">I", 32) + box
    assert files.container_format(data) == "MP4"
    assert files.sound_format(data) == "MP4"


def test_an_ebml_head_tells_matroska() -> None:
    assert files.container_format(b"\x1a\x45\xdf\xa3\x9f") == "Matroska"
    assert files.sound_format(b"\x1a\x45\xdf\xa3\x9f") == "Matroska"


@pytest.mark.parametrize("data", [b"", b"ftyp", b"\0\0\0\x20ftxp", b"\x1a\x45\xdf", b"RIFF1234AVI "])
def test_anything_else_is_no_container(data: bytes) -> None:
    assert files.container_format(data) is None
