"""Files that were made to do harm, and files that chance has broken, sent to a real daemon: each is answered, and nothing else happens.

A case that fails is named. To send it alone, or so many of each format, or from that number on:

    REALTIME_MEDIA_CASE=clip-MKV-17 pytest tests/e2e/test_hostile_media.py
    REALTIME_MEDIA_CASES=500
    REALTIME_MEDIA_FIRST=1000
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import chdir
from itertools import chain
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from realtime.config import Config
from realtime.media.limits import MEBIBYTE
from tests.rigs.corpus import FORMATS, Case, Kind, good, hostile, literal, mutated
from tests.rigs.daemon import SCRIPTED, Daemon
from tests.rigs.wire_client import MAX_FRAME, Event

CASES = int(os.environ.get("REALTIME_MEDIA_CASES", "135"))
"""Broken files of each format: all of them take half a minute, unless more are asked for."""

FIRST = int(os.environ.get("REALTIME_MEDIA_FIRST", "0"))
"""The number of the first; a longer run need not begin with those of the last."""

ALONE = os.environ.get("REALTIME_MEDIA_CASE", "")
"""The one case to send, by its name."""

OUTSTANDING = 16
"""Files on their way at once, of the 32 that may wait for a child."""

PATIENCE = 45.0
"""Seconds for the next answer: more than a child is given for a file (MAX_MEDIA_SECONDS), so that one which hangs has an answer, too."""

MOST_MEMORY = 256 * MEBIBYTE
"""What the daemon may have taken at its peak, while its children read bombs. It starts with some forty, and has had 65."""

CHILD_MEMORY = Config().max_media_memory_mb * MEBIBYTE
"""What a child may take of its address space at its peak."""

FIELDS: dict[Kind, tuple[str, str]] = {"picture": ("image", "image"), "sound": ("input_audio", "audio"), "clip": ("video", "video")}
"""The type of the part, and its field for the file."""

READ = "read"
"""The answer of a file that could be read."""

REFUSALS: dict[Kind, set[str]] = {
    "picture": {"invalid_image_format", "image_parse_error", "image_too_large", "invalid_value"},
    "sound": {"invalid_audio_format", "audio_parse_error", "audio_too_long", "invalid_value"},
    "clip": {"invalid_video_format", "video_parse_error", "video_too_large", "video_too_long", "invalid_value"},
}
"""What a file is refused with, by the README. `internal_error` is not among them, and what takes its time is not in the corpus."""

NOT_TEXT = "invalid_type"
"""What is refused with it is not even a text."""


class Watched(Daemon):
    """A daemon that is looked at from outside."""

    def __init__(self, folder: Path) -> None:
        """It runs in the folder, and is told to put there what it needs for a while: nothing is to be found there."""
        self._folder = folder
        with chdir(folder):
            super().__init__(*SCRIPTED, TMPDIR=str(folder))

    def peak(self) -> int:
        """Bytes of memory that it has had at most."""
        return status(self._process.pid, "VmHWM")

    def children(self) -> dict[int, int]:
        """Of each child's address space the bytes that it has had at most, by its number."""
        # Of each thread those that it has started. A thread may end while it is looked at, and its children become another's.
        lists = (said(path) for path in Path(f"/proc/{self._process.pid}/task").glob("*/children"))
        return {int(number): status(int(number), "VmPeak") for numbers in lists for number in numbers.split()}

    def is_well(self) -> None:
        """It runs, none of its children died of a file, and all have kept to their bounds.

        A child may die: its file is refused, and nobody else notices. But none of these files is known to kill one, so it would be news.
        """
        assert self._process.poll() is None, "the daemon has ended"
        assert "ended with status" not in self.output, self.output
        assert self.peak() <= MOST_MEMORY
        assert [peak for peak in self.children().values() if peak > CHILD_MEMORY] == []
        assert [*self._folder.iterdir()] == []


def status(number: int, name: str) -> int:
    """A figure of a process in bytes; 0 once it is gone."""
    lines = said(Path(f"/proc/{number}/status")).splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)


def said(path: Path) -> str:
    """What the kernel says there; nothing of what is gone."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """One for all files: what one leaves behind is met by the next."""
    with Watched(tmp_path_factory.mktemp("daemon")) as daemon:
        yield daemon


class Barrage:
    """Sends files without waiting for each answer, and sees to it that each has exactly one."""

    def __init__(self, socket: ClientConnection, daemon: Watched) -> None:
        self._socket = socket
        self._daemon = daemon
        self.answers: dict[str, str] = {}
        """By the names of the cases: the code of the error, or `READ`."""
        self._waiting: dict[str, Case] = {}
        self._leaving: set[str] = set()
        """Items that were read and are deleted again, or a session would keep them all."""

    async def send(self, cases: Iterable[Case]) -> None:
        for case in cases:
            while len(self._waiting) >= OUTSTANDING:
                await self._hear()
            self._waiting[case.name] = case
            type, field = FIELDS[case.kind]
            # By hand, for what stands in JSON is part of some cases.
            part = f'{{"type": "{type}", "{field}": {case.literal}}}'
            await self._create(case.name, part)
        await self._settle()
        # A second answer would have come before that to what is sent now.
        self._waiting["Still here?"] = Case("Still here?", "picture", "")
        await self._create("Still here?", json.dumps({"type": "input_text", "text": "Still here?"}))
        await self._settle()
        assert self.answers.pop("Still here?") == READ
        self._daemon.is_well()

    async def _create(self, name: str, part: str) -> None:
        item = f'{{"id": {json.dumps(name)}, "type": "message", "role": "user", "content": [{part}]}}'
        await self._socket.send(f'{{"type": "conversation.item.create", "event_id": {json.dumps(name)}, "item": {item}}}')

    async def _settle(self) -> None:
        while self._waiting or self._leaving:
            await self._hear()

    async def _hear(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                event = json.loads(await self._socket.recv())
        except (TimeoutError, ConnectionClosed) as error:
            raise AssertionError(f"{error!r} with these unanswered: {[*self._waiting]}, {self._leaving}") from error
        match event["type"]:
            case "error":
                self._refused(event["error"])
            case "conversation.item.done":
                name = event["item"]["id"]
                self._answered(name, READ)
                self._leaving.add(name)
                await self._socket.send(json.dumps({"type": "conversation.item.delete", "item_id": name}))
            case "conversation.item.deleted":
                self._leaving.remove(event["item_id"])

    def _refused(self, error: Event) -> None:
        assert error["event_id"] in self._waiting, error
        field = FIELDS[self._waiting[error["event_id"]].kind][1]
        assert error["param"] == f"item.content[0].{field}", error
        self._answered(error["event_id"], error["code"])

    def _answered(self, name: str, answer: str) -> None:
        assert name in self._waiting, f"{name} was answered with {self.answers.get(name)}, and now with {answer}"
        del self._waiting[name]
        self.answers[name] = answer
        if len(self.answers) % OUTSTANDING == 0:  # often, for a child that is replaced is not seen again
            self._daemon.is_well()


async def answers(daemon: Watched, cases: Iterable[Case]) -> dict[str, str]:
    """How each of some files is answered."""
    async with connect(daemon.url(), max_size=MAX_FRAME, proxy=None) as socket:
        barrage = Barrage(socket, daemon)
        await barrage.send(cases)
    return barrage.answers


@pytest.mark.parametrize("kind", FORMATS)
async def test_a_file_that_was_made_to_do_harm_is_refused(daemon: Watched, kind: Kind) -> None:
    found = await answers(daemon, [file.case for file in hostile(kind)])
    expected = REFUSALS[kind] | {NOT_TEXT}
    wrong = {
        file.case.name: found[file.case.name]
        for file in hostile(kind)
        if found[file.case.name] not in (expected | {READ} if file.readable else expected)
    }
    assert wrong == {}
    assert daemon.children(), "nobody was looked at"


@pytest.mark.parametrize("kind", FORMATS)
async def test_a_file_that_is_sent_as_what_it_is_not_does_no_harm(daemon: Watched, kind: Kind) -> None:
    others = chain.from_iterable(hostile(other) for other in FORMATS if other != kind)
    found = await answers(daemon, [Case(f"{file.case.name}, as {kind}", kind, file.case.literal) for file in others])
    assert {name: answer for name, answer in found.items() if answer not in REFUSALS[kind] | {NOT_TEXT, READ}} == {}


@pytest.mark.timeout(max(60, CASES))
@pytest.mark.parametrize(("kind", "format"), [(kind, format) for kind, formats in FORMATS.items() for format in formats])
async def test_a_file_that_chance_has_broken_is_read_or_refused(daemon: Watched, kind: Kind, format: str) -> None:
    whole = [Case(f"whole {number}", kind, literal(file)) for number, file in enumerate(good(kind, format))]
    numbers = [int(ALONE.rpartition("-")[2])] if ALONE else range(FIRST, FIRST + CASES)
    broken = (mutated(kind, format, number) for number in numbers)
    found = await answers(daemon, chain(whole, (case for case in broken if ALONE in ("", case.name))))
    assert [found.pop(case.name) for case in whole] == [READ] * len(whole)
    assert {name: answer for name, answer in found.items() if answer not in REFUSALS[kind] | {READ}} == {}
    if not ALONE and CASES > 100:
        assert len({*found.values()}) > 1, "chance has become too tame to prove anything"
