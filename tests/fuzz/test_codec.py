"""Frames in every dialect: each is an event, or a `ClientError` that can be told; a text and its bytes are read alike."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.errors import ClientError
from realtime.wire import beta_events, client
from realtime.wire.beta import BetaCodec
from realtime.wire.classic import ClassicCodec
from realtime.wire.client import ClientEvent
from realtime.wire.codec import Codec, Frame, GaCodec
from realtime.wire.server import MAX_FRAME, Error, ErrorDetail
from tests.fuzz.corpus import kept
from tests.fuzz.shapes import frames, words

CODECS: tuple[Codec, ...] = (GaCodec(), BetaCodec(), ClassicCodec(16_000))

MAX_MESSAGE = 2_000
"""Characters of what an error says: the client's own words in it are cut."""

DICTIONARY = words(client, beta_events)
"""What the frames are made of."""


def check(data: bytes) -> None:
    text = None
    with suppress(UnicodeDecodeError):
        text = data.decode()
    for codec in CODECS:
        read = outcome(codec, memoryview(data))
        assert text is None or outcome(codec, text) == read, "a large text comes as bytes, and is the same"
        assert isinstance(outcome(codec, data), ClientError), "a binary message is none of ours"


def outcome(codec: Codec, frame: Frame) -> Any:
    """The event, or what the error says."""
    try:
        event = codec.decode(frame)
    except ClientError as error:
        tellable(codec, error)
        return error if isinstance(frame, bytes) else (error.code, error.message, error.param, error.event_id)
    assert isinstance(event, ClientEvent)
    return msgspec.json.encode(event)


def tellable(codec: Codec, error: ClientError) -> None:
    told = ErrorDetail(type=error.type, code=error.code, message=error.message, param=error.param, event_id=error.event_id)
    for frame in codec.encode(Error(event_id="event_1", error=told)):
        assert len(frame) < MAX_FRAME
        assert json.loads(frame)["error"]["message"] == error.message
    assert len(error.message) < MAX_MESSAGE


@pytest.mark.parametrize("path", kept("codec"), ids=lambda path: path.name)
def test_what_is_kept_is_read(path: Path) -> None:
    check(path.read_bytes())


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    check(data)


@given(frames(ClientEvent))
def test_events_of_ga(frame: bytes) -> None:
    check(frame)


@given(frames(beta_events.BetaClientEvent))
def test_events_of_beta(frame: bytes) -> None:
    check(frame)
