"""With real children: those of `ACTORS` are `media_process` whole, but for the reading of files, which does what the file says."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
import pytest
from PIL import Image

from realtime import logs
from realtime.engines import media_reader
from realtime.engines.media_process import message
from realtime.engines.media_reader import HEAVY_BYTES, ProcessReader
from realtime.errors import EngineError, MediaError
from realtime.media.limits import MEBIBYTE, Limits
from realtime.media.readings import Clip, Picture, Wanted, WantedClip, WantedPicture, WantedSound
from tests.rigs.actor import ACTOR, ACTORS

PICTURE = WantedPicture()
SOUND = WantedSound(16_000)
CLIP = WantedClip()
A_CLIP = message(Clip(1, (), None, ""))


class Gate:
    """Two pipes with names: a child says that it has begun, and waits until it may end."""

    def __init__(self, folder: Path, name: str) -> None:
        self._begun, self._gate = folder / f"{name}-begun", folder / f"{name}-gate"
        os.mkfifo(self._begun)
        os.mkfifo(self._gate)
        self.file = f"wait {self._begun} {self._gate}".encode()
        """What an actor has to read."""

    async def begun(self) -> int:
        """The child's pid."""
        return int(await asyncio.to_thread(self._begun.read_text))

    async def open(self, words: str = "through") -> None:
        await asyncio.to_thread(self._gate.write_text, words)


Make = Callable[..., ProcessReader]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes readers with actors, which are closed in the end."""
    readers: list[ProcessReader] = []

    def made(
        command: Sequence[str] = ACTORS, *, count: int = 1, seconds: float = 50, memory: int = 1 << 30, waiting: int = 9
    ) -> ProcessReader:
        readers.append(ProcessReader(Limits(), seconds=seconds, memory=memory, count=count, max_waiting=waiting, command=command))
        return readers[-1]

    yield made
    for reader in readers:
        await reader.close()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path, "a")


async def words(reader: ProcessReader, file: str | bytes | msgspec.Raw, wanted: Wanted = PICTURE) -> str:
    """What an actor answers."""
    reading = await reader.read(file, wanted)
    if isinstance(reading, Picture):
        return reading.jpeg.decode()
    return (reading.frames[0].picture.jpeg if isinstance(reading, Clip) else reading.pcm).decode()


def starts(reading: Coroutine[Any, Any, str]) -> asyncio.Task[str]:
    return asyncio.create_task(reading)


async def turn() -> None:
    """Let tasks that were started come to where they wait."""
    for _ in range(3):
        await asyncio.sleep(0)


async def refusal(awaited: Awaitable[object]) -> tuple[str, str]:
    try:
        await awaited
    except (MediaError, EngineError) as error:
        return error.code, error.message
    raise AssertionError("it was read")


async def dead(pid: int) -> None:
    """Return once a process has ended, be it a zombie."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, ended.set)
    await ended.wait()
    asyncio.get_running_loop().remove_reader(descriptor)
    os.close(descriptor)


def exists(pid: int) -> bool:
    """A zombie does, too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (width, height)).save(file, "PNG")
    return file.getvalue()


async def test_a_picture_is_read_in_whatever_form_it_comes(make: Make) -> None:
    reader = make(media_reader.COMMAND)
    file = png(4, 2)
    text = base64.b64encode(file).decode()
    uri = f"data:image/png;base64,{text}"
    forms = (file, text, uri, msgspec.Raw(msgspec.json.encode(uri)), msgspec.Raw(b'"' + text.replace("/", r"\/").encode() + b'"'))
    pictures = [await reader.read(form, PICTURE) for form in forms]
    assert [(picture.width, picture.height) for picture in pictures if isinstance(picture, Picture)] == [(4, 2)] * 5


async def test_what_a_reader_refuses_is_raised(make: Make) -> None:
    reader = make(media_reader.COMMAND)
    assert (await refusal(reader.read(b"text", PICTURE)))[0] == "invalid_image_format"
    assert (await refusal(reader.read("!", PICTURE)))[0] == "invalid_value"
    assert (await refusal(reader.read("Wörter", PICTURE)))[0] == "invalid_value"
    assert (await refusal(reader.read(msgspec.Raw(b"null"), PICTURE)))[0] == "invalid_value"


async def test_large_files_arrive_whole(make: Make) -> None:
    reader = make()
    for size in (0, 1, (1 << 20) - 1, 1 << 20, (3 << 20) + 5):
        file = b"x" * size
        assert await words(reader, file) == file.decode()
        assert await words(reader, base64.b64encode(file).decode(), SOUND) == file.decode()


async def test_a_child_is_started_when_it_is_needed_and_reads_one_file_after_the_other(make: Make, gate: Gate) -> None:
    reader = make(count=2)
    first = await words(reader, b"pid")
    assert [await words(reader, b"pid") for _ in range(3)] == [first] * 3
    waiting = starts(words(reader, gate.file))
    assert str(await gate.begun()) == first
    second = await words(reader, b"pid")
    assert second != first
    await gate.open()
    assert await waiting == "through"


async def test_it_has_two_children_at_least(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    reader = ProcessReader(Limits(), seconds=50, memory=1280 * MEBIBYTE, command=ACTORS)
    gates = [Gate(tmp_path, name) for name in "ab"]
    tasks = [starts(words(reader, gate.file)) for gate in gates]
    pids = [await gate.begun() for gate in gates]
    assert len(set(pids)) == 2
    for gate in gates:
        await gate.open()
    assert await asyncio.gather(*tasks) == ["through"] * 2
    await reader.close()


async def test_files_are_read_in_the_order_in_which_they_came(make: Make, gate: Gate) -> None:
    reader = make()
    order: list[str] = []

    async def read(file: bytes) -> str:
        order.append(await words(reader, file))
        return order[-1]

    tasks = [starts(read(file)) for file in (gate.file, b"1", b"2", b"3")]
    await gate.begun()
    await gate.open()
    await asyncio.gather(*tasks)
    assert order == ["through", "1", "2", "3"]


@pytest.mark.parametrize(("padding", "wanted"), [(0, CLIP), (HEAVY_BYTES, PICTURE), (HEAVY_BYTES, SOUND)])
async def test_a_small_picture_does_not_wait_for_heavy_files(make: Make, tmp_path: Path, padding: int, wanted: Wanted) -> None:
    reader = make(count=2)
    gates = [Gate(tmp_path, name) for name in "ab"]
    first, second = (starts(words(reader, gate.file + b" " * padding, wanted)) for gate in gates)
    await gates[0].begun()
    assert await words(reader, b"small") == "small"
    assert not second.done()
    await gates[0].open("first")
    await gates[1].begun()
    await gates[1].open("second")
    assert [await first, await second] == ["first", "second"]


async def test_small_pictures_do_not_keep_a_heavy_file_from_its_turn(make: Make, tmp_path: Path) -> None:
    reader = make(count=2)
    gates = [Gate(tmp_path, name) for name in "abc"]
    small = [starts(words(reader, gate.file)) for gate in gates[:2]]
    await gates[0].begun()
    await gates[1].begun()
    heavy = starts(words(reader, gates[2].file, CLIP))
    await turn()
    later = starts(words(reader, b"later"))
    await turn()
    await gates[0].open()
    await gates[2].begun()  # the heavy one was first
    assert not later.done()
    await gates[1].open()
    assert await later == "later"
    await gates[2].open()
    assert await asyncio.gather(*small, heavy) == ["through"] * 3


async def test_a_lone_child_reads_heavy_files_too(make: Make) -> None:
    assert await words(make(count=1), b"heavy", CLIP) == "heavy"


async def test_a_file_past_the_queue_is_refused(make: Make, gate: Gate) -> None:
    reader = make(waiting=1)
    running = starts(words(reader, gate.file))
    await gate.begun()
    waiting = starts(words(reader, b"waiting"))
    await turn()
    assert (reader.waiting, (await refusal(reader.read(b"late", PICTURE)))[0]) == (1, "overloaded")
    await gate.open()
    assert [await running, await waiting] == ["through", "waiting"]


async def test_a_full_queue_of_heavy_files_has_room_for_a_small_one_that_need_not_wait(make: Make, gate: Gate) -> None:
    reader = make(count=2, waiting=1)
    running = starts(words(reader, gate.file, CLIP))
    await gate.begun()
    waiting = starts(words(reader, b"waiting", CLIP))
    await turn()
    assert (await refusal(reader.read(b"late", CLIP)))[0] == "overloaded"
    assert await words(reader, b"small") == "small"
    await gate.open()
    assert [await running, await waiting] == ["through", "waiting"]


async def test_the_loop_turns_while_a_file_is_handed_over(make: Make, gate: Gate) -> None:
    """The child reads nothing but the first of the payload until it may: the pipe is full, and its thread waits."""
    slow = ACTOR.replace(
        "media_process.main(",
        f"""
exactly = media_process._exactly
def slowly(source, size):
    if size < 1 << 25:
        return exactly(source, size)
    first = exactly(source, 1)
    act({gate.file!r})
    return first + exactly(source, size - 1)
media_process._exactly = slowly
media_process.main(""",
    )
    reader = make((sys.executable, "-c", slow), count=2)
    large = asyncio.create_task(reader.read(b"x" * (40 << 20), PICTURE))
    await gate.begun()
    assert await words(reader, b"small") == "small"
    assert not large.done()
    await gate.open()
    picture = await large
    assert isinstance(picture, Picture)
    assert len(picture.jpeg) == 40 << 20


async def test_memory_is_limited_and_the_next_file_is_read_by_the_same_child(make: Make) -> None:
    reader = make(media_reader.COMMAND, memory=100 * MEBIBYTE)
    assert (await refusal(reader.read(png(10_000, 6_000), PICTURE)))[0] == "image_too_large"
    assert isinstance(await reader.read(png(4, 2), PICTURE), Picture)
    reader = make()
    assert await refusal(reader.read(b"eat", SOUND)) == (
        "audio_too_long",
        "The audio file takes more memory to read than one file is given.",
    )
    assert await words(reader, b"files") == "2"


async def test_64_megapixels_fit_into_the_memory_of_a_child(make: Make) -> None:
    file = io.BytesIO()
    Image.new("RGBA", (8_000, 8_000)).save(file, "PNG", compress_level=1)
    reading = await make(media_reader.COMMAND).read(file.getvalue(), PICTURE)
    assert isinstance(reading, Picture)


async def test_secrets_are_not_inherited(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_API_KEY", "sk-secret")
    monkeypatch.setenv("LANG", "C.UTF-8")
    environment = await words(make(), b"environment")
    assert "sk-secret" not in environment
    assert {"LANG=C.UTF-8", "OMP_NUM_THREADS=1"} <= set(environment.splitlines())


@pytest.mark.parametrize(("wanted", "code"), [(PICTURE, "image_timeout"), (SOUND, "audio_timeout"), (CLIP, "video_timeout")])
async def test_a_file_that_takes_too_long_ends_its_child(make: Make, gate: Gate, wanted: Wanted, code: str) -> None:
    reader = make(seconds=1)
    pid = await words(reader, b"pid")
    hanging = starts(words(reader, gate.file, wanted))
    await gate.begun()
    reason = f"The {code.partition('_')[0]} file takes longer to read than 1 seconds (MAX_MEDIA_SECONDS)."
    assert await refusal(hanging) == (code, reason)
    assert await words(reader, b"pid") != pid
    await reader.close()
    assert not exists(int(pid))


@pytest.mark.parametrize(("wanted", "code"), [(PICTURE, "image"), (SOUND, "audio"), (CLIP, "video")])
async def test_a_file_may_kill_its_child_and_nothing_else(make: Make, wanted: Wanted, code: str, caplog: pytest.LogCaptureFixture) -> None:
    reader = make()
    pid = await words(reader, b"pid")
    with caplog.at_level(logging.WARNING):
        died = f"The {code} file can't be read: the process that read it died."
        assert await refusal(reader.read(b"crash", wanted)) == (f"{code}_parse_error", died)
    assert "ended with status -11" in caplog.text
    assert "Segmentation fault" in caplog.text
    assert await words(reader, b"files") == "1"
    await reader.close()
    assert not exists(int(pid))


@pytest.mark.parametrize("said", ["rubbish 00000001c1", "rubbish 00000002a161", "rubbish ffffffff", f"rubbish {A_CLIP.hex()}", "exit"])
async def test_a_child_that_says_what_no_child_says_is_killed(make: Make, said: str) -> None:
    reader = make()
    assert (await refusal(reader.read(said.encode(), PICTURE)))[0] == "image_parse_error"
    assert await words(reader, b"files") == "1"


async def test_a_child_that_dies_while_the_file_is_handed_over(make: Make) -> None:
    script = (
        "import sys; from realtime.engines.media_process import *; sys.stdout.buffer.write(message(Ready())); sys.stdout.flush();"
        "sys.stdin.buffer.read(100)"
    )
    reader = make((sys.executable, "-c", script))
    assert (await refusal(reader.read(bytes(10 << 20), PICTURE)))[0] == "image_parse_error"


async def test_a_child_that_died_idle_is_replaced_before_anybody_notices(make: Make) -> None:
    reader = make()
    pid = int(await words(reader, b"pid"))
    os.kill(pid, 9)
    await dead(pid)
    assert await words(reader, b"pid") != str(pid)
    await reader.close()
    assert not exists(pid)


async def test_a_child_is_replaced_after_so_many_files(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_reader, "FILES_PER_CHILD", 2)
    reader = make()
    first, second, third = [int(await words(reader, b"pid")) for _ in range(3)]
    assert first == second != third
    await dead(first)


async def test_a_bug_of_ours_is_not_the_clients_fault(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    reader = make()
    with caplog.at_level(logging.WARNING), pytest.raises(EngineError) as caught:
        await reader.read(b"bug", PICTURE)
    assert caught.value.code == "internal_error"
    assert "ZeroDivisionError" in caplog.text
    assert await words(reader, b"files") == "2"


async def test_what_a_child_says_is_logged_if_short(make: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caplog.handler, "formatter", logs.TextForm())
    logs.session_id.set("sess_1")
    reader = make()
    with caplog.at_level(logging.DEBUG):
        assert await words(reader, b"shout") == "done"
        assert "heardheard session_id=sess_1" in caplog.text
        assert await words(reader, b"flood") == "no room"
    assert len(caplog.text) < 3 * media_reader.HEARD


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["/nonexistent"], "No such file"),
        ([sys.executable, "-c", "import sys; sys.exit('no such library')"], "does not start"),
        ([sys.executable, "-c", "import sys; print('hello, world')"], "does not start"),
        ([sys.executable, "-c", "import sys; sys.stdin.read()"], "does not start"),
    ],
)
async def test_a_child_that_can_not_be_started(
    make: Make, command: list[str], reason: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if "stdin" in command[-1]:
        monkeypatch.setattr(media_reader, "START_SECONDS", 0.3)
    reader = make(command)
    with caplog.at_level(logging.WARNING):
        code, said = await refusal(reader.read(b"file", PICTURE))
    assert code == "media_unavailable"
    assert reason in said
    assert ("no such library" in caplog.text) == ("no such library" in command[-1])


async def test_a_cancelled_file_that_waits_is_never_read(make: Make, gate: Gate) -> None:
    reader = make()
    running = starts(words(reader, gate.file))
    await gate.begun()
    waiting = starts(words(reader, b"never"))
    after = starts(words(reader, b"files"))
    await turn()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await gate.open()
    assert await running == "through"
    assert await after == "2"


async def test_a_cancelled_file_that_is_read_ends_its_child(make: Make, gate: Gate) -> None:
    reader = make()
    running = starts(words(reader, gate.file))
    pid = await gate.begun()
    after = starts(words(reader, b"files"))
    await turn()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await dead(pid)
    assert await after == "1"
    await reader.close()
    assert not exists(pid)


async def test_a_file_cancelled_at_once_leaves_nothing_behind(make: Make) -> None:
    reader = make()
    for turns in range(6):
        task = starts(words(reader, b"pid"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await words(reader, b"next") == "next"


async def test_a_file_cancelled_when_it_has_just_been_read(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its child is killed too late to matter, and must not be given the next file."""
    reader = make()
    pid = int(await words(reader, b"pid"))
    read, may_return = media_reader._Child.read, Event()

    def reads(child: media_reader._Child, *arguments: Any) -> Any:
        answer = read(child, *arguments)
        loop.call_soon_threadsafe(has_read.set)
        assert may_return.wait(10)
        return answer

    loop, has_read = asyncio.get_running_loop(), asyncio.Event()
    monkeypatch.setattr(media_reader._Child, "read", reads)
    task = starts(words(reader, b"file"))
    await has_read.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    may_return.set()
    assert await words(reader, b"files") == "1"
    await dead(pid)


async def test_closing_ends_what_runs_and_refuses_what_waits(make: Make, gate: Gate) -> None:
    reader = make()
    running = starts(words(reader, gate.file))
    pid = await gate.begun()
    waiting = starts(words(reader, b"waiting"))
    await turn()
    await asyncio.gather(reader.close(), reader.close())
    assert not exists(pid)
    assert (await refusal(running))[0] == "engine_closed"
    assert (await refusal(waiting))[0] == "engine_closed"
    assert (await refusal(reader.read(b"late", PICTURE)))[0] == "engine_closed"


@pytest.mark.parametrize("stays", ["", "import signal; signal.pause()"])
async def test_closing_leaves_no_idle_child(make: Make, monkeypatch: pytest.MonkeyPatch, stays: str) -> None:
    if stays:
        monkeypatch.setattr(media_reader, "END_SECONDS", 0.05)
    reader = make((sys.executable, "-c", f"{ACTOR}\n{stays}"))
    pid = int(await words(reader, b"pid"))
    assert exists(pid)
    await reader.close()
    assert not exists(pid)
