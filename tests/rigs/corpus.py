"""Files to break a reader with: a small good one of every format, what chance makes of them, and some that were made to do harm.

Everything is the same on every run: chance has a seed, and no file says when it was made. So the name of a case is enough to have it again.
"""

from __future__ import annotations

import gzip
import io
import re
import struct
import zlib
from base64 import b64encode
from collections.abc import Callable
from fractions import Fraction
from functools import cache, partial, reduce
from random import Random
from typing import Any, Literal, NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

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
        "TIFF": [(colours, {"compression": name}) for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")],
    }
    ways["TIFF"] += [(colours.convert("1"), {"compression": "group4"}), (deep, {"save_all": True, "append_images": [deep.rotate(9)]})]
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
            return [recorded("ogg", "libopus"), recorded("ogg", "vorbis", "stereo")]
        case "MP3":
            return [sampled(loud(0.1), 24_000, format), recorded("mp3", "libmp3lame", "stereo")]
        case "M4A":
            fragments = recorded("mp4", "aac", movflags="+frag_keyframe+empty_moov")
            return [recorded("ipod", "aac"), recorded("ipod", "alac", "stereo"), fragments]
        case _:
            return [recorded("webm", "libopus"), recorded("webm", "vorbis", "stereo")]


def sampled(audio: Float32, rate: int, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, audio, rate, format=format, **options)
    return file.getvalue()


def recorded(container: str, codec: str, layout: str = "mono", **muxer: str) -> bytes:
    """A sound that libav writes."""
    file = io.BytesIO()
    with av.open(file, "w", container, options=SAME | muxer) as output:
        stream = output.add_stream(codec, rate=48_000, layout=layout, options={"strict": "experimental"})
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(np.stack([loud(0.2)] * (2 if layout == "stereo" else 1)), "fltp", layout)
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
        for converted in av.AudioResampler(stream.format.name, frame_size=stream.frame_size or None).resample(frame):
            output.mux(stream.encode(converted))
        output.mux(stream.encode(None))
    return file.getvalue()


def _clips(format: str) -> list[bytes]:
    moov_first, fragments = {"moov_size": "8000"}, {"movflags": "+frag_keyframe+empty_moov"}
    ways: dict[str, list[tuple[str, str, str, dict[str, str]]]] = {
        "MP4": [("mp4", "libx264", "aac", {}), ("mp4", "mpeg4", "aac", fragments), ("mp4", "libx264", "libopus", moov_first)],
        "MOV": [("mov", "libx264", "pcm_s16le", {}), ("mov", "mjpeg", "pcm_s16le", {}), ("mov", "libx265", "aac", moov_first)],
        "WebM": [("webm", "libvpx", "libopus", {}), ("webm", "libvpx-vp9", "libopus", {})],
        "MKV": [("matroska", "libx264", "aac", {}), ("matroska", "mpeg4", "flac", {}), ("matroska", "libvpx", "libmp3lame", {})],
    }
    quiet = {"libx265": {"x265-params": "log-level=none:pools=none"}}
    make = partial(film, range(8), keys=[5], sound=[(0.0, loud(0.5))])
    return [make(file, codec, sound_codec=sound, options=quiet.get(codec), muxer=SAME | more) for file, codec, sound, more in ways[format]]


# What chance makes of them

NEAR = 256
"""Bytes from the beginning in which half of all damage is done: there is what a file says of itself."""

LONGEST = 12
"""The longest stretch that is damaged at once, as a power of two."""

MARKS = re.compile(
    rb"[A-Za-z]{3}[A-Za-z0-9 ]|\x15\x49\xa9\x66|\x16\x54\xae\x6b|\x1f\x43\xb6\x75|\x2a\xd7\xb1|\x44\x89|\xa3|\xb0|\xba|\xff[\xc0-\xfe]"
)
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


def replace(random: Random, data: bytes) -> bytes:
    """Put something else in place of a stretch, or in front of it, or have it twice, or not at all."""
    start, end = _stretch(random, data)
    old, size = data[start:end], end - start
    other = random.choice((b"", old, bytes(size), b"\xff" * size, random.randbytes(size)))
    return data[:start] + other + random.choice((b"", old)) + data[end:]


def truncate(random: Random, data: bytes) -> bytes:
    return data[: _place(random, data)] if random.random() < 0.5 else data[: -random.randint(1, 64)]


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
    marks = [mark.start() for mark in MARKS.finditer(data)]
    place = _place(random, data)
    if marks and random.random() < 0.5:
        place = max(0, random.choice(marks) + random.choice((-8, -4, -2, 1, 2, 3, *range(4, 33, 2))))
    width = random.choice((1, 2, 4, 8))
    value = random.choice((*EXTREMES, random.getrandbits(64), 1 << random.randrange(64))) % (1 << 8 * width)
    number = value.to_bytes(width, "big")[:: random.choice((1, -1))]
    return data[:place] + number + data[place + width :]


MUTATIONS: tuple[Mutation, ...] = (flip, flip, replace, replace, replace, replace, truncate, swap, splice, count, count, count)


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
    return zlib.compress(bytes(size), 9)


def riff(form: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    body = form + b"".join(name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def wav(samples: bytes, rate: int = 24_000, channels: int = 1, *, bits: int = 16, code: int = 1) -> bytes:
    width = channels * bits // 8
    form = struct.pack("<HHIIHH", code, channels, rate, rate * width & 0xFFFFFFFF, width & 0xFFFF, bits)
    return riff(b"WAVE", (b"fmt ", form), (b"data", samples))


def tiff(tags: dict[int, int], behind: bytes = b"", *, count: int = 1, follows: int = 0) -> bytes:
    """One directory of tags that are numbers of 32 bits, and say that they are so many; then the file's next directory."""
    entries = b"".join(struct.pack("<HHII", tag, 4, count, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", follows) + behind


def grey(width: int, height: int, size: int, compression: int) -> dict[int, int]:
    """The tags of a TIFF in one strip, which begins right behind them."""
    shape = {256: width, 257: height, 258: 8, 259: compression, 262: 1}
    return shape | {273: 8 + 2 + 8 * 12 + 4, 278: height, 279: size}


def bmp(width: int, height: int, bits: int = 24, compression: int = 0, behind: bytes = b"") -> bytes:
    colours = 4 << bits if bits <= 8 else 0
    head = struct.pack("<IIiiHHIIIIII", 54 + colours, 40, width, height, 1, bits, compression, *[0] * 5)
    return b"BM" + bytes(8) + head + bytes(colours) + behind


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


# Files made to do harm

MEGABYTE = 1_000_000


class Hostile(NamedTuple):
    case: Case
    readable: bool
    """May it be read all the same? Some claim nothing that is not so."""


@cache
def hostile(kind: Kind) -> tuple[Hostile, ...]:
    """All that are made for a kind."""
    makers = {"picture": (_bad_pictures, _odd_pictures), "sound": (_bad_sounds, _odd_sounds), "clip": (_bad_clips, _odd_clips)}
    bad, odd = (maker() for maker in makers[kind])
    # Among sounds, what has no name that is known is raw samples.
    (odd if kind == "sound" else bad).update(strangers(kind))
    escaped = "".join(f"\\u{letter:04x}" for letter in b64encode(good(kind, FORMATS[kind][0])[0]))
    refused = {name: literal(file) for name, file in (heads(kind) | bad).items()} | texts()
    either = {name: literal(file) for name, file in odd.items()} | {"a good file, escaped": f'"{escaped}"'}
    every = ((refused, False), (either, True))
    return tuple(Hostile(Case(f"{kind}: {name}", kind, text), readable) for files, readable in every for name, text in files.items())


def texts() -> dict[str, str]:
    """What stands in JSON where a file's base64 should."""
    return {
        "base64 with rubbish in it": '"iVBORw0K\\u0000%%%Ggo="',
        "base64 of one letter": '"A"',
        "letters of no alphabet": '"\\u20ac\\u20ac\\u20ac\\u20ac"',
        "a data URI without base64": '"data:image/png,iVBORw0KGgo="',
        "a data URI without a comma": '"data:image/png;base64;iVBORw0KGgo="',
        "a data URI that is all media type": f'"data:image/png;{"x=y;" * 10_000}base64,iVBORw0KGgo="',
        "an address": '"http://127.0.0.1:9/picture.png"',
        "a file's address": '"file:///etc/passwd"',
        "a number": "5",
        "an object": '{"url": "data:image/png;base64,iVBORw0KGgo="}',
        "lists within lists": "[" * 500 + "]" * 500,
    }


def strangers(kind: Kind) -> dict[str, bytes]:
    """Files of no format that is read, among them those that make other programs open files and addresses."""
    return {
        "a zip of zips of zeros": zipped(zipped(bytes(20 * MEGABYTE)), 50),
        "gzip of zeros": gzip.compress(bytes(50 * MEGABYTE), mtime=0),
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "XML that laughs": b'<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "' + b"&b;" * 1000 + b'">]><svg>' + b"&c;" * 1000 + b"</svg>",
        "HTML": b"<!doctype html><script>fetch('/')</script>",
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n(/etc/passwd) (r) file\n",
        "PDF": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n",
        "an HLS playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "a list to concatenate": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "AVI": riff(b"AVI ", (b"LIST", bytes(100))),
        **{f"a {other}": good(other, FORMATS[other][1])[0] for other in FORMATS if {kind, other} != {"sound", "clip"} and other != kind},
    }


def zipped(file: bytes, times: int = 1) -> bytes:
    archive = io.BytesIO()
    with ZipFile(archive, "w", ZIP_DEFLATED) as members:
        for number in range(times):
            members.writestr(ZipInfo(f"{number}.zip"), file, ZIP_DEFLATED)
    return archive.getvalue()


def heads(kind: Kind) -> dict[str, bytes]:
    """How files of each format begin, with nothing behind it; and nothing at all."""
    formats = [format for format in FORMATS[kind] if format != "MP3"]  # which a single frame does not make yet
    files = {f"{most} bytes of {format}": good(kind, format)[0][:most] for format in formats for most in (16, 40)}
    return files if kind == "sound" else files | {"nothing": b""}


def _bad_pictures() -> dict[str, bytes]:
    jpeg, webp = good("picture", "JPEG")[0], good("picture", "WebP")[0]
    giant = struct.pack(">HH", 65_500, 65_500)
    canvas = bytes(4) + (16_383).to_bytes(3, "little") * 2
    packed = zeros(100 * MEGABYTE)
    return {
        "a PNG that claims 10,000 megapixels": png(100_000, 100_000, zeros(1000)),
        "a PNG of 100 megapixels": png(10_000, 10_000, packed),
        "a PNG without an end": png(100, 100, zeros(100)),
        "a PNG with a text of 50 MB": png(8, 8, zeros(72), chunk(b"zTXt", b"Comment\0\0" + zeros(50 * MEGABYTE))),
        "a PNG with a profile of 50 MB": png(8, 8, zeros(72), chunk(b"iCCP", b"profile\0\0" + zeros(50 * MEGABYTE))),
        "a PNG with a chunk of 2 GB": png(8, 8, zeros(72), struct.pack(">I", 0x7FFFFFFF) + b"tEXt"),
        "a GIF with a screen of 4,294 megapixels": patched(good("picture", "GIF")[0], b"GIF8", 2, b"\xff" * 4),
        "a WebP with a canvas of 268 megapixels": riff(b"WEBP", (b"VP8X", canvas), (b"VP8 ", webp[20:])),
        "a WebP of 268 megapixels": riff(b"WEBP", (b"VP8L", b"/" + b"\xff\xff\xff\x0f" + bytes(99))),
        "a BMP of 3,600 megapixels": bmp(60_000, 60_000),
        "a BMP that stands on its head": bmp(-(2**31), -(2**31)),
        "a JPEG of 4,290 megapixels": patched(jpeg, b"\xff\xc0", 3, giant),
        "a JPEG of 10,000 segments": b"\xff\xd8" + b"\xff\xfe\0\2" * 10_000 + b"\xff\xd9",
        "a TIFF that goes round in a circle": tiff({}, follows=8),
        "a TIFF with tags of 2^32 numbers": tiff(grey(8, 8, 64, 1), bytes(64), count=0xFFFFFFFF),
        "a TIFF of 65,535 tags": b"II*\0\x08\0\0\0\xff\xff" + struct.pack("<HHII", 256, 12, 0x20000000, 8) * 65_535,
        "a TIFF of 10,000 megapixels": tiff(grey(100_000, 100_000, len(packed), 8), packed),
    }


def _odd_pictures() -> dict[str, bytes]:
    packed = zeros(60 * MEGABYTE)
    return {
        "a PNG of 60 megapixels": png(10_000, 6_000, zeros(6_000 * 10_001)),
        "a PNG with 60 MB behind its pixels": png(8, 8, packed),
        "a PNG that says it has 2^32 pictures": png(8, 8, zeros(72), chunk(b"acTL", b"\xff\xff\xff\xff" + bytes(4))),
        "a TIFF whose second page is its first": tiff(grey(8, 8, 64, 1), bytes(64), follows=8),
        "a TIFF of 60 megapixels": tiff(grey(10_000, 6_000, len(packed), 8), packed),
        "a BMP of 64 megapixels": bmp(8000, 8000, 8, 1, (b"\xff\0" * 32 + b"\0\0") * 8000 + b"\0\1"),
    }


def _bad_sounds() -> dict[str, bytes]:
    noise, flac, m4a = bytes(2000), good("sound", "FLAC")[0], good("sound", "M4A")[0]
    rate = 24_000 << 44 | 1 << 41 | 15 << 36
    return {
        "a WAV that claims ten hours": patched(wav(noise), b"data", 0, struct.pack("<I", 24_000 * 2 * 36_000)),
        "a WAV of 0 Hz": wav(noise, 0),
        "a WAV of 1 Hz": wav(noise, 1),
        "a WAV of 4 GHz": wav(noise, 0xFFFFFFFF),
        "a WAV of 65,535 channels": wav(noise, channels=0xFFFF),
        "a WAV of no channel": wav(noise, channels=0),
        "a WAV of 0 bits": wav(noise, bits=0),
        "a WAV of no numbers": wav(np.full(500, np.nan, np.float32).tobytes(), bits=32, code=3),
        "a WAV louder than all": wav(np.full(500, np.inf, np.float32).tobytes(), bits=32, code=3),
        "a WAV of a codec of its own": wav(noise, code=0xFFFE),
        "a FLAC that claims ten hours": patched(flac, b"fLaC", 14, struct.pack(">Q", rate | 24_000 * 36_000)),
        "a FLAC that claims 2^36 samples": patched(flac, b"fLaC", 14, struct.pack(">Q", rate | (2**36 - 1))),
        "a FLAC with a block of 16 MB": b"fLaC\4\xff\xff\xff" + flac[4:],
        "an MP3 with a tag of 256 MB": b"ID3\4\0\0\x7f\x7f\x7f\x7f" + good("sound", "MP3")[0],
        "a film without sound": film(range(3)),
        "a Matroska file of 2^56 - 2 bytes": element(0x1A45DFA3, element(0x4282, b"webm")) + element(0x18538067, size=2**56 - 2),
        "an M4A with 2^32 runs": patched(m4a, b"stsc", 4, b"\xff" * 4),
    }


def _odd_sounds() -> dict[str, bytes]:
    mp3, m4a = good("sound", "MP3")[0], good("sound", "M4A")[0]
    title = b"TIT2\0\0\x07\x6c\0\x09\x7f\x7f\x7f\x7f" + zeros(MEGABYTE)[:1000]
    return {
        "an MP3 whose title unpacks to 256 MB": b"ID3\4\0\0\0\0\x07\x76" + title + mp3,
        "an M4A with 2^32 chunks": patched(m4a, b"stco", 4, b"\xff" * 4),
        "an M4A whose samples last for ever": patched(m4a, b"stts", 12, b"\xff" * 4),
        "raw samples, and half of one": bytes(1001),
        "nothing": b"",
    }


def _bad_clips() -> dict[str, bytes]:
    mp4, _, moov_first = good("clip", "MP4")
    webm, mkv = good("clip", "WebM")[0], good("clip", "MKV")[0]
    short, most = film(range(3)), b"\xff" * 4
    matroska = element(0x1A45DFA3, element(0x4282, b"webm"))
    size = element(0xE0, element(0xB0, b"\x40"), element(0xBA, b"\x40"))
    packing = element(0x6D80, element(0x6240, element(0x5034, element(0x4254, b"\0"))))
    track = element(0xAE, element(0xD7, b"\1"), element(0x83, b"\1"), element(0x86, b"V_VP8"), size, packing)
    packed = element(0x1F43B675, element(0xE7, b"\0"), element(0xA3, b"\x81\0\0\x80" + zeros(100 * MEGABYTE)))
    return {
        "an MP4 without its end": mp4[: len(mp4) // 2],
        "an MP4 whose index alone is whole": moov_first[: moov_first.index(b"mdat") + 100],
        "an MP4 of a first box": box(b"ftyp", b"isom", bytes(4)),
        "an MP4 without a frame": film((), muxer=SAME),
        "a WebM without a frame": film((), "webm", "libvpx", muxer=SAME),
        "an MP4 with a box of 2^64 - 1 bytes": box(b"ftyp", b"isom", bytes(4)) + box(b"moov", b"\xff" * 8, size=1),
        "an MP4 of boxes in boxes": box(b"ftyp", b"isom", bytes(4)) + reduce(lambda inner, _: box(b"moov", inner), range(1000), b""),
        "an MP4 of 5,000 tracks": box(b"ftyp", b"isom", bytes(4)) + box(b"moov", box(b"trak", box(b"mdia")) * 5000),
        "an MP4 that is a playlist": box(b"ftyp", b"isom", bytes(4)) + box(b"#EXT", b"M3U\n#EXTINF:1,\nfile:///etc/passwd\n"),
        "an MP4 with 2^32 samples": patched(short, b"stsz", 8, most),
        "an MP4 with 2^32 samples of one byte": patched(short, b"stsz", 4, b"\0\0\0\1" + most),
        "an MP4 with 2^32 samples in a chunk": patched(short, b"stsc", 12, most),
        "an MP4 of ten years": patched(short, b"mdhd", 12, struct.pack(">II", 1, 315_576_000)),
        "a WebM of 2^56 - 2 bytes": matroska + element(0x18538067, size=2**56 - 2),
        "a WebM with a list of 2^56 - 2 bytes": matroska + element(0x18538067, element(0x1654AE6B, size=2**56 - 2)),
        "a WebM of lists in lists": matroska + reduce(lambda inner, _: element(0x18538067, inner), range(1000), b""),
        "a WebM that unpacks to 100 MB": matroska + element(0x18538067, element(0x1654AE6B, track), packed),
        "a WebM of 268 megapixels": patched(webm, b"\x9d\x01\x2a", 0, b"\xff\x3f\xff\x3f"),
        "an MKV of ten years": patched(mkv, b"\x44\x89\x88", 0, struct.pack(">d", 315_576_000_000.0)),
    }


def _odd_clips() -> dict[str, bytes]:
    mkv, fragments, short = good("clip", "MKV")[0], good("clip", "MP4")[1], film(range(3))
    return {
        "an MP4 whose fragment has 2^32 samples": patched(fragments, b"trun", 4, b"\xff" * 4),
        "an MP4 with 2^32 chunks": patched(short, b"stco", 4, b"\xff" * 4),
        "an MKV of 2^63 ms": patched(mkv, b"\x44\x89\x88", 0, struct.pack(">d", 2.0**63)),
        "an MP4 with 2^32 times": patched(short, b"stts", 8, b"\xff" * 4),
        "an MP4 with 2^32 edits": patched(short, b"elst", 4, b"\xff" * 4),
        "an MP4 whose second is 0 long": patched(short, b"mdhd", 12, bytes(4)),
        "an MKV whose clock stands still": patched(mkv, b"\x2a\xd7\xb1", 1, bytes(3)),
    }
