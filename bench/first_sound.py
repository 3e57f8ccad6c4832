"""How soon is an answer heard once its first clause is written? The embedded voice, behind a model that writes at once.

    python -m bench.first_sound [--effort full]

From the token that shows the first clause to be whole, as the client is told it, to the first frame of sound. The floor is the voice alone,
in this process and in the same round, from the clause to its first piece of sound.
"""

from __future__ import annotations

import asyncio
import json
import time

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from bench.figures import Effort, Figure, Step, alone, beside, percentile
from bench.processes import daemon, started
from bench.stub import FIRST_CLAUSE
from bench.turn_latency import mouth
from realtime.engines.local_voice import LocalVoice

BUDGET_MS = 150
"""p50."""


class Told(msgspec.Struct):
    type: str
    delta: str = ""


_decode = msgspec.json.Decoder(Told).decode


async def asked_ms(socket: ClientConnection) -> float:
    """Milliseconds from the first clause to the first sound of one answer."""
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello?"}]}
    await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
    await socket.send(json.dumps({"type": "response.create"}))
    text, whole, sound = "", 0.0, 0.0
    while True:
        told = _decode(await socket.recv())
        if told.type == "response.output_audio_transcript.delta":
            text += told.delta
            if not whole and len(text) > len(FIRST_CLAUSE):
                whole = time.monotonic()
        elif told.type == "response.output_audio.delta":
            sound = sound or time.monotonic()
        elif told.type == "response.done":
            return (sound - whole) * 1000


async def alone_ms(voice: LocalVoice) -> float:
    begun = time.monotonic()
    async for _ in voice.speak(FIRST_CLAUSE, voice="marin", speed=1.0):
        break
    return (time.monotonic() - begun) * 1000


async def rounds(url: str, voice: LocalVoice, count: int) -> list[tuple[float, float]]:
    async with connect(url, max_size=None, proxy=None, compression=None) as socket:
        await asked_ms(socket)
        await alone_ms(voice)
        return [(await alone_ms(voice), await asked_ms(socket)) for _ in range(count)]


def measure(effort: Effort, step: Step) -> list[Figure]:
    voice = mouth()
    options = ("--stt", "scripted", "--vad", "scripted", "--turn-model", "words", "--tts", "local", "--llm", "endpoint", "--model", "stub")
    with started("-m", "bench.stub") as stub, daemon(*options, "--base-url", stub.base_url) as server:
        step("answers")
        pairs = asyncio.run(rounds(server.url, voice, effort.of(50, 3)))
    asyncio.run(voice.close())
    return [beside("first_sound", "ms", pairs, budget=BUDGET_MS, of="value", p95=percentile([value for _, value in pairs], 95))]


if __name__ == "__main__":
    alone(measure)
