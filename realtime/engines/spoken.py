"""The spoken answer of a chat model, as endpoints stream it: base64 cut anywhere, and words that may be told twice.

Owns what the pieces of sound and of transcript mean together. Refuses JSON (`completions`) and any sound but mono PCM16.

Observed: OpenAI sends `delta.audio.data` and `.transcript`, and no content. Qwen-Omni's compatible endpoint sends headless PCM16 at 24 kHz
although it is asked for `wav`, and its words as `transcript`, as content, or both. vLLM-Omni sends sound as the *content* of chunks that
say `modality: audio`, often a whole WAV file in each (vllm-project/vllm-omni#5451).
"""

from __future__ import annotations

import binascii
from typing import Literal

from realtime.engines.sound_stream import wav_layout
from realtime.errors import EngineError
from realtime.media import pcm, wav
from realtime.ports import AudioDelta

RATE = 24_000
"""Samples a second of sound that does not say: what OpenAI's and Qwen's models make."""

Source = Literal["content", "transcript"]


class Words:
    """The words of one answer, told by one source, by two in turns, or by two that say the same."""

    __slots__ = ("_said", "_told")

    def __init__(self) -> None:
        self._said = ""
        self._told: dict[Source, str] = {}

    def read(self, source: Source, text: str) -> str:
        """Return what of a piece is news."""
        told = self._told.get(source, "") + text
        self._told[source] = told
        if len(self._told) > 1:
            if self._said.startswith(told):
                return ""
            if told.startswith(self._said):
                text = told[len(self._said) :]
        self._said += text
        return text


class Sounds:
    """The sound of one answer, from base64 in pieces."""

    __slots__ = ("_bytes", "_rate", "_text")

    def __init__(self) -> None:
        self._text = ""
        """Characters that make no whole bytes yet."""
        self._bytes = b""
        """Bytes that make no whole sample yet, or no whole header."""
        self._rate: int | None = None

    def read(self, data: str) -> AudioDelta | None:
        """Return the samples that became whole. Raises `EngineError` for what is not base64, or not PCM16."""
        raw = self._bytes + self._decoded(data)
        self._bytes = b""
        if raw and wav.begins(raw):
            layout = wav_layout(raw)
            if layout is None:
                self._bytes = raw
                return None
            self._settle(layout.rate)
            raw = raw[layout.start : layout.end]
        if len(raw) % pcm.BYTES_PER_SAMPLE:
            raw, self._bytes = raw[:-1], raw[-1:]
        if not raw:
            return None
        self._rate = self._rate or RATE
        return AudioDelta(pcm.from_bytes(raw), self._rate)

    def _settle(self, rate: int) -> None:
        if self._rate not in (None, rate):
            raise EngineError("server_error", f"The endpoint went from {self._rate} to {rate} Hz in the middle of an answer.")
        self._rate = rate

    def _decoded(self, data: str) -> bytes:
        if data.startswith("data:"):
            data = data.partition(",")[2]
        text = self._text + "".join(data.split())
        end = len(text) - len(text) % 4
        self._text = text[end:]
        try:
            return binascii.a2b_base64(text[:end], strict_mode=True)
        except ValueError as error:  # binascii.Error, and characters beyond ASCII
            raise EngineError("server_error", f"The endpoint sent sound that is not base64: {error}.") from error
