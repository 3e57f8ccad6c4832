"""A client's sound file, made into PCM16 at the rate that a model hears.

Owns the way there from the files that libsndfile decodes (WAV, FLAC, OGG), and from sound in a `container` (M4A, WebM, MP3). It is decoded
a block at a time, so that a file that is small and says that it is long costs neither memory nor time.

libsndfile decodes MP3 too, but not to the end where the bit rate varies and no table tells how, and it prints what it finds odd.

It blocks: it is for a process that reads files and does nothing else.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from realtime.errors import MediaError
from realtime.media import container, files, pcm
from realtime.media.limits import Limits
from realtime.media.readings import Samples, WantedSound
from realtime.media.resample import Float32, Resampler

if TYPE_CHECKING:
    from soundfile import SoundFile

_BROKEN = "audio_parse_error"

BLOCK = 65_536
"""Samples of each channel that are decoded at a time: a second or two."""

RATES = range(1_000, 768_001)
"""Samples a second: from a quarter of the worst telephone to what converters for connoisseurs boast of."""

CHANNELS = range(1, 65)
"""Up to ambisonics of the seventh order. libsndfile takes a thousand, and a block of those is 256 MB."""

_UNKNOWN_SIZE = 0x7FFF_0000
"""Bytes that nobody has: this and more is written where the size of a WAV file is not known yet (0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000)."""

_UNKNOWN_LENGTH = 2**62
"""Samples of a FLAC file whose writer did not know how many there would be."""


def read(data: bytes, wanted: WantedSound, limits: Limits) -> Samples:
    """Make PCM16 of a file.

    Raises `MediaError` with the code `invalid_audio_format`, `audio_too_long` or `audio_parse_error`.
    """
    match files.sound_format(data):
        case None:
            raise _unknown()
        case "MP4" | "Matroska" | "MP3" as format:
            heard = _container(data, format, wanted.rate, limits)
        case format:
            heard = _file(_whole(data) if format == "WAV" else data, wanted.rate, limits.audio_seconds)
    if not heard:
        raise MediaError(_BROKEN, "The file holds no sound.")
    return Samples(heard)


def resampled(blocks: Iterable[Float32], source_rate: int, target_rate: int) -> Iterator[bytes]:
    """Bring a sound to another rate, as PCM16. Where it was cut into blocks leaves no trace.

    Raises `ValueError` for a rate that no sound has.
    """
    if source_rate not in RATES:
        raise ValueError(f"{source_rate} samples a second")
    resampler = Resampler(source_rate, target_rate)
    for block in blocks:
        yield _bytes(resampler.push(block))
    yield _bytes(resampler.finish())


def _bytes(audio: Float32) -> bytes:
    return pcm.to_bytes(pcm.to_int16(audio))


def _container(data: bytes, format: container.Format, rate: int, limits: Limits) -> bytes:
    with container.opened(data, format, _BROKEN, limits.image_pixels) as file:
        stream = container.sound_track(file)
        if stream is None:
            return b""
        container.check_decoder(stream, _BROKEN)
        if format != "MP3":  # whose length is an estimate, and far off where the bit rate varies
            _check_length(container.seconds(file), limits.audio_seconds)
        blocks = _bounded(container.sound(file, stream), stream.rate, limits.audio_seconds)
        return b"".join(resampled(blocks, stream.rate, rate))


def _file(data: bytes, rate: int, seconds: float) -> bytes:
    with _opened(data) as file:
        if file.channels not in CHANNELS:
            raise ValueError(f"{file.channels} channels")
        blocks = _bounded(_blocks(file, seconds), file.samplerate, seconds)
        return b"".join(resampled(blocks, file.samplerate, rate))


@contextmanager
def _opened(data: bytes) -> Iterator[SoundFile]:
    import soundfile

    class Stream(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
        """Only goes on. Otherwise soundfile seeks after each block, which a FLAC file that does not know its length can't."""

        def seekable(self) -> bool:
            return False

    try:
        with Stream(io.BytesIO(data)) as file:
            yield file
    except soundfile.LibsndfileError as error:
        raise MediaError(_BROKEN, f"The file is broken or cut short ({error.error_string.rstrip('.')}).") from error
    except ValueError as error:
        raise MediaError(_BROKEN, f"The file is broken ({error}).") from error


def _blocks(file: SoundFile, seconds: float) -> Iterator[Float32]:
    if file.frames < _UNKNOWN_LENGTH:
        _check_length(file.frames / file.samplerate, seconds)
    while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
        yield container.mono(block.T)


def _bounded(blocks: Iterable[Float32], rate: int, seconds: float) -> Iterator[Float32]:
    """Pass blocks on until there are more than may be."""
    samples = 0
    for block in blocks:
        samples += len(block)
        _check_length(samples / rate, seconds)
        yield block


def _check_length(found: float, most: float) -> None:
    if found > most:
        raise MediaError("audio_too_long", f"A sound may be {most:.6g} s long (MAX_AUDIO_SECONDS); this one has {found:.6g} s or more.")


def _unknown() -> MediaError:
    return MediaError("invalid_audio_format", "A sound has to be a WAV, FLAC, OGG, MP3, M4A or WebM file.")


def _whole(data: bytes) -> bytes:
    """Check that a WAV file holds the samples that it says it holds, for libsndfile takes what there is, and says nothing."""
    at = 12
    while len(data) >= at + 8:
        name, size = struct.unpack_from("<4sI", data, at)
        at += 8
        if name == b"data":
            if size == 0:  # not known yet, which to libsndfile is this
                return b"".join((data[: at - 4], b"\xff\xff\xff\xff", data[at:]))
            if at + size > len(data) and size < _UNKNOWN_SIZE:
                raise MediaError(_BROKEN, f"The file is cut short: of {size} bytes of samples it has {len(data) - at}.")
            return data
        at += size + size % 2  # chunks are padded to whole words
    return data  # libsndfile says what is wrong
