"""The process that opens strangers' files, so that none of them can block, bloat or crash the daemon.

    python -m realtime.engines.media_process MEMORY

Owns what goes through its pipes, the decoding of base64, and the limits that the process puts on itself; what a file holds is the business
of `realtime.media`. It answers one request after the other until stdin ends. A message is its size (four bytes, the highest first) and
msgpack; a request is followed by the file. The first message of all is `Ready`.

It may use MEMORY bytes of address space, writes no file, and leaves the processor to whoever else wants it.
"""

from __future__ import annotations

import binascii
import ctypes
import faulthandler
import gc
import logging
import os
import resource
import signal
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import BinaryIO, Literal, assert_never

import msgspec
from msgspec import Struct

from realtime.errors import MediaError
from realtime.media.limits import Limits
from realtime.media.readings import URI_HEAD, Clip, Picture, Reading, Samples, Wanted, WantedClip, WantedPicture, WantedSound

log = logging.getLogger(__name__)

PIECE = 1 << 20
"""Bytes of a file that are moved at a time: enough that the pauses between two don't count, too little for anybody to wait for."""

OPEN_FILES = 32
"""More than importing a library takes. A file of a client's has no other file to open."""

NICE = 10
"""The loop and the models go first: a picture may be late, a voice may not."""

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""

Kind = Literal["image", "audio", "video"]
"""What a file is to be, as codes of errors begin."""

Coding = Literal["file", "text", "json"]
"""What follows a request: the file itself, its base64 or data URI, or such a text as a JSON string with its quotes."""

_KINDS: dict[type[Wanted], Kind] = {WantedPicture: "image", WantedSound: "audio", WantedClip: "video"}
_BEYOND_MEMORY: dict[Kind, str] = {"image": "image_too_large", "audio": "audio_too_long", "video": "video_too_large"}


class Request(Struct, frozen=True):
    """A file that is to be read."""

    wanted: Wanted
    limits: Limits
    coding: Coding
    size: int
    """Bytes that follow."""


class Refusal(Struct, frozen=True, tag="refusal"):
    """The file can't be used: what a `MediaError` says."""

    code: str
    message: str


class Ready(Struct, frozen=True, tag="ready"):
    """Python runs, the limits are set."""


Answer = Picture | Samples | Clip | Refusal

INTERNAL_ERROR = "internal_error"
"""Code of a `Refusal` that is our own bug."""

Size = struct.Struct(">I")
"""In front of every message."""


def kind(wanted: Wanted) -> Kind:
    return _KINDS[type(wanted)]


def message(content: Request | Ready | Answer) -> bytes:
    """Encode for the pipe."""
    body = msgspec.msgpack.encode(content)
    return Size.pack(len(body)) + body


def main(arguments: Sequence[str]) -> None:
    confine(int(arguments[0]))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    serve(sys.stdin.buffer, answers)


def confine(memory: int) -> None:
    """Give up what the reading of files does not need. It holds for the whole process, and for good."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; this one ends when stdin does
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # should the parent be killed while a file keeps this one busy
    faulthandler.enable()
    os.set_blocking(2, False)  # the parent looks there after each file: words that the pipe has no room for are lost, and nothing waits
    os.nice(NICE)
    limits = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: OPEN_FILES,
    }
    for limit, most in limits.items():
        _, hard = resource.getrlimit(limit)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (least, least))


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until there are no more requests."""
    _say(answers, Ready())
    with suppress(EOFError):
        while True:
            (size,) = Size.unpack(_exactly(requests, Size.size))
            request = msgspec.msgpack.decode(_exactly(requests, size), type=Request)
            _say(answers, _answer(requests, request))
            gc.collect()  # pictures in cycles of references take hundreds of megabytes, which the next file may need


def _say(answers: BinaryIO, content: Ready | Answer) -> None:
    answers.write(message(content))
    answers.flush()


def _answer(requests: BinaryIO, request: Request) -> Answer:
    of = kind(request.wanted)
    try:
        payload = _received(requests, request)
    except MediaError as error:
        return Refusal(error.code, error.message)
    except MemoryError:
        return _beyond_memory(of)
    try:
        return _read(_file(payload, request), request)
    except MediaError as error:
        return Refusal(error.code, error.message)
    except MemoryError:
        return _beyond_memory(of)
    except Exception:
        log.exception("The %s file can't be read", of)
        return Refusal(INTERNAL_ERROR, f"The server could not read the {of} file: this is a bug of the server's.")


def _received(requests: BinaryIO, request: Request) -> bytes:
    """What follows the request; all of it is taken from the pipe, whether it can be used or not."""
    try:
        if request.coding == "file":
            _check(request.size, request)
        return _exactly(requests, request.size)
    except (MediaError, MemoryError):
        _skip(requests, request.size)
        raise


def _file(payload: bytes, request: Request) -> bytes:
    """Decode what came. Raises `MediaError`."""
    if request.coding == "file":
        return payload
    text = memoryview(payload if request.coding == "text" else _string(payload))
    head, comma, _ = bytes(text[:URI_HEAD]).partition(b",")
    if head[:5].lower() == b"data:":
        if not comma or not head.lower().endswith(b";base64"):
            raise MediaError("invalid_value", "Expected base64 in the data URI, as in 'data:image/png;base64,iVBORw0...'.")
        text = text[len(head) + 1 :]
    file = _from_base64(text)
    _check(len(file), request)
    return file


def _string(literal: bytes) -> bytes:
    """The content of a JSON string."""
    if literal[:1] == b'"' == literal[-1:] and len(literal) > 1 and b"\\" not in literal:
        return literal[1:-1]
    try:
        return msgspec.json.decode(literal, type=str).encode(errors="replace")
    except msgspec.DecodeError as error:
        raise MediaError("invalid_value", "Expected base64 in a JSON string.") from error


def _from_base64(text: memoryview) -> bytes:
    """White space and a missing end are forgiven; bytes of another alphabet are not."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        dense = bytes(text).translate(None, b" \t\r\n")
    try:
        return binascii.a2b_base64(dense + b"=" * (-len(dense) % 4), strict_mode=True)
    except binascii.Error as error:
        raise MediaError("invalid_value", f"Expected base64 or a base64 data URI: {str(error).lower()}.") from error


def _check(size: int, request: Request) -> None:
    most, of = request.limits.media_bytes, kind(request.wanted)
    if size > most:
        raise MediaError(f"{of}_file_too_large", f"The {of} file has {size} bytes; at most {most} are read (MAX_MEDIA_BYTES).")


def _beyond_memory(of: Kind) -> Refusal:
    return Refusal(_BEYOND_MEMORY[of], f"The {of} file takes more memory to read than one file is given.")


def _read(file: bytes, request: Request) -> Reading:
    """Libraries are imported when they are first wanted: whoever sends pictures alone pays for no video."""
    wanted, limits = request.wanted, request.limits
    match wanted:
        case WantedPicture():
            from realtime.media import image

            return image.read(file, wanted, limits)
        case WantedSound():
            from realtime.media import sound_file

            return sound_file.read(file, wanted, limits)
        case WantedClip():
            from realtime.media import video

            return video.read(file, wanted, limits)
        case _:
            assert_never(wanted)


def _exactly(source: BinaryIO, size: int) -> bytes:
    """Read `size` bytes. Raises `EOFError` where there are fewer, `MemoryError` before the first is read."""
    data = source.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _skip(source: BinaryIO, size: int) -> None:
    while size:
        size -= len(_exactly(source, min(size, PIECE)))


if __name__ == "__main__":
    main(sys.argv[1:])
