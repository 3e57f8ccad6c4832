"""A chat-completions endpoint on the loopback that answers as it is told, for tests and for the bench. `speech_endpoint` builds on it.

A reply is a status, headers and steps. A step is
    str             one token, as a chunk of the stream
    bytes           sent just so: half an event, a comment, an error, plain JSON
    float           seconds to wait (the bench's pace; tests use gates)
    asyncio.Event   a gate: wait until the test sets it
    Stop.HANG       send nothing more, and keep the connection
    Stop.CUT        break the connection off

    async with ChatEndpoint() as endpoint:
        endpoint.script(refusal(429), answer("Hel", gate, "lo."))
"""

from __future__ import annotations

import asyncio
import socket
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, Self

import msgspec
from aiohttp import web

DEFAULT_TOKENS = ("The ", "quick ", "brown ", "fox ", "jumps ", "over ", "the ", "lazy ", "dog.")
"""What is answered when the script is at its end."""

PROMPT_TOKENS = 12
"""What the stub claims that every prompt has; the answer's count is that of its tokens."""


TOO_LONG = {
    "error": {
        "message": "This model's maximum context length is 4097 tokens. However, your messages resulted in 4294 tokens.",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }
}
"""How OpenAI refuses a prompt that is too long."""


class Stop(Enum):
    """How a reply ends where it does not end well."""

    HANG = "hang"
    CUT = "cut"


Step = str | bytes | float | asyncio.Event | Stop


@dataclass(frozen=True)
class Reply:
    """One scripted reply."""

    steps: tuple[Step, ...]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "text/event-stream"})
    before_status: tuple[Step, ...] = ()
    """Steps before even the status line."""


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    body: Any
    """Decoded."""
    headers: Mapping[str, str]
    """Names in any case."""
    connection: int
    """Equal for two requests that came over the same connection."""


def event(data: Any) -> bytes:
    """One event with this JSON."""
    return b"data: " + msgspec.json.encode(data) + b"\n\n"


def chunk(delta: Mapping[str, Any], finish_reason: str | None = None, **more: Any) -> bytes:
    """One event of a stream, with this delta."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return event({"id": "chatcmpl-stub", "object": "chat.completion.chunk", "created": 0, "model": "stub", "choices": [choice], **more})


def spoken(transcript: str = "", audio: bytes = b"", **more: Any) -> bytes:
    """One event of a spoken answer, as OpenAI streams it; PCM16 at 24 kHz."""
    sound: dict[str, Any] = {"id": "audio_stub", **more}
    if transcript:
        sound["transcript"] = transcript
    if audio:
        sound["data"] = b64encode(audio).decode()
    return chunk({"audio": sound})


DONE = b"data: [DONE]\n\n"


def usage(output_tokens: int, *, cached_tokens: int = 0) -> dict[str, Any]:
    """The usage object of an answer of so many tokens."""
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": output_tokens,
        "total_tokens": PROMPT_TOKENS + output_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens},
    }


def answer(*steps: Step, finish_reason: str = "stop") -> Reply:
    """A whole stream: role, these steps, the reason, the usage, the end."""
    count = sum(isinstance(step, str) for step in steps)
    last = event({"id": "chatcmpl-stub", "object": "chat.completion.chunk", "choices": [], "usage": usage(count)})
    return Reply((chunk({"role": "assistant", "content": ""}), *steps, chunk({}, finish_reason), last, DONE))


def raw(*steps: Step) -> Reply:
    """These steps and nothing else."""
    return Reply(steps)


def refusal(status: int, body: Any = None, **headers: str) -> Reply:
    """A status with a JSON body; `Retry_After="1"` becomes that header."""
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Reply((data,), status, {name.replace("_", "-"): value for name, value in headers.items()})


def hang_up() -> Reply:
    """Break the connection off before the status line."""
    return Reply((), before_status=(Stop.CUT,))


class ChatEndpoint:
    """The stub. `requests` are those that arrived, `disconnects` counts the clients that left before their reply was whole."""

    paths: tuple[str, ...] = ("/v1/chat/completions",)

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.disconnects = 0
        self.max_prompt: int | None = None
        """Bytes of the `messages`, as JSON, over which a request is refused."""
        self.refused: list[Request] = []
        """Those of `requests` that were too long."""
        self._replies: deque[Reply] = deque()
        self._changed = asyncio.Condition()
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self.base_url = ""

    def script(self, *replies: Reply) -> None:
        """Add replies, each for one request; after the last one the default sentence is told again and again."""
        self._replies.extend(replies)

    async def wait_for(self, condition: Callable[[Self], bool]) -> None:
        """Wait until this holds; looked at whenever a request arrives or a client leaves."""
        async with self._changed:
            await self._changed.wait_for(lambda: condition(self))

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 26)
        for path in self.paths:
            app.router.add_post(path, self._answer)
        # Cancelling the handler is how aiohttp tells it at once that the client is gone.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def listen_also(self, place: socket.socket) -> None:
        """Answer at this address too, from now on. It is bound already, so that nobody else could take it."""
        assert self._runner is not None
        await web.SockSite(self._runner, place).start()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._runner is not None
        self._closing.set()
        await self._runner.cleanup()

    async def _decoded(self, request: web.Request) -> Any:
        return msgspec.json.decode(await request.read())

    def _otherwise(self, request: web.Request) -> Reply:
        """What is answered when the script is at its end."""
        return answer(*DEFAULT_TOKENS)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await self._decoded(request)
        arrived = Request(body, request.headers, id(request.transport))
        reply = self._refusal(arrived) or (self._replies.popleft() if self._replies else self._otherwise(request))
        async with self._changed:
            self.requests.append(arrived)
            self._changed.notify_all()
        try:
            return await self._play(request, reply)
        except (asyncio.CancelledError, ConnectionError):
            self.disconnects += 1
            await asyncio.shield(self._notify())
            raise

    def _refusal(self, request: Request) -> Reply | None:
        if self.max_prompt is None or len(msgspec.json.encode(request.body["messages"])) <= self.max_prompt:
            return None
        self.refused.append(request)
        return refusal(400, TOO_LONG)

    async def _play(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        for step in reply.before_status:
            await self._perform(step, request, response)
        if request.transport is None:
            return response
        await response.prepare(request)
        for step in reply.steps:
            await self._perform(step, request, response)
        return response

    async def _perform(self, step: Step, request: web.Request, response: web.StreamResponse) -> None:
        match step:
            case str():
                await response.write(chunk({"content": step}))
            case bytes():
                await response.write(step)
            case asyncio.Event():
                await step.wait()
            case Stop.HANG:
                await self._closing.wait()
            case Stop.CUT:
                assert request.transport is not None
                request.transport.abort()
            case seconds:
                await _pace(seconds)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


async def _pace(seconds: float) -> None:
    over = asyncio.Event()
    timer = asyncio.get_running_loop().call_later(seconds, over.set)
    try:
        await over.wait()
    finally:
        timer.cancel()
