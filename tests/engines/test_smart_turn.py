from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from realtime.engines.silero import SileroVad
from realtime.engines.smart_turn import MAX_WAITING, SECONDS, SmartTurn, seen
from realtime.errors import EngineError
from realtime.ports import VAD_WINDOW, TurnJudge
from tests.rigs.recordings import RATE, recordings, spread
from tests.rigs.speech_models import turn_model

# The first test may have to fetch the model.
pytestmark = pytest.mark.timeout(300)

REFERENCE = {
    "agent-alreadyon": (0.908, 0.048),
    "conf-getconfno": (0.956, 0.432),
    "sorry": (0.569, 0.007),
    "to-listen-to-it": (0.712, 0.249),
    "vm-record-prepend": (0.947, 0.959),
}
"""What Pipecat 1.14.0's own features and the same file said of these recordings, whole and cut at 60 % of their samples."""

SAME = 0.08
"""Judgements this close are equal: the network computes in int8, where features that differ by 1e-5 moved one of 280 by 0.058."""

TURNS = 40
"""Recordings that the accuracy is taken over."""

PAUSE = RATE // 5
"""Samples of the silence after which a judge is asked."""


@pytest.fixture(scope="module")
def judge() -> Iterator[TurnJudge]:
    judge = SmartTurn.load(turn_model())
    yield judge
    asyncio.run(judge.close())


def ended(audio: NDArray[np.float32], end: float) -> NDArray[np.float32]:
    """The audio up to the last window of speech before that part of it, then a pause."""
    scores = SileroVad().open().score(audio[: int(len(audio) * end)])
    last = max(window for window, score in enumerate(scores) if score >= 0.5)
    return np.concatenate([audio[: (last + 1) * VAD_WINDOW], np.zeros(PAUSE, np.float32)])


async def test_judgements_are_those_of_the_reference(judge: TurnJudge) -> None:
    for name, expected in REFERENCE.items():
        [audio] = [recording.audio for recording in recordings() if recording.path.stem == name]
        judged = [await judge.judge(audio), await judge.judge(audio[: len(audio) * 6 // 10])]
        assert judged == pytest.approx(expected, abs=SAME), name


async def test_most_whole_sentences_are_told_from_those_cut_in_the_middle(judge: TurnJudge) -> None:
    turns = spread(TURNS)
    whole = np.array([await judge.judge(ended(turn.audio, 1.0)) for turn in turns])
    cut = np.array([await judge.judge(ended(turn.audio, 0.6)) for turn in turns])
    # Seen of nearly all: 84 % and 70 %, medians 0.95 and 0.14. A model that guessed would get half of both.
    assert np.mean(whole > 0.5) >= 0.7
    assert np.mean(cut <= 0.5) >= 0.55
    assert np.median(whole) - np.median(cut) >= 0.4


async def test_only_the_last_seconds_count(judge: TurnJudge) -> None:
    audio = np.concatenate([recording.audio for recording in spread(8)])
    assert len(audio) > SECONDS * RATE
    assert await judge.judge(audio) == await judge.judge(audio[-SECONDS * RATE :])


@pytest.mark.parametrize("samples", [0, 1, RATE, SECONDS * RATE, SECONDS * RATE + 1])
async def test_audio_of_any_length_is_judged(judge: TurnJudge, samples: int) -> None:
    audio = np.resize(spread(1)[0].audio, samples)
    assert 0.0 <= await judge.judge(audio) <= 1.0


def test_a_short_turn_is_seen_at_the_end_of_silence() -> None:
    audio = spread(1)[0].audio[:RATE]
    shown = seen(audio)
    assert shown.dtype == np.float32
    assert shown.shape == (SECONDS * RATE,)
    assert len(set(shown[:-RATE].tolist())) == 1
    assert abs(float(shown.mean())) < 1e-4
    assert float(shown.var()) == pytest.approx(1.0, abs=1e-2)
    assert float(np.corrcoef(shown[-RATE:], audio)[0, 1]) == pytest.approx(1.0)


async def test_samples_that_are_not_numbers_are_refused(judge: TurnJudge) -> None:
    with pytest.raises(EngineError) as caught:
        await judge.judge(np.full(RATE, np.nan, np.float32))
    assert caught.value.code == "audio_unintelligible"


async def test_what_the_library_raises_is_an_engine_error(judge: TurnJudge) -> None:
    assert isinstance(judge, SmartTurn)
    broken = SmartTurn(judge._session, lambda audio, padding: audio)
    with pytest.raises(EngineError, match="could not judge") as caught:
        await broken.judge(np.zeros(RATE, np.float32))
    assert caught.value.code == "judgement_failed"
    await broken.close()


async def test_judgements_beyond_the_queue_are_refused_and_a_closed_judge_takes_none() -> None:
    judge = SmartTurn.load(turn_model())
    audio = np.zeros(RATE, np.float32)
    tasks = [asyncio.create_task(judge.judge(audio)) for _ in range(1 + MAX_WAITING)]
    refused = asyncio.create_task(judge.judge(audio))
    with pytest.raises(EngineError) as caught:
        await refused
    assert caught.value.code == "overloaded"
    for task in tasks:
        task.cancel()
    assert {type(end) for end in await asyncio.gather(*tasks, return_exceptions=True)} == {asyncio.CancelledError}
    await judge.close()
    with pytest.raises(EngineError, match="has been closed"):
        await judge.judge(audio)


def test_a_broken_model_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(EngineError, match="can't be loaded") as caught:
        SmartTurn.load(tmp_path / "model.onnx")
    assert caught.value.code == "model_unavailable"
