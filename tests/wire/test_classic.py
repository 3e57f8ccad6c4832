from __future__ import annotations

import json
from typing import Any

import pytest

from realtime.wire import server
from realtime.wire.classic import ClassicCodec
from realtime.wire.client import ConversationItemCreate, ConversationItemTruncate, SessionUpdate
from realtime.wire.items import (
    FunctionCall,
    FunctionCallOutput,
    Image,
    InputAudio,
    InputImage,
    InputText,
    Message,
    OutputAudio,
    OutputText,
    Part,
    Text,
)
from realtime.wire.settings import AudioSettings, PcmFormat, PcmuFormat, ServerVad, Settings, merge
from tests.wire.client_frames import EXAMPLES, PNG, Event, user
from tests.wire.server_events import ENDED, HEARD, SAMPLES, tag
from tests.wire.test_beta import NAMES

CODEC = ClassicCodec(16_000)


def created(event: Event) -> ConversationItemCreate:
    decoded = CODEC.decode(json.dumps(event))
    assert isinstance(decoded, ConversationItemCreate)
    return decoded


def parts(*content: Event) -> list[Part]:
    """The parts of a user message, as the core gets them."""
    item = created(user(*content)).item
    assert isinstance(item, Message)
    return item.content


def written(event: server.ServerEvent, answers: str | None = None) -> list[dict[str, Any]]:
    return [json.loads(frame) for frame in CODEC.encode(event, answers)]


def sample(cls: type[server.ServerEvent]) -> server.ServerEvent:
    [event] = [event for event in SAMPLES if type(event) is cls]
    return event


# Client to server


def test_the_examples_mean_what_they_say() -> None:
    items = [created(event).item for event in EXAMPLES if event["type"] == "conversation.item.create"]
    content = [item.content for item in items if isinstance(item, Message)]
    assert content == [[Text("Hello, how are you?")], [InputAudio(audio=b"\0\0\0")], [Image(PNG)]]
    assert [(item.id, item.status) for item in items] == [("msg_1", "completed"), ("msg_2", "completed"), ("msg_3", "completed")]


def test_the_settings_of_the_examples_are_taken() -> None:
    event = CODEC.decode(json.dumps(EXAMPLES[0]))
    assert isinstance(event, SessionUpdate)
    after = merge(Settings(id="s", model="M", expires_at=1, audio=CODEC.audio), event.session)
    assert (after.output_modalities, after.audio.input.turn_detection, after.max_output_tokens) == (("audio",), ServerVad(), 4096)
    assert (after.audio.input.format, after.audio.output.format) == (PcmFormat(16_000), PcmFormat(16_000))


def test_parts_under_their_newer_names_are_taken_too() -> None:
    image = "data:image/jpeg;base64,/9j/"
    assert parts({"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": image}) == [InputText("x"), InputImage(image)]


def test_a_message_keeps_everything_else() -> None:
    event = {"event_id": "evt_1", "previous_item_id": "root", **user({"type": "text", "text": "x"}, id="msg_1", status="incomplete")}
    assert created(event) == ConversationItemCreate(
        item=Message("user", [Text("x")], "msg_1", "incomplete"), previous_item_id="root", event_id="evt_1"
    )


@pytest.mark.parametrize("item", [FunctionCall("f", "{}", "call_1"), FunctionCallOutput("call_1", "{}")])
def test_calls_are_taken_as_they_are(item: FunctionCall | FunctionCallOutput) -> None:
    fields = {"name": "f", "arguments": "{}"} if isinstance(item, FunctionCall) else {"output": "{}"}
    event = {
        "type": "conversation.item.create",
        "event_id": "evt_1",
        "previous_item_id": "i",
        "item": {"type": tag_of(item), "call_id": "call_1", **fields},
    }
    assert created(event) == ConversationItemCreate(item=item, previous_item_id="i", event_id="evt_1")


def tag_of(item: FunctionCall | FunctionCallOutput) -> str:
    return "function_call" if isinstance(item, FunctionCall) else "function_call_output"


@pytest.mark.parametrize(("sent", "meant"), [(0, 0), (1, 0), (2, 2)])
def test_a_truncate_of_the_sound_means_the_one_part_of_the_core(sent: int, meant: int) -> None:
    frame = {"type": "conversation.item.truncate", "event_id": "e", "item_id": "i", "content_index": sent, "audio_end_ms": 9}
    event = ConversationItemTruncate(item_id="i", content_index=meant, audio_end_ms=9, event_id="e")
    assert CODEC.decode(json.dumps(frame)) == event


# What a session begins with


def test_pcm_has_the_configured_rate_and_turns_are_not_listened_for() -> None:
    audio = CODEC.audio
    assert (audio.input.format, audio.output.format, audio.input.turn_detection) == (PcmFormat(16_000), PcmFormat(16_000), None)


def test_the_other_formats_keep_their_rates() -> None:
    event = CODEC.decode('{"type":"session.update","session":{"output_audio_format":"g711_ulaw"}}')
    assert isinstance(event, SessionUpdate)
    assert merge(Settings(id="s", model="M", expires_at=1, audio=CODEC.audio), event.session).audio.output.format == PcmuFormat()


def test_two_codecs_do_not_share_their_rates() -> None:
    assert ClassicCodec(8_000).audio.input.format == PcmFormat(8_000)
    assert (CODEC.audio.input.format, ClassicCodec.audio) == (PcmFormat(16_000), AudioSettings())


# Server to client

SOUND: set[type[server.ServerEvent]] = {server.ResponseContentPartAdded, server.ResponseContentPartDone}
WORDS: dict[type[server.ServerEvent], str] = {
    server.ResponseOutputAudioTranscriptDelta: "response.text.delta",
    server.ResponseOutputAudioTranscriptDone: "response.text.done",
}


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: tag(type(event)))
def test_every_event_goes_out_under_its_classic_names(event: server.ServerEvent) -> None:
    name = NAMES.get(tag(type(event)), tag(type(event)))
    expected = [] if name == "conversation.item.done" or "mcp" in name else [name]
    if type(event) in SOUND | WORDS.keys():
        expected.insert(0, WORDS.get(type(event), name))
    assert [frame["type"] for frame in written(event)] == expected


@pytest.mark.parametrize("cls", [*SOUND, *WORDS])
def test_the_words_have_an_id_of_their_own(cls: type[server.ServerEvent]) -> None:
    event = sample(cls)
    assert [frame["event_id"] for frame in written(event)] == [f"{event.event_id}_text", event.event_id]


def test_the_event_that_answers_says_whom() -> None:
    [frame] = written(server.ResponseDone(event_id="event_9", response=ENDED), "event_5")
    assert frame["event_id"] == "event_5_response"


def test_an_event_that_answers_nobody_keeps_its_id() -> None:
    [frame] = written(server.ResponseDone(event_id="event_9", response=ENDED))
    assert frame["event_id"] == "event_9"


def test_speech_is_its_words_and_then_its_sound() -> None:
    [frame] = written(server.ResponseDone(response=ENDED))
    [item] = frame["response"]["output"]
    assert item["content"] == [{"type": "text", "text": "Hi."}, {"type": "audio", "transcript": "Hi."}]


def test_speech_without_a_transcript_has_no_words() -> None:
    item = Message("assistant", [OutputAudio(None, b"\0\0\0")], "item_1")
    [frame] = written(server.ConversationItemRetrieved(item=item))
    assert frame["item"]["content"] == [{"type": "text", "text": ""}, {"type": "audio", "transcript": None, "audio": "AAAA"}]


def test_a_written_part_beside_a_spoken_one_is_a_text_too() -> None:
    item = Message("assistant", [OutputText("Hi"), OutputAudio("Ho")], "item_1")
    [frame] = written(server.ConversationItemAdded(previous_item_id=None, item=item))
    assert [part["type"] for part in frame["item"]["content"]] == ["text", "text", "audio"]


def test_an_answer_in_writing_is_one_text() -> None:
    item = Message("assistant", [OutputText("Hi")], "item_1")
    [frame] = written(server.ConversationItemAdded(previous_item_id=None, item=item))
    assert frame["item"]["content"] == [{"type": "text", "text": "Hi"}]


def test_what_the_user_said_keeps_its_names() -> None:
    [frame] = written(server.ConversationItemAdded(previous_item_id=None, item=HEARD))
    assert frame["item"]["content"] == [{"type": "input_audio", "transcript": None}]


def test_a_call_is_served_as_it_is() -> None:
    [frame] = written(sample(server.ResponseOutputItemAdded))
    assert frame["item"]["type"] == "function_call"


@pytest.mark.parametrize(("cls", "words"), [(server.ResponseContentPartAdded, ""), (server.ResponseContentPartDone, "Hi.")])
def test_a_spoken_part_opens_and_closes_as_two(cls: type[server.ServerEvent], words: str) -> None:
    text, audio = written(sample(cls))
    assert (text["content_index"], text["part"]) == (0, {"type": "text", "text": words})
    assert (audio["content_index"], audio["part"]) == (1, {"type": "audio", "transcript": words})


@pytest.mark.parametrize(
    ("cls", "key"), [(server.ResponseOutputAudioTranscriptDelta, "delta"), (server.ResponseOutputAudioTranscriptDone, "transcript")]
)
def test_the_words_of_speech_are_also_written(cls: type[server.ServerEvent], key: str) -> None:
    text, audio = written(sample(cls))
    assert (text["content_index"], audio["content_index"]) == (0, 1)
    assert text["delta" if key == "delta" else "text"] == audio[key]


@pytest.mark.parametrize("cls", [server.ResponseOutputAudioDelta, server.ResponseOutputAudioDone, server.ConversationItemTruncated])
def test_the_sound_is_the_second_part(cls: type[server.ServerEvent]) -> None:
    [frame] = written(sample(cls))
    assert frame["content_index"] == 1


@pytest.mark.parametrize("cls", [server.ResponseOutputTextDelta, server.ResponseOutputTextDone, server.TranscriptionCompleted])
def test_writing_and_the_users_speech_stay_in_their_places(cls: type[server.ServerEvent]) -> None:
    [frame] = written(sample(cls))
    assert frame["content_index"] == 0


def test_a_written_part_opens_once() -> None:
    part = server.ResponseContentPartAdded(response_id="r", item_id="i", output_index=0, content_index=0, part=server.TextPart(""))
    assert [(frame["content_index"], frame["part"]["type"]) for frame in written(part)] == [(0, "text")]


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: tag(type(event)))
def test_both_halves_of_an_event_name_the_same_place(event: server.ServerEvent) -> None:
    places = [{name: frame.get(name) for name in ("response_id", "item_id", "output_index")} for frame in written(event)]
    assert all(place == places[0] for place in places)


def test_encoding_leaves_the_event_alone() -> None:
    event = sample(server.ResponseOutputAudioTranscriptDelta)
    written(event, "event_5")
    assert (event.event_id, getattr(event, "content_index", None)) == (f"event_{SAMPLES.index(event)}", 0)
