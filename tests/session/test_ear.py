from __future__ import annotations

import pytest

from realtime.errors import ClientError
from realtime.session.ear import MAX_HELD_MS, MIN_COMMIT_MS, SEMANTIC_PREFIX_MS, Ear, Heard, TurnBegan, TurnEnded, TurnPaused
from realtime.session.effects import Detect
from realtime.wire.settings import PcmFormat, PcmuFormat, SemanticVad, ServerVad, TurnDetection

PCM, PCMU = PcmFormat(), PcmuFormat()
VAD = ServerVad(prefix_padding_ms=64, silence_duration_ms=32)
WINDOW = 256
"""Bytes of one detector window in G.711."""


def listening(detection: TurnDetection | None = VAD) -> Ear:
    return Ear(PCMU, detection)


def hear(ear: Ear, *scores: float) -> list[Heard]:
    return [event for score in scores if (event := ear.hear(score)) is not None]


def test_what_comes_in_is_given_to_the_detector() -> None:
    ear = Ear(PCM, VAD)
    assert ear.append(b"abc") == Detect(0, b"ab", PCM)
    assert ear.append(b"d") == Detect(0, b"cd", PCM)


@pytest.mark.parametrize("audio", [b"", b"a"])
def test_the_detector_is_not_troubled_without_a_whole_sample(audio: bytes) -> None:
    assert Ear(PCM, VAD).append(audio) is None


def test_without_turn_detection_audio_is_only_held() -> None:
    ear = listening(None)
    assert ear.append(b"abcd") is None
    assert ear.buffer.held == 4
    assert hear(ear, 0.9, 0.0) == []
    assert not ear.talking


def test_a_full_buffer_takes_no_more_until_it_is_cleared() -> None:
    ear = listening(None)
    ear.append(bytes(MAX_HELD_MS * 8))
    ear.append(b"a")  # exactly full is not too full
    with pytest.raises(ClientError) as refused:
        ear.append(b"a")
    assert (refused.value.code, refused.value.param) == ("input_audio_buffer_full", "audio")
    assert "10 minutes" in refused.value.message
    ear.clear()
    ear.append(b"a")
    assert ear.buffer.held == 1


def test_a_turn_begins_before_its_first_window_by_the_padding() -> None:
    ear = listening()
    ear.append(bytes(10 * WINDOW))
    assert hear(ear, *[0.0] * 5, 0.9) == [TurnBegan(5 * 32 - 64)]
    assert ear.buffer.start == 3 * WINDOW


def test_a_turn_does_not_begin_before_the_audio() -> None:
    ear = listening()
    ear.append(bytes(4 * WINDOW))
    assert hear(ear, 0.0, 0.9) == [TurnBegan(0)]


def test_a_turn_does_not_begin_within_the_one_before() -> None:
    ear = listening()
    ear.append(bytes(10 * WINDOW))
    began, ended = hear(ear, 0.9, 0.0)
    assert isinstance(ended, TurnEnded)
    ear.buffer.take(ended.end)
    assert (began, hear(ear, 0.9)) == (TurnBegan(0), [TurnBegan(64)])


def test_semantic_turns_have_the_usual_padding() -> None:
    ear = listening(SemanticVad())
    ear.append(bytes(30 * WINDOW))
    assert hear(ear, *[0.0] * 20, 0.9) == [TurnBegan(20 * 32 - SEMANTIC_PREFIX_MS)]


def test_a_turn_ends_after_its_silence() -> None:
    ear = listening()
    ear.append(bytes(10 * WINDOW))
    assert hear(ear, 0.9, 0.9, 0.0) == [TurnBegan(0), TurnEnded(96, 3 * WINDOW, 2 * WINDOW, 64)]


def test_a_turn_does_not_end_after_the_audio() -> None:
    ear = listening()
    ear.append(bytes(WINDOW + 10))
    assert hear(ear, 0.9, 0.0)[1] == TurnEnded(33, WINDOW + 10, WINDOW, 32)


def test_in_quiet_only_the_padding_is_kept() -> None:
    ear = listening()
    ear.append(bytes(10 * WINDOW))
    hear(ear, *[0.0] * 10)
    assert ear.buffer.held == 2 * WINDOW


def test_while_somebody_talks_nothing_is_let_go() -> None:
    ear = listening()
    ear.append(bytes(10 * WINDOW))
    hear(ear, *[0.9] * 10)
    assert ear.buffer.held == 10 * WINDOW


def test_a_commit_takes_everything_and_begins_a_new_epoch() -> None:
    ear = listening()
    ear.append(b"a" * 4 * WINDOW)
    hear(ear, 0.9)
    assert ear.commit() == b"a" * 4 * WINDOW
    assert (ear.epoch, ear.talking, ear.buffer.held) == (1, False, 0)
    ear.append(bytes(WINDOW))
    assert hear(ear, 0.9) == [TurnBegan(4 * 32)]


@pytest.mark.parametrize(("size", "told"), [(0, "0.00ms"), (MIN_COMMIT_MS * 8 - 1, "99.88ms")])
def test_too_little_is_not_committed(size: int, told: str) -> None:
    ear = listening()
    ear.append(bytes(size))
    with pytest.raises(ClientError) as refused:
        ear.commit()
    assert refused.value.code == "input_audio_buffer_commit_empty"
    assert refused.value.message.endswith(f"but buffer only has {told} of audio.")
    assert (ear.buffer.held, ear.epoch) == (size, 0)


def test_100_ms_are_enough() -> None:
    ear = listening(None)
    ear.append(bytes(MIN_COMMIT_MS * 8))
    assert len(ear.commit()) == MIN_COMMIT_MS * 8


def test_clearing_lets_go_of_everything_and_begins_a_new_epoch() -> None:
    ear = listening()
    ear.append(bytes(4 * WINDOW))
    hear(ear, 0.9)
    ear.clear()
    assert (ear.epoch, ear.talking, ear.buffer.held, ear.buffer.dropped) == (1, False, 0, 4 * WINDOW)


def test_another_format_lets_go_of_what_is_held_but_not_of_the_time() -> None:
    ear = Ear(PCM, VAD)
    ear.append(bytes(32 * 48))
    hear(ear, 0.9)
    ear.tune(PCMU, VAD)
    assert (ear.epoch, ear.talking, ear.buffer.held) == (1, False, 0)
    assert ear.append(bytes(WINDOW)) == Detect(1, bytes(WINDOW), PCMU)
    assert hear(ear, 0.9, 0.0) == [TurnBegan(32), TurnEnded(64, WINDOW, WINDOW, 32)]


def test_another_format_without_turn_detection_begins_no_epoch() -> None:
    ear = Ear(PCM, None)
    ear.append(bytes(480))
    ear.tune(PCMU, None)
    assert (ear.epoch, ear.buffer.held, ear.buffer.origin_ms) == (0, 0, 10)


def test_the_same_settings_change_nothing() -> None:
    ear = listening()
    ear.append(bytes(4 * WINDOW))
    hear(ear, 0.9)
    ear.tune(PCMU, VAD)
    assert (ear.epoch, ear.talking, ear.buffer.held) == (0, True, 4 * WINDOW)


def test_new_settings_reach_the_turn_that_is_open() -> None:
    ear = listening()
    ear.append(bytes(4 * WINDOW))
    hear(ear, 0.9)
    ear.tune(PCMU, ServerVad(silence_duration_ms=96))
    assert hear(ear, 0.0, 0.0) == []
    assert ear.talking


def test_without_detection_the_turn_is_forgotten_and_its_audio_held() -> None:
    ear = listening()
    ear.append(bytes(4 * WINDOW))
    hear(ear, 0.9)
    ear.tune(PCMU, None)
    assert (ear.talking, ear.buffer.held) == (False, 4 * WINDOW)


def test_detection_that_is_switched_on_hears_what_comes_from_then_on() -> None:
    ear = listening(None)
    ear.append(bytes(4 * WINDOW))
    ear.tune(PCMU, ServerVad(prefix_padding_ms=0))
    assert ear.epoch == 1
    ear.append(bytes(WINDOW))
    assert hear(ear, 0.9) == [TurnBegan(4 * 32)]


def test_what_may_become_a_turn_is_not_let_go() -> None:
    ear = Ear(PCMU, ServerVad(prefix_padding_ms=0))
    ear.append(bytes(10 * WINDOW))
    assert [ear.hear(score, 96) for score in (0.0, 0.9, 0.9, 0.9)] == [None, None, None, TurnBegan(32)]
    assert ear.buffer.start == WINDOW


def test_it_knows_how_far_a_turn_has_come() -> None:
    ear = listening()
    ear.append(bytes(10 * WINDOW))
    assert (ear.speech_ms, ear.spoken_until, ear.scored_until) == (0, 0, 0)
    hear(ear, 0.0, 0.0, 0.0, 0.9, 0.9, 0.4)
    assert (ear.speech_ms, ear.spoken_until, ear.scored_until) == (64, 5 * WINDOW, 6 * WINDOW)
    hear(ear, 0.0)
    assert (ear.speech_ms, ear.spoken_until) == (0, ear.buffer.start)


def test_without_turn_detection_no_turn_comes_anywhere() -> None:
    ear = listening(None)
    ear.append(bytes(4 * WINDOW))
    assert (ear.speech_ms, ear.spoken_until, ear.scored_until, ear.judged(1.0)) == (0, 0, 0, None)


def test_a_pause_is_told_and_its_judgement_ends_the_turn() -> None:
    ear = listening(SemanticVad())
    ear.append(bytes(20 * WINDOW))
    assert hear(ear, 0.9, *[0.0] * 6) == [TurnBegan(0), TurnPaused()]
    assert ear.judged(0.0) is None
    assert ear.judged(1.0) == TurnEnded(7 * 32, 7 * WINDOW, WINDOW, 32)


def test_everything_can_be_taken_be_it_nothing() -> None:
    ear = listening()
    assert (ear.take_all(), ear.epoch) == (b"", 1)
    ear.append(b"abc")
    assert (ear.take_all(), ear.epoch) == (b"abc", 2)


def test_a_turn_is_silent_for_so_long() -> None:
    ear = listening(ServerVad(silence_duration_ms=500))
    ear.append(bytes(5 * WINDOW))
    lengths = []
    for score in (0.9, 0.0, 0.0, 0.9, 0.0):
        hear(ear, score)
        lengths.append(ear.silence_ms)
    assert lengths == [0, 32, 64, 0, 32]
    assert listening(None).silence_ms == 0
