"""Words that a listener made up out of noise, told from words that were said.

Owns what is known of Whisper's inventions: given a cough or a breath it answers with what its training data said over silence ("Thank
you."), or says one thing again and again. It takes an engine's transcript with its signals and returns what may be believed. It never asks
for more signals than there are: what is None says nothing.

Seen with tiny.en, base, on sounds as a turn holds them (tests/rigs/noises.py; "with it": the seconds that Silero scores 0.5 and more):

                                                     Whisper's words      left without a detector    left with it
    90 noises, hums, music, breath, coughs, blows    0, 1                 0, 0                       0, 0
    ... without Whisper's own rule                   50, 88               0, 0                       0, 0
    90 pieces of a voice, 30 to 100 ms long          33, 16               5, 3                       1, 1
    60 of them without Whisper's own rule            43, 60               4, 2                       1, 1
    234 read sentences, clean, 26 dB quieter,
    or over pink noise 10 dB below them              all                  all                        all
    280 single words, letters, digits, likewise      280, 280             280, 277                   280, 277

Whisper's own rule is `no_speech_threshold` with `log_prob_threshold`, which engines/whisper.py leaves on and other servers may not have.
The three words that base lost with the detector it had misheard: "Boom." for "old", "F." for "s", "Add." for "at".
"""

from __future__ import annotations

import re

LIKELY_SILENCE, LOW_CONFIDENCE = 0.6, -1.0
"""No-speech probability and mean log probability that together are silence: Whisper's own defaults (openai/whisper, transcribe.py)."""

CONFIDENCE_WEIGHT = 0.25
"""What one unit of log probability weighs against the no-speech probability. Whisper's corner as a line: what is further beyond one bound
may fall short of the other. Inventions lay at 0.6 to 1.4 by this measure, of human speech three transcripts in 1028 above 0.85."""

DOUBTFUL = LIKELY_SILENCE - LOW_CONFIDENCE * CONFIDENCE_WEIGHT
"""On that line: 0.85."""

CONFIDENT = -0.5
"""Mean log probability from which the line is not asked: Whisper, too, believes clear words whatever it thinks of the silence."""

RAISED = 0.5
"""No-speech probability at which a phrase that is often invented is not believed."""

SOME_DOUBT = 0.45
"""The same for any words, where the detector heard next to nothing."""

PLAIN_MS = 320
"""Speech, as the detector saw it, from which the no-speech probability counts no more than it does for Whisper itself."""

NEXT_TO_NOTHING_MS, NEXT_TO_NOTHING_PART = 64, 0.02
"""Speech, likewise, that holds no word: two windows, or this part of the audio where that is more."""

PHRASE_MS = 128
"""Speech in which nobody says even "Thank you.": four windows. The shortest human one had 576 ms, "Oh!" had 480."""

MAX_SINGLES, MAX_COPIES = 5, 3
"""Times that people say one word, or one phrase, in a row; what comes more often is a loop of the decoder."""

MAX_PHRASE = 12
"""Words of the longest phrase that is looked for in loops."""

INVENTED = {
    *("you", "thank you", "thank you very much", "thank you so much", "thanks", "bye", "bye bye", "goodbye"),
    *("so", "oh", "okay", "yeah", "i'm sorry", "the end", "music", "applause"),
    *("thanks for watching", "thank you for watching", "thank you so much for watching", "see you next time", "i'll see you next time"),
    *("please subscribe", "please subscribe to my channel", "subscribe", "like and subscribe", "see you in the next video"),
    *("subtitles by the amara org community", "transcription by castingwords", "untertitel der amara org community"),
    *("sous titres réalisés par la communauté d'amara org", "ご視聴ありがとうございました", "谢谢观看"),
}
"""Sentences that Whisper is known to make up, as `_plain` writes them: those that come up most in github.com/openai/whisper/discussions/679
and the like, and what noises gave here. "Investigation of Whisper ASR Hallucinations Induced by Non-Speech Audio" (arXiv 2501.11378) is the
study of such a list."""

_NUMBERS = {"zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "double"}
"""People do say these again and again: telephone numbers, PINs."""

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_SENTENCE_END = re.compile(r"[.!?…]+(?=\s|$)|[。！？\n]")
_ANNOTATION = re.compile(r"(?:[\[(][^\])]*[\])][\s.]*)+")
"""`[MUSIC]`, `(applause)`: nobody says brackets."""

_IN_A_WORD = re.compile(r"([^\W\d_]{2,30}?)\1{4,}")
"""Five copies of some letters in a row: `hahahahaha`, and loops in languages without spaces."""


def understood(text: str, *, no_speech: float | None, confidence: float | None, speech_ms: int | None, audio_ms: int) -> str:
    """The words that were really said; empty for an invention.

    `no_speech` and `confidence` are those of `ports.Transcript`. `speech_ms` is how much of the `audio_ms` the detector took for speech,
    None where none was on.
    """
    heard = text.strip()
    words = _without_loops(heard)
    silence = no_speech or 0.0
    unheard = speech_ms is not None and speech_ms <= max(NEXT_TO_NOTHING_MS, audio_ms * NEXT_TO_NOTHING_PART)
    invented = (
        not _WORD.search(words)
        or _ANNOTATION.fullmatch(words)
        or _is_doubted(silence, confidence, plainly_heard=(speech_ms or 0) >= PLAIN_MS)
        or (unheard and silence > SOME_DOUBT)
        or (words != heard and (unheard or silence > RAISED))
        or (_is_stock(words) and _is_unlikely(silence, speech_ms))
    )
    return "" if invented else words


def _is_doubted(silence: float, confidence: float | None, *, plainly_heard: bool) -> bool:
    """Whether the engine itself takes it for silence."""
    if confidence is None or confidence >= CONFIDENT:
        return False
    if plainly_heard:
        return silence > LIKELY_SILENCE and confidence < LOW_CONFIDENCE
    return silence - confidence * CONFIDENCE_WEIGHT > DOUBTFUL


def _is_unlikely(silence: float, speech_ms: int | None) -> bool:
    """Whether a phrase that is often invented is so here."""
    if speech_ms is None:
        return silence > RAISED
    return speech_ms <= PHRASE_MS or (silence > RAISED and speech_ms < PLAIN_MS)


def _is_stock(text: str) -> bool:
    """Whether every sentence is one of those that are invented."""
    sentences = (_plain(sentence) for sentence in _SENTENCE_END.split(text))
    return all(sentence in INVENTED for sentence in sentences if sentence)


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(text.lower().replace("’", "'")))


def _without_loops(text: str) -> str:
    """One copy of everything that is said more often in a row than people do, the rest as it was."""
    text = _IN_A_WORD.sub(r"\1", text)
    words = text.split()
    keys = [_plain(word) or word for word in words]
    kept: list[str] = []
    at = 0
    while at < len(words):
        length, copies = _loop(keys, at)
        at += length * copies
        kept += words[at - length : at]  # of the copies the last, for the mark behind it
        rest = keys[at:]
        if copies > 1 and rest == keys[at - length : at][: len(rest)]:
            break  # the decoder ran out of room in the middle of a copy
    return text if len(kept) == len(words) else " ".join(kept)


def _loop(keys: list[str], start: int) -> tuple[int, int]:
    """Length of the phrase that begins there and how often it stands in a row: `(1, 1)` where that is no more than people do."""
    for length in range(1, min(MAX_PHRASE, len(keys) - start) + 1):
        phrase, copies = keys[start : start + length], 1
        while keys[start + copies * length : start + (copies + 1) * length] == phrase:
            copies += 1
        if copies > (MAX_SINGLES if length == 1 else MAX_COPIES) and not all(_is_number(key) for key in phrase):
            return length, copies
    return 1, 1


def _is_number(key: str) -> bool:
    return key in _NUMBERS or key.isdigit()
