"""Who has the floor: from the scores of the detector to the starts and ends of a person's turns.

    Quiet --(enough speech)--> Talking --(enough silence, or MAX_TURN_MS)--> Quiet

How much silence is enough, `server_vad` says in advance. Under `semantic_vad` it depends on what was said: a short silence is a pause,
whoever can judge it says whether the speaker has finished (`TurnDetector.judged`), and who has not is waited for.

A window between the two thresholds neither starts speech nor begins a silence (Silero's own hysteresis).
"""

from __future__ import annotations

from msgspec import Struct

from realtime.ports import EAR_RATE, VAD_WINDOW
from realtime.wire.settings import SemanticVad, ServerVad, TurnDetection

WINDOW_MS = VAD_WINDOW * 1000 // EAR_RATE
"""How long one score lasts: 32 ms."""

HYSTERESIS = 0.15
"""Speech goes on until the score is this much under the threshold (snakers4/silero-vad, `VADIterator`)."""

MAX_TURN_MS = 120_000
"""A turn is ended here even if nobody pauses: Whisper hears 30 s at a time, and a television would hold the buffer for ever."""

PAUSE_MS = 6 * WINDOW_MS
"""Silence that is a pause: 192 ms, about the 200 ms that end the recordings on which Smart Turn learned to judge."""

HALT_MS = 3 * WINDOW_MS
"""Silence after which it is worth while to find out what was said: 96 ms, about half of what ends a turn by default. In 140 prompts (424 s)
that were read aloud, 69 such silences were no end, and 35 of 192 ms: so many transcripts are thrown away."""

MAX_WAIT_MS = {"high": 2000, "auto": 4000, "medium": 4000, "low": 8000}
"""Silence that ends a turn under `semantic_vad` whatever was said, by eagerness (PROTOCOL 2.3)."""

UNJUDGED_SILENCE_MS = {"high": 300, "auto": 500, "medium": 500, "low": 1000}
"""Silence that ends a turn which nobody could judge: the judge is broken or has too much to do."""

FINISHED = {"high": 0.3, "auto": 0.5, "medium": 0.5, "low": 0.7}
"""Probability from which a speaker has finished, by eagerness."""


class SpeechStarted(Struct, frozen=True):
    at_ms: int
    """Of the first speaking window, from the start of the epoch."""


class SpeechPaused(Struct, frozen=True):
    """There is a silence within the turn, which may or may not be its end."""


class SpeechStopped(Struct, frozen=True):
    at_ms: int
    """End of the silence that ended it, from the start of the epoch."""
    until_ms: int
    """End of its last speaking window, from the start of the epoch."""
    speech_ms: int
    """Of the turn, how much was speech."""


class Quiet(Struct):
    """Nobody speaks, or not long enough to tell."""

    since_ms: int | None = None
    """Start of the speech that is not enough yet."""
    speech_ms: int = 0


class Talking(Struct):
    """Somebody speaks."""

    since_ms: int
    speech_ms: int
    """Speech so far, without the silences in it."""
    until_ms: int
    """End of the last speaking window."""
    patience_ms: int
    """Silence that will end the turn."""
    silence_ms: int = 0
    """Silence so far; speech resets it."""


class TurnDetector:
    """One epoch of detection. Position is the number of windows scored."""

    def __init__(self, settings: TurnDetection) -> None:
        self.position_ms = 0
        """Audio scored so far."""
        self._state: Quiet | Talking = Quiet()
        self.tune(settings)

    def tune(self, settings: TurnDetection) -> None:
        """Change the settings; a turn that is open goes on under the new ones."""
        self._settings = settings
        if isinstance(settings, ServerVad):
            self._threshold, self._patience_ms = settings.threshold, settings.silence_duration_ms
        else:
            self._threshold, self._patience_ms = ServerVad().threshold, MAX_WAIT_MS[settings.eagerness]
        if isinstance(self._state, Talking):
            self._state.patience_ms = self._patience_ms

    @property
    def turn(self) -> Talking | None:
        """The open turn."""
        return self._state if isinstance(self._state, Talking) else None

    @property
    def calm_ms(self) -> int:
        """Up to here nothing belongs to a turn, nor to speech that may become one."""
        since = self._state.since_ms
        return self.position_ms if since is None else since

    def hear(self, score: float, needed_ms: int = WINDOW_MS) -> SpeechStarted | SpeechPaused | SpeechStopped | None:
        """Take the score of the next window. A turn begins after `needed_ms` of speech without a break."""
        began_ms, self.position_ms = self.position_ms, self.position_ms + WINDOW_MS
        if isinstance(self._state, Talking):
            return self._go_on(self._state, score)
        if score >= self._threshold:
            return self._begin(self._state, began_ms, needed_ms)
        self._state = Quiet()
        return None

    def _begin(self, quiet: Quiet, began_ms: int, needed_ms: int) -> SpeechStarted | None:
        since_ms = began_ms if quiet.since_ms is None else quiet.since_ms
        speech_ms = quiet.speech_ms + WINDOW_MS
        if speech_ms < needed_ms:
            self._state = Quiet(since_ms, speech_ms)
            return None
        self._state = Talking(since_ms, speech_ms, self.position_ms, self._patience_ms)
        return SpeechStarted(since_ms)

    def _go_on(self, talking: Talking, score: float) -> SpeechPaused | SpeechStopped | None:
        if score >= self._threshold:
            talking.silence_ms, talking.patience_ms = 0, self._patience_ms
            talking.speech_ms += WINDOW_MS
            talking.until_ms = self.position_ms
        elif talking.silence_ms or score < self._threshold - HYSTERESIS:
            talking.silence_ms += WINDOW_MS
        if stopped := self._ended(talking):
            return stopped
        return SpeechPaused() if PAUSE_MS <= talking.silence_ms < PAUSE_MS + WINDOW_MS else None

    def judged(self, finished: float | None) -> SpeechStopped | None:
        """Take what was judged of the pause that lasts: the probability (0..1) that the speaker has finished, None if nobody could say."""
        talking, settings = self.turn, self._settings
        if talking is None or not isinstance(settings, SemanticVad):
            return None
        if finished is None:
            talking.patience_ms = UNJUDGED_SILENCE_MS[settings.eagerness]
        elif finished >= FINISHED[settings.eagerness]:
            talking.patience_ms = PAUSE_MS
        return self._ended(talking)

    def _ended(self, talking: Talking) -> SpeechStopped | None:
        if talking.silence_ms < max(talking.patience_ms, WINDOW_MS) and self.position_ms - talking.since_ms < MAX_TURN_MS:
            return None
        self._state = Quiet()
        return SpeechStopped(self.position_ms, talking.until_ms, talking.speech_ms)
