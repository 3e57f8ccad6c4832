"""The sound of one content part, and which words each stretch of it carried."""

from __future__ import annotations

from msgspec import Struct

from realtime.wire.settings import AudioFormat, sample_rate, sample_width


class Stretch(Struct):
    """A clause and how long it sounds."""

    text: str
    samples: int = 0


class Sound:
    """Audio in pieces, as it came."""

    def __init__(self, format: AudioFormat, audio: bytes = b"") -> None:
        self.format = format
        self._pieces: list[bytes] = [audio] if audio else []
        self._stretches: list[Stretch] = []
        self._size = len(audio)
        self.released = False
        """The samples are gone; how long they were, and which words they carried, is still known."""

    @property
    def audio(self) -> bytes:
        """All of it, in `format`; nothing where it was released."""
        return b"".join(self._pieces)

    @property
    def held(self) -> int:
        """Bytes in memory."""
        return 0 if self.released else self._size

    def release(self) -> None:
        """Let the samples go."""
        self._pieces = []
        self.released = True

    @property
    def ms(self) -> int:
        """Rounded up, as clients do: openai-agents truncates at the rounded-up length of what it has, which must not be too long."""
        return -(-self._size * 1000 // (sample_width(self.format) * sample_rate(self.format)))

    def speak(self, text: str) -> None:
        """What is added from now on says `text`."""
        self._stretches.append(Stretch(text))

    def add(self, audio: bytes) -> None:
        self._pieces.append(audio)
        self._size += len(audio)
        self._stretches[-1].samples += len(audio) // sample_width(self.format)

    def truncate(self, ms: int) -> str:
        """Keep the first `ms`; returns the words that were heard by then, a clause cut short in proportion."""
        left = ms * sample_rate(self.format) // 1000
        self._size = min(self._size, left * sample_width(self.format))
        self._pieces = [self.audio[: self._size]]
        heard: list[str] = []
        for stretch in self._stretches:
            if left <= 0:
                break
            heard.append(_words(stretch, left))
            left -= stretch.samples
        return " ".join(words for words in heard if words)


def _words(stretch: Stretch, samples: int) -> str:
    """What was heard of it in so many samples."""
    if stretch.samples <= samples:
        return stretch.text
    words = stretch.text.split()
    return " ".join(words[: len(words) * samples // stretch.samples])
