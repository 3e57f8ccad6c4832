"""A turn while it is spoken; what becomes of it when it ends is test_transcripts's business."""

from __future__ import annotations

import pytest

from realtime.session.abilities import Abilities
from realtime.session.ear import Ear, TurnBegan, TurnEnded, TurnPaused
from realtime.session.effects import Abandon, Effects, Judge, Send, Transcribe
from realtime.session.ids import CountedIds
from realtime.session.inputs import SpeechTranscribed, TranscriptionBroke, TurnJudged
from realtime.session.speaking import JUDGED_MS, LIVE_LIMIT_MS, LIVE_MODELS, LIVE_MS, Draft, Speaking
from realtime.session.turns import PAUSE_MS, WINDOW_MS
from realtime.wire.server import ErrorInfo, TranscriptionDelta
from realtime.wire.settings import (
    AnySettings,
    AudioInput,
    AudioSettings,
    PcmuFormat,
    SemanticVad,
    ServerVad,
    Settings,
    Transcription,
    TranscriptionAudio,
    TranscriptionSettings,
    TurnDetection,
)

WINDOW = 256
"""Bytes of one detector window in G.711."""
OOPS = ErrorInfo(type="transcription_error", code="overloaded", message="Busy.", param="audio")
SILENCE_MS = 320
VAD = ServerVad(prefix_padding_ms=0, silence_duration_ms=SILENCE_MS)
PAUSE = PAUSE_MS // WINDOW_MS
SECOND = -(-LIVE_MS // WINDOW_MS)
"""Windows."""


def settings(
    model: str | None = None,
    detection: TurnDetection = VAD,
    *,
    only: bool = False,
    language: str | None = None,
) -> AnySettings:
    heard = AudioInput(PcmuFormat(), None if model is None else Transcription(model, language), None, detection)
    if only:
        return TranscriptionSettings(id="sess_1", expires_at=0, audio=TranscriptionAudio(heard))
    return Settings(id="sess_1", model="any", expires_at=0, audio=AudioSettings(heard))


ORDINARY = settings("whisper-1")
LIVE = settings(LIVE_MODELS[0])
SEMANTIC = settings("whisper-1", SemanticVad())


class Speaker:
    """Somebody who speaks to an ear, and what is asked about it."""

    def __init__(self, settings: AnySettings, *, judges: bool = False) -> None:
        self._settings = settings
        self._effects = Effects(CountedIds())
        detection = settings.audio.input.turn_detection
        self.ear = Ear(PcmuFormat(), detection)
        self.speaking = Speaking(self.ear, self._effects, Abilities(judges=judges))
        self.drafts: list[Draft] = []

    def says(self, windows: int, *, silence: int = 0) -> list[object]:
        """Speaks for so many windows, then is silent; returns what is asked and told after the last one."""
        for score in [0.9] * windows + [0.0] * silence:
            self.ear.append(bytes([1]) * WINDOW)
            match self.ear.hear(score):
                case TurnBegan():
                    self.speaking.begin("item_1")
                case TurnPaused():
                    self.speaking.pause(self._settings)
                case TurnEnded() as ended:
                    self._end(ended)
        if self.speaking.id is not None:
            self.speaking.go_on(self._settings)
        return self.taken()

    def halts(self) -> list[object]:
        self.speaking.halt(self._settings)
        return self.taken()

    def _end(self, ended: TurnEnded) -> None:
        self.drafts.append(self.speaking.end(ended))

    def learns(self, outcome: SpeechTranscribed | TranscriptionBroke | TurnJudged) -> list[object]:
        assert self.speaking.expects(outcome)
        ended = self.speaking.learn(outcome, self._settings)
        if ended is not None:
            self._end(ended)
        return self.taken()

    def taken(self) -> list[object]:
        return [effect.event if isinstance(effect, Send) else effect for effect in self._effects.take()]


def heard(text: str, attempt: int) -> SpeechTranscribed:
    return SpeechTranscribed("item_1", 0, text, 1.0, attempt)


def hearing(windows: int, attempt: int, language: str | None = None) -> Transcribe:
    return Transcribe("item_1", 0, bytes([1]) * WINDOW * windows, PcmuFormat(), language, None, attempt, partial=True)


def told(taken: list[object]) -> list[str]:
    return [event.delta for event in taken if isinstance(event, TranscriptionDelta)]


# Words while they are spoken


@pytest.mark.parametrize(
    ("wanted", "live"),
    [
        (settings("whisper-1"), False),
        (settings(None), False),
        (settings("gpt-4o-transcribe"), False),
        (settings("gpt-realtime-whisper"), True),
        (settings("whisper-1", only=True), True),
        (settings(None, only=True), False),
    ],
)
def test_who_wants_words_at_once_has_the_turn_heard_before_it_is_over(wanted: AnySettings, live: bool) -> None:
    assert Speaker(wanted).says(SECOND) == ([hearing(SECOND, 1)] if live else [])


def test_less_than_a_second_is_not_heard_yet() -> None:
    assert Speaker(LIVE).says(SECOND - 1) == []


def test_the_next_hearing_waits_for_the_last_one_and_for_another_second() -> None:
    speaker = Speaker(settings("gpt-realtime-whisper", language="de"))
    speaker.says(SECOND)
    assert speaker.says(2 * SECOND) == []
    assert speaker.learns(heard("Guten", 1)) == []
    assert speaker.says(1) == [hearing(3 * SECOND + 1, 2, "de")]
    assert told(speaker.learns(heard("Guten Tag", 2))) == ["Guten"]
    assert speaker.says(SECOND - 1) == []


def test_a_long_turn_is_heard_when_it_is_over() -> None:
    speaker = Speaker(LIVE)
    windows = LIVE_LIMIT_MS // WINDOW_MS
    assert speaker.says(windows) == [hearing(windows, 1)]
    speaker.learns(heard("And", 1))
    assert speaker.says(SECOND) == []


def test_silence_alone_is_not_heard_again() -> None:
    speaker = Speaker(settings("gpt-realtime-whisper", ServerVad(prefix_padding_ms=0, silence_duration_ms=9000)))
    speaker.says(SECOND)
    speaker.learns(heard("Well", 1))
    assert speaker.says(0, silence=3 * SECOND) == []


def test_a_hearing_that_fails_is_no_news() -> None:
    speaker = Speaker(LIVE)
    speaker.says(SECOND)
    assert speaker.learns(TranscriptionBroke("item_1", 0, OOPS, 1)) == []
    assert speaker.says(SECOND) == [hearing(2 * SECOND, 2)]


def test_inventions_are_not_told() -> None:
    speaker = Speaker(LIVE)
    speaker.says(SECOND)
    noise = SpeechTranscribed("item_1", 0, "Thank you.", 1.0, 1, no_speech=0.95, confidence=-1.6)
    speaker.learns(noise)
    speaker.says(SECOND)
    assert told(speaker.learns(SpeechTranscribed("item_1", 0, "Thank you.", 1.0, 2, no_speech=0.95, confidence=-1.6))) == []


# The end of a turn


def test_words_that_are_all_there_are_the_draft() -> None:
    speaker = Speaker(LIVE)
    speaker.says(SECOND, silence=PAUSE)
    speaker.learns(heard("Hello.", 1))
    speaker.says(0, silence=SILENCE_MS // WINDOW_MS - PAUSE)
    (draft,) = speaker.drafts
    assert (draft.outcome, draft.running) == (heard("Hello.", 1), False)
    assert (speaker.speaking.id, speaker.taken()) == (None, [])


def test_words_that_are_being_found_out_are_waited_for() -> None:
    speaker = Speaker(LIVE)
    assert speaker.says(3, silence=PAUSE) == [hearing(3 + PAUSE, 1)]
    assert speaker.says(0, silence=SILENCE_MS // WINDOW_MS - PAUSE) == []
    (draft,) = speaker.drafts
    assert (draft.outcome, draft.running, draft.attempt) == (None, True, 1)


def test_words_that_are_not_all_are_of_no_use() -> None:
    speaker = Speaker(LIVE)
    speaker.says(SECOND)
    assert speaker.says(1, silence=SILENCE_MS // WINDOW_MS) == [Abandon("item_1")]
    (draft,) = speaker.drafts
    assert (draft.outcome, draft.running) == (None, False)


def test_nobody_is_waited_for_where_nobody_was_asked() -> None:
    speaker = Speaker(ORDINARY)
    assert speaker.says(3, silence=SILENCE_MS // WINDOW_MS) == []
    (draft,) = speaker.drafts
    assert (draft.outcome, draft.running) == (None, False)


def test_what_is_dropped_is_abandoned() -> None:
    speaker = Speaker(LIVE)
    speaker.says(SECOND)
    speaker.speaking.drop()
    assert speaker.taken() == [Abandon("item_1")]
    assert not speaker.speaking.expects(heard("Hello.", 1))
    speaker.speaking.drop()
    assert speaker.taken() == []


# Pauses that decide


def test_a_pause_is_heard_where_its_words_decide() -> None:
    speaker = Speaker(SEMANTIC)
    assert speaker.says(4, silence=PAUSE) == [hearing(4 + PAUSE, 1)]
    speaker.learns(heard("What is the time?", 1))
    (draft,) = speaker.drafts
    assert draft.outcome == heard("What is the time?", 1)


def test_who_has_not_finished_goes_on() -> None:
    speaker = Speaker(SEMANTIC)
    speaker.says(4, silence=PAUSE)
    speaker.learns(heard("I would like", 1))
    assert (speaker.drafts, speaker.says(0, silence=10)) == ([], [])
    assert speaker.says(4, silence=PAUSE) == [hearing(4 + PAUSE + 10 + 4 + PAUSE, 2)]


def test_a_pause_after_an_earlier_one_is_heard_when_that_is_done() -> None:
    speaker = Speaker(SEMANTIC)
    speaker.says(4, silence=PAUSE)
    assert speaker.says(4, silence=PAUSE) == []
    assert speaker.learns(heard("I like it.", 1)) == [hearing(2 * (4 + PAUSE), 2)]
    assert speaker.drafts == []


def test_a_pause_that_is_being_heard_is_not_heard_twice() -> None:
    speaker = Speaker(settings("gpt-realtime-whisper", SemanticVad()))
    assert speaker.says(SECOND, silence=1) == [hearing(SECOND + 1, 1)]
    assert speaker.says(0, silence=PAUSE - 1) == []
    assert speaker.learns(heard("Stop.", 1)) == []
    assert [draft.outcome for draft in speaker.drafts] == [heard("Stop.", 1)]


def test_words_from_before_the_last_ones_decide_nothing() -> None:
    speaker = Speaker(SEMANTIC)
    speaker.says(4, silence=PAUSE)
    speaker.says(1, silence=1)
    assert speaker.learns(heard("Stop.", 1)) == []
    assert (speaker.drafts, speaker.says(0, silence=PAUSE)) == ([], [hearing(4 + PAUSE + 1 + PAUSE, 2)])


def test_a_hearing_that_fails_leaves_it_to_silence() -> None:
    speaker = Speaker(SEMANTIC)
    speaker.says(4, silence=PAUSE)
    speaker.learns(TranscriptionBroke("item_1", 0, OOPS, 1))
    speaker.says(0, silence=500 // WINDOW_MS + 1 - PAUSE)
    assert len(speaker.drafts) == 1


# Judges


def test_a_judge_hears_the_end_of_the_turn() -> None:
    speaker = Speaker(SEMANTIC, judges=True)
    (asked,) = speaker.says(400, silence=PAUSE)
    assert isinstance(asked, Judge)
    assert (asked.item_id, asked.attempt, len(asked.audio)) == ("item_1", 1, JUDGED_MS * 8)


def test_a_judgement_ends_the_turn_and_its_words_are_still_to_be_heard() -> None:
    speaker = Speaker(SEMANTIC, judges=True)
    speaker.says(4, silence=PAUSE)
    speaker.learns(TurnJudged("item_1", 1, 0.9))
    (draft,) = speaker.drafts
    assert (draft.outcome, draft.running) == (None, False)


def test_a_late_judgement_decides_nothing() -> None:
    speaker = Speaker(SEMANTIC, judges=True)
    speaker.says(4, silence=PAUSE)
    speaker.says(1, silence=1)
    assert speaker.learns(TurnJudged("item_1", 1, 0.9)) == []
    assert len(speaker.says(0, silence=PAUSE)) == 1
    assert not speaker.speaking.expects(TurnJudged("item_1", 1, 0.9))
    assert not speaker.speaking.expects(TurnJudged("item_2", 2, 0.9))


def test_where_a_judge_decides_words_do_not() -> None:
    speaker = Speaker(settings("gpt-realtime-whisper", SemanticVad()), judges=True)
    speaker.says(SECOND, silence=1)
    speaker.says(0, silence=PAUSE)
    speaker.learns(heard("Stop.", 1))
    assert speaker.drafts == []
    speaker.speaking.drop()
    assert speaker.taken() == [Abandon("item_1")]


def test_by_silence_nobody_is_judged() -> None:
    assert Speaker(ORDINARY, judges=True).says(4, silence=PAUSE) == []


# A halt, after which everything may be over


def test_what_was_said_is_found_out_once_in_a_silence() -> None:
    speaker = Speaker(ORDINARY)
    speaker.says(10, silence=3)
    assert speaker.halts() == [hearing(13, 1)]
    assert speaker.speaking.words is None
    assert speaker.says(0, silence=1) == []
    assert speaker.halts() == []
    assert speaker.learns(heard("Where is Paris?", 1)) == []
    assert speaker.halts() == []
    assert speaker.speaking.words == "Where is Paris?"


def test_who_speaks_on_is_heard_anew_and_not_twice_at_once() -> None:
    speaker = Speaker(ORDINARY)
    speaker.says(10, silence=3)
    speaker.halts()
    speaker.says(5, silence=3)
    assert speaker.halts() == [Abandon("item_1"), hearing(21, 2)]
    assert not speaker.speaking.expects(heard("Where", 1))
    speaker.learns(heard("Where is Paris?", 2))
    assert speaker.speaking.words == "Where is Paris?"
    speaker.says(1)
    assert speaker.speaking.words is None


def test_where_the_end_is_being_judged_the_earlier_hearing_is_let_run() -> None:
    speaker = Speaker(SEMANTIC, judges=True)
    speaker.says(10, silence=3)
    speaker.halts()
    speaker.says(0, silence=PAUSE - 3)
    speaker.says(5, silence=3)
    assert speaker.halts() == []
    again = speaker.learns(heard("Where", 1))
    assert [type(each) for each in again] == [Transcribe]


def test_words_for_who_wants_them_at_once_are_not_given_up() -> None:
    speaker = Speaker(LIVE)
    speaker.says(10, silence=3)
    speaker.halts()
    speaker.says(5, silence=3)
    assert speaker.halts() == []


def test_the_hearing_that_is_waited_for_is_not_the_judgement_that_was_asked_for_after_it() -> None:
    speaker = Speaker(SEMANTIC, judges=True)
    speaker.says(10, silence=3)
    assert speaker.halts() == [hearing(13, 1)]
    speaker.says(0, silence=PAUSE - 3)
    speaker.learns(TurnJudged("item_1", 2, 1.0))
    (draft,) = speaker.drafts
    assert (draft.running, draft.attempt) == (True, 1)
