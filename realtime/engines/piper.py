"""A voice of Piper's: one file for each of some forty languages, on the CPU. Needs the extra `piper`, which is GPL-3.0 and never a default.

Owns the threads that speak. Sound comes sentence by sentence: the network takes 8 % of the time that its sound plays (one thread, x86-64),
so the whole of a long text would keep a listener waiting for seconds. Only files that are here are loaded.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from realtime.engines.speakable import pieces, speakable
from realtime.engines.voices import renamed, speaker
from realtime.engines.workers import Workers
from realtime.errors import EngineError
from realtime.media.pcm import to_int16
from realtime.ports import Int16

if TYPE_CHECKING:
    from piper import AudioChunk, PiperVoice

CHUNK_SECONDS = 0.1
"""Of one piece of sound: small enough to stop soon, large enough that a sentence is a few dozen messages."""

MAX_PIECE = 300
"""Characters that one sentence may have, some 20 s of sound: a run can't be interrupted, and takes 1.5 s for these."""

MAX_WAITING = 32
"""Sentences that may wait for a worker: at some 200 ms each they are spoken within a few seconds, the longest that a listener waits."""

MIN_SPEED, MAX_SPEED = 0.25, 1.5
"""What the protocol allows (PROTOCOL 2.1, `audio.output.speed`)."""

WARM_UP = "1."
"""Spoken once while loading: every language has a word for it, and what a voice lacks is found out before somebody waits for it."""


class Piper:
    """Implements `ports.Tts`. Make it with `load`."""

    def __init__(self, voice: PiperVoice, name: str, *, voices: Mapping[str, str], workers: int) -> None:
        self.name = name
        self.sample_rate: int = voice.config.sample_rate
        self._voice = voice
        self._voices = voices
        self._workers = Workers(f"voice {name}", count=workers, max_waiting=MAX_WAITING)

    @classmethod
    def load(cls, path: Path, name: str, *, voices: Mapping[str, str] | None = None, workers: int | None = None) -> Piper:
        """Load the voice in an .onnx file, with its .onnx.json beside it; blocks for a second. Raises `EngineError`.

        `voices` gives clients' names for voices those of its speakers. `workers` is one for each core by default.
        """
        description = path.with_name(path.name + ".json")
        for file in (path, description):
            if not file.is_file():
                text = f"There is no file {file}. A voice of Piper's is an .onnx file with its .onnx.json beside it."
                raise EngineError("model_not_found", text)
        try:
            from piper import PiperConfig, PiperVoice
        except ImportError as error:
            raise EngineError("model_not_found", "Piper needs the extra `piper`: pip install 'realtime-daemon[piper]'.") from error
        try:
            config = PiperConfig.from_dict(json.loads(description.read_text(encoding="utf-8")))
            voice = PiperVoice(session=_session(path), config=config, download_dir=path.parent)
            for _ in voice.synthesize(WARM_UP):
                pass
        except Exception as error:
            # onnxruntime's exceptions share no base class of their own, and Piper's are whatever its tables run into.
            raise EngineError("model_unavailable", f"The voice in {path} can't be loaded: {error!r}") from error
        return cls(voice, name, voices=voices or {}, workers=workers or os.cpu_count() or 1)

    async def speak(self, text: str, *, voice: str, speed: float) -> AsyncIterator[Int16]:
        """Yield the sound in pieces of 100 ms. Text without a word that the voice can say yields nothing."""
        step = round(self.sample_rate * CHUNK_SECONDS)
        for piece in pieces(_plain(speakable(text)), MAX_PIECE):
            sentences = self._sentences(piece, voice, min(max(speed, MIN_SPEED), MAX_SPEED))
            while (sound := await self._workers.run(partial(_next, sentences))) is not None:
                for start in range(0, len(sound), step):
                    yield sound[start : start + step]

    @property
    def waiting(self) -> int:
        return self._workers.waiting

    async def close(self) -> None:
        await self._workers.close()

    def _sentences(self, text: str, voice: str, speed: float) -> Iterator[AudioChunk]:
        """Made one by one, as they are asked for."""
        from piper import SynthesisConfig

        config = self._voice.config
        speaker_id = speaker(renamed(voice, self._voices), config.speaker_id_map, config.num_speakers)
        return iter(self._voice.synthesize(text, SynthesisConfig(speaker_id=speaker_id, length_scale=config.length_scale / speed)))


def _session(path: Path) -> object:
    """On one thread: Piper's own choice, one for each core, took 1.5 to 3 times as long on a machine with other work."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _plain(text: str) -> str:
    # Piper reads [[...]] as phonemes: nothing that a model or a client wrote should be.
    return text.replace("[[", "[")


def _next(sentences: Iterator[AudioChunk], abandoned: Event) -> Int16 | None:
    """The sound of the next sentence, None at the end. A job that nobody waits for is over soon enough by itself."""
    try:
        sentence = next(sentences, None)
    except Exception as error:
        # As in `load`.
        raise EngineError("speech_failed", f"Piper could not speak: {error!r}") from error
    return None if sentence is None else to_int16(sentence.audio_float_array)
