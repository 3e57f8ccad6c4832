"""What a response must go by, worked out again from what the client said, by other means than the session's."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct

from realtime.wire import client
from realtime.wire.settings import CustomVoice, Settings


class Terms(Struct, frozen=True):
    """What a response must go by, worked out again from what the client said."""

    modality: str
    instructions: str
    max_output_tokens: Any
    temperature: Any
    voice: str
    speed: float
    format: Any
    metadata: Any
    tools: Any
    tool_choice: Any
    aside: bool
    """The client chose its context."""


def agreed(settings: Settings, params: client.ResponseParams) -> Terms:
    output: Any = UNSET if params.audio is UNSET else params.audio.output
    voice = UNSET if output is UNSET else output.voice
    format = UNSET if output is UNSET else output.format
    spoken = settings.audio.output
    return Terms(
        modality=(settings.output_modalities if params.output_modalities is UNSET else params.output_modalities)[0],
        instructions=settings.instructions if params.instructions is None else params.instructions,
        max_output_tokens=settings.max_output_tokens if params.max_output_tokens is UNSET else params.max_output_tokens,
        temperature=settings.temperature if params.temperature is UNSET else params.temperature,
        voice=spoken.voice if voice is UNSET else voice.id if isinstance(voice, CustomVoice) else voice,
        speed=spoken.speed,
        format=spoken.format if format is UNSET else format,
        metadata=params.metadata,
        tools=settings.tools if params.tools is UNSET else params.tools,
        tool_choice=settings.tool_choice if params.tool_choice is UNSET else params.tool_choice,
        aside=params.input is not UNSET,
    )
