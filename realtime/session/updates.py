"""How settings change: `session.update` on the session's, `response.create` on one response's."""

from __future__ import annotations

from typing import TypeVar

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from realtime.errors import ClientError
from realtime.session.abilities import Abilities
from realtime.session.admission import check_size
from realtime.session.mcp import check_servers
from realtime.session.response import Terms
from realtime.wire.client import ResponseParams
from realtime.wire.settings import (
    MAX_TOOLS_SIZE,
    MAX_TRACING_SIZE,
    AnySettings,
    CustomVoice,
    Modality,
    Settings,
    SettingsPatch,
    TranscriptionSettings,
    TranscriptionSettingsPatch,
    merge,
)


def updated(settings: AnySettings, patch: SettingsPatch | TranscriptionSettingsPatch, abilities: Abilities, *, spoken: bool) -> AnySettings:
    """The settings after a `session.update`; `spoken`: the model's voice has been heard already.

    Raises `ClientError`, and then nothing of the update is taken.
    """
    if isinstance(settings, TranscriptionSettings):
        if isinstance(patch, TranscriptionSettingsPatch):
            return merge(settings, patch)
        raise _wrong_kind("realtime", "transcription")
    if isinstance(patch, TranscriptionSettingsPatch):
        raise _wrong_kind("transcription", "realtime")
    if patch.output_modalities is not UNSET:
        _check_modalities(patch.output_modalities, abilities, "session.output_modalities")
    _check_prompt(patch.prompt, "session.prompt")
    check_size(patch.tools, MAX_TOOLS_SIZE, "session.tools")
    check_size(patch.tracing, MAX_TRACING_SIZE, "session.tracing")
    if patch.tools is not UNSET:
        check_servers(patch.tools, abilities.mcp_urls, "session.tools")
    after = replace(merge(settings, patch), model=settings.model)
    if spoken and after.audio.output.voice != settings.audio.output.voice:
        raise ClientError(
            "cannot_update_voice",
            "Cannot update a conversation's voice if assistant audio is present.",
            param="session.audio.output.voice",
        )
    return after


def _wrong_kind(update: str, session: str) -> ClientError:
    message = f"Passing a {update} session update event to a {session} session is not allowed."
    return ClientError("invalid_parameter", message, param="session.type")


def terms(settings: Settings, params: ResponseParams, abilities: Abilities, answers: str | None) -> Terms:
    """What one response goes by. Raises `ClientError`."""
    modalities = _given(params.output_modalities, settings.output_modalities)
    _check_modalities(modalities, abilities, "response.output_modalities")
    _check_prompt(params.prompt, "response.prompt")
    check_size(params.tools, MAX_TOOLS_SIZE, "response.tools")
    if params.tools is not UNSET:
        check_servers(params.tools, abilities.mcp_urls, "response.tools")
    output = UNSET if params.audio is UNSET else params.audio.output
    format, voice = (UNSET, UNSET) if output is UNSET else (output.format, output.voice)
    spoken = settings.audio.output
    reasoning = _given(params.reasoning, settings.reasoning)
    return Terms(
        modality=modalities[0],
        native=modalities[0] == "audio" and abilities.speaks,
        instructions=settings.instructions if params.instructions is None else params.instructions,
        max_output_tokens=_given(params.max_output_tokens, settings.max_output_tokens),
        temperature=_given(params.temperature, settings.temperature),
        voice=voice.id if isinstance(voice, CustomVoice) else _given(voice, spoken.voice),
        speed=spoken.speed,
        format=_given(format, spoken.format),
        tools=_given(params.tools, settings.tools),
        tool_choice=_given(params.tool_choice, settings.tool_choice),
        parallel_tool_calls=_given(params.parallel_tool_calls, settings.parallel_tool_calls),
        effort=None if reasoning is UNSET else reasoning.effort,
        truncation=settings.truncation,
        metadata=params.metadata,
        answers=answers,
    )


T = TypeVar("T")


def _given(value: T | UnsetType, default: T) -> T:
    return default if value is UNSET else value


def _check_modalities(modalities: tuple[Modality, ...], abilities: Abilities, param: str) -> None:
    if len(modalities) != 1:
        raise ClientError(
            "invalid_value", "Expected exactly one modality, ['audio'] or ['text']: audio brings its transcript.", param=param
        )
    if modalities == ("audio",) and not abilities.speech:
        raise ClientError("invalid_value", "This server has no voice: install one or ask for ['text'].", param=param)


def _check_prompt(prompt: object, param: str) -> None:
    if prompt is not None and prompt is not UNSET:
        raise ClientError("invalid_value", "Stored prompts are kept by OpenAI; this server has none.", param=param)
