"""A session that lives in this process: with its client, or for a moment without, until it is over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from realtime import logs
from realtime.errors import StoreError, Superseded
from realtime.runner.allowance import Allowance
from realtime.runner.committer import Committer
from realtime.runner.loop import Runner
from realtime.runner.meter import Meter
from realtime.runner.outbox import Outbox, Socket
from realtime.runner.tasks import Tasks
from realtime.server.http import Dialect
from realtime.session import inputs
from realtime.wire.codec import Codec

if TYPE_CHECKING:
    from realtime.runner.tracer import Tracer

log = logging.getLogger(__name__)

TRY_AGAIN_LATER = 1013
"""Close code of a session that could not be stored (IANA's registry of WebSocket close codes)."""

NOT_STORED = "the session could not be stored"


class Client(Protocol):
    """The connection of a session, as far as others tell it something."""

    def supersede(self) -> None: ...


class Live:
    """What serves one session; `owner` is the name of the key whose it is."""

    def __init__(self, session_id: str, owner: str | None, dialect: Dialect, codec: Codec, outbox: Outbox, meter: Meter) -> None:
        self.session_id = session_id
        self.owner = owner
        self.dialect = dialect
        self.codec = codec
        self.outbox = outbox
        self.meter = meter
        self.runner: Runner
        self.allowance: Allowance
        self.committer: Committer | None = None
        self.tracer: Tracer | None = None
        self.superseded = False
        """Somebody else has the session now, or it was deleted."""
        self.client: Client | None = None
        """Who is connected now."""
        self._wait: asyncio.TimerHandle | None = None
        self._ending = False
        self._tasks = Tasks()

    @property
    def goes_on(self) -> bool:
        """Can another client take part in it?"""
        return not self._ending and self.outbox.goodbye is None and not self.superseded

    @property
    def waits(self) -> bool:
        """For its client to come back?"""
        return self._wait is not None

    def lost(self, error: StoreError) -> None:
        """Nothing more of it can be stored, so nothing more may be acknowledged."""
        if isinstance(error, Superseded):
            self.superseded = True
            self.step_aside()
            self.runner.post(inputs.ClientLeft())  # or two would answer
        else:
            log.error("The session could not be stored; it is closed: %s", error)
            self.outbox.fail(TRY_AGAIN_LATER, NOT_STORED)

    def step_aside(self) -> None:
        """Whoever is connected has it no longer."""
        if self.client is not None:
            self.client.supersede()
            self.client = None

    def begin(self, input: inputs.Input) -> None:
        logs.session_id.set(self.session_id)
        self.meter.open()
        self.runner.post(input)

    async def take_back(self, socket: Socket, cut_off: Callable[[], object], expires_at: int, last_event_id: str | None) -> bool:
        """Its client is here again: on with it, after what was missed. Whoever had it until now has it no longer. False where it has ended
        meanwhile, for another process has it, or it can't be stored."""
        self.step_aside()
        if self._wait is not None:
            self._wait.cancel()
            self._wait = None
        while self.committer is not None and self.committer.storing:
            await self.committer.flush()
        if not self.goes_on:
            return False
        missed = None if last_event_id is None else self.outbox.since(last_event_id)
        self.outbox.attach(socket, cut_off, missed=missed)
        self.runner.post(inputs.Resumed(expires_at, whole=missed is None))
        self.outbox.greeted()
        for frame in missed or ():
            self.outbox.put(frame)
        return True

    def wait(self, seconds: float, then: Callable[[], None]) -> None:
        """Go on without a client for so long."""
        self._wait = asyncio.get_running_loop().call_later(seconds, then)

    async def end(self, reason: str, close_code: int | None) -> None:
        """Let go of everything, once what has changed is stored. Whoever else wants its end waits for the same one."""
        if not self._ending:
            self._ending = True
            if self._wait is not None:
                self._wait.cancel()
                self._wait = None
            self.runner.post(inputs.ClientLeft())
            self.meter.close(reason, close_code)
            if self.tracer is not None:
                self.tracer.close()
            self._tasks.start("end", self.runner.close())
        await self._tasks.finish()
