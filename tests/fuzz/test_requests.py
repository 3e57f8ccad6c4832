"""What a stranger writes before there is a session: the head and the body, however they are cut; and whatever is asked has an answer."""

from __future__ import annotations

from http import HTTPStatus
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from realtime.errors import ClientError
from realtime.server import http, minting
from realtime.server.access import Access
from realtime.server.addresses import Addresses
from realtime.server.bodies import MAX_BODY, Incoming
from realtime.server.client_secrets import ClientSecrets
from realtime.server.ids import RandomIds
from realtime.server.keys import Key, Keys, hashed
from realtime.server.origins import Origins
from realtime.server.pages import Pages
from realtime.session.abilities import Abilities
from realtime.wire.beta import BetaCodec
from realtime.wire.codec import GaCodec
from tests.fuzz.corpus import kept
from tests.fuzz.dice import cut, split
from tests.fuzz.shapes import words

NOW = 1_000.0
KEY = "a-long-random-key"
OPEN = Access(None, ClientSecrets(None), Origins(loopback=True, keys=False))
KEYED = Access(
    lambda: Keys([Key("phone", hashed(KEY))]),
    ClientSecrets(None),
    Origins(allowed=frozenset({"http://a.example"}), loopback=False, keys=True),
)
ADDRESSES = Addresses((ip_network("127.0.0.1"), ip_network("10.0.0.0/8")))
PAGES = Pages()

DICTIONARY = [
    *words(minting),
    *(
        "GET ",
        "POST ",
        "OPTIONS ",
        " HTTP/1.1",
        "Content-Length: ",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue",
        "Origin: ",
        "Host: ",
    ),
    *("Authorization: Bearer ", "api-key: ", "Sec-WebSocket-Protocol: ", "X-Forwarded-For: ", "openai-insecure-api-key.", "ek_", KEY),
    *(
        "/v1/realtime",
        "/ws/realtime",
        "/v1/realtime/client_secrets",
        "/v1/realtime/sessions",
        "?model=",
        "intent=transcription",
        "//[",
        "%00",
    ),
]

Read = tuple[bytes, str, bytes, HTTPStatus | None, bytes]


def check(data: bytes) -> None:
    sizes, stream = split(data)
    incoming = Incoming()
    passed = b"".join(incoming.feed(piece) for piece in cut(stream, sizes) if piece)
    whole = Incoming()
    assert (whole.feed(stream), *seen(whole)) == (passed, *seen(incoming)), "however it is cut"
    assert len(incoming.body) <= MAX_BODY
    assert incoming.method == "GET" or passed[:4] in (b"", b"GET ")
    assert not incoming.behind or passed.endswith(b"\r\n\r\n")
    protocol = ServerProtocol()
    protocol.receive_data(passed)
    for request in protocol.events_received():
        if isinstance(request, Request):
            answer(request, incoming)


def seen(incoming: Incoming) -> tuple[str, bytes, HTTPStatus | None, bytes]:
    return incoming.method, incoming.body, incoming.fault, incoming.behind


def answer(request: Request, incoming: Incoming) -> None:
    """All that the listener asks about a request."""
    page = PAGES.answer(request, incoming.method) or http.page(request, incoming.method)
    assert isinstance(page, Response)
    assert page.status_code in (200, 404, 405)
    assert http.dialect(request) in ("ga", "beta", "classic")
    assert isinstance(http.model(request), str | None)
    assert isinstance(http.transcribes_only(request), bool)
    assert isinstance(http.session_id(request), str | None)
    assert isinstance(http.last_event_id(request), str | None)
    for peer in (None, "127.0.0.1", "203.0.113.9", "::1"):
        assert isinstance(ADDRESSES.whose(peer, request), str | None)
    for access in (OPEN, KEYED):
        admitted(access, request)
        mint = minting.Mint(access=access, ga=GaCodec(), beta=BetaCodec(), abilities=Abilities(), model="any", new_ids=RandomIds)
        response = mint.answer(request, incoming, NOW)
        assert response.status_code in (200, 204, 400, 401, 403, 405, 411, 413)
        assert b"\n" not in "".join(name + value for name, value in response.headers.raw_items()).encode(errors="replace")


def admitted(access: Access, request: Request) -> bool:
    try:
        access.admit(request, NOW)
    except ClientError as error:
        if error.code not in (None, "invalid_api_key"):
            raise
        return False
    return True


@pytest.mark.parametrize("path", kept("requests"), ids=lambda path: path.name)
def test_what_is_kept_is_answered(path: Path) -> None:
    check(path.read_bytes())


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    check(data)


LINES = st.one_of(
    st.sampled_from([word for word in DICTIONARY if word.endswith(": ")]).flatmap(
        lambda name: st.sampled_from(
            ["", "0", "2", "3", "65537", KEY, f"ek_{KEY}", "null", "http://a.example", "http://[", "[::1]:8001", "a, b"]
        ).map(lambda value: name + value)
    ),
    st.sampled_from(["Upgrade: websocket", "Transfer-Encoding: chunked", f"Authorization: Bearer {KEY}", "\xff: \xfe", "no colon", ""]),
    st.text(max_size=20),
)
PATHS = st.sampled_from(
    ["/", "//[", "/v1/realtime", *minting.PATHS, "/v1/realtime?model=%ff&intent=transcription", "*", "http://[::1]/metrics"]
)
BODIES = st.sampled_from([b"", b"{}", b"[]", b'{"session":null}', b'{"session":{"type":"realtime"}}', b'{"client_secret":{}}', b"\xff" * 3])


@given(
    st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "get", "A" * 17]), PATHS, st.lists(LINES, max_size=6), BODIES, st.binary(max_size=7)
)
def test_what_clients_ask(method: str, path: str, lines: list[str], body: bytes, sizes: bytes) -> None:
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, f"Content-Length: {len(body)}", "", ""]).encode(errors="surrogatepass")
    check(bytes([len(sizes)]) + sizes + head + body)
