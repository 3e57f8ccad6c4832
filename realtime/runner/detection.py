"""The detector of all sessions: what several have heard is scored in one job of a worker thread.

A job costs its way to a thread and back, a tenth of a millisecond, which is what the network takes for a window. So whoever is in a hurry
takes along everybody who is not, and what comes while a job runs goes together, next. Owns how many jobs run; whose sound it is, and when
there is enough of it, is `Listening`'s to know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Protocol

from realtime.ports import Vad, VadStream

MOST = 16
"""Sessions whose sound one job takes: some five milliseconds of work, for which somebody in a hurry may have to wait."""

Scoring = Callable[[], list[float]]
"""Blocking; raises what the detector raises."""
Outcome = list[float] | Exception


class Source(Protocol):
    """One session's sound."""

    def take(self) -> Scoring:
        """The scoring of all that waits now."""
        ...

    def done(self, outcome: Outcome) -> None:
        """What came of it."""
        ...


class Detection:
    """Of one process. To be used on its event loop."""

    def __init__(self, vad: Vad, workers: Executor, jobs: int) -> None:
        """`jobs`: that run at the same time, at the most; a second one begins where one is full."""
        self.vad = vad
        self._workers = workers
        self._jobs = jobs
        self._running = 0
        self._ready: dict[Source, None] = {}
        """In the order in which they came."""
        self._due = False
        """Is one of them in a hurry?"""

    def open(self) -> VadStream:
        """A stream that remembers nothing."""
        return self.vad.open()

    def offer(self, source: Source) -> None:
        """It has sound to be scored when somebody else's is."""
        self._ready[source] = None
        if len(self._ready) >= MOST:
            self._start()

    def demand(self, source: Source) -> None:
        """It has sound to be scored now."""
        self._ready[source] = None
        self._due = True
        self._start()

    def withdraw(self, source: Source) -> None:
        """It is over: what runs for it is still told."""
        self._ready.pop(source, None)

    def _start(self) -> None:
        if not self._ready or self._running >= (self._jobs if len(self._ready) >= MOST else 1):
            return
        sources = list(self._ready)[:MOST]
        for source in sources:
            del self._ready[source]
        self._due = self._due and bool(self._ready)
        self._running += 1
        job = asyncio.get_running_loop().run_in_executor(self._workers, _score, [source.take() for source in sources])
        job.add_done_callback(lambda job: self._done(sources, job))

    def _done(self, sources: Sequence[Source], job: asyncio.Future[list[Outcome]]) -> None:
        self._running -= 1
        if job.cancelled():  # the workers were given back
            return
        for source, outcome in zip(sources, job.result(), strict=True):
            source.done(outcome)
        if self._due or len(self._ready) >= MOST:
            self._start()


def _score(scorings: Sequence[Scoring]) -> list[Outcome]:
    return [_outcome(scoring) for scoring in scorings]


def _outcome(scoring: Scoring) -> Outcome:
    try:
        return scoring()
    except Exception as error:  # noqa: BLE001  # one session's detector breaks; the others' have nothing to do with it
        return error
