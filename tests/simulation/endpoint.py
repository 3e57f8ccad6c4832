"""A chat-completions endpoint on the simulated network, which answers as endpoints do: mostly well, and otherwise in every way there is."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import suppress
from random import Random
from typing import Any

from tests.simulation.loop import SimulatedLoop

ADDRESS = "10.0.0.1:8000"

SENTENCES = (
    "Hello there. ",
    "I am well, thank you. ",
    "It is 3.14, roughly. ",
    "Yes! ",
    "No? ",
    "一二三。 ",
    "and so on and on ",
    "a" * 90 + " ",
)

FAULTS = (
    "500",
    "429",
    "400",
    "404",
    "garbage",
    "no_http",
    "silent",
    "closes",
    "cut",
    "reset",
    "stalls",
    "no_done",
    "error_event",
    "drip",
    "late",
)


class Endpoint:
    """What it does with a request is drawn when it comes; `fault_rate` (0..1) is how often that is a fault."""

    def __init__(self, loop: SimulatedLoop, dice: Random, faults: Counter[str]) -> None:
        self._loop, self._dice, self.faults = loop, dice, faults
        self.fault_rate = 0.0
        self.pace = 0.02
        """Seconds between tokens, the mean."""
        self.open: dict[Exchange, None] = {}
        """Connections."""
        self.requests = 0

    async def start(self) -> None:
        host, _, port = ADDRESS.rpartition(":")
        await self._loop.create_server(lambda: Exchange(self), host, port)

    def fate(self) -> str:
        if self._dice.random() >= self.fault_rate:
            return "well"
        fault = self._dice.choice(FAULTS)
        self.faults[f"endpoint {fault}"] += 1
        return fault

    def pieces(self) -> list[dict[str, Any]]:
        """Deltas of an answer."""
        dice = self._dice
        text = "".join(dice.choice(SENTENCES) for _ in range(dice.choice((0, 1, 1, 2, 3, 6))))
        deltas: list[dict[str, Any]] = [{"content": text[at : at + 6]} for at in range(0, len(text), 6)]
        if dice.random() < 0.15:
            begun = {"index": 0, "id": f"call_{dice.randrange(10**6)}", "function": {"name": "f", "arguments": ""}}
            deltas.append({"tool_calls": [begun]})
            deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in ('{"a"', ": 1", "}")]
        return deltas


class Exchange(asyncio.Protocol):
    """One connection."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._read = b""
        self._job: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._endpoint.open[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._endpoint.open.pop(self, None)
        if self._job is not None:
            self._job.cancel()

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self._read = body[_length(head) :]
        self._endpoint.requests += 1
        self._job = asyncio.get_running_loop().create_task(self._answer(self._endpoint.fate()))

    def pause_writing(self) -> None:
        """A token is a few bytes."""

    def resume_writing(self) -> None: ...

    async def _answer(self, fate: str) -> None:
        dice = self._endpoint._dice
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(dice.expovariate(1 / (20.0 if fate == "late" else 0.1)))
            if fate.isdigit():
                self._whole(int(fate), json.dumps({"error": {"message": "No.", "type": "server_error", "code": None}}))
            elif fate == "no_http":
                self._transport.write(b"\x16\x03\x01 what?\r\n\r\n")
            elif fate == "closes":
                self._transport.close()
            elif fate != "silent":
                await self._stream(fate)

    async def _stream(self, fate: str) -> None:
        endpoint, dice = self._endpoint, self._endpoint._dice
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        deltas = endpoint.pieces()
        breaks = dice.randrange(len(deltas) + 1)
        for at, delta in enumerate([*deltas, None]):
            if at == breaks and fate in ("cut", "reset", "stalls", "garbage", "error_event"):
                if fate == "stalls":
                    return
                if fate in ("garbage", "error_event"):
                    self._chunk(b"data: {]\n\n" if fate == "garbage" else b'data: {"error": {"message": "Out of it.", "code": 17}}\n\n')
                    continue
                self._transport.close() if fate == "cut" else self._transport.abort()
                return
            if delta is not None:
                self._event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
                await asyncio.sleep(dice.expovariate(1 / (2.0 if fate == "drip" else endpoint.pace)))
        if fate != "no_done":
            reason = dice.choice(("stop", "stop", "stop", "length", "content_filter", "tool_calls"))
            self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
            self._event({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": len(deltas)}})
            self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _event(self, told: dict[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(told).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _whole(self, status: int, body: str) -> None:
        retry = "Retry-After: 1\r\n" if status == 429 else ""
        self._transport.write(f"HTTP/1.1 {status} No\r\n{retry}Content-Length: {len(body)}\r\n\r\n{body}".encode())


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
