"""What must hold inside: each session is judged after every input by the referee of the session's own tests."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from realtime.session import inputs
from realtime.session.effects import Effect
from realtime.session.inputs import Input
from realtime.session.machine import Session
from realtime.wire.settings import shown
from tests.rigs.referee import Referee
from tests.simulation.engines import Fault

FORESEEN = ("The session could not be stored", "opening handshake failed")
"""Errors in the log that are no bugs."""


def judged(failed: Callable[[str], None]) -> type[Session]:
    """A class of sessions that tells of every rule that is broken."""

    class JudgedSession(Session):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._referee: Referee | None = Referee(self)
            self._begun = False

        def receive(self, input: Input, *, now: float) -> list[Effect]:
            try:
                effects = super().receive(input, now=now)
            except Exception as error:
                failed(f"the session broke at {input!r:.300}: {error!r}")
                raise
            if isinstance(input, inputs.Resumed) and self._begun:
                self._referee = None  # it is told everything anew, which only a reader that knew nothing can judge
            elif isinstance(input, inputs.Resumed) and self._referee is not None:
                self._referee.settings = shown(self.settings)  # it expires at another time than it did
                self._referee._written |= {entry.id: _words(entry.part(0)) for entry in self.conversation}
            self._begun = True
            if self._referee is not None:
                try:
                    self._referee.judge(input, effects)
                except Exception as error:
                    failed(f"a rule of the session is broken by {type(input).__name__}: {error!r:.300} at {_where(error)}")
                    self._referee = None
            return effects

    return JudgedSession


def _words(part: Any) -> str:
    """What an earlier process had said."""
    return getattr(part, "transcript", None) or getattr(part, "text", None) or ""


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"


class Ears(logging.Handler):
    """Hears what the daemon says of itself: an error that nobody made is a failure."""

    def __init__(self, failed: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._failed = failed

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        said = record.getMessage()
        if isinstance(error, Fault) or said.startswith(FORESEEN):
            return
        self._failed(f"in the log: {said}: {error!r:.300} {_where(error) if error else ''}")
