"""Voice activity detection: Silero v6, the ONNX file that faster-whisper carries in its assets.

Owns the one onnxruntime session of the process and, for each stream, the memory that the network wants back: its recurrent state `h` and
`c`, the last 64 samples, and what is left of an unfinished window. It judges windows; what is a turn is not its business.

The network takes `input [n, 576]`, n windows of one stream in sequence, each preceded by the 64 samples before it
(github.com/snakers4/silero-vad, utils_vad.py; faster_whisper/vad.py shows this variant of the file).
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from realtime.errors import EngineError
from realtime.ports import VAD_WINDOW, Float32

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MODEL = Path("assets") / "silero_vad_v6.onnx"

CONTEXT = 64
"""Samples of the previous window that the network sees again: what it was trained with at 16 kHz."""

STATE = (1, 1, 128)
"""Shape of `h` and of `c`."""

MAX_BATCH = 64
"""Windows of one call, two seconds. More is no faster, and a long append must not make the session allocate for minutes of audio."""


def model_path() -> Path:
    """Where the installed faster-whisper keeps the model; found without importing it, which takes a second."""
    spec = find_spec("faster_whisper")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        if (path := Path(folder) / MODEL).is_file():
            return path
    raise EngineError("model_not_found", f"The voice activity detector {MODEL.name} is missing: is faster-whisper 1.2 or newer installed?")


def _open_session(path: Path) -> InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # Idle sessions are many and calls are small: an arena would hold the largest batch ever seen for good.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # onnxruntime's exceptions share no base class of their own.
        raise EngineError("model_unavailable", f"The voice activity detector can't be loaded: {error}") from error


class SileroStream:
    """Implements `ports.VadStream`: the memory of one session."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self._h = np.zeros(STATE, np.float32)
        self._c = np.zeros(STATE, np.float32)
        self._heard = np.zeros(CONTEXT, np.float32)
        """The context of the next window, then the part of that window that has come."""

    def score(self, audio: Float32) -> list[float]:
        heard = np.concatenate([self._heard, audio])
        windows = (len(heard) - CONTEXT) // VAD_WINDOW
        self._heard = heard[windows * VAD_WINDOW :].copy()
        scores: list[float] = []
        for start in range(0, windows, MAX_BATCH):
            end = min(windows, start + MAX_BATCH)
            scores += self._run(heard[start * VAD_WINDOW : end * VAD_WINDOW + CONTEXT])
        return scores

    def _run(self, heard: Float32) -> list[float]:
        """Score whole windows, given with the context of the first."""
        windows = len(heard) // VAD_WINDOW
        # Copied by hand: numpy's sliding_window_view takes 18 us for this, a tenth of what the network takes for a window.
        rows = np.empty((windows, CONTEXT + VAD_WINDOW), np.float32)
        rows[:, CONTEXT:] = heard[CONTEXT:].reshape(windows, VAD_WINDOW)
        rows[:, :CONTEXT] = heard[: windows * VAD_WINDOW].reshape(windows, VAD_WINDOW)[:, :CONTEXT]
        feed = {"input": rows, "h": self._h, "c": self._c}
        output, self._h, self._c = self._session.run(None, feed)
        return [float(probability) for probability in output.reshape(-1)]


class SileroVad:
    """Implements `ports.Vad`. One is enough for a process: its streams share nothing that changes."""

    def __init__(self, path: Path | None = None) -> None:
        self._session = _open_session(path or model_path())

    def open(self) -> SileroStream:
        return SileroStream(self._session)
