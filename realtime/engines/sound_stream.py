"""Bytes of sound as an endpoint streams them, to samples: raw PCM16, or a WAV that holds it.

Owns the half samples between two pieces, and what comes before and after the sound in a WAV, which servers send that know no raw sound
(Orpheus-FastAPI, Chatterbox). Refuses whatever would be noise. Knows no HTTP and converts no rates.
"""

from __future__ import annotations

import math

from realtime.errors import EngineError
from realtime.media import pcm, wav
from realtime.ports import Int16

MIN_RATE, MAX_RATE = 8_000, 48_000
"""Samples a second that an endpoint may claim: from the telephone to the sound card. Anything else is no rate, and at one of 1 Hz a read of
its bytes would become hours."""


class SoundStream:
    """One recording. Give each piece to `feed`, and call `finish` at the end."""

    def __init__(self, rate: int) -> None:
        """`rate` is that of raw sound, in samples a second."""
        self.rate = rate
        """Of what `feed` returns; a WAV's own once samples have come."""
        self._head: bytes | None = b""
        # What came before it is clear where the sound begins; None after.
        self._left = math.inf
        # Bytes of sound to come, where a WAV says it.
        self._rest = b""

    def feed(self, data: bytes) -> Int16:
        """Return the samples that became whole. Raises `EngineError`."""
        if self._head is not None:
            self._head += data
            data = self._behind_head()
        data = self._rest + data
        whole = len(data) - len(data) % pcm.BYTES_PER_SAMPLE
        if whole > self._left:
            whole = int(self._left)
        self._left -= whole
        self._rest = data[whole:] if self._left else b""
        return pcm.from_bytes(data[:whole])

    def finish(self) -> None:
        """Assert that nothing is left over. Raises `EngineError`."""
        if self._head:
            raise EngineError("stream_interrupted", "The endpoint's sound ended within its header.")
        if self._rest:
            raise EngineError("server_error", "The endpoint's sound ends with half a sample, so it is not the PCM16 that was asked for.")

    def _behind_head(self) -> bytes:
        """The sound in what has come so far; empty while that is not clear."""
        head = self._head or b""
        if not wav.begins(head):
            self._head = None
            return head
        layout = wav_layout(head)
        if layout is None:
            return b""
        self._head = None
        self.rate = layout.rate
        if layout.end is not None:
            self._left = layout.end - layout.start
            self._left -= self._left % pcm.BYTES_PER_SAMPLE
        return head[layout.start :]


def wav_layout(data: bytes) -> wav.Layout | None:
    """`wav.layout` of what an endpoint sent. Raises `EngineError`."""
    try:
        layout = wav.layout(data)
    except ValueError as error:
        raise EngineError("server_error", f"The endpoint sent {error}, not mono PCM16.") from error
    if layout is not None and not MIN_RATE <= layout.rate <= MAX_RATE:
        raise EngineError("server_error", f"The endpoint sent a WAV file of {layout.rate} Hz, and not of {MIN_RATE} to {MAX_RATE}.")
    return layout
