"""Which address speaks which dialect, and what plain HTTP requests are told."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

Dialect = Literal["ga", "beta", "classic"]

CLASSIC_PATH = "/ws/realtime"
STANDARD_PATH = "/v1/realtime"
AZURE_PATHS = ("/openai/v1/realtime", "/openai/realtime")
"""The same under the addresses that Azure's clients build (PROTOCOL 1.1)."""
PATHS = (STANDARD_PATH, CLASSIC_PATH, *AZURE_PATHS)
BETA_SUBPROTOCOL = "openai-beta.realtime-v1"
SUBPROTOCOL = "realtime"

INDEX = f"""\
realtime: a voice server that speaks the OpenAI Realtime protocol over websockets.

  {STANDARD_PATH}   GA; beta with the header OpenAI-Beta: realtime=v1
  {CLASSIC_PATH}   classic
  /healthz       is it alive
  /readyz        is it ready for new sessions
  /metrics       what it counts and measures, for Prometheus
"""


def dialect(request: Request) -> Dialect:
    """Chosen once, at the handshake (PROTOCOL 0.2)."""
    if urlsplit(request.path).path == CLASSIC_PATH:
        return "classic"
    beta = any("realtime=v1" in value for value in request.headers.get_all("OpenAI-Beta"))
    return "beta" if beta or BETA_SUBPROTOCOL in offered(request) else "ga"


def offered(request: Request) -> list[str]:
    """The subprotocols that the client offers."""
    return [name.strip() for value in request.headers.get_all("Sec-WebSocket-Protocol") for name in value.split(",")]


def model(request: Request) -> str | None:
    """The model that the address names; Azure's older clients call it their deployment."""
    query = parse_qs(urlsplit(request.path).query)
    return next(iter(query.get("model", []) + query.get("deployment", [])), None)


def transcribes_only(request: Request) -> bool:
    """Does the address ask for a transcription-only session (PROTOCOL 1.1)?"""
    return parse_qs(urlsplit(request.path).query).get("intent") == ["transcription"]


def answer(connection: ServerConnection, request: Request) -> Response | None:
    """The response to a request that is no websocket handshake; None for one that may be."""
    path = urlsplit(request.path).path
    if path in PATHS:
        return None
    if path == "/":
        return connection.respond(HTTPStatus.OK, INDEX)
    if path == "/healthz":
        return connection.respond(HTTPStatus.OK, "ok\n")
    return connection.respond(HTTPStatus.NOT_FOUND, f"There is nothing at {path}.\n\n{INDEX}")


def subprotocol(connection: ServerConnection, names: Sequence[Subprotocol]) -> Subprotocol | None:
    """`realtime` when it is offered; never a name that holds a key (PROTOCOL 1.3)."""
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in names else None
