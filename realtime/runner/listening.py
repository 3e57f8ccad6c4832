"""Detection for one session: appended audio to the scores of its windows, in a worker thread, one job at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor

from realtime.media import formats, pcm
from realtime.media.resample import Resampler
from realtime.ports import EAR_RATE, Vad, VadStream
from realtime.session.effects import Detect
from realtime.session.turns import WINDOW_MS
from realtime.wire.settings import AudioFormat, encoding, sample_rate, sample_width

MAX_BEHIND_MS = 5_000
"""Audio that may wait to be scored before the connection stops reading: a file pushed at full speed then waits in the client."""


class Epoch:
    """One stream through converter and detector."""

    def __init__(self, id: int, format: AudioFormat, stream: VadStream) -> None:
        self.id = id
        self._encoding = encoding(format)
        self._resampler = Resampler(sample_rate(format), EAR_RATE, "QQ")
        self._stream = stream

    def score(self, audio: bytes) -> list[float]:
        """Blocking: call it from a worker thread."""
        samples = pcm.to_float(formats.decode(self._encoding, audio))
        return self._stream.score(self._resampler.push(samples))


class Listening:
    """Feeds the detector what has come in since its last job: under load the jobs get longer, not more."""

    def __init__(
        self,
        vad: Vad,
        workers: Executor,
        scored: Callable[[int, list[float]], None],
        broke: Callable[[int, Exception], None],
    ) -> None:
        self._vad = vad
        self._workers = workers
        self._scored = scored
        self._broke = broke
        self._epoch: Epoch | None = None
        self._waiting = bytearray()
        self._window = 0
        """Bytes of audio that make a window."""
        self._job: asyncio.Future[list[float]] | None = None
        self._caught_up = asyncio.Event()
        self._caught_up.set()
        self._closed = False

    @property
    def behind(self) -> bool:
        """Is more waiting than should?"""
        return not self._caught_up.is_set()

    @property
    def backlog_seconds(self) -> float:
        """Sound that waits."""
        return len(self._waiting) / self._window * WINDOW_MS / 1000 if self._window else 0.0

    async def catch_up(self) -> None:
        await self._caught_up.wait()

    def hear(self, detect: Detect) -> None:
        if self._epoch is None or self._epoch.id != detect.epoch:
            self._epoch = Epoch(detect.epoch, detect.format, self._vad.open())
            self._waiting.clear()
            self._window = sample_rate(detect.format) * sample_width(detect.format) * WINDOW_MS // 1000
        self._waiting += detect.audio
        if len(self._waiting) > self._window * (MAX_BEHIND_MS // WINDOW_MS):
            self._caught_up.clear()
        self._next_job()

    def close(self) -> None:
        self._closed = True
        self._caught_up.set()

    def _next_job(self) -> None:
        if self._closed or self._job is not None or self._epoch is None or len(self._waiting) < self._window:
            return
        audio, self._waiting = bytes(self._waiting), bytearray()
        self._caught_up.set()
        epoch = self._epoch
        self._job = asyncio.get_running_loop().run_in_executor(self._workers, epoch.score, audio)
        self._job.add_done_callback(lambda job: self._done(epoch.id, job))

    def _done(self, epoch: int, job: asyncio.Future[list[float]]) -> None:
        self._job = None
        if self._closed or job.cancelled():
            return
        error = job.exception()
        if error is None:
            self._scored(epoch, job.result())
        elif isinstance(error, Exception):
            self._broke(epoch, error)
        self._next_job()
