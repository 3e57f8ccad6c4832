"""A language model behind an OpenAI-compatible chat-completions endpoint.

Owns the conversation with the endpoint: which fields it knows, when its next token is due, when its answer is whole. Refuses the details:
the JSON is `completions`, the framing `sse`, the sockets `endpoint`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from urllib.parse import urlsplit

from msgspec import UNSET
from msgspec.structs import replace

from realtime.engines.completions import Answer, Shape, body, takes_no_pictures
from realtime.engines.endpoint import Endpoint, Reply
from realtime.engines.endpoint import Timeouts as Timeouts
from realtime.engines.refusals import NO_CODE, Refused
from realtime.engines.sse import MAX_EVENT, SseParser
from realtime.errors import CONTEXT_LENGTH_EXCEEDED, EngineError
from realtime.ports import LlmEvent, LlmRequest, TextDelta
from realtime.wire.items import InputImage, Message

MAX_SOUND_EVENT = 8 << 20
"""Bytes of one event of a spoken answer: who makes the whole sound first sends it as one, here of two minutes in base64 at 24 kHz."""

_PATH = "/chat/completions"


class ChatLlm:
    """`ports.Llm` over HTTP. `dice` (0..1) and `pause` (seconds) are the chance and the patience of its retries."""

    sees = True

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        model: str,
        *,
        timeouts: Timeouts,
        dice: Callable[[], float] = random.random,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        speaks: bool = False,
    ) -> None:
        """`speaks`: the model can be asked for sound, and must be told where none is wanted."""
        self.name = model
        self._endpoint = Endpoint(base_url, api_key, timeouts=timeouts, dice=dice, pause=pause)
        self._shape = Shape(knows_modalities=speaks, sounds_as_qwen=_is_qwens(base_url))
        self._shape_is_known = False
        # A request in this shape was accepted; until then any 400 may be about the shape.

    async def stream(self, request: LlmRequest) -> AsyncIterator[LlmEvent]:
        """Yield the answer as it is generated. Whoever stops early closes the iterator (`contextlib.aclosing`), and so the connection."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._endpoint.timeouts.first_token
        spoken = request.voice is not None
        answer, framing = Answer(self._endpoint.secret, spoken=spoken), _Framing(MAX_SOUND_EVENT if spoken else MAX_EVENT)
        reply = await self._ask(request, deadline)
        try:
            while not answer.done:
                chunk = await _read(reply, answer, deadline)
                pieces = framing.feed(chunk) if chunk else framing.flush()
                for piece in pieces:
                    if text := answer.read(piece):
                        yield TextDelta(text)
                    if answer.sound:
                        yield answer.sound
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

    async def reachable(self, seconds: float) -> bool:
        return await self._endpoint.reachable(seconds)

    async def close(self) -> None:
        """Close every connection; answers that still come are cut."""
        await self._endpoint.close()

    async def _ask(self, request: LlmRequest, deadline: float) -> Reply:
        shape = self._shape
        while True:
            try:
                reply = await self._endpoint.post(_PATH, await self._body(request, shape), deadline=deadline)
            except Refused as error:
                plainer = _plainer(shape, error, request, shape_is_known=self._shape_is_known)
                if plainer is None:
                    raise _of_the_prompt(error) from None
                shape = plainer
            else:
                # Remembered only now: the refusal may have been about something else.
                self._shape, self._shape_is_known = shape, True
                return reply

    async def _body(self, request: LlmRequest, shape: Shape) -> bytes:
        if not request.sounds and not (shape.knows_pictures and _shows(request)):
            return body(self.name, request, shape)
        # A minute of sound, or a dozen pictures, are megabytes of base64: not on the loop.
        return await asyncio.to_thread(body, self.name, request, shape)


def _shows(request: LlmRequest) -> bool:
    """Are there pictures that were not let go?"""
    parts = (part for item in request.items if isinstance(item, Message) for part in item.content)
    return any(isinstance(part, InputImage) and part.image_url is not UNSET for part in parts)


def _is_qwens(base_url: str) -> bool:
    return (urlsplit(base_url).hostname or "").endswith(".aliyuncs.com")


def _plainer(shape: Shape, error: Refused, request: LlmRequest, *, shape_is_known: bool) -> Shape | None:
    """Return the shape to try after a refusal; None when the refusal is not about the shape. Never goes in a circle."""
    if error.code == CONTEXT_LENGTH_EXCEEDED:
        # vLLM names both fields of the limit when the prompt leaves too little for the answer.
        return None
    if shape.knows_pictures and _shows(request) and takes_no_pictures(error.body):
        # The words say it, not the status: that is 404 at OpenRouter and 500 at llama.cpp.
        return replace(shape, knows_pictures=False)
    # 422 is FastAPI's word for a body that does not fit.
    if error.status not in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY):
        return None
    if request.max_output_tokens is not None and not shape.names_completion and _knows_no_max_tokens(error):
        return replace(shape, names_completion=True)
    if request.effort is not None and shape.knows_effort and b"reasoning_effort" in error.body:
        return replace(shape, knows_effort=False)
    if not shape.sounds_as_qwen and _wants_qwens_sounds(request, error):
        return replace(shape, sounds_as_qwen=True)
    if shape.asks_usage and (b"stream_options" in error.body or not shape_is_known):
        return replace(shape, asks_usage=False)
    return None


def _of_the_prompt(error: Refused) -> Refused:
    """A proxy before the model that takes no body so large: older turns, and their pictures, are what there is to leave out."""
    if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and error.code == NO_CODE:
        error.code = CONTEXT_LENGTH_EXCEEDED
    return error


def _wants_qwens_sounds(request: LlmRequest, error: Refused) -> bool:
    # Qwen's: "The provided URL does not appear to be valid." of base64, and that the audio's format must be `wav`.
    said = error.body.lower()
    return (bool(request.sounds) and b"url" in said) or (request.voice is not None and b"wav" in said)


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

    __slots__ = ("_max_event", "_plain", "_sse")

    def __init__(self, max_event: int) -> None:
        """`max_event`: bytes of one event, and of an answer that came in one piece."""
        self._max_event = max_event
        self._sse: SseParser | None = None
        self._plain = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        if self._sse is not None:
            return self._sse.feed(chunk)
        self._plain += chunk
        # No line of an event stream that means anything starts with a brace; what Content-Type says is less sure.
        start = self._plain.lstrip()[:1]
        if start and start not in b"{[":
            self._sse, chunk = SseParser(self._max_event), self._plain
            return self._sse.feed(chunk)
        if len(self._plain) > self._max_event:
            raise EngineError("server_error", f"The endpoint sent an answer of more than {self._max_event} bytes.")
        return []

    def flush(self) -> list[bytes]:
        if self._sse is not None:
            return self._sse.flush()
        return [self._plain] if self._plain.strip() else []
