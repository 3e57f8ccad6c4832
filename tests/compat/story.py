"""An answer that is surely still being given when somebody speaks into it, and how the SDKs are spoken to."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator

import numpy as np

from realtime.ports import Int16
from tests.rigs.chat_endpoint import ChatEndpoint, answer
from tests.rigs.sounds import FRAME, silence, tone

BEGINNING = "Once upon a time there was a fox. "
"""The first clause, two seconds of sound. The endpoint holds back the rest."""

PLAYED_MS = 400
"""Of that, what was heard before the listener spoke."""

QUESTION = np.concatenate([tone(0.6), silence(5.0)])
"""What the scripted ear hears as `SENTENCE`, and a silence that ends a turn for every kind of turn detection."""

INTERRUPTION = tone(0.6)
"""The listener begins to speak."""

PICTURE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PIXEL = (1, 1)
"""It is one."""


def begin_story(endpoint: ChatEndpoint) -> asyncio.Event:
    """Have the endpoint begin the long answer to the next request; return the gate before its end."""
    gate = asyncio.Event()
    endpoint.script(answer(BEGINNING, gate, "The end."))
    return gate


def frames(sound: Int16) -> Iterator[bytes]:
    """Pieces of 20 ms."""
    for start in range(0, len(sound), FRAME):
        yield sound[start : start + FRAME].tobytes()


async def speak(append: Callable[..., Awaitable[object]], sound: Int16) -> None:
    """Say it to a client of the openai package: `append` takes base64."""
    for frame in frames(sound):
        await append(audio=b64encode(frame).decode())
