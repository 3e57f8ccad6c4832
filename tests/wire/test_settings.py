from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from realtime.wire.settings import (
    AudioFormat,
    AudioInput,
    AudioOutput,
    AudioSettings,
    FunctionTool,
    NoiseReduction,
    PcmaFormat,
    PcmFormat,
    PcmuFormat,
    Reasoning,
    SemanticVad,
    ServerVad,
    Settings,
    SettingsPatch,
    Transcription,
    TranscriptionSettings,
    TranscriptionSettingsPatch,
    at_rate,
    encoding,
    merge,
    sample_rate,
    sample_width,
    seconds,
)
from tests.wire.server_events import SETTINGS, TUNED


def patch(cls: Any = SettingsPatch, **fields: Any) -> Any:
    """As a client sends it."""
    return msgspec.convert({"type": cls.__struct_config__.tag, **fields}, cls)


def changed(settings: Settings, **fields: Any) -> Settings:
    return merge(settings, patch(**fields))


def heard(settings: Settings = TUNED, **fields: Any) -> AudioInput:
    """The input side after a patch of it."""
    return changed(settings, audio={"input": fields}).audio.input


# What stays


@pytest.mark.parametrize("fields", [{}, {"audio": {}}, {"audio": {"input": {}}}, {"audio": {"input": {}, "output": {}}}])
def test_what_is_not_named_stays(fields: dict[str, Any]) -> None:
    assert changed(TUNED, **fields) == TUNED


def test_the_settings_that_were_there_are_left_alone() -> None:
    before = replace(TUNED)
    changed(TUNED, instructions="", audio={"input": {"transcription": None}})
    assert before == TUNED


def test_one_key_deep_down_changes_nothing_beside_it() -> None:
    after = changed(TUNED, audio={"output": {"voice": "sage"}})
    assert after == replace(TUNED, audio=replace(TUNED.audio, output=replace(TUNED.audio.output, voice="sage")))


def test_both_directions_change_in_one_patch() -> None:
    after = changed(SETTINGS, audio={"input": {"format": {"type": "audio/pcma"}}, "output": {"speed": 0.5}})
    assert after.audio == AudioSettings(AudioInput(format=PcmaFormat()), AudioOutput(speed=0.5))


# What changes


@pytest.mark.parametrize(
    ("name", "sent", "value"),
    [
        ("output_modalities", ["text"], ("text",)),
        ("instructions", "Sing.", "Sing."),
        ("tools", [{"type": "function", "name": "g"}], (FunctionTool("g"),)),
        ("tool_choice", "required", "required"),
        ("max_output_tokens", 10, 10),
        ("tracing", {"workflow_name": "w"}, {"workflow_name": "w"}),
        ("truncation", "disabled", "disabled"),
        ("include", [], ()),
        ("temperature", 0.2, 0.2),
        ("parallel_tool_calls", False, False),
        ("reasoning", {"effort": "xhigh"}, Reasoning("xhigh")),
        ("model", "other", "other"),
    ],
)
def test_a_value_replaces_the_one_before(name: str, sent: Any, value: Any) -> None:
    assert changed(TUNED, **{name: sent}) == replace(TUNED, **{name: value})


def test_an_empty_string_clears_the_instructions() -> None:
    assert changed(TUNED, instructions="").instructions == ""


def test_an_empty_list_clears_the_tools() -> None:
    assert changed(TUNED, tools=[]).tools == ()


@pytest.mark.parametrize("name", ["tracing", "prompt", "include"])
def test_null_clears_a_setting(name: str) -> None:
    assert getattr(changed(TUNED, **{name: None}), name) is None


@pytest.mark.parametrize("name", ["transcription", "noise_reduction", "turn_detection"])
def test_null_clears_a_part_of_the_input(name: str) -> None:
    assert getattr(heard(TUNED, **{name: None}), name) is None


def test_noise_reduction_is_replaced_whole() -> None:
    assert heard(noise_reduction={"type": "far_field"}).noise_reduction == NoiseReduction("far_field")


def test_a_voice_by_id_is_served_as_a_plain_string() -> None:
    assert changed(TUNED, audio={"output": {"voice": {"id": "voice_1"}}}).audio.output.voice == "voice_1"


# Transcription


def test_transcription_merges_by_key() -> None:
    assert heard(transcription={"prompt": None}).transcription == Transcription("whisper-1", "en", None)


def test_transcription_begins_with_its_defaults() -> None:
    assert heard(SETTINGS, transcription={"language": "de"}).transcription == Transcription("whisper-1", "de", None)


def test_transcription_is_served_with_three_keys() -> None:
    sent = {"model": "gpt-transcribe", "delay": "low", "languages": ["en"], "keywords": ["x"]}
    served = msgspec.to_builtins(heard(SETTINGS, transcription=sent).transcription)
    assert served == {"model": "gpt-transcribe", "language": "en", "prompt": "x"}


@pytest.mark.parametrize(
    ("sent", "language", "prompt"),
    [
        ({"languages": ["de"]}, "de", "names"),
        ({"languages": ["de", "en"]}, None, "names"),
        ({"languages": ["de"], "language": "fr"}, "fr", "names"),
        ({"languages": [], "keywords": []}, "en", "names"),
        ({"keywords": ["Ada", "Grace"]}, "en", "Ada, Grace"),
        ({"keywords": ["Ada", "Grace"], "prompt": "A lecture."}, "en", "A lecture. Ada, Grace"),
    ],
)
def test_languages_and_keywords_come_to_a_language_and_a_prompt(sent: dict[str, Any], language: str | None, prompt: str) -> None:
    settings = changed(TUNED, audio={"input": {"transcription": {"language": "en", "prompt": "names"}}})
    wish = heard(settings, transcription=sent).transcription
    assert wish is not None
    assert (wish.language, wish.prompt) == (language, prompt)


# Turn detection


def test_turn_detection_of_the_same_type_merges_by_key() -> None:
    detection = heard(turn_detection={"type": "server_vad", "threshold": 0.2}).turn_detection
    assert detection == ServerVad(0.2, 100, 700, 6000, False, False)


def test_turn_detection_of_another_type_begins_with_its_defaults() -> None:
    assert heard(turn_detection={"type": "semantic_vad", "eagerness": "low"}).turn_detection == SemanticVad("low", True, True)


def test_turn_detection_that_was_off_begins_with_its_defaults() -> None:
    off = changed(TUNED, audio={"input": {"turn_detection": None}})
    assert heard(off, turn_detection={"type": "server_vad", "silence_duration_ms": 500}).turn_detection == ServerVad(
        silence_duration_ms=500
    )


def test_null_switches_the_idle_timeout_off() -> None:
    detection = heard(turn_detection={"type": "server_vad", "idle_timeout_ms": None}).turn_detection
    assert detection == ServerVad(0.9, 100, 700, None, False, False)


def test_the_version_of_a_model_that_is_not_here_is_ignored() -> None:
    assert heard(turn_detection={"type": "semantic_vad", "model_version": "v2"}).turn_detection == SemanticVad()


# Bounds


@pytest.mark.parametrize(
    ("fields", "bound"),
    [
        ({"threshold": 1.01}, "<= 1.0"),
        ({"threshold": -0.01}, ">= 0.0"),
        ({"prefix_padding_ms": 60_001}, "<= 60000"),
        ({"prefix_padding_ms": -1}, ">= 0"),
        ({"silence_duration_ms": 60_001}, "<= 60000"),
        ({"idle_timeout_ms": 4_999}, ">= 5000"),
        ({"idle_timeout_ms": 30_001}, "<= 30000"),
    ],
)
def test_turn_detection_has_bounds(fields: dict[str, Any], bound: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=bound):
        heard(turn_detection={"type": "server_vad", **fields})


@pytest.mark.parametrize("fields", [{"threshold": 0}, {"threshold": 1}, {"silence_duration_ms": 60_000}, {"idle_timeout_ms": 30_000}])
def test_the_bounds_of_turn_detection_are_taken(fields: dict[str, Any]) -> None:
    [(name, value)] = fields.items()
    assert getattr(heard(turn_detection={"type": "server_vad", **fields}).turn_detection, name) == value


@pytest.mark.parametrize(
    ("fields", "bound"),
    [
        ({"audio": {"output": {"speed": 0.24}}}, ">= 0.25"),
        ({"audio": {"output": {"speed": 1.51}}}, "<= 1.5"),
        ({"max_output_tokens": 4097}, "<= 4096"),
        ({"max_output_tokens": 0}, ">= 1"),
        ({"temperature": 2.01}, "<= 2.0"),
        ({"truncation": {"type": "retention_ratio", "retention_ratio": 1.1}}, "<= 1.0"),
        ({"truncation": {"type": "retention_ratio", "retention_ratio": 1, "token_limits": {"post_instructions": -1}}}, ">= 0"),
        ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 23_999}}}}, ">= 24000"),
        ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 24_001}}}}, "<= 24000"),
    ],
)
def test_settings_have_bounds(fields: dict[str, Any], bound: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=bound):
        patch(**fields)


@pytest.mark.parametrize("fields", [{"bogus": 1}, {"id": "x"}, {"audio": {"bogus": 1}}, {"audio": {"input": {"voice": "x"}}}])
def test_what_a_session_does_not_have_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        patch(**fields)


def test_a_transcription_session_has_only_ears() -> None:
    assert patch(TranscriptionSettingsPatch, audio={"input": {"transcription": {"model": "whisper-1"}}}, include=None)
    with pytest.raises(msgspec.ValidationError, match="unknown field `output`"):
        patch(TranscriptionSettingsPatch, audio={"output": {}})


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"tools": [{"type": "function", "name": "f", "x": 1}]}, "x"),
        ({"tool_choice": {"type": "function", "name": "f", "x": 1}}, "x"),
        ({"truncation": {"type": "retention_ratio", "retention_ratio": 1, "x": 1}}, "x"),
        ({"truncation": {"type": "retention_ratio", "retention_ratio": 1, "token_limits": {"x": 1}}}, "x"),
        ({"reasoning": {"effort": "low", "x": 1}}, "x"),
        ({"audio": {"input": {"format": {"type": "audio/pcm", "x": 1}}}}, "x"),
        ({"audio": {"input": {"format": {"type": "audio/pcmu", "rate": 8000}}}}, "rate"),
        ({"audio": {"input": {"format": {"type": "audio/pcma", "rate": 8000}}}}, "rate"),
        ({"audio": {"input": {"noise_reduction": {"type": "near_field", "x": 1}}}}, "x"),
        ({"audio": {"input": {"transcription": {"x": 1}}}}, "x"),
        ({"audio": {"input": {"turn_detection": {"type": "server_vad", "eagerness": "low"}}}}, "eagerness"),
        ({"audio": {"input": {"turn_detection": {"type": "semantic_vad", "threshold": 0.5}}}}, "threshold"),
        ({"audio": {"output": {"voice": {"id": "v", "x": 1}}}}, "x"),
    ],
)
def test_what_a_part_of_a_session_does_not_have_is_refused(fields: dict[str, Any], key: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=f"unknown field `{key}`"):
        patch(**fields)


@pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high", "xhigh"])
def test_every_effort_and_delay_is_taken(effort: Any) -> None:
    assert changed(SETTINGS, reasoning={"effort": effort}).reasoning == Reasoning(effort)
    assert heard(SETTINGS, transcription={"delay": effort}).transcription == Transcription()


@pytest.mark.parametrize("eagerness", ["low", "medium", "high", "auto"])
def test_every_eagerness_is_taken(eagerness: Any) -> None:
    assert heard(turn_detection={"type": "semantic_vad", "eagerness": eagerness}).turn_detection == SemanticVad(eagerness)


@pytest.mark.parametrize("choice", ["none", "auto", "required"])
def test_every_tool_choice_is_taken(choice: str) -> None:
    assert changed(SETTINGS, tool_choice=choice).tool_choice == choice


def test_a_transcription_patch_leaves_alone_what_it_does_not_name() -> None:
    before = TranscriptionSettings(id="sess_A", expires_at=0, include=("item.input_audio_transcription.logprobs",))
    assert merge(before, patch(TranscriptionSettingsPatch)) == before
    after = merge(before, patch(TranscriptionSettingsPatch, audio={"input": {"transcription": {"language": "de"}}}, include=None))
    assert after.audio.input == AudioInput(transcription=Transcription(language="de"))
    assert after.include is None


def test_a_transcription_session_has_transcripts_from_the_start() -> None:
    assert TranscriptionSettings(id="sess_A", expires_at=0).audio.input.transcription == Transcription()


# Formats


@pytest.mark.parametrize(
    ("format", "rate", "width"),
    [(PcmFormat(), 24_000, 2), (PcmFormat(16_000), 16_000, 2), (PcmuFormat(), 8_000, 1), (PcmaFormat(), 8_000, 1)],
)
def test_a_format_has_a_rate_and_a_width(format: AudioFormat, rate: int, width: int) -> None:
    assert (sample_rate(format), sample_width(format)) == (rate, width)
    assert seconds(bytes(3 * rate * width), format) == 3.0


def test_every_format_has_an_encoding() -> None:
    assert [encoding(format) for format in (PcmFormat(16_000), PcmuFormat(), PcmaFormat())] == ["pcm16", "ulaw", "alaw"]


def test_pcm_without_a_rate_has_the_only_one() -> None:
    assert heard(format={"type": "audio/pcm"}).format == PcmFormat(24_000)


# What is served


def test_what_was_never_set_and_is_ours_alone_is_not_served() -> None:
    assert {"temperature", "parallel_tool_calls", "reasoning"}.isdisjoint(msgspec.to_builtins(SETTINGS))


def test_what_is_ours_alone_is_served_once_it_is_set() -> None:
    assert msgspec.to_builtins(changed(SETTINGS, temperature=0.2))["temperature"] == 0.2


def test_only_pcm_has_a_rate_that_can_be_another() -> None:
    assert at_rate(PcmFormat(), 16_000) == PcmFormat(16_000)
    assert at_rate(PcmuFormat(), 16_000) == PcmuFormat()
