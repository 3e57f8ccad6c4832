from __future__ import annotations

from typing import Any

import pytest
from msgspec import convert

from realtime.errors import ClientError
from realtime.server.openings import Kind, begin, bound, kind_of
from realtime.session.abilities import Abilities
from realtime.wire.classic import ClassicCodec
from realtime.wire.client import SessionUpdate
from realtime.wire.codec import Codec, GaCodec
from realtime.wire.settings import AnySettings, Settings, TranscriptionSettings

ABLE = Abilities()


def opened(kind: Kind, codec: Codec | None = None, abilities: Abilities = ABLE) -> AnySettings:
    return begin(kind, codec or GaCodec(), abilities, id="sess_1", model="parrot", expires_at=60)


def update(**session: Any) -> SessionUpdate:
    return convert({"type": "session.update", "session": session}, SessionUpdate)


def test_a_session_begins_as_its_dialect_and_the_server_have_it() -> None:
    settings = opened("realtime", ClassicCodec(8_000), Abilities(speech=False))
    assert isinstance(settings, Settings)
    assert (settings.id, settings.model, settings.expires_at, settings.output_modalities) == ("sess_1", "parrot", 60, ("text",))
    assert settings.audio == ClassicCodec(8_000).audio
    spoken = opened("realtime")
    assert isinstance(spoken, Settings)
    assert spoken.output_modalities == ("audio",)


def test_one_that_only_transcribes_has_transcripts_from_the_start() -> None:
    settings = opened("transcription")
    assert isinstance(settings, TranscriptionSettings)
    assert settings.audio.input.transcription is not None


def test_what_it_was_minted_with_is_bound_to_it() -> None:
    settings = bound(opened("realtime"), update(type="realtime", instructions="Be brief.", model="mine"), ABLE)
    assert isinstance(settings, Settings)
    assert (settings.instructions, settings.model, settings.id) == ("Be brief.", "mine", "sess_1")


def test_without_a_model_the_address_decides() -> None:
    settings = bound(opened("realtime"), update(type="realtime"), ABLE)
    assert isinstance(settings, Settings)
    assert settings.model == "parrot"


def test_a_transcription_session_is_bound_too() -> None:
    wanted = update(type="transcription", audio={"input": {"transcription": {"language": "de"}}})
    assert kind_of(wanted) == "transcription"
    settings = bound(opened(kind_of(wanted)), wanted, ABLE)
    assert settings.audio.input.transcription is not None
    assert settings.audio.input.transcription.language == "de"


def test_what_a_session_update_may_not_say_is_refused() -> None:
    assert kind_of(update(type="realtime")) == "realtime"
    with pytest.raises(ClientError):
        bound(opened("realtime"), update(type="realtime", output_modalities=["audio"]), Abilities(speech=False))
