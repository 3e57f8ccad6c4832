"""What a session hears: the input buffer, the detector's epoch, and the turn that is being spoken."""

from __future__ import annotations

from typing import assert_never

from msgspec import Struct

from realtime.errors import ClientError
from realtime.session.effects import Detect
from realtime.session.input_audio import InputAudio
from realtime.session.turns import WINDOW_MS, SpeechPaused, SpeechStarted, SpeechStopped, TurnDetector
from realtime.wire.settings import AudioFormat, ServerVad, TurnDetection

MAX_HELD_MS = 600_000
"""Audio held in the buffer: ten minutes, 29 MB of PCM. More than anybody says in a turn, less than what hurts a machine."""

MIN_COMMIT_MS = 100
"""Shorter buffers are not committed (PROTOCOL 2)."""

SEMANTIC_PREFIX_MS = ServerVad().prefix_padding_ms
"""`semantic_vad` has no setting for it."""


class TurnBegan(Struct, frozen=True):
    """Somebody started to speak."""

    at_ms: int
    """Of session audio; includes the prefix padding."""


class TurnPaused(Struct, frozen=True):
    """They are silent for a moment, and have perhaps finished."""


class TurnEnded(Struct, frozen=True):
    """They stopped."""

    at_ms: int
    end: int
    """Position in the buffer, samples."""
    spoken_until: int
    """Position at which its last speech ended."""
    speech_ms: int
    """How much of the turn was speech."""


Heard = TurnBegan | TurnPaused | TurnEnded


class Ear:
    """Feeds the detector and cuts the buffer at what it says."""

    def __init__(self, format: AudioFormat, detection: TurnDetection | None) -> None:
        self.buffer = InputAudio(format)
        self._detection = detection
        self._detector = None if detection is None else TurnDetector(detection)
        self.epoch = 0
        self._epoch_start = 0
        """Position in the buffer where the epoch's first window lies, samples."""

    @property
    def talking(self) -> bool:
        """Is a turn open?"""
        return self._detector is not None and self._detector.turn is not None

    @property
    def speech_ms(self) -> int:
        """Speech in the open turn so far."""
        turn = None if self._detector is None else self._detector.turn
        return 0 if turn is None else turn.speech_ms

    @property
    def silence_ms(self) -> int:
        """How long the open turn has been silent."""
        turn = None if self._detector is None else self._detector.turn
        return 0 if turn is None else turn.silence_ms

    @property
    def spoken_until(self) -> int:
        """Position in the buffer up to which the open turn is speech; what follows is silence so far. Samples."""
        turn = None if self._detector is None else self._detector.turn
        return self.buffer.start if turn is None else min(self._position(turn.until_ms), self.buffer.received)

    @property
    def scored_until(self) -> int:
        """Position in the buffer up to which the detector has heard it, samples."""
        scored = 0 if self._detector is None else self._detector.position_ms
        return min(self._position(scored), self.buffer.received)

    @property
    def _prefix(self) -> int:
        prefix_ms = self._detection.prefix_padding_ms if isinstance(self._detection, ServerVad) else SEMANTIC_PREFIX_MS
        return self.buffer.samples(prefix_ms)

    def tune(self, format: AudioFormat, detection: TurnDetection | None) -> None:
        """Follow the session's settings. Another format lets go of what is held: two formats can't be one item."""
        if format != self.buffer.format:
            self.buffer = InputAudio(format, self.buffer.end_ms)
            self._detection, self._detector = None, None
        if detection == self._detection:
            return
        self._detection = detection
        if detection is None:
            self._detector = None
        elif self._detector is None:
            self.restart()
        else:
            self._detector.tune(detection)

    def restart(self) -> None:
        """Begin a new epoch at the end of the buffer: what is still being scored of the old one is not waited for."""
        self.epoch += 1
        self._epoch_start = self.buffer.received
        self._detector = None if self._detection is None else TurnDetector(self._detection)

    def append(self, audio: bytes, *, urgent: bool = False) -> Detect | None:
        """Hold more audio. Without a turn, it is not `urgent` to know what it is. Raises `ClientError` when it is too much."""
        if self.buffer.held_ms > MAX_HELD_MS:
            raise ClientError(
                "input_audio_buffer_full",
                f"The input audio buffer holds {MAX_HELD_MS // 60_000} minutes already. Commit or clear it first.",
                param="audio",
            )
        whole = self.buffer.append(audio)
        if self._detector is None or not whole:
            return None
        return Detect(self.epoch, whole, self.buffer.format, urgent or self.talking)

    def hear(self, score: float, needed_ms: int = WINDOW_MS) -> Heard | None:
        """Take the score of the epoch's next window. A turn begins after `needed_ms` of speech."""
        if self._detector is None:
            return None
        heard = self._detector.hear(score, needed_ms)
        match heard:
            case SpeechStarted(at_ms=at_ms):
                self.buffer.drop(self._position(at_ms) - self._prefix)
                return TurnBegan(self.buffer.origin_ms + self.buffer.ms(self.buffer.start))
            case SpeechPaused():
                return TurnPaused()
            case SpeechStopped():
                return self._ended(heard)
            case None:
                if not self.talking:
                    self.buffer.drop(self._position(self._detector.calm_ms) - self._prefix)
                return None
            case _:
                assert_never(heard)

    def judged(self, finished: float | None) -> TurnEnded | None:
        """Take what was judged of the pause (`TurnDetector.judged`)."""
        stopped = None if self._detector is None else self._detector.judged(finished)
        return None if stopped is None else self._ended(stopped)

    def _ended(self, stopped: SpeechStopped) -> TurnEnded:
        end = min(self._position(stopped.at_ms), self.buffer.received)
        spoken_until = min(self._position(stopped.until_ms), end)
        return TurnEnded(self.buffer.origin_ms + self.buffer.ms(end), end, spoken_until, stopped.speech_ms)

    def _position(self, epoch_ms: int) -> int:
        return self._epoch_start + self.buffer.samples(epoch_ms)

    def commit(self) -> bytes:
        """Take everything held, by the client's wish. Raises `ClientError` when it is too little."""
        if self.buffer.held_ms < MIN_COMMIT_MS:
            raise ClientError(
                "input_audio_buffer_commit_empty",
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
                f"but buffer only has {self.buffer.held_ms:.2f}ms of audio.",
            )
        return self.take_all()

    def take_all(self) -> bytes:
        """Take everything held, be it nothing, and listen anew."""
        audio = self.buffer.take(self.buffer.received)
        self.restart()
        return audio

    def clear(self) -> None:
        self.buffer.drop(self.buffer.received)
        self.restart()
