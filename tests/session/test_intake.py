"""What no transcript shows well: bounds, lateness, and the shapes of what is read. The order of events is in tests/transcripts/files-*."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest

from realtime.errors import ClientError
from realtime.media import g711, pcm
from realtime.media.readings import Clip, Frame, Picture, Samples
from realtime.session.abilities import Abilities
from realtime.session.effects import Abandon, Effect, Read
from realtime.session.ids import CountedIds
from realtime.session.inputs import FileBroke, FileRead, FilesAwaited, FilesSettled, FrameRefused, Happening, Input, PictureSeen
from realtime.session.intake import MAX_FILES, MAX_HELD, MAX_HELD_BYTES, Intake
from realtime.wire.client import ConversationItemCreate, ConversationItemDelete, InputImageBufferAppend, ResponseCancel, ResponseCreate
from realtime.wire.codec import GaCodec
from realtime.wire.items import InputAudio, InputImage, InputText, Message
from realtime.wire.server import ErrorInfo
from realtime.wire.settings import AudioFormat, PcmaFormat, PcmFormat, PcmuFormat

PNG = "data:image/png;base64,iVBORw0KGgo="
PICTURE = Picture(b"\xff\xd8\xff", 640, 480, "PNG")
TEN = pcm.to_bytes(g711.decode_ulaw(bytes(range(10))))
"""Ten samples."""


class Bench:
    """An intake, and what it asked for."""

    def __init__(self, format: AudioFormat = PcmFormat(), **abilities: Any) -> None:  # noqa: B008 - frozen
        self.intake = Intake(CountedIds(), Abilities(**abilities))
        self._format = format
        self.asked: list[Effect] = []

    def take(self, happening: Happening | dict[str, Any], now: float = 0.0) -> list[Input]:
        if isinstance(happening, dict):
            happening = GaCodec().decode(json.dumps(happening))
        told = self.intake.take(happening, self._format, now=now)
        self.asked += self.intake.effects()
        return told

    def create(self, *parts: dict[str, Any], **fields: Any) -> list[Input]:
        item = {"type": "message", "role": "user", "content": parts}
        return self.take({"type": "conversation.item.create", "item": item, **fields})


def image(url: str = PNG) -> dict[str, Any]:
    return {"type": "input_image", "image_url": url}


def frame(image: str = PNG) -> dict[str, Any]:
    return {"type": "input_image_buffer.append", "image": image}


def content(input: Input) -> list[Any]:
    assert isinstance(input, ConversationItemCreate)
    assert isinstance(input.item, Message)
    return input.item.content


def refusal(told: list[Input]) -> ClientError:
    (input,) = told
    assert isinstance(input, FrameRefused)
    return input.error


def test_what_has_no_files_goes_to_the_session_as_it_is() -> None:
    bench = Bench()
    (told,) = bench.create({"type": "input_text", "text": "Hi."})
    assert content(told) == [InputText("Hi.")]
    assert bench.asked == []


def test_a_picture_is_asked_for_and_told_of_until_it_is_there() -> None:
    bench = Bench()
    assert bench.create({"type": "input_text", "text": "Look:"}, image()) == [FilesAwaited("file_1")]
    assert [type(effect) for effect in bench.asked] == [Read]
    created, settled = bench.take(FileRead("file_1", 0, PICTURE))
    assert content(created) == [InputText("Look:"), InputImage("data:image/jpeg;base64,/9j/", "auto", 640, 480, "PNG")]
    assert settled == FilesSettled("file_1")


def test_an_event_waits_for_all_of_its_files_in_whatever_order_they_are_read() -> None:
    bench = Bench()
    bench.create(image(), {"type": "input_text", "text": "and"}, image())
    assert bench.take(FileRead("file_1", 1, Picture(b"b", 2, 2, "GIF"))) == []
    created, _ = bench.take(FileRead("file_1", 0, Picture(b"a", 1, 1, "PNG")))
    assert [part.format for part in content(created) if isinstance(part, InputImage)] == ["PNG", "GIF"]


def test_what_is_read_after_the_refusal_is_late() -> None:
    bench = Bench()
    bench.create(image(), image(), event_id="e1")
    error = refusal(bench.take(FileBroke("file_1", 1, ErrorInfo(code="image_parse_error", message="Broken.")))[:1])
    assert (error.code, error.param, error.event_id) == ("image_parse_error", "item.content[1].image_url", "e1")
    assert bench.asked[-1] == Abandon("file_1")
    assert bench.take(FileRead("file_1", 0, PICTURE)) == []
    assert bench.take(FileRead("nobodys", 0, PICTURE)) == []


def test_a_refusal_keeps_its_place_behind_what_waits() -> None:
    bench = Bench(images=True, videos=False)
    bench.create(image())
    assert bench.create({"type": "video", "video": "AAAA"}, event_id="e2") == []
    *_, refused = bench.take(FileRead("file_1", 0, PICTURE))
    assert isinstance(refused, FrameRefused)
    assert (refused.error.code, refused.error.event_id) == ("video_disabled", "e2")


def test_a_second_failure_of_what_waits_behind_another_is_late_too() -> None:
    bench = Bench()
    bench.create(image())
    bench.create(image(), image())
    broke = FileBroke("file_2", 0, ErrorInfo(code="image_parse_error", message="Broken."))
    assert bench.take(broke) == []
    assert bench.take(broke) == []
    told = bench.take(FileRead("file_1", 0, PICTURE))
    assert [type(each) for each in told] == [ConversationItemCreate, FilesSettled, FrameRefused, FilesSettled]


def test_a_cancel_goes_past_what_waits_and_a_deletion_does_not() -> None:
    bench = Bench()
    bench.create(image())
    assert bench.take(ConversationItemDelete(item_id="a")) == []
    assert bench.take(ResponseCancel()) == [ResponseCancel()]
    assert [type(each) for each in bench.take(FileRead("file_1", 0, PICTURE))][-1] is ConversationItemDelete


def test_pictures_of_a_response_alone_are_read_by_their_place() -> None:
    bench = Bench()
    items = [{"type": "item_reference", "id": "a"}, {"type": "message", "role": "user", "content": [image()]}]
    assert bench.take({"type": "response.create", "response": {"input": items}}) == [], "nobody waits for what is no item"
    broke = FileBroke("file_1", 0, ErrorInfo(code="image_parse_error", message="Broken."))
    assert refusal(bench.take(broke)).param == "response.input[1].content[0].image_url"


def test_a_response_without_input_has_no_files() -> None:
    assert Bench().take(ResponseCreate()) == [ResponseCreate()]


@pytest.mark.parametrize(("format", "decode"), [(PcmuFormat(), g711.decode_ulaw), (PcmaFormat(), g711.decode_alaw)])
def test_a_sound_file_becomes_what_the_client_would_have_sent(format: AudioFormat, decode: Any) -> None:
    bench = Bench(format)
    bench.create({"type": "input_audio", "audio": base64.b64encode(b"fLaC and so on").decode(), "transcript": "Ten."})
    created, _ = bench.take(FileRead("file_1", 0, Samples(TEN)))
    (part,) = content(created)
    assert isinstance(part, InputAudio)
    assert (len(decode(part.audio)), part.transcript) == (10, "Ten.")


def test_raw_sound_is_no_file_and_nor_is_any_where_audio_is_switched_off() -> None:
    raw, flac = (base64.b64encode(data).decode() for data in (bytes(100), b"fLaC and so on"))
    assert len(Bench().create({"type": "input_audio", "audio": raw})) == 1
    bench = Bench(audio=False)
    bench.create({"type": "input_audio", "audio": flac})
    assert bench.asked == []


def test_a_clip_has_no_sound_where_audio_is_switched_off() -> None:
    bench = Bench(audio=False)
    bench.create({"type": "input_video", "video": "AAAA"})
    (asked,) = bench.asked
    assert isinstance(asked, Read)
    assert msgspec.to_builtins(asked.wanted) == {"type": "clip", "detail": "auto", "rate": None}


def test_a_clip_is_told_between_its_neighbours() -> None:
    bench = Bench()
    bench.create({"type": "input_text", "text": "before"}, {"type": "video", "video": "AAAA"}, {"type": "input_text", "text": "after"})
    clip = Clip(61_050, (Frame(0, PICTURE), Frame(60_000, PICTURE)), None, "MOV")
    created, _ = bench.take(FileRead("file_1", 0, clip))
    words = [part.text for part in content(created) if isinstance(part, InputText)]
    assert words == ["before", "[A video of 1:01.0. Its pictures, each after its time:]", "[0:00.0]", "[1:00.0]", "after"]


def test_a_frame_of_the_camera_is_seen_under_its_events_id() -> None:
    bench = Bench()
    bench.take({**frame(), "event_id": "e1"})
    (seen,) = bench.take(FileRead("file_1", 0, PICTURE))
    assert seen == PictureSeen(InputImage("data:image/jpeg;base64,/9j/", "low", 640, 480, "PNG"), "e1")


def test_frames_beyond_the_rate_are_let_go_unread_and_lateness_is_not_punished() -> None:
    bench = Bench(camera_fps=2)
    taken = []
    for tenth in range(0, 31):
        before = len(bench.asked)
        bench.take(frame(), now=tenth / 10 + 0.01 * (tenth % 3))
        taken += [tenth] * (len(bench.asked) - before)
    assert len(taken) in (7, 8), "two a second in three seconds, and one at either end"


def test_frames_are_refused_where_images_are_switched_off() -> None:
    assert refusal(Bench(images=False).take(frame())).code == "image_disabled"


def test_there_is_a_bound_for_the_files_of_one_event() -> None:
    bench = Bench()
    error = refusal(bench.create(*[image()] * (MAX_FILES + 1)))
    assert (error.code, error.param) == ("array_above_max_length", f"item.content[{MAX_FILES}].image_url")
    assert bench.create(*[image()] * MAX_FILES) == [FilesAwaited("file_1")]


def test_the_client_is_made_to_wait_when_many_events_are_held() -> None:
    bench = Bench()
    bench.create(image())
    for number in range(MAX_HELD - 1):
        assert not bench.intake.full, number
        bench.take(ConversationItemDelete(item_id="a"))
    assert bench.intake.full
    bench.take(FileRead("file_1", 0, PICTURE))
    assert not bench.intake.full


def test_the_client_is_made_to_wait_when_large_files_are_held() -> None:
    bench = Bench(media_bytes=MAX_HELD_BYTES)
    event = InputImageBufferAppend(image="A" * MAX_HELD_BYTES)
    bench.take(event)
    assert bench.intake.full
    bench.take(FileRead("file_1", 0, PICTURE))
    assert not bench.intake.full


@pytest.mark.parametrize("head", ["", "data:image/png;base64,", "data:video/mp4;codecs=avc1;base64,"])
@pytest.mark.parametrize("size", [90, 91, 92])
def test_a_file_may_be_as_large_as_the_limit(head: str, size: int) -> None:
    text = head + base64.b64encode(bytes(size)).decode()
    for part in ({"type": "image", "image": text}, {"type": "video", "video": text}):
        assert Bench(media_bytes=size).create(part) == [FilesAwaited("file_1")]
        assert refusal(Bench(media_bytes=size - 4).create(part)).code.endswith("_file_too_large")  # type: ignore[union-attr]


def test_something_else_than_was_asked_for_is_a_mistake_of_ours() -> None:
    bench = Bench()
    bench.create(image())
    with pytest.raises(AssertionError):
        bench.take(FileRead("file_1", 0, Samples(TEN)))


def test_of_parts_that_were_made_it_is_known_what_the_client_put_there() -> None:
    bench = Bench()
    bench.create({"type": "input_text", "text": "before"}, {"type": "video", "video": "AAAA"}, {"type": "input_audio", "audio": "AAAA"})
    created, _ = bench.take(FileRead("file_1", 0, Clip(100, (Frame(0, PICTURE),), TEN, "MOV")))
    assert isinstance(created, ConversationItemCreate)
    assert bench.intake.origins == {id(created.item): [0, 1, 1, 1, 1, 1, 2]}
    bench.create({"type": "input_text", "text": "Hi."})
    assert bench.intake.origins == {}
