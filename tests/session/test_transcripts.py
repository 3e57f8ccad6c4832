from __future__ import annotations

import pytest

from realtime.session.conversation import Conversation, Entry
from realtime.session.effects import Abandon, Effects, Send, Transcribe
from realtime.session.ids import CountedIds
from realtime.session.inputs import SpeechTranscribed, TranscriptionBroke
from realtime.session.sound import Sound
from realtime.session.transcripts import Transcripts
from realtime.wire.items import MAX_TEXT, InputAudio, InputText, Message, Part
from realtime.wire.server import ErrorInfo, TranscriptionCompleted, TranscriptionDelta, TranscriptionFailed
from realtime.wire.settings import PcmuFormat, Transcription

FORMAT = PcmuFormat()
OOPS = ErrorInfo(type="transcription_error", code="oops", message="Oops.", param="audio")


WISH = Transcription()


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
        self.transcripts.want(entry, wish)
        return self.taken()


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
    desk.transcripts.complete(SpeechTranscribed("item_1", 1, "x" * (MAX_TEXT + 1), 1.5))
    assert words(entry, 1) == "x" * MAX_TEXT


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
    assert (desk.transcripts.pending("item_1"), desk.transcripts.pending("item_2")) == (True, False)
    desk.transcripts.complete(SpeechTranscribed("item_1", 1, "One.", 1))
    assert desk.transcripts.pending("item_1")
    desk.transcripts.fail(TranscriptionBroke("item_1", 2, OOPS))
    assert not desk.transcripts.pending("item_1")


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
    assert (desk.transcripts.pending("item_1"), desk.transcripts.pending("item_2")) == (False, True)
