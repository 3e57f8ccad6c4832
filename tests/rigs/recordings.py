"""Human speech with its text: the English prompts of Asterisk, a professional speaker on a telephone line (8 kHz).

Debian carries the sounds in `asterisk-core-sounds-en-wav` and their texts in `asterisk-core-sounds-en`. The rig looks for the unpacked
packages in the folder that `$REALTIME_RECORDINGS` names, else unpacks them itself (`debian`). Where it can't, the test that asked is
skipped and says why.
"""

from __future__ import annotations

import gzip
import os
import re
import wave
from functools import cache
from pathlib import Path

import jiwer
import numpy as np
import pytest
from msgspec import Struct
from numpy.typing import NDArray

from realtime.media.pcm import from_bytes, to_float
from realtime.media.resample import resample
from tests.rigs.debian import unpacked

PACKAGES = ("asterisk-core-sounds-en-wav", "asterisk-core-sounds-en")
SOUNDS = Path("usr/share/asterisk/sounds/en_US_f_Allison")
TEXTS = Path("usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")

RATE = 16_000
"""Samples a second of `Recording.audio`."""

MIN_WORDS = 4
"""Words of the shortest prompt that counts as a sentence."""

MAX_WORDS = 40
"""Words of the longest: past this a prompt fills Whisper's window, and one of them would weigh as much as ten others."""

MISLEADING = {
    "vm-intro": "the text describes a tone that the speaker does not read",
    "pbx-invalidpark": "the speaker says `but`, the text does not",
    "queue-periodic-announce": "the text is misspelled",
}
"""Prompts whose text is not what is heard, so that they would measure the list and not the listener."""

_NOT_READ = re.compile(r"[\[\]<>#*@&()\d]|\.\.\.|-")
"""Sound effects, fragments, and what can be written in more than one way (digits, symbols, hyphens)."""


class Recording(Struct, frozen=True):
    """A prompt, read aloud."""

    path: Path
    text: str
    """As printed in Debian's list."""
    audio: NDArray[np.float32]
    """Samples at `RATE`, full scale +-1."""

    @property
    def seconds(self) -> float:
        return len(self.audio) / RATE


@cache
def _folder() -> Path | str:
    """Where the recordings lie, or why there are none."""
    chosen = os.environ.get("REALTIME_RECORDINGS")
    if not chosen:
        return unpacked("recordings", PACKAGES, (SOUNDS, TEXTS))
    whole = all((Path(chosen) / path).exists() for path in (SOUNDS, TEXTS))
    return Path(chosen) if whole else f"REALTIME_RECORDINGS is {chosen}, which lacks {SOUNDS} or {TEXTS}"


def _read(path: Path) -> NDArray[np.float32]:
    with wave.open(str(path)) as file:
        audio = from_bytes(file.readframes(file.getnframes()))
        return resample(to_float(audio), file.getframerate(), RATE)


def _is_sentence(name: str, text: str) -> bool:
    words = len(text.split())
    return MIN_WORDS <= words <= MAX_WORDS and name not in MISLEADING and not _NOT_READ.search(text)


@cache
def recordings() -> list[Recording]:
    """Every prompt that is a real sentence, in the order of Debian's list. Skips the test where there are none."""
    folder = _folder()
    if isinstance(folder, str):
        pytest.skip(folder)
    lines = gzip.decompress((folder / TEXTS).read_bytes()).decode().splitlines()
    pairs = (line.split(": ", 1) for line in lines if ": " in line and not line.startswith(";"))
    listed = ((folder / SOUNDS / f"{name}.wav", text.strip()) for name, text in pairs if _is_sentence(name, text.strip()))
    return [Recording(path, text, _read(path)) for path, text in listed if path.is_file()]


def spread(count: int) -> list[Recording]:
    """`count` recordings from all over the list: its neighbours resemble one another."""
    everything = recordings()
    return [everything[index * len(everything) // count] for index in range(count)]


def plain(text: str) -> str:
    """The words alone, as the word error rate counts them."""
    return " ".join(re.sub(r"[^a-z' ]", " ", text.lower().replace("mail box", "mailbox")).split())


def word_error_rate(said: list[str], heard: list[str]) -> float:
    """Substitutions, deletions and insertions for each word that was said."""
    return float(jiwer.wer([plain(text) for text in said], [plain(text) for text in heard]))
