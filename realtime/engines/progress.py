"""How a fetch shows itself on a terminal.

A bar for a person who watches, one line for a log file. It owns nothing but what it has drawn.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from realtime.engines.models import Progress

MEGABYTE = 1_000_000


@contextmanager
def terminal_progress(stream: TextIO | None = None) -> Iterator[Progress]:
    """Give a callback for `models.fetch` that draws on `stream` (default stderr): `with terminal_progress() as progress: ...`."""
    display = _display(stream or sys.stderr)
    try:
        yield display.show
    finally:
        display.close()


def _display(stream: TextIO) -> _Bars | _Lines:
    return _Bars(stream) if stream.isatty() else _Lines(stream)


class _Bars:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._label = ""
        self._bar: Any = None

    def show(self, label: str, done_bytes: int, total_bytes: int) -> None:
        if label != self._label:
            self.close()
            self._label, self._bar = label, self._open(label)
        self._bar.total = total_bytes or None
        self._bar.update(done_bytes - self._bar.n)
        self._bar.refresh()

    def _open(self, label: str) -> Any:
        from tqdm import tqdm

        return tqdm(desc=label, file=self._stream, unit="B", unit_scale=True, dynamic_ncols=True, miniters=1)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class _Lines:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._said: set[str] = set()

    def show(self, label: str, done_bytes: int, total_bytes: int) -> None:
        if label in self._said:
            return
        self._said.add(label)
        size = f" ({total_bytes / MEGABYTE:.0f} MB)" if total_bytes else ""
        print(f"fetching {label}{size}", file=self._stream, flush=True)

    def close(self) -> None:
        return
