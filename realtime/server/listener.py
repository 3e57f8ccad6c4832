"""The listening socket: accepts clients, gives each a session, and lets them go when the server stops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Self

from msgspec import Struct, field
from msgspec.structs import replace
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.protocol import State

from realtime import logs
from realtime.errors import ConfigError
from realtime.metrics import Metrics
from realtime.runner.meter import Meter
from realtime.runner.outbox import Outbox
from realtime.runner.perform import Engines
from realtime.server import http
from realtime.server.connection import Connection
from realtime.server.fragments import Cutter
from realtime.server.health import Health
from realtime.session.abilities import Abilities
from realtime.session.ids import Ids
from realtime.session.intake import Intake
from realtime.session.machine import GOING_AWAY, Session
from realtime.wire.beta import BetaCodec
from realtime.wire.classic import ClassicCodec
from realtime.wire.codec import Codec, GaCodec
from realtime.wire.settings import AnySettings, Settings, Transcription, TranscriptionAudio, TranscriptionSettings

FRAME_BYTES = 32 * 1024 * 1024
"""Bytes of one frame, beside the base64 of the largest file. 15 MiB of audio are 20 MiB of base64: a frame that holds somewhat more is
answered, one over the limit ends the socket."""

PING_SECONDS = 20
"""Between pings, as upstream does (PROTOCOL 1.4)."""


class Socket(ServerConnection):
    """The library's, which is given no large frames."""

    def __init__(self, *arguments: Any, largest: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._cutter = Cutter(largest)

    def data_received(self, data: bytes) -> None:
        super().data_received(self._cutter.feed(data) if self.protocol.state is State.OPEN else data)


class Service(Struct, frozen=True, kw_only=True):
    """What every session of this server is made with."""

    engines: Engines
    abilities: Abilities
    sample_rate: int
    """Of classic PCM, samples a second."""
    new_ids: Callable[[], Ids]
    latency: float = 0.0
    """Seconds to wait before every frame to a client."""
    metrics: Metrics = field(default_factory=Metrics)
    log_content: bool = False
    """Log what is said, too."""


class Listener:
    """`async with Listener(...)`: listening inside, everybody let go after."""

    def __init__(self, service: Service, *, host: str, port: int, grace_seconds: float) -> None:
        self._service = service
        self._host, self._port = host, port
        self._grace_seconds = grace_seconds
        self._codecs: dict[http.Dialect, Codec] = {
            "ga": GaCodec(),
            "beta": BetaCodec(),
            "classic": ClassicCodec(service.sample_rate),
        }
        self._connections: set[Connection] = set()
        self._health = Health(service.metrics, service.engines, self._connections)
        self._server: Server

    @property
    def port(self) -> int:
        """The port in fact, where 0 was asked for."""
        port: int = next(iter(self._server.sockets)).getsockname()[1]
        return port

    async def __aenter__(self) -> Self:
        largest = FRAME_BYTES + self._service.abilities.media_bytes * 4 // 3
        try:
            self._server = await serve(
                self._serve,
                self._host,
                self._port,
                process_request=self._answer,
                select_subprotocol=http.subprotocol,
                compression=None,  # audio in base64 hardly shrinks, and every session would hold a window of 64 KB
                max_size=largest,
                create_connection=partial(Socket, largest=largest),  # type: ignore[arg-type]  # it is called, and no more
                ping_interval=PING_SECONDS,
                ping_timeout=PING_SECONDS,
                server_header="realtime",
            )
        except OSError as error:
            where = f"SERVER_HOST={self._host}, SERVER_PORT={self._port}"
            raise ConfigError(f"{where}: can't listen there: {error.strerror or error}") from error
        self._health.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Accept nobody more, let running responses end for the grace period, then close with 1001."""
        self._health.draining = True  # whoever looks, or knocks, is told so until the last has gone
        goodbyes = (connection.finish(self._grace_seconds) for connection in self._connections)
        try:
            await asyncio.gather(*goodbyes, return_exceptions=True)
        finally:
            self._server.close(close_connections=False)
            await self._health.stop()
        await self._server.wait_closed()

    async def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        return await self._health.answer(connection, request) or http.answer(connection, request)

    async def _serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        if self._health.draining:  # it was let in a moment before
            await socket.close(GOING_AWAY, "server is shutting down")
            return
        dialect = http.dialect(socket.request)
        codec = self._codecs[dialect]
        service, ids = self._service, self._service.new_ids()
        session = self._session(codec, socket.request, ids)
        logs.session_id.set(session.settings.id)
        outbox, clock = Outbox(socket, service.latency), asyncio.get_running_loop().time
        meter = Meter(service.metrics, dialect, clock=clock, when_written=outbox.when_written, words=service.log_content)
        connection = Connection(socket, session, Intake(ids, service.abilities), service.engines, codec, outbox, meter)
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)

    def _session(self, codec: Codec, request: Request, ids: Ids) -> Session:
        service = self._service
        expires_at = int(time.time() + service.abilities.session_seconds)  # noqa: TID251 - a date for the client, no measure
        settings: AnySettings
        if http.transcribes_only(request):
            heard = replace(codec.audio.input, transcription=Transcription())
            settings = TranscriptionSettings(id=ids.new("sess"), expires_at=expires_at, audio=TranscriptionAudio(heard))
        else:
            settings = Settings(
                id=ids.new("sess"),
                model=http.model(request) or service.engines.llm.name,
                output_modalities=("audio",) if service.abilities.speech else ("text",),
                expires_at=expires_at,
                audio=codec.audio,
            )
        return Session(settings, ids, service.abilities)
