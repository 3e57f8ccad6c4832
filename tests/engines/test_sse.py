"""The framing of Server-Sent Events, however the bytes are cut."""

from __future__ import annotations

import pytest

from realtime.engines.sse import MAX_EVENT, SseParser
from realtime.errors import EngineError


def whole(*chunks: bytes) -> list[bytes]:
    """The data of every event of a stream that came in these chunks."""
    parser = SseParser()
    return [data for chunk in chunks for data in parser.feed(chunk)] + parser.flush()


def byte_by_byte(stream: bytes) -> list[bytes]:
    return whole(*(stream[i : i + 1] for i in range(len(stream))))


STREAMS: dict[str, tuple[bytes, list[bytes]]] = {
    "the usual event": (b'data: {"a":1}\n\n', [b'{"a":1}']),
    "several events": (b"data: 1\n\ndata: 2\n\ndata: [DONE]\n\n", [b"1", b"2", b"[DONE]"]),
    "no space after the colon": (b"data:x\n\n", [b"x"]),
    "only one space is dropped": (b"data:  x\n\n", [b" x"]),
    "a colon in the data": (b"data: a:b\n\n", [b"a:b"]),
    "CR": (b"data: 1\r\rdata: 2\r\r", [b"1", b"2"]),
    "CRLF": (b"data: 1\r\n\r\ndata: 2\r\n\r\n", [b"1", b"2"]),
    "mixed line ends": (b"data: 1\r\n\ndata: 2\n\rdata: 3\n\r\n", [b"1", b"2", b"3"]),
    "comments": (b": ping\n\n:\n\ndata: 1\n: pong\n\n", [b"1"]),
    "other fields": (b"event: delta\nid: 7\nretry: 10\ndata: 1\n\nevent: ping\n\n", [b"1"]),
    "unknown fields": (b"database: 1\n\ndata : 2\n\nData: 3\n\n", []),
    "lines joined by LF": (b"data: a\ndata: b\r\ndata:\rdata: c\n\n", [b"a\nb\n\nc"]),
    "a field without a colon": (b"data\n\n", [b""]),
    "empty data": (b"data:\n\n", [b""]),
    "blank lines between": (b"\n\n\ndata: 1\n\n\n\n\ndata: 2\n\n", [b"1", b"2"]),
    "split UTF-8": ("data: grüße 🎧\n\n".encode(), ["grüße 🎧".encode()]),
    "byte order mark": (b"\xef\xbb\xbfdata: 1\n\n", [b"1"]),
    "one byte order mark only": (b"\xef\xbb\xbf\xef\xbb\xbfdata: 1\n\n", []),
    "a mark inside the stream is no mark": (b"data: 1\n\n\xef\xbb\xbfdata: 2\n\n", [b"1"]),
    "half a byte order mark": (b"\xef\xbbdata: 1\n\ndata: 2\n\n", [b"2"]),
    "end without a blank line": (b"data: 1\n\ndata: [DONE]\n", [b"1", b"[DONE]"]),
    "end inside a line": (b"data: 1\n\ndata: [DONE]", [b"1", b"[DONE]"]),
    "end inside a line, after CR": (b"data: 1\r", [b"1"]),
    "nothing": (b"", []),
}


@pytest.mark.parametrize(("stream", "events"), STREAMS.values(), ids=STREAMS)
def test_a_stream_in_one_chunk(stream: bytes, events: list[bytes]) -> None:
    assert whole(stream) == events


@pytest.mark.parametrize(("stream", "events"), STREAMS.values(), ids=STREAMS)
def test_a_stream_byte_by_byte(stream: bytes, events: list[bytes]) -> None:
    assert byte_by_byte(stream) == events


@pytest.mark.parametrize(("stream", "events"), STREAMS.values(), ids=STREAMS)
def test_a_stream_cut_in_two_anywhere(stream: bytes, events: list[bytes]) -> None:
    for cut in range(len(stream)):
        assert whole(stream[:cut], b"", stream[cut:]) == events, cut


def test_an_event_comes_out_as_soon_as_its_blank_line_is_in() -> None:
    parser = SseParser()
    assert parser.feed(b"data: 1\n") == []
    assert parser.feed(b"\ndata: 2") == [b"1"]
    assert parser.feed(b"\n\n") == [b"2"]


def test_a_cr_ends_the_event_without_waiting_for_an_lf() -> None:
    parser = SseParser()
    assert parser.feed(b"data: 1\r\n\r") == [b"1"]
    assert parser.feed(b"\ndata: 2\r\r") == [b"2"]


def test_flush_leaves_nothing() -> None:
    parser = SseParser()
    parser.feed(b"data: 1")
    assert (parser.flush(), parser.flush()) == ([b"1"], [])


def test_an_event_of_the_limit_passes() -> None:
    data = b"x" * MAX_EVENT
    assert whole(b"data: " + data + b"\n\n") == [data]


PREFIX = len(b"data: ")


@pytest.mark.parametrize(
    "chunks",
    [
        (b"data: " + b"x" * (MAX_EVENT + 1) + b"\n\n",),
        (b"data: " + b"x" * (MAX_EVENT - PREFIX), b"x"),
        (b"data: " + b"x" * (MAX_EVENT // 2) + b"\n", b"data: " + b"x" * (MAX_EVENT // 2 + 1) + b"\n"),
        (b": " + b"x" * MAX_EVENT,),
    ],
    ids=["one chunk", "an endless line", "many lines", "an endless comment"],
)
def test_an_event_over_the_limit_is_refused(chunks: tuple[bytes, ...]) -> None:
    parser = SseParser()
    with pytest.raises(EngineError) as caught:
        [parser.feed(chunk) for chunk in chunks]
    assert caught.value.code == "server_error"


def test_many_events_in_one_chunk_may_exceed_the_limit_together() -> None:
    event = b"data: " + b"x" * 1000 + b"\n\n"
    assert len(whole(event * 2000)) == 2000
