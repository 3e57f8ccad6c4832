"""What a file is read for, and what is read: the structs between a session, which has files, and the process that opens them."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

URI_HEAD = 256
"""Characters within which the comma of a data URI has to be; in between is a media type (RFC 2397), which nobody reads."""

Detail = Literal["auto", "low", "high"]
"""How closely a model is to look (OpenAI API, `image_url.detail`)."""


class WantedPicture(Struct, frozen=True, tag="picture"):
    """The file is a still picture."""

    detail: Detail = "auto"


class WantedSound(Struct, frozen=True, tag="sound"):
    """The file is a sound, wanted as PCM16."""

    rate: int
    """Samples a second."""


class WantedClip(Struct, frozen=True, tag="clip"):
    """The file is a video."""

    detail: Detail = "auto"
    """Of its frames; `auto` is `low`, for there are many."""
    rate: int | None = None
    """Samples a second of its sound track, as PCM16; None: it is not wanted."""


Wanted = WantedPicture | WantedSound | WantedClip


class Picture(Struct, frozen=True, tag="picture"):
    """A picture as a model is shown it: a JPEG without metadata."""

    jpeg: bytes
    width: int
    """Of the JPEG, in pixels."""
    height: int
    format: str
    """What the file was, as people call it: `PNG`."""


class Samples(Struct, frozen=True, tag="sound"):
    """A sound."""

    pcm: bytes
    """PCM16, mono, at the rate that was asked for."""


class Frame(Struct, frozen=True):
    """A moment of a clip."""

    ms: int
    """From the clip's beginning."""
    picture: Picture


class Clip(Struct, frozen=True, tag="clip"):
    """A video as a model is shown it."""

    ms: int
    """How long it is."""
    frames: tuple[Frame, ...]
    """Oldest first, never empty."""
    pcm: bytes | None
    """Its sound track, as in `Samples`; None where it has none, or none was wanted."""
    format: str
    """`MP4`, `WebM` ..."""


Reading = Picture | Samples | Clip
