from __future__ import annotations

import pytest

from realtime.engines.logprobs import pieces
from realtime.ports import TokenLogprob

SAID = {1: "", 2: " ", 3: " Yes", 4: ". ", 5: "\n"}


def half(tokens: list[int]) -> str:
    """A vocabulary of bytes."""
    return bytes(tokens).decode(errors="replace")


def test_half_a_character_waits_for_its_other_half() -> None:
    text = " 你好，龘靐 and 🫠."
    numbers = list(text.encode())
    found = pieces([(number, -0.5) for number in numbers], half)
    assert "".join(piece.text for piece in found) == text.strip()
    assert len(found) < len(numbers)
    assert sum(piece.logprob for piece in found) == pytest.approx(-0.5 * (len(numbers) - 1))  # without that of the white space
    assert not any("\ufffd" in piece.text for piece in found)


def test_a_character_that_is_never_completed_is_shown_as_such() -> None:
    [piece] = pieces([(number, -0.5) for number in "🫠".encode()[:-1]], half)
    assert set(piece.text) == {"\ufffd"}
    assert piece.logprob == -1.5


def test_marks_and_white_space_at_the_ends_are_no_pieces() -> None:
    found = pieces([(number, -1.0) for number in (1, 2, 3, 4, 5, 1)], lambda tokens: "".join(SAID[token] for token in tokens))
    assert found == (TokenLogprob("Yes", -1.0), TokenLogprob(".", -1.0))
    assert pieces([], lambda tokens: "") == ()
