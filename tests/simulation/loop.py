"""An event loop without a clock and without a kernel: when nothing is ready, it is as late as the next timer wants it to be.

Everything that asyncio promises of order is asyncio's own code here: only what waits (`select`), what computes (`run_in_executor`) and what
connects (`network`) is another's. Each callback and task belongs to the process, if any, in whose context it was made; a process that is
killed runs no line more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from itertools import count
from random import Random
from typing import Any

from tests.simulation.network import Network

MAX_STEPS = 400_000
"""Turns of the loop. A seed takes a few thousand; one that takes more does not come to an end."""

MAX_SECONDS = 6 * 3600.0
"""Of virtual time: likewise."""

RESOLUTION = 1e-6
"""Seconds: timers that lie closer together ring together."""


class Process:
    """A daemon, as far as the loop tells its callbacks from others'."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False

    def __repr__(self) -> str:
        return self.name


process: ContextVar[Process | None] = ContextVar("process", default=None)
"""Whose code runs."""


class Stuck(AssertionError):
    """Raised when a seed comes to no end: nothing is ever ready again, or always something is."""


class Task(asyncio.Task[Any]):
    """One whose place in a set is the same in every run."""

    _numbers = count()

    def __init__(self, coro: Coroutine[Any, Any, Any], *, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        self.number = next(Task._numbers)
        self.process = process.get()
        super().__init__(coro, loop=loop, **options)

    def __hash__(self) -> int:
        return self.number


class _Clockwork:
    """Stands where asyncio has a selector."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        self._loop.wait(timeout)
        return []


class SimulatedLoop(asyncio.BaseEventLoop):
    """One seed's. `dice` are drawn from for how long threads take."""

    def __init__(self, dice: Random) -> None:
        super().__init__()
        self._selector = _Clockwork(self)
        self._clock_resolution = RESOLUTION
        self._now = 1000.0
        self._dice = dice
        self.steps = 0
        self.longest = MAX_SECONDS
        self.failures: list[dict[str, Any]] = []
        """What reached the exception handler."""
        self.network = Network(self, dice)
        self.tasks: list[Task] = []
        Task._numbers = count()
        self.set_task_factory(self._task)  # type: ignore[arg-type]  # typeshed's is of a protocol that takes any future
        self.set_exception_handler(lambda _, context: self.failures.append(context))
        self._graves: list[Any] = []

    # Time

    def time(self) -> float:
        return self._now

    def wait(self, timeout: float | None) -> None:
        """What a selector does, without waiting."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise Stuck(f"{MAX_STEPS} turns of the loop, and no end")
        if timeout is None:
            raise Stuck("everybody waits for somebody else")
        self._now += timeout
        if self._now > self.longest:
            raise Stuck(f"{self.longest:g} seconds, and no end")

    def late(self, seconds: float) -> None:
        """The machine slept, or something held the loop."""
        self._now += seconds

    def _process_events(self, event_list: Any) -> None:
        """None come: the network is made of timers."""

    def _write_to_self(self) -> None:
        """Nobody else is there who could be asleep."""

    # Threads

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """The function runs in one go, at some moment; whoever waits for it learns of that at a later one."""
        future = self.create_future()
        dice = self._dice
        wait, work = (0.0, 0.001) if dice.random() < 0.9 else (dice.expovariate(20), dice.expovariate(20))
        self.call_later(wait, self._run_job, future, func, args, work)
        return future

    def _run_job(self, future: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...], work: float) -> None:
        if future.cancelled():
            return
        try:
            result = func(*args)
        except Exception as error:
            self.call_later(work, _settle, future, future.set_exception, error)
        else:
            self.call_later(work, _settle, future, future.set_result, result)

    # The network

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        return self.network.listen(protocol_factory, f"{host}:{port}", process.get())

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, *, sock: Any = None, **options: Any
    ) -> Any:
        address = sock.address if sock is not None else f"{host}:{port}"
        return await self.network.connect(protocol_factory, address, process.get())

    # Processes

    def _task(self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], context: Context | None = None) -> Task:
        task = Task(coro, loop=loop, context=context)
        if context is not None:
            task.process = context.get(process)
        if task.process is not None:
            self.tasks.append(task)
        return task

    def running(self, whose: Process) -> list[Task]:
        """Its tasks that have not ended."""
        self.tasks = [task for task in self.tasks if not task.done()]
        return [task for task in self.tasks if task.process is whose]

    def timers(self, whose: Process) -> list[asyncio.Handle]:
        """Its callbacks that will still run."""
        handles = [*self._ready, *self._scheduled]  # type: ignore[attr-defined]
        return [handle for handle in handles if not handle.cancelled() and handle._context.get(process) is whose]

    def kill(self, whose: Process) -> None:
        """It ends where it stands, and everybody who talks with it learns so."""
        whose.dead = True
        for task in self.running(whose):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            self._graves.append(task)  # or what is collected would tidy up
        for handle in self.timers(whose):
            self._graves.append((handle._callback, handle._args))  # type: ignore[attr-defined]
            handle.cancel()
        self.network.kill(whose)

    def bury(self) -> None:
        """Let go of what was killed."""
        self._graves.clear()
        self.tasks.clear()


def _settle(future: asyncio.Future[Any], settle: Callable[[Any], None], result: Any) -> None:
    if not future.done():
        settle(result)
