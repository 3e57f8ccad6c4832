from __future__ import annotations

from typing import Any, Literal

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from realtime.ports import LlmRequest, Recording, TokenUsage
from realtime.session.approvals import Approvals
from realtime.session.conversation import Conversation, Entry
from realtime.session.effects import Abandon, Effect, Effects, Generate, Send, Speak
from realtime.session.ids import CountedIds
from realtime.session.mcp import Toolbox
from realtime.session.response import MAX_ANSWER, Response, Terms
from realtime.wire import server
from realtime.wire.items import InputText, Message, OutputAudio, OutputText
from realtime.wire.settings import PcmuFormat

AUDIO = Terms(
    modality="audio", instructions="Be brief.", max_output_tokens="inf", temperature=UNSET, voice="alloy", speed=1.25, format=PcmuFormat()
)
TEXT = replace(AUDIO, modality="text")
QUESTION = Message("user", [InputText("Why?")], "ask")
OOPS = server.ErrorInfo(type="server_error", code="oops", message="Oops.")

NO_TOOLS = Toolbox((), "auto", {})


class Stage:
    """One response, and what it does."""

    def __init__(self, terms: Terms, *, aside: bool = False) -> None:
        self.conversation = Conversation("conv_1")
        self.conversation.insert(Entry(QUESTION))
        self._effects = Effects(CountedIds())
        ids = CountedIds()
        conversation = None if aside else self.conversation
        approvals = Approvals(self.conversation, self._effects, ids)
        self.response = Response(terms, conversation, approvals, self._effects, ids)

    def taken(self) -> list[Effect]:
        return self._effects.take()

    def told(self) -> list[str]:
        """What was done, by name: the types of events, the names of other effects."""
        return [str(type(each.event if isinstance(each, Send) else each).__struct_config__.tag) for each in self.taken()]

    def spoken(self) -> list[Speak]:
        return [effect for effect in self.taken() if isinstance(effect, Speak)]

    def done(self) -> server.Response:
        (done,) = [each.event for each in self.taken() if isinstance(each, Send) and isinstance(each.event, server.ResponseDone)]
        return done.response


def running(terms: Terms = AUDIO, *, aside: bool = False) -> Stage:
    stage = Stage(terms, aside=aside)
    stage.response.generate((QUESTION,), NO_TOOLS)
    stage.taken()
    return stage


def test_it_announces_itself_empty() -> None:
    stage = Stage(replace(TEXT, metadata={"k": "v"}))
    (sent,) = stage.taken()
    assert isinstance(sent, Send)
    assert isinstance(sent.event, server.ResponseCreated)
    created = sent.event.response
    assert (created.id, created.status, created.output, created.usage) == ("resp_1", "in_progress", [], None)
    assert (created.conversation_id, created.output_modalities, created.metadata) == ("conv_1", ("text",), {"k": "v"})


def test_out_of_band_it_belongs_to_no_conversation() -> None:
    stage = running(TEXT, aside=True)
    assert not stage.response.default
    stage.response.add_text("Hi.")
    stage.response.end_text("stop", None, ())
    done = stage.done()
    assert (done.conversation_id, len(done.output)) == (None, 1)
    assert [entry.id for entry in stage.conversation] == ["ask"]


@pytest.mark.parametrize(
    ("terms", "limit", "temperature"), [(TEXT, None, None), (replace(TEXT, max_output_tokens=7, temperature=0.5), 7, 0.5)]
)
def test_it_asks_by_its_terms(terms: Terms, limit: int | None, temperature: float | None) -> None:
    stage = Stage(terms)
    stage.taken()
    stage.response.generate((QUESTION,), NO_TOOLS)
    request = LlmRequest(instructions="Be brief.", items=(QUESTION,), max_output_tokens=limit, temperature=temperature)
    assert stage.taken() == [Generate("resp_1", request)]


def test_while_it_waits_it_knows_for_what() -> None:
    response = Stage(TEXT).response
    response.wait({"a", "b"})
    assert (response.waits_for("a"), response.waits_for("c")) == (True, False)
    assert [response.heard("c"), response.heard("a"), response.heard("a"), response.heard("b")] == [False, False, False, True]


def test_once_it_runs_it_waits_for_nothing() -> None:
    response = running().response
    assert (response.waits_for("a"), response.heard("a")) == (False, False)


def test_nothing_is_opened_before_there_is_text() -> None:
    stage = running()
    assert not stage.response.writes("item_1")
    stage.response.add_text("Hi")
    assert stage.response.writes("item_1")
    assert stage.told()[:3] == ["response.output_item.added", "conversation.item.added", "response.content_part.added"]
    stage.response.add_text(" you")
    assert stage.told() == ["response.output_audio_transcript.delta"]


def test_text_is_not_spoken_where_none_is_wanted() -> None:
    stage = running(TEXT)
    stage.response.add_text("One. Two. Three. ")
    assert stage.spoken() == []


def test_clauses_are_spoken_one_at_a_time_by_its_terms() -> None:
    stage = running()
    stage.response.add_text("One. Two. Three. ")
    assert stage.spoken() == [Speak("resp_1", 0, "One.", "alloy", 1.25, PcmuFormat())]
    stage.response.end_clause(0)
    assert [speak.text for speak in stage.spoken()] == ["Two."]


def test_the_rest_is_spoken_when_the_text_has_ended() -> None:
    stage = running()
    stage.response.add_text("To be")
    assert stage.spoken() == []
    stage.response.end_text("stop", None, ())
    assert [speak.text for speak in stage.spoken()] == ["To be"]
    assert not stage.response.ended


def test_it_ends_once_the_last_clause_is_spoken() -> None:
    stage = running()
    stage.response.add_text("One. Two.")
    stage.response.end_text("stop", None, ())
    stage.response.end_clause(0)
    assert not stage.response.ended
    stage.response.end_clause(1)
    assert stage.response.ended
    assert stage.done().status == "completed"


def test_all_spoken_is_not_the_end_while_text_may_come() -> None:
    stage = running()
    stage.response.add_text("One. ")
    stage.response.end_clause(0)
    assert not stage.response.ended


@pytest.mark.parametrize("clause", [0, 2])
def test_a_clause_that_is_not_being_spoken_is_not_heard(clause: int) -> None:
    stage = running()
    stage.response.add_text("One. Two. Three. ")
    stage.response.end_clause(0)
    stage.taken()
    stage.response.add_sound(clause, b"sound")
    stage.response.end_clause(clause)
    assert stage.taken() == []


def test_sound_is_sent_and_kept() -> None:
    stage = running()
    stage.response.add_text("One. ")
    stage.taken()
    stage.response.add_sound(0, b"sound")
    assert stage.told() == ["response.output_audio.delta"]
    stage.response.cancel("client_cancelled")
    entry = stage.conversation.find("item_1")
    assert entry is not None
    assert entry.sounds[0].audio == b"sound"


def test_text_is_stored_without_sound() -> None:
    stage = running(TEXT)
    stage.response.add_text("Hi.")
    stage.response.end_text("stop", None, ())
    entry = stage.conversation.find("item_1")
    assert entry is not None
    assert (entry.item, entry.sounds) == (Message("assistant", [OutputText("Hi.")], "item_1"), {})


@pytest.mark.parametrize(
    ("terms", "closing"),
    [
        (TEXT, ["response.output_text.done"]),
        (AUDIO, ["response.output_audio.done", "response.output_audio_transcript.done"]),
    ],
)
def test_whatever_happens_what_was_opened_is_closed_in_order(terms: Terms, closing: list[str]) -> None:
    stage = running(terms)
    stage.response.add_text("Hi")
    stage.taken()
    stage.response.cancel("turn_detected")
    assert stage.told() == [
        "Abandon",
        *closing,
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]


def test_out_of_band_the_same_is_closed_but_for_the_conversation() -> None:
    stage = running(TEXT, aside=True)
    stage.response.add_text("Hi")
    stage.response.cancel("client_cancelled")
    assert [name for name in stage.told() if name.startswith("conversation.")] == []


@pytest.mark.parametrize(
    ("reason", "status", "told", "item_status"),
    [
        ("stop", "completed", None, "completed"),
        ("length", "incomplete", "max_output_tokens", "incomplete"),
        ("content_filter", "incomplete", "content_filter", "incomplete"),
    ],
)
def test_it_ends_as_the_model_did(
    reason: Literal["stop", "length", "content_filter"], status: str, told: str | None, item_status: str
) -> None:
    stage = running(TEXT)
    stage.response.add_text("Hi")
    stage.response.end_text(reason, None, ())
    done = stage.done()
    assert (done.status, done.output[0].status) == (status, item_status)
    assert (None if done.status_details is None else done.status_details.reason) == told


@pytest.mark.parametrize("reason", ["turn_detected", "client_cancelled"])
def test_a_cancelled_response_says_who_cancelled_it(reason: Literal["turn_detected", "client_cancelled"]) -> None:
    stage = running()
    stage.response.add_text("Hi")
    stage.response.cancel(reason)
    done = stage.done()
    assert (done.status, done.output[0].status) == ("cancelled", "incomplete")
    assert done.status_details == server.StatusDetails(type="cancelled", reason=reason)


def test_a_failed_response_says_why() -> None:
    stage = running()
    stage.response.fail(OOPS)
    done = stage.done()
    assert (done.status, done.output) == ("failed", [])
    assert done.status_details == server.StatusDetails(type="failed", error=server.Failure("server_error", "oops", "Oops."))


def test_silence_is_answered_with_nothing() -> None:
    stage = Stage(AUDIO)
    stage.taken()
    stage.response.end_silent()
    assert stage.told() == ["response.done", "rate_limits.updated"]


def test_who_only_waited_has_nothing_to_abandon() -> None:
    stage = Stage(AUDIO)
    stage.response.wait({"a"})
    stage.taken()
    stage.response.cancel("client_cancelled")
    assert stage.told() == ["response.done", "rate_limits.updated"]


def test_a_whole_response_has_nothing_to_abandon() -> None:
    stage = running(TEXT)
    stage.response.end_text("stop", None, ())
    assert Abandon("resp_1") not in stage.taken()


def test_the_end_answers_the_request() -> None:
    stage = running(replace(TEXT, answers="mine"))
    stage.response.end_text("stop", None, ())
    answers = [each.answers for each in stage.taken() if isinstance(each, Send)]
    assert answers == ["mine", None]


@pytest.mark.parametrize(
    ("act", "tokens"),
    [
        (lambda response: response.end_text("stop", TokenUsage(70, 5), ()), (70, 5)),
        (lambda response: response.end_text("stop", None, ()), (4, 2)),
        (lambda response: response.cancel("turn_detected"), (4, 2)),
        (lambda response: response.fail(OOPS), (4, 2)),
    ],
)
def test_what_was_said_is_counted_however_it_ended(act: Any, tokens: tuple[int, int]) -> None:
    stage = running(TEXT)
    stage.response.add_text("Hello!")
    act(stage.response)
    done = stage.done()
    assert done.usage is not None
    assert (done.usage.input_tokens, done.usage.output_tokens) == tokens


def test_a_failure_before_any_text_costs_nothing() -> None:
    stage = running(TEXT)
    stage.response.fail(OOPS)
    assert stage.done().usage == server.Usage()


def test_what_was_sent_is_not_what_is_stored() -> None:
    stage = running()
    stage.response.add_text("Hi there. ")
    stage.response.cancel("client_cancelled")
    done, entry = stage.done(), stage.conversation.find("item_1")
    assert entry is not None
    part = entry.part(0)
    assert isinstance(part, OutputAudio)
    part.transcript = "Hi"
    assert done.output == [Message("assistant", [OutputAudio("Hi there. ")], "item_1", "incomplete")]


NATIVE = replace(AUDIO, native=True, effort="low")


def test_a_model_that_speaks_is_told_how() -> None:
    stage = Stage(NATIVE)
    stage.taken()
    sounds = (Recording("ask", 0, b"sound", PcmuFormat()),)
    stage.response.generate((QUESTION,), NO_TOOLS, (Recording("gone", 0, b"sound", PcmuFormat()), *sounds))
    request = LlmRequest(instructions="Be brief.", items=(QUESTION,), sounds=sounds, voice="alloy", effort="low")
    assert stage.taken() == [Generate("resp_1", request, PcmuFormat())]


def test_what_it_writes_is_not_spoken_again() -> None:
    stage = running(NATIVE)
    stage.response.add_text("One. Two. ")
    stage.response.add_speech(b"sound")
    stage.response.add_text("Three. ")
    told = stage.told()
    assert "Speak" not in told
    assert told[-3:] == [
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio_transcript.delta",
    ]
    stage.response.end_text("stop", None, ())
    assert stage.done().output == [Message("assistant", [OutputAudio("One. Two. Three. ")], "item_1")]


def test_speech_may_come_before_its_words() -> None:
    stage = running(NATIVE)
    stage.response.add_speech(b"sound")
    assert stage.told() == [
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio.delta",
    ]


def test_its_sound_says_its_words() -> None:
    stage = running(NATIVE)
    for word in ("One", " two", " three"):
        stage.response.add_text(word)
        stage.response.add_speech(bytes(80))
    stage.response.cancel("turn_detected")
    entry = stage.conversation.find("item_1")
    assert entry is not None
    assert entry.sounds[0].truncate(20) == "One two"


@pytest.mark.parametrize(("terms", "spoken"), [(NATIVE, 20), (AUDIO, 0)])
def test_only_speech_of_the_models_own_is_counted_as_its_work(terms: Terms, spoken: int) -> None:
    stage = running(terms)
    stage.response.add_text("Hi. ")
    stage.response.add_sound(0, bytes(8000))
    if terms.native:
        stage.response.add_speech(bytes(8000))
    stage.response.cancel("client_cancelled")
    usage = stage.done().usage
    assert usage is not None
    assert usage.output_token_details.audio_tokens == spoken


def test_an_answer_has_room_for_so_much_and_no_more() -> None:
    response = running(TEXT).response
    assert [response.grant(MAX_ANSWER - 10), response.grant(15), response.grant(1)] == [MAX_ANSWER - 10, 10, 0]


def test_an_answer_that_is_stopped_is_incomplete_and_nobody_goes_on_with_it() -> None:
    stage = running(TEXT)
    stage.response.add_text("Hi.")
    stage.response.stop()
    effects = stage.taken()
    assert Abandon("resp_1") in effects
    (done,) = [each.event for each in effects if isinstance(each, Send) and isinstance(each.event, server.ResponseDone)]
    assert (done.response.status, done.response.output[0].status) == ("incomplete", "incomplete")
    assert done.response.status_details == server.StatusDetails(type="incomplete", reason="max_output_tokens")


def test_it_knows_whether_it_was_asked_and_whether_anything_came() -> None:
    response = Stage(TEXT).response
    assert (response.request, response.begun) == (None, False)
    response.generate((QUESTION,), NO_TOOLS)
    assert response.request is not None
    assert not response.begun
    response.begin_call(0, "f", "")
    assert response.begun


def test_it_may_be_asked_anew_while_nothing_has_come() -> None:
    stage = running(TEXT)
    stage.response.generate((), NO_TOOLS)
    (effect,) = stage.taken()
    assert isinstance(effect, Generate)
    assert effect.request.items == ()
    stage.response.add_text("Hi.")
    stage.response.end_text("stop", None, ())
    assert stage.done().status == "completed"
