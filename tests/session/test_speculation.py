"""What is held back of an answer, and what it comes to; when it is used or dropped is in the transcripts."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from realtime.ports import LlmRequest, TokenUsage
from realtime.session.effects import Effects, Forgo, Generate, Speak
from realtime.session.ids import CountedIds
from realtime.session.inputs import (
    ArgumentsGenerated,
    CallGenerated,
    ClauseSounded,
    ClauseSpoken,
    GenerationFinished,
    ResponseBroke,
    SpeechGenerated,
    TextGenerated,
)
from realtime.session.response import Terms
from realtime.session.speculation import MAX_HELD, OUTCOME_SIZE, Speculation
from realtime.wire.items import InputText, Message
from realtime.wire.server import ErrorInfo
from realtime.wire.settings import PcmFormat

TERMS = Terms(
    modality="audio", instructions="", max_output_tokens="inf", temperature=UNSET, voice="ash", speed=1.0, format=PcmFormat(), tools=()
)
REQUEST = LlmRequest(instructions="Be kind.", items=(Message("user", [InputText("Where is Paris?")], "item_1"),))
BROKE = ResponseBroke("resp_1", ErrorInfo(code="overloaded", message="Busy."))


class Guess:
    def __init__(self, terms: Terms = TERMS) -> None:
        self.effects = Effects(CountedIds())
        self.speculation = Speculation("resp_1", "item_1", 7, terms, REQUEST, self.effects)
        self.asked = self.effects.take()

    def hold(self, *outcomes: Any) -> list[object]:
        for outcome in outcomes:
            assert self.speculation.hold(outcome)
        return list(self.effects.take())

    def cost(self) -> tuple[int, int]:
        """Tokens in and out."""
        self.speculation.drop()
        (forgone,) = self.effects.take()
        assert isinstance(forgone, Forgo)
        return forgone.usage.input_tokens, forgone.usage.output_tokens


def text(said: str) -> TextGenerated:
    return TextGenerated("resp_1", said)


def finished(usage: TokenUsage | None = None) -> GenerationFinished:
    return GenerationFinished("resp_1", "stop", usage)


def test_the_model_is_asked_at_once_and_need_not_be_asked_again() -> None:
    guess = Guess()
    assert guess.asked == [Generate("resp_1", REQUEST, speculative=True)]
    assert guess.speculation.asked == [Generate("resp_1", REQUEST)]


def test_the_first_clause_is_spoken_and_no_other() -> None:
    guess = Guess()
    assert guess.hold(text("In France")) == []
    spoken = Speak("resp_1", 0, "In France.", "ash", 1.0, PcmFormat())
    assert guess.hold(text(". It lies on the Seine. It is old. ")) == [spoken]
    assert guess.hold(ClauseSounded("resp_1", 0, b"12"), ClauseSpoken("resp_1", 0), text("It is. "), finished()) == []
    assert guess.speculation.asked == [Generate("resp_1", REQUEST), spoken]


def test_an_answer_of_one_clause_is_spoken_when_it_is_whole() -> None:
    guess = Guess()
    assert guess.hold(text("France"), finished()) == [Speak("resp_1", 0, "France", "ash", 1.0, PcmFormat())]


def test_where_nothing_was_said_nothing_is_spoken() -> None:
    assert Guess().hold(CallGenerated("resp_1", 0, "add", ""), finished()) == []


@pytest.mark.parametrize("terms", [replace(TERMS, modality="text"), replace(TERMS, native=True)])
def test_who_reads_and_who_speaks_by_itself_needs_no_voice(terms: Terms) -> None:
    guess = Guess(terms)
    assert guess.hold(text("In France. It lies"), SpeechGenerated("resp_1", b"12"), finished()) == []
    (asked,) = guess.asked
    assert isinstance(asked, Generate)
    assert asked.format == (PcmFormat() if terms.native else None)


def test_what_came_is_held_in_its_order() -> None:
    outcomes = [text("In "), CallGenerated("resp_1", 0, "add", ""), ArgumentsGenerated("resp_1", 0, "{}"), finished()]
    guess = Guess()
    guess.hold(*outcomes)
    assert guess.speculation.held == outcomes


def test_more_than_an_answer_is_not_held() -> None:
    guess = Guess(replace(TERMS, native=True))
    most = MAX_HELD - OUTCOME_SIZE
    guess.hold(SpeechGenerated("resp_1", bytes(most)))
    assert not guess.speculation.hold(text(""))


def test_a_failure_is_not_held_and_costs_nothing_if_nothing_came() -> None:
    guess = Guess()
    assert not guess.speculation.hold(BROKE)
    assert guess.cost() == (0, 0)


def test_what_came_before_a_failure_has_its_cost() -> None:
    guess = Guess()
    guess.hold(text("In France"))
    assert not guess.speculation.hold(BROKE)
    assert guess.cost() == (6, 3)


def test_what_is_dropped_costs_what_the_model_counted_or_about_what_it_read_and_wrote() -> None:
    guess = Guess()
    assert guess.cost() == (6, 0)
    guess.hold(text("In "), CallGenerated("resp_1", 0, "add", ""), ArgumentsGenerated("resp_1", 0, "{}"))
    assert guess.cost() == (6, 2)
    guess.hold(finished(TokenUsage(70, 8)))
    assert guess.cost() == (70, 8)
