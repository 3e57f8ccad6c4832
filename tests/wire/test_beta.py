from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from realtime.errors import ClientError
from realtime.wire import server
from realtime.wire.beta import BetaCodec
from realtime.wire.client import ResponseAudio, ResponseAudioOutput, ResponseParams, SessionUpdate
from realtime.wire.items import MAX_ID, MAX_TEXT, InputText, Message, OutputAudio, OutputText, Text
from realtime.wire.settings import (
    MAX_INCLUDE,
    MAX_TOOLS,
    AudioInput,
    AudioOutput,
    AudioSettings,
    CustomVoice,
    NoiseReduction,
    PcmaFormat,
    PcmFormat,
    PcmuFormat,
    SemanticVad,
    ServerVad,
    Settings,
    SettingsPatch,
    Transcription,
    TranscriptionSettings,
    TranscriptionSettingsPatch,
    merge,
)
from tests.wire.server_events import BEGUN, CALLED, ENDED, MCP_SAMPLES, SAMPLES, SERVED, SETTINGS, SPOKEN, TUNED, tag

CODEC = BetaCodec()

NAMES = {
    "conversation.item.added": "conversation.item.created",
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
}
"""PROTOCOL 4: what beta calls otherwise."""


def updated(settings: Settings = SETTINGS, **session: Any) -> Settings:
    """The settings after a beta update."""
    event = CODEC.decode(json.dumps({"type": "session.update", "session": session}))
    assert isinstance(event, SessionUpdate)
    assert isinstance(event.session, SettingsPatch)
    return merge(settings, event.session)


def terms(**response: Any) -> ResponseParams:
    event = CODEC.decode(json.dumps({"type": "response.create", "response": response}))
    params = getattr(event, "response", None)
    assert isinstance(params, ResponseParams)
    return params


def written(event: server.ServerEvent) -> dict[str, Any]:
    [frame] = CODEC.encode(event)
    served: dict[str, Any] = json.loads(frame)
    return served


def shown(settings: Settings) -> dict[str, Any]:
    """The session object that beta serves."""
    session: dict[str, Any] = written(server.SessionUpdated(session=settings))["session"]
    return session


# Client to server


def test_the_flat_session_becomes_a_nested_one() -> None:
    after = updated(
        modalities=["text"],
        instructions="Be brief.",
        voice="sage",
        input_audio_format="g711_ulaw",
        output_audio_format="g711_alaw",
        input_audio_transcription={"model": "whisper-1", "language": "en"},
        turn_detection={"type": "semantic_vad", "eagerness": "high"},
        input_audio_noise_reduction={"type": "far_field"},
        tool_choice="none",
        temperature=0.6,
        max_response_output_tokens=100,
        speed=1.25,
        tracing="auto",
        truncation="disabled",
    )
    audio = AudioSettings(
        AudioInput(PcmuFormat(), Transcription("whisper-1", "en"), NoiseReduction("far_field"), SemanticVad("high")),
        AudioOutput(PcmaFormat(), "sage", 1.25),
    )
    assert after == replace(
        SETTINGS,
        output_modalities=("text",),
        instructions="Be brief.",
        tool_choice="none",
        temperature=0.6,
        max_output_tokens=100,
        tracing="auto",
        truncation="disabled",
        audio=audio,
    )


@pytest.mark.parametrize("session", [{}, {"client_secret": {"value": "ek_1"}}])
def test_what_is_not_named_stays(session: dict[str, Any]) -> None:
    assert updated(TUNED, **session) == TUNED


def test_null_clears_turns_and_transcripts() -> None:
    heard = updated(updated(input_audio_transcription={}), turn_detection=None, input_audio_transcription=None).audio.input
    assert (heard.turn_detection, heard.transcription) == (None, None)


@pytest.mark.parametrize(("modalities", "output"), [(["text"], "text"), (["audio", "text"], "audio"), (["text", "audio"], "audio")])
def test_two_modalities_are_speech(modalities: list[str], output: str) -> None:
    assert updated(modalities=modalities).output_modalities == (output,)
    assert terms(modalities=modalities).output_modalities == (output,)


@pytest.mark.parametrize(("codec", "rate"), [(BetaCodec(), 24_000), (BetaCodec(16_000), 16_000)])
def test_pcm16_has_the_rate_of_the_codec(codec: BetaCodec, rate: int) -> None:
    event = codec.decode('{"type":"session.update","session":{"input_audio_format":"pcm16","output_audio_format":"pcm16"}}')
    assert isinstance(event, SessionUpdate)
    audio = merge(SETTINGS, event.session).audio
    assert (audio.input.format, audio.output.format) == (PcmFormat(rate), PcmFormat(rate))


def test_the_terms_of_a_response_become_nested() -> None:
    params = terms(
        modalities=["text"], voice={"id": "v"}, output_audio_format="g711_ulaw", temperature=1, metadata={"k": "v"}, instructions="x"
    )
    assert (params.output_modalities, params.temperature, params.metadata, params.instructions) == (("text",), 1, {"k": "v"}, "x")
    assert params.audio is not UNSET
    assert params.audio.output is not UNSET
    assert (params.audio.output.voice, params.audio.output.format) == (CustomVoice("v"), PcmuFormat())


def test_terms_that_are_not_named_are_those_of_the_session() -> None:
    params = terms()
    named = {name: value for name in params.__struct_fields__ if (value := getattr(params, name)) is not UNSET}
    audio = ResponseAudio(output=ResponseAudioOutput())
    assert named == {"instructions": None, "conversation": "auto", "metadata": None, "prompt": None, "audio": audio}


@pytest.mark.parametrize("name", ["max_output_tokens", "max_response_output_tokens"])
def test_both_names_of_the_limit_are_understood(name: str) -> None:
    assert terms(**{name: 7}).max_output_tokens == 7


@pytest.mark.parametrize(
    ("session", "code", "param"),
    [
        ({"type": "realtime"}, "unknown_parameter", "session.type"),
        ({"audio": {}}, "unknown_parameter", "session.audio"),
        ({"modalities": ["smell"]}, "invalid_value", "session.modalities[0]"),
        ({"input_audio_format": "mp3"}, "invalid_value", "session.input_audio_format"),
        ({"temperature": 2.1}, "decimal_above_max_value", "session.temperature"),
        ({"instructions": "x" * (MAX_TEXT + 1)}, "string_above_max_length", "session.instructions"),
        ({"voice": "x" * (MAX_ID + 1)}, "string_above_max_length", "session.voice"),
        ({"tools": [{"type": "function", "name": "f"}] * (MAX_TOOLS + 1)}, "array_above_max_length", "session.tools"),
        ({"include": ["item.input_audio_transcription.logprobs"] * (MAX_INCLUDE + 1)}, "array_above_max_length", "session.include"),
        ({"turn_detection": {"type": "server_vad", "threshold": 2}}, "decimal_above_max_value", "session.turn_detection.threshold"),
    ],
)
def test_the_setting_at_fault_is_named_as_beta_names_it(session: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(ClientError) as caught:
        CODEC.decode(json.dumps({"type": "session.update", "event_id": "evt_1", "session": session}))
    assert (caught.value.code, caught.value.param, caught.value.event_id) == (code, param, "evt_1")


def test_the_flat_transcription_session_becomes_a_nested_one() -> None:
    session = {"input_audio_format": "g711_alaw", "input_audio_transcription": {"language": "de"}, "turn_detection": None, "include": None}
    event = CODEC.decode(json.dumps({"type": "transcription_session.update", "event_id": "evt_1", "session": session}))
    assert isinstance(event, SessionUpdate)
    assert isinstance(event.session, TranscriptionSettingsPatch)
    assert event.event_id == "evt_1"
    after = merge(TranscriptionSettings(id="sess_A", expires_at=0, include=("item.input_audio_transcription.logprobs",)), event.session)
    assert after.audio.input == AudioInput(PcmaFormat(), Transcription(language="de"), turn_detection=None)
    assert after.include is None


# Server to client


@pytest.mark.parametrize("event", [server.SessionCreated, server.SessionUpdated])
def test_a_transcription_session_has_events_and_an_object_of_its_own(event: Any) -> None:
    told = written(event(session=TranscriptionSettings(id="sess_A", expires_at=9)))
    assert told["type"] == f"transcription_{tag(event)}"
    assert told["session"] == {
        "id": "sess_A",
        "object": "realtime.transcription_session",
        "expires_at": 9,
        "modalities": ["audio", "text"],
        "input_audio_format": "pcm16",
        "input_audio_transcription": {"model": "whisper-1", "language": None, "prompt": None},
        "turn_detection": shown(SETTINGS)["turn_detection"],
        "input_audio_noise_reduction": None,
        "include": None,
        "client_secret": None,
    }


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: tag(type(event)))
def test_every_event_goes_out_under_its_beta_name_or_not_at_all(event: server.ServerEvent) -> None:
    frames = [json.loads(frame) for frame in CODEC.encode(event)]
    name = NAMES.get(tag(type(event)), tag(type(event)))
    expected = [] if name == "conversation.item.done" or "mcp" in name else [["type", name], ["event_id", event.event_id]]
    assert [list(pair) for frame in frames for pair in list(frame.items())[:2]] == expected


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("response.")])
def test_a_renamed_event_keeps_everything_but_its_type(name: str) -> None:
    [event] = [event for event in SAMPLES if tag(type(event)) == name]
    fields = {field: getattr(event, field) for field in event.__struct_fields__}
    if isinstance(event, server.ResponseOutputAudioDelta):
        fields["delta"] = "AAAA"
    assert written(event) == {"type": NAMES[name], **fields}


def test_the_session_is_served_flat_down_to_the_order_of_keys() -> None:
    frame = {
        "type": "session.created",
        "event_id": "event_A",
        "session": {
            "id": "sess_A",
            "object": "realtime.session",
            "model": "M",
            "modalities": ["audio", "text"],
            "instructions": "...",
            "voice": "alloy",
            "input_audio_format": "pcm16",
            "output_audio_format": "pcm16",
            "input_audio_transcription": None,
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.5,
                "prefix_padding_ms": 300,
                "silence_duration_ms": 200,
                "create_response": True,
                "interrupt_response": True,
            },
            "input_audio_noise_reduction": None,
            "tools": [],
            "tool_choice": "auto",
            "temperature": 0.8,
            "max_response_output_tokens": "inf",
            "speed": 1.0,
            "tracing": None,
            "prompt": None,
            "expires_at": 1790000000,
            "include": None,
        },
    }
    assert json.dumps(written(server.SessionCreated(event_id="event_A", session=SETTINGS))) == json.dumps(frame)


def test_the_session_shows_what_was_set() -> None:
    session: dict[str, Any] = {
        "modalities": ["text"],
        "voice": "sage",
        "input_audio_format": "g711_ulaw",
        "output_audio_format": "g711_alaw",
        "input_audio_transcription": {"model": "whisper-1", "language": "en", "prompt": None},
        "turn_detection": {"type": "semantic_vad", "eagerness": "low", "create_response": False, "interrupt_response": True},
        "input_audio_noise_reduction": {"type": "near_field"},
        "temperature": 1.2,
        "max_response_output_tokens": 100,
        "speed": 0.5,
    }
    served = shown(updated(**session))
    assert {name: served[name] for name in session} == session


def test_turn_detection_that_is_off_is_shown_as_null() -> None:
    assert shown(updated(turn_detection=None))["turn_detection"] is None


def test_the_idle_timeout_is_shown_to_those_who_set_it() -> None:
    heard = replace(SETTINGS.audio.input, turn_detection=ServerVad(idle_timeout_ms=6000))
    settings = replace(SETTINGS, audio=replace(SETTINGS.audio, input=heard))
    assert shown(settings)["turn_detection"]["idle_timeout_ms"] == 6000


RESPONSE = [
    "object",
    "id",
    "status",
    "status_details",
    "output",
    "conversation_id",
    "modalities",
    "voice",
    "output_audio_format",
    "temperature",
    "max_output_tokens",
    "usage",
    "metadata",
]


def test_a_response_is_served_flat() -> None:
    response = written(server.ResponseCreated(response=BEGUN))["response"]
    assert list(response) == RESPONSE
    assert [response[name] for name in RESPONSE[6:11]] == [["audio", "text"], "alloy", "pcm16", 0.8, "inf"]


def test_a_finished_response_has_its_parts_under_their_beta_names() -> None:
    response = written(server.ResponseDone(response=ENDED))["response"]
    assert [item["content"] for item in response["output"]] == [[{"type": "audio", "transcript": "Hi."}]]
    assert (response["status"], response["usage"]["total_tokens"]) == ("completed", 3)


def test_the_temperature_of_a_response_is_the_one_it_was_given() -> None:
    assert written(server.ResponseCreated(response=replace(BEGUN, temperature=0.3)))["response"]["temperature"] == 0.3


def test_what_the_model_said_goes_by_its_beta_names() -> None:
    item = Message("assistant", [OutputText("Hi"), OutputAudio("Ho", b"\0\0\0"), Text("Hum")], "item_1")
    served = written(server.ConversationItemAdded(previous_item_id="item_0", item=item))
    assert served["previous_item_id"] == "item_0"
    assert served["item"]["content"] == [
        {"type": "text", "text": "Hi"},
        {"type": "audio", "transcript": "Ho", "audio": "AAAA"},
        {"type": "text", "text": "Hum"},
    ]


def test_what_the_user_said_keeps_its_names() -> None:
    item = Message("user", [InputText("Hi")], "item_1")
    assert written(server.ConversationItemRetrieved(item=item))["item"]["content"] == [{"type": "input_text", "text": "Hi"}]


def test_translating_leaves_the_item_alone() -> None:
    item = Message("assistant", [OutputText("Hi")], "item_1")
    written(server.ResponseOutputItemDone(response_id="r", output_index=0, item=item))
    assert item.content == [OutputText("Hi")]


@pytest.mark.parametrize(
    ("param", "beta"),
    [
        ("session.output_modalities", "session.modalities"),
        ("session.max_output_tokens", "session.max_response_output_tokens"),
        ("session.audio.input.format", "session.input_audio_format"),
        ("session.audio.input.transcription.model", "session.input_audio_transcription.model"),
        ("session.audio.input.turn_detection", "session.turn_detection"),
        ("session.audio.output.format", "session.output_audio_format"),
        ("session.audio.output.voice", "session.voice"),
        ("response.output_modalities", "response.modalities"),
        ("response.audio.output.format", "response.output_audio_format"),
        ("response.audio.output.voice", "response.voice"),
        ("session.output_modalities_of_old", "session.output_modalities_of_old"),
        ("item.id", "item.id"),
        (None, None),
    ],
)
def test_an_error_of_the_session_names_the_field_as_beta_does(param: str | None, beta: str | None) -> None:
    event = server.Error(error=server.ErrorDetail(code="x", message="No.", param=param, event_id="evt_1"))
    assert written(event)["error"] == {"type": "invalid_request_error", "code": "x", "message": "No.", "param": beta, "event_id": "evt_1"}


def test_who_asked_makes_no_difference() -> None:
    assert CODEC.encode(SAMPLES[0], "evt_1") == CODEC.encode(SAMPLES[0])


def test_beta_listens_for_turns_from_the_start() -> None:
    assert CODEC.audio.input.turn_detection == ServerVad()


@pytest.mark.parametrize("event", [*SAMPLES, *MCP_SAMPLES], ids=lambda event: tag(type(event)))
def test_nothing_of_a_tool_server_is_told(event: server.ServerEvent) -> None:
    assert all(b"mcp" not in frame for frame in CODEC.encode(event))


def test_a_response_is_told_without_the_calls_of_servers() -> None:
    (frame,) = CODEC.encode(server.ResponseDone(event_id="event_1", response=replace(ENDED, output=[CALLED, SPOKEN])))
    assert [item["id"] for item in json.loads(frame)["response"]["output"]] == [SPOKEN.id]


def test_a_session_is_told_without_its_tool_servers() -> None:
    (frame,) = CODEC.encode(server.SessionUpdated(event_id="event_1", session=SERVED))
    session = json.loads(frame)["session"]
    assert (session["tools"], session["tool_choice"]) == ([{"type": "function", "name": "f"}], "auto")
