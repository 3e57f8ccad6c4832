from __future__ import annotations

import asyncio
import json
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from realtime.engines.models import VOICE_FILE, VOICES
from realtime.engines.piper import CHUNK_SECONDS, MAX_PIECE, MAX_SPEED, MAX_WAITING, MIN_SPEED, Piper
from realtime.engines.whisper import WhisperStt
from realtime.errors import EngineError
from realtime.media.pcm import to_float
from realtime.media.resample import resample
from realtime.ports import EAR_RATE, Int16
from tests.rigs.recordings import word_error_rate
from tests.rigs.speech_models import model_folder

SENTENCE = "Sure, I can help you with that."

SAID = [
    "The weather will be sunny tomorrow, with a light wind from the west.",
    "I have moved your meeting to Thursday afternoon.",
    "Would you like me to read the message again?",
    "Please turn left at the next corner and walk past the library.",
    "There is nothing in your calendar for the rest of the day.",
]

RATE = 22_050
"""Samples a second of the voice of the catalogue."""


@pytest.fixture(scope="module")
def file() -> Path:
    return model_folder(VOICES[0]) / VOICE_FILE


@pytest.fixture(scope="module")
def voice(file: Path) -> Iterator[Piper]:
    voice = Piper.load(file, "joe")
    yield voice
    asyncio.run(voice.close())


async def say(voice: Piper, text: str, *, name: str = "alloy", speed: float = 1.0) -> Int16:
    chunks = [chunk async for chunk in voice.speak(text, voice=name, speed=speed)]
    return np.concatenate(chunks) if chunks else np.zeros(0, np.int16)


@pytest.mark.timeout(600)  # The models may have to be fetched.
async def test_whisper_reads_back_what_the_voice_says(voice: Piper) -> None:
    stt = WhisperStt.load(model_folder("tiny.en"), "tiny.en")
    heard = []
    for text in SAID:
        sound = resample(to_float(await say(voice, text)), RATE, EAR_RATE)
        heard.append((await stt.transcribe(sound, language="en", prompt=None)).text)
    await stt.close()
    assert word_error_rate(SAID, heard) <= 0.05


@pytest.mark.timeout(600)
async def test_sound_comes_in_pieces_of_a_tenth_of_a_second(voice: Piper) -> None:
    assert (voice.name, voice.sample_rate) == ("joe", RATE)
    chunks = [chunk async for chunk in voice.speak(SENTENCE, voice="alloy", speed=1.0)]
    assert {len(chunk) for chunk in chunks[:-1]} == {round(RATE * CHUNK_SECONDS)}
    assert {chunk.dtype for chunk in chunks} == {np.dtype(np.int16)}
    assert 1.2 < sum(map(len, chunks)) / RATE < 3.0


@pytest.mark.parametrize("text", ["", "...", "😀", "```"])
async def test_text_that_cannot_be_spoken_is_no_sound(voice: Piper, text: str) -> None:
    assert len(await say(voice, text)) == 0


@pytest.mark.parametrize("text", ["9" * 400, "x" * 700, "日本語 mixed in", "½ ² ①", "<b>{}\\n$", "\x00a", "[[", "]] [["])
async def test_odd_text_is_spoken_as_far_as_it_can_be(voice: Piper, text: str) -> None:
    assert (await say(voice, text)).dtype == np.int16


async def test_a_slower_voice_takes_longer(voice: Piper) -> None:
    slow, normal, fast = [len(await say(voice, SENTENCE, speed=speed)) for speed in (0.5, 1.0, 1.5)]
    assert 1.6 < slow / normal < 2.4
    assert 0.55 < fast / normal < 0.85


def test_a_missing_file_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"no file .*nobody\.onnx\.") as caught:
        Piper.load(tmp_path / "nobody.onnx", "nobody")
    assert caught.value.code == "model_not_found"


def test_a_voice_without_its_description_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "voice.onnx").touch()
    with pytest.raises(EngineError, match=r"no file .*voice\.onnx\.json"):
        Piper.load(tmp_path / "voice.onnx", "voice")


@pytest.mark.parametrize("description", ["{}", "not JSON", None])
def test_a_broken_voice_is_said_plainly(tmp_path: Path, file: Path, description: str | None) -> None:
    (tmp_path / "voice.onnx").write_bytes(b"not a model")
    whole = file.with_name(file.name + ".json").read_text(encoding="utf-8")
    (tmp_path / "voice.onnx.json").write_text(whole if description is None else description, encoding="utf-8")
    with pytest.raises(EngineError, match="can't be loaded") as caught:
        Piper.load(tmp_path / "voice.onnx", "voice")
    assert caught.value.code == "model_unavailable"


def test_a_voice_that_can_not_speak_is_found_out_while_loading(tmp_path: Path, file: Path) -> None:
    shutil.copy(file, tmp_path / "voice.onnx")
    description = json.loads(file.with_name(file.name + ".json").read_text(encoding="utf-8"))
    description["espeak"]["voice"] = "no such language"
    (tmp_path / "voice.onnx.json").write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(EngineError, match="can't be loaded"):
        Piper.load(tmp_path / "voice.onnx", "voice")


def test_a_missing_package_is_said_plainly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("voice.onnx", "voice.onnx.json"):
        (tmp_path / name).touch()
    monkeypatch.setitem(sys.modules, "piper", None)
    with pytest.raises(EngineError, match="extra `piper`") as caught:
        Piper.load(tmp_path / "voice.onnx", "voice")
    assert caught.value.code == "model_not_found"


class Reader:
    """Stands for `piper.PiperVoice`: five speakers, three sentences for every text."""

    def __init__(self, sentences: int = 3) -> None:
        self.config = SimpleNamespace(sample_rate=1000, speaker_id_map={"p225": 4}, num_speakers=5, length_scale=1.2)
        self.texts: list[str] = []
        self.asked: list[tuple[int | None, float]] = []
        self.spoken = 0
        self.may_go_on = threading.Semaphore(0)
        self._sentences = sentences

    def synthesize(self, text: str, config: object) -> Iterator[SimpleNamespace]:
        self.texts.append(text)
        self.asked.append((config.speaker_id, config.length_scale))  # type: ignore[attr-defined]  # piper.SynthesisConfig
        for _ in range(self._sentences):
            assert self.may_go_on.acquire(timeout=10)
            self.spoken += 1
            yield SimpleNamespace(audio_float_array=np.full(150, 0.5, np.float32))

    def go_on(self, sentences: int = 1000) -> Reader:
        self.may_go_on.release(sentences)
        return self


def reading(reader: object, **voices: str) -> Piper:
    return Piper(reader, "reader", voices=voices, workers=1)  # type: ignore[arg-type]  # as much of a voice as it needs


@pytest.mark.parametrize(("name", "speaker"), [("alloy", 0), ("coral", 3), ("p225", 4), ("nova", 4), ("cedar", None), ("?", None)])
async def test_names_stand_for_speakers(name: str, speaker: int | None) -> None:
    reader = Reader().go_on()
    voice = reading(reader, nova="p225")
    await say(voice, SENTENCE, name=name)
    await voice.close()
    assert reader.asked == [(speaker, 1.2)]


@pytest.mark.parametrize(("speed", "scale"), [(0.5, 2.4), (0.0, 1.2 / MIN_SPEED), (9.0, 1.2 / MAX_SPEED)])
async def test_speed_stretches_what_is_normal_for_the_voice(speed: float, scale: float) -> None:
    reader = Reader().go_on()
    voice = reading(reader)
    await say(voice, SENTENCE, speed=speed)
    await voice.close()
    [(_, asked)] = reader.asked
    assert asked == pytest.approx(scale)


async def test_a_sentence_is_heard_before_the_next_is_made() -> None:
    reader = Reader().go_on(1)
    voice = reading(reader)
    stream = voice.speak(SENTENCE, voice="alloy", speed=1.0)
    assert [len(await anext(stream)), len(await anext(stream))] == [100, 50]
    assert reader.spoken == 1
    reader.go_on()
    assert [len(piece) async for piece in stream] == [100, 50, 100, 50]
    await voice.close()


async def test_a_listener_who_leaves_stops_the_voice() -> None:
    reader = Reader(1000).go_on(1)
    voice, begun = reading(reader), asyncio.Event()

    async def listen() -> None:
        async for _ in voice.speak(SENTENCE, voice="alloy", speed=1.0):
            begun.set()

    listening = asyncio.create_task(listen())
    await begun.wait()
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    reader.go_on()
    await voice.close()
    assert reader.spoken <= 2


async def test_no_run_is_longer_than_the_limit_and_phonemes_are_never_spelled_out() -> None:
    reader = Reader().go_on()
    voice = reading(reader)
    await say(voice, "word [[həˈloʊ]] " * 50)
    await voice.close()
    assert len(reader.texts) > 1
    assert max(map(len, reader.texts)) <= MAX_PIECE
    assert "[[" not in "".join(reader.texts)


async def test_clauses_beyond_the_queue_are_refused() -> None:
    reader = Reader(1)
    voice = reading(reader)
    accepted = [asyncio.create_task(say(voice, SENTENCE)) for _ in range(1 + MAX_WAITING)]
    refused = asyncio.create_task(say(voice, SENTENCE))
    with pytest.raises(EngineError, match="too much work"):
        await refused
    reader.go_on()
    assert {len(sound) for sound in await asyncio.gather(*accepted)} == {150}
    await voice.close()


async def test_what_the_voice_raises_is_an_engine_error() -> None:
    class Mute(Reader):
        def synthesize(self, text: str, config: object) -> Iterator[SimpleNamespace]:
            raise ValueError("no phonemes")
            yield

    voice = reading(Mute())
    with pytest.raises(EngineError, match="could not speak") as caught:
        await say(voice, SENTENCE)
    assert caught.value.code == "speech_failed"
    await voice.close()


def sounds(audio: NDArray[np.int16]) -> bool:
    return bool(np.abs(audio).max() > 1000)


async def test_one_voice_can_speak_to_two_listeners_at_once(voice: Piper) -> None:
    one, other = await asyncio.gather(say(voice, SAID[0]), say(voice, SAID[1]))
    assert sounds(one)
    assert sounds(other)
