from __future__ import annotations

from typing import Literal

import pytest

from realtime.session.turns import (
    EAGER_SILENCE_MS,
    HYSTERESIS,
    MAX_TURN_MS,
    WINDOW_MS,
    SpeechStarted,
    SpeechStopped,
    TurnDetector,
)
from realtime.wire.settings import SemanticVad, ServerVad

LOUD, SOFT, SILENT = 0.9, 0.4, 0.1
"""Over the threshold of 0.5, between the two thresholds, and under both."""


def heard(detector: TurnDetector, *scores: float) -> list[SpeechStarted | SpeechStopped]:
    return [event for score in scores if (event := detector.hear(score)) is not None]


def test_a_window_lasts_32_milliseconds() -> None:
    assert WINDOW_MS == 32


def test_speech_starts_where_its_first_window_begins() -> None:
    assert heard(TurnDetector(ServerVad()), SILENT, SILENT, LOUD) == [SpeechStarted(64)]


def test_a_score_at_the_threshold_is_speech() -> None:
    assert heard(TurnDetector(ServerVad(threshold=0.7)), 0.69, 0.7) == [SpeechStarted(32)]


def test_speech_stops_where_its_silence_ends() -> None:
    detector = TurnDetector(ServerVad(silence_duration_ms=96))
    assert heard(detector, LOUD, SILENT, SILENT) == [SpeechStarted(0)]
    assert heard(detector, SILENT) == [SpeechStopped(128)]


def test_a_silence_that_is_no_whole_number_of_windows_is_not_cut_short() -> None:
    detector = TurnDetector(ServerVad(silence_duration_ms=97))
    assert heard(detector, LOUD, SILENT, SILENT, SILENT) == [SpeechStarted(0)]
    assert heard(detector, SILENT) == [SpeechStopped(160)]


def test_no_silence_at_all_means_one_window() -> None:
    assert heard(TurnDetector(ServerVad(silence_duration_ms=0)), LOUD, LOUD, SILENT) == [SpeechStarted(0), SpeechStopped(96)]


def test_speech_within_the_silence_starts_the_count_again() -> None:
    detector = TurnDetector(ServerVad(silence_duration_ms=96))
    assert heard(detector, LOUD, SILENT, SILENT, LOUD, SILENT, SILENT) == [SpeechStarted(0)]


def test_a_score_at_the_threshold_breaks_the_silence() -> None:
    detector = TurnDetector(ServerVad(threshold=0.7, silence_duration_ms=64))
    assert heard(detector, LOUD, SILENT, 0.7, SILENT) == [SpeechStarted(0)]


def test_a_score_between_the_thresholds_starts_nothing() -> None:
    assert heard(TurnDetector(ServerVad()), SOFT, SOFT, SOFT) == []


def test_a_score_between_the_thresholds_begins_no_silence() -> None:
    detector = TurnDetector(ServerVad(silence_duration_ms=64))
    assert heard(detector, LOUD, SOFT, SOFT, SOFT, SOFT) == [SpeechStarted(0)]


def test_a_score_between_the_thresholds_ends_no_silence() -> None:
    detector = TurnDetector(ServerVad(silence_duration_ms=64))
    assert heard(detector, LOUD, SILENT, SOFT) == [SpeechStarted(0), SpeechStopped(96)]


def test_silence_begins_below_the_lower_threshold_only() -> None:
    detector = TurnDetector(ServerVad(threshold=0.5, silence_duration_ms=32))
    assert heard(detector, LOUD, 0.5 - HYSTERESIS) == [SpeechStarted(0)]
    assert heard(detector, 0.5 - HYSTERESIS - 0.001) == [SpeechStopped(96)]


def test_a_turn_is_ended_when_it_gets_too_long() -> None:
    detector = TurnDetector(ServerVad())
    windows = MAX_TURN_MS // WINDOW_MS
    assert heard(detector, *[LOUD] * (windows - 1)) == [SpeechStarted(0)]
    assert heard(detector, LOUD) == [SpeechStopped(MAX_TURN_MS)]
    assert heard(detector, LOUD) == [SpeechStarted(MAX_TURN_MS)]


def test_its_length_counts_from_where_it_started() -> None:
    detector = TurnDetector(ServerVad())
    windows = MAX_TURN_MS // WINDOW_MS
    assert heard(detector, *[SILENT] * 100, *[LOUD] * (windows - 1)) == [SpeechStarted(3200)]
    assert heard(detector, LOUD) == [SpeechStopped(3200 + MAX_TURN_MS)]


def test_it_knows_whether_somebody_talks() -> None:
    detector = TurnDetector(ServerVad(silence_duration_ms=32))
    states = []
    for score in (SILENT, LOUD, LOUD, SILENT):
        detector.hear(score)
        states.append(detector.talking)
    assert states == [False, True, True, False]


def test_an_open_turn_goes_on_under_new_settings() -> None:
    detector = TurnDetector(ServerVad(silence_duration_ms=500))
    heard(detector, LOUD, SILENT)
    detector.tune(ServerVad(silence_duration_ms=64))
    assert heard(detector, SILENT) == [SpeechStopped(96)]


@pytest.mark.parametrize("eagerness", ["low", "medium", "auto", "high"])
def test_semantic_turns_end_after_the_silence_of_their_eagerness(eagerness: Literal["low", "medium", "high", "auto"]) -> None:
    detector = TurnDetector(SemanticVad(eagerness=eagerness))
    windows = -(-EAGER_SILENCE_MS[eagerness] // WINDOW_MS)
    assert heard(detector, LOUD, *[SILENT] * (windows - 1)) == [SpeechStarted(0)]
    assert heard(detector, SILENT) == [SpeechStopped((windows + 1) * WINDOW_MS)]


def test_the_eager_wait_least() -> None:
    assert EAGER_SILENCE_MS["high"] < EAGER_SILENCE_MS["medium"] == EAGER_SILENCE_MS["auto"] < EAGER_SILENCE_MS["low"]
