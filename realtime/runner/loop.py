"""The shell around one session: inputs in, one at a time; effects out, in order; the session's one timer."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from realtime.errors import ClientError
from realtime.runner.allowance import Allowance
from realtime.runner.committer import Committer
from realtime.runner.meter import ASKED, HAPPENED, TOLD, Meter
from realtime.runner.outbox import Outbox
from realtime.runner.perform import Engines, Performer
from realtime.runner.recorder import Recorder
from realtime.runner.sounds import sound_in
from realtime.session import inputs
from realtime.session.effects import Effect, Send
from realtime.session.inputs import FileOutcome, Happening, Input
from realtime.session.intake import CONCERNS, Intake
from realtime.session.machine import Session
from realtime.wire.client import ClientEvent, ConversationItemCreate, ResponseCreate
from realtime.wire.codec import Codec
from realtime.wire.settings import AudioFormat

log = logging.getLogger(__name__)

OUR_FAULT = 1011
"""Close code when the session itself breaks (RFC 6455, 7.4.1: internal error)."""


class Runner:
    """`post` is synchronous and may be called from anywhere on the loop, even while it runs: one input is finished before the next."""

    def __init__(
        self,
        session: Session,
        intake: Intake,
        engines: Engines,
        codec: Codec,
        outbox: Outbox,
        meter: Meter,
        allowance: Allowance | None = None,
        committer: Committer | None = None,
        trace: Callable[[Any, float], None] | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """Without a `committer`, nothing outlives the process. `trace` is shown every input, effect and event, and when; it picks what it
        wants."""
        self._session = session
        self._committer = committer
        self._allowance = allowance or Allowance()
        self._intake = intake
        self._outbox = outbox
        self._meter = meter
        self._trace = trace
        self._recorder = recorder
        self._performer = Performer(engines, codec, outbox, self.post, self._allowance)
        self._inbox: deque[Happening] = deque()
        self._draining = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: float | None = None
        """For which the timer is set."""
        self._closed = False
        self.idle = asyncio.Event()
        """Set while no response is running, and once the session is over."""
        self.idle.set()
        self._room = asyncio.Event()
        """Set while more events with files may come."""
        self._room.set()

    def post(self, input: Happening) -> None:
        """Have the session take an input, and do what it asks."""
        if self._closed:
            return
        self._inbox.append(input)
        if self._draining:
            return
        self._draining = True
        try:
            while self._inbox:
                self._take(self._inbox.popleft())
        except Exception:
            log.exception("The session broke; it is closed")
            self._closed = True
            self._outbox.close(OUR_FAULT, "internal error")
        finally:
            self._draining = False

    def _take(self, happening: Happening) -> None:
        now = self._loop.time()
        if type(happening) in HAPPENED:
            self._meter.happened(happening, now)  # type: ignore[arg-type]  # the set says that it is one
        if self._trace is not None:
            self._trace(happening, now)
        if type(happening) in CONCERNS:
            self._take_in(happening, now)  # type: ignore[arg-type]  # as above
        else:  # by far the most are tokens, which have no files
            self._receive(happening, now)  # type: ignore[arg-type]  # as above
        deadline = self._session.deadline()
        if deadline != self._deadline:
            self._arm(deadline)

    def _take_in(self, happening: ClientEvent | FileOutcome, now: float) -> None:
        intake = self._intake
        for input in intake.take(happening, self.input_format, now=now):
            self._receive(self._afforded(input, now), now)
        self._perform(intake.effects(), now)
        if intake.full is self._room.is_set():
            _set(self._room, not intake.full)

    def _afforded(self, input: Input, now: float) -> Input:
        """The event, or its refusal where it holds more sound than its client may send."""
        if not self._allowance.limits_audio or not isinstance(input, ConversationItemCreate | ResponseCreate):
            return input
        param, length = sound_in(input, self.input_format, self._intake.origins)
        try:
            self._allowance.take_audio(now, length, param, input.event_id)
        except ClientError as error:
            return inputs.FrameRefused(error)
        return input

    def _receive(self, input: Input, now: float) -> None:
        session, committer = self._session, self._committer
        if self._recorder is None:
            effects = session.receive(input, now=now)
        else:
            effects = self._recorded(input, now)
        if committer is not None and committer.journal.changed:
            committer.save()  # before anything that says so
        self._perform(effects, now)
        if session.busy is self.idle.is_set():
            _set(self.idle, not session.busy)

    def _recorded(self, input: Input, now: float) -> list[Effect]:
        assert self._recorder is not None
        self._recorder.heard(input, now)
        try:
            effects = self._session.receive(input, now=now)
        except Exception:
            self._recorder.broke()
            raise
        self._recorder.did(effects)
        return effects

    def _perform(self, effects: list[Effect], now: float) -> None:
        perform, meter, trace = self._performer.perform, self._meter, self._trace
        for effect in effects:
            perform(effect)
            if trace is not None:
                trace(effect.event if type(effect) is Send else effect, now)
            if type(effect) is Send:
                if type(effect.event) in TOLD:
                    meter.told(effect.event, now)  # type: ignore[arg-type]  # as above
            elif type(effect) in ASKED:
                meter.asked(effect, now)  # type: ignore[arg-type]  # as above

    def _arm(self, deadline: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._deadline = deadline
        self._timer = None if deadline is None else self._loop.call_at(deadline, self._ring)

    def _ring(self) -> None:
        self._timer = self._deadline = None
        self.post(inputs.TimePassed())

    @property
    def busy(self) -> bool:
        """Is a response running?"""
        return self._session.busy

    @property
    def begun(self) -> bool:
        """Has anything been said?"""
        return self._session.busy or self._session.conversation.last_id is not None

    @property
    def input_format(self) -> AudioFormat:
        """Of the sound that the client sends."""
        return self._session.settings.audio.input.format

    @property
    def behind(self) -> bool:
        """Should the connection wait before it reads on?"""
        return self._performer.listening.behind or not self._room.is_set()

    @property
    def backlog_seconds(self) -> float:
        """Sound that waits for the detector."""
        return self._performer.listening.backlog_seconds

    async def catch_up(self) -> None:
        """Wait until the detector has heard most of what has come, and there is room for files."""
        await self._performer.listening.catch_up()
        await self._room.wait()

    async def close(self) -> None:
        """Stop every job of the session and its timer, and wait until what has changed is stored."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await self._performer.close()
        if self._committer is not None:
            await self._committer.close()
        self.idle.set()
        self._room.set()


def _set(event: asyncio.Event, is_so: bool) -> None:
    if is_so:
        event.set()
    else:
        event.clear()
