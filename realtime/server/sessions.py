"""The sessions of one server: new ones, those that go on, and those that wait for their client."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from weakref import WeakValueDictionary

from msgspec.structs import replace
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request

from realtime.errors import ClientError, StoreError
from realtime.runner.allowance import Allowance
from realtime.runner.committer import NEW, Committer
from realtime.runner.loop import Runner
from realtime.runner.meter import Meter
from realtime.runner.outbox import Outbox
from realtime.runner.recorder import Aliases, Beginning, NotedIds, Recorder
from realtime.runner.tasks import Tasks
from realtime.server import http, openings
from realtime.server.access import Admission
from realtime.server.client_secrets import Claims
from realtime.server.connection import GOODBYE_SECONDS
from realtime.server.live import Live
from realtime.server.service import Service
from realtime.session import inputs, journal
from realtime.session.ids import Ids
from realtime.session.intake import Intake
from realtime.session.journal import Journal
from realtime.session.machine import Session
from realtime.wire.client import SessionUpdate
from realtime.wire.codec import Codec
from realtime.wire.settings import AnySettings, Settings, sample_rate

log = logging.getLogger(__name__)

NOT_FOUND = "session_not_found"
"""Code of the error for a session that is not there, any more or for this client."""

MAX_WAITING = 1000
"""Sessions that wait for their clients at once: idle ones are 40 MB. Whoever makes connections in order to break them gets no further."""

WATCH_SECONDS = 2.0
"""Between looks whether another process has one of our sessions now: what a client that was replaced waits for to be told so."""

AGE_EVERY = 8
"""Looks, after which frames that were written are forgotten: a client reads within seconds what lies on the way to it."""

TOUCH_EVERY = 30
"""Looks, after which the store is told which sessions are in use."""


class Sessions:
    """`start` and `close` once; `enter` and `leave` for every connection."""

    def __init__(self, service: Service, codecs: Mapping[http.Dialect, Codec]) -> None:
        self._service = service
        self._codecs = codecs
        self._lives: dict[str, Live] = {}
        self._entering: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Held while somebody resumes the session of that id: one after the other."""
        self._waiting: set[str] = set()
        """Ids of those whose client may come back."""
        self._tasks = Tasks()

    def __iter__(self) -> Iterator[Live]:
        return iter(list(self._lives.values()))

    def start(self) -> None:
        if self._service.store is not None:
            self._tasks.start("watch", self._watch())

    async def close(self) -> None:
        """End those that wait for a client, and all others that are left."""
        await self._tasks.close()
        await asyncio.gather(*(live.end("server_stopping", None) for live in self))
        self._lives.clear()
        self._waiting.clear()

    @property
    def waiting(self) -> int:
        """Those whose client may come back."""
        return len(self._waiting)

    # Coming

    async def enter(self, socket: ServerConnection, request: Request, admission: Admission, allowance: Allowance) -> Live:
        """The session that the request is about. Raises `ClientError` where it can't be had, and `StoreError`."""
        wanted = http.session_id(request)
        if wanted is None:
            return self._begin(socket, request, admission, allowance)
        if self._service.store is None:
            raise _not_found(wanted)
        async with self._entering.setdefault(wanted, asyncio.Lock()):
            return await self._resume(wanted, socket, request, admission, allowance)

    def _begin(self, socket: ServerConnection, request: Request, admission: Admission, allowance: Allowance) -> Live:
        ids = self._ids()
        settings = self._settings(request, ids, admission.claims)
        session = Session(settings, ids, self._service.abilities)
        head = journal.Head(journal.VERSION, settings, session.conversation.id, _now(), _owner(admission))
        live = self._live(socket, request, session, ids, allowance, head)
        live.begin(inputs.Opened())
        return live

    async def _resume(self, wanted: str, socket: ServerConnection, request: Request, admission: Admission, allowance: Allowance) -> Live:
        dialect, live = http.dialect(request), self._lives.get(wanted)
        if live is not None and live.owner == _owner(admission):
            if live.goes_on and live.dialect == dialect:
                self._waiting.discard(wanted)
                live.allowance.renew(allowance)
                if await live.take_back(socket, _cut_off(socket), self._expires_at(), http.last_event_id(request)):
                    self._service.metrics.store.resumed.labels("memory").inc()
                    return live
            live.step_aside()
            await self._end(live, "resumed", None)
        return await self._read(wanted, socket, request, admission, allowance)

    async def _read(self, wanted: str, socket: ServerConnection, request: Request, admission: Admission, allowance: Allowance) -> Live:
        store = self._service.store
        assert store is not None
        record = await store.head(wanted)
        # Whose it is must not show in the answer.
        if record is None or journal.read_head(record).owner != _owner(admission):
            raise _not_found(wanted)
        stored = await store.claim(wanted)
        if stored is None:
            raise _not_found(wanted)
        remembered = journal.read(stored.records)
        settings = self._fitting(remembered.head.settings)
        ids = self._ids()
        session = Session(settings, ids, self._service.abilities, remembered.conversation)
        live = self._live(socket, request, session, ids, allowance, remembered.head, epoch=stored.epoch)
        assert live.committer is not None
        live.committer.journal.adopt(remembered)
        live.begin(inputs.Resumed(self._expires_at(), whole=True))
        self._service.metrics.store.resumed.labels("store").inc()
        return live

    def _fitting(self, settings: AnySettings) -> AnySettings:
        """What was spoken elsewhere is written here, where there is no voice."""
        if isinstance(settings, Settings) and not self._service.abilities.speech:
            return replace(settings, output_modalities=("text",))
        return settings

    def _live(
        self,
        socket: ServerConnection,
        request: Request,
        session: Session,
        ids: Ids,
        allowance: Allowance,
        head: journal.Head,
        epoch: int = NEW,
    ) -> Live:
        service, dialect = self._service, http.dialect(request)
        codec = self._codecs[dialect]
        outbox, clock = Outbox(socket, service.latency, _cut_off(socket), keeps=service.store is not None), asyncio.get_running_loop().time
        meter = Meter(service.metrics, dialect, clock=clock, when_written=outbox.when_written, words=service.log_content)
        session_id = session.settings.id
        live = Live(session_id, head.owner, dialect, codec, outbox, meter)
        if service.store is not None:
            kept = Journal(session, head, secrets=service.stores_secrets)
            live.committer = Committer(
                kept, service.store, session_id, outbox, live.lost, service.metrics, epoch=epoch, pauses=service.store_pauses
            )
        if service.tracing is not None:
            headers = {name.lower(): value for name, value in request.headers.raw_items()}
            live.tracer = service.tracing.session(session_id, headers, service.engines, clock)
        recorder = self._recorder(session, ids, head, codec, resumed=epoch != NEW)
        intake, trace = Intake(ids, service.abilities), None if live.tracer is None else live.tracer.see
        live.allowance = allowance
        live.runner = Runner(session, intake, service.engines, codec, outbox, meter, allowance, live.committer, trace, recorder)
        self._lives[session_id] = live
        return live

    # What a session begins with

    def _ids(self) -> Ids:
        ids = self._service.new_ids()
        return ids if self._service.recordings is None else NotedIds(ids)

    def _recorder(self, session: Session, ids: Ids, head: journal.Head, codec: Codec, *, resumed: bool) -> Recorder | None:
        if self._service.recordings is None or not isinstance(ids, NotedIds):
            return None
        aliases = Aliases()
        shown = replace(head, settings=aliases.settings(session.settings))
        beginning = Beginning(
            abilities=self._service.abilities,
            records=journal.records(shown, session.conversation),
            resumed=resumed,
            pcm_rate=sample_rate(codec.audio.input.format),
        )
        return Recorder(self._service.recordings, session.settings.id, ids, beginning, aliases)

    def _expires_at(self) -> int:
        return int(_now() + self._service.abilities.session_seconds)

    def _settings(self, request: Request, ids: Ids, claims: Claims | None) -> AnySettings:
        """Raises `ClientError` where a client secret was minted for a session that can't be had here."""
        service, update = self._service, self._update(claims)
        kind: openings.Kind = "transcription" if http.transcribes_only(request) else "realtime"
        if update is not None:
            kind = openings.kind_of(update)
        model = http.model(request) or service.engines.llm.name
        codec = self._codecs[http.dialect(request)]
        settings = openings.begin(kind, codec, service.abilities, id=ids.new("sess"), model=model, expires_at=self._expires_at())
        return settings if update is None else openings.bound(settings, update, service.abilities)

    def _update(self, claims: Claims | None) -> SessionUpdate | None:
        """What a client secret binds its session to."""
        if claims is None or claims.update is None:
            return None
        update = self._codecs[claims.dialect].decode(claims.update)
        assert isinstance(update, SessionUpdate)  # nothing else is minted
        return update

    # Going

    async def leave(self, live: Live, *, broken: bool, reason: str, close_code: int | None) -> None:
        """Its client is gone. One whose connection broke may come back in a moment, and then misses nothing; later, or where nothing was
        said yet or too many wait, its session is read from the store."""
        resumable = self._service.store is not None and self._service.resume_seconds and live.runner.begun
        if broken and live.goes_on and resumable and len(self._waiting) < MAX_WAITING:
            log.info("The connection broke; the session waits for its client for %g s", self._service.resume_seconds)
            self._waiting.add(live.session_id)
            live.wait(self._service.resume_seconds, lambda: self._tasks.start(live.session_id, self._end(live, reason, close_code)))
        else:
            await self._end(live, reason, close_code)

    async def _end(self, live: Live, reason: str, close_code: int | None) -> None:
        self._waiting.discard(live.session_id)
        await live.end(reason, close_code)
        if self._lives.get(live.session_id) is live:
            del self._lives[live.session_id]

    # Meanwhile

    async def _watch(self) -> None:
        looks = 0
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            looks += 1
            with contextlib.suppress(StoreError):  # commits fail, too, and say so
                await self.look(age=looks % AGE_EVERY == 0, touch=looks % TOUCH_EVERY == 0)

    async def look(self, *, age: bool = False, touch: bool = False) -> None:
        """Find out which sessions others have now. `age`: forget what was written a while ago; `touch`: tell the store what is in use."""
        store = self._service.store
        assert store is not None
        if age:
            for live in self:
                live.outbox.age()
        if touch:
            await store.touch(list(self._lives))
        epochs = {id: live.committer.epoch for id, live in self._lives.items() if live.committer is not None and live.committer.epoch}
        for session_id in await store.superseded(epochs) if epochs else ():
            found = self._lives.get(session_id)
            if found is not None and found.committer is not None and found.committer.epoch == epochs[session_id]:
                found.committer.stop()


def _not_found(session_id: str) -> ClientError:
    return ClientError(NOT_FOUND, f"Session with id '{session_id[:64]}' not found.", param="session_id")


def _owner(admission: Admission) -> str | None:
    return None if admission.key is None else admission.key.name


def _cut_off(socket: ServerConnection) -> Callable[[], object]:
    """Ends the connection of a client that does not even read the goodbye."""
    return partial(asyncio.get_running_loop().call_later, GOODBYE_SECONDS, socket.transport.abort)


def _now() -> float:
    return time.time()  # noqa: TID251 - dates for clients, no measure
