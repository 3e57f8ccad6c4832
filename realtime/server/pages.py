"""The browser client, served as it lies in `clients/browser`.

The files are read once, when the server starts, into a table by address: a request is looked up in it and never becomes a path. In a
checkout `browser` beside this module is a link to that folder; a wheel carries the files themselves in its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path

from msgspec import Struct
from websockets.http11 import Request, Response

from realtime.server import http

FOLDER = Path(__file__).parent / "browser"

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Suffixes that are served; whatever else lies in the folder (its README, its screenshots) is not."""

FRONT = "index.html"

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "connect-src 'self' ws: wss:",  # the page may be pointed at another server
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""No script, style or request of anybody else's: a page that holds a key and a microphone."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "microphone=(self), camera=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",  # kept, and asked for each time: an update of the daemon is one of its page
}


class File(Struct, frozen=True):
    """One file of the client."""

    kind: str
    """As `Content-Type`."""
    body: bytes
    tag: str
    """As `ETag`."""


class Pages:
    """The table of one server."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {f"/{path.name}": _read(path) for path in _served(folder)}
        if front := self._files.get(f"/{FRONT}"):
            self._files["/"] = front

    def answer(self, request: Request, method: str) -> Response | None:
        """None for an address that is none of the client's, and for `/` where no browser asks."""
        address = http.path(request)
        file = self._files.get(address)
        if file is None or (address == "/" and not _is_browser(request)):
            return None
        if method not in ("GET", "HEAD"):
            return http.wrong_method("GET", "HEAD")
        response = _unchanged(file) if _has(request, file.tag) else http.answer(HTTPStatus.OK, file.kind, file.body)
        response.headers.update(HEADERS | {"ETag": file.tag})
        if address == "/":
            response.headers["Vary"] = "Accept"
        if method == "HEAD":
            response.body = b""  # the head stays as it is (RFC 9110, 9.3.2)
        return response


def _served(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in KINDS)


def _read(path: Path) -> File:
    body = path.read_bytes()
    return File(KINDS[path.suffix], body, f'"{sha256(body).hexdigest()[:16]}"')


def _is_browser(request: Request) -> bool:
    """Browsers ask for pages by name; curl and its like take anything, and get the index of addresses."""
    return any("text/html" in value for value in request.headers.get_all("Accept"))


def _has(request: Request, tag: str) -> bool:
    """Does who asks have this very file (RFC 9110, 13.1.2)?"""
    given = ",".join(request.headers.get_all("If-None-Match"))
    return tag in (each.strip().removeprefix("W/") for each in given.split(","))


def _unchanged(file: File) -> Response:
    response = http.answer(HTTPStatus.NOT_MODIFIED, file.kind, b"")
    del response.headers["Content-Length"]  # of the file it would have to be (RFC 9110, 8.6), or none
    return response
