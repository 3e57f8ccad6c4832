"""Which address speaks which dialect, and what plain HTTP requests are told."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from math import ceil
from typing import Literal
from urllib.parse import SplitResult, parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from realtime.errors import ClientError
from realtime.server.credentials import offered
from realtime.wire.codec import encode_json
from realtime.wire.server import ErrorInfo

Dialect = Literal["ga", "beta", "classic"]

CLASSIC_PATH = "/ws/realtime"
STANDARD_PATH = "/v1/realtime"
AZURE_PATHS = ("/openai/v1/realtime", "/openai/realtime")
"""The same under the addresses that Azure's clients build (PROTOCOL 1.1)."""
PATHS = (STANDARD_PATH, CLASSIC_PATH, *AZURE_PATHS)
SECRETS_PATH = "/v1/realtime/client_secrets"
FOREIGN_PAGE = "Pages of this origin may not connect: REALTIME_ALLOWED_ORIGINS (or --allowed-origins) says which may."
BETA_SUBPROTOCOL = "openai-beta.realtime-v1"
SUBPROTOCOL = "realtime"

INDEX = f"""\
realtime: a voice server that speaks the OpenAI Realtime protocol over websockets.

  {STANDARD_PATH}   GA; beta with the header OpenAI-Beta: realtime=v1
  {CLASSIC_PATH}   classic
  /              this, or for browsers a page to talk with
  /healthz       is it alive
  /readyz        is it ready for new sessions
  /metrics       what it counts and measures, for Prometheus

POST {SECRETS_PATH} makes a client secret for a browser.
"""


def path(request: Request) -> str:
    return _target(request).path


def _target(request: Request) -> SplitResult:
    """What is asked for; mostly without a host (RFC 9112, 3.2)."""
    try:
        return urlsplit(request.path)
    except ValueError:  # `//[` looks like the beginning of a host that is none
        return SplitResult("", "", request.path, "", "")


def dialect(request: Request) -> Dialect:
    """Chosen once, at the handshake (PROTOCOL 0.2)."""
    if path(request) == CLASSIC_PATH:
        return "classic"
    beta = any("realtime=v1" in value for value in request.headers.get_all("OpenAI-Beta"))
    return "beta" if beta or BETA_SUBPROTOCOL in offered(request) else "ga"


def model(request: Request) -> str | None:
    """The model that the address names; Azure's older clients call it their deployment."""
    query = parse_qs(_target(request).query)
    return next(iter(query.get("model", []) + query.get("deployment", [])), None)


def session_id(request: Request) -> str | None:
    """The session that the address wants to go on with: extension of this server."""
    return _first(request, "session_id")


def last_event_id(request: Request) -> str | None:
    """The last event of that session that the client got."""
    return _first(request, "last_event_id")


def _first(request: Request, name: str) -> str | None:
    return next(iter(parse_qs(_target(request).query).get(name, [])), None)


def transcribes_only(request: Request) -> bool:
    """Does the address ask for a transcription-only session (PROTOCOL 1.1)?"""
    return parse_qs(_target(request).query).get("intent") == ["transcription"]


def page(request: Request, method: str) -> Response:
    """What stands at an address that is no websocket's."""
    response = _page(path(request))
    if method not in ("GET", "HEAD"):
        return wrong_method("GET", "HEAD")
    if method == "HEAD":
        response.body = b""  # the head stays as it is (RFC 9110, 9.3.2)
    return response


def _page(address: str) -> Response:
    match address:
        case "/":
            return text(HTTPStatus.OK, INDEX)
        case "/healthz":
            return text(HTTPStatus.OK, "ok\n")
        case _:
            return text(HTTPStatus.NOT_FOUND, f"There is nothing at {address}.\n\n{INDEX}")


def text(status: HTTPStatus, said: str) -> Response:
    return answer(status, "text/plain; charset=utf-8", said.encode())


def json(status: HTTPStatus, said: object) -> Response:
    return answer(status, "application/json", encode_json(said))


def refusal(status: HTTPStatus, error: ClientError, *, retry_seconds: float | None = None) -> Response:
    """An error in the shape that OpenAI's HTTP endpoints give it. `retry_seconds`: after which it is worth trying again."""
    told = ErrorInfo(type=error.type, code=error.code, message=error.message, param=error.param)
    response = json(status, {"error": told})
    if status is HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="realtime"'  # RFC 9110, 15.5.2
    if retry_seconds is not None:
        response.headers["Retry-After"] = str(ceil(retry_seconds))  # RFC 9110, 10.2.3: whole seconds
    return response


def wrong_method(*allowed: str) -> Response:
    response = refusal(HTTPStatus.METHOD_NOT_ALLOWED, ClientError(None, f"This address takes {' and '.join(allowed)}."))
    response.headers["Allow"] = ", ".join(allowed)  # RFC 9110, 15.5.6
    return response


def answer(status: HTTPStatus, kind: str, body: bytes) -> Response:
    head = {"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"}
    return Response(status.value, status.phrase, Headers(head), body)


def subprotocol(connection: ServerConnection, names: Sequence[Subprotocol]) -> Subprotocol | None:
    """`realtime` when it is offered; never a name that holds a key (PROTOCOL 1.3)."""
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in names else None
