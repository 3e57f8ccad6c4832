"""The listening socket: accepts clients, gives each a session, and lets them go when the server stops."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from ssl import SSLContext
from types import TracebackType
from typing import Any, Self, cast

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State

from realtime import logs
from realtime.errors import ClientError, ConfigError, StoreError
from realtime.server import health, http, minting
from realtime.server.access import UNAUTHORIZED, Admission
from realtime.server.bodies import Incoming
from realtime.server.connection import GOODBYE_SECONDS, Connection
from realtime.server.crowd import Crowd, Crowded, Place
from realtime.server.fragments import Cutter
from realtime.server.gathering import Gathering
from realtime.server.live import TRY_AGAIN_LATER
from realtime.server.pages import Pages
from realtime.server.portions import Portions
from realtime.server.service import Service
from realtime.server.sessions import NOT_FOUND, Sessions
from realtime.server.sockets import address, url_host
from realtime.session.effects import SERVICE_RESTART, STOPPING
from realtime.wire.beta import BetaCodec
from realtime.wire.classic import ClassicCodec
from realtime.wire.codec import Codec, GaCodec
from realtime.wire.server import Error, ErrorDetail

log = logging.getLogger(__name__)

FRAME_BYTES = 32 * 1024 * 1024
"""Bytes of one frame, beside the base64 of the largest file. 15 MiB of audio are 20 MiB of base64: a frame that holds somewhat more is
answered, one over the limit ends the socket."""

PING_SECONDS = 20
"""Between pings, as upstream does (PROTOCOL 1.4)."""

MAX_UNREAD = 16 * 1024 * 1024
"""Bytes that the library may have written and the client has not read: twice the longest frame. Pongs are written without asking whether
anybody reads them, so somebody who only sends pings would take all memory."""

STALLED_SECONDS = 2.0 * PING_SECONDS
"""After which a client that takes nothing of what waits for it is gone: as long as an unanswered ping takes. The library writes its pings
behind what waits, and waits for that as long as it takes; so does whoever says goodbye."""

MAX_EARLY = 64 * 1024
"""Bytes of frames that are held before the handshake is answered; then nothing more is read until it is."""

BACKLOG = socket.SOMAXCONN
"""Connections that may wait to be accepted, within what the kernel allows: after a restart everybody comes back at once."""

REFUSED = 1008
"""Close code of a socket whose session can't be had (RFC 6455, 7.4.1: policy violation)."""

UNREADABLE = "Stored sessions can't be read now. Try again later, or begin a new one."

ENTERING = 3
"""Turns of asyncio's loop from the acceptance of a connection to the task that serves it; a server that is closed in between drops it."""


class Socket(ServerConnection):
    """The library's, which is given no large frames, and of requests nothing that it does not know. It holds the place of its client."""

    place: Place | None = None
    """Of its client, once it may come in."""
    admission: Admission | ClientError | None = None
    """Who its client is, or why that is nobody; None until it has been asked."""

    def __init__(self, *arguments: Any, largest: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.incoming = Incoming()
        self._portions = Portions(Cutter(largest))
        self._gathering: Gathering
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._gathering = Gathering(cast(asyncio.Transport, transport), self.loop)  # uvloop's is none by its class
        super().connection_made(self._gathering)  # type: ignore[arg-type]  # it is used as one
        self.recv_messages.resume = self._resume_reading

    def data_received(self, data: bytes) -> None:
        if self.protocol.state is State.CONNECTING:
            self._begin(data)
            return
        reading_on = bool(self._portions)
        self._portions.put(data)
        if reading_on:  # it would be no turn of anybody else's
            return
        self._read()
        if self._portions:
            self.loop.call_soon(self._read_on)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_watching()

    def _watch(self) -> None:
        self._stalled = self.loop.call_later(STALLED_SECONDS, self._look, self._gathering.gone)

    def _stop_watching(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _look(self, gone: int) -> None:
        """Has the client taken anything meanwhile?"""
        if self._gathering.gone > gone:
            self._watch()
        else:
            log.info("%s was dropped: it has read nothing for %g s", _whose(self), STALLED_SECONDS)
            self.transport.abort()

    def _begin(self, data: bytes) -> None:
        super().data_received(self.incoming.feed(data))
        if self.request is None:  # the head was none, and nothing will follow it
            self.incoming.behind = b""
        elif len(self.incoming.behind) > MAX_EARLY:
            self.transport.pause_reading()

    def _read(self) -> None:
        super().data_received(self._portions.take())
        if self.transport.get_write_buffer_size() > MAX_UNREAD:
            log.info("%s was dropped: it has not read %d bytes of answers", _whose(self), MAX_UNREAD)
            self.transport.abort()

    def _read_on(self) -> None:
        """The next portion, now that everybody else has had a turn."""
        if self.protocol.state is State.CLOSED:
            return
        self._read()
        if self._portions:
            self.transport.pause_reading()  # not for the two or three frames of a busy moment: it takes two calls of the kernel
            self.loop.call_soon(self._read_on)
        elif not self.recv_messages.paused:
            self.transport.resume_reading()

    def _resume_reading(self) -> None:
        """The library has room for more frames; they may be here already."""
        if not self._portions:
            self.transport.resume_reading()

    async def handshake(self, *arguments: Any, **options: Any) -> None:
        await super().handshake(*arguments, **options)
        if behind := self.incoming.behind:
            self.transport.resume_reading()
            if self.protocol.state is State.OPEN:
                self.data_received(behind)

    def sit(self, place: Place) -> None:
        """Keep the place until the connection is lost, which it may be already: a handshake goes on without its client."""
        self.place = place
        if self.protocol.state is State.CLOSED:
            place.leave()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_watching()
        if self.place is not None:
            self.place.leave()


class Listener:
    """`async with Listener(...)`: listening inside, everybody let go after."""

    def __init__(
        self,
        service: Service,
        *,
        host: str,
        port: int,
        grace_seconds: float,
        tls: SSLContext | None = None,
        sockets: Sequence[socket.socket] = (),
        shared: bool = False,
    ) -> None:
        """`sockets` listen already, and are used instead of `host` and `port`; they are the listener's from now on. `shared`: others listen
        on that port, too, and the kernel deals out who comes (SO_REUSEPORT)."""
        self._reuse_port = True if shared else None
        self._service = service
        self._host, self._port = host, port
        self._sockets = sockets
        self._grace_seconds = grace_seconds
        self._tls = tls
        self._codecs: dict[http.Dialect, Codec] = {
            "ga": GaCodec(),
            "beta": BetaCodec(),
            "classic": ClassicCodec(service.sample_rate),
        }
        self._mint = minting.Mint(
            access=service.access,
            ga=self._codecs["ga"],
            beta=self._codecs["beta"],
            abilities=service.abilities,
            model=service.engines.llm.name,
            new_ids=service.new_ids,
        )
        self._crowd = Crowd(service.bounds, lambda limit: service.metrics.sessions.events_refused.labels(limit).inc())
        self._pages = Pages()
        self._sessions = Sessions(service, self._codecs)
        self._connections: set[Connection] = set()
        self._servers: list[Server] = []
        self._health = health.Health(service.metrics, service.engines, self._connections, self._crowd, lambda: self._sessions.waiting)

    @property
    def port(self) -> int:
        """The port in fact, where 0 was asked for."""
        port: int = next(iter(self._servers[0].sockets)).getsockname()[1]
        return port

    @property
    def addresses(self) -> list[str]:
        """Where clients find it: `ws://host:port` or `unix:path`. A host that was named is one address, whatever it resolves to."""
        scheme = "wss" if self._tls else "ws"
        if self._sockets:
            return [address(given, scheme) for given in self._sockets]
        return [f"{scheme}://{url_host(self._host)}:{self.port}"]

    async def __aenter__(self) -> Self:
        if self._sockets:
            self._servers = [await self._listen(sock=given) for given in self._sockets]
        else:
            try:
                self._servers = [await self._listen(host=self._host, port=self._port, reuse_port=self._reuse_port)]
            except OSError as error:
                where = f"SERVER_HOST={self._host}, SERVER_PORT={self._port}"
                raise ConfigError(f"{where}: can't listen there: {error.strerror or error}") from error
        self._health.start()
        self._sessions.start()
        return self

    async def _listen(self, **where: Any) -> Server:
        largest = FRAME_BYTES + self._service.abilities.media_bytes * 4 // 3
        return await serve(
            self._serve,
            ssl=self._tls,
            process_request=self._answer,
            select_subprotocol=http.subprotocol,
            compression=None,  # audio in base64 hardly shrinks, and every session would hold a window of 64 KB
            max_size=largest,
            create_connection=partial(Socket, largest=largest),  # type: ignore[arg-type]  # it is called, and no more
            ping_interval=PING_SECONDS,
            ping_timeout=PING_SECONDS,
            close_timeout=GOODBYE_SECONDS,
            server_header="realtime",
            backlog=BACKLOG,
            **where,
        )

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Let in nobody more, let running responses end for the grace period, then close with 1012."""
        self._health.draining = True  # whoever looks, or knocks, is told so until the last has gone
        if self._sockets:  # or who knocks waits for those who listen there after us
            await self._shut_the_door()
        goodbyes = (connection.finish(self._grace_seconds) for connection in self._connections)
        try:
            await asyncio.gather(*goodbyes, return_exceptions=True)
        except asyncio.CancelledError:
            for connection in self._connections:  # or the library would wait for those that do not read
                connection.cut_off()
            raise
        finally:
            for server in self._servers:
                server.close(close_connections=False)
            await self._health.stop()
        for server in self._servers:
            await server.wait_closed()
        await self._sessions.close()

    async def _shut_the_door(self) -> None:
        """Leave whoever has not been accepted to those who listen on the given sockets after us, and let everybody else in."""
        for given in self._sockets:
            asyncio.get_running_loop().remove_reader(given)  # uvloop ignores it, and lost nobody without
        for _ in range(ENTERING):
            await asyncio.sleep(0)
        for server in self._servers:
            server.close(close_connections=False)
            # The library would answer 503 to those whose handshake is under way: they were accepted, so they get their goodbye, too.
            server.is_serving = lambda: True  # type: ignore[method-assign]

    async def _answer(self, socket: ServerConnection, request: Request) -> Response | None:
        """The response to a request that is no websocket handshake, or none that may be; None for one that may."""
        assert isinstance(socket, Socket)
        path, method, access = http.path(request), socket.incoming.method, self._service.access
        if path in minting.PATHS:
            return self._mint.answer(request, socket.incoming, _now())
        if path in health.PATHS and method == "GET":
            return await self._tell_health(socket, request)
        if path not in http.PATHS:
            return self._pages.answer(request, method) or http.page(request, method)
        if method != "GET":
            return http.wrong_method("GET")
        if self._health.draining and not self._sockets:
            return http.text(HTTPStatus.SERVICE_UNAVAILABLE, "The server is stopping.\n")
        if not access.origins.allow(request):
            log.info("%s: a page of %s was refused", _whose(socket), request.headers.get_all("Origin"))
            return http.text(HTTPStatus.FORBIDDEN, http.FOREIGN_PAGE + "\n")
        socket.admission = self._admit(request)
        refusal = self._crowded(socket, request, socket.admission)
        if refusal is None and path in http.AZURE_PATHS:  # all others are told on the socket (PROTOCOL 1.4)
            refusal = _unauthorized(socket, socket.admission)
        return refusal

    def _admit(self, request: Request) -> Admission | ClientError:
        try:
            return self._service.access.admit(request, _now())
        except ClientError as error:
            return error

    def _crowded(self, socket: Socket, request: Request, admission: Admission | ClientError) -> Response | None:
        """Give the client a place, or refuse it one. Who has no key has one, too, for as long as it takes to say so."""
        key = None if isinstance(admission, ClientError) else admission.key
        address = self._service.addresses.whose(_peer(socket), request)
        try:
            socket.sit(self._crowd.enter(address, key, asyncio.get_running_loop().time(), lag=self._health.lag))
        except Crowded as error:
            log.info("%s was refused: %s", address or "somebody", error)
            self._service.metrics.sessions.refused.labels(error.limit).inc()
            return http.refusal(error.status, error, retry_seconds=error.seconds)
        return None

    async def _tell_health(self, socket: ServerConnection, request: Request) -> Response:
        """Who must have a key to come in must have one to see what others do."""
        refusal = _unauthorized(socket, self._admit(request)) if http.path(request) == health.METRICS_PATH else None
        return refusal or await self._health.answer(http.path(request))

    async def _serve(self, socket: ServerConnection) -> None:
        assert isinstance(socket, Socket)
        assert socket.request is not None
        assert socket.place is not None
        assert socket.admission is not None
        if self._health.draining:  # it was let in a moment before
            await socket.close(SERVICE_RESTART, STOPPING)
            return
        allowance = socket.place.allowance
        try:
            if isinstance(socket.admission, ClientError):
                raise socket.admission
            live = await self._sessions.enter(socket, socket.request, socket.admission, allowance)
        except (ClientError, StoreError) as error:
            log.info("%s was refused: %s", _whose(socket), error)
            socket.place.leave()  # strangers who linger at the door shall not fill the house
            await self._turn_away(socket, error)
            return
        logs.session_id.set(live.session_id)
        log.debug("%s came in with the key %s", _whose(socket), live.owner)
        connection = Connection(socket, live, live.allowance, self._service.idle_seconds)
        live.client = connection
        self._connections.add(connection)
        if self._health.draining:  # it waited for the store, and everybody else is told already
            connection.dismiss()
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            if live.client is connection or not live.goes_on:
                live.client = None
                await self._sessions.leave(live, broken=connection.broken, reason=connection.reason, close_code=connection.close_code)

    async def _turn_away(self, socket: Socket, error: ClientError | StoreError) -> None:
        """One `error` event, then the close (PROTOCOL 1.4)."""
        assert socket.request is not None
        if isinstance(error, StoreError):
            code, told = TRY_AGAIN_LATER, ErrorDetail(type="server_error", code="store_unavailable", message=UNREADABLE)
        else:
            code = REFUSED if error.code == NOT_FOUND else UNAUTHORIZED
            told = ErrorDetail(type=error.type, code=error.code, message=error.message, param=error.param)
        event = Error(event_id=self._service.new_ids().new("event"), error=told)
        with suppress(ConnectionClosed):
            for frame in self._codecs[http.dialect(socket.request)].encode(event):
                await socket.send(frame, text=True)
            await socket.close(code, told.type if told.code is None else f"{told.type}.{told.code}")


def _unauthorized(socket: ServerConnection, admission: Admission | ClientError) -> Response | None:
    """The refusal over HTTP; None for whoever may come in."""
    if isinstance(admission, Admission):
        return None
    log.info("%s was refused: %s", _whose(socket), admission)
    return http.refusal(HTTPStatus.UNAUTHORIZED, admission)


def _now() -> float:
    return time.time()  # noqa: TID251 - dates for clients, no measure


def _whose(socket: ServerConnection) -> str:
    """The address that a client comes from. A proxy's, where one stands before us."""
    return _peer(socket) or "somebody"


def _peer(socket: ServerConnection) -> str | None:
    """The address at the other end; a unix socket has none."""
    address = socket.remote_address
    return str(address[0]) if isinstance(address, tuple) else None
