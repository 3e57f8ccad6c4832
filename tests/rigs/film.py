"""Clips made for a test: every frame is as light as it is late, so that a picture of it tells when it was."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np

from realtime.media.resample import Float32

STEP = 5
"""How much lighter each frame is than the one before, of 255."""

Packets = list["av.Packet[Any]"]
Edit = Callable[[Packets], Iterable["av.Packet[Any]"]]


class Unseekable(io.BytesIO):
    """Where a browser's MediaRecorder writes: it can't go back to fill in how long the clip became."""

    def seekable(self) -> bool:
        return False


def grey(number: int, size: tuple[int, int]) -> av.VideoFrame:
    """Frame of the clip's beginning, by its number: the lighter, the later."""
    return av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), 20 + STEP * number % 200, np.uint8), "rgb24")


def film(
    frames: Sequence[int] = range(20),
    format: str = "mp4",
    codec: str = "libx264",
    *,
    rate: int = 10,
    keys: Sequence[int] = (),
    size: tuple[int, int] = (64, 48),
    draw: Callable[[int, tuple[int, int]], av.VideoFrame] = grey,
    sound: Sequence[tuple[float, Float32]] = (),
    sound_codec: str = "",
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
    turn: int = 0,
    aspect: Fraction | None = None,
    edit: Edit = lambda packets: packets,
    output: io.BytesIO | None = None,
) -> bytes:
    """A clip of these frames, each shown at its number divided by the rate, with keyframes first and where `keys` says."""
    target = io.BytesIO() if output is None else output
    with av.open(target, "w", format, options=muxer) as file:
        kind = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream = file.add_stream(codec, rate=rate, width=size[0], height=size[1], pix_fmt=kind, options=options or {})
        assert isinstance(stream, av.VideoStream)
        stream.codec_context.gop_size = 500
        stream.codec_context.bit_rate = 2_000_000
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = Fraction(1, rate)
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if turn:
            stream.set_display_rotation(turn)
        track = file.add_stream(sound_codec or "libopus", rate=48_000, layout="mono") if sound or sound_codec else None
        packets: Packets = []
        for number in frames:
            frame = draw(number, size).reformat(format=kind)
            frame.pts, frame.time_base = number, Fraction(1, rate)
            frame.pict_type = av.video.frame.PictureType.I if number in keys else av.video.frame.PictureType.NONE
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for at, audio in sound:
            assert isinstance(track, av.AudioStream)
            block = av.AudioFrame.from_ndarray(audio.reshape(1, -1), "fltp", "mono")
            block.sample_rate, block.pts, block.time_base = 48_000, round(at * 48_000), Fraction(1, 48_000)
            for converted in av.AudioResampler(track.format.name, frame_size=track.frame_size or None).resample(block):
                packets += track.encode(converted)
        if isinstance(track, av.AudioStream) and sound:
            packets += track.encode(None)
        file.start_encoding()
        for packet in edit(packets):
            file.mux(packet)
    return target.getvalue()


def loud(seconds: float) -> Float32:
    audio = 0.4 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * 48_000)) / 48_000)
    return audio.astype(np.float32)
