from __future__ import annotations

import pytest

from realtime.ports import TokenLogprob
from realtime.session.conversation import Conversation, Entry
from realtime.session.effects import Abandon, Effects, Send, Transcribe
from realtime.session.hypothesis import Hypothesis
from realtime.session.ids import CountedIds
from realtime.session.inputs import SpeechTranscribed, TranscriptionBroke
from realtime.session.sound import Sound
from realtime.session.speaking import Draft
from realtime.session.transcripts import Transcripts
from realtime.wire.items import MAX_TEXT, InputAudio, InputText, Message, Part
from realtime.wire.server import ErrorInfo, LogProb, TranscriptionCompleted, TranscriptionDelta, TranscriptionFailed
from realtime.wire.settings import AudioInput, AudioSettings, Include, PcmuFormat, Settings, Transcription

FORMAT = PcmuFormat()
OOPS = ErrorInfo(type="transcription_error", code="oops", message="Oops.", param="audio")


def settings(wish: Transcription | None, include: tuple[Include, ...] | None = None) -> Settings:
    return Settings(id="sess_1", model="any", expires_at=0, audio=AudioSettings(AudioInput(transcription=wish)), include=include)


WISH = Transcription()
TURN = "item_1"


class Desk:
    """The transcripts of one session, and what they ask for."""

    def __init__(self) -> None:
        self._effects = Effects(CountedIds())
        self._conversation = Conversation("conv_1")
        self.transcripts = Transcripts(self._conversation, self._effects)

    def taken(self) -> list[object]:
        return [effect.event if isinstance(effect, Send) else effect for effect in self._effects.take()]

    def asked(self, entry: Entry, wish: Transcription | None = WISH, *, stored: bool = True) -> list[object]:
        if stored and entry.id not in self._conversation:
            self._conversation.insert(entry)
        self.transcripts.want(entry, settings(wish))
        return self.taken()

    def turn(self, draft: Draft, *, speech_ms: int = 500, include: tuple[Include, ...] | None = None) -> Entry:
        """A turn that has ended."""
        entry = Entry(Message("user", [InputAudio()], TURN), {0: Sound(FORMAT, b"all of it")})
        self._conversation.insert(entry)
        self.transcripts.want_turn(entry, settings(WISH, include), draft, speech_ms)
        return entry


@pytest.fixture
def desk() -> Desk:
    return Desk()


def spoken(*transcripts: str | None, id: str = "item_1") -> Entry:
    content: list[Part] = [InputText("Hear:"), *(InputAudio(transcript) for transcript in transcripts)]
    return Entry(Message("user", content, id), {index + 1: Sound(FORMAT, b"s%d" % index) for index in range(len(transcripts))})


def words(entry: Entry, index: int) -> str | None:
    part = entry.part(index)
    assert part is not None
    return part.transcript


def test_every_part_without_words_is_asked_for(desk: Desk) -> None:
    assert desk.asked(spoken(None, "Known.", None)) == [
        Transcribe("item_1", 1, b"s0", FORMAT, None, None),
        Transcribe("item_1", 3, b"s2", FORMAT, None, None),
    ]


def test_the_clients_hints_go_along(desk: Desk) -> None:
    wish = Transcription(language="de", prompt="Berlin")
    assert desk.asked(spoken(None), wish) == [Transcribe("item_1", 1, b"s0", FORMAT, "de", "Berlin")]


def test_an_empty_transcript_is_a_transcript(desk: Desk) -> None:
    assert desk.asked(spoken("")) == []


def test_what_is_being_transcribed_is_not_asked_for_again(desk: Desk) -> None:
    entry = spoken(None)
    desk.asked(entry)
    assert desk.asked(entry) == []


def test_a_sound_without_a_spoken_part_is_passed_over(desk: Desk) -> None:
    assert desk.asked(Entry(Message("user", [InputText("Hi.")], "item_1"), {0: Sound(FORMAT, b"s")})) == []


def test_sound_that_was_let_go_can_not_be_transcribed(desk: Desk) -> None:
    entry = spoken(None, None)
    entry.sounds[1].release()
    assert [effect.content_index for effect in desk.asked(entry) if isinstance(effect, Transcribe)] == [2]


def test_more_words_than_one_may_write_are_cut(desk: Desk) -> None:
    entry = spoken(None)
    desk.asked(entry)
    text = " ".join(str(number) for number in range(MAX_TEXT // 5))
    assert len(text) > MAX_TEXT
    desk.transcripts.complete(SpeechTranscribed("item_1", 1, text, 1.5))
    assert words(entry, 1) == text[:MAX_TEXT].strip()


def test_words_come_to_the_part_they_belong_to_and_to_the_client(desk: Desk) -> None:
    entry = spoken(None, None)
    desk.asked(entry)
    desk.transcripts.complete(SpeechTranscribed("item_1", 2, "Hello.", 1.5))
    assert (words(entry, 1), words(entry, 2)) == (None, "Hello.")
    delta, completed = desk.taken()
    assert isinstance(delta, TranscriptionDelta)
    assert (delta.item_id, delta.content_index, delta.delta) == ("item_1", 2, "Hello.")
    assert isinstance(completed, TranscriptionCompleted)
    assert (completed.item_id, completed.content_index, completed.transcript, completed.usage.seconds) == ("item_1", 2, "Hello.", 1.5)


def test_no_words_are_completed_without_a_delta(desk: Desk) -> None:
    entry = spoken(None)
    desk.asked(entry)
    desk.transcripts.complete(SpeechTranscribed("item_1", 1, "", 1.5))
    assert words(entry, 1) == ""
    assert [type(event) for event in desk.taken()] == [TranscriptionCompleted]


def test_a_client_that_did_not_ask_has_the_words_stored_all_the_same(desk: Desk) -> None:
    entry = spoken(None)
    desk.asked(entry, None)
    desk.transcripts.complete(SpeechTranscribed("item_1", 1, "Hello.", 1.5))
    assert (words(entry, 1), desk.taken()) == ("Hello.", [])


def test_what_is_only_one_responses_context_is_no_news(desk: Desk) -> None:
    desk.asked(spoken(None), stored=False)
    desk.transcripts.complete(SpeechTranscribed("item_1", 1, "Hello.", 1.5))
    assert desk.taken() == []


def test_a_failure_is_told(desk: Desk) -> None:
    desk.asked(spoken(None))
    desk.transcripts.fail(TranscriptionBroke("item_1", 1, OOPS))
    (failed,) = desk.taken()
    assert isinstance(failed, TranscriptionFailed)
    assert (failed.item_id, failed.content_index, failed.error) == ("item_1", 1, OOPS)


def test_a_failure_is_not_told_to_a_client_that_did_not_ask(desk: Desk) -> None:
    desk.asked(spoken(None), None)
    desk.transcripts.fail(TranscriptionBroke("item_1", 1, OOPS))
    assert desk.taken() == []


def test_what_failed_may_be_asked_for_again(desk: Desk) -> None:
    entry = spoken(None)
    first = desk.asked(entry)
    desk.transcripts.fail(TranscriptionBroke("item_1", 1, OOPS))
    desk.taken()
    assert desk.asked(entry) == first


def test_an_item_is_pending_until_its_last_part_is_known(desk: Desk) -> None:
    desk.asked(spoken(None, None))
    assert ("item_1" in desk.transcripts.pending, "item_2" in desk.transcripts.pending) == (True, False)
    desk.transcripts.complete(SpeechTranscribed("item_1", 1, "One.", 1))
    assert "item_1" in desk.transcripts.pending
    desk.transcripts.fail(TranscriptionBroke("item_1", 2, OOPS))
    assert "item_1" not in desk.transcripts.pending


def test_only_what_was_asked_for_is_expected_and_only_once(desk: Desk) -> None:
    desk.asked(spoken(None))
    outcome = SpeechTranscribed("item_1", 1, "One.", 1)
    assert desk.transcripts.expects(outcome)
    assert not desk.transcripts.expects(SpeechTranscribed("item_1", 2, "One.", 1))
    desk.transcripts.complete(outcome)
    assert not desk.transcripts.expects(outcome)


def test_what_is_gone_is_abandoned_and_not_expected(desk: Desk) -> None:
    desk.asked(spoken(None))
    desk.asked(spoken(None, id="item_2"))
    desk.transcripts.forget("item_1")
    assert desk.taken() == [Abandon("item_1")]
    assert ("item_1" in desk.transcripts.pending, "item_2" in desk.transcripts.pending) == (False, True)


# Turns, of which something may be known when they end


def told(text: str) -> Hypothesis:
    """What two hearings agreed on."""
    hypothesis = Hypothesis()
    hypothesis.push(text)
    hypothesis.push(text)
    return hypothesis


def test_a_turn_of_which_nothing_is_known_is_heard_whole(desk: Desk) -> None:
    desk.turn(Draft(Hypothesis(), 3))
    assert desk.taken() == [Transcribe(TURN, 0, b"all of it", FORMAT, None, None)]


def test_a_turn_whose_words_are_known_is_complete_at_once(desk: Desk) -> None:
    entry = desk.turn(Draft(told("Hello"), 1, SpeechTranscribed(TURN, 0, "Hello, world.", 1.0, 1)))
    delta, completed = desk.taken()
    assert isinstance(delta, TranscriptionDelta)
    assert isinstance(completed, TranscriptionCompleted)
    assert (delta.delta, completed.transcript, words(entry, 0)) == (" world.", "Hello, world.", "Hello, world.")
    assert TURN not in desk.transcripts.pending


def test_a_turn_that_is_being_heard_is_waited_for(desk: Desk) -> None:
    entry = desk.turn(Draft(Hypothesis(), 2, running=True))
    assert desk.taken() == []
    assert not desk.transcripts.expects(SpeechTranscribed(TURN, 0, "Hel", 1.0, 1))
    outcome = SpeechTranscribed(TURN, 0, "Hello.", 1.0, 2)
    assert desk.transcripts.expects(outcome)
    desk.transcripts.complete(outcome)
    assert words(entry, 0) == "Hello."


def test_where_that_fails_the_whole_is_heard(desk: Desk) -> None:
    desk.turn(Draft(Hypothesis(), 2, running=True))
    assert not desk.transcripts.fail(TranscriptionBroke(TURN, 0, OOPS, 2))
    assert desk.taken() == [Transcribe(TURN, 0, b"all of it", FORMAT, None, None)]
    assert desk.transcripts.fail(TranscriptionBroke(TURN, 0, OOPS))
    assert [type(event) for event in desk.taken()] == [TranscriptionFailed]


def test_what_whisper_invents_where_hardly_anything_was_said_is_nothing(desk: Desk) -> None:
    entry = desk.turn(Draft(Hypothesis(), 0), speech_ms=32)
    desk.transcripts.complete(SpeechTranscribed(TURN, 0, "Thank you.", 2.0, no_speech=0.9, confidence=-1.5))
    assert words(entry, 0) == ""


def test_the_probabilities_of_the_words_go_along_where_they_were_asked_for(desk: Desk) -> None:
    desk.turn(Draft(Hypothesis(), 0), include=("item.input_audio_transcription.logprobs",))
    (asked,) = desk.taken()
    assert isinstance(asked, Transcribe)
    assert asked.logprobs
    tokens = (TokenLogprob("O", -0.1), TokenLogprob(" là", -0.2))
    desk.transcripts.complete(SpeechTranscribed(TURN, 0, "O là", 1.0, tokens=tokens))
    completed = desk.taken()[-1]
    assert isinstance(completed, TranscriptionCompleted)
    assert completed.logprobs == [LogProb("O", -0.1, [79]), LogProb(" là", -0.2, [32, 108, 195, 160])]


def test_no_words_have_no_probabilities(desk: Desk) -> None:
    desk.turn(Draft(Hypothesis(), 0), include=("item.input_audio_transcription.logprobs",))
    desk.transcripts.complete(SpeechTranscribed(TURN, 0, "", 1.0, tokens=(TokenLogprob(" ", -3.0),)))
    completed = desk.taken()[-1]
    assert isinstance(completed, TranscriptionCompleted)
    assert completed.logprobs == []


@pytest.mark.parametrize(("wish", "said"), [(WISH, [TranscriptionCompleted]), (None, [])])
def test_of_an_item_in_which_nobody_spoke_a_client_that_asked_is_told(desk: Desk, wish: Transcription | None, said: list[type]) -> None:
    desk.transcripts.silent(Entry(Message("user", [InputAudio("")], "item_1"), {0: Sound(FORMAT, bytes(800))}), settings(wish))
    assert [type(event) for event in desk.taken()] == said
