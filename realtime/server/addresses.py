"""Whose address a client comes from, also from behind proxies, and what counts as one."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from msgspec import Struct
from websockets.http11 import Request

from realtime.values import Network

Address = IPv4Address | IPv6Address

HOUSEHOLD = 64
"""Bits of an IPv6 address that are given to one customer at the least (RFC 6177): who has one such address has 2^64 of them."""


class Addresses(Struct, frozen=True):
    """The rules of one server."""

    trusted: tuple[Network, ...] = ()
    """Proxies whose `X-Forwarded-For` is believed."""

    def whose(self, peer: str | None, request: Request) -> str | None:
        """What the client's sessions are counted by; None where nobody can tell. `peer` is the other end of the socket. One without an
        address (a unix socket) is a proxy of this machine, and trusted if any is."""
        address = None if peer is None else _parsed(peer)
        if self.trusted:
            for hop in _hops(request):
                if not self._trust(address):
                    break
                if hop is None:  # a trusted proxy wrote what can't be read: more is not known
                    break
                address = hop
        return None if address is None else _counted(address)

    def _trust(self, address: Address | None) -> bool:
        return address is None or any(address in network for network in self.trusted)


def _hops(request: Request) -> Iterator[Address | None]:
    """What each proxy says of who asked it, ours first. Whoever is beyond the last that is trusted may have written anything."""
    said = ",".join(request.headers.get_all("X-Forwarded-For"))
    return (_parsed(hop.strip()) for hop in reversed(said.split(",")) if hop.strip())


def _parsed(text: str) -> Address | None:
    """Some proxies add a port, and brackets to IPv6. An IPv4 address that comes as IPv6 is the same one."""
    try:
        address = ip_address(text)
    except ValueError:
        try:
            address = ip_address(urlsplit(f"//{text}").hostname or "")
        except ValueError:
            return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _counted(address: Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address), HOUSEHOLD), strict=False))
