"""Where a client puts its key: `Authorization: Bearer`, `api-key`, or a browser's subprotocol."""

from __future__ import annotations

from websockets.http11 import Request

SUBPROTOCOL_PREFIX = "openai-insecure-api-key."
"""What a browser offers, which can't set headers (PROTOCOL 1.3)."""


def offered(request: Request) -> list[str]:
    """The subprotocols that the client offers."""
    return [name.strip() for value in request.headers.get_all("Sec-WebSocket-Protocol") for name in value.split(",")]


def presented(request: Request) -> list[str]:
    """The keys that a request brings. Some clients bring the same in several places, and any of them may be the right one."""
    schemes = (value.strip().partition(" ") for value in request.headers.get_all("Authorization"))
    bearers = [key.strip() for scheme, _, key in schemes if scheme.lower() == "bearer"]
    names = [name.removeprefix(SUBPROTOCOL_PREFIX) for name in offered(request) if name.startswith(SUBPROTOCOL_PREFIX)]
    return [key for key in (*bearers, *request.headers.get_all("api-key"), *names) if key]
