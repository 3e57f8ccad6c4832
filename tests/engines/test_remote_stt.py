"""Transcripts over HTTP: what is sent, what the answer means, how much the endpoint is asked for, and how it may fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest

from realtime.engines.endpoint import Timeouts
from realtime.engines.remote_stt import MAX_ANSWER, MAX_REQUESTS, MAX_REQUESTS_FOR_PARTIAL, MIN_PEAK, MIN_SECONDS, RemoteStt
from realtime.errors import EngineError
from realtime.ports import EAR_RATE, Float32, TokenLogprob, Transcript
from tests.rigs.chat_endpoint import Reply, Stop, hang_up, refusal
from tests.rigs.speech_endpoint import HEARD, Form, SpeechEndpoint, json_reply, read_wav, transcription

KEY = "sk-secret"
PATIENCE = Timeouts(connect=10, first_token=10, between_tokens=10)
TINY = 0.05
"""Seconds: a timeout that is meant to strike."""

NO_VERBOSE = refusal(400, {"error": {"message": "response_format 'verbose_json' is not compatible with model 'x'."}})
NO_INCLUDE = refusal(400, {"error": {"message": "'include' is not supported with this model."}})
TOO_SHORT = refusal(400, {"error": {"message": "Audio file is too short.", "code": "audio_too_short"}})


def utterance(seconds: float = 0.5) -> Float32:
    at = np.arange(round(seconds * EAR_RATE)) / EAR_RATE
    return (np.sin(2 * np.pi * 220 * at) * 0.3).astype(np.float32)


@pytest.fixture
async def stub() -> AsyncIterator[SpeechEndpoint]:
    async with SpeechEndpoint() as stub:
        yield stub


@asynccontextmanager
async def ear(stub: SpeechEndpoint, key: str | None = KEY, timeouts: Timeouts = PATIENCE) -> AsyncIterator[RemoteStt]:
    async def no_pause(seconds: float) -> None:
        return

    stt = RemoteStt(stub.base_url, key, "whisper-1", timeouts=timeouts, dice=lambda: 1.0, pause=no_pause)
    try:
        yield stt
    finally:
        await stt.close()


async def hear(
    stt: RemoteStt, audio: Float32 | None = None, *, language: str | None = None, logprobs: bool = False, partial: bool = False
) -> Transcript:
    sound = utterance() if audio is None else audio
    return await stt.transcribe(sound, language=language, prompt=None, logprobs=logprobs, partial=partial)


def formats(stub: SpeechEndpoint) -> list[str]:
    """What each request asked for."""
    asked = [request.body.fields for request in stub.requests]
    return ["logprobs" if "include[]" in fields else fields["response_format"] for fields in asked]


async def test_an_utterance_is_sent_as_a_wav_and_comes_back_as_words(stub: SpeechEndpoint) -> None:
    async with ear(stub) as stt:
        assert stt.name == "whisper-1"
        transcript = await stt.transcribe(utterance(), language="en-GB", prompt="Zürich")
    assert transcript == Transcript(HEARD, 0.5, "en")
    [request] = stub.requests
    form: Form = request.body
    assert form.fields == {"model": "whisper-1", "response_format": "verbose_json", "language": "en", "prompt": "Zürich"}
    assert (form.filename, form.type) == ("audio.wav", "audio/wav")
    rate, channels, width, samples = read_wav(form.file)
    assert (rate, channels, width) == (EAR_RATE, 1, 2)
    np.testing.assert_allclose(samples / 32768, utterance(), atol=1 / 32768)
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.headers["Accept"] == "application/json"


async def test_without_a_key_nothing_is_authorized_and_without_a_language_none_is_named(stub: SpeechEndpoint) -> None:
    async with ear(stub, None) as stt:
        await hear(stt)
    [request] = stub.requests
    assert "Authorization" not in request.headers
    assert request.body.fields.keys() == {"model", "response_format"}


async def test_the_figures_of_a_verbose_answer_are_passed_on(stub: SpeechEndpoint) -> None:
    stub.script(transcription(" Hello.", language="de", segments=[{"no_speech_prob": 0.25, "avg_logprob": -0.5}]))
    async with ear(stub) as stt:
        assert await hear(stt) == Transcript("Hello.", 0.5, "de", no_speech=0.25, confidence=-0.5)


async def test_ten_minutes_are_one_request(stub: SpeechEndpoint) -> None:
    async with ear(stub) as stt:
        transcript = await hear(stt, np.full(600 * EAR_RATE, 0.1, np.float32))
    assert transcript.seconds == 600.0
    assert len(read_wav(stub.requests[0].body.file)[3]) == 600 * EAR_RATE


@pytest.mark.parametrize(
    "audio",
    [np.zeros(0, np.float32), utterance(MIN_SECONDS - 0.001), np.full(EAR_RATE, MIN_PEAK * 0.9, np.float32)],
    ids=["nothing", "too short", "too quiet"],
)
async def test_what_can_hold_no_word_is_not_sent(stub: SpeechEndpoint, audio: Float32) -> None:
    async with ear(stub) as stt:
        assert await hear(stt, audio, language="de") == Transcript("", len(audio) / EAR_RATE, "de")
    assert stub.requests == []


async def test_nothing_understood_is_an_empty_text(stub: SpeechEndpoint) -> None:
    stub.script(transcription(""))
    async with ear(stub) as stt:
        assert (await hear(stt)).text == ""


# How much is asked for


async def test_an_endpoint_without_verbose_json_is_asked_once_and_remembered(stub: SpeechEndpoint) -> None:
    stub.script(NO_VERBOSE)
    async with ear(stub) as stt:
        assert (await hear(stt)).text == HEARD
        assert (await hear(stt)).text == HEARD
    assert formats(stub) == ["verbose_json", "json", "json"]


async def test_a_refusal_for_another_reason_is_not_remembered(stub: SpeechEndpoint) -> None:
    stub.script(TOO_SHORT, TOO_SHORT)
    async with ear(stub) as stt:
        with pytest.raises(EngineError) as caught:
            await hear(stt)
        assert caught.value.code == "audio_too_short"
        await hear(stt)
        stub.script(TOO_SHORT)
        with pytest.raises(EngineError):
            await hear(stt)
    assert formats(stub) == ["verbose_json", "json", "verbose_json", "verbose_json"]


async def test_log_probabilities_are_asked_for_when_they_are_wanted(stub: SpeechEndpoint) -> None:
    stub.script(transcription("Hi.", logprobs=[{"token": "Hi", "logprob": -0.5}, {"token": ".", "logprob": -0.25}]))
    async with ear(stub) as stt:
        transcript = await hear(stt, logprobs=True)
    assert transcript.tokens == (TokenLogprob("Hi", -0.5), TokenLogprob(".", -0.25))
    assert transcript.confidence == -0.375
    assert stub.requests[0].body.fields["response_format"] == "json"


async def test_an_endpoint_without_log_probabilities_is_asked_for_the_next_best(stub: SpeechEndpoint) -> None:
    stub.script(NO_INCLUDE)
    async with ear(stub) as stt:
        await hear(stt, logprobs=True)
        await hear(stt, logprobs=True)
    assert formats(stub) == ["logprobs", "verbose_json", "verbose_json"]


async def test_an_endpoint_that_passes_over_the_wish_is_not_asked_again(stub: SpeechEndpoint) -> None:
    stub.script(transcription(""))  # says nothing about what it knows
    async with ear(stub) as stt:
        for _ in range(3):
            await hear(stt, logprobs=True)
    assert formats(stub) == ["logprobs", "logprobs", "verbose_json"]


async def test_an_endpoint_that_knows_neither_is_asked_for_the_words_alone(stub: SpeechEndpoint) -> None:
    stub.script(NO_INCLUDE, NO_VERBOSE)
    async with ear(stub) as stt:
        await hear(stt, logprobs=True)
        await hear(stt)
    assert formats(stub) == ["logprobs", "verbose_json", "json", "json"]


# Failures

REFUSALS: dict[str, tuple[tuple[Reply, ...], str]] = {
    "400": ((TOO_SHORT, TOO_SHORT), "audio_too_short"),
    "401": ((refusal(401, {"error": {"message": f"Incorrect API key: {KEY}"}}),), "invalid_api_key"),
    "404": ((refusal(404, b"<html>"),), "model_not_found"),
    "413": ((refusal(413, {"detail": "too large"}),), "invalid_request_error"),
    "429 for good": ((refusal(429, {"error": {"message": "Pay.", "code": "insufficient_quota"}}),), "insufficient_quota"),
    "429 again and again": ((refusal(429),) * 3, "rate_limit_exceeded"),
    "500 again and again": ((refusal(500),) * 3, "server_error"),
    "no answer": ((hang_up(),) * 3, "connection_error"),
    "cut off": ((Reply((b'{"text":', Stop.CUT)),), "stream_interrupted"),
    "no JSON": ((json_reply(b"Good morning"),), "server_error"),
    "too much": ((json_reply(b" " * (MAX_ANSWER + 1)),), "server_error"),
    "an error with status 200": ((json_reply({"error": {"message": f"No {KEY}", "code": "odd"}}),), "odd"),
}


@pytest.mark.parametrize(("replies", "code"), REFUSALS.values(), ids=REFUSALS)
async def test_a_failure_has_the_endpoints_own_code_and_never_shows_the_key(
    stub: SpeechEndpoint, replies: tuple[Reply, ...], code: str
) -> None:
    stub.script(*replies)
    async with ear(stub) as stt:
        with pytest.raises(EngineError) as caught:
            await hear(stt)
        assert (caught.value.code, len(stub.requests)) == (code, len(replies))
        assert KEY not in f"{caught.value} {caught.value.__cause__}"
        assert (await hear(stt)).text == HEARD


async def test_a_passing_failure_is_tried_again_with_the_whole_form(stub: SpeechEndpoint) -> None:
    stub.script(refusal(503), refusal(429))
    async with ear(stub) as stt:
        assert (await hear(stt)).text == HEARD
    assert [len(request.body.file) for request in stub.requests] == [44 + EAR_RATE] * 3


async def test_a_partial_transcript_is_not_tried_again(stub: SpeechEndpoint) -> None:
    stub.script(refusal(503))
    async with ear(stub) as stt:
        with pytest.raises(EngineError):
            await hear(stt, partial=True)
    assert len(stub.requests) == 1


WAITS = {"before the status": Reply((), before_status=(Stop.HANG,)), "within the answer": Reply((b'{"text":', Stop.HANG))}


@pytest.mark.parametrize("script", WAITS.values(), ids=WAITS)
async def test_silence_is_a_timeout(stub: SpeechEndpoint, script: Reply) -> None:
    stub.script(script)
    async with ear(stub, timeouts=Timeouts(connect=10, first_token=TINY, between_tokens=10)) as stt:
        with pytest.raises(EngineError) as caught:
            await hear(stt)
        await stub.wait_for(lambda stub: stub.disconnects == 1)
    assert (caught.value.code, len(stub.requests)) == ("timeout", 1)


ASKED: Callable[[SpeechEndpoint], bool] = lambda stub: len(stub.requests) == 1  # noqa: E731  # a condition, to be given a name


@pytest.mark.parametrize("script", WAITS.values(), ids=WAITS)
async def test_cancelling_closes_the_connection_and_frees_the_place(stub: SpeechEndpoint, script: Reply) -> None:
    stub.script(script)
    async with ear(stub) as stt:
        hearing = asyncio.create_task(hear(stt))
        await stub.wait_for(ASKED)
        hearing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hearing
        await stub.wait_for(lambda stub: stub.disconnects == 1)
        assert stt._under_way == 0


@pytest.mark.parametrize(("partial", "limit"), [(True, MAX_REQUESTS_FOR_PARTIAL), (False, MAX_REQUESTS)])
async def test_requests_beyond_the_limit_are_refused_at_once(stub: SpeechEndpoint, partial: bool, limit: int) -> None:
    gate = asyncio.Event()
    stub.script(*[Reply((gate, b'{"text":"late"}'))] * limit)
    async with ear(stub) as stt:
        hearings = [asyncio.create_task(hear(stt)) for _ in range(limit)]
        await stub.wait_for(lambda stub: len(stub.requests) == limit)
        with pytest.raises(EngineError, match="too many transcripts") as caught:
            await hear(stt, partial=partial)
        assert caught.value.code == "overloaded"
        gate.set()
        assert {transcript.text for transcript in await asyncio.gather(*hearings)} == {"late"}
        assert (await hear(stt, partial=partial)).text == HEARD
