"""How large a client's pictures, sounds and clips may be, and what is made of larger ones."""

from __future__ import annotations

from msgspec import Struct

MEBIBYTE = 1024 * 1024


class Limits(Struct, frozen=True, kw_only=True):
    """What a file may have. Beyond it the file is refused, but for `..._side` and `video_frames`: to those it is brought down."""

    media_bytes: int = 64 * MEBIBYTE
    """Of any file."""
    image_pixels: int = 64_000_000
    """Width times height: what the cameras of telephones make (50 megapixels), in 256 MB of memory."""
    image_side: int = 1536
    """Longest side of a picture as the model sees it, in pixels. Of a picture of 2:1 OpenAI's models see no more than that."""
    low_image_side: int = 512
    """The same where `detail` is `low`, and for the frames of a clip: what OpenAI's models see then."""
    audio_seconds: float = 600
    """Of a sound file."""
    video_seconds: float = 600
    """Of a clip."""
    video_frames: int = 16
    """Pictures that stand for a clip."""
