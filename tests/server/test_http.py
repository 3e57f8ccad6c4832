from __future__ import annotations

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request

from realtime.server import http


def request(path: str, *headers: tuple[str, str]) -> Request:
    return Request(path, Headers(headers))


@pytest.mark.parametrize(
    ("asked", "dialect"),
    [
        (request("/v1/realtime"), "ga"),
        (request("/v1/realtime?model=x"), "ga"),
        (request("/v1/realtime", ("OpenAI-Beta", "realtime=v1")), "beta"),
        (request("/v1/realtime", ("OpenAI-Beta", "assistants=v2, realtime=v1")), "beta"),
        (request("/v1/realtime", ("OpenAI-Beta", "assistants=v2")), "ga"),
        (request("/v1/realtime", ("Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key.k, openai-beta.realtime-v1")), "beta"),
        (request("/v1/realtime", ("Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key.k")), "ga"),
        (request("/ws/realtime"), "classic"),
        (request("/ws/realtime?x=1", ("OpenAI-Beta", "realtime=v1")), "classic"),
    ],
)
def test_the_handshake_chooses_the_dialect(asked: Request, dialect: str) -> None:
    assert http.dialect(asked) == dialect


def test_the_model_is_the_one_that_the_address_names() -> None:
    assert http.model(request("/v1/realtime?model=gpt-realtime&x=1")) == "gpt-realtime"
    assert http.model(request("/v1/realtime")) is None
    assert http.model(request("/v1/realtime?model=")) is None
    assert http.model(request("/openai/realtime?api-version=2025-04-01-preview&deployment=mine")) == "mine"


@pytest.mark.parametrize(
    ("path", "only"),
    [
        ("/v1/realtime?intent=transcription", True),
        ("/ws/realtime?x=1&intent=transcription", True),
        ("/v1/realtime?intent=translation", False),
    ],
)
def test_a_session_that_only_transcribes_is_asked_for_by_the_address(path: str, only: bool) -> None:
    assert http.transcribes_only(request(path)) == only
