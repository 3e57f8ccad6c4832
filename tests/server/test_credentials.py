from __future__ import annotations

import logging

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request

from realtime.server.credentials import hide, offered, presented


def request(*headers: tuple[str, str]) -> Request:
    return Request("/v1/realtime", Headers(headers))


@pytest.mark.parametrize(
    ("asked", "keys"),
    [
        (request(), []),
        (request(("Authorization", "Bearer k")), ["k"]),
        (request(("authorization", "bearer  k ")), ["k"]),
        (request(("Authorization", "Basic dTpw")), []),
        (request(("Authorization", "Bearer")), []),
        (request(("Authorization", "Bearer ")), []),
        (request(("api-key", "k")), ["k"]),
        (request(("api-key", "")), []),
        (request(("Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key.k, openai-beta.realtime-v1")), ["k"]),
        (request(("Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key.")), []),
        (request(("Authorization", "Basic dTpw"), ("api-key", "k")), ["k"]),
        (
            request(("api-key", "b"), ("Authorization", "Bearer a"), ("Sec-WebSocket-Protocol", "openai-insecure-api-key.c")),
            ["a", "b", "c"],
        ),
    ],
)
def test_every_way_of_bringing_a_key_is_understood(asked: Request, keys: list[str]) -> None:
    assert presented(asked) == keys


def test_subprotocols_may_come_in_several_headers() -> None:
    assert offered(request(("Sec-WebSocket-Protocol", "a, b"), ("Sec-WebSocket-Protocol", "c"))) == ["a", "b", "c"]


def logged(message: str, *arguments: object) -> str:
    record = logging.LogRecord("websockets.server", logging.DEBUG, "", 0, message, arguments, None)
    assert hide(record)
    return record.getMessage()


@pytest.mark.parametrize("name", ["Authorization", "API-Key", "Sec-WebSocket-Protocol"])
def test_no_log_shows_a_header_that_may_hold_a_key(name: str) -> None:
    assert logged("< %s: %s", name, "Bearer secret") == f"< {name}: ***"


def test_other_lines_stay_as_they_are() -> None:
    assert logged("< %s: %s", "Host", "localhost") == "< Host: localhost"
    assert logged("= connection is %s after %d s", "OPEN", 3) == "= connection is OPEN after 3 s"
    assert logged("connection open") == "connection open"
