"""The bound on answers; refusals and answers that are compressed or too long are tried through the package in test_mcp_client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import httpx2
import pytest
from aiohttp import web

from realtime.engines.mcp_transport import MAX_BODY, BoundedTransport
from realtime.errors import EngineError


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async def handler(request: web.Request) -> web.Response:
        size = int(request.query["size"])
        return web.Response(body=b"x" * size, status=int(request.query.get("status", "200")))

    app = web.Application()
    app.router.add_route("*", "/", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


async def test_an_answer_may_have_just_so_many_bytes(url: str) -> None:
    transport = BoundedTransport()
    async with httpx2.AsyncClient(transport=transport) as http:
        assert len((await http.post(url, params={"size": MAX_BODY})).content) == MAX_BODY
        assert transport.broke is None
        with pytest.raises(EngineError, match=f"more than {MAX_BODY} bytes") as caught:
            await http.post(url, params={"size": MAX_BODY + 1})
        assert transport.broke is caught.value


@pytest.mark.parametrize(
    ("method", "status", "refused"),
    [
        (lambda http: http.post, 200, None),
        (lambda http: http.post, 307, 307),
        (lambda http: http.post, 503, 503),
        (lambda http: http.get, 405, None),
    ],
)
async def test_the_status_of_a_refused_message_is_remembered(
    url: str, method: Callable[[httpx2.AsyncClient], Callable[..., object]], status: int, refused: int | None
) -> None:
    transport = BoundedTransport()
    async with httpx2.AsyncClient(transport=transport) as http:
        await method(http)(url, params={"size": 0, "status": status})  # type: ignore[misc]  # either of two methods
        assert transport.refused == refused
