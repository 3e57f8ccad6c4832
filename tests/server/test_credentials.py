from __future__ import annotations

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request

from realtime.server.credentials import offered, presented


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
