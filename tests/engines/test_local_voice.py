from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import hibari.voices
import numpy as np
import pytest
from numpy.typing import NDArray

from realtime.engines.local_voice import CHUNK, MAX_PIECE, MAX_SPEED, MAX_WAITING, MIN_SPEED, SAMPLE_RATE, LocalVoice
from realtime.engines.voices import HIBARI
from realtime.engines.whisper import WhisperStt
from realtime.errors import EngineError
from realtime.media.pcm import to_float
from realtime.media.resample import resample
from realtime.ports import EAR_RATE, Tts
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


@pytest.fixture(scope="module")
def voice() -> Iterator[LocalVoice]:
    voice = LocalVoice.load()
    yield voice
    asyncio.run(voice.close())


async def say(voice: Tts, text: str, *, name: str = "heart", speed: float = 1.0) -> NDArray[np.int16]:
    chunks = [chunk async for chunk in voice.speak(text, voice=name, speed=speed)]
    return np.concatenate(chunks) if chunks else np.zeros(0, np.int16)


@pytest.mark.timeout(600)  # The model may have to be fetched.
async def test_whisper_reads_back_what_the_voice_says(voice: LocalVoice) -> None:
    stt = WhisperStt.load(model_folder("tiny.en"), "tiny.en")
    heard = []
    for text in SAID:
        sound = resample(to_float(await say(voice, text)), SAMPLE_RATE, EAR_RATE)
        heard.append((await stt.transcribe(sound, language="en", prompt=None)).text)
    await stt.close()
    assert word_error_rate(SAID, heard) <= 0.05


async def test_sound_comes_in_pieces_of_a_tenth_of_a_second(voice: LocalVoice) -> None:
    chunks = [chunk async for chunk in voice.speak(SENTENCE, voice="alloy", speed=1.0)]
    assert {len(chunk) for chunk in chunks[:-1]} == {CHUNK}
    assert 0 < len(chunks[-1]) <= CHUNK
    assert {chunk.dtype for chunk in chunks} == {np.dtype(np.int16)}
    assert 1.5 < sum(map(len, chunks)) / SAMPLE_RATE < 3.0


async def test_the_same_text_sounds_the_same_twice(voice: LocalVoice) -> None:
    np.testing.assert_array_equal(await say(voice, SENTENCE), await say(voice, SENTENCE))


async def test_clauses_spoken_at_once_do_not_mix(voice: LocalVoice) -> None:
    alone = [await say(voice, text) for text in SAID]
    together = await asyncio.gather(*(say(voice, text) for text in SAID))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


async def test_any_other_voice_is_the_embedded_one_and_nothing_is_downloaded(voice: LocalVoice, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> str:
        raise AssertionError("the voice reached for the network")

    monkeypatch.setattr(hibari.voices, "download", forbidden)
    embedded = await say(voice, SENTENCE)
    for name in ("emma", "alloy", "marin", "no such voice", ""):
        np.testing.assert_array_equal(await say(voice, SENTENCE, name=name), embedded)


def pitch(sound: NDArray[np.int16]) -> float:
    """Hz, the median over frames of 50 ms that repeat themselves (by autocorrelation)."""
    size, shortest, longest = SAMPLE_RATE // 20, SAMPLE_RATE // 400, SAMPLE_RATE // 80
    found = []
    for start in range(0, len(sound) - size, size // 2):
        frame = sound[start : start + size].astype(np.float64)
        alike = np.correlate(frame, frame, "full")[size - 1 :]
        period = shortest + int(np.argmax(alike[shortest:longest]))
        if alike[period] > 0.6 * alike[0] > 0:
            found.append(SAMPLE_RATE / period)
    return float(np.median(found))


async def test_openais_voices_are_that_one_higher_or_lower_at_the_same_pace(voice: LocalVoice) -> None:
    low, usual, high = [await say(voice, SAID[0], name=name) for name in ("cedar", "alloy", "shimmer")]
    assert pitch(low) / pitch(usual) == pytest.approx(HIBARI["cedar"], abs=0.05)
    assert pitch(high) / pitch(usual) == pytest.approx(HIBARI["shimmer"], abs=0.05)
    assert {round(len(sound) / len(usual), 1) for sound in (low, high)} <= {0.9, 1.0, 1.1}


@pytest.mark.timeout(600)  # As above.
async def test_whisper_understands_the_lowest_and_the_highest_of_them(voice: LocalVoice) -> None:
    stt = WhisperStt.load(model_folder("base"), "base")
    heard = []
    for name in ("cedar", "shimmer"):
        for text in SAID:
            sound = resample(to_float(await say(voice, text, name=name)), SAMPLE_RATE, EAR_RATE)
            heard.append((await stt.transcribe(sound, language="en", prompt=None)).text)
    await stt.close()
    assert word_error_rate(SAID * 2, heard) <= 0.05


async def test_marks_are_not_read_aloud(voice: LocalVoice) -> None:
    np.testing.assert_array_equal(await say(voice, f"# **{SENTENCE}** 😀"), await say(voice, SENTENCE))


@pytest.mark.parametrize("text", ["", "  ", "😀🎉", "...", "—", "**", "(", "你好世界", "日本語", "\x00\x01", "```", "🇬🇧"])
async def test_text_that_cannot_be_spoken_is_no_sound(voice: LocalVoice, text: str) -> None:
    assert [chunk async for chunk in voice.speak(text, voice="heart", speed=1.0)] == []


@pytest.mark.parametrize(
    "text", ["9" * 400, "x" * 700, "日本語 mixed in", "ß é ñ", "http://a.b/c?d=e&f", "a\u202eb", "½ ² ①", "<b>{}\\n$", "$", "1/0"]
)
async def test_odd_text_is_spoken_as_far_as_it_can_be(voice: LocalVoice, text: str) -> None:
    sound = await say(voice, text)
    assert sound.dtype == np.int16


async def test_a_slower_voice_takes_longer(voice: LocalVoice) -> None:
    slow, normal, fast = [len(await say(voice, SENTENCE, speed=speed)) for speed in (0.5, 1.0, 1.5)]
    assert 1.6 < slow / normal < 2.4
    assert 0.55 < fast / normal < 0.8


async def test_a_speed_past_either_end_is_that_end(voice: LocalVoice) -> None:
    np.testing.assert_array_equal(await say(voice, "Yes.", speed=0.0), await say(voice, "Yes.", speed=MIN_SPEED))
    np.testing.assert_array_equal(await say(voice, "Yes.", speed=99.0), await say(voice, "Yes.", speed=MAX_SPEED))


async def test_a_long_clause_sounds_before_it_is_whole(voice: LocalVoice) -> None:
    text = " ".join(["and then another word"] * (4 * MAX_PIECE // 22))
    stream = voice.speak(text, voice="heart", speed=1.0)
    first = await anext(stream)
    assert len(first) == CHUNK
    await stream.aclose()  # type: ignore[attr-defined]  # the port promises an iterator, this one is a generator


async def test_a_listener_who_leaves_stops_the_voice(voice: LocalVoice) -> None:
    begun = asyncio.Event()

    async def listen() -> None:
        async for _ in voice.speak(" ".join(SAID * 20), voice="heart", speed=1.0):
            begun.set()

    listening = asyncio.create_task(listen())
    await begun.wait()
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    assert len(await say(voice, "Yes."))


async def test_a_clause_that_nobody_waits_for_ends_at_the_next_sentence() -> None:
    spoken: list[int] = []

    class Reader:
        def stream(self, text: str, speed: float, seed: int) -> Iterator[NDArray[np.float32]]:
            for number in range(5):
                spoken.append(number)
                loop.call_soon_threadsafe(begun.set)
                yield np.zeros(10, np.float32)
                cancelled.wait(10)

    loop, begun, cancelled = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    voice = LocalVoice(Reader(), workers=1)
    speaking = asyncio.create_task(say(voice, SENTENCE))
    await begun.wait()
    speaking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await speaking
    cancelled.set()
    await voice.close()
    assert spoken in ([0], [0, 1])


async def test_no_run_is_longer_than_the_limit() -> None:
    runs: list[str] = []

    class Reader:
        def stream(self, text: str, speed: float, seed: int) -> Iterator[NDArray[np.float32]]:
            runs.append(text)
            yield np.zeros(10, np.float32)

    voice = LocalVoice(Reader(), workers=1)
    await say(voice, "word " * MAX_PIECE)
    await voice.close()
    assert len(runs) > 1
    assert max(map(len, runs)) <= MAX_PIECE
    assert " ".join(runs).split() == ["word"] * MAX_PIECE


async def test_clauses_beyond_the_queue_are_refused() -> None:
    may_end = threading.Event()

    class Reader:
        def stream(self, text: str, speed: float, seed: int) -> Iterator[NDArray[np.float32]]:
            may_end.wait(10)
            yield np.zeros(10, np.float32)

    voice = LocalVoice(Reader(), workers=1)
    accepted = [asyncio.create_task(say(voice, SENTENCE)) for _ in range(1 + MAX_WAITING)]
    refused = asyncio.create_task(say(voice, SENTENCE))
    with pytest.raises(EngineError, match="too much work"):
        await refused
    may_end.set()
    assert {len(sound) for sound in await asyncio.gather(*accepted)} == {10}
    await voice.close()


async def test_what_the_voice_raises_is_an_engine_error() -> None:
    class Mute:
        def stream(self, text: str, speed: float, seed: int) -> Iterator[NDArray[np.float32]]:
            raise IndexError("list index out of range")

    voice = LocalVoice(Mute(), workers=1)
    with pytest.raises(EngineError, match="could not speak") as caught:
        await say(voice, SENTENCE)
    assert caught.value.code == "speech_failed"
    await voice.close()


async def test_a_closed_voice_refuses() -> None:
    voice = LocalVoice.load(workers=1)
    await voice.close()
    with pytest.raises(EngineError, match="has been closed"):
        await say(voice, SENTENCE)


def test_a_missing_package_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hibari", None)
    with pytest.raises(EngineError, match="extra `local`") as caught:
        LocalVoice.load()
    assert caught.value.code == "model_not_found"


def test_a_broken_voice_is_said_plainly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "voice.onnx").write_bytes(b"not a model")
    monkeypatch.setattr(hibari.voices, "voice_path", lambda name, download_missing: str(tmp_path / "voice.onnx"))
    with pytest.raises(EngineError, match="can't be loaded") as caught:
        LocalVoice.load()
    assert caught.value.code == "model_unavailable"
