"""Detection for one session: appended audio to the scores of its windows, by the process's `Detection`, one job at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from realtime.media import formats, pcm
from realtime.media.resample import Resampler
from realtime.ports import EAR_RATE, VadStream
from realtime.runner.detection import Detection, Outcome, Scoring
from realtime.session.effects import Detect
from realtime.session.turns import WINDOW_MS
from realtime.wire.settings import AudioFormat, encoding, sample_rate, sample_width

MAX_BEHIND_MS = 5_000
"""Audio that may wait to be scored before the connection stops reading: a file pushed at full speed then waits in the client."""

PATIENT_WINDOWS = 3
"""Windows that somebody who is not in a hurry waits for: in calls of three the network takes half as long for each."""

OFFERED_WINDOWS = 2
"""Windows that are scored sooner where a job goes anyway."""

WITHHELD = 8
"""Samples that the converter has at most not given out yet (media/resample: 0.3 ms of a telephone's)."""


class Epoch:
    """One stream through converter and detector."""

    def __init__(self, id: int, format: AudioFormat, stream: VadStream) -> None:
        self.id = id
        self._encoding = encoding(format)
        self._resampler = Resampler(sample_rate(format), EAR_RATE, "QQ")
        self._stream = stream
        self._withheld = 0 if sample_rate(format) == EAR_RATE else WITHHELD
        self._width = sample_width(format)
        self._window = sample_rate(format) * WINDOW_MS // 1000
        """Samples."""
        self._unscored = 0
        """Samples that have come and are not part of a window that was scored."""

    def windows(self, waiting: int) -> int:
        """Windows that are whole with so many further bytes."""
        return max(0, self._unscored + waiting // self._width - self._withheld) // self._window

    def take(self, audio: bytes) -> Scoring:
        """The scoring of further audio."""
        self._unscored += len(audio) // self._width
        self._unscored -= max(0, self._unscored - self._withheld) // self._window * self._window
        return partial(self._score, audio)

    def _score(self, audio: bytes) -> list[float]:
        samples = pcm.to_float(formats.decode(self._encoding, audio))
        return self._stream.score(self._resampler.push(samples))

    def ms(self, size: int) -> float:
        """How long so many bytes sound."""
        return size / self._width / self._window * WINDOW_MS


class Listening:
    """Feeds the detector what has come in since its last job: under load the jobs get longer, not more."""

    def __init__(self, detection: Detection, scored: Callable[[int, list[float]], None], broke: Callable[[int, Exception], None]) -> None:
        self._detection = detection
        self._scored = scored
        self._broke = broke
        self._epoch: Epoch | None = None
        self._waiting = bytearray()
        self._urgent = False
        self._scoring: Epoch | None = None
        """Whose job runs."""
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
        return self._epoch.ms(len(self._waiting)) / 1000 if self._epoch else 0.0

    async def catch_up(self) -> None:
        await self._caught_up.wait()

    def hear(self, detect: Detect) -> None:
        if self._epoch is None or self._epoch.id != detect.epoch:
            self._epoch = Epoch(detect.epoch, detect.format, self._detection.open())
            self._waiting.clear()
        self._waiting += detect.audio
        self._urgent = detect.urgent
        if self._epoch.ms(len(self._waiting)) > MAX_BEHIND_MS:
            self._caught_up.clear()
        self._ask()

    def close(self) -> None:
        self._closed = True
        self._detection.withdraw(self)
        self._caught_up.set()
        self._scored = self._broke = _nobody

    def _ask(self) -> None:
        """Ask for a job, if there is something for one."""
        if self._closed or self._scoring is not None or self._epoch is None:
            return
        windows = self._epoch.windows(len(self._waiting))
        if windows >= (1 if self._urgent else PATIENT_WINDOWS):
            self._detection.demand(self)
        elif windows >= OFFERED_WINDOWS:
            self._detection.offer(self)

    def take(self) -> Scoring:
        """Implements `detection.Source`."""
        assert self._epoch is not None
        self._scoring = self._epoch
        audio, self._waiting = bytes(self._waiting), bytearray()
        self._caught_up.set()
        return self._epoch.take(audio)

    def done(self, outcome: Outcome) -> None:
        """Implements `detection.Source`."""
        assert self._scoring is not None
        epoch, self._scoring = self._scoring.id, None
        if self._closed:
            return
        if isinstance(outcome, Exception):
            self._broke(epoch, outcome)
        else:
            self._scored(epoch, outcome)
        self._ask()


def _nobody(_: int, __: object) -> None:
    """Whose session is over, and let go of."""
