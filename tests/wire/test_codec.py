from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest

from realtime.errors import ClientError
from realtime.wire.beta import BetaCodec
from realtime.wire.classic import ClassicCodec
from realtime.wire.client import ClientEventBase, InputAudioBufferAppend
from realtime.wire.codec import MAX_QUOTED, Codec, GaCodec, client_error, encode_json
from realtime.wire.items import MAX_AUDIO, MAX_ID, MAX_NESTING, MAX_PARTS, MAX_TEXT
from realtime.wire.server import ConversationCreated, ServerEvent
from realtime.wire.settings import MAX_INCLUDE, MAX_TOOLS
from tests.wire.client_frames import BETA, CLASSIC, FIRST, GA, PCM, Event, user
from tests.wire.server_events import SAMPLES, tag
from tests.wire.spoiled_frames import EVIL, spoiled

CODECS: dict[str, Codec] = {"ga": GaCodec(), "beta": BetaCodec(), "classic": ClassicCodec(16_000)}
FRAMES = {"ga": GA, "beta": BETA, "classic": CLASSIC}

ALIKE = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS.keys())
"""For what every dialect does in the same way."""


def refusal(frame: str | bytes | Event, codec: Codec = CODECS["ga"]) -> ClientError:
    with pytest.raises(ClientError) as caught:
        codec.decode(json.dumps(frame) if isinstance(frame, dict) else frame)
    return caught.value


def update(**session: Any) -> Event:
    return {"type": "session.update", "event_id": "evt_1", "session": {"type": "realtime", **session}}


def create(**response: Any) -> Event:
    return {"type": "response.create", "event_id": "evt_1", "response": response}


# What decodes


@pytest.mark.parametrize(("dialect", "event"), [(dialect, event) for dialect, events in FRAMES.items() for event in events])
def test_every_client_event_decodes_in_its_dialect(dialect: str, event: Event) -> None:
    decoded = CODECS[dialect].decode(json.dumps(event))
    name = event["type"].replace("transcription_session", "session")  # beta's own word for the same
    assert (tag(type(decoded)), decoded.event_id) == (name, event.get("event_id"))


def test_the_frames_show_every_client_event() -> None:
    shown = {event["type"] for event in GA}
    assert shown == {cls.__struct_config__.tag for cls in ClientEventBase.__subclasses__() if cls.__module__ == "realtime.wire.client"}


@pytest.mark.parametrize("client", FIRST)
def test_what_real_clients_send_first_decodes(client: str) -> None:
    dialect, events = FIRST[client]
    decoded = [CODECS[dialect].decode(json.dumps(event)) for event in events]
    assert [tag(type(each)) for each in decoded] == [event["type"] for event in events]


@ALIKE
def test_audio_arrives_as_bytes(codec: Codec) -> None:
    event = codec.decode('{"type":"input_audio_buffer.append","audio":"AAEC"}')
    assert getattr(event, "audio", None) == b"\x00\x01\x02"


# What is refused whatever the dialect


@ALIKE
def test_a_large_text_may_come_as_its_bytes(codec: Codec) -> None:
    event = {"type": "input_audio_buffer.append", "event_id": "é", "audio": "AAAA"}
    assert codec.decode(memoryview(json.dumps(event, ensure_ascii=False).encode())) == codec.decode(json.dumps(event))
    with pytest.raises(ClientError) as caught:
        codec.decode(memoryview(b'{"type": "nope", "event_id": "e1"}'))
    assert (caught.value.code, caught.value.event_id) == ("invalid_value", "e1")
    with pytest.raises(ClientError) as caught:
        codec.decode(memoryview(b'{"type": "nope", "event_id": "\xff"}'))
    assert caught.value.code == "invalid_json"


@ALIKE
def test_a_binary_frame_is_an_invalid_event(codec: Codec) -> None:
    error = refusal(b'{"type":"response.cancel"}', codec)
    assert (error.code, error.param, error.event_id) == ("invalid_event", None, None)
    assert error.message == "Expected a text WebSocket message; binary frames are not supported."


NOT_JSON = ["", "{", "hello", '{"type":"response.cancel"} x', '{"type":"nope"', '{"type":"\ud800"}', '{"a":' + "[" * 5000]


@ALIKE
@pytest.mark.parametrize("frame", NOT_JSON)
def test_what_is_not_json_is_named_so(codec: Codec, frame: str) -> None:
    error = refusal(frame, codec)
    assert (error.code, error.param, error.event_id) == ("invalid_json", None, None)
    assert error.message.startswith("Invalid event: failed to parse JSON value. ")


@ALIKE
@pytest.mark.parametrize("frame", ["[]", "1", "null", '"response.cancel"'])
def test_json_that_is_no_object_is_an_invalid_event(codec: Codec, frame: str) -> None:
    error = refusal(frame, codec)
    assert (error.code, error.param) == ("invalid_event", None)
    assert error.message.startswith("Invalid event: Expected `object`, got ")


@ALIKE
def test_an_event_id_out_of_the_range_of_numbers_is_an_invalid_event(codec: Codec) -> None:
    error = refusal('{"type":"response.cancel","event_id":1e999}', codec)
    assert (error.code, error.event_id) == ("invalid_event", None)
    assert "Number out of range - at `$.event_id`" in error.message


@ALIKE
def test_a_missing_type_is_an_invalid_event(codec: Codec) -> None:
    error = refusal({"event_id": "evt_1"}, codec)
    assert (error.code, error.param, error.event_id) == ("invalid_event", "type", "evt_1")
    assert error.message == "The 'type' field is missing."


@pytest.mark.parametrize("dialect", CODECS)
def test_an_unknown_type_is_told_which_there_are(dialect: str) -> None:
    error = refusal({"type": "nope", "event_id": "evt_1"}, CODECS[dialect])
    assert (error.code, error.param, error.event_id) == ("invalid_value", "type", "evt_1")
    start, _, supported = error.message.partition(" Supported values are: ")
    assert start == "Invalid value: 'nope'."
    assert set(supported.rstrip(".").split(", ")) == {f"'{event['type']}'" for event in FRAMES[dialect]}


@ALIKE
@pytest.mark.parametrize("type", [5, None, [], {"a": 1}, True])
def test_a_type_that_is_no_string_is_told_which_there_are(codec: Codec, type: Any) -> None:
    error = refusal({"type": type, "event_id": "evt_1"}, codec)
    assert (error.code, error.param, error.event_id) == ("invalid_value", "type", "evt_1")
    assert "Supported values are: 'input_audio_buffer.append'" in error.message


def test_nesting_of_any_depth_is_refused_in_order() -> None:
    codes = {refusal('{"type":' + "[" * depth + "]" * depth + "}").code for depth in range(500, 1100)}
    assert codes == {"invalid_json", "invalid_value"}


@ALIKE
def test_the_event_id_is_echoed_up_to_its_limit(codec: Codec) -> None:
    assert refusal({"type": "response.cancel", "x": 1, "event_id": "e" * MAX_ID}, codec).event_id == "e" * MAX_ID


@ALIKE
def test_an_event_id_over_its_limit_is_refused_and_not_echoed(codec: Codec) -> None:
    error = refusal({"type": "response.cancel", "event_id": "e" * (MAX_ID + 1)}, codec)
    assert (error.code, error.param, error.event_id) == ("string_above_max_length", "event_id", None)


@ALIKE
def test_an_event_id_of_another_type_is_refused_and_not_echoed(codec: Codec) -> None:
    error = refusal({"type": "response.cancel", "event_id": 5}, codec)
    assert (error.code, error.param, error.event_id) == ("invalid_type", "event_id", None)


def truncate(**fields: Any) -> Event:
    return {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": 0, "event_id": "evt_1", **fields}


def call(**fields: Any) -> Event:
    return {"type": "conversation.item.create", "item": {"type": "function_call", "name": "f", "arguments": "{}", **fields}}


LONG_NAME = "i" * (MAX_ID + 1)


def with_id(event: Event) -> Event:
    return {**event, "event_id": "evt_1"}


@ALIKE
@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        ({"type": "session.update"}, "missing_required_parameter", "session"),
        ({"type": "input_audio_buffer.append"}, "missing_required_parameter", "audio"),
        ({"type": "input_audio_buffer.append", "audio": "@@@@"}, "invalid_value", "audio"),
        ({"type": "input_audio_buffer.append", "audio": "A"}, "invalid_value", "audio"),
        ({"type": "input_audio_buffer.append", "audio": 5}, "invalid_type", "audio"),
        ({"type": "input_audio_buffer.commit", "extra": 1}, "unknown_parameter", "extra"),
        ({"type": "conversation.item.delete", "item_id": ""}, "string_below_min_length", "item_id"),
        ({"type": "conversation.item.delete", "item_id": "i" * (MAX_ID + 1)}, "string_above_max_length", "item_id"),
        ({"type": "conversation.item.create", "item": None}, "invalid_type", "item"),
        ({"type": "conversation.item.create", "item": {"role": "user"}}, "missing_required_parameter", "item.type"),
        ({"type": "conversation.item.create", "item": {"type": "hologram"}}, "invalid_value", "item.type"),
        (user(role="robot"), "invalid_value", "item.role"),
        (user(status="done"), "invalid_value", "item.status"),
        (user(mood="fine"), "unknown_parameter", "item.mood"),
        (user({"type": "hologram"}), "invalid_value", "item.content[0].type"),
        (user({"text": "x"}), "missing_required_parameter", "item.content[0].type"),
        (user({"type": "input_text"}), "missing_required_parameter", "item.content[0].text"),
        (user({"type": "input_text", "text": "x" * (MAX_TEXT + 1)}), "string_above_max_length", "item.content[0].text"),
        (user({"type": "input_text", "text": "x"}, {"type": "input_audio", "audio": "?"}), "invalid_value", "item.content[1].audio"),
        (user({"type": "input_audio", "transcript": "x" * (MAX_TEXT + 1)}), "string_above_max_length", "item.content[0].transcript"),
        (user(*[{"type": "input_text", "text": ""}] * (MAX_PARTS + 1)), "array_above_max_length", "item.content"),
        ({**user(), "previous_item_id": LONG_NAME}, "string_above_max_length", "previous_item_id"),
        (call(name=LONG_NAME), "string_above_max_length", "item.name"),
        (call(arguments="x" * (MAX_TEXT + 1)), "string_above_max_length", "item.arguments"),
        (create(instructions="x" * (MAX_TEXT + 1)), "string_above_max_length", "response.instructions"),
        (create(tools=[{"type": "function", "name": "f"}] * (MAX_TOOLS + 1)), "array_above_max_length", "response.tools"),
        (create(tools=[{"type": "function", "name": LONG_NAME}]), "string_above_max_length", "response.tools[0].name"),
        (create(tool_choice={"type": "function", "name": LONG_NAME}), "string_above_max_length", "response.tool_choice.name"),
        (truncate(content_index=-1), "integer_below_min_value", "content_index"),
        (truncate(audio_end_ms=1.5), "invalid_type", "audio_end_ms"),
        (create(temperature=2.5), "decimal_above_max_value", "response.temperature"),
        (create(conversation="new"), "invalid_value", "response.conversation"),
        (create(max_output_tokens=0), "integer_below_min_value", "response.max_output_tokens"),
        (create(max_output_tokens=4097), "integer_above_max_value", "response.max_output_tokens"),
        (create(max_output_tokens="some"), "invalid_value", "response.max_output_tokens"),
        (create(tools=[{"type": "function"}]), "missing_required_parameter", "response.tools[0].name"),
        (create(tools=[{"type": "web_search"}]), "invalid_value", "response.tools[0].type"),
        (create(input=[{"type": "item_reference"}]), "missing_required_parameter", "response.input[0].id"),
        (create(metadata={"k": 1}), "invalid_type", "response.metadata[...]"),
        (create(metadata={"k" * 65: ""}), "string_above_max_length", "response.metadata"),
        (create(metadata={"k": "v" * 513}), "string_above_max_length", "response.metadata[...]"),
        (create(metadata={str(key): "" for key in range(17)}), "object_above_max_length", "response.metadata"),
    ],
)
def test_the_field_at_fault_is_named(codec: Codec, event: Event, code: str, param: str) -> None:
    error = refusal(with_id(event), codec)
    assert (error.code, error.param, error.event_id) == (code, param, "evt_1")


# GA alone

VAD = {"type": "server_vad"}


@pytest.mark.parametrize(
    ("session", "code", "param"),
    [
        ({"bogus_field": 1}, "unknown_parameter", "session.bogus_field"),
        ({"type": "other"}, "invalid_value", "session.type"),
        ({"type": "transcription", "tools": []}, "unknown_parameter", "session.tools"),
        ({"output_modalities": ["video"]}, "invalid_value", "session.output_modalities[0]"),
        ({"tool_choice": "sometimes"}, "invalid_value", "session.tool_choice"),
        ({"reasoning": {"effort": "much"}}, "invalid_value", "session.reasoning.effort"),
        ({"audio": {"input": {"format": {**PCM, "rate": 8000}}}}, "integer_below_min_value", "session.audio.input.format.rate"),
        ({"audio": {"output": {"format": {**PCM, "rate": 48000}}}}, "integer_above_max_value", "session.audio.output.format.rate"),
        ({"audio": {"input": {"format": {"type": "audio/flac"}}}}, "invalid_value", "session.audio.input.format.type"),
        ({"audio": {"input": {"turn_detection": {}}}}, "missing_required_parameter", "session.audio.input.turn_detection.type"),
        (
            {"audio": {"input": {"turn_detection": {**VAD, "threshold": -1}}}},
            "decimal_below_min_value",
            "session.audio.input.turn_detection.threshold",
        ),
        (
            {"audio": {"input": {"turn_detection": {**VAD, "silence_duration_ms": 60_001}}}},
            "integer_above_max_value",
            "session.audio.input.turn_detection.silence_duration_ms",
        ),
        (
            {"audio": {"input": {"turn_detection": {**VAD, "idle_timeout_ms": 4_999}}}},
            "integer_below_min_value",
            "session.audio.input.turn_detection.idle_timeout_ms",
        ),
        ({"audio": {"output": {"speed": 1.6}}}, "decimal_above_max_value", "session.audio.output.speed"),
        ({"audio": {"output": {"voice": {"name": "x"}}}}, "unknown_parameter", "session.audio.output.voice.name"),
        ({"audio": {"output": {"voice": LONG_NAME}}}, "string_above_max_length", "session.audio.output.voice"),
        ({"audio": {"output": {"voice": {"id": LONG_NAME}}}}, "string_above_max_length", "session.audio.output.voice.id"),
        (
            {"audio": {"input": {"transcription": {"model": LONG_NAME}}}},
            "string_above_max_length",
            "session.audio.input.transcription.model",
        ),
        (
            {"audio": {"input": {"transcription": {"language": LONG_NAME}}}},
            "string_above_max_length",
            "session.audio.input.transcription.language",
        ),
        (
            {"audio": {"input": {"transcription": {"prompt": "x" * (MAX_TEXT + 1)}}}},
            "string_above_max_length",
            "session.audio.input.transcription.prompt",
        ),
        ({"instructions": "x" * (MAX_TEXT + 1)}, "string_above_max_length", "session.instructions"),
        ({"tools": [{"type": "function", "name": "f"}] * (MAX_TOOLS + 1)}, "array_above_max_length", "session.tools"),
        ({"include": ["item.input_audio_transcription.logprobs"] * (MAX_INCLUDE + 1)}, "array_above_max_length", "session.include"),
    ],
)
def test_the_setting_at_fault_is_named(session: Event, code: str, param: str) -> None:
    error = refusal(update(**session))
    assert (error.code, error.param, error.event_id) == (code, param, "evt_1")


def test_a_ga_update_without_session_type_misses_it() -> None:
    error = refusal({"type": "session.update", "session": {"instructions": "x"}})
    assert (error.code, error.param) == ("missing_required_parameter", "session.type")
    assert error.message == "Missing required parameter: 'session.type'."


def test_an_unknown_key_is_told_by_name() -> None:
    assert refusal(update(bogus_field=1)).message == "Unknown parameter: 'session.bogus_field'."


def test_a_value_out_of_bounds_is_told_the_bound() -> None:
    error = refusal(update(audio={"input": {"format": {**PCM, "rate": 16000}}}))
    assert error.message == "Invalid 'session.audio.input.format.rate'. Expected a value >= 24000."


def test_a_length_out_of_bounds_is_told_the_bound() -> None:
    assert refusal({"type": "conversation.item.retrieve", "item_id": ""}).message == "Invalid 'item_id'. Expected a length >= 1."


def test_a_wrong_type_is_told_the_right_one() -> None:
    assert refusal(update(tracing=5)).message == "Invalid type for 'session.tracing': expected str | object | null, got int."


def test_a_key_that_looks_like_a_place_is_named_whole() -> None:
    error = refusal(update(**{EVIL: 1}))
    assert (error.code, error.param) == ("unknown_parameter", f"session.{EVIL}")


def test_a_key_at_the_top_that_looks_like_a_place_is_named_whole() -> None:
    error = refusal({"type": "response.cancel", EVIL: 1})
    assert (error.code, error.param) == ("unknown_parameter", EVIL)


def test_a_value_that_looks_like_a_place_is_shown_whole() -> None:
    error = refusal(update(tool_choice=EVIL))
    assert (error.param, error.message) == ("session.tool_choice", f"Invalid value: '{EVIL}'.")


def test_a_reason_without_bound_or_mismatch_is_passed_on() -> None:
    error = client_error("Invalid base64 encoded string - at `$.audio`")
    assert (error.code, error.param, error.message) == ("invalid_value", "audio", "Invalid 'audio': Invalid base64 encoded string.")


def test_a_reason_without_a_place_names_the_field_itself() -> None:
    assert client_error("Object contains unknown field `x`").param == "x"


# Anything at all


def outcome(frame: str, codec: Codec) -> ClientError | None:
    """The refusal of a frame; None where it was taken."""
    try:
        codec.decode(frame)
    except ClientError as error:
        return error
    return None


@pytest.mark.parametrize("dialect", CODECS)
def test_nothing_but_a_client_error_comes_of_spoiled_frames(dialect: str) -> None:
    dice = random.Random(20_261_122)
    outcomes = [outcome(spoiled(dice.choice(FRAMES[dialect]), dice), CODECS[dialect]) for _ in range(1500)]
    refusals = [error for error in outcomes if error is not None]
    assert all(error.code and error.message for error in refusals)
    assert len(refusals) > 750


# GA frames


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: tag(type(event)))
def test_a_ga_frame_is_the_event_itself(event: ServerEvent) -> None:
    expected = [] if isinstance(event, ConversationCreated) else [encode_json(event)]
    assert CODECS["ga"].encode(event, "evt_1") == expected


def test_ga_listens_for_turns_from_the_start() -> None:
    assert CODECS["ga"].audio.input.turn_detection is not None


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


@pytest.mark.parametrize("codec", [GaCodec(), BetaCodec()], ids=["ga", "beta"])
@pytest.mark.parametrize(
    ("field", "param"),
    [('"tools":[{"type":"function","name":"f","parameters":%s}]', "session.tools[0]"), ('"tracing":%s', "session")],
)
def test_json_that_is_served_back_may_be_nested_so_deep_and_no_deeper(codec: Codec, field: str, param: str) -> None:
    type = '"type":"realtime",' if isinstance(codec, GaCodec) else ""
    frame = '{"type":"session.update","session":{' + type + field + "}}"
    codec.decode(frame % nested(MAX_NESTING - 1))
    with pytest.raises(ClientError, match="64 levels") as refused:
        codec.decode(frame % nested(MAX_NESTING))
    assert (refused.value.code, refused.value.param) == ("invalid_value", param)


def test_a_clients_own_words_are_repeated_only_so_far() -> None:
    with pytest.raises(ClientError) as refused:
        GaCodec().decode('{"type":"input_audio_buffer.clear","%s":1}' % ("k" * 100_000))
    assert refused.value.param == "k" * MAX_QUOTED


@ALIKE
def test_an_event_holds_so_much_audio_and_no_more(codec: Codec) -> None:
    def frame(size: int) -> str:
        return json.dumps({"type": "input_audio_buffer.append", "event_id": "e", "audio": base64.b64encode(bytes(size)).decode()})

    event = codec.decode(frame(MAX_AUDIO))
    assert isinstance(event, InputAudioBufferAppend)
    assert len(event.audio) == MAX_AUDIO
    error = refusal(frame(MAX_AUDIO + 1), codec)
    assert (error.code, error.param, error.event_id) == ("string_above_max_length", "audio", "e")
