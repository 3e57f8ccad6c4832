"""One websocket: frames in to the session, the outbox out to the client, until either side says goodbye."""

from __future__ import annotations

import asyncio
import contextlib

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from realtime.errors import ClientError
from realtime.runner.allowance import Allowance
from realtime.runner.loop import OUR_FAULT
from realtime.runner.outbox import TOO_SLOW
from realtime.runner.tasks import Tasks
from realtime.server.idleness import Idleness
from realtime.server.live import TRY_AGAIN_LATER, Live
from realtime.session import inputs
from realtime.session.effects import SERVICE_RESTART, STOPPING
from realtime.session.inputs import Input
from realtime.session.machine import GOING_AWAY
from realtime.wire.client import ClientEvent, InputAudioBufferAppend
from realtime.wire.server import Error, ErrorDetail
from realtime.wire.settings import sample_rate, sample_width

GOODBYE_SECONDS = 5
"""For what is still to be written, and for the client's own goodbye. One that does not read is cut off after it."""

LAST_SECONDS = 1
"""More, for a goodbye that had waited for the store."""

MAX_VALUES = 1 << 20
"""Commas in a large event. Files and texts are large and are single values; a frame of a hundred megabytes of empty lists takes a decoder
twenty seconds, during which nobody else is served, and 2.4 GB. The schemas of 128 tools have a hundred thousand."""

GOODBYES = {SERVICE_RESTART: "server_stopping", TOO_SLOW: "too_slow", OUR_FAULT: "internal_error", TRY_AGAIN_LATER: "store_unavailable"}
"""What the codes with which this side closes mean."""

TAKEN_OVER = 4001
"""Close code of a connection whose session another one has now (RFC 6455, 7.4.2: private use). A client that came back for it would take it
away from the other."""

IDLE = "idle: nothing was sent"
"""The reason of a close."""

SAID = {"session_expired": "expired", IDLE: "idle"}
"""What the reasons mean that go with a code of several meanings."""


class Connection:
    """The session of one client, for as long as the client stays."""

    def __init__(self, socket: ServerConnection, live: Live, allowance: Allowance, idle_seconds: float) -> None:
        """`idle_seconds`: after which a client that sends nothing is let go; 0 for never."""
        self._socket = socket
        self._live = live
        self._allowance = allowance
        self._clock = asyncio.get_running_loop().time
        self._idleness = Idleness(
            idle_seconds,
            busy=lambda: live.runner.busy or live.runner.behind,  # it need not send anything, or can't
            ended=lambda: live.outbox.close(GOING_AWAY, IDLE),
        )
        self._writer: asyncio.Task[None] | None = None
        self._superseded = False
        self._tasks = Tasks()

    async def run(self) -> None:
        """Serve until the socket is closed."""
        try:
            async with asyncio.TaskGroup() as group:
                self._writer = group.create_task(self._live.outbox.write())
                self._idleness.start()
                # Here and not around the group: an exception of a group holds its own frame, and with it the session.
                with contextlib.suppress(ConnectionClosed):
                    await self._read()
                self._writer.cancel()
        except* ConnectionClosed:
            pass
        finally:
            self._idleness.stop()
            await self._tasks.finish()

    def supersede(self) -> None:
        """Another connection has the session now: write nothing more of it, and hear nothing."""
        self._superseded = True
        self._idleness.stop()
        if self._writer is not None:
            self._writer.cancel()
        self._tasks.start("farewell", self._say_so())

    async def _say_so(self) -> None:
        error = ErrorDetail(code="session_taken_over", message="Another connection has this session now, or it was deleted.")
        with contextlib.suppress(ConnectionClosed):
            for frame in self._live.codec.encode(Error(event_id="event_taken_over", error=error)):
                await self._socket.send(frame, text=True)
            await self._socket.close(TAKEN_OVER, "session_taken_over")

    @property
    def broken(self) -> bool:
        """Is the socket gone though nobody said goodbye?"""
        sent, received = self._socket.protocol.close_sent, self._socket.protocol.close_rcvd
        unanswered = sent is not None and sent.code == CloseCode.INTERNAL_ERROR  # the library's, for pings that nobody answered
        return self._live.outbox.goodbye is None and received is None and (sent is None or unanswered)

    @property
    def close_code(self) -> int | None:
        """Of the socket, once it is closed."""
        return self._socket.close_code

    @property
    def reason(self) -> str:
        """Why it ended, in a word."""
        if self._live.outbox.goodbye is not None:
            code, said = self._live.outbox.goodbye
            return SAID.get(said) or GOODBYES.get(code, "other")
        protocol = self._socket.protocol
        if protocol.close_sent is not None and protocol.close_sent.code == CloseCode.MESSAGE_TOO_BIG:
            return "frame_too_large"
        return "client" if protocol.close_rcvd is not None else "lost"

    # As it is looked at (server/health)

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the client has not read yet."""
        return self._live.outbox.pending

    @property
    def backlog_seconds(self) -> float:
        """Sound that the detector has not heard yet."""
        return self._live.runner.backlog_seconds

    def settle(self) -> None:
        """Put what was only added up into the metrics."""
        self._live.meter.settle()

    # Its life

    async def _read(self) -> None:
        runner = self._live.runner
        while True:
            input: Input
            try:
                input = await self._allowed()
            except ClientError as error:
                input = inputs.FrameRefused(error)
            if self._superseded:
                continue
            runner.post(input)
            if runner.behind:
                await runner.catch_up()

    async def _allowed(self) -> ClientEvent:
        """The next event that may be obeyed. Raises `ClientError`, and `ConnectionClosed` when no more come."""
        limited = self._allowance.limits_events
        try:
            event = await self._event()
        except ClientError:
            if limited:  # whatever it is, it was work
                self._allowance.take_event(self._clock())
            raise
        if limited:
            self._allowance.take_event(self._clock(), seconds=self._seconds(event), event_id=event.event_id)
        return event

    def _seconds(self, event: ClientEvent) -> float:
        """The sound that it appends."""
        if not isinstance(event, InputAudioBufferAppend):
            return 0.0
        format = self._live.runner.input_format
        return len(event.audio) / (sample_rate(format) * sample_width(format))

    async def _event(self) -> ClientEvent:
        """The next. Raises `ClientError`, and `ConnectionClosed` when no more come."""
        pieces = self._socket.recv_streaming()
        first = await anext(pieces)
        self._idleness.heard()
        rest = bytearray()  # not a list: of very small pieces, each would take twenty times its bytes
        values = 0
        async for piece in pieces:
            self._idleness.heard()  # a large event may take its time
            if isinstance(piece, str):
                values += piece.count(",")
                if values <= MAX_VALUES:
                    rest += piece.encode()
        if values > MAX_VALUES:
            raise ClientError("invalid_event", f"Invalid event: it has more than {MAX_VALUES} commas.")
        if not rest or isinstance(first, bytes):
            return self._live.codec.decode(first)
        # Nobody else shall wait while megabytes are put together and looked through.
        return await asyncio.to_thread(self._whole, first, rest)

    def _whole(self, first: str, rest: bytearray) -> ClientEvent:
        return self._live.codec.decode(memoryview(b"".join((first.encode(), rest))))

    def dismiss(self) -> None:
        """Say goodbye at once, whatever runs."""
        self._tasks.start("farewell", self.finish(0.0))

    async def finish(self, grace_seconds: float) -> None:
        """Let running responses end, for so long at the most; then say goodbye."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._live.runner.idle.wait()
        self._live.runner.post(inputs.ServerStopping())
        if await self._closed(GOODBYE_SECONDS):
            return
        # Perhaps the store is slow: what waits for it is not said, but the goodbye is.
        self._live.outbox.fail(SERVICE_RESTART, STOPPING)
        if not await self._closed(LAST_SECONDS):
            self.cut_off()

    def cut_off(self) -> None:
        """End it, whatever waits."""
        self._socket.transport.abort()

    async def _closed(self, seconds: float) -> bool:
        """Does the socket close within so many?"""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._socket.wait_closed()
                return True
        return False
