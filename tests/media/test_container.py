from __future__ import annotations

import io
import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from realtime.errors import MediaError
from realtime.media import container
from realtime.media.resample import Float32

RATE = 8_000
PIXELS = 10_000


def loud(seconds: float) -> Float32:
    audio = 0.4 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE)
    return audio.astype(np.float32)


def written(
    format: str = "matroska",
    sound: tuple[tuple[float, Float32], ...] = ((0.0, loud(1)),),
    *,
    codec: str = "pcm_f32le",
    layout: str = "mono",
    picture: str = "",
    cover: bool = False,
    title: str = "",
    rate: int = RATE,
) -> bytes:
    """A file with blocks of sound at these seconds, and, if there is to be one, a picture."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format) as output:
        if title:
            output.metadata["title"] = title
        track = output.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(track, av.AudioStream)
        if picture:
            kind = "yuvj420p" if picture == "mjpeg" else "yuv420p"
            stream = output.add_stream(picture, rate=10, width=64, height=48, pix_fmt=kind)
            assert isinstance(stream, av.VideoStream)
            if cover:
                stream.disposition = av.stream.Disposition.attached_pic
            output.mux(stream.encode(av.VideoFrame(64, 48, kind)))
            output.mux(stream.encode(None))
        for at, audio in sound:
            frame = av.AudioFrame.from_ndarray(np.stack([audio, *[np.zeros_like(audio)] * (track.layout.nb_channels - 1)]), "fltp", layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, round(at * rate), Fraction(1, rate)
            for converted in av.AudioResampler(track.format.name, frame_size=800).resample(frame):
                output.mux(track.encode(converted))
        output.mux(track.encode(None))
    return buffer.getvalue()


def decoded(data: bytes, beginning: float | None = None, format: container.Format = "Matroska") -> Float32:
    with container.opened(data, format, "broken", PIXELS) as file:
        track = container.sound_track(file)
        assert track is not None
        return np.concatenate([np.zeros(0, np.float32), *container.sound(file, track, beginning)])


def error_of(data: bytes, format: container.Format = "Matroska") -> MediaError:
    with pytest.raises(MediaError) as caught:
        read(data, format)
    return caught.value


def read(data: bytes, format: container.Format = "Matroska") -> bytes:
    """All packets, decoded and as they are."""
    found = []
    with container.opened(data, format, "broken", PIXELS) as file:
        for packet in container.packets(file, *file.streams):
            packet.decode()
            found.append(bytes(packet))
    return b"".join(found)


def test_what_a_file_holds_is_found() -> None:
    with container.opened(written(picture="mpeg4"), "Matroska", "broken", PIXELS) as file:
        track, stream = container.sound_track(file), container.pictures(file)
        assert track is not None
        assert stream is not None
        assert (track.rate, stream.width, stream.height) == (RATE, 64, 48)
        assert container.seconds(file) == pytest.approx(1, abs=0.01)
        container.check_decoder(track, "broken")
        container.check_decoder(stream, "broken")


def test_it_need_not_be_anything() -> None:
    with container.opened(written(), "Matroska", "broken", PIXELS) as file:
        assert container.pictures(file) is None
        assert container.declared(file.streams[0]) in (0, 1)


def test_everything_is_decoded_by_one_thread() -> None:
    with container.opened(written(picture="mpeg4"), "Matroska", "broken", PIXELS) as file:
        assert [stream.codec_context.thread_count for stream in file.streams] == [1, 1]


def test_the_cover_of_a_record_is_no_clip() -> None:
    for cover in (True, False):
        data = written("mp4", codec="aac", rate=48_000, picture="mjpeg", cover=cover)
        with container.opened(data, "MP4", "broken", PIXELS) as file:
            assert len(file.streams.video) == 1
            assert (container.pictures(file) is None) is cover


def test_only_the_packets_that_are_asked_for_come() -> None:
    with container.opened(written(picture="mpeg4"), "Matroska", "broken", PIXELS) as file:
        assert {packet.stream.type for packet in container.packets(file, *file.streams)} == {"audio", "video"}
    with container.opened(written(picture="mpeg4"), "Matroska", "broken", PIXELS) as file:
        assert {packet.stream.type for packet in container.packets(file, *file.streams.audio)} == {"audio"}


@pytest.mark.parametrize(
    ("data", "demuxer"),
    [
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", "hls"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "concat"),
        (b"ffconcat version 1.0\nfile file:/etc/passwd\n", "concat"),
    ],
)
def test_no_file_opens_another(data: bytes, demuxer: str) -> None:
    formats: tuple[container.Format, ...] = ("MP4", "Matroska", "MP3")
    for format in formats:
        assert error_of(data, format).code == "broken"
    with pytest.raises(av.error.FFmpegError):  # nor would it if its demuxer were found
        av.open(io.BytesIO(data), "r", demuxer, container.OPTIONS)


def test_a_mov_does_not_open_the_file_that_it_says_its_samples_are_in() -> None:
    data = written("mov", codec="pcm_s16le", sound=((0.0, loud(1)),))
    at = data.index(b"url \0\0\0\1")
    path = b"/etc/passwd"
    alias = bytes(8) + bytes(150) + struct.pack(">HH", 2, len(path)) + path + b"\0" + struct.pack(">hh", -1, 0)
    box = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    larger = bytearray(data[: at - 4] + box + data[at + 8 :])
    for name in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        place = larger.index(name) - 4
        larger[place : place + 4] = struct.pack(">I", int.from_bytes(larger[place : place + 4]) + len(box) - 12)
    assert read(data, "MP4")
    assert read(bytes(larger), "MP4") == b""


@pytest.mark.parametrize("format", ["MP4", "Matroska", "MP3"])
@pytest.mark.parametrize("data", [b"", b"hello", bytes(5000), b"\x89PNG\r\n\x1a\n" + bytes(100), written()[:300]])
def test_a_broken_file_is_the_clients_mistake(data: bytes, format: container.Format) -> None:
    error = error_of(data, format)
    assert (error.code, "broken or cut short" in error.message) == ("broken", True)


@pytest.mark.parametrize("error", [ValueError, OverflowError, ZeroDivisionError, MemoryError, OSError, EOFError, IndexError, RuntimeError])
def test_so_is_whatever_its_bytes_run_into(error: type[Exception]) -> None:
    with pytest.raises(MediaError) as caught, container.opened(written(), "Matroska", "broken", PIXELS):
        raise error("on the way")
    assert (caught.value.code, "on the way" in caught.value.message) == ("broken", True)


def test_what_was_found_wrong_with_it_is_passed_on() -> None:
    with pytest.raises(MediaError, match="too long"), container.opened(written(), "Matroska", "broken", PIXELS):
        raise MediaError("other", "too long")


def test_our_own_mistakes_are_no_clients() -> None:
    with pytest.raises(TypeError), container.opened(written(), "Matroska", "broken", PIXELS):
        raise TypeError


def test_a_title_may_be_in_any_encoding() -> None:
    data = written(title="ABCDEFGH").replace(b"ABCDEFGH", b"\xff\xfe\xfd\xfc\xe9\xe8\xf6\xe4")
    assert len(decoded(data)) == RATE


def test_libav_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    error_of(written("mp4", codec="aac", rate=48_000)[:-1000], "MP4")
    decoded(written())
    assert capfd.readouterr() == ("", "")


def test_codecs_that_are_not_read_are_refused() -> None:
    check = "The audio is in {}, which is not read."
    assert unread(written(codec="tta")) == check.format("tta")
    assert unread(written().replace(b"A_PCM/FLOAT/IEEE", b"A_XYZ/FLOAT/IEEE")) == check.format("a codec that nobody knows")


def unread(data: bytes) -> str:
    with container.opened(data, "Matroska", "broken", PIXELS) as file:
        track = container.sound_track(file)
        assert track is not None
        with pytest.raises(MediaError) as caught:
            container.check_decoder(track, "unread")
    assert caught.value.code == "unread"
    return caught.value.message


def test_libav_knows_the_decoders() -> None:
    optional = {
        "libdav1d",
        "av1",
        "libopus",
        "libopencore_amrnb",
        "libopencore_amrwb",
        "mp3",
        "mp2",
        "mp2float",
        "amrnb",
        "amrwb",
        "prores",
    }
    assert set(container.DECODERS) - av.codec.codecs_available <= optional


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le"])
@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_samples_of_any_kind_are_decoded_to_the_mean_of_their_channels(codec: str, layout: str) -> None:
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    found = decoded(
        written("mov" if codec == "pcm_s16be" else "matroska", codec=codec, layout=layout),
        format="MP4" if codec == "pcm_s16be" else "Matroska",
    )
    np.testing.assert_allclose(found, loud(1) / channels, atol=0.01)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e30])
def test_samples_that_are_no_numbers_are_refused(value: float) -> None:
    audio = loud(1)
    audio[100] = value
    with pytest.raises(MediaError, match="NaN"):
        decoded(written(sound=((0.0, audio),)))


def test_a_rate_that_changes_is_refused() -> None:
    pieces = [written("mp3", codec="libmp3lame", rate=rate, sound=((0.0, np.tile(loud(1), 20)),)) for rate in (48_000, 44_100)]
    with pytest.raises(MediaError, match="more than one rate"):
        decoded(b"".join(pieces), format="MP3")


def loudness(audio: Float32) -> list[bool]:
    """Is there sound, each tenth of a second?"""
    return [bool(np.abs(part).max() > 0.1) for part in np.split(audio, range(RATE // 10, len(audio), RATE // 10)) if len(part) > 100]


def test_block_follows_block_where_no_beginning_is_given() -> None:
    data = written(sound=((0.5, loud(0.5)), (2.0, loud(0.5))))
    assert loudness(decoded(data)) == [True] * 10


def test_each_comes_at_its_time_where_one_is() -> None:
    data = written(sound=((0.5, loud(0.5)), (3.0, loud(0.5))))
    assert loudness(decoded(data, 0.0)) == [False] * 5 + [True] * 5 + [False] * 20 + [True] * 5


def test_what_is_from_before_the_beginning_is_left_out() -> None:
    data = written(sound=((0.0, loud(1)),))
    assert len(decoded(data, 0.5)) == pytest.approx(RATE // 2, abs=RATE // 10)
    assert len(decoded(data, 5.0)) == 0


def test_a_little_that_is_missing_is_how_times_are_rounded() -> None:
    data = written(sound=((0.0, loud(0.5)), (0.55, loud(0.5))))
    assert len(decoded(data, 0.0)) == RATE


def test_a_sound_without_times_goes_on() -> None:
    with container.opened(written(), "Matroska", "broken", PIXELS) as file:
        track = file.streams.audio[0]
        timeless = ((None, block) for _, block in container._blocks(file, track))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(container, "_blocks", lambda *_: timeless)
            assert len(np.concatenate(list(container.sound(file, track, 0.0)))) == RATE


def test_mp3_is_decoded_past_what_is_broken() -> None:
    data = written("mp3", codec="libmp3lame", rate=48_000, sound=((0.0, np.tile(loud(1), 10)),))
    assert len(decoded(data[:3000] + b"junk" * 100 + data[3000:], format="MP3")) == pytest.approx(80_000, abs=8000)


def test_other_sounds_are_not() -> None:
    noise = np.random.default_rng(1).normal(0, 0.2, 48_000).astype(np.float32)
    data = bytearray(written("mp4", codec="aac", rate=48_000, sound=((0.0, noise),)))
    data[5000:5600] = bytes(600)
    with pytest.raises(MediaError, match="Invalid data"):
        decoded(bytes(data), format="MP4")


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_the_mean_is_that_of_the_channels(channels: int) -> None:
    rows = np.random.default_rng(1).normal(size=(channels, 100)).astype(np.float32)
    np.testing.assert_allclose(container.mono(rows), rows.mean(axis=0), rtol=1e-5)
