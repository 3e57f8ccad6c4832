"""The types that the vendor's own SDKs have for what a server sends, as judges of every frame."""

from __future__ import annotations

from typing import Annotated, Any

from agents.realtime.openai_realtime import get_server_event_type_adapter
from openai.types.beta.realtime import RealtimeServerEvent
from pydantic import Field, TypeAdapter, ValidationError

from tests.rigs.wire_client import Event

GA: TypeAdapter[Any] = get_server_event_type_adapter()
"""What openai-agents holds each frame against before it acts on it; the types are those of the openai package."""

BETA: TypeAdapter[Any] = TypeAdapter(Annotated[RealtimeServerEvent, Field(discriminator="type")])
"""The openai package itself only casts to these."""

BETA_MODEL = "gpt-4o-realtime-preview"
"""Beta's types allow a session none but upstream's own models; a name of another would be this server's only fault."""

TRANSCRIPTION_CREATED, TRANSCRIPTION_UPDATED = "transcription_session.created", "transcription_session.updated"
"""Of these two beta's types know the second alone."""
SECRET = {"expires_at": 0, "value": ""}
"""Beta's types want one of every transcription session; on a websocket upstream serves none."""


def faults(events: list[Event], types: TypeAdapter[Any]) -> list[str]:
    """Say of each event that its type does not allow what is wrong with it."""
    return [f"{event['type']}: {fault}" for event in events if (fault := _fault(event, types))]


def _fault(event: Event, types: TypeAdapter[Any]) -> str:
    # Upstream serves null here, which its types don't allow; openai-agents makes this very exception.
    known = {**event, "previous_item_id": ""} if event.get("previous_item_id", "") is None else event
    if event["type"] in (TRANSCRIPTION_CREATED, TRANSCRIPTION_UPDATED):
        known = {**event, "type": TRANSCRIPTION_UPDATED, "session": {**event["session"], "client_secret": SECRET}}
    try:
        parsed = types.validate_python(known)
    except ValidationError as error:
        return str(error)
    return "" if parsed.type == known["type"] else f"taken for {type(parsed).__name__}"
