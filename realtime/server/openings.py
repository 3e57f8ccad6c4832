"""The settings that a session begins with: what the address says, what a client secret was minted with, what the server can."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET
from msgspec.structs import replace

from realtime.session.abilities import Abilities
from realtime.session.updates import updated
from realtime.wire.client import SessionUpdate
from realtime.wire.codec import Codec
from realtime.wire.settings import (
    AnySettings,
    Modality,
    Settings,
    SettingsPatch,
    Transcription,
    TranscriptionAudio,
    TranscriptionSettings,
    TranscriptionSettingsPatch,
)

Kind = Literal["realtime", "transcription"]


def kind_of(update: SessionUpdate) -> Kind:
    """Of session that the update is meant for."""
    return "transcription" if isinstance(update.session, TranscriptionSettingsPatch) else "realtime"


def begin(kind: Kind, codec: Codec, abilities: Abilities, *, id: str, model: str, expires_at: int) -> AnySettings:
    """Settings of a new session of that kind."""
    if kind == "transcription":
        heard = replace(codec.audio.input, transcription=Transcription())
        return TranscriptionSettings(id=id, expires_at=expires_at, audio=TranscriptionAudio(heard))
    modalities: tuple[Modality, ...] = ("audio",) if abilities.speech else ("text",)
    return Settings(id=id, model=model, output_modalities=modalities, expires_at=expires_at, audio=codec.audio)


def bound(settings: AnySettings, update: SessionUpdate, abilities: Abilities) -> AnySettings:
    """As if the update had come first of all; only now does it say the model, too. Raises `ClientError`."""
    after = updated(settings, update.session, abilities, spoken=False)
    if isinstance(after, Settings) and isinstance(update.session, SettingsPatch) and update.session.model is not UNSET:
        return replace(after, model=update.session.model)
    return after
