"""Whose turn it is by the sound of a voice: Smart Turn v3.2, an ONNX file of 8.7 MB (BSD-2-Clause, github.com/pipecat-ai/smart-turn).

Owns the thread that judges and what the network wants to see: the last 8 s at 16 kHz, zeros in front of a shorter turn, brought to mean 0
and variance 1 as a whole, as Whisper's log mel spectrogram. That is transformers' `WhisperFeatureExtractor(chunk_length=8)` with
`do_normalize=True`; faster-whisper's extractor, used here, agrees with it within 1e-5. What follows from a judgement is not its business.

Seen of 139 prompts, read aloud by a person, and the same cut inside speech at 50 to 70 % of their length, each with 200 ms of silence
behind: 84 % of the whole ones were above a half (median 0.95), 70 % of the cut ones below (median 0.14). With 500 ms of silence it was 91 %
and 37 %: ask early, the network takes a long silence for an end. A judgement takes 70 ms of CPU (x86-64), however long the turn is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from realtime.engines.workers import Workers
from realtime.errors import EngineError
from realtime.ports import EAR_RATE, Float32

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

SECONDS = 8
"""What the network was trained to see; of a longer turn, its end."""

TINY_VARIANCE = 1e-7
"""Added to the variance, as the reference does, so that silence can be divided by it."""

MAX_WAITING = 32
"""Judgements that may wait for the thread: the last of them waits two seconds or three. Who waits longer has been silent for so long that
nobody needs a judge."""

NAME = "smart-turn-v3.2"
"""Of the model, as the catalogue has it."""


class SmartTurn:
    """Implements `ports.TurnJudge`. Make it with `load`."""

    def __init__(self, session: InferenceSession, features: Callable[..., Float32]) -> None:
        self.name = NAME
        self._session = session
        self._features = features
        # One thread: a judgement is short, and Whisper needs the cores more.
        self._workers = Workers(NAME, count=1, max_waiting=MAX_WAITING)

    @classmethod
    def load(cls, path: Path) -> SmartTurn:
        """Load the ONNX file; blocks for a moment. Raises `EngineError`."""
        import onnxruntime
        from faster_whisper.feature_extractor import FeatureExtractor

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            # onnxruntime's exceptions share no base class of their own.
            raise EngineError("model_unavailable", f"The turn model {path} can't be loaded: {error}") from error
        return cls(session, FeatureExtractor(chunk_length=SECONDS))

    async def judge(self, audio: Float32) -> float:
        return await self._workers.run(lambda _: self._judge(audio))

    @property
    def waiting(self) -> int:
        return self._workers.waiting

    async def close(self) -> None:
        await self._workers.close()

    def _judge(self, audio: Float32) -> float:
        if not np.isfinite(audio).all():
            raise EngineError("audio_unintelligible", "The audio holds samples that are not numbers.", type="invalid_request_error")
        try:
            [probability] = self._session.run(None, {"input_features": self._features(seen(audio), padding=0)[None]})
        except Exception as error:
            # As in `load`.
            raise EngineError("judgement_failed", f"{self.name} could not judge: {error}") from error
        return float(probability.item())


def seen(audio: Float32) -> Float32:
    """The last seconds, as the network wants them: always of one length, at the end the latest sample, normalised."""
    count = SECONDS * EAR_RATE
    latest = audio[-count:]
    whole = np.concatenate([np.zeros(count - len(latest), np.float32), latest])
    return np.asarray((whole - whole.mean()) / np.sqrt(whole.var() + TINY_VARIANCE), np.float32)
