"""An OpenTelemetry collector that takes traces by OTLP over HTTP, and keeps them."""

from __future__ import annotations

import asyncio
import gzip
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """`async with Collector() as collector:` it listens inside."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.service: dict[str, Any] = {}
        """What the daemon says of itself."""
        self.came = asyncio.Event()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        # aiohttp unpacks what says that it is packed
        told = ExportTraceServiceRequest.FromString(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
        for resource in told.resource_spans:
            self.service |= {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        self.came.set()
        return web.Response()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/traces", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._runner.cleanup()

    def named(self, name: str) -> list[Span]:
        """Those whose name begins so."""
        return [span for span in self.spans if span.name.split()[0] == name]


def attributes(span: Span) -> dict[str, Any]:
    """Plain values; lists as lists."""
    return {each.key: _value(each.value) for each in span.attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)
