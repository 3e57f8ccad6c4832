"""A client's still picture, made into what a model is shown: one small JPEG that says nothing but its pixels.

Owns the way from any picture that Pillow opens to that JPEG. Refuses formats other than the six of `files.ImageFormat`, pictures with more
pixels than the limit, and files that are broken or cut short. Colour profiles are not applied: they shift shades, and their parser
is one more that strangers' bytes would reach.

It blocks, and it sets what Pillow keeps for the whole process: it is for a process that reads files and does nothing else.
"""

from __future__ import annotations

import io
import struct
import warnings
from typing import TYPE_CHECKING, cast

from realtime.errors import MediaError
from realtime.media import files, jpeg
from realtime.media.limits import Limits
from realtime.media.readings import Detail, Picture, WantedPicture

if TYPE_CHECKING:
    from PIL import Image

QUALITY = 85
COLOUR = "4:4:4"
"""Of the JPEG. Letters on a screen lose more to the halved resolution of colour that is usual (4:2:0) than to anything else: with it they
come out worse at 95 (27 dB) than with all of the colour at 85 (32 dB), which is smaller besides."""

GAP = 2
"""How much larger than wanted a picture stays after the fast, coarse step of its scaling; the good filter does the rest."""

STRIP = 1_000_000
"""Pixels that are converted at a time, so that a large picture is in memory once."""

ORIENTATION = 0x0112
"""EXIF's tag for how the camera was held (CIPA DC-008, 4.6.4)."""

_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""What undoes each orientation, as Pillow names it; 1 is upright."""


def side(detail: Detail, limits: Limits) -> int:
    """Pixels that the longest side of a picture may have."""
    return limits.low_image_side if detail == "low" else limits.image_side


def picture(image: Image.Image, format: str, side: int) -> Picture:
    """Make what a model is shown of a picture of any mode: opaque, no longer than `side`, never enlarged."""
    return _encoded(_small(image, side), format)


def read(data: bytes, wanted: WantedPicture, limits: Limits) -> Picture:
    """Make what a model is shown of a file: of its first picture, where it has several.

    Raises `MediaError` with the code `invalid_image_format`, `image_too_large` or `image_parse_error`.
    """
    format = files.image_format(data)
    if format is None:
        raise MediaError("invalid_image_format", "A picture has to be a PNG, JPEG, WebP, GIF, BMP or TIFF file.")
    if format == "JPEG" and jpeg.scans(data) > jpeg.MAX_SCANS:
        raise MediaError("image_parse_error", f"A JPEG may have at most {jpeg.MAX_SCANS} scans; this one has more.")
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = limits.image_pixels  # beyond it Pillow warns, beyond twice as many it opens nothing
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata that is broken or too long: it is left out anyway
            return _read(data, format, side(wanted.detail, limits), limits.image_pixels)
    except MediaError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large("has more than twice as many", limits.image_pixels) from error
    except MemoryError as error:
        raise _too_large("needs more memory than there is", limits.image_pixels) from error
    except Exception as error:
        # Pillow reads most of a file in Python, without checks: what broken bytes raise there is whatever they run into.
        raise MediaError("image_parse_error", f"The {format} file is broken, cut short or of a kind that is not read.") from error


def _read(data: bytes, format: files.ImageFormat, side: int, most: int) -> Picture:
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=[format.upper()]) as image:
        width, height = image.size
        if width * height > most:
            raise _too_large(f"of {width} x {height} has {width * height}", most)
        image.draft(None, _size(image.size, side))  # a JPEG can be decoded at a half, a quarter or an eighth
        image.load()
        turn = _turn(image)
        small = _small(image, side)
    return _encoded(small.transpose(Image.Transpose[turn]) if turn else small, format)


def _too_large(this_one: str, most: int) -> MediaError:
    return MediaError("image_too_large", f"A picture may have at most {most} pixels (MAX_IMAGE_PIXELS); this one {this_one}.")


def _turn(image: Image.Image) -> str | None:
    """Name what turns the loaded picture upright; a TIFF was turned by Pillow, which then takes the mark away."""
    try:
        return _TURNS.get(image.getexif().get(ORIENTATION, 1))
    except (SyntaxError, ValueError, TypeError, struct.error):
        return None  # EXIF that can't be read says nothing of the pixels, which may be whole


def _size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Bring a size down to its longest side."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _small(image: Image.Image, side: int) -> Image.Image:
    """Scale down to RGB on white."""
    from PIL import Image

    width, height = image.size
    size = _size(image.size, side)
    across, down = max(1, width // size[0] // GAP), max(1, height // size[1] // GAP)
    rows = max(1, STRIP // width // down) * down
    levels = _levels(image)
    coarse = Image.new("RGB", (-(-width // across), -(-height // down)), "white")
    for top in range(0, height, rows):
        strip = _bytes(image.crop((0, top, width, min(top + rows, height))), levels).reduce((across, down))
        coarse.paste(strip, (0, top // down), strip if strip.mode == "RGBA" else None)
    return coarse.resize(size, Image.Resampling.LANCZOS, (0, 0, width / across, height / down))


def _levels(image: Image.Image) -> tuple[float, float] | None:
    """What black and white are, where samples are wider than a byte.

    Sixteen bits and fractions have their own; samples beyond these are measured, as no format says what is white among them.
    """
    if image.mode.startswith("I;16"):
        return 0, 0xFFFF
    if image.mode not in ("I", "F"):
        return None
    black, white = cast(tuple[float, float], image.getextrema())  # of its one channel
    usual = 1 if image.mode == "F" else 0xFFFF
    return (black, white) if black < 0 or white > usual else (0, usual)


def _bytes(image: Image.Image, levels: tuple[float, float] | None) -> Image.Image:
    """In RGB; in RGBA where something shines through."""
    if levels is not None:
        black, white = levels
        scale = 0xFF / ((white - black) or 1)
        image = image.convert("F").point(lambda value: value * scale + (0.5 - black * scale)).convert("L")
    elif image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info:
        return image.convert("RGBA")
    return image.convert("RGB")


def _encoded(image: Image.Image, format: str) -> Picture:
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=QUALITY, subsampling=COLOUR)
    return Picture(jpeg.getvalue(), image.width, image.height, format)
