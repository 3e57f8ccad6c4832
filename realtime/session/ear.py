"""What a session hears: the input buffer, the detector's epoch, and the turn that is being spoken."""

from __future__ import annotations

from typing import assert_never

from msgspec import Struct

from realtime.errors import ClientError
from realtime.session.effects import Detect
from realtime.session.input_audio import InputAudio
from realtime.session.turns import SpeechStarted, SpeechStopped, TurnDetector
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


class TurnEnded(Struct, frozen=True):
    """They stopped."""

    at_ms: int
    end: int
    """Position in the buffer, samples."""


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
        return self._detector is not None and self._detector.talking

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

    def append(self, audio: bytes) -> Detect | None:
        """Hold more audio. Raises `ClientError` when it is too much."""
        if self.buffer.held_ms > MAX_HELD_MS:
            raise ClientError(
                "input_audio_buffer_full",
                f"The input audio buffer holds {MAX_HELD_MS // 60_000} minutes already. Commit or clear it first.",
                param="audio",
            )
        whole = self.buffer.append(audio)
        if self._detector is None or not whole:
            return None
        return Detect(self.epoch, whole, self.buffer.format)

    def hear(self, score: float) -> TurnBegan | TurnEnded | None:
        """Take the score of the epoch's next window."""
        if self._detector is None:
            return None
        heard = self._detector.hear(score)
        match heard:
            case SpeechStarted(at_ms=at_ms):
                self.buffer.drop(self._position(at_ms) - self._prefix)
                return TurnBegan(self.buffer.origin_ms + self.buffer.ms(self.buffer.start))
            case SpeechStopped(at_ms=at_ms):
                end = min(self._position(at_ms), self.buffer.received)
                return TurnEnded(self.buffer.origin_ms + self.buffer.ms(end), end)
            case None:
                if not self._detector.talking:
                    self.buffer.drop(self._position(self._detector.position_ms) - self._prefix)
                return None
            case _:
                assert_never(heard)

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
        audio = self.buffer.take(self.buffer.received)
        self.restart()
        return audio

    def clear(self) -> None:
        self.buffer.drop(self.buffer.received)
        self.restart()
