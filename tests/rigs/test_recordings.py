from __future__ import annotations

import re

import numpy as np

from tests.rigs.recordings import MAX_WORDS, MIN_WORDS, plain, recordings, spread, word_error_rate


def test_there_are_enough_sentences_and_each_has_its_sound() -> None:
    everything = recordings()
    assert len(everything) >= 60
    for recording in everything:
        assert MIN_WORDS <= len(recording.text.split()) <= MAX_WORDS
        assert recording.audio.dtype == np.float32
        assert 0.5 < recording.seconds < 30
        assert np.abs(recording.audio).max() > 0.05


def test_no_text_holds_what_is_not_read_aloud() -> None:
    assert [r.text for r in recordings() if re.search(r"[\[<#*\d]", r.text)] == []


def test_a_spread_reaches_over_the_whole_list() -> None:
    chosen = spread(10)
    assert len({recording.path for recording in chosen}) == 10
    assert chosen[0] is recordings()[0]
    assert recordings().index(chosen[-1]) >= len(recordings()) * 0.8


def test_words_are_compared_without_their_dress() -> None:
    assert plain("  That's  it: PRESS pound!  ") == "that's it press pound"


def test_one_wrong_word_in_four_is_a_quarter() -> None:
    assert word_error_rate(["Please hold the line."], ["please told the line"]) == 0.25
