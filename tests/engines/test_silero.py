from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from realtime.engines import silero
from realtime.engines.silero import CONTEXT, MAX_BATCH, SileroVad, model_path
from realtime.errors import EngineError
from realtime.ports import VAD_WINDOW, Vad
from tests.rigs.recordings import RATE, spread

SAME = 1e-4
"""Probabilities this close are equal: a batch of another size adds up in another order."""


@pytest.fixture(scope="module")
def vad() -> Vad:
    return SileroVad()


def speech(seconds: float = 6.0) -> NDArray[np.float32]:
    return np.concatenate([recording.audio for recording in spread(5)])[: int(seconds * RATE)]


def noise(seconds: float, level: float) -> NDArray[np.float32]:
    return (np.random.default_rng(3).standard_normal(int(seconds * RATE)) * level).astype(np.float32)


def window_by_window(audio: NDArray[np.float32]) -> list[float]:
    """The model alone, without anything of ours around it."""
    session = onnxruntime.InferenceSession(str(model_path()), providers=["CPUExecutionProvider"])
    h = c = np.zeros((1, 1, 128), np.float32)
    before, scores = np.zeros(CONTEXT, np.float32), []
    for start in range(0, len(audio) - VAD_WINDOW + 1, VAD_WINDOW):
        window = audio[start : start + VAD_WINDOW]
        out, h, c = session.run(None, {"input": np.concatenate([before, window])[None], "h": h, "c": c})
        before = window[-CONTEXT:]
        scores.append(float(out.reshape(-1)[0]))
    return scores


def test_scores_are_those_of_the_model_window_by_window(vad: Vad) -> None:
    audio = speech(6.0)
    np.testing.assert_allclose(vad.open().score(audio), window_by_window(audio), atol=SAME)


@pytest.mark.parametrize("chunk", [1, 320, VAD_WINDOW, VAD_WINDOW + 1, 4001])
def test_any_chunking_gives_the_same_scores(vad: Vad, chunk: int) -> None:
    audio = speech(3.0 if chunk > 1 else 0.2)
    stream = vad.open()
    scores = [score for start in range(0, len(audio), chunk) for score in stream.score(audio[start : start + chunk])]
    np.testing.assert_allclose(scores, vad.open().score(audio), atol=SAME)


def test_a_window_is_scored_when_it_is_whole(vad: Vad) -> None:
    stream = vad.open()
    assert stream.score(np.zeros(VAD_WINDOW - 1, np.float32)) == []
    assert len(stream.score(np.zeros(1, np.float32))) == 1
    assert len(stream.score(np.zeros(3 * VAD_WINDOW + 5, np.float32))) == 3


def test_no_audio_is_no_score(vad: Vad) -> None:
    assert vad.open().score(np.zeros(0, np.float32)) == []


def test_an_append_longer_than_a_batch_scores_like_a_short_one(vad: Vad) -> None:
    audio = np.resize(speech(), (MAX_BATCH + 3) * VAD_WINDOW)
    scores = vad.open().score(audio)
    assert len(scores) == MAX_BATCH + 3
    np.testing.assert_allclose(scores[-3:], window_by_window(audio)[-3:], atol=SAME)


def test_human_speech_scores_high(vad: Vad) -> None:
    for recording in spread(12):
        assert max(vad.open().score(recording.audio)) > 0.9
        assert np.median(vad.open().score(recording.audio)) > 0.6


def test_silence_scores_low(vad: Vad) -> None:
    assert max(vad.open().score(np.zeros(3 * RATE, np.float32))) < 0.2


@pytest.mark.parametrize("level", [0.001, 0.02, 0.1])
def test_noise_scores_low(vad: Vad, level: float) -> None:
    assert max(vad.open().score(noise(3.0, level))) < 0.4


def test_the_score_falls_again_after_speech(vad: Vad) -> None:
    scores = vad.open().score(np.concatenate([speech(4.0), noise(2.0, 0.001)]))
    assert max(scores[-20:]) < 0.2


def test_streams_do_not_hear_one_another(vad: Vad) -> None:
    alone = vad.open().score(speech(2.0))
    listening, speaking = vad.open(), vad.open()
    quiet = []
    for start in range(0, 2 * RATE, VAD_WINDOW):
        quiet += listening.score(np.zeros(VAD_WINDOW, np.float32))
        speaking.score(speech(2.0)[start : start + VAD_WINDOW])
    assert max(quiet) < 0.2 < max(alone)


def test_streams_score_on_several_threads_at_once(vad: Vad) -> None:
    audio = speech(2.0)
    expected = vad.open().score(audio)
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda _: vad.open().score(audio), range(12)))
    for result in results:
        np.testing.assert_allclose(result, expected, atol=SAME)


def test_a_missing_model_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silero, "MODEL", Path("assets") / "absent.onnx")
    with pytest.raises(EngineError, match=r"absent\.onnx is missing") as caught:
        SileroVad()
    assert caught.value.code == "model_not_found"


def test_a_missing_package_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silero, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match="is faster-whisper"):
        model_path()


def test_a_broken_model_is_said_plainly(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(EngineError, match="can't be loaded") as caught:
        SileroVad(broken)
    assert caught.value.code == "model_unavailable"
