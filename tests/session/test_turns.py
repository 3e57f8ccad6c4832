from __future__ import annotations

import pytest

from realtime.session.turns import (
    FINISHED,
    HYSTERESIS,
    MAX_TURN_MS,
    MAX_WAIT_MS,
    PAUSE_MS,
    UNJUDGED_SILENCE_MS,
    WINDOW_MS,
    SpeechPaused,
    SpeechStarted,
    SpeechStopped,
    TurnDetector,
)
from realtime.wire.settings import Eagerness, SemanticVad, ServerVad

LOUD, SOFT, SILENT = 0.9, 0.4, 0.1
"""Over the threshold of 0.5, between the two thresholds, and under both."""


def heard(detector: TurnDetector, *scores: float) -> list[SpeechStarted | SpeechPaused | SpeechStopped]:
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
    assert heard(detector, SILENT) == [SpeechStopped(128, 32, 32)]


def test_a_silence_that_is_no_whole_number_of_windows_is_not_cut_short() -> None:
    detector = TurnDetector(ServerVad(silence_duration_ms=97))
    assert heard(detector, LOUD, SILENT, SILENT, SILENT) == [SpeechStarted(0)]
    assert heard(detector, SILENT) == [SpeechStopped(160, 32, 32)]


def test_no_silence_at_all_means_one_window() -> None:
    assert heard(TurnDetector(ServerVad(silence_duration_ms=0)), LOUD, LOUD, SILENT) == [SpeechStarted(0), SpeechStopped(96, 64, 64)]


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
    assert heard(detector, LOUD, SILENT, SOFT) == [SpeechStarted(0), SpeechStopped(96, 32, 32)]


def test_silence_begins_below_the_lower_threshold_only() -> None:
    detector = TurnDetector(ServerVad(threshold=0.5, silence_duration_ms=32))
    assert heard(detector, LOUD, 0.5 - HYSTERESIS) == [SpeechStarted(0)]
    assert heard(detector, 0.5 - HYSTERESIS - 0.001) == [SpeechStopped(96, 32, 32)]


def test_a_turn_is_ended_when_it_gets_too_long() -> None:
    detector = TurnDetector(ServerVad())
    windows = MAX_TURN_MS // WINDOW_MS
    assert heard(detector, *[LOUD] * (windows - 1)) == [SpeechStarted(0)]
    assert heard(detector, LOUD) == [SpeechStopped(MAX_TURN_MS, MAX_TURN_MS, MAX_TURN_MS)]
    assert heard(detector, LOUD) == [SpeechStarted(MAX_TURN_MS)]


def test_its_length_counts_from_where_it_started() -> None:
    detector = TurnDetector(ServerVad())
    windows = MAX_TURN_MS // WINDOW_MS
    assert heard(detector, *[SILENT] * 100, *[LOUD] * (windows - 1)) == [SpeechStarted(3200)]
    assert heard(detector, LOUD) == [SpeechStopped(3200 + MAX_TURN_MS, 3200 + MAX_TURN_MS, MAX_TURN_MS)]


def test_it_knows_whether_somebody_talks() -> None:
    detector = TurnDetector(ServerVad(silence_duration_ms=32))
    states = []
    for score in (SILENT, LOUD, LOUD, SILENT):
        detector.hear(score)
        states.append(detector.turn is not None)
    assert states == [False, True, True, False]


def test_it_counts_the_speech_of_a_turn_and_knows_where_it_ended() -> None:
    detector = TurnDetector(ServerVad(silence_duration_ms=64))
    assert heard(detector, SILENT, LOUD, SILENT, LOUD, LOUD, SOFT) == [SpeechStarted(32)]
    assert detector.turn is not None
    assert (detector.turn.speech_ms, detector.turn.until_ms) == (96, 160)
    assert heard(detector, SILENT, SILENT) == [SpeechStopped(256, 160, 96)]


def test_an_open_turn_goes_on_under_new_settings() -> None:
    detector = TurnDetector(ServerVad(silence_duration_ms=500))
    heard(detector, LOUD, SILENT)
    detector.tune(ServerVad(silence_duration_ms=64))
    assert heard(detector, SILENT) == [SpeechStopped(96, 32, 32)]


def judged(detector: TurnDetector, finished: float | None, *scores: float) -> list[int]:
    """Where the turn ends, if it is judged so after these scores."""
    heard(detector, *scores)
    stopped = detector.judged(finished)
    return [] if stopped is None else [stopped.at_ms]


# Enough speech


def test_speech_that_must_be_longer_starts_where_it_began() -> None:
    detector = TurnDetector(ServerVad())
    assert [detector.hear(score, 96) for score in (SILENT, LOUD, LOUD, LOUD)] == [None, None, None, SpeechStarted(32)]
    assert detector.turn is not None
    assert detector.turn.speech_ms == 96


@pytest.mark.parametrize("between", [SILENT, SOFT])
def test_speech_that_is_too_short_is_no_turn(between: float) -> None:
    detector = TurnDetector(ServerVad())
    assert [detector.hear(score, 96) for score in (LOUD, LOUD, between, LOUD, LOUD)] == [None] * 5
    assert detector.hear(LOUD, 96) == SpeechStarted(96)


def test_what_may_become_a_turn_is_not_calm() -> None:
    detector = TurnDetector(ServerVad())
    calm = []
    for score in (SILENT, LOUD, LOUD, SILENT, LOUD, LOUD, LOUD):
        detector.hear(score, 96)
        calm.append(detector.calm_ms)
    assert calm == [32, 32, 32, 128, 128, 128, 128]


def test_less_is_enough_as_soon_as_it_is_said() -> None:
    detector = TurnDetector(ServerVad())
    assert (detector.hear(LOUD, 96), detector.hear(LOUD)) == (None, SpeechStarted(0))


# Pauses


def test_a_silence_becomes_a_pause_once() -> None:
    detector = TurnDetector(ServerVad(silence_duration_ms=500))
    windows = PAUSE_MS // WINDOW_MS
    assert heard(detector, LOUD, *[SILENT] * (windows - 1)) == [SpeechStarted(0)]
    assert heard(detector, *[SILENT] * 5) == [SpeechPaused()]
    assert heard(detector, LOUD, *[SILENT] * windows) == [SpeechPaused()]


def test_a_turn_that_ends_does_not_pause() -> None:
    assert heard(TurnDetector(ServerVad(silence_duration_ms=PAUSE_MS)), LOUD, *[SILENT] * 10)[1:] == [SpeechStopped(224, 32, 32)]


EAGERNESSES: list[Eagerness] = ["high", "medium", "auto", "low"]
PAUSED = [LOUD, *[SILENT] * (PAUSE_MS // WINDOW_MS)]


@pytest.mark.parametrize("eagerness", EAGERNESSES)
def test_who_has_finished_is_not_waited_for(eagerness: Eagerness) -> None:
    detector = TurnDetector(SemanticVad(eagerness=eagerness))
    assert judged(detector, FINISHED[eagerness], *PAUSED) == [WINDOW_MS + PAUSE_MS]


@pytest.mark.parametrize("eagerness", EAGERNESSES)
def test_who_has_not_is_waited_for_as_long_as_is_promised(eagerness: Eagerness) -> None:
    detector = TurnDetector(SemanticVad(eagerness=eagerness))
    assert judged(detector, FINISHED[eagerness] - 0.01, *PAUSED) == []
    windows = -(-MAX_WAIT_MS[eagerness] // WINDOW_MS) - PAUSE_MS // WINDOW_MS
    assert heard(detector, *[SILENT] * (windows - 1)) == []
    assert [type(event) for event in heard(detector, SILENT)] == [SpeechStopped]


@pytest.mark.parametrize("eagerness", EAGERNESSES)
def test_a_turn_that_nobody_can_judge_ends_by_its_silence(eagerness: Eagerness) -> None:
    detector = TurnDetector(SemanticVad(eagerness=eagerness))
    assert judged(detector, None, *PAUSED) == []
    windows = -(-UNJUDGED_SILENCE_MS[eagerness] // WINDOW_MS) - PAUSE_MS // WINDOW_MS
    assert heard(detector, *[SILENT] * (windows - 1)) == []
    assert [type(event) for event in heard(detector, SILENT)] == [SpeechStopped]


def test_the_eager_wait_least() -> None:
    for table in (MAX_WAIT_MS, UNJUDGED_SILENCE_MS, FINISHED):
        assert table["high"] < table["medium"] == table["auto"] < table["low"]


def test_an_early_judgement_waits_for_the_pause() -> None:
    detector = TurnDetector(SemanticVad())
    assert judged(detector, 1.0, LOUD, SILENT) == []
    assert heard(detector, *[SILENT] * (PAUSE_MS // WINDOW_MS - 1)) == [SpeechStopped(WINDOW_MS + PAUSE_MS, 32, 32)]


def test_speech_makes_a_judgement_void() -> None:
    detector = TurnDetector(SemanticVad())
    assert judged(detector, 1.0, LOUD, SILENT) == []
    assert heard(detector, LOUD, *[SILENT] * (PAUSE_MS // WINDOW_MS + 1)) == [SpeechPaused()]


def test_nobody_is_judged_in_quiet_nor_where_silence_decides() -> None:
    assert judged(TurnDetector(SemanticVad()), 1.0, SILENT) == []
    assert judged(TurnDetector(ServerVad(silence_duration_ms=500)), 1.0, *PAUSED) == []
