from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from realtime.errors import MediaError
from realtime.media import image, jpeg
from realtime.media.limits import Limits
from realtime.media.readings import Picture, WantedPicture

SCAN = b"\xff\xda"


def drawn(**options: Any) -> bytes:
    """Noise, in whose scans every byte occurs."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def scanned(more: int) -> bytes:
    """A progressive picture whose last scan is there so many times more."""
    data = drawn(progressive=True)
    return data[:-2] + data[data.rindex(SCAN) : -2] * more + data[-2:]


def read(data: bytes) -> Picture:
    return image.read(data, WantedPicture(), Limits())


@pytest.mark.parametrize(
    ("data", "scans"),
    [
        (drawn(), 1),
        (drawn(progressive=True), 10),
        (scanned(3), 13),
        (drawn(restart_marker_blocks=1), 1),
        (drawn(comment=SCAN * 200), 1),
        (drawn() + SCAN * 200, 1),
        (drawn()[:-2], 1),
        (b"\xff\xd8\xff", 0),
        (b"", 0),
    ],
    ids=["plain", "progressive", "more", "restarts", "comment", "behind", "without an end", "a beginning", "nothing"],
)
def test_scans_are_counted_from_the_beginning_of_the_picture_to_its_end(data: bytes, scans: int) -> None:
    assert jpeg.scans(data) == scans


def test_a_picture_may_be_gone_over_often_and_not_for_ever() -> None:
    assert read(scanned(jpeg.MAX_SCANS - 10)).width == 200
    with pytest.raises(MediaError, match="at most 100 scans") as caught:
        read(scanned(jpeg.MAX_SCANS - 9))
    assert caught.value.code == "image_parse_error"
