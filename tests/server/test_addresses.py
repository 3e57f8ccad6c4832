from __future__ import annotations

from ipaddress import ip_network

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request

from realtime.server.addresses import Addresses

BEHIND = Addresses((ip_network("10.0.0.0/8"), ip_network("::1/128"), ip_network("192.0.2.7")))


def request(*forwarded: str) -> Request:
    return Request("/v1/realtime", Headers([("X-Forwarded-For", value) for value in forwarded]))


@pytest.mark.parametrize(
    ("peer", "counted"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, None),
    ],
)
def test_the_peer_counts_and_of_ipv6_what_one_customer_has(peer: str | None, counted: str | None) -> None:
    assert Addresses().whose(peer, request()) == counted


def test_nobody_is_believed_who_is_not_trusted() -> None:
    assert Addresses().whose("203.0.113.5", request("198.51.100.1")) == "203.0.113.5"
    assert BEHIND.whose("203.0.113.5", request("198.51.100.1")) == "203.0.113.5"
    assert Addresses().whose(None, request("198.51.100.1")) is None


@pytest.mark.parametrize(
    ("forwarded", "counted"),
    [
        (["198.51.100.1"], "198.51.100.1"),
        (["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        (["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
        (["1.1.1.1, 198.51.100.1, 192.0.2.7,10.1.1.1"], "198.51.100.1"),
        (["10.9.9.9, 10.1.1.1"], "10.9.9.9"),
        (["198.51.100.1:4711"], "198.51.100.1"),
        (["[2001:db8::1]:4711"], "2001:db8::/64"),
        (["2001:db8::1"], "2001:db8::/64"),
        ([], "10.0.0.1"),
        (["", " , "], "10.0.0.1"),
    ],
)
def test_a_trusted_proxy_is_believed_up_to_the_last_that_is_not(forwarded: list[str], counted: str) -> None:
    assert BEHIND.whose("10.0.0.1", request(*forwarded)) == counted


@pytest.mark.parametrize("nonsense", ["unknown", "_hidden", "300.1.1.1", "[::1", "a b", ":80"])
def test_where_nonsense_is_written_the_proxy_that_wrote_it_counts(nonsense: str) -> None:
    assert BEHIND.whose("10.0.0.1", request(f"1.1.1.1, {nonsense}")) == "10.0.0.1"
    assert BEHIND.whose("10.0.0.1", request(f"1.1.1.1, {nonsense}, 10.1.1.1")) == "10.1.1.1"


def test_a_unix_socket_is_a_proxy_where_any_is_trusted() -> None:
    assert BEHIND.whose(None, request("198.51.100.1")) == "198.51.100.1"
    assert BEHIND.whose(None, request()) is None
    assert BEHIND.whose(None, request("unknown")) is None
