"""An endpoint for transcripts, answers and voices that takes exactly as long as it is told: the set-up of DESIGN section 7.

    python -m bench.stub --stt 0.1 --llm 0.1 --token 0.01 --tts 0.1

It prints its port. Times are in seconds and counted from the arrival of the request, so that the stub's own work is part of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from contextlib import suppress

import numpy as np
from aiohttp import web

HEARD = "Where can I find the nearest station?"

FIRST_CLAUSE = "Yes, of course I can do that."
"""Seven tokens; the clause is known to be whole with the eighth, which begins the next."""

TOKENS = (*FIRST_CLAUSE.replace(" ", "| ").split("|"), " What", " would", " you", " like", " to", " know?", " Just", " tell", " me.")

FIRST_CLAUSE_TOKENS = 8

CLAUSE_SECONDS = 0.5
"""Sound of each clause, unless `--sound` says otherwise."""

RATE = 24_000

HEAD = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
CHUNK = HEAD + b'"choices":[{"index":0,"delta":%s,"finish_reason":%s}]}\n\n'


class Pace:
    """When what of one reply is due."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived = self._loop.time()

    async def until(self, seconds: float) -> None:
        """After the arrival."""
        await asyncio.sleep(self._arrived + seconds - self._loop.time())


def hum(seconds: float) -> bytes:
    at = np.arange(round(seconds * RATE)) / RATE
    return (np.sin(2 * np.pi * 220 * at) * 3000).astype(np.int16).tobytes()


def app(options: argparse.Namespace) -> web.Application:
    sound = hum(options.sound)
    piece = round(options.piece * RATE) * 2 or len(sound)

    async def transcribe(request: web.Request) -> web.Response:
        pace = Pace()
        await request.read()
        await pace.until(options.stt)
        return web.json_response({"text": HEARD})

    async def complete(request: web.Request) -> web.StreamResponse:
        pace = Pace()
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        with suppress(ConnectionResetError):  # they were interrupted
            await response.prepare(request)
            for index, token in enumerate(TOKENS):
                await pace.until(options.llm + index * options.token)
                await response.write(CHUNK % (json.dumps({"content": token}).encode(), b"null"))
            await response.write(CHUNK % (b"{}", b'"stop"') + b"data: [DONE]\n\n")
        return response

    async def speak(request: web.Request) -> web.StreamResponse:
        pace = Pace()
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        await pace.until(options.tts)
        with suppress(ConnectionResetError):
            await response.prepare(request)
            for index, start in enumerate(range(0, len(sound), piece)):
                await pace.until(options.tts + index * options.piece_pace)
                await response.write(sound[start : start + piece])
        return response

    made = web.Application(client_max_size=1 << 26)
    made.router.add_post("/v1/audio/transcriptions", transcribe)
    made.router.add_post("/v1/chat/completions", complete)
    made.router.add_post("/v1/audio/speech", speak)
    return made


async def serve(options: argparse.Namespace) -> None:
    # A client that leaves is told to the handler at once, as endpoints do: an answer that was interrupted costs nothing more.
    runner = web.AppRunner(app(options), handler_cancellation=True, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("stt", 0.0), ("llm", 0.0), ("token", 0.0), ("tts", 0.0), ("sound", CLAUSE_SECONDS)):
        parser.add_argument(f"--{name}", type=float, default=default)
    parser.add_argument("--piece", type=float, default=0.0, help="seconds of sound written at once; all of it by default")
    parser.add_argument("--piece-pace", type=float, default=0.0, help="seconds between two pieces")
    asyncio.run(serve(parser.parse_args()))
