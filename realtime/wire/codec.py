"""Frames to client events and server events to frames; the GA dialect, and what the dialects share.

A codec is pure and holds nothing of a session. It refuses whatever the schema does not know, with the error that upstream gives for it
(PROTOCOL 6), and never anything that the schema allows: whether an event makes sense now is the session's to judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol, get_args

import msgspec

from realtime.errors import ClientError
from realtime.wire.client import ClientEvent
from realtime.wire.items import MAX_ID
from realtime.wire.server import ConversationCreated, ServerEvent
from realtime.wire.settings import AudioSettings

Frame = str | bytes | memoryview
"""A text message, or a binary one; a large text message may come as the bytes that it is in UTF-8."""
Frames = list[bytes]

encode_json = msgspec.json.Encoder().encode


class Codec(Protocol):
    """One dialect of the wire."""

    audio: AudioSettings
    """What a new session starts with."""

    def decode(self, frame: Frame) -> ClientEvent:
        """Raises `ClientError`, with the event's own id where it can be read."""
        ...

    def encode(self, event: ServerEvent, answers: str | None = None) -> Frames:
        """The text frames (UTF-8) that carry an event: none where the dialect has no such event.

        `answers` is the id of the client event that it answers, where there is one.
        """
        ...


class Envelope(msgspec.Struct):
    """The little that is read of an event which does not validate."""

    type: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    event_id: Any = None


_decode_envelope = msgspec.json.Decoder(Envelope).decode


def tags(union: object) -> list[str]:
    """The `type`s of a tagged union."""
    return [str(cls.__struct_config__.tag) for cls in get_args(union)]


class Reader:
    """Decodes the frames of one dialect's client events, turning each failure into the `ClientError` that names its field."""

    def __init__(self, union: Any) -> None:
        self._decode: Callable[[Frame], Any] = msgspec.json.Decoder(union).decode
        self._supported = ", ".join(f"'{tag}'" for tag in tags(union))

    def __call__(self, frame: Frame) -> Any:
        if isinstance(frame, bytes):
            raise ClientError("invalid_event", "Expected a text WebSocket message; binary frames are not supported.")
        try:
            return self._decode(frame)
        except msgspec.ValidationError as error:
            raise self._refusal(frame, str(error)) from None
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            raise _not_json(error) from None

    def _refusal(self, frame: str | memoryview, reason: str) -> ClientError:
        try:
            envelope = _decode_envelope(frame)
        except msgspec.ValidationError as cause:
            return ClientError("invalid_event", f"Invalid event: {cause}.")
        except (msgspec.DecodeError, RecursionError, UnicodeError) as cause:
            return _not_json(cause)
        if envelope.type is msgspec.UNSET:
            error = ClientError("invalid_event", "The 'type' field is missing.", param="type")
        else:
            error = client_error(reason)
        if error.param == "type" and error.code == "invalid_value":
            error.message += f" Supported values are: {self._supported}."
        error.event_id = envelope.event_id if isinstance(envelope.event_id, str) and len(envelope.event_id) <= MAX_ID else None
        return error


def _not_json(error: Exception) -> ClientError:
    return ClientError("invalid_json", f"Invalid event: failed to parse JSON value. {error}")


MAX_QUOTED = 200
"""Characters of a client's own words that an error repeats: enough to know them by, and no way to make frames that are too long to read."""

_PLACE = re.compile(r" - at (?:`key` in )?`\$\.?(?P<path>[^`]*)`\Z")
"""Ends the text of an error. A path is made of our own field names, so a backtick would be the client's: part of what it sent."""

_BOUND = re.compile(r"Expected `(?P<type>\w+)`(?P<length> of length)? (?P<side>[<>]=?) (?P<bound>\S+)")
_MISMATCH = re.compile(r"Expected `(?P<expected>.+)`, got `(?P<got>.+)`")
_QUOTED = re.compile(r"[`'](?P<name>.*)[`']", re.DOTALL)
_NUMBERS = {"int": "integer", "float": "decimal"}
_LENGTHS = {"str": "string", "bytes": "string", "array": "array", "object": "object"}


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def client_error(reason: str) -> ClientError:
    """The upstream error for the text of a `msgspec.ValidationError`: what is wrong, and at which dotted path."""
    place = _PLACE.search(reason)
    what, path = (reason[: place.start()], place["path"]) if place else (reason, "")
    quoted = _QUOTED.search(what)
    name = quoted["name"][:MAX_QUOTED] if quoted else ""
    if what.startswith("Object contains unknown field"):
        param = _join(path, name)
        return ClientError("unknown_parameter", f"Unknown parameter: '{param}'.", param=param)
    if what.startswith("Object missing required field"):
        param = _join(path, name)
        return ClientError("missing_required_parameter", f"Missing required parameter: '{param}'.", param=param)
    if what.startswith(("Invalid value", "Invalid enum value")):
        return ClientError("invalid_value", f"Invalid value: '{name}'.", param=path)
    return _out_of_bounds(what, path) or _wrong_type(what, path)


def _out_of_bounds(what: str, path: str) -> ClientError | None:
    bound = _BOUND.match(what)
    if bound is None:
        return None
    side = "below_min" if bound["side"].startswith(">") else "above_max"
    if bound["length"]:
        code, unit = f"{_LENGTHS[bound['type']]}_{side}_length", "a length"
    else:
        code, unit = f"{_NUMBERS[bound['type']]}_{side}_value", "a value"
    return ClientError(code, f"Invalid '{path}'. Expected {unit} {bound['side']} {bound['bound']}.", param=path)


def _wrong_type(what: str, path: str) -> ClientError:
    mismatch = _MISMATCH.fullmatch(what)
    if mismatch:
        return ClientError(
            "invalid_type", f"Invalid type for '{path}': expected {mismatch['expected']}, got {mismatch['got']}.", param=path
        )
    return ClientError("invalid_value", f"Invalid '{path}': {what}.", param=path)


class GaCodec:
    """Today's OpenAI shape: the structs as they are."""

    audio = AudioSettings()
    _read = Reader(ClientEvent)

    def decode(self, frame: Frame) -> ClientEvent:
        event: ClientEvent = GaCodec._read(frame)
        return event

    def encode(self, event: ServerEvent, answers: str | None = None) -> Frames:
        if type(event) is ConversationCreated:
            return []
        return [encode_json(event)]
