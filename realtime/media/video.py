"""A client's clip, made into what a model is shown: some pictures spread over it, each with its time, and its sound track as PCM16.

Owns the choice of the pictures. A clip is read twice: first all packets without decoding any, which is cheap and needs no index, for how
long it really is and where its keyframes are; then only those packets that the chosen pictures need. An encoder puts a keyframe where the
scene changes, and decodes it without any other frame: it stands for its part of the clip, and otherwise the middle does.

It blocks: it is for a process that reads files and does nothing else.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, cast

import numpy as np
from msgspec import Struct

from realtime.errors import MediaError
from realtime.media import container, files, image, pcm, sound_file
from realtime.media.limits import Limits
from realtime.media.readings import Clip, Frame, Picture, WantedClip

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

_BROKEN = "video_parse_error"

PER_SECOND = 2
"""Pictures of a short clip: more often than that little changes."""

COVERED = 0.9
"""Of the length that a clip says it has, how much has to be there. Less was cut off; a little less is a matter of how ends are counted."""

_NEVER = -(2**63)
"""Time of what has none."""


class _Shot(Struct, frozen=True):
    """A packet of the stream of pictures."""

    pts: int
    """When its picture is shown, in the stream's time base."""
    key: bool
    """Is it decoded without others?"""
    shown: bool
    """Not where it is cut short, or where an edit list leaves it out."""


class _Outline(Struct, frozen=True):
    """What the packets tell of a clip."""

    shots: list[_Shot]
    """In the order in which they are decoded."""
    beginning: float
    """In the file's own seconds."""
    seconds: float
    """How long it is."""
    end: int
    """Of its pictures, in their stream's time base."""
    sounds: bool
    """Has it a sound track?"""


class _Run(Struct, frozen=True):
    """Packets that are decoded one after another, by their places among the shots."""

    first: int
    last: int
    wanted: list[int]
    """Times of the pictures that are wanted of them."""


def read(data: bytes, wanted: WantedClip, limits: Limits) -> Clip:
    """Make what a model is shown of a clip.

    Raises `MediaError` with the code `invalid_video_format`, `video_too_long`, `video_too_large` or `video_parse_error`.
    """
    format = files.container_format(data)
    if format is None:
        raise MediaError("invalid_video_format", "A clip has to be an MP4, MOV, WebM or MKV file.")
    name = _name(data, format)
    with container.opened(data, format, _BROKEN, limits.image_pixels) as file:
        outline = _outline(file, _checked(file, limits), limits.video_seconds)
    with container.opened(data, format, _BROKEN, limits.image_pixels) as file:
        frames = tuple(_frames(file, outline, name, wanted, limits))
    if not frames:
        raise MediaError(_BROKEN, "The clip has no picture that can be decoded.")
    heard = None
    if wanted.rate is not None and outline.sounds:
        with container.opened(data, format, _BROKEN, limits.image_pixels) as file:
            heard = _heard(file, outline, wanted.rate, limits.video_seconds)
    return Clip(round(outline.seconds * 1000), frames, heard, name)


def _name(data: bytes, format: files.ContainerFormat) -> str:
    """What people call the file."""
    if format == "Matroska":
        return "WebM" if b"webm" in data[:64] else "MKV"  # DocType, in the EBML header (RFC 8794, 11.2.4)
    return "MP4" if data[4:8] == b"ftyp" and data[8:12] != b"qt  " else "MOV"


def _checked(file: InputContainer, limits: Limits) -> VideoStream:
    """Refuse, before anything is decoded, what the file says of itself that can't be."""
    stream = container.pictures(file)
    if stream is None:
        raise MediaError(_BROKEN, "The file is a sound without pictures." if file.streams.audio else "The file has no pictures.")
    container.check_decoder(stream, _BROKEN)
    _check_length(container.seconds(file), limits.video_seconds)
    _check_size(stream.codec_context.width, stream.codec_context.height, limits.image_pixels)
    return stream


def _check_length(found: float, most: float) -> None:
    if found > most:
        raise MediaError("video_too_long", f"A clip may be {most:.6g} s long (MAX_VIDEO_SECONDS); this one has {found:.6g} s.")


def _check_size(width: int, height: int, most: int) -> None:
    if width * height > most:
        message = f"A clip's frames may have {most} pixels (MAX_IMAGE_PIXELS); those of this one are {width} x {height}."
        raise MediaError("video_too_large", message)


def _outline(file: InputContainer, pictures: VideoStream, most: float) -> _Outline:
    """Look through all packets; decode none."""
    streams = [*file.streams.video, *file.streams.audio]
    found: dict[int, list[tuple[int, int]]] = {stream.index: [] for stream in streams}
    shots = []
    for packet in container.packets(file, *streams):
        whole = packet.pts is not None and not packet.is_corrupt
        pts = _NEVER if packet.pts is None else packet.pts
        if packet.stream_index == pictures.index:
            shots.append(_Shot(pts, packet.is_keyframe, whole and not packet.is_discard))
        if whole:
            found[packet.stream_index].append((pts, pts + (packet.duration or 0)))
    times = sorted(shot.pts for shot in shots if shot.shown)
    if not times:
        raise MediaError(_BROKEN, "The clip has no pictures: its stream of them is empty or was cut off.")
    end = max(end for _, end in found[pictures.index])
    if end <= times[-1]:  # the last picture does not say how long it stays: as long as the others do
        end = times[-1] + (times[-1] - times[0]) // max(1, len(times) - 1)
    found[pictures.index] = [(times[0], end)]
    beginning, finish = _extent(streams, found)
    _check_length(finish - beginning, most)
    said = container.seconds(file)
    if finish - min(beginning, 0) < COVERED * said:
        raise MediaError(_BROKEN, f"The clip breaks off: of {said:.6g} s it has {finish:.6g} s.")
    return _Outline(shots, beginning, finish - beginning, end, bool(file.streams.audio and found[file.streams.audio[0].index]))


def _extent(streams: Iterable[Stream], found: dict[int, list[tuple[int, int]]]) -> tuple[float, float]:
    """Where the whole begins and ends, in seconds."""
    beginnings, ends = [], []
    for stream in streams:
        if found[stream.index]:
            base = stream.time_base or 0
            first = float(min(start for start, _ in found[stream.index]) * base)
            # A decoder of sound needs a run-up, which comes before 0 and is not heard.
            beginnings.append(max(first, 0.0) if stream.type == "audio" else first)
            ends.append(float(max(end for _, end in found[stream.index]) * base))
    return min(beginnings), max(ends)


def _moments(outline: _Outline, base: float, most: int) -> set[int]:
    """Choose pictures by their times: one for each of equal parts of the clip, unless none is shown anew in it."""
    times = sorted(shot.pts for shot in outline.shots if shot.shown)
    keys = sorted(shot.pts for shot in outline.shots if shot.shown and shot.key)
    length = outline.end - times[0]
    count = min(most, len(times), max(1, round(PER_SECOND * length * base)))
    part = length / count
    chosen = set()
    for number in range(count):
        start = times[0] + number * part
        middle = start + part / 2
        inside = [key for key in keys[bisect_right(keys, start - 1) :] if start <= key < start + part]
        chosen.add(min(inside, key=lambda key: abs(key - middle)) if inside else times[bisect_right(times, middle) - 1])
    return chosen


def _runs(shots: list[_Shot], chosen: set[int]) -> list[_Run]:
    """Find what has to be decoded for the chosen pictures: from a keyframe on, nothing twice."""
    keys = [place for place, shot in enumerate(shots) if shot.key]
    runs: list[_Run] = []
    for place, shot in enumerate(shots):
        if not (shot.shown and shot.pts in chosen):
            continue
        # A picture may come after a keyframe that is shown later, and need the one before (an open group of pictures).
        before = (key for key in reversed(keys[: bisect_right(keys, place)]) if shots[key].pts <= shot.pts)
        first = next(before, 0)
        wanted = [shot.pts]
        while runs and first <= runs[-1].last:
            joined = runs.pop()
            first = min(first, joined.first)
            wanted += joined.wanted
        runs.append(_Run(first, place, sorted(wanted)))
    return runs


def _frames(file: InputContainer, outline: _Outline, name: str, wanted: WantedClip, limits: Limits) -> Iterator[Frame]:
    stream = cast("VideoStream", container.pictures(file))
    base = float(stream.time_base or 0)
    chosen = _moments(outline, base, limits.video_frames)
    side = image.side("low" if wanted.detail == "auto" else wanted.detail, limits)
    packets = cast("Iterator[Packet[VideoStream]]", container.packets(file, stream))
    done = 0
    for run in _runs(outline.shots, chosen):
        decoded = _decoded(stream, islice(packets, run.first - done, run.last + 1 - done), chosen)
        done = run.last + 1
        for frame in _picked(decoded, run.wanted):
            _check_size(frame.width, frame.height, limits.image_pixels)
            yield Frame(round(((frame.pts or 0) * base - outline.beginning) * 1000), _picture(frame, stream, name, side))


def _decoded(stream: VideoStream, packets: Iterable[Packet[VideoStream]], chosen: set[int]) -> Iterator[VideoFrame]:
    for packet in packets:
        # Pictures that no other needs are decoded if they are wanted themselves.
        stream.codec_context.skip_frame = "DEFAULT" if packet.pts in chosen else "NONREF"
        yield from stream.decode(packet)
    yield from stream.decode(None)
    stream.codec_context.flush_buffers()  # else it takes no more after its end


def _picked(frames: Iterable[VideoFrame], wanted: list[int]) -> Iterator[VideoFrame]:
    """Of each time the picture; where it has none, for some packets hold none, the next, and at the end the last."""
    last = None
    for frame in frames:
        last = frame
        if wanted and frame.pts is not None and frame.pts >= wanted[0]:
            wanted = wanted[bisect_right(wanted, frame.pts) :]
            last = None
            yield frame
    if wanted and last is not None:
        yield last


def _picture(frame: VideoFrame, stream: VideoStream, name: str, side: int) -> Picture:
    """Scale a frame to the shape that it is shown in, and turn it upright."""
    from PIL import Image

    width = frame.width * float(stream.sample_aspect_ratio or 1)
    scale = min(1.0, side / max(width, frame.height))
    shape = max(1, round(width * scale)), max(1, round(frame.height * scale))
    pixels = frame.reformat(*shape, "rgb24", interpolation="AREA", threads=1).to_ndarray()
    upright = np.rot90(pixels, round(frame.rotation / 90))  # both count against the clock
    return image.picture(Image.fromarray(np.ascontiguousarray(upright)), name, side)


def _heard(file: InputContainer, outline: _Outline, rate: int, most: float) -> bytes | None:
    """The sound track from the beginning of the clip on; None where its packets hold no sound."""
    stream = file.streams.audio[0]
    container.check_decoder(stream, _BROKEN)
    blocks = container.sound(file, stream, outline.beginning)
    heard = b"".join(sound_file.resampled(blocks, stream.rate, rate))
    return heard[: round(most * rate) * pcm.BYTES_PER_SAMPLE] or None
