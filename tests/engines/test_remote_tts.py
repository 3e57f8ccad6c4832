"""A voice over HTTP: what is sent, sound as it comes in every cut, and how it may fail."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import numpy as np
import pytest

from realtime.engines import remote_tts
from realtime.engines.endpoint import Timeouts
from realtime.engines.remote_tts import MAX_ERROR, MAX_INPUT, MAX_REQUESTS, SAMPLE_RATE, RemoteTts
from realtime.errors import EngineError
from realtime.ports import Int16
from tests.rigs.chat_endpoint import Reply, Stop, hang_up, refusal
from tests.rigs.speech_endpoint import SpeechEndpoint, hum, json_reply, sound

KEY = "sk-secret"
PATIENCE = Timeouts(connect=10, first_token=10, between_tokens=10)
TINY = 0.05
"""Seconds: a timeout that is meant to strike."""

RAW = hum().tobytes()


@pytest.fixture
async def stub() -> AsyncIterator[SpeechEndpoint]:
    async with SpeechEndpoint() as stub:
        yield stub


@asynccontextmanager
async def voice(
    stub: SpeechEndpoint, *, key: str | None = KEY, timeouts: Timeouts = PATIENCE, voices: Mapping[str, str] | None = None
) -> AsyncIterator[RemoteTts]:
    async def no_pause(seconds: float) -> None:
        return

    tts = RemoteTts(stub.base_url, key, "tts-1", timeouts=timeouts, voices=voices, dice=lambda: 1.0, pause=no_pause)
    try:
        yield tts
    finally:
        await tts.close()


async def say(tts: RemoteTts, text: str = "Good morning.", *, name: str = "alloy", speed: float = 1.0) -> Int16:
    pieces = [piece async for piece in tts.speak(text, voice=name, speed=speed)]
    assert all(len(piece) for piece in pieces)
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int16)


async def test_a_clause_is_asked_for_and_its_sound_comes_back(stub: SpeechEndpoint) -> None:
    async with voice(stub) as tts:
        assert (tts.name, tts.sample_rate) == ("tts-1", 24_000)
        np.testing.assert_array_equal(await say(tts, "**Good** morning. 😀", speed=1.25), hum())
    [request] = stub.requests
    assert request.body == {"model": "tts-1", "input": "Good morning.", "voice": "alloy", "response_format": "pcm", "speed": 1.25}
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.headers["Accept"].startswith("audio/pcm")


async def test_the_normal_pace_is_left_unsaid_and_no_key_is_no_authorization(stub: SpeechEndpoint) -> None:
    async with voice(stub, key=None) as tts:
        await say(tts)
    assert "speed" not in stub.requests[0].body
    assert "Authorization" not in stub.requests[0].headers


@pytest.mark.parametrize(("name", "asked"), [("alloy", "af_heart"), ("ash", "bm_fable"), ("af_sky", "bm_fable")])
async def test_the_operator_may_name_the_voices(stub: SpeechEndpoint, name: str, asked: str) -> None:
    async with voice(stub, voices={"alloy": "af_heart", "*": "bm_fable"}) as tts:
        await say(tts, name=name)
    assert stub.requests[0].body["voice"] == asked


@pytest.mark.parametrize("text", ["", "...", "😀", "```"])
async def test_text_without_a_word_asks_nobody(stub: SpeechEndpoint, text: str) -> None:
    async with voice(stub) as tts:
        assert len(await say(tts, text)) == 0
    assert stub.requests == []


async def test_a_text_that_is_too_long_is_asked_for_in_parts(stub: SpeechEndpoint) -> None:
    async with voice(stub) as tts:
        assert len(await say(tts, "word " * (MAX_INPUT // 4))) == 2 * len(hum())
    assert [len(request.body["input"]) <= MAX_INPUT for request in stub.requests] == [True, True]


async def test_sound_is_passed_on_as_it_comes_whatever_the_pieces(stub: SpeechEndpoint) -> None:
    gates = [asyncio.Event() for _ in range(3)]
    stub.script(sound(RAW[:1], gates[0], RAW[1:102], gates[1], RAW[102:105], gates[2], RAW[105:]))
    async with voice(stub) as tts:
        stream = tts.speak("Good morning.", voice="alloy", speed=1.0)
        gates[0].set()  # half a sample is no sound yet
        pieces = [await anext(stream)]
        assert len(pieces[0]) == 51
        gates[1].set()
        pieces.append(await anext(stream))
        assert len(pieces[1]) == 1
        gates[2].set()
        pieces += [piece async for piece in stream]
    np.testing.assert_array_equal(np.concatenate(pieces), hum())


async def test_a_connection_serves_the_next_clause(stub: SpeechEndpoint) -> None:
    async with voice(stub) as tts:
        await say(tts)
        await say(tts)
    assert stub.requests[0].connection == stub.requests[1].connection


def wav(rate: int, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(RAW)
    return file.getvalue()


async def test_a_wav_at_the_same_rate_is_the_same_sound(stub: SpeechEndpoint) -> None:
    stub.script(sound(wav(SAMPLE_RATE), type="audio/wav"))
    async with voice(stub) as tts:
        np.testing.assert_array_equal(await say(tts), hum())


async def test_a_wav_at_another_rate_is_converted(stub: SpeechEndpoint) -> None:
    stub.script(sound(wav(12_000)[:1000], wav(12_000)[1000:], type="audio/x-wav"))
    async with voice(stub) as tts:
        made = await say(tts)
    assert len(made) == pytest.approx(2 * len(hum()), abs=2)
    assert np.abs(made).max() == pytest.approx(np.abs(hum()).max(), rel=0.05)


RATES: dict[str, tuple[dict[str, str], float]] = {
    "nothing is said": ({"Content-Type": "audio/pcm"}, 1.0),
    "in the type": ({"Content-Type": "audio/pcm; Rate=12000; channels=1"}, 2.0),
    "in a header": ({"Content-Type": "audio/pcm_s16le", "X-Sample-Rate": "48000"}, 0.5),
    "no rate": ({"Content-Type": "audio/pcm;rate=7999"}, 1.0),
    "no number": ({"Content-Type": "audio/pcm;rate=high"}, 1.0),
}


@pytest.mark.parametrize(("headers", "longer"), RATES.values(), ids=RATES)
async def test_raw_sound_at_another_rate_is_converted_where_the_endpoint_tells_it(
    stub: SpeechEndpoint, headers: dict[str, str], longer: float
) -> None:
    stub.script(Reply((RAW,), headers=headers))
    async with voice(stub) as tts:
        assert len(await say(tts)) == pytest.approx(longer * len(hum()), abs=2)


async def test_the_operator_may_tell_the_rate(stub: SpeechEndpoint) -> None:
    stub.script(sound(RAW), sound(wav(44_100)))
    tts = RemoteTts(stub.base_url, None, "piper", timeouts=PATIENCE, sample_rate=22_050)
    assert tts.sample_rate == 22_050
    np.testing.assert_array_equal(await say(tts), hum())
    assert len(await say(tts)) == pytest.approx(len(hum()) / 2, abs=2)
    await tts.close()


# Failures

CUT = RAW[:1000], Stop.CUT
FAILURES: dict[str, tuple[tuple[Reply, ...], str]] = {
    "400": ((refusal(400, {"error": {"message": "No voice alloy.", "code": "invalid_value"}}),), "invalid_value"),
    "401": ((refusal(401, {"error": {"message": f"Incorrect API key: {KEY}"}}),), "invalid_api_key"),
    "404": ((refusal(404, b"<html>"),), "model_not_found"),
    "429 for good": ((refusal(429, {"error": {"message": "Pay.", "code": "insufficient_quota"}}),), "insufficient_quota"),
    "429 again and again": ((refusal(429),) * 3, "rate_limit_exceeded"),
    "500 again and again": ((refusal(500),) * 3, "server_error"),
    "no answer": ((hang_up(),) * 3, "connection_error"),
    "cut off": ((sound(*CUT),), "stream_interrupted"),
    "half a sample": ((sound(RAW + b"\x00"),), "server_error"),
    "nothing": ((sound(),), "speech_failed"),
    "a WAV without a sound": ((sound(wav(SAMPLE_RATE)[:44]),), "speech_failed"),
    "stereo": ((sound(wav(SAMPLE_RATE, 2)),), "server_error"),
    "MP3": ((sound(b"ID3" + RAW, type="audio/mpeg"),), "server_error"),
    "Opus": ((sound(RAW, type="audio/opus"),), "server_error"),
    "a page": ((sound(b"<html>", type="text/html; charset=utf-8"),), "server_error"),
    "JSON": ((json_reply({"ok": True}),), "server_error"),
    "broken JSON": ((json_reply(b"{"),), "server_error"),
    "deep JSON": ((json_reply(b'{"error":' + b"[" * 9999),), "server_error"),
    "endless JSON": ((json_reply(b" " * (MAX_ERROR + 1)),), "server_error"),
    "an error with status 200": ((json_reply({"error": {"message": f"No {KEY}", "code": "odd"}}),), "odd"),
}


@pytest.mark.parametrize(("replies", "code"), FAILURES.values(), ids=FAILURES)
async def test_a_failure_has_the_endpoints_own_code_and_never_shows_the_key(
    stub: SpeechEndpoint, replies: tuple[Reply, ...], code: str
) -> None:
    stub.script(*replies)
    async with voice(stub) as tts:
        with pytest.raises(EngineError) as caught:
            await say(tts)
        assert (caught.value.code, len(stub.requests)) == (code, len(replies))
        assert KEY not in f"{caught.value} {caught.value.__cause__}"
        assert len(await say(tts)) == len(hum())


async def test_what_came_before_it_was_cut_off_was_heard(stub: SpeechEndpoint) -> None:
    gate = asyncio.Event()
    stub.script(sound(RAW[:1000], gate, Stop.CUT))
    heard: list[int] = []

    async def listen() -> None:
        async for piece in tts.speak("Good morning.", voice="alloy", speed=1.0):
            heard.append(len(piece))
            gate.set()

    async with voice(stub) as tts:
        with pytest.raises(EngineError):
            await listen()
    assert heard == [500]


async def test_a_voice_that_never_ends_is_ended(stub: SpeechEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_tts, "MAX_SECONDS", 0.2)
    stub.script(sound(RAW, Stop.HANG))
    async with voice(stub) as tts:
        with pytest.raises(EngineError, match=r"more than 0\.2 s"):
            await say(tts)
        await stub.wait_for(lambda stub: stub.disconnects == 1)


async def test_a_passing_failure_is_tried_again(stub: SpeechEndpoint) -> None:
    stub.script(refusal(503), refusal(429))
    async with voice(stub) as tts:
        assert len(await say(tts)) == len(hum())


SILENCES = {
    "before the status": (Reply((), before_status=(Stop.HANG,)), Timeouts(connect=10, first_token=TINY, between_tokens=10)),
    "before the sound": (sound(Stop.HANG), Timeouts(connect=10, first_token=TINY, between_tokens=10)),
    "within the sound": (sound(RAW[:1000], Stop.HANG), Timeouts(connect=10, first_token=10, between_tokens=TINY)),
}


@pytest.mark.parametrize(("script", "timeouts"), SILENCES.values(), ids=SILENCES)
async def test_silence_is_a_timeout(stub: SpeechEndpoint, script: Reply, timeouts: Timeouts) -> None:
    stub.script(script)
    async with voice(stub, timeouts=timeouts) as tts:
        with pytest.raises(EngineError) as caught:
            await say(tts)
        await stub.wait_for(lambda stub: stub.disconnects == 1)
    assert (caught.value.code, len(stub.requests)) == ("timeout", 1)


async def test_no_deadline_runs_while_the_listener_is_busy(stub: SpeechEndpoint) -> None:
    gate = asyncio.Event()
    stub.script(sound(RAW[:1000], gate, RAW[1000:]))
    async with voice(stub, timeouts=Timeouts(connect=10, first_token=10, between_tokens=TINY)) as tts:
        stream = tts.speak("Good morning.", voice="alloy", speed=1.0)
        await anext(stream)
        due = asyncio.Event()
        asyncio.get_running_loop().call_later(TINY * 2, due.set)
        await due.wait()
        gate.set()
        assert len(await anext(stream))
        await stream.aclose()  # type: ignore[attr-defined]  # the port promises an iterator, this one is a generator


@pytest.mark.parametrize("script", [script for script, _ in SILENCES.values()], ids=SILENCES)
async def test_cancelling_closes_the_connection_and_frees_the_place(stub: SpeechEndpoint, script: Reply) -> None:
    stub.script(script)
    async with voice(stub) as tts:
        speaking = asyncio.create_task(say(tts))
        await stub.wait_for(lambda stub: len(stub.requests) == 1)
        speaking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await speaking
        await stub.wait_for(lambda stub: stub.disconnects == 1)
        assert tts._under_way == 0


async def test_a_listener_who_leaves_closes_the_connection(stub: SpeechEndpoint) -> None:
    stub.script(sound(RAW[:1000], Stop.HANG))
    async with voice(stub) as tts:
        stream = tts.speak("Good morning.", voice="alloy", speed=1.0)
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]  # as above
        await stub.wait_for(lambda stub: stub.disconnects == 1)


async def test_requests_beyond_the_limit_are_refused_at_once(stub: SpeechEndpoint) -> None:
    gate = asyncio.Event()
    stub.script(*[sound(gate, RAW)] * MAX_REQUESTS)
    async with voice(stub) as tts:
        speaking = [asyncio.create_task(say(tts)) for _ in range(MAX_REQUESTS)]
        await stub.wait_for(lambda stub: len(stub.requests) == MAX_REQUESTS)
        with pytest.raises(EngineError, match="too much is being spoken") as caught:
            await say(tts)
        assert caught.value.code == "overloaded"
        gate.set()
        assert {len(made) for made in await asyncio.gather(*speaking)} == {len(hum())}
