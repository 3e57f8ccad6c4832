"""HTTP to a model's endpoint: one pool of connections, deadlines, retries.

Owns sockets and clocks, and is the one place where aiohttp's exceptions become `EngineError`. Refuses to know what is asked and answered:
bodies are bytes of a type, both ways.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import math
import random
import weakref
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from realtime.engines.refusals import Refused, masked, refused
from realtime.engines.retries import Unreachable, delay_before_retry
from realtime.errors import EngineError

if TYPE_CHECKING:
    import aiohttp

KEEP_ALIVE = 30.0
"""Seconds that an idle connection is kept: spans the pause between two turns; servers close theirs after 5 (uvicorn) to 75 (nginx)."""

LINGER = 1.0
"""Seconds that an answer's last bytes are waited for behind the listener's back, so that its connection can serve again."""

MAX_ERROR_BODY = 1 << 16
"""Bytes of a refusal that are read: far more than an error object needs, and a bound on a page that is none."""


_CHEAPEST = "/models"
"""What costs an endpoint least to be asked for: a list, or the news that there is none."""

_SERVERS_FAULT = 500
"""First of HTTP's statuses that say so (RFC 9110, 15.6)."""


class Timeouts(Struct, frozen=True, kw_only=True):
    """How long an endpoint may keep us waiting, in seconds."""

    connect: float = 5.0
    """For a connection: name, TCP and TLS together; each attempt has its own."""
    first_token: float = 60.0
    """From the request to the first token, retries and all; a cold local model loads in this time."""
    between_tokens: float = 30.0
    """From one token to the next."""


class Kinds(Struct, frozen=True):
    """Media types of what is posted and of what is hoped for, as the headers have them."""

    sent: str = "application/json"
    accepted: str = "text/event-stream, application/json"


CHAT = Kinds()
"""JSON goes, a stream of events comes."""


class Endpoint:
    """Where models answer. One for the process; the pool is made on the loop that asks first."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        *,
        timeouts: Timeouts,
        dice: Callable[[], float] = random.random,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        import aiohttp

        self._aiohttp = aiohttp
        self._base_url = base_url.rstrip("/")
        self.secret = api_key or ""
        self.timeouts = timeouts
        self._dice = dice
        self._pause = pause
        self._pool: aiohttp.ClientSession | None = None
        self._replies: weakref.WeakSet[Reply] = weakref.WeakSet()
        # Those that may still hold a connection, for `close`.

    async def post(self, path: str, body: bytes, *, deadline: float, kinds: Kinds = CHAT, retry: bool = True) -> Reply:
        """Return the reply once its status is in, before its body. `deadline` is on the loop's clock. Raises `EngineError`.

        `retry=False` is for what nobody wants any more by the time of a second attempt.
        """
        failures = 0
        while True:
            try:
                return await self._attempt(path, body, kinds, deadline)
            except (Refused, Unreachable) as error:
                failures += 1
                delay = delay_before_retry(error, failures, dice=self._dice, now=datetime.now(UTC)) if retry else None
                if delay is None or asyncio.get_running_loop().time() + delay >= deadline:
                    raise
            await self._pause(delay)

    async def reachable(self, seconds: float) -> bool:
        """Does anybody answer there? Who knows neither us nor the path does; a proxy with nobody behind it says 502 or the like."""
        timeout = self._aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._session().get(self._base_url + _CHEAPEST, timeout=timeout, allow_redirects=False) as reply:
                return reply.status < _SERVERS_FAULT
        except (self._aiohttp.ClientError, OSError, TimeoutError):
            return False

    async def close(self) -> None:
        """Close every connection."""
        for reply in list(self._replies):
            reply.cut()
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def _attempt(self, path: str, body: bytes, kinds: Kinds, deadline: float) -> Reply:
        headers = {"Content-Type": kinds.sent, "Accept": kinds.accepted}
        try:
            async with asyncio.timeout_at(deadline):
                # A file, which aiohttp sends bit by bit: bytes it would hand to the socket in one go, however many.
                response = await self._session().post(self._base_url + path, data=io.BytesIO(body), headers=headers)
                if response.status >= 400:
                    raise await self._refusal(response)
        except self._aiohttp.ServerTimeoutError as error:
            raise Unreachable("timeout", f"No connection to the endpoint within {self.timeouts.connect:g} s.") from error
        except TimeoutError as error:
            raise EngineError("timeout", f"The endpoint did not begin to answer within {self.timeouts.first_token:g} s.") from error
        except (self._aiohttp.ClientError, OSError) as error:
            raise Unreachable("connection_error", masked(f"The endpoint can't be reached: {error}", self.secret)) from error
        reply = Reply(response, self._aiohttp.ClientError)
        self._replies.add(reply)
        return reply

    async def _refusal(self, response: aiohttp.ClientResponse) -> Refused:
        body = b""
        try:
            # A refusal that is cut short is still a refusal: the status says enough.
            with contextlib.suppress(self._aiohttp.ClientError):
                while len(body) < MAX_ERROR_BODY and (chunk := await response.content.readany()):
                    body += chunk
        finally:
            response.close()
        return refused(response.status, body[:MAX_ERROR_BODY], secret=self.secret, retry_after=response.headers.get("Retry-After"))

    def _session(self) -> aiohttp.ClientSession:
        if self._pool is None:
            # identity: a proxy that compresses a stream holds its tokens back.
            headers = {"Accept-Encoding": "identity"}
            if self.secret:
                headers["Authorization"] = f"Bearer {self.secret}"
            self._pool = self._aiohttp.ClientSession(
                # No limit here: how many may talk at once is the server's to say, and a queue would hide it.
                connector=self._aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
                cookie_jar=self._aiohttp.DummyCookieJar(),
                headers=headers,
                timeout=self._aiohttp.ClientTimeout(total=None, connect=self.timeouts.connect),
            )
        return self._pool


class Reply:
    """The body of one reply. `close` it whatever happens; `leave` first where it was read to its meaning's end."""

    def __init__(self, response: aiohttp.ClientResponse, client_error: type[Exception]) -> None:
        self._response = response
        self._client_error = client_error
        self._loop = asyncio.get_running_loop()
        self._deadline = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._linger: asyncio.TimerHandle | None = None
        # Set once the reply was left: how long its end is waited for.

    @property
    def type(self) -> str:
        """Media type of the body, in lower case and without parameters; `application/octet-stream` where the endpoint gave none."""
        return self._response.content_type.lower()

    def header(self, name: str) -> str:
        """What a header says, empty where there is none."""
        return self._response.headers.get(name, "")

    async def read(self, deadline: float) -> bytes:
        """Return the bytes that are there, else the next that come; none at the end. Raises `EngineError`."""
        self._watch(deadline)
        try:
            return await self._response.content.readany()
        except TimeoutError as error:
            raise EngineError("timeout", "The endpoint fell silent.") from error
        except (self._client_error, OSError) as error:
            raise EngineError("stream_interrupted", "The connection to the endpoint broke.") from error
        finally:
            self._deadline = math.inf

    async def read_whole(self, limit: int, deadline: float) -> bytes:
        """Return all that is left of the body. Raises `EngineError`, also for a body of more than `limit` bytes."""
        body = bytearray()
        while chunk := await self.read(deadline):
            body += chunk
            if len(body) > limit:
                raise EngineError("server_error", f"The endpoint sent an answer of more than {limit} bytes.")
        return bytes(body)

    def leave(self) -> None:
        """Expect nothing more but the end, which frees the connection for the next request when it comes."""
        content = self._response.content
        if content.exception() is None:
            # aiohttp gives the connection back by itself at the end of the body; nothing is left to cut then.
            self._linger = self._loop.call_later(LINGER, self.cut)
            content.on_eof(self._linger.cancel)

    def close(self) -> None:
        """Cut the connection, unless the reply was left."""
        self._stop_watching()
        if self._linger is None:
            self._response.close()

    def cut(self) -> None:
        """Cut the connection now."""
        self._stop_watching()
        if self._linger is not None:
            self._linger.cancel()
        self._response.close()

    def _stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _watch(self, deadline: float) -> None:
        """Keep one timer for the whole body; a deadline that moves on costs no new one, as it would with `asyncio.timeout`."""
        self._deadline = deadline
        if self._timer is None or deadline < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._deadline == math.inf:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look)
        else:
            self._response.content.set_exception(TimeoutError())
