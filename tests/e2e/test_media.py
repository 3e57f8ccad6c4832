"""Files that people really have, sent to a real daemon: what its chat endpoint is shown and told."""

from __future__ import annotations

import io
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from realtime.engines.scripted import SENTENCE
from realtime.media import pcm, wav
from tests.e2e.conftest import Start, need_models
from tests.media.test_sound_file import muxed
from tests.rigs.chat_endpoint import ChatEndpoint
from tests.rigs.daemon import SCRIPTED_EARS
from tests.rigs.film import film, loud
from tests.rigs.pictures import drawn, shown
from tests.rigs.recordings import recordings, word_error_rate
from tests.rigs.sounds import silence, tone, voice
from tests.rigs.wire_client import Event, WireClient, words

TEXT = {"output_modalities": ["text"]}

RED = (200, 30, 30)


@pytest.fixture
async def client(start: Start, endpoint: ChatEndpoint) -> AsyncIterator[WireClient]:
    daemon = start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url)
    async with WireClient(daemon.url()) as client:
        yield client


def base64(data: bytes) -> str:
    return b64encode(data).decode()


async def show(client: WireClient, *parts: Event) -> str:
    """Add an item of the user's; return its id once it is acknowledged."""
    await client.send({"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": parts}})
    item_id: str = (await client.wait_for("conversation.item.done"))["item"]["id"]
    return item_id


def asked(endpoint: ChatEndpoint) -> Any:
    """What the newest message of the newest request says and shows."""
    return endpoint.requests[-1].body["messages"][-1]["content"]


def picture(part: Event) -> Image.Image:
    """What the model is shown."""
    return shown(part["image_url"]["url"])


@pytest.mark.parametrize("detail", ["auto", "low"])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
async def test_a_picture_of_any_format_reaches_the_endpoint(client: WireClient, endpoint: ChatEndpoint, format: str, detail: str) -> None:
    part = {"type": "input_image", "image_url": f"data:image/{format.lower()};base64,{base64(drawn(format))}", "detail": detail}
    await show(client, {"type": "input_text", "text": "What colour is it?"}, part)
    await client.respond(**TEXT)
    text, image = asked(endpoint)
    assert (text, image["image_url"]["detail"]) == ({"type": "text", "text": "What colour is it?"}, detail)
    seen = picture(image)
    assert seen.size == ((512, 341) if detail == "low" else (1536, 1024))
    assert np.allclose(np.asarray(seen.convert("RGB")).mean((0, 1)), RED, atol=4)


async def test_a_photograph_is_upright_and_does_not_say_where_it_was_taken(client: WireClient, endpoint: ChatEndpoint) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    photo = drawn("JPEG", (400, 300), exif=exif, comment=b"my house")
    assert b"my house" in photo
    await show(client, {"type": "image", "image": base64(photo)})
    await client.respond(**TEXT)
    (image,) = asked(endpoint)
    assert picture(image).size == (300, 400)


async def test_what_is_clear_in_a_picture_is_white(client: WireClient, endpoint: ChatEndpoint) -> None:
    file = io.BytesIO()
    Image.new("RGBA", (10, 10), (0, 0, 0, 0)).save(file, "PNG")
    await show(client, {"type": "image", "image": base64(file.getvalue())})
    await client.respond(**TEXT)
    assert np.asarray(picture(asked(endpoint)[0])).min() > 250


SOUND = np.concatenate([tone(1.0), silence(0.2)])


def sound_file(format: str) -> bytes:
    if format in ("M4A", "WebM"):
        audio = np.concatenate([loud(1.0), np.zeros(9600, np.float32)])
        return muxed(*{"M4A": ("ipod", "aac"), "WebM": ("webm", "libopus")}[format], audio)
    file = io.BytesIO()
    stereo = np.stack([SOUND, SOUND], 1)
    soundfile.write(file, stereo, 24_000, format=format, subtype="VORBIS" if format == "OGG" else None)
    return file.getvalue()


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3", "M4A", "WebM"])
async def test_a_sound_file_of_any_format_is_heard(client: WireClient, endpoint: ChatEndpoint, format: str) -> None:
    item_id = await show(client, {"type": "input_audio", "audio": base64(sound_file(format))})
    await client.respond(**TEXT)
    assert asked(endpoint) == SENTENCE
    (part,) = (await client.retrieve(item_id))["content"]
    heard = np.frombuffer(b64decode(part["audio"]), np.int16)
    assert len(heard) / 24_000 == pytest.approx(1.2, abs=0.1), "PCM16 of the session's rate, whatever the file's was"
    assert np.abs(heard[2400:21_600]).max() > 5000


async def test_raw_sound_is_heard_as_ever(client: WireClient, endpoint: ChatEndpoint) -> None:
    item_id = await show(client, {"type": "input_audio", "audio": base64(SOUND.tobytes())})
    await client.respond(**TEXT)
    assert asked(endpoint) == SENTENCE
    assert b64decode((await client.retrieve(item_id))["content"][0]["audio"]) == SOUND.tobytes()


CLIPS = {
    "MP4": ("mp4", "libx264", "aac"),
    "MOV": ("mov", "libx264", "pcm_s16le"),
    "WebM": ("webm", "libvpx", "libopus"),
    "MKV": ("matroska", "libx264", "aac"),
}


@pytest.mark.parametrize("format", CLIPS)
async def test_a_clip_of_any_format_is_shown_by_its_moments_and_told_by_its_sound(
    client: WireClient, endpoint: ChatEndpoint, format: str
) -> None:
    container, codec, sound_codec = CLIPS[format]
    data = film(range(40), container, codec, sound=[(0.0, loud(4.0))], sound_codec=sound_codec, size=(640, 360))
    await show(client, {"type": "input_text", "text": "What happens?"}, {"type": "input_video", "video": base64(data)})
    await client.respond(**TEXT)
    question, head, *moments, label, heard = (part.get("text") or part for part in asked(endpoint))
    assert (question, head) == ("What happens?", "[A video of 0:04.0. Its pictures, each after its time:]")
    assert (label, heard) == ("[What is heard in the video:]", SENTENCE)
    assert len(moments) == 2 * 8
    for time, moment in zip(moments[::2], moments[1::2], strict=True):
        image = picture(moment)
        assert (image.size, moment["image_url"]["detail"]) == ((512, 288), "low")
        # Each frame is as light as it is late: its label is its own.
        lightness = np.asarray(image.convert("L")).mean()
        assert float(time[3:-1]) == pytest.approx((lightness - 20) / 50, abs=0.11)


@pytest.mark.timeout(180)
async def test_what_is_said_in_a_clip_is_known(start: Start, endpoint: ChatEndpoint) -> None:
    need_models("base")
    recording = next(recording for recording in recordings() if recording.path.stem == "conf-getconfno")
    said = np.repeat(pcm.to_float(voice(recording.audio)), 2)
    data = film(range(40), "mp4", "libx264", sound=[(0.0, said)], sound_codec="aac")
    daemon = start("--llm", "auto", "--tts", "none", OPENAI_BASE_URL=endpoint.base_url)
    async with WireClient(daemon.url("/ws/realtime"), patience=60) as client:
        await client.send({"type": "session.update", "session": {"modalities": ["text", "video"]}})
        await client.wait_for("session.updated")
        item = {"type": "message", "role": "user", "content": [{"type": "video", "video": base64(data)}]}
        await client.send({"type": "conversation.item.create", "item": item})
        await client.send({"type": "response.create", "event_id": "go"})
        await client.wait_for("response.done")
    assert word_error_rate([recording.text], [asked(endpoint)[-1]["text"]]) <= 0.15


async def test_what_a_camera_sees_while_somebody_speaks_joins_the_turn(client: WireClient, endpoint: ChatEndpoint) -> None:
    await client.send({"type": "session.update", "session": {"type": "realtime", **TEXT, "audio": {"input": {"turn_detection": None}}}})
    await client.wait_for("session.updated")
    await client.speak(tone(0.4))
    await client.send({"type": "input_image_buffer.append", "image": base64(drawn("JPEG", (1280, 720)))})
    # The frame is still being read; the turn that it belongs to ends after it all the same.
    await client.send({"type": "input_audio_buffer.commit"})
    await client.respond()
    text, image = asked(endpoint)
    assert (text["text"], picture(image).size) == (SENTENCE, (512, 288))


async def test_the_embedded_model_is_told_that_a_picture_came_and_says_once_that_it_sees_none(start: Start) -> None:
    need_models("smollm2-135m-instruct")
    daemon = start("--stt", "scripted", "--tts", "none", "--vad", "scripted", "--turn-model", "words")
    async with WireClient(daemon.url(), patience=60) as client:
        await show(client, {"type": "input_text", "text": "What is this?"}, {"type": "image", "image": base64(drawn("PNG"))})
        first, second = [words(await client.respond(**TEXT)) for _ in range(2)]
    assert first.startswith("I can't see pictures. ")
    assert not second.startswith("I can't see pictures. I")


@pytest.mark.parametrize(
    ("switch", "part", "code"),
    [
        ("--enable-audio-processing", {"type": "input_audio", "audio": base64(SOUND.tobytes())}, "audio_disabled"),
        ("--enable-image-processing", {"type": "image", "image": base64(drawn("PNG", (9, 9)))}, "image_disabled"),
        ("--enable-video-processing", {"type": "video", "video": "AAAA"}, "video_disabled"),
    ],
)
async def test_what_is_switched_off_is_refused_and_the_rest_is_not(start: Start, switch: str, part: Event, code: str) -> None:
    daemon = start("--llm", "scripted", *SCRIPTED_EARS, switch, "false")
    async with WireClient(daemon.url()) as client:
        await client.send({"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": [part]}})
        assert (await client.wait_for("error"))["error"]["code"] == code
        await client.say("Hi.")


async def test_limits_are_the_operators(start: Start) -> None:
    limits = {"MAX_IMAGE_PIXELS": "100", "MAX_AUDIO_SECONDS": "1", "MAX_VIDEO_SECONDS": "1", "MAX_MEDIA_BYTES": "1000000"}
    daemon = start("--llm", "scripted", *SCRIPTED_EARS, **limits)
    files: dict[str, Event] = {
        "image_too_large": {"type": "image", "image": base64(drawn("PNG", (11, 10)))},
        "audio_too_long": {"type": "input_audio", "audio": base64(sound_file("FLAC"))},
        "video_too_long": {"type": "video", "video": base64(film(range(20)))},
        "image_file_too_large": {"type": "image", "image": "A" * 1_400_000},
        "video_file_too_large": {"type": "video", "video": "A" * 1_400_000},
        "invalid_image_format": {"type": "image", "image": base64(b"<svg/>")},
        "invalid_video_format": {"type": "video", "video": base64(b"#EXTM3U\n/etc/passwd")},
        "image_parse_error": {"type": "image", "image": base64(drawn("PNG", (9, 9))[:-40])},
        "audio_parse_error": {"type": "input_audio", "audio": base64(wav.write(SOUND[:12_000], 24_000)[:1000])},
        "video_parse_error": {"type": "video", "video": base64(film(range(5))[:-800])},
    }
    async with WireClient(daemon.url()) as client:
        for code, part in files.items():
            id = await client.send({"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": [part]}})
            error = (await client.wait_for("error"))["error"]
            (field,) = part.keys() - {"type"}
            assert (error["code"], error["param"], error["event_id"]) == (code, f"item.content[0].{field}", id)
        await client.say("Still here?")
