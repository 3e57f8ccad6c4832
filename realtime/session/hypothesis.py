"""What somebody seems to be saying, word by word, while they are still saying it.

A recogniser that hears the beginning of an utterance again and again changes its mind about the end. Words on which two hearings in a row
agree are told and never taken back (LocalAgreement-2: Macháček et al., "Turning Whisper into Real-Time Transcription System", 2023).
"""

from __future__ import annotations

import re

_WORD = re.compile(r"\s*(?:[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\s\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+)")
"""A word with the space before it; in Chinese and Japanese, which have none, a character."""

_TRIMMINGS = re.compile(r"^\W+|\W+$")


def _bare(word: str) -> str:
    """A word as it is compared: the recogniser sets stops and capitals by where it believes the sentence ends."""
    return _TRIMMINGS.sub("", word).casefold()


def _agreed(words: list[str], others: list[str]) -> int:
    """How many words at the beginning are the same."""
    count = 0
    while count < min(len(words), len(others)) and _bare(words[count]) == _bare(others[count]):
        count += 1
    return count


class Hypothesis:
    """The words of one utterance. What `push` and `finish` return is to be written one after the other."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._last: list[str] = []

    def push(self, text: str) -> str:
        """Take another hearing; returns what can be told now, perhaps nothing."""
        words = _WORD.findall(text)
        agreed, self._last = _agreed(words, self._last), words
        return self._tell(words[:agreed])

    def finish(self, text: str) -> str:
        """Take the last hearing, the one that counts; returns the rest of it, or nothing if it is not what was told."""
        return self._tell(_WORD.findall(text))

    def _tell(self, words: list[str]) -> str:
        told = len(self._told)
        if _agreed(words, self._told) < told:
            return ""
        self._told = self._told + words[told:]
        return "".join(words[told:])
