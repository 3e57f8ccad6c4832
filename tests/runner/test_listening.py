from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from realtime.ports import Float32, VadStream
from realtime.runner.detection import Detection
from realtime.runner.listening import MAX_BEHIND_MS, Listening
from realtime.session.effects import Detect
from realtime.wire.settings import AudioFormat, PcmFormat, PcmuFormat, sample_rate, sample_width

WINDOW = 1536
"""Bytes of 32 ms of 24 kHz PCM16."""


class GatedStream:
    """Scores a window as the number of the stream, and can be held up."""

    def __init__(self, number: int, gate: Event) -> None:
        self.number, self.gate, self.rest, self.calls = number, gate, 0, 0

    def score(self, audio: Float32) -> list[float]:
        assert self.gate.wait(10)
        self.calls += 1
        self.rest += len(audio)
        windows, self.rest = divmod(self.rest, 512)
        return [float(self.number)] * windows


class GatedVad:
    def __init__(self) -> None:
        self.gate = Event()
        self.gate.set()
        self.streams: list[GatedStream] = []
        self.broken = False

    def open(self) -> VadStream:
        if self.broken:
            return BrokenStream()
        self.streams.append(GatedStream(len(self.streams), self.gate))
        return self.streams[-1]


class BrokenStream:
    def score(self, audio: Float32) -> list[float]:
        raise RuntimeError("no ears")


class Heard:
    """What a listening has told, and a way to wait for it."""

    def __init__(self) -> None:
        self.scores: list[tuple[int, float]] = []
        self.errors: list[tuple[int, Exception]] = []
        self.changed = asyncio.Event()

    def scored(self, epoch: int, scores: list[float]) -> None:
        self.scores += [(epoch, score) for score in scores]
        self.changed.set()

    def broke(self, epoch: int, error: Exception) -> None:
        self.errors.append((epoch, error))
        self.changed.set()

    async def wait_for(self, count: int) -> None:
        while len(self.scores) + len(self.errors) < count:
            self.changed.clear()
            await self.changed.wait()


@pytest.fixture
def vad() -> GatedVad:
    return GatedVad()


@pytest.fixture
def told() -> Heard:
    return Heard()


@pytest.fixture
async def listening(vad: GatedVad, told: Heard) -> AsyncIterator[Listening]:
    with ThreadPoolExecutor(1) as workers:
        listening = Listening(Detection(vad, workers, 1), told.scored, told.broke)
        yield listening
        vad.gate.set()
        listening.close()


def detect(size: int, epoch: int = 0, *, urgent: bool = True) -> Detect:
    return Detect(epoch, bytes(size), PcmFormat(), urgent)


async def test_audio_is_scored_once_there_is_a_window_of_it(listening: Listening, vad: GatedVad, told: Heard) -> None:
    for _ in range(10):
        listening.hear(detect(WINDOW // 2))
    await told.wait_for(4)
    assert {epoch for epoch, _ in told.scores} == {0}


async def test_what_comes_while_a_job_runs_is_one_job_more(listening: Listening, vad: GatedVad, told: Heard) -> None:
    vad.gate.clear()
    for _ in range(20):
        listening.hear(detect(WINDOW))
    vad.gate.set()
    await told.wait_for(18)
    assert vad.streams[0].calls == 2


async def test_a_new_epoch_is_a_new_stream_that_knows_nothing_of_the_old(listening: Listening, vad: GatedVad, told: Heard) -> None:
    listening.hear(detect(WINDOW * 2))
    await told.wait_for(1)
    listening.hear(detect(WINDOW // 2))
    listening.hear(Detect(1, bytes(1024), PcmuFormat(), urgent=True))
    await told.wait_for(4)
    assert len(vad.streams) == 2
    assert {epoch for epoch, _ in told.scores} == {0, 1}
    assert all(score == epoch for epoch, score in told.scores)


async def test_a_backlog_asks_the_connection_to_wait_until_it_is_taken(listening: Listening, vad: GatedVad, told: Heard) -> None:
    vad.gate.clear()
    listening.hear(detect(WINDOW * 2))
    assert not listening.behind
    listening.hear(detect(WINDOW * (MAX_BEHIND_MS // 32 + 2)))
    assert listening.behind
    vad.gate.set()
    await listening.catch_up()
    assert not listening.behind


async def test_a_detector_that_breaks_is_told_and_tried_again(listening: Listening, vad: GatedVad, told: Heard) -> None:
    vad.broken = True
    listening.hear(detect(WINDOW * 2))
    await told.wait_for(1)
    assert [(epoch, str(error)) for epoch, error in told.errors] == [(0, "no ears")]
    vad.broken = False
    listening.hear(detect(WINDOW * 2, epoch=1))
    await told.wait_for(2)
    assert told.scores


async def test_nothing_is_told_after_closing(listening: Listening, vad: GatedVad, told: Heard) -> None:
    vad.gate.clear()
    listening.hear(detect(WINDOW * 4))
    listening.close()
    vad.gate.set()
    listening.hear(detect(WINDOW * 4))
    other, others = Listening(listening._detection, told.scored, told.broke), 7  # whoever comes after it has been told all that there is
    other.hear(detect(WINDOW * 2, epoch=others))
    await told.wait_for(1)
    assert {epoch for epoch, _ in told.scores} == {others}


@pytest.mark.parametrize(("size", "urgent", "scored"), [(1, True, 1), (1, False, 0), (2, False, 0), (3, False, 3)])
async def test_who_is_not_in_a_hurry_is_scored_three_windows_at_once(
    listening: Listening, vad: GatedVad, told: Heard, size: int, urgent: bool, scored: int
) -> None:
    listening.hear(detect(WINDOW * size + 16, urgent=urgent))
    other = Listening(listening._detection, told.scored, told.broke)
    if scored:
        await told.wait_for(scored)
    else:
        assert not listening._detection._running
    assert len(told.scores) == scored
    other.close()


async def test_two_windows_go_along_with_somebody_elses(listening: Listening, told: Heard) -> None:
    patient = Listening(listening._detection, told.scored, told.broke)
    patient.hear(detect(WINDOW * 2 + 16, epoch=5, urgent=False))
    listening.hear(detect(WINDOW + 16))
    await told.wait_for(3)
    assert sorted(epoch for epoch, _ in told.scores) == [0, 5, 5]


@pytest.mark.parametrize("format", [PcmFormat(), PcmuFormat(), PcmFormat(16_000)])
async def test_a_window_is_scored_as_soon_as_it_is_whole(listening: Listening, told: Heard, format: AudioFormat) -> None:
    """However the sound is cut: what is left of the append before counts."""
    second = sample_rate(format) * sample_width(format)
    for count in range(1, 50):
        listening.hear(Detect(0, bytes(second // 50), format, urgent=True))
        await told.wait_for((count * 20 - 1) // 32)
    assert len(told.scores) == (49 * 20) // 32
