"""The browser client, as this server gives it to browsers: files that are read once, at start, and no others.

They lie in `clients/browser` of a checkout, and in the package `realtime.browser` of an installed wheel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from http import HTTPStatus
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

PACKAGE = "realtime.browser"
CHECKOUT = Path(__file__).parents[2] / "clients" / "browser"
FRONT = "index.html"

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is served, and as what. Whatever else lies in the folder is for people who look into it."""

POLICY = (
    "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data: blob:; media-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Content Security Policy, level 3: nothing of others, but for the servers that a person may name."""


class Pages:
    """By their paths, `/` among them."""

    def __init__(self, folder: Traversable | None = None) -> None:
        self._files = {f"/{name}": (KINDS[Path(name).suffix], body, _tag(body)) for name, body in _read(folder or _folder())}
        if f"/{FRONT}" in self._files:
            self._files["/"] = self._files[f"/{FRONT}"]

    def answer(self, path: str, request: Request) -> Response | None:
        """None where there is no such file, and for `/` where it is no browser that asks."""
        if path not in self._files or (path == "/" and not any("text/html" in each for each in request.headers.get_all("Accept"))):
            return None
        kind, body, tag = self._files[path]
        headers = Headers(
            {
                "Content-Type": kind,
                "ETag": tag,
                "Cache-Control": "no-cache",  # with the tag: looked for again each time, and sent once (RFC 9111, 5.2.2.4)
                "Content-Security-Policy": POLICY,
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
                "Connection": "close",
            }
        )
        if tag in request.headers.get_all("If-None-Match"):
            return Response(HTTPStatus.NOT_MODIFIED.value, HTTPStatus.NOT_MODIFIED.phrase, headers)
        headers["Content-Length"] = str(len(body))
        return Response(HTTPStatus.OK.value, HTTPStatus.OK.phrase, headers, body)


def _folder() -> Traversable:
    return CHECKOUT if CHECKOUT.is_dir() else files(PACKAGE)


def _read(folder: Traversable) -> Iterator[tuple[str, bytes]]:
    for file in folder.iterdir():
        if Path(file.name).suffix in KINDS:
            yield file.name, file.read_bytes()


def _tag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'
