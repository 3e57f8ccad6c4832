"""Ears, voices, detectors and readers that do their work in no time, or late, or never, or break."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import numpy as np
from msgspec import Raw

from realtime.engines.scripted import GREY
from realtime.errors import EngineError, MediaError
from realtime.media.readings import Reading, Wanted, WantedPicture
from realtime.ports import EAR_RATE, VAD_WINDOW, Float32, Int16, TokenLogprob, Transcript
from realtime.wire.items import ListedTool
from realtime.wire.mcp import McpTool
from tests.simulation.loop import Process, process

LOUD = 0.1
"""Mean level of a window that is speech."""

VOICE_RATE = 8_000
"""Samples a second of the voice: little, for it costs time."""

HEARD = ("", "Hello.", "What is this?", "What is", "and another thing", "Thank you.")


class Fault(Exception):
    """What no engine foresees."""


class Misfortune:
    """What befalls the engines; `rate` (0..1) is how often something does."""

    def __init__(self, dice: Random, faults: Counter[str]) -> None:
        self.dice, self._faults = dice, faults
        self.rate = 0.0
        self.working: Counter[Process | None] = Counter()
        """Voices that speak, by daemon."""

    async def befall(self, engine: str) -> None:
        """Take one's time, and then perhaps break."""
        dice = self.dice
        await asyncio.sleep(dice.expovariate(10))
        if dice.random() >= self.rate:
            return
        fault = dice.choice(("foreseen", "raises", "slow", "hangs"))
        self._faults[f"{engine} {fault}"] += 1
        match fault:
            case "foreseen":
                raise EngineError("overloaded", "Too much to do.")
            case "raises":
                raise Fault(engine)
            case "slow":
                await asyncio.sleep(dice.uniform(2, 20))
            case "hangs":
                await asyncio.sleep(dice.uniform(60, 90))

    def raises(self, engine: str) -> bool:
        """Of what is not awaited."""
        if self.dice.random() >= self.rate / 20:
            return False
        self._faults[f"{engine} raises"] += 1
        return True


class Ear:
    """`Stt`."""

    name = "ear"

    def __init__(self, luck: Misfortune) -> None:
        self._luck = luck

    async def transcribe(
        self, audio: Float32, *, language: str | None, prompt: str | None, logprobs: bool = False, partial: bool = False
    ) -> Transcript:
        await self._luck.befall("stt")
        text = self._luck.dice.choice(HEARD)
        tokens = tuple(TokenLogprob(f" {word}", -0.1) for word in text.split()) if logprobs else ()
        return Transcript(text, len(audio) / EAR_RATE, language, self._luck.dice.random(), -self._luck.dice.random(), tokens)

    async def close(self) -> None: ...


class Voice:
    """`Tts`."""

    name = "voice"
    sample_rate = VOICE_RATE

    def __init__(self, luck: Misfortune) -> None:
        self._luck = luck

    async def speak(self, text: str, *, voice: str, speed: float) -> AsyncIterator[Int16]:
        self._luck.working[process.get()] += 1
        try:
            for _ in range(1 + len(text) // 30):
                await self._luck.befall("tts")
                yield np.ones(VOICE_RATE // 10, np.int16)
        finally:
            self._luck.working[process.get()] -= 1

    async def close(self) -> None: ...


class Detector:
    """`Vad`: what is loud is speech."""

    def __init__(self, luck: Misfortune) -> None:
        self._luck = luck

    def open(self) -> DetectorStream:
        return DetectorStream(self._luck)


class DetectorStream:
    """`VadStream`."""

    def __init__(self, luck: Misfortune) -> None:
        self._luck = luck
        self._rest = np.zeros(0, np.float32)

    def score(self, audio: Float32) -> list[float]:
        if self._luck.raises("vad"):
            raise Fault("vad")
        audio = np.concatenate((self._rest, audio))
        whole = len(audio) // VAD_WINDOW
        windows, self._rest = audio[: whole * VAD_WINDOW], audio[whole * VAD_WINDOW :]
        levels: list[float] = np.abs(windows.reshape(whole, VAD_WINDOW)).mean(axis=1).tolist()
        return [0.95 if level > LOUD else 0.02 for level in levels]


class Judge:
    """`TurnJudge`."""

    name = "judge"

    def __init__(self, luck: Misfortune) -> None:
        self._luck = luck

    async def judge(self, audio: Float32) -> float:
        await self._luck.befall("judge")
        return self._luck.dice.random()

    async def close(self) -> None: ...


class Tools:
    """`ToolServers`."""

    def __init__(self, luck: Misfortune) -> None:
        self._luck = luck

    async def tools(self, server: McpTool) -> tuple[ListedTool, ...]:
        await self._luck.befall("mcp")
        return (ListedTool("add", {"type": "object"}), ListedTool("disk.wipe", {"type": "object"}, None, {"readOnlyHint": True}))

    async def call(self, server: McpTool, name: str, arguments: dict[str, Any]) -> str:
        await self._luck.befall("mcp")
        return "4"

    async def close(self) -> None: ...


class Reader:
    """`MediaReader`."""

    def __init__(self, luck: Misfortune) -> None:
        self._luck = luck

    async def read(self, file: str | bytes | Raw, wanted: Wanted) -> Reading:
        await self._luck.befall("media")
        if self._luck.dice.random() < 0.1:
            raise MediaError("invalid_image", "It is no picture.")
        if not isinstance(wanted, WantedPicture):
            raise MediaError("invalid_media", "It is nothing that can be heard.")
        return GREY

    async def close(self) -> None: ...
