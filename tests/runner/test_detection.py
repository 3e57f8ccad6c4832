from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from realtime.engines.scripted import ScriptedVad
from realtime.runner.detection import MOST, Detection, Outcome, Scoring

PATIENCE = 10.0
"""Seconds until a thread that nobody lets go is a failure."""


class Sound:
    """What one session has heard, by its number; and what it is told of it."""

    def __init__(self, number: int, score: Callable[[], list[float]] | None = None) -> None:
        self.number = number
        self.outcomes: list[Outcome] = []
        self.told = asyncio.Event()
        self._score = score or (lambda: [float(number)])

    def take(self) -> Scoring:
        return self._score

    def done(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.told.set()


class Held:
    """The sound that keeps a job from ending."""

    def __init__(self) -> None:
        self.gate = Event()
        self.begun = Event()

    def __call__(self) -> list[float]:
        self.begun.set()
        assert self.gate.wait(PATIENCE)
        return []


@pytest.fixture
async def detection() -> AsyncIterator[Detection]:
    with ThreadPoolExecutor(2) as workers:
        yield Detection(ScriptedVad(), workers, 2)


async def test_who_demands_takes_along_who_offers(detection: Detection) -> None:
    patient, urgent = Sound(1), Sound(2)
    detection.offer(patient)
    assert detection._running == 0
    detection.demand(urgent)
    assert detection._running == 1
    await asyncio.gather(patient.told.wait(), urgent.told.wait())
    assert (patient.outcomes, urgent.outcomes) == ([[1.0]], [[2.0]])


async def test_what_comes_while_a_job_runs_goes_together_next(detection: Detection) -> None:
    held, sounds = Held(), [Sound(number) for number in range(5)]
    detection.demand(Sound(9, held))
    for sound in sounds:
        detection.demand(sound)
    assert detection._running == 1
    held.gate.set()
    await sounds[0].told.wait()
    assert [sound.outcomes for sound in sounds] == [[[float(number)]] for number in range(5)]


async def test_a_full_job_goes_though_nobody_is_in_a_hurry(detection: Detection) -> None:
    sounds = [Sound(number) for number in range(MOST)]
    for sound in sounds:
        detection.offer(sound)
    await sounds[-1].told.wait()
    assert all(sound.outcomes for sound in sounds)


async def test_a_second_job_runs_beside_the_first_where_it_is_full(detection: Detection) -> None:
    both = Barrier(2)

    def meet() -> list[float]:
        both.wait(PATIENCE)  # which breaks unless both run at once
        return []

    first, others = Sound(0, meet), [Sound(1, meet), *(Sound(number) for number in range(2, MOST + 1))]
    detection.demand(first)
    for sound in others:
        detection.offer(sound)
    await asyncio.gather(first.told.wait(), others[0].told.wait())
    assert first.outcomes == others[0].outcomes == [[]]


async def test_a_detector_that_breaks_is_told_to_its_own_session(detection: Detection) -> None:
    def broken() -> list[float]:
        raise RuntimeError("no ears")

    deaf, well = Sound(1, broken), Sound(2)
    detection.offer(deaf)
    detection.demand(well)
    await well.told.wait()
    assert [str(outcome) for outcome in deaf.outcomes] == ["no ears"]
    assert well.outcomes == [[2.0]]


async def test_who_withdraws_is_not_scored(detection: Detection) -> None:
    gone, other = Sound(1), Sound(2)
    detection.offer(gone)
    detection.withdraw(gone)
    detection.withdraw(gone)
    detection.demand(other)
    await other.told.wait()
    assert gone.outcomes == []


async def test_nobody_is_told_once_the_workers_are_gone() -> None:
    held, late = Held(), Sound(1)
    with ThreadPoolExecutor(1) as workers:
        detection = Detection(ScriptedVad(), workers, 1)
        blocker = workers.submit(held)
        await asyncio.to_thread(held.begun.wait, PATIENCE)
        detection.demand(late)
        workers.shutdown(wait=False, cancel_futures=True)
        held.gate.set()
        assert blocker.result() == []
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(3)))  # that it was cancelled has come back
        assert detection._running == 0
    assert late.outcomes == []
