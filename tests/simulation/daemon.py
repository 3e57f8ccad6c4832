"""One daemon: the real listener and all behind it, as `app` would make it, in a process that can be stopped, cancelled and killed."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from random import Random
from typing import Any

from realtime.app import _close
from realtime.engines.chat import ChatLlm, Timeouts
from realtime.metrics import Metrics
from realtime.runner.detection import Detection
from realtime.runner.perform import Engines
from realtime.server.access import Access
from realtime.server.client_secrets import ClientSecrets
from realtime.server.crowd import Bounds
from realtime.server.ids import RandomIds
from realtime.server.listener import Listener
from realtime.server.origins import Origins
from realtime.server.quotas import Quota
from realtime.server.service import Service
from realtime.session.abilities import Abilities
from tests.simulation import endpoint
from tests.simulation.engines import Detector, Ear, Judge, Misfortune, Reader, Tools, Voice
from tests.simulation.loop import Process, SimulatedLoop, process
from tests.simulation.store import Disk, Shelf

TIMEOUTS = Timeouts(connect=5.0, first_token=30.0, between_tokens=15.0)

STOP_SECONDS = 60.0
"""Beyond its grace, in which a daemon that was asked to has ended: goodbyes take some 15."""


class Daemon:
    """`start` it; it has ended when `over` is done."""

    def __init__(self, loop: SimulatedLoop, dice: Random, host: str, disk: Disk | None, luck: Misfortune, wishes: dict[str, Any]) -> None:
        """`wishes`: settings that differ from seed to seed."""
        self.process = Process(host)
        self.host = host
        self._loop, self._dice = loop, dice
        self.grace: float = wishes["grace"]
        self.shelf = None if disk is None else Shelf(disk)
        self.luck = luck
        self._wishes = wishes
        self._stop = asyncio.Event()
        self.listener: Listener
        self.metrics = Metrics()
        self.task: asyncio.Task[None]

    def start(self) -> None:
        context = copy_context()
        context.run(process.set, self.process)
        self.task = self._loop.create_task(self._main(), context=context)

    def stop(self) -> None:
        self._stop.set()

    @property
    def up(self) -> bool:
        return f"{self.host}:80" in self._loop.network.servers

    def _service(self) -> Service:
        luck, wishes = self.luck, self._wishes
        llm = ChatLlm(f"http://{endpoint.ADDRESS}/v1", "secret", "model", timeouts=TIMEOUTS, dice=self._dice.random)
        workers: ThreadPoolExecutor = None  # type: ignore[assignment]  # the loop runs what threads would
        self.engines = Engines(
            llm=llm,
            stt=Ear(luck),
            tts=Voice(luck),
            detection=Detection(Detector(luck), workers, 2),
            tool_servers=Tools(luck),
            media=Reader(luck),
            workers=workers,
            judge=Judge(luck) if wishes["judges"] else None,
        )
        return Service(
            engines=self.engines,
            abilities=Abilities(session_seconds=wishes["session_seconds"], judges=wishes["judges"], audio_bytes=wishes["audio_bytes"]),
            sample_rate=16_000,
            new_ids=RandomIds,
            access=Access(None, ClientSecrets(None), Origins(loopback=True, keys=False)),
            metrics=self.metrics,
            bounds=Bounds(
                sessions=20, session=Quota(events=wishes["events"], audio=0, requests=0, tokens=0, responses=wishes["responses"])
            ),
            idle_seconds=wishes["idle"],
            store=self.shelf,
            resume_seconds=wishes["resume"],
        )

    async def _main(self) -> None:
        service = self._service()
        try:
            async with Listener(service, host=self.host, port=80, grace_seconds=self.grace) as listener:
                self.listener = listener
                await self._stop.wait()
        finally:
            await _close(self.engines)

    async def cut_short(self) -> None:
        """What asyncio.run does upon a second signal: the daemon is cancelled, then whatever it left."""
        self.task.cancel()
        await asyncio.wait([self.task])
        left = self._loop.running(self.process)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        for pipe in self._loop.network.of(self.process):  # the process ends, and the kernel closes what is left
            pipe.abort()
        self._loop.kill(self.process)

    def ending(self) -> str | None:
        """How it ended; None for well."""
        if self.task.cancelled():
            return "cancelled"
        error = self.task.exception()
        return None if error is None else repr(error)

    # What must hold

    def at_rest(self) -> list[str]:
        """What is left though nobody is here any more."""
        if self.task.done():
            return [f"{self.host} has ended by itself: {self.ending()}"]
        listener, found = self.listener, []
        left = {
            "places": len(listener._crowd),
            "connections": len(listener._connections),
            "sessions": len(listener._sessions._lives),
            "waiting": listener._sessions.waiting,
            "voices": self.luck.working[self.process],
        }
        found += [f"{self.host} at rest: {count} {name} left" for name, count in left.items() if count]
        listener._health._gather()
        for gauge in (self.metrics.sessions.open, self.metrics.responses.running, self.metrics.sessions.outbox, self.metrics.store.waiting):
            for metric in gauge.collect():
                found += [f"{self.host} at rest: {sample.name} is {sample.value}" for sample in metric.samples if sample.value]
        return found

    def leaks(self) -> list[str]:
        """What is left though it has ended."""
        tasks = [f"task {task.get_coro().__qualname__}" for task in self._loop.running(self.process) if task is not self.task]  # type: ignore[union-attr]
        pipes = [f"connection {pipe._address}" for pipe in self._loop.network.of(self.process)]
        asked = ["a question to the store"] if self.shelf is not None and self.shelf.asked else []
        return [f"{self.host} ended and left {what}" for what in (*tasks, *pipes, *asked, *(["a port"] if self.up else []))]
