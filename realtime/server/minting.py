"""The addresses where browsers' client secrets are made (PROTOCOL 1.6): one of GA, two of beta. Each takes a POST with a key.

What a session is to be like is judged here as a `session.update` would be, by the same codecs, so that whoever mints is told at once.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from websockets.http11 import Request, Response

from realtime.errors import ClientError
from realtime.server import http, openings
from realtime.server.access import Access, Admission
from realtime.server.bodies import MAX_BODY, Incoming
from realtime.session.abilities import Abilities
from realtime.session.ids import Ids
from realtime.wire.client import SessionUpdate
from realtime.wire.codec import Codec, client_error
from realtime.wire.mcp import McpTool
from realtime.wire.server import SessionCreated
from realtime.wire.settings import SettingsPatch

BETA_PATH = "/v1/realtime/sessions"
BETA_TRANSCRIPTION_PATH = "/v1/realtime/transcription_sessions"
PATHS = (http.SECRETS_PATH, BETA_PATH, BETA_TRANSCRIPTION_PATH)

BETA_SECONDS = 60
"""Life of a beta secret that asks for no other, as upstream has it."""

PREFLIGHT_SECONDS = 600
"""For which a browser may remember what it was allowed."""


class Expiry(Struct, frozen=True, forbid_unknown_fields=True):
    """How long a client secret opens sessions. Those that are open go on."""

    anchor: Literal["created_at"] = "created_at"
    seconds: Annotated[int, Meta(ge=10, le=7200)] = 600


class Wish(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of GA."""

    expires_after: Expiry | None = None
    session: Raw | UnsetType = UNSET


class BetaSecret(Struct, frozen=True, forbid_unknown_fields=True):
    expires_after: Expiry | None = None


class BetaWish(Struct, frozen=True):
    """What is read here of a body of beta: the whole of it is the session."""

    client_secret: BetaSecret | None = None


class Minted(Struct, frozen=True):
    """What the client is sent of a client secret."""

    value: str
    expires_at: int
    """Unix seconds."""


_read_wish = msgspec.json.Decoder(Wish).decode
_read_beta_wish = msgspec.json.Decoder(BetaWish).decode


class Mint(Struct, frozen=True, kw_only=True):
    """Answers those addresses."""

    access: Access
    ga: Codec
    beta: Codec
    abilities: Abilities
    model: str
    """That a session shows where none is named."""
    new_ids: Callable[[], Ids]

    def answer(self, request: Request, incoming: Incoming, now: float) -> Response:
        """`now`: Unix seconds."""
        if not self.access.origins.allow(request):
            return http.refusal(HTTPStatus.FORBIDDEN, ClientError(None, http.FOREIGN_PAGE))
        response = self._answer(request, incoming, now)
        for origin in request.headers.get_all("Origin"):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Vary"] = "Origin"
        return response

    def _answer(self, request: Request, incoming: Incoming, now: float) -> Response:
        if incoming.method == "OPTIONS":
            return _preflight(request)
        if incoming.method != "POST":
            return http.wrong_method("POST", "OPTIONS")
        try:
            admission = self.access.admit_minter(request, now)
        except ClientError as error:
            return http.refusal(HTTPStatus.UNAUTHORIZED, error)
        if incoming.fault is not None:
            message = f"The body can't be read: {incoming.fault.phrase}. It takes a Content-Length, of {MAX_BODY} bytes at the most."
            return http.refusal(incoming.fault, ClientError(None, message))
        try:
            made = self._mint(http.path(request), incoming.body or b"{}", admission, now)
        except ClientError as error:
            return http.refusal(HTTPStatus.BAD_REQUEST, error)
        response = http.json(HTTPStatus.OK, made)
        response.headers["Cache-Control"] = "no-store"
        return response

    def _mint(self, path: str, body: bytes, admission: Admission, now: float) -> dict[str, Any]:
        """Raises `ClientError`."""
        if path == http.SECRETS_PATH:
            wish = _read(_read_wish, body)
            expiry = wish.expires_after or Expiry()
            session = b"" if wish.session is UNSET or bytes(wish.session) == b"null" else bytes(wish.session)
            minted, shown = self._bind("ga", "session.update", session, admission, int(now) + expiry.seconds)
            return {"value": minted.value, "expires_at": minted.expires_at, "session": shown}
        secret = _read(_read_beta_wish, body).client_secret or BetaSecret()
        seconds = secret.expires_after.seconds if secret.expires_after else BETA_SECONDS
        type = "session.update" if path == BETA_PATH else "transcription_session.update"
        try:
            minted, shown = self._bind("beta", type, body, admission, int(now) + seconds)
        except ClientError as error:
            error.param = error.param.removeprefix("session.") if error.param else None
            raise
        return {**shown, "client_secret": minted}

    def _bind(
        self, dialect: Literal["ga", "beta"], type: str, session: bytes, admission: Admission, expires_at: int
    ) -> tuple[Minted, dict[str, Any]]:
        """A client secret for that session, and the session as it is shown. Raises `ClientError`."""
        codec = self.ga if dialect == "ga" else self.beta
        event = f'{{"type":"{type}","session":{session.decode()}}}' if session else None
        update = None if event is None else codec.decode(event)
        kind = openings.kind_of(update) if isinstance(update, SessionUpdate) else "realtime"
        id = self.new_ids().new("sess")
        # No session has begun yet that could end: upstream says 0, too.
        settings = openings.begin(kind, codec, self.abilities, id=id, model=self.model, expires_at=0)
        if isinstance(update, SessionUpdate):
            _check_secrets(update)
            settings = openings.bound(settings, update, self.abilities)
        secret = self.access.client_secrets.mint(admission.key, expires_at=expires_at, update=event, dialect=dialect)
        (frame,) = codec.encode(SessionCreated(session=settings))
        return Minted(secret, expires_at), msgspec.json.decode(frame)["session"]


def _read(decode: Callable[[str], Any], body: bytes) -> Any:
    try:
        return decode(body.decode())  # a `Raw` part would not be looked at
    except msgspec.ValidationError as error:
        raise client_error(str(error)) from None
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise ClientError("invalid_json", f"The body is not JSON: {error}") from None


def _check_secrets(update: SessionUpdate) -> None:
    """A client secret can be read by whoever holds it, and must not carry what opens somebody else's server. Raises `ClientError`."""
    tools = update.session.tools if isinstance(update.session, SettingsPatch) else UNSET
    if tools is not UNSET and any(isinstance(tool, McpTool) and (tool.authorization or tool.headers) for tool in tools):
        message = "A client secret can be read by its holder: name tool servers with 'authorization' or 'headers' in a session.update."
        raise ClientError("invalid_value", message, param="session.tools")


def _preflight(request: Request) -> Response:
    """What a browser asks before it posts from another origin (Fetch standard, 4.8)."""
    response = http.text(HTTPStatus.NO_CONTENT, "")
    del response.headers["Content-Type"], response.headers["Content-Length"]  # RFC 9110, 8.6
    response.headers["Access-Control-Allow-Methods"] = "POST"
    response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
    for names in request.headers.get_all("Access-Control-Request-Headers")[:1]:  # SDKs have dozens of their own
        response.headers["Access-Control-Allow-Headers"] = names
    return response
