from __future__ import annotations

import base64
import io
import json
import logging
import os
import resource
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import msgspec
import pytest
from PIL import Image

from realtime.engines import media_process
from realtime.engines.media_process import Coding, Ready, Refusal, Request, message
from realtime.errors import MediaError
from realtime.media.limits import Limits
from realtime.media.readings import Clip, Frame, Picture, Samples, Wanted, WantedClip, WantedPicture, WantedSound
from tests.rigs.actor import ACTORS

PICTURE = WantedPicture()
SOUND = WantedSound(16_000)
CLIP = WantedClip()


def request(payload: bytes, wanted: Wanted = PICTURE, *, coding: Coding = "file", limits: Limits | None = None) -> bytes:
    """The bytes of a request and its file."""
    return message(Request(wanted, limits or Limits(), coding, len(payload))) + payload


def serve(requests: bytes) -> list[Any]:
    """All answers but the greeting."""
    answers = io.BytesIO()
    media_process.serve(io.BytesIO(requests), answers)
    answers.seek(0)
    said = list(messages(answers))
    assert said[0] == Ready()
    return said[1:]


def messages(source: IO[bytes]) -> Any:
    while size := source.read(4):
        yield msgspec.msgpack.decode(source.read(*struct.unpack(">I", size)), type=Picture | Samples | Clip | Refusal | Ready)


@pytest.fixture
def echoes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The three readers say what they were given."""
    monkeypatch.setattr("realtime.media.image.read", lambda data, wanted, limits: Picture(data, 1, 1, wanted.detail))
    monkeypatch.setattr("realtime.media.sound_file.read", lambda data, wanted, limits: Samples(data))
    monkeypatch.setattr(
        "realtime.media.video.read",
        lambda data, wanted, limits: Clip(1, (Frame(0, Picture(data, 1, 1, "")),), None, "MP4"),
    )


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[bytes], Picture]], None]:
    """Have pictures read by a function."""

    def install(read: Callable[[bytes], Picture]) -> None:
        monkeypatch.setattr("realtime.media.image.read", lambda data, wanted, limits: read(data))

    return install


def test_a_picture_is_read() -> None:
    file = io.BytesIO()
    Image.new("RGB", (4, 2), "red").save(file, "PNG")
    (picture,) = serve(request(file.getvalue()))
    assert isinstance(picture, Picture)
    assert (picture.width, picture.height, picture.format) == (4, 2, "PNG")


@pytest.mark.usefixtures("echoes")
def test_each_kind_of_file_has_its_reader_and_answers_come_in_order() -> None:
    asked = request(b"a", WantedPicture("low")) + request(b"b", SOUND) + request(b"c", CLIP) + request(b"d")
    assert serve(asked) == [
        Picture(b"a", 1, 1, "low"),
        Samples(b"b"),
        Clip(1, (Frame(0, Picture(b"c", 1, 1, "")),), None, "MP4"),
        Picture(b"d", 1, 1, "auto"),
    ]


def test_it_ends_with_its_input() -> None:
    assert serve(b"") == []


@pytest.mark.usefixtures("echoes")
@pytest.mark.parametrize("missing", [1, 9, 13])
def test_a_request_that_is_cut_short_ends_it(missing: int) -> None:
    whole = request(b"12345678")
    assert serve(whole + whole[:-missing]) == [Picture(b"12345678", 1, 1, "auto")]


@pytest.mark.usefixtures("echoes")
@pytest.mark.parametrize(
    ("text", "file"),
    [
        (b"YWJj", b"abc"),
        (b"YQ==", b"a"),
        (b"YQ", b"a"),
        (b" YW\r\nJj\tZA= =\n", b"abcd"),
        (b"data:image/png;base64,YWJj", b"abc"),
        (b"DATA:;charset=x;BASE64,YWJj", b"abc"),
        (b"data:image/png;base64,", b""),
        (b"", b""),
    ],
)
def test_base64_is_decoded(text: bytes, file: bytes) -> None:
    (plain, quoted) = serve(request(text, coding="text") + request(json.dumps(text.decode()).encode(), coding="json"))
    assert plain == quoted == Picture(file, 1, 1, "auto")


@pytest.mark.usefixtures("echoes")
def test_a_json_string_may_have_escaped_slashes() -> None:
    (picture,) = serve(request(rb'"data:image\/png;base64,\/\/\u002f\/"', coding="json"))
    assert picture.jpeg == b"\xff\xff\xff"


@pytest.mark.usefixtures("echoes")
@pytest.mark.parametrize(
    "text", ["Y", "YW-_", "YWJj!", "YQ==YQ==", "=", "Wörter", "data:image/png,YWJj", "data:image/png;base64", "http://host/a.png"]
)
def test_what_is_no_base64_is_refused(text: str) -> None:
    asked = request(text.encode(), coding="text") + request(json.dumps(text).encode(), coding="json")
    assert [(answer.code, answer.message[:15]) for answer in serve(asked)] == [("invalid_value", "Expected base64")] * 2


@pytest.mark.parametrize("literal", [b"", b'"', b"YWJj", b"1", b'{"a": 1}', b'"YW\\Jj"', b'"a"b"'])
def test_what_is_no_json_string_is_refused(literal: bytes) -> None:
    (refusal,) = serve(request(literal, coding="json"))
    assert (refusal.code, refusal.message[:15]) == ("invalid_value", "Expected base64")


@pytest.mark.usefixtures("echoes")
@pytest.mark.parametrize(
    ("wanted", "code"), [(PICTURE, "image_file_too_large"), (SOUND, "audio_file_too_large"), (CLIP, "video_file_too_large")]
)
@pytest.mark.parametrize("coding", ["file", "text", "json"])
def test_a_file_may_be_as_large_as_the_limit_and_no_larger(wanted: Wanted, code: str, coding: Coding) -> None:
    def asked(file: bytes) -> bytes:
        text = base64.b64encode(file)
        payload = {"file": file, "text": text, "json": b'"' + text + b'"'}[coding]
        return request(payload, wanted, coding=coding, limits=Limits(media_bytes=6))

    fits, too_large, next_one = serve(asked(b"123456") + asked(b"1234567") + asked(b"1"))
    assert isinstance(fits, Picture | Samples | Clip)
    message = f"The {code.partition('_')[0]} file has 7 bytes; at most 6 are read (MAX_MEDIA_BYTES)."
    assert too_large == Refusal(code, message)
    assert type(next_one) is type(fits)


@pytest.mark.usefixtures("echoes")
def test_a_file_far_beyond_the_limit_is_never_in_memory() -> None:
    class Sizes(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            sizes.append(size or 0)
            return super().read(size)

    sizes: list[int] = []
    asked = request(bytes(3 * media_process.PIECE), limits=Limits(media_bytes=10))
    media_process.serve(Sizes(asked), io.BytesIO())
    assert max(sizes) <= media_process.PIECE


def test_what_a_reader_refuses_is_passed_on(reads: Callable[[Callable[[bytes], Picture]], None]) -> None:
    def read(data: bytes) -> Picture:
        raise MediaError("image_parse_error", f"no {data.decode()}")

    reads(read)
    assert serve(request(b"picture")) == [Refusal("image_parse_error", "no picture")]


@pytest.mark.parametrize(
    ("wanted", "reader", "code"),
    [
        (PICTURE, "image", "image_too_large"),
        (SOUND, "sound_file", "audio_too_long"),
        (CLIP, "video", "video_too_large"),
    ],
)
def test_what_takes_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch, wanted: Wanted, reader: str, code: str) -> None:
    def read(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(f"realtime.media.{reader}.read", read)
    (refusal,) = serve(request(b"a", wanted))
    assert refusal.code == code
    assert "more memory" in refusal.message


@pytest.mark.usefixtures("echoes")
def test_a_file_that_memory_has_no_room_for_is_refused_and_the_next_is_read() -> None:
    class Full(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if size == 5_000_000:
                raise MemoryError
            return super().read(size)

    answers = io.BytesIO()
    media_process.serve(Full(request(bytes(5_000_000)) + request(b"next")), answers)
    answers.seek(0)
    _, refusal, picture = messages(answers)
    assert refusal.code == "image_too_large"
    assert picture.jpeg == b"next"


def test_any_other_exception_is_our_bug(reads: Callable[[Callable[[bytes], Picture]], None], caplog: pytest.LogCaptureFixture) -> None:
    def read(data: bytes) -> Picture:
        if data == b"bad":
            raise ZeroDivisionError("of ours")
        return Picture(data, 1, 1, "")

    reads(read)
    with caplog.at_level(logging.ERROR):
        refusal, picture = serve(request(b"bad") + request(b"good"))
    assert refusal.code == "internal_error"
    assert "of ours" not in refusal.message
    assert "ZeroDivisionError: of ours" in caplog.text
    assert picture.jpeg == b"good"


def test_it_confines_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[Any, ...]] = []

    def records(name: str) -> Callable[..., None]:
        return lambda *arguments: done.append((name, *arguments))

    for name in ("signal.signal", "os.set_blocking", "os.nice", "resource.setrlimit", "faulthandler.enable"):
        monkeypatch.setattr(name, records(name))
    monkeypatch.setattr("ctypes.CDLL", lambda _: SimpleNamespace(prctl=records("prctl")))
    hard = {resource.RLIMIT_NOFILE: 20}
    monkeypatch.setattr("resource.getrlimit", lambda limit: (0, hard.get(limit, resource.RLIM_INFINITY)))
    media_process.confine(1 << 30)
    assert sorted(done) == sorted(
        [
            ("signal.signal", signal.SIGINT, signal.SIG_IGN),
            ("prctl", media_process.PR_SET_PDEATHSIG, signal.SIGKILL),
            ("faulthandler.enable",),
            ("os.set_blocking", 2, False),
            ("os.nice", 10),
            ("resource.setrlimit", resource.RLIMIT_AS, (1 << 30, 1 << 30)),
            ("resource.setrlimit", resource.RLIMIT_FSIZE, (0, 0)),
            ("resource.setrlimit", resource.RLIMIT_CORE, (0, 0)),
            ("resource.setrlimit", resource.RLIMIT_NOFILE, (20, 20)),
        ]
    )


def test_the_program_reads_stdin_and_loads_no_library_that_is_not_wanted() -> None:
    file = io.BytesIO()
    Image.new("RGB", (4, 2)).save(file, "PNG")
    program = (
        "import sys; from realtime.engines import media_process; media_process.main(['1000000000']);"
        " sys.stderr.write(' '.join(name for name in ('PIL', 'av', 'soundfile', 'numpy') if name in sys.modules))"
    )
    asked = request(file.getvalue()) + request(b"", coding="text")
    ended = subprocess.run([sys.executable, "-c", program], input=asked, capture_output=True, check=True)
    greeting, picture, refusal = messages(io.BytesIO(ended.stdout))
    assert greeting == Ready()
    assert picture.format == "PNG"
    assert refusal.code == "invalid_image_format"
    assert ended.stderr == b"PIL"


def test_what_a_library_prints_is_not_among_the_answers() -> None:
    program = (
        "from realtime.engines import media_process; from realtime.media import image; from realtime.media.readings import Picture;"
        "image.read = lambda data, *_: print('stray', flush=True) or Picture(data, 1, 1, '');"
        "media_process.main(['1000000000'])"
    )
    ended = subprocess.run([sys.executable, "-c", program], input=request(b"file"), capture_output=True, check=True)
    assert list(messages(io.BytesIO(ended.stdout))) == [Ready(), Picture(b"file", 1, 1, "")]
    assert ended.stderr == b"stray\n"


def test_nothing_can_be_written_to_disk(tmp_path: Path) -> None:
    target = tmp_path / "target"
    ended = subprocess.run([*ACTORS, "1000000000"], input=request(f"write {target}".encode()), capture_output=True, check=True)
    assert list(messages(io.BytesIO(ended.stdout))) == [Ready(), Picture(b"File too large", 1, 1, "")]
    assert target.read_bytes() == b""


def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    """Even while a file keeps it busy, and though somebody else still holds its stdin."""
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    os.mkfifo(begun)
    os.mkfifo(gate)
    parent = f"import subprocess; subprocess.run({[*ACTORS, '1000000000']!r})"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(request(f"wait {begun} {gate}".encode()))
        process.stdin.flush()
        begun.read_text()
        process.kill()
        assert list(messages(process.stdout)) == [Ready()]  # its end of the pipe is closed
