"""What a file is, by its first bytes; names and declared types are not trusted.

References: the file formats' own specifications. MP3 has no signature: a file begins with an ID3v2 tag (id3.org) or with frames (ISO/IEC
11172-3, 2.4.1.3), whose sync word is twelve bits that any raw PCM may have, so three frames have to follow one another.
"""

from __future__ import annotations

from typing import Literal

ImageFormat = Literal["PNG", "JPEG", "WebP", "GIF", "BMP", "TIFF"]
SoundFormat = Literal["WAV", "FLAC", "OGG", "MP3"]
ContainerFormat = Literal["MP4", "Matroska"]
"""MP4 is also MOV and M4A; Matroska is also WebM."""
Format = ImageFormat | SoundFormat | ContainerFormat

_IMAGES: tuple[tuple[bytes, ImageFormat], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
)
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
"""First boxes of MP4 (ISO/IEC 14496-12) and of QuickTime files, which need no `ftyp`."""

_BITRATES = (
    # kbit/s by index (ISO/IEC 11172-3, 2.4.2.3; 13818-3, 2.4.2.3), layer III: MPEG 1, then MPEG 2 and 2.5
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
_RATES = (44_100, 48_000, 32_000)
_MP3_FRAMES = 3
"""Frames that have to follow one another before bytes are taken for MP3."""


def image_format(data: bytes) -> ImageFormat | None:
    """Of a still picture; None for anything else."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[:2] == b"BM" and data[6:10] == b"\0\0\0\0":  # "BM" alone is two letters of any text
        return "BMP"
    return next((format for head, format in _IMAGES if data.startswith(head)), None)


def sound_format(data: bytes) -> SoundFormat | ContainerFormat | None:
    """Of a sound file; None for anything else, raw samples among it."""
    if data[:4] in (b"RIFF", b"RF64") and data[8:12] == b"WAVE":
        return "WAV"
    if data.startswith(b"fLaC"):
        return "FLAC"
    if data.startswith(b"OggS\0"):
        return "OGG"
    if data.startswith(b"ID3") or _is_mp3(data):
        return "MP3"
    return container_format(data)


def container_format(data: bytes) -> ContainerFormat | None:
    """Of a file that may hold pictures and sound; None for anything else."""
    if data.startswith(b"\x1a\x45\xdf\xa3"):
        return "Matroska"
    return "MP4" if data[4:8] in _BOXES else None


def _is_mp3(data: bytes) -> bool:
    at = 0
    for _ in range(_MP3_FRAMES):
        size = _frame_size(data[at : at + 4])
        if size is None:
            return False
        at += size
    return True


def _frame_size(header: bytes) -> int | None:
    """Bytes of the layer III frame that begins so; None where none does."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0 or header[1] & 0x06 != 0x02:
        return None
    version, bitrate, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or bitrate in (0, 15) or rate == 3:
        return None
    first = version == 3
    kilobits = _BITRATES[0 if first else 1][bitrate]
    hertz = _RATES[rate] // {3: 1, 2: 2, 0: 4}[version]
    return (144 if first else 72) * 1000 * kilobits // hertz + (header[2] >> 1 & 1)
