from __future__ import annotations

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request

from realtime.server.origins import Origins, is_loopback

APP = "https://app.example"

LOCAL = Origins(loopback=True, keys=False)
"""As it comes: nobody needs a key."""
LOCAL_KEYED = Origins(loopback=True, keys=True)
"""Behind a proxy on the same machine, say."""
PUBLIC = Origins(loopback=False, keys=True)
INSECURE = Origins(loopback=False, keys=False)


def request(*origins: str, host: str | None = "localhost:8001") -> Request:
    hosts = [] if host is None else [("Host", host)]
    return Request("/v1/realtime", Headers([*hosts, *(("Origin", origin) for origin in origins)]))


@pytest.mark.parametrize("rules", [LOCAL, LOCAL_KEYED, PUBLIC, INSECURE])
def test_who_is_no_browser_has_no_origin_and_may(rules: Origins) -> None:
    assert rules.allow(request())


@pytest.mark.parametrize("rules", [LOCAL, LOCAL_KEYED, PUBLIC, INSECURE])
@pytest.mark.parametrize(
    "origin",
    [APP, "null", "", "http://localhost.evil.example", "http://127.0.0.1.evil.example", "http://[::1", "file://", "localhost:8001"],
)
def test_a_strange_page_may_not(rules: Origins, origin: str) -> None:
    assert not rules.allow(request(origin))


@pytest.mark.parametrize(
    "origin", ["http://localhost", "https://localhost:3000", "http://127.0.0.1:5173", "http://127.8.0.1", "http://[::1]:80"]
)
def test_pages_of_this_machine_may_while_it_listens_for_this_machine_alone(origin: str) -> None:
    assert LOCAL.allow(request(origin))
    assert LOCAL_KEYED.allow(request(origin))
    assert not PUBLIC.allow(request(origin, host="voice.example"))


@pytest.mark.parametrize("host", ["voice.example", "voice.example:8443", "10.0.0.7:8001", "[fd00::7]:8001"])
def test_a_page_of_this_very_server_may(host: str) -> None:
    assert PUBLIC.allow(request(f"https://{host}", host=host))
    assert LOCAL_KEYED.allow(request(f"https://{host}", host=host))
    assert not PUBLIC.allow(request(f"https://{host}", host="other.example"))
    assert not PUBLIC.allow(request(f"https://{host}", host=None))


@pytest.mark.parametrize("rules", [LOCAL, INSECURE])
def test_where_no_key_protects_a_name_that_may_have_been_rebound_is_not_believed(rules: Origins) -> None:
    assert not rules.allow(request("http://evil.example:8001", host="evil.example:8001"))
    assert rules.allow(request("http://192.168.0.7:8001", host="192.168.0.7:8001"))


def test_pages_that_were_named_may() -> None:
    rules = Origins(allowed=frozenset({APP}), loopback=False, keys=False)
    assert rules.allow(request(APP))
    assert not rules.allow(request("http://app.example"))
    assert not rules.allow(request(APP + ":8443"))
    assert not rules.allow(request("null"))


def test_a_star_is_any_page() -> None:
    rules = Origins(allowed=frozenset({"*"}), loopback=False, keys=False)
    assert rules.allow(request(APP))
    assert rules.allow(request("null"))


def test_two_origins_are_none() -> None:
    assert not Origins(allowed=frozenset({"*"}), loopback=True, keys=True).allow(request(APP, APP))


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "127.0.0.1", "127.1.2.3", "::1"])
def test_this_machine_alone(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.example.org", "[::1]", "::ffff:10.0.0.1"])
def test_more_than_this_machine(host: str) -> None:
    assert not is_loopback(host)
