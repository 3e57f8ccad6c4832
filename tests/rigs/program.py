"""A program that runs beside the tests: what it has said, line by line, and what is typed to it.

Everything it says is kept for whoever has to find out why a test failed. Waiting is for a line, never for a time.
"""

from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from fcntl import ioctl
from signal import SIGTERM, Signals
from types import TracebackType
from typing import IO, Self

PATIENCE = 20.0
"""Seconds for a line, or for an end: far more than either takes, on a machine that does much else."""

SCREEN = struct.pack("HHHH", 50, 500, 0, 0)
"""Rows and columns of a terminal in which no typed line is wrapped."""


class Program:
    """`with Program([...]) as program:` runs inside, and is ended after."""

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str] | None = None, terminal: bool = False, keep: Sequence[int] = ()
    ) -> None:
        """`terminal`: give it one, as a person would; else pipes. `keep`: further descriptors that it inherits, beside pipes."""
        self.lines: list[str] = []
        """Standard output and errors, as they came."""
        self._seen = 0
        """Lines that `wait_for_line` has passed."""
        self._ended = False
        self._changed = threading.Condition()
        started = _in_terminal(list(command), env) if terminal else _in_pipes(list(command), env, keep)
        self._process, self._input, self._output = started
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def output(self) -> str:
        with self._changed:
            return "\n".join(self.lines)

    def wait_for_line(self, pattern: str, timeout: float = PATIENCE) -> re.Match[str]:
        """Return the match in the first line that has one, after the last line returned. Fails when the program ends before."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._find(pattern), timeout)
            found = self._find(pattern)
            if found is None:
                lines = "\n".join(self.lines)
                raise AssertionError(f"{'It ended' if self._ended else f'{timeout} s went by'} without {pattern!r}. It said:\n{lines}")
            index, match = found
            self._seen = index + 1
            return match

    def type(self, line: str) -> None:
        """Give it a line of input."""
        self._input.write(line.encode() + b"\n")
        self._input.flush()

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: Signals) -> None:
        self._process.send_signal(number)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait until it has ended, and return its exit status."""
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            self._close()
            raise AssertionError(f"It did not end within {timeout} s. It said:\n{self.output}") from None
        self._close()
        return status

    def stop(self, number: Signals = SIGTERM) -> int:
        """End it, if it still runs, and return its exit status."""
        if self._process.poll() is None:
            self.signal(number)
        return self.wait()

    def _close(self) -> None:
        self._reader.join()
        for stream in {self._input, self._output}:
            with suppress(BrokenPipeError):  # what was typed last was not read any more
                stream.close()

    def _find(self, pattern: str) -> tuple[int, re.Match[str]] | None:
        for index in range(self._seen, len(self.lines)):
            if match := re.search(pattern, self.lines[index]):
                return index, match
        return None

    def _read(self) -> None:
        with suppress(OSError):  # how Linux says that the other side of a terminal is gone
            for line in self._output:
                self._add(line.decode(errors="replace").rstrip("\r\n"))
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _add(self, line: str) -> None:
        with self._changed:
            self.lines.append(line)
            self._changed.notify_all()


Streams = tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]


def _in_pipes(command: list[str], env: Mapping[str, str] | None, keep: Sequence[int]) -> Streams:
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, pass_fds=keep)
    assert process.stdin is not None
    assert process.stdout is not None
    return process, process.stdin, process.stdout


def _in_terminal(command: list[str], env: Mapping[str, str] | None) -> Streams:
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, SCREEN)
    process = subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    return process, open(os.dup(ours), "wb", buffering=0), open(ours, "rb")
