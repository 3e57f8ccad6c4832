"""Storing what changes of one session, in order, while its client waits for nothing but the acknowledgement.

Changes that come while one is being stored are stored together, next. A store that fails is tried again for a moment; then the session is
lost: what was not stored is never acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from realtime.errors import StoreError, Superseded
from realtime.metrics import Metrics
from realtime.ports import Change, Store
from realtime.runner.outbox import Outbox
from realtime.runner.tasks import Tasks
from realtime.session.journal import Journal

log = logging.getLogger(__name__)

PAUSES = (0.1, 0.4, 1.5)
"""Seconds before each further try: a server that restarts is back by then, and a client waits no longer for an answer to a click."""

NEW = 0
"""The epoch of a session that is not stored yet."""


class Committer:
    """Of one session. `epoch` is that of its claim, or `NEW`."""

    def __init__(
        self,
        journal: Journal,
        store: Store,
        session_id: str,
        outbox: Outbox,
        lost: Callable[[StoreError], None],
        metrics: Metrics,
        *,
        epoch: int = NEW,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        """`lost` is told, once, why nothing more can be stored."""
        self.journal = journal
        self.epoch = epoch
        self._store = store
        self._session_id = session_id
        self._outbox = outbox
        self._lost = lost
        self._metrics = metrics
        self._pauses = pauses
        self._waiting = Change()
        self._holds = 0
        """Calls of `save` that `_waiting` comes from."""
        self._tasks = Tasks()
        self.storing = False
        """Is anything held?"""
        self._over = False

    def save(self) -> None:
        """Store what the journal has: what is put into the outbox from now on waits for it."""
        change = self.journal.take()
        if self._over:
            return
        waiting = self._waiting
        waiting.put = {key: record for key, record in waiting.put.items() if key not in change.drop} | change.put
        waiting.drop = (waiting.drop - change.put.keys()) | change.drop
        self._holds += 1
        self._outbox.hold()
        if not self.storing:
            self.storing = True
            self._tasks.start("store", self._run())

    def stop(self) -> None:
        """The session is somebody else's."""
        self._give_up(Superseded(f"{self._session_id} was claimed by another process, or deleted"))

    async def flush(self) -> None:
        """Wait until all is stored, or lost."""
        await self._tasks.finish()

    async def close(self) -> None:
        """The same, after which nobody is told anything."""
        await self.flush()
        self._lost = _nobody

    async def _run(self) -> None:
        while self._holds and not self._over:
            change, holds = self._waiting, self._holds
            self._waiting, self._holds = Change(), 0
            try:
                await self._commit(change)
            except StoreError as error:
                self._give_up(error)
                break
            for _ in range(holds):
                self._outbox.release()
        self.storing = False

    def _give_up(self, error: StoreError) -> None:
        if not self._over:
            self._over = True
            self._lost(error)

    async def _commit(self, change: Change) -> None:
        for pause in (*self._pauses, None):
            try:
                with self._metrics.store.commit_seconds.time():
                    await self._store_once(change)
                return
            except Superseded:
                raise
            except StoreError as error:
                self._metrics.store.errors.inc()
                if pause is None:
                    raise
                log.warning("A change could not be stored, and is tried again: %s", error)
                await asyncio.sleep(pause)

    async def _store_once(self, change: Change) -> None:
        if self.epoch == NEW:
            await self._store.create(self._session_id, change)
            self.epoch = 1
        else:
            await self._store.commit(self._session_id, self.epoch, change)


def _nobody(_: StoreError) -> None:
    """Whose session is over, and let go of."""
