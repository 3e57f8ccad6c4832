"""Frames and handshakes on a raw socket, right and wrong, against a real daemon: what RFC 6455 says must come of them.

The cases are in tests/rigs/rfc6455.py. Compression is not tried, for it is never agreed to.
"""

from __future__ import annotations

import json

import pytest

from tests.rigs.daemon import Daemon
from tests.rigs.raw_socket import ACCEPT, CLOSE, PING, PONG, TEXT, RawSocket, frame, handshake
from tests.rigs.rfc6455 import HI, Case, cases

LAST = b"the last of all"
"""Of a ping: once its pong is here, everything before it has been read, and what is answered at once has been."""

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_frames(scripted: Daemon, case: Case) -> None:
    with RawSocket(scripted.port) as client:
        client.event("session.created")
        client.write(case.data, step=case.step)
        if case.closes is not None or case.answered is not None:
            ends(client, case)
        else:
            goes_on(client, case)


def ends(client: RawSocket, case: Case) -> None:
    pongs = []
    while (received := client.next()) is not None and received.opcode != CLOSE:
        pongs += [received.payload] if received.opcode == PONG else []
    assert received is not None, "it says goodbye before it goes"
    assert tuple(pongs) == case.pongs
    if case.closes is not None:
        assert received.code == case.closes
    else:
        assert received.payload == case.answered
    assert client.next() is None, "nothing follows a close, and the connection ends"


def goes_on(client: RawSocket, case: Case) -> None:
    """What is due comes, nothing else does, and the session lives."""
    pongs: list[bytes] = []
    texts: list[str] = []
    errors: list[str] = []
    client.write(frame(PING, LAST))
    while LAST not in pongs or (len(texts), len(errors)) != (len(case.texts), len(case.errors)):
        received = client.next()
        assert received is not None, "it lives on"
        if received.opcode == PONG:
            pongs.append(received.payload)
            continue
        assert received.opcode == TEXT
        event = json.loads(received.payload)
        if event["type"] == "conversation.item.done":
            texts.append(event["item"]["content"][0]["text"])
        elif event["type"] == "error":
            errors.append(event["error"]["code"])
    assert (tuple(texts), tuple(pongs), tuple(errors)) == (case.texts, (*case.pongs, LAST), case.errors)


def test_the_table_is_as_large_as_it_says() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 200


# The handshake (RFC 6455, 4.2)

REFUSED: dict[str, tuple[bytes, int]] = {
    "no Upgrade": (handshake(without="Upgrade"), 426),
    "another Upgrade": (handshake(Upgrade="h2c"), 426),
    "no Connection": (handshake(without="Connection"), 426),
    "another Connection": (handshake(Connection="keep-alive"), 426),
    "no key": (handshake(without="Sec-WebSocket-Key"), 400),
    "a short key": (handshake(Sec_WebSocket_Key="AAAA"), 400),
    "a key that is not base64": (handshake(Sec_WebSocket_Key="?" * 24), 400),
    "no version": (handshake(without="Sec-WebSocket-Version"), 400),
    "an old version": (handshake(Sec_WebSocket_Version="8"), 400),
    "a newer version": (handshake(Sec_WebSocket_Version="14"), 400),
    "an old HTTP": (handshake(line="GET /v1/realtime HTTP/1.0"), 505),
    "another method": (handshake(line="POST /v1/realtime HTTP/1.1"), 405),
    "no such address": (handshake("/v1/reeltime"), 404),
    "a broken host for an address": (handshake("//["), 404),
    "a line that is too long": (handshake("/" + "a" * 20_000), 414),
    "a header that is too long": (handshake(X_Long="a" * 20_000), 431),
    "too many headers": (handshake(**{f"X_{number}": "a" for number in range(300)}), 431),
    "a page of somewhere else": (handshake(Origin="http://elsewhere.example"), 403),
    "a page of nowhere": (handshake(Origin="http://["), 403),
}

NO_ANSWER: dict[str, bytes] = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100) + b"\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no protocol": handshake(line="GET /v1/realtime"),
    "a name with a space": handshake(**{"Bad name": "x"}),
    "a name that is none": handshake(**{"(": "x"}),
    "a null in a header": handshake(X="a\0b"),
    "lines that end with LF": handshake().replace(b"\r\n", b"\n"),
    "a folded line": handshake(X="a\r\n b"),
}

TAKEN: dict[str, bytes] = {
    "as it should be": handshake(),
    "other capitals": handshake(Upgrade="WebSocket", Connection="keep-alive, upgrade"),
    "a query": handshake("/v1/realtime?model=a&model=b&&=&%ff"),
    "an absolute address": handshake("http://localhost/v1/realtime"),
    "compression offered": handshake(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits"),
    "extensions that are none": handshake(Sec_WebSocket_Extensions="?"),
    "protocols offered": handshake(Sec_WebSocket_Protocol="a, realtime, b"),
    "headers of any bytes": handshake(X="\xff\xfe", Cookie="a=b"),
    "blanks around values": handshake(Upgrade="  websocket\t"),
    "a length of nothing": handshake(Content_Length="0"),
}


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_a_handshake_that_is_none_is_told_so(scripted: Daemon, data: bytes, status: int) -> None:
    with RawSocket(scripted.port, shake=False) as client:
        client.write(data)
        assert client.head().split(b" ")[1] == str(status).encode()
        client.rest()  # the connection ends


@pytest.mark.parametrize("data", NO_ANSWER.values(), ids=NO_ANSWER.keys())
def test_what_is_no_http_has_no_answer_and_an_end(scripted: Daemon, data: bytes) -> None:
    with RawSocket(scripted.port, shake=False) as client:
        client.write(data)
        client.end()
        assert client.rest() == b""


@pytest.mark.parametrize("data", TAKEN.values(), ids=TAKEN.keys())
@pytest.mark.parametrize("step", [0, 1, 7])
def test_a_handshake_is_taken_however_it_comes(scripted: Daemon, data: bytes, step: int) -> None:
    with RawSocket(scripted.port, shake=False) as client:
        client.write(data, step=step)
        head = client.head()
        assert head.startswith(b"HTTP/1.1 101 ")
        assert ACCEPT in head
        assert b"Sec-WebSocket-Extensions" not in head, "nothing is compressed"
        client.event("session.created")


def test_a_handshake_that_is_cut_at_any_byte_leaves_nothing_behind(scripted: Daemon) -> None:
    data = handshake()
    for at in range(len(data)):
        with RawSocket(scripted.port, shake=False) as client:
            client.write(data[:at])
            client.end()
            assert client.rest() == b"", at
    with RawSocket(scripted.port) as client:
        client.event("session.created")


def test_a_handshake_that_is_reset_at_any_byte_leaves_nothing_behind(scripted: Daemon) -> None:
    data = handshake() + frame(TEXT, HI)
    for at in range(len(data) + 1):
        client = RawSocket(scripted.port, shake=False)
        client.write(data[:at])
        client.reset()
    with RawSocket(scripted.port) as client:
        client.event("session.created")


@pytest.mark.parametrize("step", [0, 1, len(handshake()) + 3])
def test_frames_right_behind_the_handshake_wait_for_its_answer(scripted: Daemon, step: int) -> None:
    with RawSocket(scripted.port, shake=False) as client:
        client.write(handshake() + frame(PING, b"early") + frame(TEXT, HI) + frame(CLOSE, b"\x03\xe8"), step=step)
        assert client.head().startswith(b"HTTP/1.1 101 ")
        assert client.control(PONG) == (PONG, b"early")
        assert client.control(CLOSE) == (CLOSE, b"\x03\xe8")


@pytest.mark.parametrize("early", [1, 5, 13, 14, 1000, (1 << 20) + 14, (2 << 20) + 3])
def test_a_large_frame_may_begin_right_behind_the_handshake(scripted: Daemon, early: int) -> None:
    large = frame(TEXT, HI.ljust(3 << 20))
    with RawSocket(scripted.port, shake=False) as client:
        client.write(handshake() + large[:early])
        assert client.head().startswith(b"HTTP/1.1 101 ")
        client.write(large[early:])
        assert client.event("conversation.item.done")["item"]["content"][0]["text"] == "hi"
