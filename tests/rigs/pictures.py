"""Pictures made for a test, and what the daemon makes of them."""

from __future__ import annotations

import io
from base64 import b64decode, b64encode

import numpy as np
from PIL import Image

from realtime.media.limits import Limits

KIND = "data:image/jpeg;base64,"
"""How the data URI begins of a picture as a model is shown it."""


def drawn(format: str, size: tuple[int, int] = (3000, 2000), colour: tuple[int, int, int] = (200, 30, 30), **options: object) -> bytes:
    """A file of one colour."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, format, **options)
    return file.getvalue()


def noise() -> str:
    """The data URI of a picture than which none is harder to make small: three of them are longer than a frame may be."""
    side, file = Limits().image_side, io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)).save(file, "JPEG", quality=75)
    return KIND + b64encode(file.getvalue()).decode()


def shown(url: str) -> Image.Image:
    """What a model is shown: a JPEG without a word about who made it."""
    assert url.startswith(KIND)
    image = Image.open(io.BytesIO(b64decode(url[len(KIND) :], validate=True)))
    assert image.format == "JPEG"
    assert not {"exif", "xmp", "comment", "icc_profile"} & image.info.keys()
    return image
