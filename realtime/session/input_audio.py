"""The input audio buffer: what the client has said and nobody has used yet. Time is counted in samples."""

from __future__ import annotations

from collections import deque

from realtime.wire.settings import AudioFormat, sample_rate, sample_width


class InputAudio:
    """A queue of samples with absolute positions, in one format.

    Every sample that comes in is held until it is committed (`take`) or let go (`drop`): `received == taken + dropped + held`.
    """

    def __init__(self, format: AudioFormat, origin_ms: int = 0) -> None:
        """`origin_ms`: how much audio the session had received before this buffer began."""
        self.format = format
        self.origin_ms = origin_ms
        self._rate = sample_rate(format)
        self._width = sample_width(format)
        self._chunks: deque[bytes] = deque()
        self._odd = b""
        """The first byte of a sample whose second has not come yet: clients cut byte streams anywhere."""
        self.received = self.taken = self.dropped = 0
        """Samples."""

    @property
    def held(self) -> int:
        """Samples in the buffer."""
        return self.received - self.taken - self.dropped

    @property
    def start(self) -> int:
        """Position of the first sample held."""
        return self.taken + self.dropped

    def ms(self, samples: int) -> int:
        return samples * 1000 // self._rate

    def samples(self, ms: int) -> int:
        return ms * self._rate // 1000

    @property
    def held_ms(self) -> float:
        return self.held * 1000 / self._rate

    @property
    def end_ms(self) -> int:
        """Milliseconds of audio that the session has received in all."""
        return self.origin_ms + self.ms(self.received)

    def append(self, audio: bytes) -> bytes:
        """Hold more audio; returns what became whole samples."""
        if self._odd:
            audio = self._odd + audio
        cut = len(audio) % self._width
        self._odd = audio[-cut:] if cut else b""
        whole = audio[:-cut] if cut else audio
        if whole:
            self._chunks.append(whole)
            self.received += len(whole) // self._width
        return whole

    def peek(self, begin: int, end: int) -> bytes:
        """A copy of what is held between two positions."""
        begin = max(begin, self.start)
        offset, size = (begin - self.start) * self._width, (end - begin) * self._width
        found: list[bytes] = []
        for chunk in self._chunks:
            if size <= 0:
                break
            if offset < len(chunk):
                found.append(chunk[offset : offset + size])
                size -= len(found[-1])
            offset = max(0, offset - len(chunk))
        return b"".join(found)

    def take(self, end: int) -> bytes:
        """Remove and return everything up to the position `end`."""
        count = max(0, min(end, self.received) - self.start)
        self.taken += count
        return self._pop(count * self._width)

    def drop(self, end: int) -> None:
        """Let go of everything up to the position `end`."""
        count = max(0, min(end, self.received) - self.start)
        self.dropped += count
        self._pop(count * self._width)

    def _pop(self, size: int) -> bytes:
        taken: list[bytes] = []
        while size:
            chunk = self._chunks.popleft()
            if len(chunk) > size:
                self._chunks.appendleft(chunk[size:])
                chunk = chunk[:size]
            taken.append(chunk)
            size -= len(chunk)
        return b"".join(taken)
