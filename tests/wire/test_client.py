from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import UNSET

from realtime.errors import ClientError
from realtime.wire import client
from realtime.wire.codec import GaCodec, tags
from realtime.wire.settings import CustomVoice, PcmaFormat, SettingsPatch, TranscriptionSettingsPatch

CODEC = GaCodec()


def read(type: str, **fields: Any) -> Any:
    return CODEC.decode(json.dumps({"type": type, **fields}))


def test_there_is_a_class_for_every_event_of_the_protocol() -> None:
    assert set(tags(client.ClientEvent)) == {
        "session.update",
        "input_audio_buffer.append",
        "input_audio_buffer.commit",
        "input_audio_buffer.clear",
        "input_image_buffer.append",
        "conversation.item.create",
        "conversation.item.retrieve",
        "conversation.item.truncate",
        "conversation.item.delete",
        "response.create",
        "response.cancel",
        "output_audio_buffer.clear",
    }


def test_a_response_asked_for_without_terms_has_none() -> None:
    assert read("response.create") == client.ResponseCreate(None)


def test_empty_terms_leave_everything_to_the_session() -> None:
    terms = read("response.create", response={}).response
    unset = {name for name in terms.__struct_fields__ if getattr(terms, name) is UNSET}
    assert (terms.instructions, terms.conversation, terms.metadata, terms.prompt) == (None, "auto", None, None)
    assert unset == set(terms.__struct_fields__) - {"instructions", "conversation", "metadata", "prompt"}


def test_the_instructions_null_of_livekit_are_those_of_the_session() -> None:
    assert read("response.create", response={"instructions": None}).response.instructions is None


def test_empty_sound_leaves_voice_and_format_to_the_session() -> None:
    output = read("response.create", response={"audio": {"output": {}}}).response.audio.output
    assert (output.voice, output.format) == (UNSET, UNSET)


def test_an_empty_input_is_not_the_same_as_none() -> None:
    assert read("response.create", response={"input": []}).response.input == []


def test_a_voice_comes_by_name_or_by_id() -> None:
    outputs = [{"voice": "ash"}, {"voice": {"id": "v"}, "format": {"type": "audio/pcma"}}]
    named, custom = (read("response.create", response={"audio": {"output": output}}).response.audio.output for output in outputs)
    assert named == client.ResponseAudioOutput(voice="ash")
    assert custom == client.ResponseAudioOutput(voice=CustomVoice("v"), format=PcmaFormat())


@pytest.mark.parametrize("place", [{}, {"previous_item_id": None}])
def test_an_item_goes_to_the_end_unless_told(place: dict[str, Any]) -> None:
    item = {"type": "function_call_output", "call_id": "c", "output": ""}
    assert read("conversation.item.create", item=item, **place).previous_item_id is None


@pytest.mark.parametrize("place", ["", "root", "item_1"])
def test_the_place_of_an_item_is_left_to_the_session(place: str) -> None:
    item = {"type": "function_call_output", "call_id": "c", "output": ""}
    assert read("conversation.item.create", item=item, previous_item_id=place).previous_item_id == place


def test_a_cancel_without_an_id_means_the_default_conversation() -> None:
    assert read("response.cancel").response_id is None


@pytest.mark.parametrize(("type", "cls"), [("realtime", SettingsPatch), ("transcription", TranscriptionSettingsPatch)])
def test_an_update_is_read_by_its_session_type(type: str, cls: Any) -> None:
    assert isinstance(read("session.update", session={"type": type}).session, cls)


@pytest.mark.parametrize("metadata", [{"k" * 64: "v" * 512}, {str(key): "" for key in range(16)}])
def test_metadata_may_fill_its_limits(metadata: dict[str, str]) -> None:
    assert read("response.create", response={"metadata": metadata}).response.metadata == metadata


@pytest.mark.parametrize("terms", [{"max_output_tokens": 1}, {"max_output_tokens": 4096}, {"temperature": 0}, {"temperature": 2}])
def test_the_bounds_themselves_are_taken(terms: dict[str, Any]) -> None:
    [(name, value)] = terms.items()
    assert getattr(read("response.create", response=terms).response, name) == value


def test_a_tool_choice_names_one_function() -> None:
    choice = {"type": "function", "name": "f"}
    assert read("response.create", response={"tool_choice": choice}).response.tool_choice.name == "f"


def test_audio_must_be_whole_base64() -> None:
    with pytest.raises(ClientError, match="base64"):
        read("input_audio_buffer.append", audio="AAA")


def test_a_truncate_may_leave_nothing() -> None:
    event = read("conversation.item.truncate", item_id="i", content_index=0, audio_end_ms=0)
    assert (event.content_index, event.audio_end_ms) == (0, 0)
