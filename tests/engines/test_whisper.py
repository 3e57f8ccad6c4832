from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from realtime.engines import whisper
from realtime.engines.whisper import MAX_WAITING, MIN_PEAK, MIN_SECONDS, WINDOW_SECONDS, WhisperStt
from realtime.errors import EngineError
from tests.rigs.recordings import RATE, Recording, spread, word_error_rate
from tests.rigs.speech_models import model_folder

# The first test may have to fetch a model; no test computes for more than half a minute.
pytestmark = pytest.mark.timeout(600)

PROMPTS = 26
"""Recordings that a word error rate is taken over."""

MAX_WER = 0.06
"""Of both models on these recordings, about twice what was seen: one more misheard word doesn't fail the build, a broken setting does."""


@pytest.fixture(scope="module")
def tiny() -> Iterator[WhisperStt]:
    stt = WhisperStt.load(model_folder("tiny.en"), "tiny.en")
    yield stt
    asyncio.run(stt.close())


@pytest.fixture(scope="module")
def base() -> Iterator[WhisperStt]:
    stt = WhisperStt.load(model_folder("base"), "base")
    yield stt
    asyncio.run(stt.close())


async def hear(stt: WhisperStt, audio: NDArray[np.float32], *, language: str | None = None, prompt: str | None = None) -> str:
    return (await stt.transcribe(audio, language=language, prompt=prompt)).text


async def heard(stt: WhisperStt, prompts: list[Recording]) -> list[str]:
    return await asyncio.gather(*(hear(stt, prompt.audio) for prompt in prompts))


async def test_tiny_hears_human_speech(tiny: WhisperStt) -> None:
    prompts = spread(PROMPTS)
    assert word_error_rate([prompt.text for prompt in prompts], await heard(tiny, prompts)) <= MAX_WER


async def test_base_hears_human_speech_and_its_language_by_itself(base: WhisperStt) -> None:
    prompts = spread(PROMPTS)
    assert word_error_rate([prompt.text for prompt in prompts], await heard(base, prompts)) <= MAX_WER


async def test_a_transcript_knows_its_length_and_the_language_it_was_given(base: WhisperStt) -> None:
    prompt = spread(PROMPTS)[0]
    transcript = await base.transcribe(prompt.audio, language="en-GB", prompt=None)
    assert (transcript.seconds, transcript.language) == (prompt.seconds, "en")
    assert word_error_rate([prompt.text], [transcript.text]) <= 0.2


async def test_a_detected_language_is_not_claimed(base: WhisperStt) -> None:
    assert (await base.transcribe(spread(1)[0].audio, language=None, prompt=None)).language is None


async def test_an_english_model_transcribes_english_whatever_it_is_told(tiny: WhisperStt) -> None:
    transcript = await tiny.transcribe(spread(1)[0].audio, language="fr", prompt=None)
    assert transcript.language == "en"
    assert transcript.text


async def test_a_language_that_whisper_lacks_is_refused(base: WhisperStt) -> None:
    with pytest.raises(EngineError, match="'tlh'") as caught:
        await hear(base, spread(1)[0].audio, language="tlh")
    assert caught.value.code == "unsupported_language"


async def test_a_prompt_settles_a_spelling(tiny: WhisperStt) -> None:
    thanks = next(recording for recording in spread(139) if recording.path.stem == "demo-thanks")
    with_prompt = await hear(tiny, thanks.audio, prompt="This is about Asterisk, the Open-Source PBX.")
    assert "Asterisk" in with_prompt


async def test_speech_longer_than_a_window_is_heard_to_its_end(tiny: WhisperStt) -> None:
    prompts = spread(14)
    audio = np.concatenate([part for prompt in prompts for part in (prompt.audio, np.zeros(RATE // 2, np.float32))])
    assert len(audio) > WINDOW_SECONDS * RATE
    assert word_error_rate([" ".join(prompt.text for prompt in prompts)], [await hear(tiny, audio)]) <= 0.15


@pytest.mark.parametrize("samples", [0, 1, 400, int(MIN_SECONDS * RATE) - 1])
async def test_audio_too_short_for_a_word_is_empty(tiny: WhisperStt, samples: int) -> None:
    transcript = await tiny.transcribe(spread(1)[0].audio[8000 : 8000 + samples], language=None, prompt=None)
    assert (transcript.text, transcript.seconds) == ("", samples / RATE)


async def test_audio_just_long_enough_is_heard_without_harm(tiny: WhisperStt) -> None:
    assert isinstance(await hear(tiny, spread(1)[0].audio[8000 : 8000 + int(MIN_SECONDS * RATE)]), str)


@pytest.mark.parametrize("level", [0.0, MIN_PEAK / 2])
async def test_silence_is_empty(tiny: WhisperStt, level: float) -> None:
    assert await hear(tiny, np.full(2 * RATE, level, np.float32)) == ""


async def test_noise_is_empty(tiny: WhisperStt) -> None:
    noise = np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    assert await hear(tiny, noise * np.float32(0.02)) == ""


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
async def test_samples_that_are_not_numbers_are_refused(tiny: WhisperStt, poison: float) -> None:
    audio = spread(1)[0].audio.copy()
    audio[100] = poison
    with pytest.raises(EngineError) as caught:
        await hear(tiny, audio)
    assert caught.value.code == "audio_unintelligible"


async def test_what_the_library_raises_is_an_engine_error(tiny: WhisperStt) -> None:
    with pytest.raises(EngineError, match="could not transcribe") as caught:
        await hear(tiny, np.ones((RATE, 2, 2), np.float32))
    assert caught.value.code == "transcription_failed"


async def test_utterances_beyond_the_queue_are_refused_and_cancelling_the_rest_leaves_nothing() -> None:
    stt = WhisperStt.load(model_folder("tiny.en"), "tiny.en", workers=1)
    audio = spread(1)[0].audio
    tasks = [asyncio.create_task(hear(stt, audio)) for _ in range(1 + MAX_WAITING)]
    refused = asyncio.create_task(hear(stt, audio))
    with pytest.raises(EngineError) as caught:
        await refused
    assert caught.value.code == "overloaded"
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(end) for end in ends} == {asyncio.CancelledError}
    # The one that runs can't be stopped, the others never start: this one is next.
    assert await hear(stt, audio)
    await stt.close()
    with pytest.raises(EngineError, match="has been closed"):
        await hear(stt, audio)


def test_an_abandoned_job_ends_at_the_next_segment() -> None:
    abandoned, asked = Event(), []

    def segments() -> Iterator[SimpleNamespace]:
        for number in range(5):
            asked.append(number)
            if number == 1:
                abandoned.set()
            yield SimpleNamespace(text=f" {number}")

    assert whisper._joined(segments(), abandoned) == "0 1"
    assert asked == [0, 1]


def test_a_folder_without_a_model_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="holds no Whisper model") as caught:
        WhisperStt.load(tmp_path / "absent", "absent")
    assert caught.value.code == "model_not_found"


def test_a_broken_model_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"not a model")
    with pytest.raises(EngineError, match="can't be loaded") as caught:
        WhisperStt.load(tmp_path, "broken")
    assert caught.value.code == "model_unavailable"
