"""An endpoint for transcripts and voices on the loopback that answers as it is told: `chat_endpoint` with other paths and bodies.

async with SpeechEndpoint() as ear, SpeechEndpoint() as voice:
    ear.script(refusal(429), transcription("Hello."))
    voice.script(sound(b"\\x00", gate, b"\\x01"))
"""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from aiohttp import BodyPartReader, web

from realtime.ports import Int16
from tests.rigs.chat_endpoint import ChatEndpoint, Reply, Step

HEARD = "Good morning."
"""What is understood when the script is at its end."""

VOICE_RATE = 24_000
"""Samples a second of what is spoken."""

SOUND_SECONDS = 0.3
"""Length of what is spoken when the script is at its end."""


@dataclass(frozen=True)
class Form:
    """A form as it arrived."""

    fields: dict[str, str]
    file: bytes
    filename: str
    type: str
    """Of the file."""


def hum(seconds: float = SOUND_SECONDS) -> Int16:
    """A tone at `VOICE_RATE`."""
    at = np.arange(round(seconds * VOICE_RATE)) / VOICE_RATE
    return (np.sin(2 * np.pi * 330 * at) * 9000).astype(np.int16)


def transcription(text: str, **more: Any) -> Reply:
    """A transcript, as JSON."""
    return json_reply({"text": text, **more})


def json_reply(body: Any) -> Reply:
    """Any JSON with status 200; bytes are taken as they are."""
    return Reply((body if isinstance(body, bytes) else msgspec.json.encode(body),), headers={"Content-Type": "application/json"})


def sound(*steps: Step, type: str = "audio/pcm") -> Reply:
    """These bytes as a sound."""
    return Reply(steps, headers={"Content-Type": type})


def read_wav(data: bytes) -> tuple[int, int, int, Int16]:
    """Rate, channels, bytes of a sample, and samples of a WAV file."""
    with wave.open(io.BytesIO(data)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        return file.getframerate(), file.getnchannels(), file.getsampwidth(), samples


class SpeechEndpoint(ChatEndpoint):
    """The stub. The body of a request for a transcript is a `Form`, of one for speech its JSON."""

    paths = ("/v1/audio/transcriptions", "/v1/audio/speech")

    async def _decoded(self, request: web.Request) -> Any:
        if not request.content_type.startswith("multipart/"):
            return await super()._decoded(request)
        fields, files = {}, []
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            content = bytes(await part.read())
            if part.filename is None:
                fields[str(part.name)] = content.decode()
            else:
                files.append((content, part.filename, part.headers["Content-Type"]))
        [file] = files
        return Form(fields, *file)

    def _otherwise(self, request: web.Request) -> Reply:
        return sound(hum().tobytes()) if request.path.endswith("speech") else transcription(HEARD)
