"""Files to break a reader with: a small good one of every format, what chance makes of them, and some that were made to do harm.

Everything is the same on every run: chance has a seed, and no file says when it was made. So the name of a case is enough to have it again.
"""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from base64 import b64encode
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache, partial
from random import Random
from typing import Any, Literal, NamedTuple

import av
import numpy as np
import soundfile
from PIL import Image

from realtime.media.resample import Float32
from tests.rigs.film import film, loud

Kind = Literal["picture", "sound", "clip"]
Mutation = Callable[[Random, bytes], bytes]

FORMATS: dict[Kind, tuple[str, ...]] = {
    "picture": ("PNG", "JPEG", "WebP", "GIF", "BMP", "TIFF"),
    "sound": ("WAV", "FLAC", "OGG", "MP3", "M4A", "WebM"),
    "clip": ("MP4", "MOV", "WebM", "MKV"),
}
"""All that the daemon reads."""

SAME = {"fflags": "+bitexact"}
"""Has a muxer of libav leave out dates and ids of its own invention."""


class Case(NamedTuple):
    """A file on its way to the daemon."""

    name: str
    kind: Kind
    """What it is sent as."""
    literal: str
    """The file as it stands in JSON."""


def literal(file: bytes) -> str:
    """The file's base64 as a JSON string."""
    return f'"{b64encode(file).decode()}"'


# Good files


@cache
def good(kind: Kind, format: str) -> tuple[bytes, ...]:
    """Small files of a format, each written another way."""
    makers = {"picture": _pictures, "sound": _sounds, "clip": _clips}
    return tuple(makers[kind](format))


def _pictures(format: str) -> list[bytes]:
    colours = Image.fromarray(np.indices((48, 64)).sum(0).astype(np.uint8)).convert("RGB").rotate(30)
    clear = colours.convert("RGBA")
    clear.putalpha(colours.convert("L"))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "the maker of the camera"
    deep = Image.fromarray((np.indices((48, 64)).sum(0) * 500).astype(np.uint16))
    ways: dict[str, list[tuple[Image.Image, dict[str, Any]]]] = {
        "PNG": [(colours, {"exif": exif}), (clear, {}), (colours.convert("P"), {"transparency": 3}), (deep, {})],
        "JPEG": [(colours, {"exif": exif}), (colours, {"progressive": True}), (colours.convert("CMYK"), {}), (colours.convert("L"), {})],
        "WebP": [(colours, {"exif": exif}), (clear, {"lossless": True}), (clear, {"save_all": True, "append_images": [clear.rotate(9)]})],
        "GIF": [(colours, {}), (clear, {"save_all": True, "append_images": [clear.rotate(9)], "interlace": True})],
        "BMP": [(colours, {}), (clear, {}), (colours.convert("P"), {}), (colours.convert("1"), {})],
        "TIFF": [
            (colours, {"exif": exif}),
            *((colours, {"compression": name}) for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")),
            (colours.convert("1"), {"compression": "group4"}),
            (deep, {"save_all": True, "append_images": [deep.rotate(9)]}),
        ],
    }
    return [drawn(picture, format, **options) for picture, options in ways[format]]


def drawn(picture: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def _sounds(format: str) -> list[bytes]:
    match format:
        case "WAV" | "FLAC":
            widths = ("PCM_16", "PCM_24") if format == "FLAC" else ("PCM_16", "PCM_24", "ULAW", "IMA_ADPCM")
            return [sampled(np.stack([loud(0.05)] * 2, 1), 24_000, format, subtype=width) for width in widths]
        case "OGG":
            return [recorded("ogg", "libopus"), recorded("ogg", "vorbis", "stereo"), recorded("ogg", "flac")]
        case "MP3":
            return [sampled(loud(0.1), 24_000, format), recorded("mp3", "libmp3lame", "stereo")]
        case "M4A":
            return [recorded("ipod", "aac"), recorded("ipod", "alac", "stereo"), recorded("mp4", "aac", movflags="+frag_keyframe+empty_moov")]
        case _:
            return [recorded("webm", "libopus"), recorded("webm", "vorbis", "stereo")]


def sampled(audio: Float32, rate: int, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, audio, rate, format=format, **options)
    return file.getvalue()


def recorded(container: str, codec: str, layout: str = "mono", audio: Float32 | None = None, **muxer: str) -> bytes:
    """A sound that libav writes."""
    file = io.BytesIO()
    audio = loud(0.2) if audio is None else audio
    with av.open(file, "w", container, options=SAME | muxer) as output:
        stream = output.add_stream(codec, rate=48_000, layout=layout, options={"strict": "experimental"})
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(np.stack([audio] * (2 if layout == "stereo" else 1)), "fltp", layout)
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
        for converted in av.AudioResampler(stream.format.name, frame_size=stream.frame_size or None).resample(frame):
            output.mux(stream.encode(converted))
        output.mux(stream.encode(None))
    return file.getvalue()


def _clips(format: str) -> list[bytes]:
    make = partial(film, range(8), keys=[5], sound=[(0.0, loud(0.5))])
    moov_first, fragments = {"moov_size": "8000"}, {"movflags": "+frag_keyframe+empty_moov"}
    ways: dict[str, list[tuple[str, str, str, dict[str, str]]]] = {
        "MP4": [("mp4", "libx264", "aac", {}), ("mp4", "mpeg4", "aac", fragments), ("mp4", "libx264", "libopus", moov_first)],
        "MOV": [("mov", "libx264", "pcm_s16le", {}), ("mov", "mjpeg", "pcm_s16le", {}), ("mov", "libx265", "aac", moov_first)],
        "WebM": [("webm", "libvpx", "libopus", {}), ("webm", "libvpx-vp9", "libopus", {})],
        "MKV": [("matroska", "libx264", "aac", {}), ("matroska", "mpeg4", "flac", {}), ("matroska", "libvpx", "libmp3lame", {})],
    }
    quiet = {"libx265": {"x265-params": "log-level=none:pools=none"}}
    return [
        make(container, codec, sound_codec=heard, options=quiet.get(codec), muxer=SAME | muxer)
        for container, codec, heard, muxer in ways[format]
    ]


# What chance makes of them

NEAR = 256
"""Bytes from the beginning in which half of all damage is done: there is what a file says of itself."""

LONGEST = 12
"""The longest stretch that is damaged at once, as a power of two."""

MARKS = re.compile(rb"[A-Za-z]{3}[A-Za-z0-9 ]|\x15\x49\xa9\x66|\x16\x54\xae\x6b|\x1f\x43\xb6\x75|\x2a\xd7\xb1|\x44\x89|\xa3|\xb0|\xba|\xff[\xc0-\xfe]")
"""Names of chunks and boxes, ids of Matroska's elements, markers of JPEG: what stands around them is sizes, counts and times."""

EXTREMES = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 2**40, 2**63 - 1, 2**63, 2**64 - 2)


def mutated(kind: Kind, format: str, number: int) -> Case:
    """The case of this number: its name is its seed."""
    name = f"{kind}-{format}-{number}"
    random = Random(name)
    data = random.choice(good(kind, format))
    for _ in range(random.choice((1, 1, 1, 2, 3, 8, 32))):
        data = random.choice(MUTATIONS)(random, data)
    return Case(name, kind, literal(repaired(data) if random.random() < 0.7 else data))


def _place(random: Random, data: bytes) -> int:
    return random.randrange(1 + min(len(data), random.choice((NEAR, len(data)))))


def _stretch(random: Random, data: bytes) -> tuple[int, int]:
    """Where one begins and ends; it may be empty at the end of the file."""
    start = _place(random, data)
    return start, min(len(data), start + random.randint(1, 1 << random.randrange(LONGEST)))


def flip(random: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(random.randint(1, 8) if data else 0):
        changed[_place(random, data[1:])] ^= 1 << random.randrange(8)
    return bytes(changed)


def overwrite(random: Random, data: bytes) -> bytes:
    start, end = _stretch(random, data)
    filling = random.choice((bytes(end - start), b"\xff" * (end - start), random.randbytes(end - start)))
    return data[:start] + filling + data[end:]


def truncate(random: Random, data: bytes) -> bytes:
    return data[: _place(random, data)] if random.random() < 0.5 else data[: -random.randint(1, 64)]


def delete(random: Random, data: bytes) -> bytes:
    start, end = _stretch(random, data)
    return data[:start] + data[end:]


def duplicate(random: Random, data: bytes) -> bytes:
    start, end = _stretch(random, data)
    return data[:end] + data[start:]


def insert(random: Random, data: bytes) -> bytes:
    start, end = _stretch(random, data)
    return data[:start] + random.choice((bytes(end - start), random.randbytes(end - start))) + data[start:]


def swap(random: Random, data: bytes) -> bytes:
    a, b, c, d = sorted((*_stretch(random, data), *_stretch(random, data)))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def splice(random: Random, data: bytes) -> bytes:
    """Put a stretch of any other file in place of one."""
    kind = random.choice(tuple(FORMATS))
    other = random.choice(good(kind, random.choice(FORMATS[kind])))
    start, end = _stretch(random, data)
    first, last = _stretch(random, other)
    return data[:start] + other[first:last] + data[random.choice((start, end)) :]


def count(random: Random, data: bytes) -> bytes:
    """Replace an integer by one that nobody expects: half of the time near a name or an id."""
    marks = [mark.start() for mark in MARKS.finditer(data[: 1 << LONGEST])]
    place = _place(random, data)
    if marks and random.random() < 0.5:
        place = max(0, random.choice(marks) + random.choice((-8, -4, -2, 1, 2, 3, *range(4, 33, 2))))
    width, order = random.choice((1, 2, 4, 8)), random.choice(("little", "big"))
    value = random.choice((*EXTREMES, random.getrandbits(64), 1 << random.randrange(64))) % (1 << 8 * width)
    return data[:place] + value.to_bytes(width, order) + data[place + width :]


MUTATIONS: tuple[Mutation, ...] = (flip, flip, overwrite, truncate, delete, duplicate, insert, swap, splice, count, count, count)


def repaired(data: bytes) -> bytes:
    """Make the checksums of a PNG right again, or nobody would look at what became of its chunks."""
    if not data.startswith(SIGNATURE):
        return data
    whole, at = bytearray(data), len(SIGNATURE)
    while len(whole) >= at + 12:
        end = at + 8 + int.from_bytes(whole[at : at + 4], "big")
        if end + 4 > len(whole):
            break
        whole[end : end + 4] = struct.pack(">I", zlib.crc32(whole[at + 4 : end]))
        at = end + 4
    return bytes(whole)


# What formats are made of

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(name: bytes, data: bytes) -> bytes:
    """Of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, pixels: bytes, *more: bytes) -> bytes:
    """Grey, with these bytes for its rows, and more chunks in front of them."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"".join((SIGNATURE, head, *more, chunk(b"IDAT", pixels), chunk(b"IEND", b"")))


def zeros(size: int) -> bytes:
    """So many of them, packed."""
    packer = zlib.compressobj(9)
    return b"".join((*(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)), packer.compress(bytes(size % (1 << 20))), packer.flush()))


def riff(form: bytes, *chunks: tuple[bytes, bytes], claim: int | None = None) -> bytes:
    """A RIFF file; the last chunk may claim to be longer than it is."""
    parts = [name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks]
    if claim is not None:
        parts[-1] = chunks[-1][0] + struct.pack("<I", claim) + chunks[-1][1]
    body = form + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def wav(samples: bytes, rate: int = 24_000, channels: int = 1, *, bits: int = 16, code: int = 1, claim: int | None = None) -> bytes:
    width = channels * bits // 8
    form = struct.pack("<HHIIHH", code, channels, rate, rate * width & 0xFFFFFFFF, width & 0xFFFF, bits)
    return riff(b"WAVE", (b"fmt ", form), (b"data", samples), claim=claim)


def tiff(*tags: tuple[int, int, int, int], follows: int = 0, behind: bytes = b"") -> bytes:
    """One directory; each tag is its number, its type, its count and its value."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", follows) + behind


def box(name: bytes, *content: bytes, size: int | None = None) -> bytes:
    """Of an MP4."""
    body = b"".join(content)
    return struct.pack(">I", len(body) + 8 if size is None else size) + name + body


def patched(data: bytes, name: bytes, offset: int, new: bytes) -> bytes:
    """Overwrite what stands so far behind the last mention of a name."""
    place = data.rindex(name) + len(name) + offset
    return data[:place] + new + data[place + len(new) :]


def element(id: int, *content: bytes, size: int | None = None) -> bytes:
    """Of a Matroska file; its size is written in eight bytes."""
    body = b"".join(content)
    head = id.to_bytes((id.bit_length() + 7) // 8, "big")
    return head + (1 << 56 | (len(body) if size is None else size)).to_bytes(8, "big") + body


def headers(kinds: Sequence[Kind] = ("picture", "sound", "clip")) -> dict[str, tuple[Kind, bytes]]:
    """The beginnings of the good files, and nothing behind."""
    return {f"first {most} bytes of {format}": (kind, good(kind, format)[0][:most]) for most in (12, 40) for kind in kinds for format in FORMATS[kind]}
