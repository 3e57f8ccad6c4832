"""What one text delta costs: CPU time of the whole daemon against the wire floor, in one run.

    python -m bench.text_delta [--effort full]

The floor does only what cannot be left out: POST to the endpoint, split its SSE stream, decode each chunk, send one delta frame for each
token (aiohttp, msgspec, websockets; no session, no checks, no retries). Both servers answer the same client from the same stub endpoint,
in turns. CPU time is the kernel's count of nanoseconds for the server process, all threads. Two arrivals of tokens:

  burst   the endpoint writes as fast as it can: many tokens in one read
  paced   one token each 0.5 ms: every token is a read, a wake-up and a write of its own
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from bench.figures import Effort, Figure, Step, alone, beside
from bench.processes import Server, daemon, started

BUDGET = 1.5
"""Daemon over floor."""

PACE_SECONDS = 0.0005

WORD = " word"

JSON = {"Content-Type": "application/json"}


# The endpoint


async def endpoint() -> None:
    """Streams as many tokens as the last user message asks for: `<count> <pace in seconds>`."""
    from aiohttp import web

    head = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
    chunk = head + b'"choices":[{"index":0,"delta":%s,"finish_reason":%s}]}\n\n'
    token = chunk % (json.dumps({"content": WORD}).encode(), b"null")

    async def completions(request: web.Request) -> web.StreamResponse:
        count, pace = (await request.json())["messages"][-1]["content"].split()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        loop = asyncio.get_running_loop()
        start = loop.time()
        for index in range(int(count)):
            await response.write(token)
            if float(pace):
                await asyncio.sleep(start + (index + 1) * float(pace) - loop.time())
        await response.write(chunk % (b"{}", b'"stop"') + b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", completions)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


# The floor


class Delta(msgspec.Struct):
    content: str | None = None


class Choice(msgspec.Struct):
    delta: Delta


class Chunk(msgspec.Struct):
    choices: list[Choice]


class TextDelta(msgspec.Struct, tag="response.output_text.delta"):
    event_id: str
    response_id: str
    item_id: str
    output_index: int
    content_index: int
    delta: str


async def floor(url: str) -> None:
    import aiohttp
    from websockets.asyncio.server import ServerConnection, serve

    decode, encode = msgspec.json.Decoder(Chunk).decode, msgspec.json.Encoder().encode
    async with aiohttp.ClientSession() as http:

        async def handle(socket: ServerConnection) -> None:
            messages: list[dict[str, str]] = []
            async for frame in socket:
                event = json.loads(frame)
                if event["type"] == "conversation.item.create":
                    messages.append({"role": "user", "content": event["item"]["content"][0]["text"]})
                if event["type"] != "response.create":
                    continue
                body, said = encode({"model": "m", "stream": True, "messages": messages}), []
                async with http.post(f"{url}/chat/completions", data=body, headers=JSON) as reply:
                    rest = b""
                    async for data in reply.content.iter_any():
                        *lines, rest = (rest + data).split(b"\n\n")
                        for line in lines:
                            if line == b"data: [DONE]":
                                break
                            text = decode(line[6:]).choices[0].delta.content
                            if text:
                                said.append(text)
                                await socket.send(encode(TextDelta("event_1", "resp_1", "item_1", 0, 0, text)), text=True)
                messages.append({"role": "assistant", "content": "".join(said)})
                await socket.send('{"type":"response.done","response":{"status":"completed"}}')

        async with serve(handle, "127.0.0.1", 0, compression=None) as server:
            print(next(iter(server.sockets)).getsockname()[1], flush=True)
            await asyncio.Event().wait()


# The measurement


@contextlib.asynccontextmanager
async def session(port: int) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://127.0.0.1:{port}/v1/realtime", max_size=None, compression=None) as socket:
        update = {"type": "session.update", "session": {"type": "realtime", "output_modalities": ["text"]}}
        await socket.send(json.dumps(update))
        yield socket


async def answer(socket: ClientConnection, deltas: int, pace: float) -> int:
    """Ask for an answer and read it; returns how many deltas came."""
    content = [{"type": "input_text", "text": f"{deltas} {pace}"}]
    await socket.send(json.dumps({"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": content}}))
    await socket.send(json.dumps({"type": "response.create"}))
    count = 0
    async for frame in socket:
        if '"response.output_text.delta"' in frame[:60]:
            count += 1
        elif '"response.done"' in frame[:60]:
            assert '"status":"completed"' in frame, frame
            return count
    raise SystemExit("the socket was closed")


async def cost_us(server: Server, deltas: int, pace: float) -> float:
    """Microseconds of the server's CPU for each delta, in one answer."""
    async with session(server.port) as socket:
        await answer(socket, 200, 0)  # connections, caches and code paths are warm
        before = server.cpu_ns()
        count = await answer(socket, deltas, pace)
        spent = server.cpu_ns() - before
    assert count == deltas, (count, deltas)
    return spent / deltas / 1000


def measure(effort: Effort, step: Step) -> list[Figure]:
    deltas = effort.of(40_000)
    figures = []
    with started("-m", "bench.text_delta", "--role", "endpoint") as upstream:
        url = upstream.base_url
        quiet = ("--stt", "scripted", "--tts", "none", "--vad", "scripted", "--llm", "endpoint", "--base-url", url)
        with started("-m", "bench.text_delta", "--role", "floor", "--url", url) as bare, daemon(*quiet) as server:
            for name, pace, count in (("burst", 0.0, deltas), ("paced", PACE_SECONDS, deltas // 10)):
                step(name)
                pairs = [(asyncio.run(cost_us(bare, count, pace)), asyncio.run(cost_us(server, count, pace))) for _ in range(effort.rounds)]
                figures.append(beside(f"text_delta.{name}", "us", pairs, budget=BUDGET))
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--role", choices=("endpoint", "floor"))
    parser.add_argument("--url")
    asked, _ = parser.parse_known_args()
    if asked.role == "endpoint":
        asyncio.run(endpoint())
    elif asked.role == "floor":
        asyncio.run(floor(asked.url))
    else:
        alone(measure)
