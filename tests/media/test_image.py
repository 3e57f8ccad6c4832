from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile

from realtime.errors import MediaError
from realtime.media import image
from realtime.media.limits import Limits
from realtime.media.readings import Detail, Picture, WantedPicture

LIMITS = Limits(image_pixels=1_000_000, image_side=96, low_image_side=48)
RED, GREEN, BLUE, GREY, WHITE, BLACK = (220, 30, 30), (30, 200, 30), (30, 30, 220), (128, 128, 128), (255, 255, 255), (0, 0, 0)
FORMATS = ("PNG", "JPEG", "WebP", "GIF", "BMP", "TIFF")
PLACE = b"Atlantis"
"""Stands in metadata, and must not stand in what is made."""


def corners(width: int = 80, height: int = 40) -> Image.Image:
    """Red, green / blue, grey."""
    drawn = Image.new("RGB", (width, height))
    for index, colour in enumerate((RED, GREEN, BLUE, GREY)):
        left, top = index % 2 * width // 2, index // 2 * height // 2
        drawn.paste(colour, (left, top, left + width // 2, top + height // 2))
    return drawn


def noise(width: int = 80, height: int = 40) -> Image.Image:
    """A picture that no format makes small, so that a cut goes through its pixels."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def file(drawn: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    drawn.save(buffer, format.upper(), **options)
    return buffer.getvalue()


def read(data: bytes, detail: Detail = "auto", limits: Limits = LIMITS) -> Picture:
    return image.read(data, WantedPicture(detail), limits)


def refusal(data: bytes, limits: Limits = LIMITS) -> MediaError:
    with pytest.raises(MediaError) as caught:
        read(data, limits=limits)
    return caught.value


def pixels(shown: Picture) -> Image.Image:
    drawn = Image.open(io.BytesIO(shown.jpeg), formats=["JPEG"])
    assert (drawn.mode, drawn.size) == ("RGB", (shown.width, shown.height))
    return drawn


def colours(shown: Picture) -> list[tuple[int, ...]]:
    """In the middle of the four quarters, by rows."""
    drawn = pixels(shown)
    across, down = (drawn.width // 4, drawn.width * 3 // 4), (drawn.height // 4, drawn.height * 3 // 4)
    return [tuple(np.asarray(drawn)[y, x].tolist()) for y in down for x in across]


def near(one: tuple[int, ...], other: tuple[int, ...], by: int = 12) -> bool:
    return all(abs(a - b) <= by for a, b in zip(one, other, strict=True))


def has(shown: Picture, *expected: tuple[int, ...]) -> bool:
    return all(near(one, other) for one, other in zip(colours(shown), expected, strict=True))


def grey(levels: Image.Image) -> tuple[int, int]:
    """What becomes of the left and the right of a picture of one channel."""
    left, right = colours(image.picture(levels, "TIFF", 96))[:2]
    assert len(set(left)) == len(set(right)) == 1
    return left[0], right[0]


def halves(left: float, right: float, kind: type[np.generic]) -> Image.Image:
    return Image.fromarray(np.repeat(np.array([[left] * 20 + [right] * 20], kind), 20, axis=0))


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[image.ORIENTATION] = orientation
    return exif


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int = 8, height: int = 8, *chunks: bytes, data: bytes | None = None) -> bytes:
    """A PNG file made by hand: grey, 8 bits, with these chunks before its pixels."""
    rows = (b"\0" + bytes(width)) * height if data is None else data
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"".join((b"\x89PNG\r\n\x1a\n", head, *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")))


def segment(jpeg: bytes, data: bytes) -> bytes:
    """The JPEG with an APP1 segment."""
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data + jpeg[2:]


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as written:
        written.writestr("picture.png", png())
    return buffer.getvalue()


@pytest.mark.parametrize(("detail", "pixels"), [("auto", 96), ("high", 96), ("low", 48)])
def test_the_longest_side_depends_on_the_detail(detail: Detail, pixels: int) -> None:
    assert image.side(detail, LIMITS) == pixels


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_of_every_format_is_read(format: str) -> None:
    shown = read(file(corners(), format))
    assert (shown.width, shown.height, shown.format) == (80, 40, format)
    assert has(shown, RED, GREEN, BLUE, GREY)


@pytest.mark.parametrize(
    ("format", "mode", "options"),
    [
        ("PNG", "P", {}),
        ("PNG", "RGBA", {}),
        ("JPEG", "CMYK", {}),
        ("JPEG", "RGB", {"progressive": True}),
        ("WebP", "RGB", {"lossless": True}),
        ("WebP", "RGBA", {"lossless": True}),
        ("BMP", "P", {}),
        ("TIFF", "CMYK", {}),
        ("TIFF", "RGBA", {"compression": "tiff_lzw"}),
        ("TIFF", "RGB", {"compression": "jpeg"}),
    ],
)
def test_the_kinds_of_a_format_look_alike(format: str, mode: str, options: dict[str, Any]) -> None:
    drawn = corners().quantize(4) if mode == "P" else corners().convert(mode)
    assert has(read(file(drawn, format, **options)), RED, GREEN, BLUE, GREY)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP", "TIFF"])
def test_a_grey_picture_stays_grey(format: str) -> None:
    shown = read(file(halves(60, 190, np.uint8), format))
    assert has(shown, (60,) * 3, (190,) * 3, (60,) * 3, (190,) * 3)


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "GIF"])
def test_a_picture_of_one_bit_is_black_and_white(format: str) -> None:
    shown = read(file(halves(0, 255, np.uint8).convert("1"), format))
    assert has(shown, BLACK, WHITE, BLACK, WHITE)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBX", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV", "I;16", "I", "F"])
def test_a_picture_of_any_mode_becomes_rgb(mode: str) -> None:
    assert pixels(image.picture(Image.new(mode, (20, 10)), "PNG", 96)).mode == "RGB"


@pytest.mark.parametrize(
    ("size", "becomes"),
    [
        ((300, 150), (96, 48)),
        ((150, 300), (48, 96)),
        ((97, 97), (96, 96)),
        ((96, 50), (96, 50)),
        ((3, 2), (3, 2)),
        ((1, 1), (1, 1)),
        ((4001, 3), (96, 1)),
        ((3, 4001), (1, 96)),
        ((1000, 999), (96, 96)),
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "I;16"])
def test_a_picture_is_made_smaller_and_never_larger(mode: str, size: tuple[int, int], becomes: tuple[int, int]) -> None:
    shown = image.picture(Image.new(mode, size), "MP4", 96)
    assert (shown.width, shown.height, shown.format) == (*becomes, "MP4")
    assert pixels(shown).size == becomes


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(("detail", "size"), [("auto", (96, 64)), ("high", (96, 64)), ("low", (48, 32))])
def test_a_file_is_read_as_closely_as_is_wanted(format: str, detail: Detail, size: tuple[int, int]) -> None:
    shown = read(file(corners(900, 600), format), detail)
    assert (shown.width, shown.height) == size
    assert has(shown, RED, GREEN, BLUE, GREY)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_large_picture_is_scaled_without_a_seam(mode: str) -> None:
    ramp = np.add.outer(np.arange(1501), np.arange(2003)) * 255 // 3502
    drawn = Image.fromarray(ramp.astype(np.uint8)).convert(mode)
    assert drawn.width * drawn.height > 2 * image.STRIP
    shown = np.asarray(pixels(image.picture(drawn, "PNG", 200)).convert("L")).astype(int)
    best = np.asarray(drawn.convert("L").resize((200, 150), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(shown - best).max() <= 4


def test_lines_finer_than_a_pixel_become_grey() -> None:
    lines = np.zeros((1000, 1000), np.uint8)
    lines[::2] = 255
    assert has(image.picture(Image.fromarray(lines), "PNG", 96), GREY, GREY, GREY, GREY)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
@pytest.mark.parametrize(("alpha", "becomes"), [(0, 255), (128, 127), (255, 0)])
@pytest.mark.parametrize("size", [(40, 40), (1600, 1600)])
def test_what_shines_through_is_white(mode: str, alpha: int, becomes: int, size: tuple[int, int]) -> None:
    drawn = Image.new("L" if mode == "LA" else "RGB", size).convert(mode)
    drawn.putalpha(alpha)
    assert drawn.mode == mode
    assert has(image.picture(drawn, "PNG", 96), *[(becomes,) * 3] * 4)


@pytest.mark.parametrize(
    ("format", "mode", "transparency"),
    [("PNG", "P", 0), ("PNG", "P", b"\0"), ("PNG", "RGB", (0, 0, 0)), ("PNG", "L", 0), ("PNG", "1", 0), ("GIF", "P", 0)],
)
def test_a_colour_that_is_declared_transparent_is_white(format: str, mode: str, transparency: object) -> None:
    drawn = Image.new("P", (40, 40)) if mode == "P" else Image.new(mode, (40, 40))
    assert has(read(file(drawn, format, transparency=transparency)), WHITE, WHITE, WHITE, WHITE)


@pytest.mark.parametrize("format", ["PNG", "WebP", "TIFF"])
def test_a_transparent_file_is_shown_on_white(format: str) -> None:
    drawn = corners().convert("RGBA")
    drawn.paste((0, 0, 0, 0), (0, 0, 40, 20))
    assert has(read(file(drawn, format)), WHITE, GREEN, BLUE, GREY)


def test_sixteen_bits_are_scaled_to_eight() -> None:
    levels = halves(0x4000, 0xC000, np.uint16)
    assert grey(levels) == (64, 191)
    for format in ("PNG", "TIFF"):
        assert has(read(file(levels, format)), (64,) * 3, (191,) * 3, (64,) * 3, (191,) * 3)


@pytest.mark.parametrize(
    ("left", "right", "kind", "becomes"),
    [
        (0, 0xFFFF, np.int32, (0, 255)),
        (0x4000, 0xC000, np.int32, (64, 191)),
        (-100, 100, np.int32, (0, 255)),
        (0, 1_000_000, np.int32, (0, 255)),
        (-7, -7, np.int32, (0, 0)),
        (0.25, 0.75, np.float32, (64, 191)),
        (0, 255, np.float32, (0, 255)),
        (-3, 3, np.float32, (0, 255)),
        (1000, 1000, np.float32, (0, 0)),
    ],
)
def test_samples_wider_than_a_byte_are_brought_to_one(left: float, right: float, kind: type[np.generic], becomes: tuple[int, int]) -> None:
    assert grey(halves(left, right, kind)) == pytest.approx(becomes, abs=1)


ORIENTATIONS = [
    (1, [RED, GREEN, BLUE, GREY]),
    (2, [GREEN, RED, GREY, BLUE]),
    (3, [GREY, BLUE, GREEN, RED]),
    (4, [BLUE, GREY, RED, GREEN]),
    (5, [RED, BLUE, GREEN, GREY]),
    (6, [BLUE, RED, GREY, GREEN]),
    (7, [GREY, GREEN, BLUE, RED]),
    (8, [GREEN, GREY, RED, BLUE]),
]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WebP", "TIFF"])
@pytest.mark.parametrize("width", [80, 800])
@pytest.mark.parametrize(("orientation", "expected"), ORIENTATIONS)
def test_a_picture_is_turned_as_its_camera_was_held(format: str, width: int, orientation: int, expected: list[tuple[int, ...]]) -> None:
    shown = read(file(corners(width, width // 2), format, exif=oriented(orientation)))
    long, short = min(width, 96), min(width, 96) // 2
    assert (shown.width, shown.height) == ((long, short) if orientation < 5 else (short, long))
    assert has(shown, *expected)


def entry(kind: int, count: int, value: bytes) -> bytes:
    """EXIF that has the orientation alone, in this form."""
    return b"Exif\0\0II*\0\x08\0\0\0\1\0" + struct.pack("<HHI4sI", image.ORIENTATION, kind, count, value, 0)


@pytest.mark.parametrize("wrong", [entry(3, 1, b"\0"), entry(3, 1, b"\x09"), entry(2, 3, b"up"), entry(4, 1, b"\xff" * 4)])
def test_an_orientation_that_does_not_exist_is_none(wrong: bytes) -> None:
    assert has(read(segment(file(corners(), "JPEG"), wrong)), RED, GREEN, BLUE, GREY)


@pytest.mark.parametrize(
    "broken",
    [
        chunk(b"eXIf", b""),
        chunk(b"eXIf", b"II*\0"),
        chunk(b"eXIf", b"rubbish rubbish"),
        chunk(b"eXIf", b"II*\0\xff\xff\xff\xff"),
        chunk(b"eXIf", oriented(6).tobytes()[6:-9]),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n10\nrubbish\n")),
        chunk(b"iCCP", b"profile\0\0rubbish"),
        chunk(b"tEXt", b"Comment\0" + bytes(5_000_000)),
    ],
)
def test_broken_metadata_does_not_spoil_a_picture(broken: bytes) -> None:
    shown = read(png(20, 10, broken))
    assert (shown.width, shown.height) == (20, 10)


def test_warnings_of_broken_metadata_do_not_leak() -> None:
    data = segment(file(corners(), "JPEG"), b"Exif\0\0II*\0\x08\0\0\0\x01")
    with pytest.warns(UserWarning, match="EXIF"):
        Image.open(io.BytesIO(data)).getexif()
    assert has(read(data), RED, GREEN, BLUE, GREY)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WebP", "TIFF"])
def test_what_a_file_says_beside_its_pixels_is_left_out(format: str) -> None:
    exif = oriented(6)
    exif[0x010E] = exif[0x013B] = PLACE.decode()
    exif.get_ifd(0x8825).update({1: "N", 2: (50.0, 3.0, 2.0), 29: PLACE.decode()})
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    options = {"comment": PLACE} if format == "JPEG" else {}
    data = file(corners(), format, exif=exif, icc_profile=profile, xmp=b"<x:xmpmeta>" + PLACE, **options)
    assert PLACE in data
    assert profile in data or format == "PNG"  # there it is compressed
    shown = read(data)
    assert PLACE not in shown.jpeg
    assert b"Exif" not in shown.jpeg
    assert not pixels(shown).getexif()
    assert pixels(shown).info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_what_a_picture_in_memory_says_beside_its_pixels_is_left_out() -> None:
    drawn = corners()
    drawn.info.update(comment=PLACE, icc_profile=PLACE, exif=PLACE, xmp=PLACE)
    assert PLACE not in image.picture(drawn, "MP4", 96).jpeg


@pytest.mark.parametrize("format", ["PNG", "WebP", "GIF", "TIFF"])
def test_the_first_of_several_pictures_is_shown(format: str) -> None:
    others = [Image.new("RGB", (80, 40), colour) for colour in (BLACK, RED)]
    data = file(corners(), format, save_all=True, append_images=others)
    opened = Image.open(io.BytesIO(data))
    assert getattr(opened, "n_frames", 1) == 3
    opened.close()
    assert has(read(data), RED, GREEN, BLUE, GREY)


def test_an_animation_on_nothing_is_shown_on_white() -> None:
    drawn = corners().convert("RGBA")
    drawn.paste((0, 0, 0, 0), (0, 0, 40, 20))
    for format in ("GIF", "WebP"):
        data = file(drawn, format, save_all=True, append_images=[drawn.rotate(180)], disposal=2)
        assert has(read(data), WHITE, GREEN, BLUE, GREY)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG",
        b"a picture",
        b"BMW is a make of cars",
        b"%PDF-1.7\n",
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"RIFF\x24\0\0\0WAVEfmt ",
        zipped(),
        bytes(1000),
        file(corners(), "PPM"),
        file(corners(), "ICO"),
    ],
)
def test_what_is_no_picture_is_refused_with_what_would_be(data: bytes) -> None:
    error = refusal(data)
    assert error.code == "invalid_image_format"
    assert all(format in error.message for format in FORMATS)


HEADS = {
    "PNG": b"\x89PNG\r\n\x1a\n",
    "JPEG": b"\xff\xd8\xff\xe0",
    "WebP": b"RIFF\xff\0\0\0WEBP",
    "GIF": b"GIF89a",
    "BMP": b"BM\0\1\0\0\0\0\0\0",
    "TIFF": b"II*\0",
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("rest", [b"", b"rubbish", bytes(500), b"\xff" * 500, noise().tobytes()])
def test_the_head_of_a_format_alone_is_no_picture(format: str, rest: bytes) -> None:
    error = refusal(HEADS[format] + rest)
    assert error.code == "image_parse_error"
    assert format in error.message


CUT: list[tuple[str, dict[str, Any]]] = [
    *((format, {}) for format in FORMATS),
    ("JPEG", {"progressive": True}),
    ("WebP", {"lossless": True}),
    ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ("TIFF", {"compression": "jpeg"}),
]


@pytest.mark.parametrize(("format", "options"), CUT)
@pytest.mark.parametrize("part", [0.1, 0.3, 0.5, 0.7, 0.9, 0.97])
def test_a_file_that_is_cut_short_is_refused(format: str, options: dict[str, Any], part: float) -> None:
    data = file(noise(), format, **options)
    assert read(data).width == 80
    assert refusal(data[: int(len(data) * part)]).code == "image_parse_error"


@pytest.mark.parametrize("data", [png(0, 8), png(8, 0), b"GIF89a\x08\0\x08\0\0\0\0;", b"GIF89a\0\0\0\0\0\0\0;", png(8, 8, data=b"")])
def test_a_file_without_a_picture_is_refused(data: bytes) -> None:
    assert refusal(data).code == "image_parse_error"


@pytest.mark.parametrize(("width", "height"), [(1001, 1000), (1_000_001, 1), (1, 1_000_001), (1400, 1400)])
def test_too_many_pixels_are_counted_before_they_are_decoded(width: int, height: int) -> None:
    error = refusal(png(width, height, data=b""))
    assert error.code == "image_too_large"
    assert f"{width} x {height} has {width * height}" in error.message
    assert "at most 1000000 pixels (MAX_IMAGE_PIXELS)" in error.message


def test_as_many_pixels_as_there_may_be_are_read() -> None:
    assert read(png(1000, 1000)).width == 96


def webp_of(width: int, height: int) -> bytes:
    canvas = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", len(canvas)) + canvas + file(corners(), "WebP")[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    "data",
    [
        png(100_000, 100_000, data=b"\0\0"),
        png(0x7FFFFFFF, 0x7FFFFFFF, data=b""),
        webp_of(16_000, 16_000),
        b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\0;",
        b"BM" + bytes(8) + struct.pack("<IIiiHHIIIIII", 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0),
    ],
)
def test_a_header_that_claims_a_giant_is_refused(data: bytes) -> None:
    error = refusal(data)
    assert error.code == "image_too_large"
    assert "MAX_IMAGE_PIXELS" in error.message


def test_a_bomb_is_refused_unless_it_is_small_enough() -> None:
    bomb = file(Image.new("L", (8000, 8000)), "PNG")
    assert len(bomb) < 100_000
    assert refusal(bomb).code == "image_too_large"
    shown = read(bomb, limits=Limits())
    assert (shown.width, shown.height) == (1536, 1536)


def test_our_limit_rules_over_the_one_that_pillow_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read(file(corners(), "PNG")).width == 80


@pytest.mark.parametrize(
    "bomb",
    [
        chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(50_000_000))),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000))),
        chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(bytes(50_000_000))),
    ],
)
def test_metadata_that_unpacks_to_a_giant_is_refused(bomb: bytes) -> None:
    assert refusal(png(8, 8, bomb)).code == "image_parse_error"


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (MemoryError(), "image_too_large"),
        *((kind("inside Pillow"), "image_parse_error") for kind in (OSError, SyntaxError, IndexError, RuntimeError, RecursionError)),
        (struct.error("inside Pillow"), "image_parse_error"),
        (zlib.error("inside Pillow"), "image_parse_error"),
    ],
)
def test_whatever_goes_wrong_in_pillow_is_told_as_what_is_wrong_with_the_file(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, code: str
) -> None:
    def load(_: ImageFile.ImageFile) -> None:
        raise raised

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    error = refusal(file(corners(), "PNG"))
    assert error.code == code
    assert error.__cause__ is raised
    assert "inside Pillow" not in error.message
