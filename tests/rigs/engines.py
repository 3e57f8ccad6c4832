"""The scripted engines as a session needs them, with a worker thread of their own."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from realtime.engines.scripted import (
    ScriptedLlm,
    ScriptedReader,
    ScriptedStt,
    ScriptedToolServers,
    ScriptedTts,
    ScriptedVad,
)
from realtime.ports import Llm, MediaReader, Stt, ToolServers, Tts, Vad
from realtime.runner.detection import Detection
from realtime.runner.perform import Engines


@contextmanager
def scripted_engines(
    llm: Llm | None = None,
    stt: Stt | None = None,
    tts: Tts | None = None,
    vad: Vad | None = None,
    tool_servers: ToolServers | None = None,
    media: MediaReader | None = None,
    *,
    mute: bool = False,
) -> Iterator[Engines]:
    """`mute`: there is no voice at all."""
    with ThreadPoolExecutor(1) as workers:
        yield Engines(
            llm=llm or ScriptedLlm(),
            stt=stt or ScriptedStt(),
            tts=None if mute else tts or ScriptedTts(),
            detection=Detection(vad or ScriptedVad(), workers, 1),
            tool_servers=tool_servers or ScriptedToolServers(),
            media=media or ScriptedReader(),
            workers=workers,
        )
