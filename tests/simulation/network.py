"""A network of this process: bytes come late, in pieces and in order, or not at all; nobody may write more than the other side reads.

A `Pipe` is one end of a connection, and to its protocol a transport like asyncio's own: it asks to pause at the high-water mark,
half-closes, aborts. What the kernel does is done here as TCP promises it; what a cable does, as the dice say.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections import Counter, deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.loop import Process, SimulatedLoop

HIGH_WATER = 64 * 1024
"""Bytes: asyncio's own."""


class Address:
    """What stands for a socket."""

    family, type, proto = socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP

    def __init__(self, address: str) -> None:
        self.address = address

    def getsockname(self) -> tuple[str, int]:
        host, _, port = self.address.rpartition(":")
        return host, int(port)

    def getpeername(self) -> tuple[str, int]:
        return self.getsockname()

    def setsockopt(self, *_: Any) -> None: ...

    def close(self) -> None: ...


class Pipe(asyncio.Transport):
    """One end of a connection."""

    def __init__(self, network: Network, address: str, owner: Process | None, context: Context, window: int) -> None:
        super().__init__()
        self._network, self._loop = network, network.loop
        self.owner, self.context = owner, context
        self._address = address
        self._window = window
        """Bytes that may be on their way to the other end, or lie there unread."""
        self.other: Pipe
        self.protocol: Any = None
        self._buffer = bytearray()
        self._in_flight = 0
        self._received: deque[bytes | None] = deque()
        self._reading = True
        self._flying: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._arrival = 0.0
        self._high, self._low = HIGH_WATER, HIGH_WATER // 4
        self._full = False
        self.ending = False
        """Nothing more is written once the buffer is empty."""
        self._ended = False
        self.closing = False
        self.closed = False
        self.silent = False
        """The cable is cut: nothing comes, and nobody says so."""

    def pace(self, latency: float) -> float:
        """Bytes a second that get through at the most."""
        return self._window / (2 * latency) if latency else math.inf

    # What a protocol calls

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name in ("peername", "sockname"):
            return Address(self._address).getsockname()
        return Address(self._address) if name == "socket" else default

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        return self.protocol

    def is_closing(self) -> bool:
        return self.closing

    def is_reading(self) -> bool:
        return self._reading and not self.closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._reading and not self.closing:
            self._reading = True
            self._loop.call_soon(self._read, context=self.context)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high if high is not None else (HIGH_WATER if low is None else 4 * low)
        self._low = low if low is not None else self._high // 4

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def write(self, data: Any) -> None:
        assert not self.ending, "written after write_eof"
        if self.closing:
            return
        self._buffer += data
        self._send()
        if len(self._buffer) > self._high and not self._full:
            self._full = True
            self.protocol.pause_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self.ending and not self.closing:
            self.ending = True
            self._send()

    def close(self) -> None:
        if not self.closing:
            self.closing = self.ending = True
            self._received.clear()
            self._send()

    def abort(self) -> None:
        self._break(None)

    # What a kernel does

    def _send(self) -> None:
        # A quarter of the window at least, or all there is: a byte once sent alone would make room for one for ever (RFC 9293, 3.8.6.2.1).
        while (least := min(len(self._buffer), self._window // 4)) and self._window - self._in_flight >= least and not self.closed:
            size = min(len(self._buffer), self._window - self._in_flight, self._network.piece())
            piece = bytes(self._buffer[:size])
            del self._buffer[:size]
            self._in_flight += size
            self._later(self.other._arrive, piece)
        if self.ending and not self._buffer and not self._ended:
            self._ended = True
            self._later(self.other._arrive, None)
            if self.closing:
                self._lose(None)

    def _later(self, callback: Callable[..., None], *arguments: Any) -> None:
        """In order, whatever the delay."""
        self._arrival = max(self._arrival, self._loop.time() + self._network.delay())
        self._flying.append((callback, arguments))
        self._loop.call_at(self._arrival, self._land, context=self.other.context)

    def _land(self) -> None:
        callback, arguments = self._flying.popleft()  # timers of the same moment ring in any order
        callback(*arguments)

    def _arrive(self, piece: bytes | None) -> None:
        if self.silent:
            return
        if self.closed or self.closing:
            if piece is not None:  # nobody is there: a reset
                self._later(self.other._break, ConnectionResetError(104, "Connection reset by peer"))
            return
        self._received.append(piece)
        self._read()

    def _read(self) -> None:
        while self._received and self._reading and not self.closing:
            piece = self._received.popleft()
            self._network.trace(self, piece)
            if piece is None:
                if not self.protocol.eof_received():
                    self.close()
                return
            self._loop.call_later(self._network.delay(), self.other._taken, len(piece), context=self.other.context)
            if hasattr(self.protocol, "get_buffer"):
                raise NotImplementedError("nobody uses buffered protocols")
            self.protocol.data_received(piece)

    def _taken(self, size: int) -> None:
        """The other side has read so much."""
        self._in_flight -= size
        if self.silent or self.closed:
            return
        self._send()
        if self._full and len(self._buffer) <= self._low:
            self._full = False
            if not self.closed:
                self.protocol.resume_writing()

    def _break(self, error: Exception | None) -> None:
        """Ours is over at once, and the other end is reset."""
        if self.closed or (self.silent and error is not None):
            return
        self.closing = True
        self._buffer.clear()
        self._received.clear()
        if error is None:  # else it is they who broke it
            self._later(self.other._break, ConnectionResetError(104, "Connection reset by peer"))
        self._ended = True
        self._lose(error)

    def _lose(self, error: Exception | None) -> None:
        if not self.closed:
            self.closed = True
            self._network.pipes.pop(self, None)
            self._loop.call_soon(self.protocol.connection_lost, error, context=self.context)

    # What the world does

    def cut(self) -> None:
        """The cable: both ends hear nothing more."""
        self.silent = self.other.silent = True

    def reset(self) -> None:
        """Both ends are told that it is over."""
        for end in (self, self.other):
            self._loop.call_soon(end._break, ConnectionResetError(104, "Connection reset by peer"), context=end.context)


class Server:
    """What `create_server` gives."""

    def __init__(self, network: Network, factory: Any, address: str, owner: Process | None) -> None:
        self._network, self.factory, self.address, self.owner = network, factory, address, owner
        self.context = copy_context()
        self.sockets = (Address(address),)

    def is_serving(self) -> bool:
        return self._network.servers.get(self.address) is self

    def get_loop(self) -> Any:
        return self._network.loop

    async def start_serving(self) -> None: ...

    def close(self) -> None:
        if self.is_serving():
            del self._network.servers[self.address]

    async def wait_closed(self) -> None: ...


class Network:
    """Of one seed. `latency` and `fragments` may be changed at any time."""

    def __init__(self, loop: SimulatedLoop, dice: Random) -> None:
        self.loop, self._dice = loop, dice
        self.servers: dict[str, Server] = {}
        self.pipes: dict[Pipe, None] = {}
        self.latency = 0.0
        """Seconds, the mean of those that a piece takes."""
        self.fragments = False
        self.bytes: Counter[str] = Counter()
        self.trace: Callable[[Pipe, bytes | None], None] = lambda pipe, piece: None

    def delay(self) -> float:
        return self._dice.expovariate(1 / self.latency) if self.latency else 0.0

    def piece(self) -> int:
        """Bytes that come at once."""
        return self._dice.choice((1, 7, 300, 1460, 65536)) if self.fragments and self._dice.random() < 0.2 else 65536

    def listen(self, factory: Any, address: str, owner: Process | None) -> Server:
        if address in self.servers:
            raise OSError(98, "Address already in use")
        self.servers[address] = Server(self, factory, address, owner)
        return self.servers[address]

    async def connect(self, factory: Any, address: str, owner: Process | None) -> tuple[Pipe, Any]:
        """Raises `ConnectionRefusedError` where nobody listens."""
        await asyncio.sleep(self.delay())
        server = self.servers.get(address)
        if server is None:
            raise ConnectionRefusedError(111, f"Connect call failed {address}")
        window = self._dice.choice((4_096, 65_536, 262_144))
        ours = Pipe(self, address, owner, copy_context(), window)
        theirs = Pipe(self, "10.0.0.9:5000", server.owner, server.context, window)
        ours.other, theirs.other = theirs, ours
        ours.protocol = factory()
        theirs.protocol = server.context.run(server.factory)
        self.pipes |= {ours: None, theirs: None}
        server.context.run(theirs.protocol.connection_made, theirs)
        ours.protocol.connection_made(ours)
        return ours, ours.protocol

    def of(self, owner: Process) -> list[Pipe]:
        """Its open ends."""
        return [pipe for pipe in self.pipes if pipe.owner is owner]

    def kill(self, owner: Process) -> None:
        """The kernel resets what a dead process leaves behind."""
        for server in [server for server in self.servers.values() if server.owner is owner]:
            server.close()
        for pipe in self.of(owner):
            pipe.closing = pipe.closed = True
            self.pipes.pop(pipe, None)
            error = ConnectionResetError(104, "Connection reset by peer")
            self.loop.call_later(self.delay(), pipe.other._break, error, context=pipe.other.context)
