"""Files that hold streams of packets: MP4, MOV and M4A; Matroska and WebM; MP3. Opened by libav, which is FFmpeg's, through PyAV.

Owns what a file may make libav do: nothing but demux the bytes in hand as what `files` found them to be, and decode with the decoders named
here, in one thread. A demuxer is never guessed, for among those that libav would find are playlists, which open other files and addresses.
Owns also the translation of whatever broken bytes raise, and the decoding of a sound track. Refuses streams in any other codec.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from realtime.errors import MediaError
from realtime.media import files
from realtime.media.resample import Float32

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream, VideoStream
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

Format = files.ContainerFormat | Literal["MP3"]

_DEMUXERS: dict[Format, str] = {"MP4": "mov", "Matroska": "matroska", "MP3": "mp3"}

DECODERS = (
    *("h264", "hevc", "libdav1d", "av1", "vp8", "vp9", "mpeg4", "h263", "mjpeg", "prores", "mpeg2video", "mpeg1video"),
    *("aac", "mp3", "mp3float", "mp2", "mp2float", "opus", "libopus", "vorbis", "flac", "alac", "ac3", "eac3", "amrnb", "amrwb"),
    *("libopencore_amrnb", "libopencore_amrwb", "pcm_u8", "pcm_alaw", "pcm_mulaw"),
    *(f"pcm_{kind}{order}" for kind in ("s16", "s24", "s32", "f32", "f64") for order in ("le", "be")),
)
"""Of libav's five hundred: what telephones, cameras, browsers and editors write. Many of the others are as old as the games they are for,
and as little tested, and a Matroska file may ask for any of them."""

OPTIONS = {
    "protocol_whitelist": "none",  # no such protocol: nothing is opened but the bytes in hand
    "enable_drefs": "0",  # nor is a file that a MOV says its samples are in
    "codec_whitelist": ",".join(DECODERS),
    "threads": "1",
}
"""Of everything that is opened."""

PIXELS_SLACK = 2
"""A decoder refuses frames larger than the limit times this. It counts them with its own borders; they are measured when they are there."""

GAP = 0.1
"""Seconds of a sound track that have to be missing before they are silence. Fewer are the rounding of a container's times."""

LOUDEST = 2.0**32
"""Times full scale, of samples that are fractions. Some write them as large as integers of 32 bits."""

_MP3 = ("mp3", "mp3float")


@contextmanager
def opened(data: bytes, format: Format, code: str, pixels: int) -> Iterator[InputContainer]:
    """Open a file; what goes wrong with it, here or in the body, is raised as a `MediaError` with this code."""
    import av

    # PyAV drops libav's log by itself, unless somebody has asked for it.
    options = OPTIONS | {"max_pixels": str(PIXELS_SLACK * pixels)}
    try:
        # metadata_errors: what a file says of its maker may be in any encoding, and nobody reads it.
        with av.open(io.BytesIO(data), "r", _DEMUXERS[format], options, metadata_errors="replace") as container:
            for stream in container.streams:
                if stream.codec_context is not None:  # PyAV has none for a codec that libav does not know
                    stream.codec_context.thread_count = 1
                    stream.codec_context.options = {"max_pixels": options["max_pixels"]}
            yield container
    except MediaError:
        raise
    except av.error.FFmpegError as error:
        raise MediaError(code, f"The file is broken or cut short ({error.strerror}).") from error
    except (ArithmeticError, EOFError, LookupError, MemoryError, OSError, RuntimeError, ValueError) as error:
        # What PyAV raises itself: of rates of 0, of times beyond 64 bits, of streams and frames that change on the way.
        raise MediaError(code, f"The file is broken or cut short ({error}).") from error


def pictures(container: InputContainer) -> VideoStream | None:
    """The stream of pictures; None where there is none but the cover of a record."""
    from av.stream import Disposition

    return next((stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic), None)


def sound_track(container: InputContainer) -> AudioStream | None:
    """The first stream of sound: the others are other languages, and what only its maker's own players know."""
    return next(iter(container.streams.audio), None)


def seconds(container: InputContainer) -> float:
    """How long the file says that it is, at most; 0 where it doesn't say."""
    streams = [*container.streams.video, *container.streams.audio]
    return max((container.duration or 0) / 1_000_000, *(declared(stream) for stream in streams), 0.0)


def declared(stream: Stream) -> float:
    """Seconds that a stream says it is long; 0 where it doesn't say."""
    return float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0


def packets(container: InputContainer, *streams: Stream) -> Iterator[Packet[Stream]]:
    """All packets of some streams, in the order in which they are decoded. Those of others are passed over, unread if possible."""
    from av.stream import Discard

    for stream in container.streams:
        stream.discard = Discard.default if stream in streams else Discard.all
    # The last packet of each stream is an empty one of PyAV's own.
    return (packet for packet in container.demux(*streams) if packet.size)


def check_decoder(stream: VideoStream | AudioStream, code: str) -> None:
    """Refuse a stream that can't be decoded here."""
    context = stream.codec_context
    if context is None or context.name not in DECODERS:
        name = "a codec that nobody knows" if context is None else context.name
        raise MediaError(code, f"The {stream.type} is in {name}, which is not read.")


def sound(container: InputContainer, stream: AudioStream, beginning: float | None = None) -> Iterator[Float32]:
    """Decode a sound track in small blocks: the mean of its channels, at its own rate.

    Where a `beginning` is given, in the file's own seconds, the first sample is of this moment, and each comes at its time: where there is
    none it is silent, and what is from before the beginning, or comes again, is left out. Otherwise block follows block.
    """
    at = beginning
    for time, block in _blocks(container, stream):
        if at is not None and time is not None:
            missing = time - at
            if missing < -GAP:
                block = block[round(-missing * stream.rate) :]
            at = max(at, time) if abs(missing) > GAP else at
            while missing > GAP:
                yield np.zeros(round(min(missing, 1) * stream.rate), np.float32)
                missing -= 1
            at += len(block) / stream.rate
        yield block


def _blocks(container: InputContainer, stream: AudioStream) -> Iterator[tuple[float | None, Float32]]:
    """Decode into blocks, each with the time of its first sample, where it has one."""
    from av import AudioResampler

    in_floats = AudioResampler(format="fltp")  # of the channels and the rate it does nothing: its mean of two is louder than either
    for packet in itertools.chain(packets(container, stream), [None]):
        for frame in _frames(stream, cast("Packet[AudioStream] | None", packet)):
            if frame.sample_rate != stream.rate:
                raise ValueError("samples of more than one rate")
            for block in in_floats.resample(frame):
                yield frame.time, mono(cast(Float32, block.to_ndarray()))


def _frames(stream: AudioStream, packet: Packet[AudioStream] | None) -> list[AudioFrame]:
    from av.error import InvalidDataError

    try:
        return stream.decode(packet)
    except InvalidDataError:
        if stream.codec_context.name not in _MP3:
            raise
        return []  # frames of MP3 lean on those before, and whoever cuts a file or a broadcast does not ask for them


def mono(channels: Float32) -> Float32:
    """The mean of channels, each of which is a row."""
    if not (np.abs(channels) <= LOUDEST).all():  # which nothing is that is no number
        raise ValueError("samples that are NaN, infinite or beyond all measure")
    mean: Float32 = channels.mean(axis=0) if len(channels) > 1 else np.ascontiguousarray(channels[0])
    return mean
