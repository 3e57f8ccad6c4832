from __future__ import annotations

import io
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from realtime.errors import MediaError
from realtime.media import pcm, sound_file
from realtime.media.limits import Limits
from realtime.media.readings import WantedSound
from realtime.media.resample import Float32, resample

RATE = 16_000
WANTED = WantedSound(RATE)


def tone(seconds: float, rate: int = RATE, hertz: float = 440) -> Float32:
    audio: NDArray[np.float64] = 0.4 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return audio.astype(np.float32)


def file(audio: NDArray[np.floating], rate: int = RATE, format: str = "WAV", subtype: str | None = None, **more: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, audio, rate, format=format, subtype=subtype, **more)
    return buffer.getvalue()


def muxed(format: str, codec: str, audio: Float32, rate: int = 48_000, channels: str = "mono") -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format) as output:
        stream = output.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.layout = channels
        frame = av.AudioFrame.from_ndarray(np.stack([audio] * (2 if channels == "stereo" else 1)), "fltp", channels)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        for converted in av.AudioResampler(stream.format.name).resample(frame):
            output.mux(stream.encode(converted))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def silent_film() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", "mp4") as output:
        stream = output.add_stream("mpeg4", rate=10, width=32, height=32, pix_fmt="yuv420p")
        assert isinstance(stream, av.VideoStream)
        output.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def heard(data: bytes, limits: Limits | None = None, rate: int = RATE) -> Float32:
    return pcm.to_float(pcm.from_bytes(sound_file.read(data, WantedSound(rate), limits or Limits()).pcm))


def refused(data: bytes, limits: Limits | None = None) -> MediaError:
    with pytest.raises(MediaError) as caught:
        sound_file.read(data, WANTED, limits or Limits())
    return caught.value


def pitch(audio: Float32, rate: int = RATE) -> float:
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    return float(spectrum.argmax() * rate / len(audio))


def header(rate: int = RATE, channels: int = 1, size: int = 8000) -> bytes:
    form = struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * 2 * channels & 0xFFFFFFFF, 2 * channels, 16)
    return b"RIFF\0\0\0\0WAVEfmt " + form + b"data" + struct.pack("<I", size)


@pytest.mark.parametrize("format", ["WAV", "WAVEX", "RF64"])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
def test_a_wav_file_may_hold_samples_of_any_kind(format: str, subtype: str) -> None:
    found = heard(file(tone(0.5), format=format, subtype=subtype))
    np.testing.assert_allclose(found, tone(0.5), atol=0.02)


@pytest.mark.parametrize(("format", "subtype"), [("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)])
@pytest.mark.parametrize("rate", [8_000, 48_000])
def test_other_files_sound_the_same(format: str, subtype: str | None, rate: int) -> None:
    found = heard(file(tone(1, rate), rate, format, subtype))
    assert len(found) == pytest.approx(RATE, abs=200)
    assert pitch(found) == pytest.approx(440, abs=2)
    assert np.abs(found).max() == pytest.approx(0.4, abs=0.1)


@pytest.mark.parametrize(
    ("format", "codec"), [("ipod", "aac"), ("mov", "pcm_s16le"), ("webm", "libopus"), ("matroska", "libopus"), ("matroska", "pcm_f32le")]
)
@pytest.mark.parametrize("channels", ["mono", "stereo"])
def test_so_do_sounds_in_containers(format: str, codec: str, channels: str) -> None:
    found = heard(muxed(format, codec, tone(1, 48_000), channels=channels))
    assert len(found) == pytest.approx(RATE, abs=700)
    assert pitch(found[:RATE]) == pytest.approx(440, abs=2)
    assert np.abs(found[1000:-1000]).max() == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize("channels", [2, 6])
def test_of_many_channels_the_mean_is_heard(channels: int) -> None:
    apart = np.zeros((RATE, channels), np.float32)
    apart[:, 1] = tone(1)
    np.testing.assert_allclose(heard(file(apart)), tone(1) / channels, atol=1e-3)


@pytest.mark.parametrize("source", [8_000, 24_000, 44_100, 192_000])
@pytest.mark.parametrize("target", [16_000, 24_000])
def test_where_a_file_was_cut_into_blocks_can_not_be_heard(source: int, target: int) -> None:
    audio = np.random.default_rng(1).normal(0, 0.2, 3 * sound_file.BLOCK + 17).astype(np.float32)
    found = heard(file(audio, source, subtype="FLOAT"), rate=target)
    np.testing.assert_allclose(found, resample(audio, source, target).clip(-1, 1), atol=1.5 / pcm.FULL_SCALE)


def test_what_is_louder_than_full_scale_is_clipped() -> None:
    assert np.abs(heard(file(tone(0.1) * 1000, subtype="FLOAT"))).max() == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        bytes(1000),
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
    ],
)
def test_what_is_no_sound_file_is_told_what_would_be(data: bytes) -> None:
    error = refused(data)
    assert error.code == "invalid_audio_format"
    assert all(name in error.message for name in ("WAV", "FLAC", "OGG", "MP3", "M4A", "WebM"))


@pytest.mark.parametrize(
    "data",
    [
        b"RIFF1234WAVE",
        b"RIFF1234WAVEfmt \x10\0\0\0",
        b"RIFF1234WAVELIST\xff\xff\xff\xff",
        b"fLaC" + bytes(100),
        b"OggS\0" + bytes(100),
        b"ID3" + bytes(200),
        b"\0\0\0\x18ftypM4A " + bytes(200),
        b"\x1a\x45\xdf\xa3" + bytes(200),
        file(tone(1), format="FLAC")[:-5000],
        file(tone(1), format="OGG", subtype="VORBIS")[:300],
        muxed("ipod", "aac", tone(1, 48_000))[:5000],
    ],
)
def test_a_broken_file_is_refused(data: bytes) -> None:
    assert refused(data).code == "audio_parse_error"


def test_a_wav_file_cut_short_is_refused() -> None:
    error = refused(file(tone(1))[:-2])
    assert (error.code, "cut short" in error.message) == ("audio_parse_error", True)


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_wav_file_whose_writer_did_not_know_its_end_goes_on_to_it(size: int) -> None:
    samples = pcm.to_bytes(pcm.to_int16(tone(0.25)))
    assert sound_file.read(header(size=size) + samples, WANTED, Limits()).pcm == samples


def test_so_does_a_flac_file() -> None:
    data = bytearray(file(tone(10), format="FLAC"))
    data[21:26] = bytes([data[21] & 0xF0, 0, 0, 0, 0])  # the total of samples: 36 bits
    assert len(heard(bytes(data))) == 10 * RATE


def test_chunks_before_the_samples_are_passed_over() -> None:
    data = header(size=4)
    assert len(heard(data[:36] + b"LIST\x03\0\0\0odd\0" + data[36:] + b"\1\0\2\0")) == 2


@pytest.mark.parametrize(
    "data",
    [
        header(size=0),
        silent_film(),
    ],
)
def test_a_file_without_samples_is_refused(data: bytes) -> None:
    assert (refused(data).code, refused(data).message) == ("audio_parse_error", "The file holds no sound.")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_samples_that_are_no_numbers_are_refused(value: float) -> None:
    audio = tone(0.1)
    audio[100] = value
    for data in (file(audio, subtype="FLOAT"), muxed("matroska", "pcm_f32le", audio)):
        error = refused(data)
        assert (error.code, "NaN" in error.message) == ("audio_parse_error", True)


@pytest.mark.parametrize("rate", [0, 10, 2_000_000_000])
def test_rates_that_no_sound_has_are_refused(rate: int) -> None:
    assert refused(header(rate) + bytes(8000)).code == "audio_parse_error"


@pytest.mark.parametrize("channels", [65, 1000, 20_000])
def test_so_are_numbers_of_channels(channels: int) -> None:
    assert refused(header(channels=channels, size=80_000) + bytes(80_000)).code == "audio_parse_error"


def too_long(data: bytes, seconds: float) -> bool:
    error = refused(data, Limits(audio_seconds=seconds))
    assert "MAX_AUDIO_SECONDS" in error.message
    assert f"{seconds:g} s" in error.message
    return error.code == "audio_too_long"


@pytest.mark.parametrize(("format", "subtype"), [("WAV", None), ("FLAC", None), ("OGG", "OPUS"), ("MP3", None)])
def test_a_sound_that_is_too_long_is_refused(format: str, subtype: str | None) -> None:
    data = file(tone(5), format=format, subtype=subtype)
    assert too_long(data, 4.5)
    assert len(heard(data, Limits(audio_seconds=5.2))) == pytest.approx(5 * RATE, abs=1000)


@pytest.mark.parametrize(("format", "codec"), [("ipod", "aac"), ("webm", "libopus")])
def test_so_is_one_in_a_container(format: str, codec: str) -> None:
    assert too_long(muxed(format, codec, tone(5, 48_000)), 4.5)


def test_a_sound_may_be_as_long_as_the_limit() -> None:
    assert len(heard(file(tone(5)), Limits(audio_seconds=5))) == 5 * RATE


def test_a_header_is_believed_when_it_says_that_a_small_file_is_ten_hours_long() -> None:
    data = bytearray(file(tone(1), format="FLAC"))
    data[21:26] = (int.from_bytes(data[21:26]) & 0xF0_0000_0000 | 36_000 * RATE).to_bytes(5)
    error = refused(bytes(data))
    assert (error.code, "36000" in error.message) == ("audio_too_long", True)
    webm = bytearray(muxed("webm", "libopus", tone(1, 48_000)))
    at = webm.index(b"\x44\x89\x88") + 3  # Duration: eight bytes of it
    webm[at : at + 8] = struct.pack(">d", 36_000_000)
    error = refused(bytes(webm))
    assert (error.code, "36000" in error.message) == ("audio_too_long", True)


def test_decoding_stops_where_the_limit_is_passed() -> None:
    passed = []

    def endless() -> object:
        while True:
            passed.append(1)
            yield np.zeros(RATE, np.float32)

    with pytest.raises(MediaError, match="MAX_AUDIO_SECONDS"):
        for _ in sound_file._bounded(endless(), RATE, 3):  # type: ignore[arg-type]
            pass
    assert len(passed) == 4


def test_an_mp3_file_of_varying_bit_rate_is_heard_to_its_end() -> None:
    data = file(np.concatenate([tone(0.2) * 0, tone(8, hertz=1000)]), format="MP3", bitrate_mode="VARIABLE")
    at = data.index(b"Xing") - 4
    table = data.index(b"\xff\xf3", at)  # MPEG 2: what comes after the table
    assert len(heard(data[table:])) == pytest.approx(8.2 * RATE, abs=3000)


@pytest.mark.parametrize("damage", [b"junk" * 100, bytes(500)])
def test_an_mp3_file_is_heard_past_what_is_broken_in_it(damage: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    data = file(tone(4), format="MP3")
    assert len(heard(data[:9000] + damage + data[9000:])) == pytest.approx(4 * RATE, abs=3000)
    assert len(heard(data[: len(data) // 2])) == pytest.approx(2 * RATE, abs=3000)
    assert capfd.readouterr() == ("", "")


def test_a_sound_in_a_codec_that_is_not_read_is_refused() -> None:
    error = refused(muxed("matroska", "tta", tone(1, 48_000)))
    assert (error.code, error.message) == ("audio_parse_error", "The audio is in tta, which is not read.")


def test_neither_library_is_loaded_before_a_file_is_read() -> None:
    source = Path(sound_file.__file__).read_text(encoding="utf-8")
    assert "\nimport soundfile" not in source
