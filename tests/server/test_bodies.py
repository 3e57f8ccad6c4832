from __future__ import annotations

from http import HTTPStatus
from itertools import pairwise

import pytest
from websockets.http11 import Request
from websockets.streams import StreamReader

from realtime.server.bodies import MAX_BODY, MAX_HEAD, Incoming

BODY = b'{"session":{}}'
POST = b"POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\nExpect: 100-continue\r\nAccept: */*\r\n\r\n" % len(BODY)
GET = b"GET /v1/realtime HTTP/1.1\r\nHost: h\r\n\r\n"


def read(data: bytes) -> Request:
    """What the library makes of it."""
    stream = StreamReader()
    stream.feed_data(data)
    parser = Request.parse(stream.read_line)
    with pytest.raises(StopIteration) as end:
        next(parser)
    request = end.value.value
    assert isinstance(request, Request)
    return request


def test_a_handshake_passes_untouched_and_what_follows_is_held_back() -> None:
    incoming = Incoming()
    assert incoming.feed(GET + b"\x89\x80") == GET
    assert incoming.feed(b"mask") == b""
    assert (incoming.method, incoming.body, incoming.behind) == ("GET", b"", b"\x89\x80mask")


@pytest.mark.parametrize("cut", range(1, len(GET) + 3))
def test_wherever_a_handshake_is_cut_its_end_is_found(cut: int) -> None:
    incoming, data = Incoming(), GET + b"\x89\x80"
    passed = [incoming.feed(data[:cut]), incoming.feed(data[cut:])]
    assert (b"".join(passed), incoming.behind) == (GET, b"\x89\x80")
    assert passed[0] == (GET[:cut] if cut >= len(b"GET ") else b""), "how long a head may be is the library's business"


def test_a_body_is_kept_and_the_library_is_told_of_a_plain_request() -> None:
    incoming = Incoming()
    request = read(incoming.feed(POST + BODY))
    assert (request.path, dict(request.headers.raw_items())) == ("/v1/x", {"Host": "h", "Accept": "*/*"})
    assert (incoming.method, incoming.body, incoming.fault) == ("POST", BODY, None)


@pytest.mark.parametrize("data", [POST + BODY, GET])
def test_however_it_is_cut_it_is_read_the_same(data: bytes) -> None:
    whole = Incoming()
    expected = whole.feed(data)
    for cut in range(1, len(data)):
        incoming = Incoming()
        assert incoming.feed(data[:cut]) + incoming.feed(data[cut:]) == expected
        assert (incoming.method, incoming.body) == (whole.method, whole.body)
    bytewise = Incoming()
    assert b"".join(bytewise.feed(data[start:end]) for start, end in pairwise(range(len(data) + 1))) == expected


def test_nothing_is_passed_on_before_the_body_is_whole_nor_after() -> None:
    incoming = Incoming()
    assert incoming.feed(POST + BODY[:-1]) == b""
    assert incoming.feed(BODY[-1:] + b"GET /more HTTP/1.1\r\n\r\n") != b""
    assert incoming.feed(GET) == b""
    assert incoming.body == BODY


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "DELETE"])
def test_other_methods_need_no_body(method: str) -> None:
    incoming = Incoming()
    read(incoming.feed(f"{method} / HTTP/1.1\r\n\r\n".encode()))
    assert (incoming.method, incoming.body) == (method, b"")


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        (b"Content-Length: %d" % (MAX_BODY + 1), HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        (b"Content-Length: 999999999999999999", HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        (b"Transfer-Encoding: chunked", HTTPStatus.LENGTH_REQUIRED),
        (b"content-length: 5\r\nContent-Length: 6", HTTPStatus.BAD_REQUEST),
    ],
)
def test_a_body_that_can_not_be_read_is_not_waited_for(header: bytes, fault: HTTPStatus) -> None:
    incoming = Incoming()
    read(incoming.feed(b"POST / HTTP/1.1\r\n" + header + b"\r\n\r\n"))
    assert (incoming.method, incoming.body, incoming.fault) == ("POST", b"", fault)
    assert incoming.feed(bytes(100)) == b""


def test_the_largest_body_is_read() -> None:
    incoming = Incoming()
    incoming.feed(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % MAX_BODY + bytes(MAX_BODY))
    assert (len(incoming.body), incoming.fault) == (MAX_BODY, None)


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x02\x00", b"get / HTTP/1.1\r\n\r\n", b"POST\r\n\r\n", b"A" * 17, b"POST / " + bytes(MAX_HEAD)]
)
def test_what_is_no_request_is_left_for_the_library_to_refuse(data: bytes) -> None:
    incoming = Incoming()
    assert incoming.feed(data) == data
    assert incoming.feed(b"more") == b"more"
