"""Reads clients' pictures, sounds and clips in processes of their own.

Owns the children (`media_process`), the threads that speak to them, and the queue in front. A child that takes too long is killed, one that
died is replaced by the next file, and what a child says about a file is believed only if it has the form of an answer.

The loop does the bookkeeping and nothing else: the pipes block, so each child that reads has a thread, which hands the file over in pieces.
A small picture need not wait for films: at most all children but one read anything heavy.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from threading import Lock, Timer
from typing import Any

import msgspec

from realtime.engines.media_process import INTERNAL_ERROR, PIECE, Coding, Kind, Ready, Refusal, Request, Size, kind, message
from realtime.errors import EngineError, MediaError
from realtime.media.limits import MEBIBYTE, Limits
from realtime.media.readings import Clip, Picture, Reading, Samples, Wanted, WantedClip

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-P", "-B", "-m", "realtime.engines.media_process")
"""-P: what lies in the folder that the daemon was started from must not shadow libraries. -B: the child can't write bytecode."""

MAX_WAITING = 32
"""Files that may wait for a child. A photograph of a telephone takes a fifth of a second, so the last of them waits for some seconds."""

HEAVY_BYTES = 4 * MEBIBYTE
"""A file beyond it is heavy, as a clip is of any size. Most photographs are smaller, and so are all pictures of a webcam."""

FILES_PER_CHILD = 1000
"""A child is replaced after so many: the memory of C libraries is in ever more pieces, and starting one takes no time in comparison."""

START_SECONDS = 30.0
"""For a child to be ready. It takes a tenth of a second; a machine that swaps may need very much longer, one that can't never will."""

END_SECONDS = 1.0
"""For a child to go once stdin is closed; then it is killed."""

HEARD = 4000
"""Characters of what a child said on stderr that are logged after a file."""

ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "VIRTUAL_ENV", "PYTHONHOME", "LD_LIBRARY_PATH")
"""What a child inherits: what Python and its libraries need to start, and no key of the operator's."""

FRUGAL = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(MEBIBYTE),
}
"""One thread for each child. One heap, since each further one takes 64 MiB of its address space. And pixels outside of the heap: glibc
would move the threshold up, and a child that had read one large WebP kept 400 MiB."""

File = str | bytes | msgspec.Raw
"""A file: its base64 or data URI, itself, or such a text as it stands in JSON."""

_ANSWERS: dict[Kind, Any] = {"image": Picture | Refusal, "audio": Samples | Refusal, "video": Clip | Refusal}


class ProcessReader:
    """At most `count` children, for use from one loop. Each is given `memory` bytes of address space, and `seconds` for a file."""

    def __init__(
        self,
        limits: Limits,
        *,
        seconds: float,
        memory: int,
        count: int | None = None,
        max_waiting: int = MAX_WAITING,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._limits = limits
        self._seconds = seconds
        self._command = (*command, str(memory))
        self._count = count or max(2, os.cpu_count() or 1)
        self._max_heavy = max(1, self._count - 1)
        self._max_waiting = max_waiting
        self._closed = False
        self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="media")
        self._waiting: deque[_Job] = deque()
        """First come, first served."""
        self._running: dict[_Job, asyncio.Future[Reading]] = {}
        self._idle: list[_Child] = []
        """The one that read last is the first to read again, so no more children are started than are needed."""

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def read(self, file: File, wanted: Wanted) -> Reading:
        """Read a file: a `Picture`, `Samples` or a `Clip`, as is wanted. Whoever is cancelled ends the reading, too.

        Raises `MediaError` for a file that can't be used. Raises `EngineError`: `overloaded` when the queue is full; `engine_closed`;
        `media_unavailable` when no child can be started; `internal_error` when a child ran into a bug of ours.
        """
        if self._closed:
            raise _closed()
        job = _Job(file, wanted, self._limits)
        if len(self._waiting) >= self._max_waiting and not self._may_run(job):
            raise EngineError("overloaded", "media: too many files are waiting to be read; try again in a moment.")
        self._waiting.append(job)
        self._run_waiting()
        try:
            return await job.reading
        except asyncio.CancelledError:
            self._abandon(job)
            raise

    async def close(self) -> None:
        """Refuse what waits, end what runs, and leave no child behind."""
        self._closed = True
        for job in self._waiting:
            job.refuse(_closed())
        self._waiting.clear()
        for job in self._running:
            job.child.kill()
        if self._running:
            await asyncio.wait(self._running.values())
        for child in self._idle:
            self._threads.submit(child.end)
        self._idle.clear()
        await asyncio.to_thread(self._threads.shutdown)

    def _may_run(self, job: _Job) -> bool:
        heavy = sum(running.heavy for running in self._running)
        return len(self._running) < self._count and (not job.heavy or heavy < self._max_heavy)

    def _run_waiting(self) -> None:
        while (job := next(filter(self._may_run, self._waiting), None)) is not None:
            self._waiting.remove(job)
            job.child = self._child()
            running = self._running[job] = asyncio.wrap_future(self._threads.submit(job.run, self._seconds))
            running.add_done_callback(partial(self._ended, job))

    def _child(self) -> _Child:
        while self._idle:
            child = self._idle.pop()
            if not child.spent:
                return child
            self._threads.submit(child.end)  # it died while it had nothing to do
        return _Child(self._command)

    def _ended(self, job: _Job, running: asyncio.Future[Reading]) -> None:
        """A thread is done with a job: on the loop, so nobody else gives or takes children meanwhile."""
        del self._running[job]
        if job.child.spent:
            self._threads.submit(job.child.end)
        else:
            self._idle.append(job.child)
        if (error := running.exception()) is None:
            job.answer(running.result())
        else:
            job.refuse(_closed() if self._closed else error)
        self._run_waiting()

    def _abandon(self, job: _Job) -> None:
        if job in self._running:
            job.child.kill()
        elif job in self._waiting:
            self._waiting.remove(job)


class _Job:
    """A file, and who waits for it."""

    child: _Child
    """Who reads it, from when it runs."""

    def __init__(self, file: File, wanted: Wanted, limits: Limits) -> None:
        self.reading: asyncio.Future[Reading] = asyncio.get_running_loop().create_future()
        self._payload = _Payload(file)
        self._request = Request(wanted, limits, self._payload.coding, self._payload.size)
        self._context = copy_context()
        """Whose file it is: what is logged of it says so."""
        self.heavy = isinstance(wanted, WantedClip) or self._payload.size > HEAVY_BYTES

    def answer(self, reading: Reading) -> None:
        if not self.reading.done():  # nobody waits any more
            self.reading.set_result(reading)

    def refuse(self, error: BaseException) -> None:
        if not self.reading.done():
            self.reading.set_exception(error)

    def run(self, seconds: float) -> Reading:
        """On a thread."""
        return self._context.run(self.child.read, self._request, self._payload, seconds)


class _Payload:
    """A file on its way to a child: never copied but for the piece that is on its way."""

    def __init__(self, file: File) -> None:
        """Raises `MediaError`."""
        if isinstance(file, str):
            if not file.isascii():
                raise MediaError("invalid_value", "Expected base64 or a base64 data URI: only base64 data is allowed.")
            self.coding: Coding = "text"
            self.size = len(file)
            self._file: str | memoryview = file
        else:
            self.coding = "json" if isinstance(file, msgspec.Raw) else "file"
            self._file = memoryview(file)
            self.size = len(self._file)

    def __iter__(self) -> Iterator[bytes | memoryview]:
        for at in range(0, self.size, PIECE):
            piece = self._file[at : at + PIECE]
            yield piece.encode() if isinstance(piece, str) else piece


class _Gone(Exception):
    """Raised when a child's end of a pipe is closed, or says what no child says."""


class _Child:
    """One process, from its first file to its end. Its pipes block: all but `kill` and `spent` is for threads, one at a time."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        """None until the first file."""
        self._files = 0
        self._late = False
        """Killed, for it took too long."""
        self._killed = False
        self._guard = Lock()
        """Held while the process comes into being, and while it is killed."""

    @property
    def spent(self) -> bool:
        """Whether it is to read no more files."""
        died = self._process is None or self._process.poll() is not None
        return died or self._killed or self._files >= FILES_PER_CHILD

    def kill(self, *, late: bool = False) -> None:
        """End it in the midst of a file. Whoever reads the file learns of it by the pipes."""
        with self._guard:
            self._killed = True
            self._late |= late
            if self._process is not None:
                self._process.kill()

    def read(self, request: Request, payload: _Payload, seconds: float) -> Reading:
        """Raises `MediaError` and `EngineError`; then it may be spent."""
        process = self._process or self._started()
        self._files += 1
        of = kind(request.wanted)
        try:
            with self._within(seconds):
                answer = _exchange(process, request, payload)
        except _Gone as error:
            raise self._lost(process, of, seconds) from error
        ours = isinstance(answer, Refusal) and answer.code == INTERNAL_ERROR
        # Libraries comment on what strangers send, at length; of our own bugs the operator has to know.
        self._listen(process, logging.WARNING if ours else logging.DEBUG)
        if isinstance(answer, Refusal):
            raise (EngineError if ours else MediaError)(answer.code, answer.message)
        return answer

    def end(self) -> None:
        """Have the process go, and wait until it has."""
        process = self._process
        if process is None:
            return
        with process:  # closes the pipes, and waits for a process that was killed
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._killed:
            raise EngineError("media_unavailable", "Nobody waits for this file any more.")
        pipe = subprocess.PIPE
        try:
            # A list and no shell; its words are ours.
            process = subprocess.Popen(self._command, bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe, env=_environment())  # noqa: S603
        except OSError as error:
            raise EngineError("media_unavailable", f"The process that reads media can't be started: {error.strerror}.") from error
        assert process.stderr is not None
        os.set_blocking(process.stderr.fileno(), False)
        with self._guard:
            self._process = process
            if self._killed:
                process.kill()
        try:
            with self._within(START_SECONDS):
                _answered(process, Ready, Size.size * 4)
        except _Gone as error:
            self._bury(process)
            raise EngineError("media_unavailable", "The process that reads media does not start; the server's log says more.") from error
        return process

    @contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        timer = Timer(seconds, self.kill, kwargs={"late": True})
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()  # it kills now or never

    def _lost(self, process: subprocess.Popen[bytes], of: Kind, seconds: float) -> MediaError:
        """What to say of a file whose reading did not end."""
        self._bury(process)
        if self._late:
            return MediaError(f"{of}_timeout", f"The {of} file takes longer to read than {seconds:g} seconds (MAX_MEDIA_SECONDS).")
        return MediaError(f"{of}_parse_error", f"The {of} file can't be read: the process that read it died.")

    def _bury(self, process: subprocess.Popen[bytes]) -> None:
        wanted = not self._killed
        self.kill()
        status = process.wait()
        if wanted or self._late:
            log.warning("A process that reads media ended with status %d%s", status, ", for it took too long" if self._late else "")
        self._listen(process, logging.WARNING)

    def _listen(self, process: subprocess.Popen[bytes], level: int) -> None:
        """Log what it said on stderr."""
        assert process.stderr is not None
        words = (process.stderr.read(1 << 16) or b"").decode(errors="replace").strip()
        if words:
            log.log(level, "A process that reads media says: %s", words[-HEARD:])


def _environment() -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    # Where this process found its libraries, in this order, the child will find them, too.
    return {**inherited, **FRUGAL, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _exchange(process: subprocess.Popen[bytes], request: Request, payload: _Payload) -> Reading | Refusal:
    """Hand over a file and wait for what is read. Raises `_Gone`."""
    assert process.stdin is not None
    try:
        _write(process.stdin.fileno(), message(request))
        for piece in payload:
            _write(process.stdin.fileno(), piece)
    except OSError as error:
        raise _Gone from error
    answer: Reading | Refusal = _answered(process, _ANSWERS[kind(request.wanted)], _most(request))
    return answer


def _write(pipe: int, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(pipe, rest) :]


def _answered(process: subprocess.Popen[bytes], form: Any, most: int) -> Any:
    """The next answer, in the form that it has to have. Raises `_Gone`."""
    assert process.stdout is not None
    (size,) = Size.unpack(_exactly(process.stdout.fileno(), Size.size))
    if size > most:
        raise _Gone(f"{size} bytes are no answer")
    try:
        return msgspec.msgpack.decode(_exactly(process.stdout.fileno(), size), type=form)
    except msgspec.DecodeError as error:
        raise _Gone("what came is no answer") from error


def _exactly(pipe: int, size: int) -> bytes:
    pieces: list[bytes] = []
    while size:
        piece = os.read(pipe, min(size, PIECE))
        if not piece:
            raise _Gone("the pipe ended")
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _most(request: Request) -> int:
    """Bytes of the largest answer that an honest child gives: pixels that JPEG made no smaller, and PCM16."""
    limits, rate = request.limits, getattr(request.wanted, "rate", None) or 0
    pictures = (limits.video_frames + 1) * 3 * max(limits.image_side, limits.low_image_side) ** 2
    return MEBIBYTE + pictures + int(2 * rate * max(limits.audio_seconds, limits.video_seconds))


def _closed() -> EngineError:
    return EngineError("engine_closed", "media: the engine has been closed.")
