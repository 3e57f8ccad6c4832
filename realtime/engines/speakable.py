"""What a voice can say of a text: language models write for the eye, and a voice reads every mark.

Owns the removal of markdown, emoji and control characters, and the cutting of long text into pieces that a voice can take at once. It
changes no word; numbers, abbreviations and symbols are read by the voice's own rules.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

MAX_DIGITS = 18
"""Digits of a number that is read as one. Longer ones are read digit by digit: no listener follows quintillions, and voices have no
words for what comes after (hibari 0.2 fails past 36)."""

_LINK = re.compile(r"!?\[([^\]\[]*)\]\([^()\s]*(?:\s[^()]*)?\)")
_RULE = re.compile(r"^[ \t]*([-*_])(?:[ \t]*\1){2,}[ \t]*$", re.MULTILINE)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~).*$", re.MULTILINE)
_LINE_MARK = re.compile(r"^[ \t]*(?:(?:#{1,6}|>+|[-*+•])[ \t]+)+", re.MULTILINE)
_TIMES = re.compile(r"(?<=\d)\s*[*×]\s*(?=\d)")
_MARKS = re.compile(r"[*`]+|~~+|(?<!\w)_+|_+(?!\w)")
_LONG_NUMBER = re.compile(rf"(?:\d[,.]?){{{MAX_DIGITS + 1},}}")
_BREAKS = (re.compile(r"(?<=[.!?…])\s+"), re.compile(r"(?<=[,;:—])\s+"), re.compile(r"\s+"))
"""Where a piece may end, best first."""

_READ_ALOUD = "°©®™"
"""Symbols in Unicode's category of pictures (So) that voices have words for."""


def speakable(text: str) -> str:
    """The text as it should be spoken; empty if it holds no letter and no digit."""
    text = _FENCE.sub("", _LINK.sub(r"\1", text))
    text = _LINE_MARK.sub("", _RULE.sub("", text))
    text = _MARKS.sub("", _TIMES.sub(" times ", text.replace("|", " ")))
    text = _LONG_NUMBER.sub(_digit_by_digit, "".join(_heard(character) for character in text))
    text = "\n".join(" ".join(line.split()) for line in text.splitlines())
    return text.strip() if any(character.isalnum() for character in text) else ""


def pieces(text: str, limit: int) -> Iterator[str]:
    """The text in pieces of at most `limit` characters, cut at the end of a sentence, else of a clause, else of a word."""
    rest = text.strip()
    while len(rest) > limit:
        end = _cut(rest, limit)
        yield rest[:end].rstrip()
        rest = rest[end:].lstrip()
    if rest:
        yield rest


def _heard(character: str) -> str:
    category = unicodedata.category(character)
    if character in "\n\t" or character in _READ_ALOUD:
        return character
    # Skin tones are modifier symbols (Sk); so are the ASCII caret and the accents, which voices know.
    silent = category in ("So", "Cc", "Cf", "Co", "Cs", "Cn") or (category == "Sk" and ord(character) > 0xFFFF)
    # Format characters (joiners, directions) stand within words, pictures between them.
    return ("" if category == "Cf" else " ") if silent else character


def _digit_by_digit(match: re.Match[str]) -> str:
    return " ".join(character for character in match.group() if character.isdigit()) + " "


def _cut(text: str, limit: int) -> int:
    for gap in _BREAKS:
        ends = [match.start() for match in gap.finditer(text, 0, limit + 1) if match.start() > 0]
        # A cut in the first quarter would leave a stump of a piece: a lesser break further on sounds better.
        if ends and ends[-1] >= limit // 4:
            return ends[-1]
    return limit
