"""How sure Whisper is of what it wrote: tokens with their log probabilities, and the pieces of text that they make up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from realtime.ports import Float32, TokenLogprob

if TYPE_CHECKING:
    from ctranslate2.models import WhisperGenerationResult

Token = tuple[int, float]
"""Number in the vocabulary, and log probability."""


def tokens_of(result: WhisperGenerationResult) -> list[Token]:
    """Out of the logits (`return_logits_vocab`) as the decoder saw them: suppressed tokens are at the lowest float."""
    tokens = result.sequences_ids[0]
    rows = (np.asarray(row, np.float32).reshape(-1) for row in result.logits[0])  # one more than tokens: the end of text
    return [(token, _logprob(row, token)) for token, row in zip(tokens, rows, strict=False)]


def _logprob(row: Float32, token: int) -> float:
    row = row - row.max()
    return float(row[token] - np.log(np.exp(row).sum()))


def pieces(tokens: list[Token], decode: Callable[[list[int]], str]) -> tuple[TokenLogprob, ...]:
    """Text for tokens, which may be parts of a character: those are one piece, whose probability is that of them all.

    `decode` gives no text for timestamps and other marks, and U+FFFD for half a character.
    """
    found: list[TokenLogprob] = []
    open_: list[int] = []
    sure = 0.0
    for token, logprob in tokens:
        open_.append(token)
        text = decode(open_)
        sure += logprob if text else 0.0  # a mark's certainty is not that of a word
        if text and not text.endswith("\ufffd"):
            found.append(TokenLogprob(text, sure))
            open_, sure = [], 0.0
    if rest := decode(open_):
        found.append(TokenLogprob(rest, sure))
    return _stripped(found)


def _stripped(found: list[TokenLogprob]) -> tuple[TokenLogprob, ...]:
    """Without the white space at both ends, as the text is."""
    while found and not found[0].text.strip():
        del found[0]
    while found and not found[-1].text.strip():
        del found[-1]
    if found:
        found[0] = TokenLogprob(found[0].text.lstrip(), found[0].logprob)
        found[-1] = TokenLogprob(found[-1].text.rstrip(), found[-1].logprob)
    return tuple(found)
