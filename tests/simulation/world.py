"""One seed: who comes, what fails, and when; and what must hold at the end."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any
from unittest.mock import patch

from msgspec import Struct, field

from realtime.session import journal
from realtime.store.memory import MemoryStore
from realtime.wire.settings import Settings
from tests.simulation.chance import Calendar, bent
from tests.simulation.daemon import STOP_SECONDS, Daemon
from tests.simulation.endpoint import Endpoint
from tests.simulation.engines import Misfortune
from tests.simulation.loop import SimulatedLoop, process
from tests.simulation.network import Pipe
from tests.simulation.people import Person
from tests.simulation.rules import Ears, judged
from tests.simulation.store import MOODS, Disk

MISHAPS = ("endpoint", "engines", "store", "network", "cut", "reset", "late", "calendar", "kill", "restart", "cancel")

LASTING = ("endpoint", "engines", "network")
"""Those that make the world another one, and may be there from the beginning."""

REST_SECONDS = 90.0
"""After which a daemon that nobody talks with has forgotten everybody: unanswered pings take 40, resumption up to 20."""

COLLECT_EVERY = 10
"""Seeds: a collection takes a tenth of a seed's time."""

WEATHER_SECONDS = 60.0
"""In which things fail; who is still here then shall get an answer."""

MAX_FAILURES = 5
"""That are told of one seed."""


class Outcome(Struct):
    """What came of a seed."""

    seed: int
    failures: list[str] = field(default_factory=list)
    trace: str = ""
    """A hash of every byte that was read, by whom and when."""
    seconds: float = 0.0
    """Of virtual time."""
    faults: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)


class World:
    """Of one seed."""

    pauses: tuple[float, ...] = (0.3, 1.0, 4.0)
    """Seconds from one mishap to the next, one of them for all of it."""

    def __init__(self, seed: int) -> None:
        self.dice = dice = Random(seed)
        self.outcome = Outcome(seed)
        self.faults, self.events = self.outcome.faults, self.outcome.events
        self.loop = SimulatedLoop(Random(dice.random()))
        self.calendar = Calendar(self.loop)
        self.luck = Misfortune(Random(dice.random()), self.faults)
        self.endpoint = Endpoint(self.loop, Random(dice.random()), self.faults)
        store = MemoryStore(keep_seconds=10**9, max_bytes=0, clock=self.loop.time)
        self.disk = Disk(store, Random(dice.random()), self.faults) if dice.random() < 0.85 else None
        self.mishaps = dice.sample(MISHAPS, dice.choice((0, 1, 2, 3, len(MISHAPS))))
        self.slowest = 0.0
        """Seconds of latency that there have been at the most."""
        self.daemons: dict[str, Daemon] = {}
        self.ended: list[Daemon] = []
        self.people = [Person(self, f"p{number}", Random(dice.random())) for number in range(dice.choice((1, 1, 2, 3)))]
        self._wishes = self._drawn(dice)
        self._calm = False
        self._until = self.loop.time() + WEATHER_SECONDS
        self._hash = hashlib.blake2b(digest_size=8)

    def _drawn(self, dice: Random) -> dict[str, Any]:
        return {
            "grace": dice.choice((0.0, 2.0, 10.0)),
            "judges": dice.random() < 0.5,
            "session_seconds": dice.choice((20.0, 3600.0, 3600.0)),
            "audio_bytes": dice.choice((20_000, 1 << 20)),
            "events": dice.choice((0, 0, 0, 120)),
            "responses": dice.choice((0, 0, 1)),
            "idle": dice.choice((0.0, 0.0, 15.0)),
            "resume": dice.choice((0.0, 5.0, 20.0)),
        }

    @property
    def raised(self) -> bool:
        """Has anything raised what nobody foresees?"""
        return any(name.endswith("raises") for name in self.faults)

    def failed(self, why: str) -> None:
        if len(self.outcome.failures) < MAX_FAILURES:
            self.outcome.failures.append(f"at {self.loop.time() - 1000:.3f} s: {why}")

    def address(self) -> str:
        return f"{self.dice.choice(sorted(self.daemons))}:80"

    def trace(self, pipe: Pipe, piece: bytes | None) -> None:
        self._hash.update(b"%r %d %b" % (self.loop.time(), -1 if piece is None else len(piece), piece or b""))

    # The seed

    def run(self) -> Outcome:
        loop, ears = self.loop, Ears(self.failed)
        logger, level = logging.getLogger("realtime"), logging.getLogger("realtime").level
        library = logging.getLogger("websockets")
        for heard in (logger, library):
            heard.addHandler(ears)
            heard.propagate = False
        logger.setLevel(logging.ERROR)
        loop.network.trace = self.trace
        try:
            with bent(Random(self.dice.random()), loop, self.calendar, judged(self.failed)):
                try:
                    loop.run_until_complete(self._play())
                except AssertionError as error:
                    self.failed(str(error))
        finally:
            logger.setLevel(level)
            for heard in (logger, library):
                heard.removeHandler(ears)
                heard.propagate = True
        self.outcome.seconds = loop.time() - 1000
        self.outcome.trace = self._hash.hexdigest()
        return self.outcome

    async def _play(self) -> None:
        await self.endpoint.start()
        hosts = ["10.0.0.2", "10.0.0.3"][: 1 if self.disk is None else self.dice.choice((1, 1, 2))]
        for host in hosts:
            self._start(host)
        await asyncio.sleep(0.01)
        lives = [asyncio.ensure_future(person.live()) for person in self.people]
        weather = asyncio.ensure_future(self._weather())
        await asyncio.gather(*lives)
        self._calm = True
        await weather
        await self._rest()
        await self._stop()
        self._judge()

    def _start(self, host: str) -> None:
        self.daemons[host] = Daemon(self.loop, Random(self.dice.random()), host, self.disk, self.luck, self._wishes)
        self.daemons[host].start()

    # What fails

    async def _weather(self) -> None:
        dice = self.dice
        for mishap in LASTING:
            if mishap in self.mishaps and dice.random() < 0.7:
                await getattr(self, f"_{mishap}")(dice)
        pause = dice.choice(self.pauses)
        while self.mishaps and not self._calm and self.loop.time() < self._until:
            await asyncio.sleep(dice.expovariate(1 / pause))
            mishap = dice.choice(self.mishaps)
            self.faults[mishap] += 1
            await getattr(self, f"_{mishap}")(dice)

    async def _endpoint(self, dice: Random) -> None:
        self.endpoint.fault_rate = dice.choice((0.0, 0.3, 1.0))
        self.endpoint.pace = dice.choice((0.005, 0.02, 0.3))

    async def _engines(self, dice: Random) -> None:
        self.luck.rate = dice.choice((0.0, 0.1, 0.5))

    async def _store(self, dice: Random) -> None:
        if self.disk is not None:
            self.disk.mood = dice.choice(MOODS)
            await asyncio.sleep(dice.choice((0.2, 1.0, 6.0)))
            self.disk.mood = "well"

    async def _network(self, dice: Random) -> None:
        self.loop.network.latency = dice.choice((0.0, 0.02, 0.5))
        self.slowest = max(self.slowest, self.loop.network.latency)
        self.loop.network.fragments = dice.random() < 0.5

    def _line(self, dice: Random) -> Any:
        lines = [line for person in self.people for line in person.lines if not line.lost]
        return dice.choice(lines) if lines else None

    async def _cut(self, dice: Random) -> None:
        if (line := self._line(dice)) is not None:
            line.injured = True
            line.pipe.cut()

    async def _reset(self, dice: Random) -> None:
        if (line := self._line(dice)) is not None:
            line.injured = True
            line.pipe.reset()

    async def _late(self, dice: Random) -> None:
        self.loop.late(dice.choice((0.2, 2.0, 70.0)))

    async def _calendar(self, dice: Random) -> None:
        self.calendar.set_back = dice.choice((-86_400.0, 0.0, 5.0, 86_400.0))

    def _injure(self) -> None:
        for person in self.people:
            for line in person.lines:
                line.injured = True

    async def _kill(self, dice: Random) -> None:
        host = dice.choice(sorted(self.daemons))
        self._injure()
        self.loop.kill(self.daemons[host].process)
        await asyncio.sleep(dice.choice((0.0, 0.5, 3.0)))
        self._start(host)

    async def _restart(self, dice: Random) -> None:
        """Whoever is here is told to come back."""
        host = dice.choice(sorted(self.daemons))
        if self.disk is not None and dice.random() < 0.3:  # somebody may be on the way in
            self.disk.mood = "slow"
            await asyncio.sleep(dice.uniform(0, 2))
        await self._stopped(self.daemons[host])
        self._start(host)
        if self.disk is not None:
            self.disk.mood = "well"

    async def _stopped(self, daemon: Daemon) -> None:
        daemon.stop()
        done, _ = await asyncio.wait([daemon.task], timeout=daemon.grace + STOP_SECONDS)
        if not done:
            stacks = [f"{task.get_name()}" for task in self.loop.running(daemon.process)]
            self.failed(f"{daemon.host} does not stop; it runs {stacks}")
            self.loop.kill(daemon.process)
            return
        if (how := daemon.ending()) is not None:
            self.failed(f"{daemon.host} ended with {how}")
        await asyncio.sleep(2)
        for leak in daemon.leaks():
            self.failed(leak)

    async def _cancel(self, dice: Random) -> None:
        """The second signal of an operator who has no patience."""
        host = dice.choice(sorted(self.daemons))
        daemon = self.daemons[host]
        daemon.stop()
        await asyncio.sleep(dice.choice((0.0, 0.01, 1.0)))
        self._injure()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await daemon.cut_short()
        except TimeoutError:
            self.failed(f"{host} does not end though it was cancelled; it runs {self.loop.running(daemon.process)}")
            self.loop.kill(daemon.process)
        self._start(host)

    # The end

    async def _rest(self) -> None:
        """Nothing fails any more, and nobody is here."""
        if self.disk is not None:
            self.disk.mood = "well"
        self.luck.rate = self.endpoint.fault_rate = 0.0
        self.loop.network.latency = 0.001
        await asyncio.sleep(REST_SECONDS)
        for daemon in self.daemons.values():
            for left in daemon.at_rest():
                self.failed(left)

    async def _stop(self) -> None:
        for daemon in self.daemons.values():
            await self._stopped(daemon)
        await asyncio.sleep(5)
        for pipe in self.loop.network.pipes:
            self.failed(f"a connection is open: {pipe._address} of {pipe.owner}")

    def _judge(self) -> None:
        for context in self.loop.failures:
            self.failed(f"the loop's handler: {context.get('message')}: {context.get('exception')!r:.300}")
        if self.endpoint.open:
            self.failed(f"{len(self.endpoint.open)} requests upstream are open")
        if self.disk is not None:
            for person in self.people:
                self._keep(person, self.disk.kept)

    def _keep(self, person: Person, store: Any) -> None:
        """Was kept what was promised?"""
        for session_id, promises in person.promises.items():
            kept = store._sessions.get(session_id)
            if kept is None:
                if promises.items or promises.version:
                    self.failed(f"{person.name}: {session_id} was acknowledged and is not stored")
                continue
            remembered = journal.read(kept.records)
            ids = {entry.id for entry in remembered.conversation}
            if lost := promises.items - person.asked_to_delete - ids:
                self.failed(f"{person.name}: {sorted(lost)} were acknowledged and are not stored")
            if undead := promises.deleted & ids:
                self.failed(f"{person.name}: {sorted(undead)} were deleted and are stored")
            settings = remembered.head.settings
            said = settings.instructions if isinstance(settings, Settings) else ""
            if promises.version and (not said.startswith("v") or int(said[1:]) < promises.version):
                self.failed(f"{person.name}: the settings v{promises.version} were acknowledged, and {said!r} is stored")


NOWHERE = asyncio.new_event_loop()
"""What code that is collected finds instead of a loop: one that takes nothing, or it would be kept there for ever."""
NOWHERE.close()


def play(seed: int, create: Callable[[int], World] = World) -> Outcome:
    """Run one seed."""
    assert process.get() is None
    gc.disable()  # for good: whatever is collected runs code, and when must not depend on the seeds before
    asyncio.set_event_loop(NOWHERE)
    with patch.object(sys, "unraisablehook", lambda _: None), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of coroutines that nobody awaits any more
        world = create(seed)
        outcome = world.run()
        logging.disable()
        # Nothing of it shall run in the next: what was killed tidies up when it is collected, and nobody listens.
        world.loop.close()
        world.loop.bury()
        del world
        if seed % COLLECT_EVERY == 0:
            gc.collect()
        logging.disable(logging.NOTSET)
    return outcome


gc.freeze()  # what is here now stays; to look through it takes as long as a seed
