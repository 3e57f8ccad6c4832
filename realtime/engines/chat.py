"""A language model behind an OpenAI-compatible chat-completions endpoint.

Owns the conversation with the endpoint: which fields it knows, when its next token is due, when its answer is whole. Refuses the details:
the JSON is `completions`, the framing `sse`, the sockets `endpoint`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus

from realtime.engines.completions import Answer, Shape, body
from realtime.engines.endpoint import Endpoint, Reply
from realtime.engines.endpoint import Timeouts as Timeouts
from realtime.engines.refusals import Refused
from realtime.engines.sse import MAX_EVENT, SseParser
from realtime.errors import CONTEXT_LENGTH_EXCEEDED, EngineError
from realtime.ports import LlmEvent, LlmRequest, TextDelta

MAX_PLAIN_ANSWER = MAX_EVENT
"""Bytes of an answer that came in one piece: no more than one event of a stream may have."""

_PATH = "/chat/completions"


class ChatLlm:
    """`ports.Llm` over HTTP. `dice` (0..1) and `pause` (seconds) are the chance and the patience of its retries."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        model: str,
        *,
        timeouts: Timeouts,
        dice: Callable[[], float] = random.random,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = model
        self._endpoint = Endpoint(base_url, api_key, timeouts=timeouts, dice=dice, pause=pause)
        self._shape = Shape()
        self._shape_is_known = False
        # A request in this shape was accepted; until then any 400 may be about the shape.

    async def stream(self, request: LlmRequest) -> AsyncIterator[LlmEvent]:
        """Yield the answer as it is generated. Whoever stops early closes the iterator (`contextlib.aclosing`), and so the connection."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._endpoint.timeouts.first_token
        answer, framing = Answer(self._endpoint.secret), _Framing()
        reply = await self._ask(request, deadline)
        try:
            while not answer.done:
                chunk = await _read(reply, answer, deadline)
                pieces = framing.feed(chunk) if chunk else framing.flush()
                for piece in pieces:
                    if text := answer.read(piece):
                        yield TextDelta(text)
                    for event in answer.called:
                        yield event
                if not chunk:
                    break
                if pieces and answer.begun:
                    # A comment that keeps the line warm is no token, and the listener's own time does not count.
                    deadline = loop.time() + self._endpoint.timeouts.between_tokens
            finished = answer.finished()
            reply.leave()
            yield finished
        finally:
            reply.close()

    async def close(self) -> None:
        """Close every connection; answers that still come are cut."""
        await self._endpoint.close()

    async def _ask(self, request: LlmRequest, deadline: float) -> Reply:
        shape = self._shape
        while True:
            try:
                reply = await self._endpoint.post(_PATH, body(self.name, request, shape), deadline=deadline)
            except Refused as error:
                plainer = _plainer(shape, error, request, shape_is_known=self._shape_is_known)
                if plainer is None:
                    raise
                shape = plainer
            else:
                # Remembered only now: the refusal may have been about something else.
                self._shape, self._shape_is_known = shape, True
                return reply


def _plainer(shape: Shape, error: Refused, request: LlmRequest, *, shape_is_known: bool) -> Shape | None:
    """Return the shape to try after a refusal; None when the refusal is not about the shape. Never goes in a circle."""
    # 422 is FastAPI's word for a body that does not fit.
    if error.status not in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY):
        return None
    if error.code == CONTEXT_LENGTH_EXCEEDED:
        # vLLM names both fields of the limit when the prompt leaves too little for the answer.
        return None
    if request.max_output_tokens is not None and not shape.names_completion and _knows_no_max_tokens(error):
        return Shape(shape.asks_usage, names_completion=True)
    if shape.asks_usage and (b"stream_options" in error.body or not shape_is_known):
        return Shape(False, shape.names_completion)
    return None


def _knows_no_max_tokens(error: Refused) -> bool:
    # OpenAI: code `unsupported_parameter`, "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    return b"max_tokens" in error.body and (b"max_completion_tokens" in error.body or error.code == "unsupported_parameter")


async def _read(reply: Reply, answer: Answer, deadline: float) -> bytes:
    try:
        return await reply.read(deadline)
    except EngineError:
        # All was said; only the farewell is missing.
        if answer.reason is not None:
            return b""
        raise


class _Framing:
    """Cuts a body into pieces of JSON: events, or the whole where an endpoint ignored `stream`."""

    __slots__ = ("_plain", "_sse")

    def __init__(self) -> None:
        self._sse: SseParser | None = None
        self._plain = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        if self._sse is not None:
            return self._sse.feed(chunk)
        self._plain += chunk
        # No line of an event stream that means anything starts with a brace; what Content-Type says is less sure.
        start = self._plain.lstrip()[:1]
        if start and start not in b"{[":
            self._sse, chunk = SseParser(), self._plain
            return self._sse.feed(chunk)
        if len(self._plain) > MAX_PLAIN_ANSWER:
            raise EngineError("server_error", f"The endpoint sent an answer of more than {MAX_PLAIN_ANSWER} bytes.")
        return []

    def flush(self) -> list[bytes]:
        if self._sse is not None:
            return self._sse.flush()
        return [self._plain] if self._plain.strip() else []
