"""HTTP for the `mcp` package with what it lacks: a bound on every answer, and a memory of what went wrong below it.

The package tells a refused request as an error of JSON-RPC, without the status, and reads plain JSON without a limit. Imports httpx2, which
comes with it, so this is itself imported only when a server is named.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2

from realtime.errors import EngineError

MAX_BODY = 4 * 1024 * 1024
"""Bytes of one answer: what the package itself lets its servers read in one request."""


class BoundedTransport(httpx2.AsyncHTTPTransport):
    """The transport of one client."""

    refused: int | None = None
    """HTTP status of the answer to the last message, if that was a refusal."""
    broke: EngineError | None = None
    """Why an answer was broken off."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        # Compressed, an answer of a few bytes could become one of many behind this bound.
        request.headers["Accept-Encoding"] = "identity"
        response = await super().handle_async_request(request)
        if request.method == "POST":
            self.refused = None if response.is_success else response.status_code
        if response.headers.get("Content-Encoding", "identity") != "identity":
            await response.aclose()
            raise self.break_off("The tool server compressed its answer although it was asked not to.")
        if not isinstance(response.stream, httpx2.AsyncByteStream):
            raise AssertionError("an asynchronous transport has asynchronous bodies")
        response.stream = _Bounded(response.stream, self)
        return response

    def break_off(self, message: str) -> EngineError:
        self.broke = EngineError("server_error", message)
        return self.broke


class _Bounded(httpx2.AsyncByteStream):
    """A body that breaks off where it becomes too long."""

    def __init__(self, stream: httpx2.AsyncByteStream, transport: BoundedTransport) -> None:
        self._stream = stream
        self._transport = transport

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MAX_BODY
        async for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                raise self._transport.break_off(f"The tool server's answer has more than {MAX_BODY} bytes.")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
