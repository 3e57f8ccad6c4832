"""Several daemons behind one port: the process that starts them, watches them, and ends with them.

It serves nobody and loads nothing. To each worker it is what a service manager is to a daemon; to the service manager above it, it is the
daemon. A worker that ends is started again; one that can't even start, again and again, ends all.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext, suppress
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from realtime import logs, metrics
from realtime.app import CLOSING_SECONDS, listening, run
from realtime.config import Config, worker_environment
from realtime.errors import ConfigError
from realtime.server.notify import Notifier
from realtime.server.reports import Reports
from realtime.server.sockets import address, inherited, url_host
from realtime.signals import on_hangup, stop_signal
from realtime.supervisor import Supervisor

log = logging.getLogger(__name__)

MISUSED = 2
"""Exit status of a daemon whose settings can't be: to start it again would not help."""

GIVEN_UP = 1
"""Exit status when workers die as soon as they are started."""

STEADY_SECONDS = 10.0
"""A worker that has served for so long was no false start, whatever it died of."""

MAX_FALSE_STARTS = 5
"""In a row: what goes wrong five times goes wrong a sixth time."""

PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Seconds before a worker is started again, by its false starts: it may have been an accident."""


class Worker:
    """One of them, through all its lives."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: Process | None = None
        """As long as it lives."""
        self.ready: float | None = None
        """Since when it serves, on the loop's clock."""
        self.beat: float | None = None
        """When it last gave a sign of life; None as long as it owes none."""
        self.false_starts = 0
        self.keys_changed = False
        """While it was not ready: it may have read them before."""

    @property
    def pid(self) -> int | None:
        return None if self.process is None else self.process.pid

    def signal(self, number: signal.Signals) -> None:
        """Also to one that has just ended, or has not been started yet: then nobody hears it."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)

    def hang_up(self) -> None:
        """Have it read its keys again. One that does not serve yet would die of it."""
        self.keys_changed = self.ready is None
        if not self.keys_changed:
            self.signal(signal.SIGHUP)

    def serves(self, now: float) -> None:
        self.ready = now
        if self.keys_changed:
            self.hang_up()

    def ended(self, now: float) -> None:
        steady = self.ready is not None and now - self.ready >= STEADY_SECONDS
        self.false_starts = 0 if steady else self.false_starts + 1
        self.process = self.ready = self.beat = None


class GivenUp(Exception):
    """Raised when workers can't be had. `status` is that of the whole."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class Parent:
    """Of `config.workers` daemons, from their start to their end."""

    def __init__(self, config: Config, supervisor: Supervisor, flags: Sequence[str]) -> None:
        """`flags` are those of the command line, for the workers. Raises `ConfigError`."""
        self._config, self._supervisor, self._flags = config, supervisor, list(flags)
        self._workers = [Worker(number) for number in range(1, config.workers + 1)]
        self._sockets = inherited(supervisor.sockets)
        self._reserved: list[socket.socket] = []
        """The address of our own, which the workers listen on."""
        self._grown = asyncio.Event()
        """Set when a worker is ready."""
        self._served = False
        """All were ready once."""

    def run(self) -> int:
        """Until SIGTERM or SIGINT; returns the exit status. Raises `ConfigError`."""
        logs.start(self._config.log_level, self._config.log_format)
        print(f"realtime {version('realtime-daemon')}: {len(self._workers)} workers", flush=True)
        statuses: list[int] = []
        with ExitStack() as ends:
            if not self._sockets:
                self._reserved = [ends.enter_context(held) for held in reserve(self._config.host, self._config.port)]
                self._flags += [f"--port={self._reserved[0].getsockname()[1]}"]
            folder = Path(ends.enter_context(TemporaryDirectory(prefix="realtime-metrics-")))
            run(self._serve(folder, statuses))
        return max(statuses, default=0)

    # The whole

    async def _serve(self, folder: Path, statuses: list[int]) -> None:
        patience = self._supervisor.watchdog_seconds and self._supervisor.watchdog_seconds / 2
        # Elsewhere a hangup is what it always was: the terminal is gone, and so are we, and so are they.
        hangup = on_hangup(self._hang_up) if self._config.api_keys_file else nullcontext()
        with (
            stop_signal(lambda: self._signal(signal.SIGTERM)) as stop,
            hangup,
            Reports(self._told) as reports,
            # Twice as often as it must be: a worker that is stuck is ended and started before the manager loses its patience with us.
            Notifier(self._supervisor.notify_socket, patience, lambda: self._all_alive(patience or 0.0)) as manager,
        ):
            told = Supervisor(notify_socket=reports.address, watchdog_seconds=patience, sockets=len(self._sockets), metrics=folder)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._stop_all(stop, manager))
                    for worker in self._workers:
                        statuses.append(0)
                        group.create_task(self._keep(worker, told, stop, statuses))
                        # The first alone: what must be fetched is fetched once, and what is wrong is said once.
                        await self._until_ready(worker, stop)
                    if not stop.is_set():
                        self._served = True
                        where = self._addresses()
                        for one in where:
                            print(listening(one, given=bool(self._sockets)), flush=True)
                        manager.ready(f"listening on {', '.join(where)}; {len(self._workers)} workers")
            except* GivenUp as given_up:
                statuses.extend(error.status for error in given_up.exceptions if isinstance(error, GivenUp))
                await self._end(self._config.grace_seconds + CLOSING_SECONDS)

    async def _until_ready(self, worker: Worker, stop: asyncio.Event) -> None:
        while worker.ready is None and not stop.is_set():
            self._grown.clear()
            await self._grown.wait()

    async def _stop_all(self, stop: asyncio.Event, manager: Notifier) -> None:
        """Let them all end, for as long as a manager would."""
        await stop.wait()
        self._grown.set()
        print("stopping: running answers may end", flush=True)
        seconds = self._config.grace_seconds + CLOSING_SECONDS
        manager.stopping("running answers may end", seconds)
        await self._end(seconds)

    async def _end(self, seconds: float) -> None:
        """Tell them all, wait for so long, and then no longer."""
        self._signal(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(worker.process.wait() for worker in self._workers if worker.process is not None))
        self._signal(signal.SIGKILL)

    def _hang_up(self) -> None:
        for worker in self._workers:
            worker.hang_up()

    def _signal(self, number: signal.Signals) -> None:
        for worker in self._workers:
            worker.signal(number)

    # One worker

    async def _keep(self, worker: Worker, told: Supervisor, stop: asyncio.Event, statuses: list[int]) -> None:
        """Start it, as often as it takes, until all are to stop."""
        clock = asyncio.get_running_loop().time
        while not stop.is_set():
            process = worker.process = await self._start(worker, told)
            if stop.is_set():  # meanwhile, when it could not be told
                worker.signal(signal.SIGTERM)
            status = await process.wait()
            worker.ended(clock())
            assert told.metrics is not None
            metrics.forget(told.metrics, process.pid)
            if stop.is_set():
                statuses[worker.number - 1] = 0 if status in (0, -signal.SIGTERM) else GIVEN_UP  # one that only loaded dies of the signal
                return
            self._judge(worker, status)
            log.warning("Worker %d ended with status %d, and is started again", worker.number, status)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), PAUSES[min(worker.false_starts, len(PAUSES) - 1)])

    def _judge(self, worker: Worker, status: int) -> None:
        """Raises `GivenUp` where another try is of no use."""
        if not self._served or status == MISUSED:
            raise GivenUp(status if status > 0 else GIVEN_UP)  # it has said why
        if worker.false_starts >= MAX_FALSE_STARTS:
            log.error("Worker %d ended %d times as soon as it was started, last with status %d", worker.number, MAX_FALSE_STARTS, status)
            raise GivenUp(GIVEN_UP)

    async def _start(self, worker: Worker, told: Supervisor) -> Process:
        """A fresh process: models don't outlive a fork. Its standard input is a pipe of ours, so that our end is its end."""
        safe = ["-P"] if sys.flags.safe_path else []
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *safe,
            "-m",
            "realtime",
            "serve",
            *self._flags,
            stdin=PIPE,
            stdout=None if worker.number == 1 else asyncio.subprocess.DEVNULL,  # they would all say the same
            env=worker_environment(replace(told, worker=worker.number)),
            start_new_session=True,  # Ctrl-C is for us alone: they would take what we send them then for a second one
            pass_fds=[given.fileno() for given in self._sockets],
        )

    # What they tell

    def _told(self, pid: int, said: dict[str, str]) -> None:
        worker = next((worker for worker in self._workers if worker.pid == pid), None)
        if worker is None:
            return
        now = asyncio.get_running_loop().time()
        if "READY" in said:
            worker.serves(now)
            self._grown.set()
        if "WATCHDOG" in said:
            worker.beat = now
        if "STOPPING" in said:
            worker.beat = None

    def _all_alive(self, patience: float) -> bool:
        """Does every worker that owes signs of life give them? One that does not is ended, and says where it hung."""
        now = asyncio.get_running_loop().time()
        stuck = [worker for worker in self._workers if worker.beat is not None and now - worker.beat > patience]
        for worker in stuck:
            log.error("Worker %d has given no sign of life for %.0f s, and is ended", worker.number, patience)
            worker.signal(signal.SIGABRT)
        return not stuck

    def _addresses(self) -> list[str]:
        scheme = "wss" if self._config.tls_cert else "ws"
        if self._sockets:
            return [address(given, scheme) for given in self._sockets]
        return [f"{scheme}://{url_host(self._config.host)}:{self._reserved[0].getsockname()[1]}"]


def reserve(host: str, port: int) -> list[socket.socket]:
    """Sockets that hold the addresses of the host, without listening, so that workers can share them and nobody else takes them.

    Raises `ConfigError`, also where somebody else shares the port already: the kernel would deal half of our clients out to them.
    """
    held: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, where in dict.fromkeys(found):
            at = (where[0], port, *where[2:])
            _bound(family, at, shared=False).close()
            held.append(_bound(family, at, shared=True))
            port = held[0].getsockname()[1]  # one port for all of them, where 0 was asked for
    except OSError as error:
        for socket_ in held:
            socket_.close()
        raise ConfigError(f"SERVER_HOST={host}, SERVER_PORT={port}: can't listen there: {error.strerror or error}") from error
    return held


def _bound(family: int, where: tuple[int | str | bytes, ...], *, shared: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(where)
    except OSError:
        made.close()
        raise
    return made
