"""What RFC 6455 asks of a server that reads frames: cases in the manner of Autobahn's sections 1 to 7 and 10.

Autobahn has its server echo. This one is asked to add an item and shows it, so a text was read well if it comes back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

from tests.rigs.raw_socket import BINARY, CLOSE, CONTINUATION, MASK, PING, PONG, TEXT, frame

PROTOCOL_ERROR, INVALID_DATA, TOO_BIG = 1002, 1007, 1009


class Case(NamedTuple):
    """Bytes that a client writes behind its handshake, and what must come of them."""

    name: str
    data: bytes
    texts: tuple[str, ...] = ()
    """Of items that the server shows, in order."""
    pongs: tuple[bytes, ...] = ()
    errors: tuple[str, ...] = ()
    """Codes of `error` events, in order."""
    closes: int | None = None
    """The code with which the server closes by itself. None: the session lives on."""
    answered: bytes | None = None
    """The payload of the close that answers the client's."""
    step: int = 0
    """Bytes of the pieces in which it is written; 0: whole."""


def said(text: str, *, size: int = 0) -> bytes:
    """An event that has the server show the text, with blanks up to a size."""
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    event = json.dumps({"type": "conversation.item.create", "item": item}, ensure_ascii=False).encode(errors="surrogatepass")
    return event.ljust(size)


HI = said("hi")


def cases() -> list[Case]:
    sections = (
        _sizes,
        _pings,
        _reserved_bits,
        _reserved_opcodes,
        _fragments,
        _utf8,
        _bad_utf8,
        _closes,
        _close_codes,
        _lengths,
        _many_fragments,
    )
    return [case for section in sections for case in section()]


def _sizes() -> Iterator[Case]:
    """1: texts and binaries of every length of the header."""
    for size in (125, 126, 127, 128, 65_535, 65_536):
        for step in (0, 997):
            yield Case(f"1.1-text-{size}-in-{step or 'one'}", frame(TEXT, said("a", size=max(size, len(said("a"))))), ("a",), step=step)
        yield Case(f"1.2-binary-{size}", frame(BINARY, b"\xfe" * size), errors=("invalid_event",))
    yield Case("1.1-text-0", frame(TEXT), errors=("invalid_json",))
    yield Case("1.2-binary-0", frame(BINARY), errors=("invalid_event",))
    yield Case("1.3-text-of-a-megabyte-and-one", frame(TEXT, said("a", size=(1 << 20) + 1)), ("a",))
    yield Case("1.3-text-of-three-megabytes-in-pieces", frame(TEXT, said("a", size=3 << 20)), ("a",), step=40_001)
    yield Case("1.3-text-of-32-megabytes", frame(TEXT, said("a", size=32 << 20)), ("a",))
    yield Case("1.4-byte-by-byte", frame(TEXT, HI), ("hi",), step=1)
    yield Case("1.4-byte-by-byte-126", frame(TEXT, said("a", size=300)), ("a",), step=1)
    yield Case("1.5-mask-of-zeros", frame(TEXT, HI, mask=bytes(4)), ("hi",))


def _pings() -> Iterator[Case]:
    """2: pings and pongs."""
    yield Case("2.1-empty", frame(PING), pongs=(b"",))
    yield Case("2.2-text", frame(PING, b"Hello, world!"), pongs=(b"Hello, world!",))
    yield Case("2.3-binary", frame(PING, b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"), pongs=(b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff",))
    yield Case("2.4-125-bytes", frame(PING, b"\xfe" * 125), pongs=(b"\xfe" * 125,))
    yield Case("2.5-126-bytes", frame(PING, b"\xfe" * 126), closes=PROTOCOL_ERROR)
    yield Case("2.6-byte-by-byte", frame(PING, b"\xfe" * 125), pongs=(b"\xfe" * 125,), step=1)
    yield Case("2.7-unasked-pong-empty", frame(PONG))
    yield Case("2.8-unasked-pong", frame(PONG, b"unasked"))
    yield Case("2.9-unasked-pong-then-ping", frame(PONG, b"unasked") + frame(PING, b"asked"), pongs=(b"asked",))
    ten = b"".join(frame(PING, b"ping %d" % number) for number in range(10))
    for step in (0, 1):
        yield Case(f"2.10-ten-in-{step or 'one'}", ten, pongs=tuple(b"ping %d" % number for number in range(10)), step=step)
    yield Case("2.12-in-fragments", frame(PING, b"a", fin=False) + frame(CONTINUATION, b"b"), closes=PROTOCOL_ERROR)
    yield Case("2.13-pong-of-126-bytes", frame(PONG, b"\xfe" * 126), closes=PROTOCOL_ERROR)
    yield Case("2.14-more-than-a-fragment-of-ours", frame(PING, bytes(3 << 20)), closes=PROTOCOL_ERROR)


def _reserved_bits() -> Iterator[Case]:
    """3: no extension was agreed on, so they have no meaning."""
    for bits in range(1, 8):
        yield Case(f"3.1-text-{bits}", frame(TEXT, HI, reserved=bits), closes=PROTOCOL_ERROR)
        yield Case(f"3.2-ping-{bits}", frame(PING, b"a", reserved=bits), closes=PROTOCOL_ERROR)
    yield Case("3.3-behind-a-text", frame(TEXT, HI) + frame(TEXT, HI, reserved=4), closes=PROTOCOL_ERROR)
    yield Case("3.4-byte-by-byte", frame(TEXT, HI, reserved=2), closes=PROTOCOL_ERROR, step=1)
    yield Case("3.5-close", frame(CLOSE, b"\x03\xe8", reserved=1), closes=PROTOCOL_ERROR)
    yield Case("3.6-binary", frame(BINARY, b"a", reserved=7), closes=PROTOCOL_ERROR)
    yield Case("3.7-continuation", frame(TEXT, HI[:5], fin=False) + frame(CONTINUATION, HI[5:], reserved=4), closes=PROTOCOL_ERROR)
    yield Case("3.8-large", frame(TEXT, said("a", size=3 << 20), reserved=4), closes=PROTOCOL_ERROR)


def _reserved_opcodes() -> Iterator[Case]:
    """4."""
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield Case(f"4.1-{opcode}", frame(opcode), closes=PROTOCOL_ERROR)
        yield Case(f"4.2-{opcode}-behind-a-text", frame(TEXT, HI) + frame(opcode, b"reserved"), closes=PROTOCOL_ERROR)
    yield Case("4.3-large", frame(3, bytes(3 << 20)), closes=PROTOCOL_ERROR)


def _fragments() -> Iterator[Case]:
    """5."""
    one, two, half = frame(TEXT, HI[:7], fin=False), frame(CONTINUATION, HI[7:]), frame(CONTINUATION, HI[7:9], fin=False)
    rest, ping, lost = frame(CONTINUATION, HI[9:]), frame(PING, b"between"), frame(CONTINUATION, HI)
    for step in (0, 1):
        how = "byte-by-byte" if step else "at-once"
        yield Case(f"5.3-two-{how}", one + two, ("hi",), step=step)
        yield Case(f"5.4-three-{how}", one + half + rest, ("hi",), step=step)
        yield Case(f"5.6-ping-between-{how}", one + ping + two, ("hi",), (b"between",), step=step)
        yield Case(f"5.9-lost-end-{how}", lost, closes=PROTOCOL_ERROR, step=step)
        yield Case(f"5.15-lost-end-behind-a-text-{how}", one + two + lost, closes=PROTOCOL_ERROR, step=step)
        yield Case(f"5.18-text-in-a-text-{how}", one + frame(TEXT, HI), closes=PROTOCOL_ERROR, step=step)
    yield Case("5.10-lost-end-empty", frame(CONTINUATION), closes=PROTOCOL_ERROR)
    yield Case("5.11-lost-middle", frame(CONTINUATION, HI, fin=False), closes=PROTOCOL_ERROR)
    yield Case("5.12-binary-in-a-text", one + frame(BINARY, b"a"), closes=PROTOCOL_ERROR)
    yield Case("5.13-empty-fragments", frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) * 3 + frame(CONTINUATION, HI), ("hi",))
    yield Case("5.14-all-empty", frame(TEXT, fin=False) + frame(CONTINUATION), errors=("invalid_json",))
    yield Case("5.16-binary", frame(BINARY, b"a", fin=False) + frame(CONTINUATION, b"b"), errors=("invalid_event",))
    yield Case("5.17-pings-and-pongs-between", one + ping + frame(PONG) + half + ping + rest, ("hi",), (b"between", b"between"))
    yield Case("5.19-close-between", one + frame(CLOSE, b"\x03\xe8"), closes=PROTOCOL_ERROR)
    yield Case("5.20-large-ones", frame(TEXT, said("a", size=3 << 20), fin=False) + frame(CONTINUATION, b" " * (2 << 20)), ("a",))
    yield Case(
        "5.21-ping-in-a-large-one", frame(TEXT, said("a", size=3 << 20), fin=False) + ping + frame(CONTINUATION), ("a",), (b"between",)
    )


VALID_UTF8 = {
    "6.2-two-bytes": "κόσμε",
    "6.5-first-of-two": "\u0080",
    "6.5-first-of-three": "\u0800",
    "6.5-first-of-four": "\U00010000",
    "6.7-last-of-two": "\u07ff",
    "6.7-last-of-three": "\uffff",
    "6.7-last-of-four": "\U0010ffff",
    "6.9-before-surrogates": "\ud7ff",
    "6.9-behind-surrogates": "\ue000",
    "6.9-replacement": "\ufffd",
    "6.22-no-character": "\ufffe",
    "6.22-no-character-of-another-plane": "\U0001fffe",
    "6.23-a-mark-of-byte-order": "\ufeffhi",
    "6.24-faces": "👩‍👩‍👧‍👦",
}

BAD_UTF8 = {
    "6.3-between": b"\xce\xba\xe1\xbd\xb9\xcf\x83\xed\xa0\x80edited",
    "6.6-half-of-two": b"\xce",
    "6.6-half-of-three": b"\xe1\xbd",
    "6.6-half-of-four": b"\xf0\x9f\x91",
    "6.8-five-bytes": b"\xf8\x88\x80\x80\x80",
    "6.8-six-bytes": b"\xfc\x84\x80\x80\x80\x80",
    "6.10-beyond-the-last": b"\xf4\x90\x80\x80",
    "6.12-continuation": b"\x80",
    "6.12-continuations": b"\x80\xbf\x80\xbf",
    "6.13-start-alone": b"\xc3 ",
    "6.15-unfinished-ones": b"\xc0\xe0\x80\xf0\x80\x80",
    "6.16-fe": b"\xfe",
    "6.16-ff": b"\xff",
    "6.17-overlong-slash-of-two": b"\xc0\xaf",
    "6.17-overlong-slash-of-three": b"\xe0\x80\xaf",
    "6.17-overlong-slash-of-four": b"\xf0\x80\x80\xaf",
    "6.18-overlong-last-of-two": b"\xc1\xbf",
    "6.19-overlong-null": b"\xc0\x80",
    "6.20-surrogate": b"\xed\xa0\x80",
    "6.20-last-surrogate": b"\xed\xbf\xbf",
    "6.21-pair-of-surrogates": b"\xed\xa0\x80\xed\xb0\x80",
}


def _utf8() -> Iterator[Case]:
    for name, text in VALID_UTF8.items():
        data = said(text)
        at = data.index(text.encode()) + 1  # within the first character
        yield Case(name, frame(TEXT, data), (text,))
        yield Case(f"{name}-in-fragments", frame(TEXT, data[:at], fin=False) + frame(CONTINUATION, data[at:]), (text,))


def _bad_utf8() -> Iterator[Case]:
    for name, text in BAD_UTF8.items():
        data = HI.replace(b"hi", text)
        at = data.index(text) + 1
        yield Case(name, frame(TEXT, data), closes=INVALID_DATA)
        yield Case(f"{name}-in-fragments", frame(TEXT, data[:at], fin=False) + frame(CONTINUATION, data[at:]), closes=INVALID_DATA)
    yield Case("6.4-fails-before-the-end", frame(TEXT, b"\xf4\x90\x80\x80", fin=False), closes=INVALID_DATA)
    yield Case("6.1-half-at-the-end", frame(TEXT, b'"\xce"', fin=False) + frame(CONTINUATION), closes=INVALID_DATA)
    yield Case("6.25-large", frame(TEXT, said("a", size=3 << 20) + b"\xff"), closes=INVALID_DATA)


def _closes() -> Iterator[Case]:
    """7."""
    bye = frame(CLOSE, b"\x03\xe8bye")
    yield Case("7.1-empty", frame(CLOSE), answered=b"")
    yield Case("7.1-behind-a-ping", frame(PING, b"a") + bye, pongs=(b"a",), answered=b"\x03\xe8bye")
    yield Case("7.1-twice", bye + bye, answered=b"\x03\xe8bye")
    yield Case("7.1-then-ping", bye + frame(PING, b"late"), answered=b"\x03\xe8bye")
    yield Case("7.1-then-text", bye + frame(TEXT, HI), answered=b"\x03\xe8bye")
    yield Case("7.1-then-rubbish", bye + b"\xff" * 100, answered=b"\x03\xe8bye")
    yield Case("7.3-one-byte", frame(CLOSE, b"\x03"), closes=PROTOCOL_ERROR)
    yield Case("7.3-code", frame(CLOSE, b"\x03\xe8"), answered=b"\x03\xe8")
    yield Case("7.3-longest-reason", frame(CLOSE, b"\x03\xe8" + b"*" * 123), answered=b"\x03\xe8" + b"*" * 123)
    yield Case("7.3-too-long", frame(CLOSE, b"\x03\xe8" + b"*" * 124), closes=PROTOCOL_ERROR)
    yield Case("7.3-in-fragments", frame(CLOSE, b"\x03\xe8", fin=False), closes=PROTOCOL_ERROR)
    yield Case("7.5-bad-utf8", frame(CLOSE, b"\x03\xe8\xce\xba\xe1\xbd\xb9\xed\xa0\x80"), closes=INVALID_DATA)
    yield Case("7.6-byte-by-byte", bye, answered=b"\x03\xe8bye", step=1)
    yield Case("7.14-unmasked", frame(CLOSE, b"\x03\xe8", mask=b""), closes=PROTOCOL_ERROR)


def _close_codes() -> Iterator[Case]:
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
        yield Case(f"7.7-{code}", frame(CLOSE, code.to_bytes(2)), answered=code.to_bytes(2))
    for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
        yield Case(f"7.9-{code}", frame(CLOSE, code.to_bytes(2)), closes=PROTOCOL_ERROR)


def _lengths() -> Iterator[Case]:
    """5.1 and 5.2 of the RFC: masks, and lengths that are longer than they need be, or than can be."""
    for opcode, name in ((TEXT, "text"), (BINARY, "binary"), (PING, "ping"), (PONG, "pong"), (CONTINUATION, "continuation")):
        yield Case(f"8.1-unmasked-{name}", frame(opcode, b"abc", mask=b""), closes=PROTOCOL_ERROR)
    yield Case("8.1-unmasked-126", frame(TEXT, said("a", size=500), mask=b""), closes=PROTOCOL_ERROR)
    yield Case("8.1-unmasked-large", frame(TEXT, said("a", size=3 << 20), mask=b""), closes=PROTOCOL_ERROR)
    yield Case("8.2-length-of-two-bytes-for-few", frame(TEXT, HI[:100], length=2), errors=("invalid_json",))
    yield Case("8.2-length-of-eight-bytes-for-few", frame(TEXT, HI, length=8), ("hi",))
    huge = b"\x81\xff" + (1 << 63).to_bytes(8) + MASK
    yield Case("8.3-length-with-the-highest-bit", huge, closes=TOO_BIG)
    yield Case("8.3-longer-than-any-may-be", b"\x81\xff" + (1 << 40).to_bytes(8) + MASK, closes=TOO_BIG)
    yield Case("8.3-a-fragment-too-many", frame(TEXT, b" " * 100, fin=False) + b"\x80\xff" + (1 << 40).to_bytes(8) + MASK, closes=TOO_BIG)
    yield Case("8.3-ping-longer-than-any-may-be", b"\x89\xff" + (1 << 40).to_bytes(8) + MASK, closes=TOO_BIG)


def _many_fragments() -> Iterator[Case]:
    """9 and 10: a message in very many fragments."""
    data = said("a", size=65_536)
    for size in (1, 64, 1_300):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        middle = b"".join(frame(CONTINUATION, piece, fin=False) for piece in pieces[1:-1])
        whole = frame(TEXT, pieces[0], fin=False) + middle + frame(CONTINUATION, pieces[-1])
        yield Case(f"10.1-in-fragments-of-{size}", whole, ("a",))
    yield Case("10.2-a-hundred-events", frame(TEXT, HI) * 100, ("hi",) * 100)
    yield Case("10.3-a-hundred-in-odd-pieces", frame(TEXT, HI) * 100, ("hi",) * 100, step=7)
