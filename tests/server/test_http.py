from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.typing import Subprotocol

from realtime.errors import ClientError
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
    ("asked", "path"),
    [
        ("http://here:8001/v1/realtime?model=x", "/v1/realtime"),
        ("//[/v1/realtime", "//[/v1/realtime"),
        ("//[::1", "//[::1"),
        ("http://[x]/", "http://[x]/"),
        ("*", "*"),
    ],
)
def test_what_is_no_address_has_nothing_at_it(asked: str, path: str) -> None:
    assert http.path(request(asked)) == path
    assert http.dialect(request(asked)) == "ga"
    assert (http.model(request("//[?model=x")), http.transcribes_only(request("//[?intent=transcription"))) == (None, False)


def test_no_subprotocol_with_a_key_is_ever_echoed() -> None:
    socket: Any = None  # it is not asked
    names = [Subprotocol("openai-insecure-api-key.k"), Subprotocol("realtime")]
    assert http.subprotocol(socket, names) == "realtime"
    assert http.subprotocol(socket, names[:1]) is None


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


@pytest.mark.parametrize(
    ("path", "status", "part"),
    [
        ("/", 200, http.STANDARD_PATH),
        ("/", 200, http.SECRETS_PATH),
        ("/healthz?x=1", 200, "ok"),
        ("/v1/reeltime", 404, "nothing at /v1/reeltime."),
    ],
)
def test_other_addresses_have_a_page(path: str, status: int, part: str) -> None:
    page = http.page(request(path), "GET")
    assert page.status_code == status
    assert part in page.body.decode()


def test_a_page_may_be_asked_for_its_head_alone() -> None:
    whole, head = http.page(request("/healthz"), "GET"), http.page(request("/healthz"), "HEAD")
    assert (head.status_code, head.body, dict(head.headers)) == (200, b"", dict(whole.headers))
    assert http.page(request("/healthz"), "POST").status_code == 405


def test_a_refusal_has_the_shape_of_openais() -> None:
    told = http.refusal(HTTPStatus.BAD_REQUEST, ClientError("invalid_value", "No.", param="session.voice"))
    assert (told.status_code, told.headers["Content-Type"], told.headers["Content-Length"]) == (
        400,
        "application/json",
        str(len(told.body)),
    )
    assert json.loads(told.body) == {
        "error": {"type": "invalid_request_error", "code": "invalid_value", "message": "No.", "param": "session.voice"}
    }
    assert "WWW-Authenticate" not in told.headers


def test_who_needs_a_key_is_told_how_to_bring_it() -> None:
    told = http.refusal(HTTPStatus.UNAUTHORIZED, ClientError(None, "No key."))
    assert told.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_wrong_method_is_told_the_right_ones() -> None:
    told = http.wrong_method("POST", "OPTIONS")
    assert (told.status_code, told.headers["Allow"]) == (405, "POST, OPTIONS")
    assert "takes POST and OPTIONS" in told.body.decode()
