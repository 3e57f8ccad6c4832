"""The sound of one content part, and which words each stretch of it carried.

A voice that is given clauses says which clause it sounds (`speak`). A model that speaks by itself streams transcript and sound side by side
(`write`): what was written since the last piece of sound is what the next pieces say.
"""

from __future__ import annotations

import re

from msgspec import Struct

from realtime.wire.settings import PCM_RATE, AudioFormat, at_rate, sample_rate, sample_width

_UNSPACED = "\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9f"
"""Scripts in which a character is as good as a word: Chinese, Japanese, Korean."""

_WORD = re.compile(rf"\s*(?:[{_UNSPACED}]|[^\s{_UNSPACED}]+)")
"""A word, with the white space before it."""

_HALF_WORD = re.compile(rf"[^\W{_UNSPACED}]+\Z")
_REST_OF_WORD = re.compile(rf"['’]?[^\W{_UNSPACED}]")


class Stretch(Struct):
    """Words, as they were written, and how long they sound."""

    text: str
    samples: int = 0


class KeptSound(Struct, frozen=True):
    """A `Sound` as it is stored."""

    format: AudioFormat
    rate: int
    """Samples a second: those of PCM may be what no `AudioFormat` on the wire says."""
    audio: bytes
    size: int
    """Bytes that it had before it was released."""
    released: bool
    stretches: list[Stretch]


class Sound:
    """Audio in pieces, as it came."""

    def __init__(self, format: AudioFormat, audio: bytes = b"") -> None:
        self.format = format
        self._pieces: list[bytes] = [audio] if audio else []
        self._stretches: list[Stretch] = []
        self._size = len(audio)
        self.released = False
        """The samples are gone; how long they were, and which words they carried, is still known."""

    @classmethod
    def of(cls, kept: KeptSound) -> Sound:
        sound = cls(at_rate(kept.format, kept.rate), kept.audio)
        sound._size, sound._stretches, sound.released = kept.size, kept.stretches, kept.released
        return sound

    def keep(self) -> KeptSound:
        return KeptSound(at_rate(self.format, PCM_RATE), sample_rate(self.format), self.audio, self._size, self.released, self._stretches)

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
        """What is added from now on says `text`, white space and all."""
        self._stretches.append(Stretch(text))

    def write(self, text: str) -> None:
        """What is added next says `text`, and what was written before it and has not sounded yet."""
        if self._stretches and not self._stretches[-1].samples:
            self._stretches[-1].text += text
        else:
            self.speak(text)

    def settle(self) -> None:
        """Nothing more comes. Words that no sound followed were in the sound before them: some models write when they have spoken."""
        if len(self._stretches) > 1 and not self._stretches[-1].samples:
            last = self._stretches.pop()
            self._stretches[-1].text += last.text

    def add(self, audio: bytes) -> None:
        """More of it, in whole samples; of no words where none were written."""
        if not self._stretches:
            self.speak("")
        self._pieces.append(audio)
        self._size += len(audio)
        self._stretches[-1].samples += len(audio) // sample_width(self.format)

    def truncate(self, ms: int) -> str:
        """Keep the first `ms`; returns the words that were heard by then, with the white space between them as it was written.

        Of a stretch that was cut short, words were heard in proportion.
        """
        left = ms * sample_rate(self.format) // 1000
        self._size = min(self._size, left * sample_width(self.format))
        self._pieces = [self.audio[: self._size]]
        heard = ""
        for stretch in self._stretches:
            if left <= 0:
                break
            heard += _words(stretch, left)
            left -= stretch.samples
        whole = "".join(stretch.text for stretch in self._stretches)
        return _whole_words(heard, whole[len(heard) :])


def _words(stretch: Stretch, samples: int) -> str:
    """What was heard of it in so many samples."""
    if stretch.samples <= samples:
        return stretch.text
    words = _WORD.findall(stretch.text)
    return "".join(words[: len(words) * samples // stretch.samples])


def _whole_words(heard: str, rest: str) -> str:
    """Without the half of a word whose other half was in a later stretch, and without white space at the end."""
    if _REST_OF_WORD.match(rest):
        heard = _HALF_WORD.sub("", heard)
    return heard.rstrip()
