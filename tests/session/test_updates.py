from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec import UNSET
from msgspec.structs import replace

from realtime.errors import ClientError
from realtime.session.abilities import Abilities
from realtime.session.response import Terms
from realtime.session.updates import terms, updated
from realtime.wire.client import ResponseAudio, ResponseAudioOutput, ResponseParams
from realtime.wire.settings import (
    MAX_TOOLS_SIZE,
    MAX_TRACING_SIZE,
    AudioInput,
    AudioInputPatch,
    AudioOutputPatch,
    AudioPatch,
    CustomVoice,
    FunctionTool,
    Modality,
    PcmaFormat,
    PcmFormat,
    Reasoning,
    Settings,
    SettingsPatch,
    TranscriptionAudio,
    TranscriptionAudioPatch,
    TranscriptionSettings,
    TranscriptionSettingsPatch,
)

START = Settings(id="sess_1", model="any", instructions="Be brief.", expires_at=0)
MUTE = Abilities(speech=False)


def update(patch: SettingsPatch | TranscriptionSettingsPatch, abilities: Abilities = MUTE, *, spoken: bool = False) -> Settings:
    after = updated(START, patch, abilities, spoken=spoken)
    assert isinstance(after, Settings)
    return after


def tools_of(size: int) -> tuple[FunctionTool, ...]:
    """Two tools that have so many bytes of JSON together."""
    tools = FunctionTool("f", ""), FunctionTool("g", "")
    return tools[0], replace(tools[1], description="x" * (size - len(msgspec.json.encode(tools))))


def voice(name: str | CustomVoice) -> SettingsPatch:
    return SettingsPatch(audio=AudioPatch(output=AudioOutputPatch(voice=name)))


def response(output: ResponseAudioOutput | None = None, **params: Any) -> Terms:
    audio = UNSET if output is None else ResponseAudio(output=output)
    return terms(START, ResponseParams(audio=audio, **params), Abilities(), "mine")


def test_only_what_is_named_changes() -> None:
    assert update(SettingsPatch(instructions="Sing.")) == replace(START, instructions="Sing.")


def test_nothing_named_changes_nothing() -> None:
    assert update(SettingsPatch()) == START


def test_the_model_of_a_session_does_not_change_and_nobody_is_scolded() -> None:
    assert update(SettingsPatch(model="another")).model == "any"


@pytest.mark.parametrize(
    ("patch", "code", "param"),
    [
        (TranscriptionSettingsPatch(), "invalid_parameter", "session.type"),
        (SettingsPatch(output_modalities=()), "invalid_value", "session.output_modalities"),
        (SettingsPatch(output_modalities=("text", "audio")), "invalid_value", "session.output_modalities"),
        (SettingsPatch(output_modalities=("audio",)), "invalid_value", "session.output_modalities"),
        (SettingsPatch(prompt={"id": "pmpt_1"}), "invalid_value", "session.prompt"),
    ],
)
def test_what_can_not_be_is_refused(patch: SettingsPatch | TranscriptionSettingsPatch, code: str, param: str) -> None:
    with pytest.raises(ClientError) as refused:
        update(patch)
    assert (refused.value.code, refused.value.param) == (code, param)


@pytest.mark.parametrize(
    ("patch", "fits", "code", "param"),
    [
        (lambda size: SettingsPatch(tools=tools_of(size)), MAX_TOOLS_SIZE, "array_above_max_length", "session.tools"),
        (lambda size: SettingsPatch(tracing="x" * (size - 2)), MAX_TRACING_SIZE, "string_above_max_length", "session.tracing"),
        (lambda size: SettingsPatch(tracing={"k": "x" * (size - 8)}), MAX_TRACING_SIZE, "object_above_max_length", "session.tracing"),
    ],
)
def test_what_is_served_whole_has_a_limit(patch: Callable[[int], SettingsPatch], fits: int, code: str, param: str) -> None:
    update(patch(fits))
    with pytest.raises(ClientError, match=str(fits)) as refused:
        update(patch(fits + 1))
    assert (refused.value.code, refused.value.param) == (code, param)


def test_a_responses_own_tools_have_the_same_limit() -> None:
    response(tools=tools_of(MAX_TOOLS_SIZE))
    with pytest.raises(ClientError) as refused:
        response(tools=tools_of(MAX_TOOLS_SIZE + 1))
    assert (refused.value.code, refused.value.param) == ("array_above_max_length", "response.tools")


def test_a_response_is_truncated_as_the_session_says() -> None:
    settings = replace(START, truncation="disabled")
    assert terms(settings, ResponseParams(), Abilities(), None).truncation == "disabled"


def test_where_there_is_a_voice_audio_may_be_asked_for() -> None:
    assert update(SettingsPatch(output_modalities=("audio",)), Abilities()).output_modalities == ("audio",)


def test_no_stored_prompt_is_no_mistake() -> None:
    assert update(SettingsPatch(prompt=None)) == START


def test_the_voice_changes_until_it_has_been_heard() -> None:
    assert update(voice("ash")).audio.output.voice == "ash"
    with pytest.raises(ClientError) as refused:
        update(voice("ash"), spoken=True)
    assert (refused.value.code, refused.value.param) == ("cannot_update_voice", "session.audio.output.voice")


@pytest.mark.parametrize("same", ["alloy", CustomVoice("alloy")])
def test_the_same_voice_again_is_no_change(same: str | CustomVoice) -> None:
    assert update(voice(same), spoken=True) == START


def test_a_response_goes_by_the_session() -> None:
    assert response() == Terms(
        modality="audio",
        instructions="Be brief.",
        max_output_tokens="inf",
        temperature=UNSET,
        voice="alloy",
        speed=1.0,
        format=PcmFormat(),
        answers="mine",
    )


def test_a_response_may_have_its_own_way() -> None:
    own = {"output_modalities": ("text",), "instructions": "Sing.", "max_output_tokens": 7, "temperature": 0.5, "metadata": {"k": "v"}}
    assert response(ResponseAudioOutput(format=PcmaFormat(), voice="ash"), **own) == Terms(
        modality="text",
        instructions="Sing.",
        max_output_tokens=7,
        temperature=0.5,
        voice="ash",
        speed=1.0,
        format=PcmaFormat(),
        metadata={"k": "v"},
        answers="mine",
    )


@pytest.mark.parametrize(("modality", "speaks", "native"), [("audio", True, True), ("text", True, False), ("audio", False, False)])
def test_only_a_spoken_answer_of_a_model_that_speaks_is_native(modality: Modality, speaks: bool, native: bool) -> None:
    assert terms(START, ResponseParams(output_modalities=(modality,)), Abilities(speaks=speaks), None).native is native


@pytest.mark.parametrize(
    ("session", "own", "effort"), [(UNSET, UNSET, None), ("low", UNSET, "low"), (UNSET, "high", "high"), ("low", "high", "high")]
)
def test_how_hard_to_think_is_the_sessions_unless_a_response_says(session: Any, own: Any, effort: str | None) -> None:
    settings = START if session is UNSET else update(SettingsPatch(reasoning=Reasoning(session)))
    params = ResponseParams() if own is UNSET else ResponseParams(reasoning=Reasoning(own))
    assert terms(settings, params, Abilities(), None).effort == effort


def test_a_response_may_have_a_voice_by_id() -> None:
    assert response(ResponseAudioOutput(voice=CustomVoice("mine"))).voice == "mine"


def test_audio_of_a_response_without_output_changes_nothing() -> None:
    assert terms(START, ResponseParams(audio=ResponseAudio()), Abilities(), "mine") == response()


def test_empty_instructions_are_instructions() -> None:
    assert response(instructions="").instructions == ""


@pytest.mark.parametrize(
    ("params", "param"),
    [
        (ResponseParams(output_modalities=()), "response.output_modalities"),
        (ResponseParams(), "response.output_modalities"),
        (ResponseParams(output_modalities=("text",), prompt={"id": "pmpt_1"}), "response.prompt"),
    ],
)
def test_a_response_that_can_not_be_is_refused(params: ResponseParams, param: str) -> None:
    with pytest.raises(ClientError) as refused:
        terms(START, params, MUTE, None)
    assert (refused.value.code, refused.value.param) == ("invalid_value", param)


def test_a_transcription_session_takes_updates_of_its_own_kind_only() -> None:
    before = TranscriptionSettings(id="sess_1", expires_at=0)
    patch = TranscriptionSettingsPatch(audio=TranscriptionAudioPatch(input=AudioInputPatch(transcription=None, turn_detection=None)))
    after = replace(before, audio=TranscriptionAudio(AudioInput(transcription=None, turn_detection=None)))
    assert updated(before, patch, Abilities(), spoken=False) == after
    with pytest.raises(ClientError) as refused:
        updated(before, SettingsPatch(), Abilities(), spoken=False)
    assert (refused.value.code, refused.value.param) == ("invalid_parameter", "session.type")
