"""Which web pages may connect. A browser lets any page open a websocket to any server, and says only where the page is from (`Origin`).

So without this any page that somebody visits could talk to the daemon on their machine. Programs other than browsers send no `Origin`;
what they may do is a matter of keys alone.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from msgspec import Struct
from websockets.http11 import Request

ANY = "*"


class Origins(Struct, frozen=True, kw_only=True):
    """The rules of one server."""

    allowed: frozenset[str] = frozenset()
    """As browsers write them; `*` is any."""
    loopback: bool
    """Does the server listen for its own machine alone? Then pages of that machine may connect."""
    keys: bool
    """Does everybody need a key?"""

    def allow(self, request: Request) -> bool:
        """May this request be obeyed, as far as its `Origin` goes?"""
        match request.headers.get_all("Origin"):
            case []:
                return True
            case [origin]:
                return ANY in self.allowed or origin in self.allowed or self._is_ours(origin, request.headers.get_all("Host"))
            case _:
                return False

    def _is_ours(self, origin: str, hosts: list[str]) -> bool:
        """Is it a page of this very server, or of this machine? `null` (a file, a sandbox) is neither."""
        host = _host(origin)
        if self.loopback and is_loopback(host):
            return True
        if hosts != [origin.partition("://")[2]]:
            return False
        # A stranger's name may come to stand for our address (DNS rebinding), and then its pages look like ours. An address can't; and
        # where keys are needed, such a page has none.
        return self.keys or _is_address(host)


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Is that this machine, by a name that cannot mean another? Names other than `localhost` might."""
    return host.lower() == "localhost" or (_is_address(host) and ip_address(host).is_loopback)
