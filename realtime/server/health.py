"""How the server is: what `/metrics` and `/readyz` are told.

Owns what is known of the endpoints, and whether the server lets go. It counts nothing itself: what is added up elsewhere, and what only
shows when somebody looks (queues, what waits for clients), it gathers when it is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from importlib.metadata import version
from typing import Protocol

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from websockets.http11 import Response

from realtime.metrics import Metrics
from realtime.ports import Queueing, Remote
from realtime.runner.perform import Engines
from realtime.runner.pulse import Pulse
from realtime.runner.tasks import Tasks
from realtime.server import http
from realtime.server.crowd import Crowd, Crowded

METRICS_PATH = "/metrics"
PATHS = (METRICS_PATH, "/readyz")

FRESH_SECONDS = 10.0
"""For so long what is known of an endpoint is not asked anew, however often somebody looks."""

PROBE_SECONDS = 3.0
"""For an endpoint to say anything at all."""

REFRESH_SECONDS = 2.0
"""That the numbers of a worker are old at the most when another is asked for them. Ten thousand idle sessions take 2 ms to settle."""

WAIT_SECONDS = 1.0
"""That a look waits for a probe that runs. After it, what was known before counts: whoever looks has no patience either."""


class Patient(Protocol):
    """A connection, as far as it is looked at."""

    @property
    def waiting_bytes(self) -> int: ...

    @property
    def backlog_seconds(self) -> float: ...

    def settle(self) -> None: ...


class Health:
    """Of one server: from `start` to `stop`, `draining` once it lets nobody in any more."""

    def __init__(
        self,
        metrics: Metrics,
        engines: Engines,
        connections: Iterable[Patient],
        crowd: Crowd,
        waiting: Callable[[], int] = lambda: 0,
    ) -> None:
        """`connections` and the `crowd` are looked at whenever somebody asks. `waiting`: sessions without a client."""
        self.draining = False
        self._metrics = metrics
        self._connections = connections
        self._crowd = crowd
        self._waiting = waiting
        self._workers = engines.workers
        roles = {"llm": engines.llm, "stt": engines.stt, "tts": engines.tts, "judge": engines.judge, "media": engines.media}
        self._queues = {role: engine for role, engine in roles.items() if isinstance(engine, Queueing)}
        self._remotes = {role: engine for role, engine in roles.items() if isinstance(engine, Remote)}
        self._reachable: dict[str, bool] = {}
        """By role; nothing as long as nobody knows."""
        self._probed: float | None = None
        """When the last probe began."""
        self._known = asyncio.Event()
        """Set unless a probe runs."""
        self._known.set()
        self._pulse = Pulse(metrics.process.lag.observe)
        self._refresh: asyncio.TimerHandle | None = None
        self._tasks = Tasks()
        metrics.process.build.labels(version("realtime-daemon")).set(1)

    @property
    def lag(self) -> float:
        """Of the loop, in seconds."""
        return self._pulse.lag

    def start(self) -> None:
        """On the running loop."""
        self._pulse.start()
        if self._metrics.shared:
            self._keep_fresh()

    async def stop(self) -> None:
        self._pulse.stop()
        if self._refresh is not None:
            self._refresh.cancel()
        await self._tasks.close()

    async def answer(self, path: str) -> Response:
        """The response to whoever asks how it is, at one of `PATHS`."""
        if path == METRICS_PATH:
            return http.answer(HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, self.metrics().encode())
        ready, checks = await self.checks()
        return http.json(HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE, {"ready": ready, "checks": checks})

    # Metrics

    def metrics(self) -> str:
        """Everything, as it is now; of other workers, as it was a moment ago."""
        self._gather()
        return self._metrics.text().decode()

    def _keep_fresh(self) -> None:
        """Another worker may be asked for what is ours."""
        self._gather()
        self._refresh = asyncio.get_running_loop().call_later(REFRESH_SECONDS, self._keep_fresh)

    def _gather(self) -> None:
        metrics, connections = self._metrics, list(self._connections)
        for connection in connections:
            connection.settle()
        metrics.sessions.outbox.set(sum(connection.waiting_bytes for connection in connections))
        metrics.turns.backlog.set(max((connection.backlog_seconds for connection in connections), default=0.0))
        metrics.store.waiting.set(self._waiting())
        metrics.process.tasks.set(len(asyncio.all_tasks()))  # a fifth of a microsecond each
        for role, engine in self._queues.items():
            metrics.engines.queue.labels(role).set(engine.waiting)
        if isinstance(self._workers, ThreadPoolExecutor):
            metrics.engines.queue.labels("workers").set(self._workers._work_queue.qsize())  # it has no other way to tell

    # Readiness

    async def checks(self) -> tuple[bool, dict[str, str]]:
        """Is it ready for new sessions, and what makes it so or not?"""
        self._probe()
        if not self._known.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._known.wait(), WAIT_SECONDS)
        words = {True: "reachable", False: "unreachable", None: "not known yet"}
        # Models are loaded before anybody listens, so whoever is answered finds them loaded.
        checks = {"models": "loaded", "clients": self._clients()}
        checks |= {f"{role}_endpoint": words[self._reachable.get(role)] for role in self._remotes}
        return checks["clients"] == "welcome" and all(self._reachable.get(role) for role in self._remotes), checks

    def _clients(self) -> str:
        """What becomes of somebody who comes now."""
        if self.draining:
            return "sent away"
        try:
            self._crowd.check(self.lag)
        except Crowded:
            return "too many"
        return "welcome"

    def _probe(self) -> None:
        """Ask the endpoints, in the background, unless that was done a moment ago."""
        now = asyncio.get_running_loop().time()
        if not self._remotes or not self._known.is_set() or (self._probed is not None and now - self._probed < FRESH_SECONDS):
            return
        self._probed = now
        self._known.clear()
        self._tasks.start("probe", self._ask())

    async def _ask(self) -> None:
        try:
            answers = await asyncio.gather(*(engine.reachable(PROBE_SECONDS) for engine in self._remotes.values()))
            self._reachable = dict(zip(self._remotes, answers, strict=True))
        finally:
            self._known.set()
