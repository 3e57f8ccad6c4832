"""Who has the floor: from the scores of the detector to the starts and ends of a person's turns.

    Quiet --(score >= threshold)--> Talking --(silence_duration_ms of silence, or MAX_TURN_MS)--> Quiet

A window between the two thresholds neither starts speech nor begins a silence (Silero's own hysteresis).
"""

from __future__ import annotations

from msgspec import Struct

from realtime.ports import EAR_RATE, VAD_WINDOW
from realtime.wire.settings import ServerVad, TurnDetection

WINDOW_MS = VAD_WINDOW * 1000 // EAR_RATE
"""How long one score lasts: 32 ms."""

HYSTERESIS = 0.15
"""Speech goes on until the score is this much under the threshold (snakers4/silero-vad, `VADIterator`)."""

MAX_TURN_MS = 120_000
"""A turn is ended here even if nobody pauses: Whisper hears 30 s at a time, and a television would hold the buffer for ever."""

EAGER_SILENCE_MS = {"high": 300, "auto": 500, "medium": 500, "low": 1000}
"""Silence that ends a turn under `semantic_vad`, by eagerness."""


class SpeechStarted(Struct, frozen=True):
    at_ms: int
    """Of the first speaking window, from the start of the epoch."""


class SpeechStopped(Struct, frozen=True):
    at_ms: int
    """End of the silence that ended it, from the start of the epoch."""


class Quiet(Struct, frozen=True):
    """Nobody speaks."""


class Talking(Struct):
    """Somebody speaks."""

    since_ms: int
    silence_ms: int = 0
    """Silence so far; speech resets it."""


class TurnDetector:
    """One epoch of detection. Position is the number of windows scored."""

    def __init__(self, settings: TurnDetection) -> None:
        self.tune(settings)
        self.position_ms = 0
        """Audio scored so far."""
        self._state: Quiet | Talking = Quiet()

    def tune(self, settings: TurnDetection) -> None:
        """Change the settings; a turn that is open goes on under the new ones."""
        if isinstance(settings, ServerVad):
            self._threshold, self._silence_ms = settings.threshold, settings.silence_duration_ms
        else:
            self._threshold, self._silence_ms = ServerVad().threshold, EAGER_SILENCE_MS[settings.eagerness]

    @property
    def talking(self) -> bool:
        return isinstance(self._state, Talking)

    def hear(self, score: float) -> SpeechStarted | SpeechStopped | None:
        """Take the score of the next window."""
        began_ms, self.position_ms = self.position_ms, self.position_ms + WINDOW_MS
        if isinstance(self._state, Talking):
            return self._go_on(self._state, score)
        if score < self._threshold:
            return None
        self._state = Talking(began_ms)
        return SpeechStarted(began_ms)

    def _go_on(self, talking: Talking, score: float) -> SpeechStopped | None:
        if score >= self._threshold:
            talking.silence_ms = 0
        elif talking.silence_ms or score < self._threshold - HYSTERESIS:
            talking.silence_ms += WINDOW_MS
        if talking.silence_ms < max(self._silence_ms, WINDOW_MS) and self.position_ms - talking.since_ms < MAX_TURN_MS:
            return None
        self._state = Quiet()
        return SpeechStopped(self.position_ms)
