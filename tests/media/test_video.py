from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from realtime.errors import MediaError
from realtime.media import pcm, video
from realtime.media.limits import Limits
from realtime.media.readings import Clip, Frame, WantedClip
from realtime.media.resample import Float32
from tests.rigs.film import STEP, Edit, Packets, Unseekable, film, grey, loud


def seen(data: bytes, limits: Limits | None = None, **wanted: Any) -> Clip:
    return video.read(data, WantedClip(**wanted), limits or Limits())


def refused(data: bytes, limits: Limits | None = None) -> MediaError:
    with pytest.raises(MediaError) as caught:
        video.read(data, WantedClip(rate=16_000), limits or Limits())
    return caught.value


def pixels(frame: Frame) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.asarray(Image.open(io.BytesIO(frame.picture.jpeg)))


def number(frame: Frame) -> int:
    """Which frame of the clip it is, by how light it is."""
    return round((float(pixels(frame).mean()) - 20) / STEP)


def times(clip: Clip) -> list[int]:
    return [frame.ms for frame in clip.frames]


def labels_are_right(clip: Clip, rate: int = 10, first: int = 0) -> bool:
    return [number(frame) - first for frame in clip.frames] == [round(frame.ms * rate / 1000) for frame in clip.frames]


@pytest.mark.parametrize(
    ("format", "codec", "sound_codec", "name"),
    [
        ("mp4", "libx264", "aac", "MP4"),
        ("mp4", "mpeg4", "libopus", "MP4"),
        ("mp4", "libx265", "", "MP4"),
        ("mov", "libx264", "pcm_s16le", "MOV"),
        ("webm", "libvpx", "libopus", "WebM"),
        ("webm", "libvpx-vp9", "", "WebM"),
        ("matroska", "libx264", "aac", "MKV"),
        ("matroska", "mjpeg", "", "MKV"),
    ],
)
def test_a_clip_is_shown_by_pictures_spread_evenly_over_it(format: str, codec: str, sound_codec: str, name: str) -> None:
    options = {"x265-params": "log-level=none:pools=none"} if codec == "libx265" else {}
    sound = [(0.0, loud(2))] if sound_codec else []
    clip = seen(film(format=format, codec=codec, sound=sound, sound_codec=sound_codec, options=options), rate=16_000)
    assert clip.ms == pytest.approx(2000, abs=30)
    assert (clip.format, {frame.picture.format for frame in clip.frames}) == (name, {name})
    assert len(clip.frames) == 4
    assert all(start <= ms < start + 500 for start, ms in zip(range(0, 2000, 500), times(clip), strict=True))
    assert labels_are_right(clip)
    assert (clip.pcm is not None) == bool(sound)
    assert len(clip.pcm or b"") / 2 / 16_000 == pytest.approx(2 if sound else 0, abs=0.05)


def test_a_mov_file_needs_no_first_box() -> None:
    data = film(format="mov")
    assert data[4:12] == b"ftypqt  "
    assert seen(data[:4] + b"free" + data[8:]).format == "MOV"


def test_the_middle_of_a_part_stands_for_it_where_no_keyframe_does() -> None:
    assert times(seen(film(range(36)), Limits(video_frames=4))) == [0, 1300, 2200, 3100]


def test_a_keyframe_stands_for_its_part_of_the_clip() -> None:
    clip = seen(film(range(40), keys=[13, 26, 35]), Limits(video_frames=4))
    assert times(clip) == [0, 1300, 2600, 3500]
    assert labels_are_right(clip)


def test_of_many_keyframes_the_one_nearest_the_middle_does() -> None:
    assert times(seen(film(range(40), codec="mjpeg", format="matroska"), Limits(video_frames=2))) == [1000, 3000]


@pytest.mark.parametrize(
    "options", [{"bf": "3"}, {"bf": "3", "x264-params": "open-gop=1"}, {"bf": "0"}, {"preset": "placebo", "tune": "animation"}]
)
@pytest.mark.parametrize("frames", [3, 7, 16])
def test_pictures_that_depend_on_others_are_right(options: dict[str, str], frames: int) -> None:
    clip = seen(film(range(40), keys=[8, 22, 23], options=options), Limits(video_frames=frames))
    assert len(clip.frames) == min(frames, 8)
    assert labels_are_right(clip)


def test_a_picture_that_comes_after_the_next_keyframe_is_decoded_from_the_one_before() -> None:
    def shot(pts: int, key: bool = False) -> video._Shot:
        return video._Shot(pts, key, shown=True)

    shots = [shot(0, key=True), shot(3), shot(1), shot(8, key=True), shot(6), shot(7), shot(12, key=True)]
    assert video._runs(shots, {0, 8, 12}) == [video._Run(0, 0, [0]), video._Run(3, 3, [8]), video._Run(6, 6, [12])]
    assert video._runs(shots, {0, 7, 8}) == [video._Run(0, 5, [0, 7, 8])]
    assert video._runs(shots, {1, 12}) == [video._Run(0, 2, [1]), video._Run(6, 6, [12])]


def test_a_longer_clip_has_as_many_pictures_as_the_limit() -> None:
    clip = seen(film(range(200), draw=lambda number, size: grey(number // 5, size)))
    assert (len(clip.frames), clip.ms) == (16, 20_000)


def test_a_still_picture_is_one_and_may_have_no_duration() -> None:
    assert times(seen(film([0]))) == [0]
    assert times(seen(film([0], "matroska", "mjpeg", muxer={"live": "1"}, edit=without_duration, output=Unseekable()))) == [0]


def test_frames_may_come_at_uneven_times() -> None:
    clip = seen(film([0, 1, 2, 3, 4, 30, 31, 38]), Limits(video_frames=8))
    assert times(clip) == [0, 400, 3100, 3800]
    assert labels_are_right(clip)


def without_duration(packets: Packets) -> Packets:
    for packet in packets:
        packet.duration = 0
    return packets


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_what_a_browser_records_says_neither_how_long_it_is_nor_where_its_keyframes_are(codec: str) -> None:
    data = film(range(40), "webm", codec, keys=[20], muxer={"live": "1"}, edit=without_duration, output=Unseekable(), sound=[(0, loud(4))])
    at = data.index(b"\x23\xe3\x83\x84")  # DefaultDuration: a browser does not know it, and here it becomes Void
    data = data.replace(data[at : at + 8], b"\xec\x86" + bytes(6))
    with av.open(io.BytesIO(data), "r") as file:
        assert file.duration is None
    clip = seen(data, rate=16_000)
    assert clip.ms == pytest.approx(4000, abs=30)
    assert len(clip.frames) == 8
    assert 2000 in times(clip)
    assert labels_are_right(clip)


def test_a_fragmented_file_has_no_index() -> None:
    clip = seen(film(range(40), keys=[20], muxer={"movflags": "frag_keyframe+empty_moov"}))
    assert (clip.ms, len(clip.frames)) == (4000, 8)
    assert labels_are_right(clip)


def test_a_clip_begins_with_its_first_picture() -> None:
    clip = seen(film(range(20, 40), "matroska"))
    assert (clip.ms, times(clip)[0]) == (2000, 0)
    assert labels_are_right(clip, first=20)


def late(packets: Packets) -> Packets:
    """Shown from half a second on, by an edit list."""
    for packet in packets:
        if packet.stream.type == "video":
            assert packet.pts is not None
            assert packet.dts is not None
            packet.pts -= 5
            packet.dts -= 5
    return packets


def test_frames_that_an_edit_list_leaves_out_are_not_shown() -> None:
    clip = seen(film(range(40), options={"bf": "0"}, edit=late))
    assert clip.ms == pytest.approx(3500, abs=100)
    assert times(clip)[0] < 500
    assert labels_are_right(clip, first=5)


def halves(number: int, size: tuple[int, int]) -> av.VideoFrame:
    """White above, black below."""
    array = np.zeros((size[1], size[0], 3), np.uint8)
    array[: size[1] // 2] = 255
    return av.VideoFrame.from_ndarray(array, "rgb24")


@pytest.mark.parametrize(("turn", "size", "light"), [(90, (48, 64), "left"), (-90, (48, 64), "right"), (180, (64, 48), "bottom")])
@pytest.mark.parametrize("format", ["mp4", "mov"])
def test_a_telephone_held_upright_is_seen_upright(format: str, turn: int, size: tuple[int, int], light: str) -> None:
    picture = pixels(seen(film([0], format, draw=halves, turn=turn)).frames[0])
    parts = {"left": picture[:, :10], "right": picture[:, -10:], "bottom": picture[-10:], "top": picture[:10]}
    assert picture.shape[1::-1] == size
    assert max(parts, key=lambda name: parts[name].mean()) == light


def test_pixels_need_not_be_square() -> None:
    first = seen(film([0], aspect=Fraction(2))).frames[0].picture
    assert (first.width, first.height) == (128, 48)


@pytest.mark.parametrize(("detail", "side"), [("auto", 32), ("low", 32), ("high", 50)])
def test_frames_are_small_unless_more_is_asked_for(detail: str, side: int) -> None:
    clip = seen(film([0]), Limits(low_image_side=32, image_side=50), detail=detail)
    assert clip.frames[0].picture.width == side


def envelope(clip: Clip) -> Float32:
    """How loud the sound is, each tenth of a second."""
    assert clip.pcm is not None
    audio = np.abs(pcm.to_float(pcm.from_bytes(clip.pcm)))
    return np.array([part.max() for part in np.array_split(audio, max(1, len(audio) // 1600))], np.float32)


def test_sound_that_is_not_wanted_is_left_out() -> None:
    assert seen(film(sound=[(0, loud(2))])).pcm is None


def test_a_silent_film_has_none_nor_has_one_whose_track_is_empty() -> None:
    assert seen(film(), rate=16_000).pcm is None
    assert seen(film(format="matroska", sound_codec="pcm_s16le"), rate=16_000).pcm is None


def test_the_sound_begins_with_the_clip() -> None:
    clip = seen(film(format="matroska", sound=[(1, loud(1))], sound_codec="pcm_s16le"), rate=16_000)
    loudness = envelope(clip)
    assert len(loudness) == 20
    assert loudness[:9].max() < 0.01
    assert loudness[11:].min() > 0.3


def test_the_sound_is_no_longer_than_a_clip_may_be() -> None:
    def hasty(packets: Packets) -> Packets:
        for packet in packets:
            if packet.stream.type == "audio":
                assert packet.pts is not None
                packet.pts = packet.dts = packet.pts // 10
                packet.duration = (packet.duration or 0) // 10
        return packets

    clip = seen(film(sound=[(0, loud(10))], sound_codec="libopus", format="matroska", edit=hasty), Limits(video_seconds=3), rate=16_000)
    assert clip.ms == pytest.approx(2000, abs=50)
    assert len(clip.pcm or b"") <= 3 * 32_000


def test_a_sound_track_that_is_broken_is_not_silence() -> None:
    def broken(packets: Packets) -> Iterable[av.Packet[Any]]:
        for packet in packets:
            if packet.stream.type == "audio":
                memoryview(packet)[:] = b"\x55" * packet.size
            yield packet

    data = film(format="matroska", sound=[(0, loud(2))], sound_codec="aac", edit=broken)
    assert len(seen(data).frames) == 4
    assert refused(data).code == "video_parse_error"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"RIFF1234AVI " + bytes(100),
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
    ],
)
def test_what_is_no_clip_is_told_what_would_be(data: bytes) -> None:
    error = refused(data)
    assert error.code == "invalid_video_format"
    assert all(name in error.message for name in ("MP4", "MOV", "WebM", "MKV"))


FASTSTART = film(range(40), options={"crf": "1"}, size=(128, 96), muxer={"moov_size": "3000"})
MKV = film(range(40), "matroska", options={"crf": "1"})


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\x18ftypmp42",
        b"\0\0\0\x18ftypmp42" + bytes(1000),
        b"\x1a\x45\xdf\xa3" + bytes(1000),
        film()[:-100],
        film()[:1500],
        FASTSTART[: FASTSTART.index(b"mdat")],
        FASTSTART[: FASTSTART.index(b"mdat") + 200],
        FASTSTART[: len(FASTSTART) * 2 // 3],
        MKV[: len(MKV) * 2 // 3],
        b"\0\0\0\x18ftypmp42" + b"\0\0\0\x60" + b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n".ljust(0x5C),
    ],
)
def test_a_broken_file_is_refused(data: bytes) -> None:
    assert refused(data).code == "video_parse_error"


def test_a_clip_that_breaks_off_is_told_where() -> None:
    error = refused(MKV[: len(MKV) * 3 // 4])
    assert (error.code, "breaks off: of 4 s" in error.message) == ("video_parse_error", True)


def test_a_little_may_be_missing() -> None:
    assert seen(MKV[: len(MKV) * 98 // 100]).ms >= 3600


def only_sound(packets: Packets) -> Packets:
    return [packet for packet in packets if packet.stream.type == "audio"]


def test_a_file_without_pictures_says_so() -> None:
    # An MP4 file has no stream for what has no packets.
    error = refused(film(sound=[(0, loud(1))], sound_codec="aac", edit=only_sound))
    assert (error.code, error.message) == ("video_parse_error", "The file is a sound without pictures.")
    assert refused(film(edit=lambda packets: [])).message == "The file has no pictures."


def test_a_stream_of_pictures_may_be_empty() -> None:
    error = refused(film(format="webm", codec="libvpx", sound=[(0, loud(1))], edit=only_sound))
    assert (error.code, "stream of them is empty" in error.message) == ("video_parse_error", True)


def test_codecs_that_are_not_read_are_refused() -> None:
    error = refused(film(format="matroska", codec="ffv1"))
    assert (error.code, error.message) == ("video_parse_error", "The video is in ffv1, which is not read.")


def hidden(which: Callable[[int], bool]) -> Edit:
    """VP8 has packets that show nothing: bit 4 of their first byte (RFC 6386, 9.1)."""

    def edit(packets: Packets) -> Iterable[av.Packet[Any]]:
        for place, packet in enumerate(packets):
            if which(place):
                view = memoryview(packet)
                view[0] = view[0] & 0xEF
            yield packet

    return edit


def test_a_packet_without_a_picture_is_stood_for_by_its_neighbour() -> None:
    data = film(range(12), rate=2, keys=[8], format="webm", codec="libvpx", edit=hidden(lambda place: place in (3, 7)))
    clip = seen(data, Limits(video_frames=6))
    assert labels_are_right(clip, rate=2)
    assert [number(frame) for frame in clip.frames] == [0, 4, 5, 6, 8, 10]


def test_packets_may_hold_no_picture_at_all() -> None:
    error = refused(film(format="webm", codec="libvpx", edit=hidden(lambda _: True)))
    assert error.code == "video_parse_error"


def test_a_broken_frame_is_refused() -> None:
    def broken(packets: Packets) -> Iterable[av.Packet[Any]]:
        yield from packets[:5]
        for packet in packets[5:]:
            memoryview(packet)[:] = bytes(packet.size)
            yield packet

    assert refused(film(format="webm", codec="libvpx", edit=broken)).code == "video_parse_error"


@pytest.mark.parametrize("format", ["mp4", "matroska"])
def test_a_clip_that_says_it_is_too_long_is_refused(format: str) -> None:
    error = refused(film(range(40), format), Limits(video_seconds=3.5))
    assert (error.code, "MAX_VIDEO_SECONDS" in error.message, "4 s" in error.message) == ("video_too_long", True, True)


def test_it_is_believed_even_if_the_file_is_small() -> None:
    at = MKV.index(b"\x44\x89\x88") + 3  # Duration: eight bytes of it
    error = refused(MKV[:at] + struct.pack(">d", 36_000_000) + MKV[at + 8 :])
    assert (error.code, "36000 s" in error.message) == ("video_too_long", True)


def test_so_is_one_that_does_not_say_and_is() -> None:
    data = film(range(40), "webm", "libvpx", muxer={"live": "1"}, output=Unseekable())
    assert refused(data, Limits(video_seconds=3.5)).code == "video_too_long"
    assert seen(data, Limits(video_seconds=4.1)).ms == pytest.approx(4000, abs=30)


def too_large(data: bytes, size: tuple[int, int]) -> bool:
    error = refused(data, Limits(image_pixels=64 * 48))
    assert "MAX_IMAGE_PIXELS" in error.message
    assert f"{size[0]} x {size[1]}" in error.message
    return error.code == "video_too_large"


@pytest.mark.parametrize(("format", "codec"), [("mp4", "libx264"), ("webm", "libvpx")])
def test_frames_that_are_too_large_are_refused(format: str, codec: str) -> None:
    assert too_large(film([0], format, codec, size=(64, 64)), (64, 64))
    assert too_large(film([0], format, codec, size=(256, 256)), (256, 256))
    assert seen(film([0], format, codec), Limits(image_pixels=64 * 48)).frames


def grown(size: tuple[int, int]) -> bytes:
    """A clip whose frames become larger on the way."""
    encoder = av.CodecContext.create("libvpx", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = *size, "yuv420p", Fraction(1, 10)
    encoder.thread_count = 1
    frame = av.VideoFrame(*size, "yuv420p")
    frame.pts, frame.time_base = 0, Fraction(1, 10)
    larger = bytes([*encoder.encode(frame), *encoder.encode(None)][0])

    def edit(packets: Packets) -> Iterable[av.Packet[Any]]:
        yield from packets[:10]
        for place in range(10, 20):
            new: av.Packet[Any] = av.Packet(larger)
            new.stream, new.is_keyframe = packets[0].stream, True
            new.pts, new.dts, new.duration, new.time_base = place, place, 1, Fraction(1, 10)
            yield new

    return film(format="webm", codec="libvpx", edit=edit)


def test_frames_may_grow_up_to_the_limit() -> None:
    assert too_large(grown((64, 64)), (64, 64))
    assert refused(grown((512, 512)), Limits(image_pixels=64 * 48)).code == "video_parse_error"
    assert [frame.picture.width for frame in seen(grown((128, 96))).frames] == [64, 64, 128, 128]
