"""An answer that is asked for while its turn may still go on: a request to the model, and all that comes of it, held back.

    asked --(the turn ends, and the model would be asked the very same)--> used: its outcomes come out, as if they came now
      '-----(speech goes on, or anything else makes it another question)--> dropped: nobody ever hears of it, but who counts tokens

It owns the request and the outcomes. What it says is not read: a response does that, once there is one, so that nothing of a speculation
is sent, stored or called. Of its text the first clause is spoken at once, for the first sound is what somebody waits for.
"""

from __future__ import annotations

from msgspec.structs import replace

from realtime.ports import LlmRequest, TokenUsage
from realtime.session.clauses import ClauseCutter
from realtime.session.effects import Effect, Effects, Forgo, Generate, Speak
from realtime.session.inputs import (
    ArgumentsGenerated,
    CallGenerated,
    ClauseSounded,
    GenerationFinished,
    ResponseBroke,
    ResponseOutcome,
    SpeechGenerated,
    TextGenerated,
)
from realtime.session.response import MAX_ANSWER, Terms
from realtime.session.usage import usage

MAX_HELD = 4 * MAX_ANSWER
"""Characters and bytes that are held: a whole answer, and a clause of 240 characters, which is 1 MB of PCM at 24 kHz. A silence seldom
lasts for more; what sends more is dropped, and asked for when the turn is over."""

OUTCOME_SIZE = 100
"""What an outcome counts beside its text or its sound: its own bytes in memory, about."""

FIRST = 0
"""The clause that is spoken ahead."""


class Speculation:
    """One at a time."""

    def __init__(self, id: str, item_id: str, until: int, terms: Terms, request: LlmRequest, effects: Effects) -> None:
        """Asks the model."""
        self.id = id
        """Of the response that it may become."""
        self.item_id = item_id
        """Of the turn that it answers."""
        self.until = until
        """Position in the buffer up to which that was spoken."""
        self.terms = terms
        self.request = request
        self._effects = effects
        self._cutter = ClauseCutter()
        generate = Generate(id, request, terms.format if terms.native else None)
        self.asked: list[Effect] = [generate]
        """What the response need not ask for any more."""
        self.held: list[ResponseOutcome] = []
        """In the order in which it came."""
        self._size = 0
        self._broke = False
        effects.add(replace(generate, speculative=True))

    def hold(self, outcome: ResponseOutcome) -> bool:
        """Keep what came; False where that is too much, or a failure: the answer is asked for again when the turn is over."""
        self._size += OUTCOME_SIZE + _size(outcome)
        if isinstance(outcome, ResponseBroke):
            self._broke = True
        if self._broke or self._size > MAX_HELD:
            return False
        self.held.append(outcome)
        if self.terms.modality == "audio" and not self.terms.native and len(self.asked) == 1:
            self._speak(outcome)
        return True

    def _speak(self, outcome: ResponseOutcome) -> None:
        match outcome:
            case TextGenerated(text=text):
                clauses = self._cutter.push(text)
            case GenerationFinished():
                clauses = self._cutter.flush()
            case _:
                clauses = []
        if clauses:
            terms = self.terms
            speak = Speak(self.id, FIRST, clauses[FIRST].strip(), terms.voice, terms.speed, terms.format)
            self.asked.append(speak)
            self._effects.add(speak)

    def drop(self) -> None:
        """Nobody wants it."""
        self._effects.add(Forgo(self.id, usage(*self._cost())))

    def _cost(self) -> tuple[LlmRequest | None, str, TokenUsage | None]:
        """As of a response that ended there: one that failed before anything came of it cost nothing."""
        if self._broke and not self.held:
            return None, "", None
        counted = next((outcome.usage for outcome in self.held if isinstance(outcome, GenerationFinished)), None)
        written = "".join(_text(outcome) for outcome in self.held)
        return self.request, written, counted


def _text(outcome: ResponseOutcome) -> str:
    match outcome:
        case TextGenerated(text=text) | ArgumentsGenerated(text=text) | CallGenerated(name=text):
            return text
        case _:
            return ""


def _size(outcome: ResponseOutcome) -> int:
    return len(outcome.audio) if isinstance(outcome, SpeechGenerated | ClauseSounded) else len(_text(outcome))
