from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import numpy as np
import pytest

from realtime.engines.scripted import ScriptedLlm, ScriptedStt, ScriptedToolServers, ScriptedTts
from realtime.errors import EngineError
from realtime.logs import TextForm
from realtime.ports import ArgumentsDelta, AudioDelta, CallBegan, Float32, LlmEvent, LlmRequest, TokenUsage, VadStream
from realtime.runner import perform
from realtime.runner.allowance import Allowance, Slots
from realtime.runner.bucket import Bucket
from realtime.runner.outbox import Outbox
from realtime.runner.perform import Engines, Performer
from realtime.session import inputs
from realtime.session.effects import Abandon, CallTool, Close, Detect, Effect, Forgo, Generate, ListTools, Send, Speak, Transcribe
from realtime.session.usage import usage
from realtime.wire import server
from realtime.wire.classic import ClassicCodec
from realtime.wire.codec import Codec, GaCodec
from realtime.wire.items import InputText, ListedTool, Message
from realtime.wire.mcp import McpTool
from realtime.wire.settings import AudioFormat, PcmFormat, PcmuFormat
from tests.rigs.engines import scripted_engines
from tests.rigs.posted import Posted
from tests.rigs.socket import KeptSocket

REQUEST = LlmRequest(instructions="", items=(Message("user", [InputText("Hi.")]),))
LOUD = (np.sin(np.arange(24_000) / 10) * 20_000).astype(np.int16).tobytes()
"""A second of a tone, 24 kHz."""


def ended(id: str, used: server.Usage | None) -> server.Response:
    return server.Response(
        id=id,
        status="completed",
        output=[],
        conversation_id=None,
        output_modalities=("text",),
        max_output_tokens="inf",
        audio=server.ResponseAudio(server.ResponseAudioOutput(PcmFormat(), "alloy")),
        usage=used,
        metadata=None,
    )


class Bench:
    """A performer, and all that it does."""

    def __init__(self, engines: Engines, codec: Codec, allowance: Allowance | None = None) -> None:
        self.posted = Posted()
        self.socket = KeptSocket()
        self.outbox = Outbox(self.socket)
        self.performer = Performer(engines, codec, self.outbox, self.posted, allowance)

    def perform(self, effect: Effect) -> None:
        self.performer.perform(effect)


Benches = Callable[..., AbstractAsyncContextManager[Bench]]


@pytest.fixture
def bench() -> Benches:
    @asynccontextmanager
    async def bench(codec: Codec | None = None, allowance: Allowance | None = None, **engines: object) -> AsyncIterator[Bench]:
        with scripted_engines(**engines) as made:  # type: ignore[arg-type]  # any of the engines, by name
            bench = Bench(made, codec or GaCodec(), allowance)
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(bench.outbox.write())
                yield bench
                writer.cancel()
            await bench.performer.close()

    return bench


def speak(text: str = "Hello.") -> Speak:
    return Speak("resp_1", 0, text, "alloy", 1.0, PcmFormat())


async def test_an_event_goes_out_in_the_clients_dialect(bench: Benches) -> None:
    event = server.ResponseOutputTextDelta(
        event_id="event_1", response_id="resp_1", item_id="item_1", output_index=0, content_index=0, delta="Hi"
    )
    async with bench(ClassicCodec(16_000)) as ours:
        ours.perform(Send(event))
        assert b'"response.text.delta"' in await ours.socket.wait_for_frame(b"delta")


async def test_an_answer_comes_back_as_text_and_an_end(bench: Benches) -> None:
    async with bench(llm=ScriptedLlm(["Hello there."])) as ours:
        ours.perform(Generate("resp_1", REQUEST))
        finished = await ours.posted.wait_for(inputs.GenerationFinished)
        assert "".join(each.text for each in ours.posted.of(inputs.TextGenerated)) == "Hello there."
        assert (finished.response_id, finished.reason) == ("resp_1", "stop")
        assert finished.usage is not None


async def test_a_model_that_fails_breaks_its_response_in_its_own_words(bench: Benches) -> None:
    error = EngineError("rate_limit_exceeded", "Slow down.", type="rate_limit_error")
    async with bench(llm=ScriptedLlm([error])) as ours:
        ours.perform(Generate("resp_1", REQUEST))
        broke = await ours.posted.wait_for(inputs.ResponseBroke)
        assert broke == inputs.ResponseBroke(
            "resp_1", server.ErrorInfo(type="rate_limit_error", code="rate_limit_exceeded", message="Slow down.")
        )


async def test_a_request_too_many_breaks_its_response_and_the_model_is_not_asked(bench: Benches) -> None:
    allowance = Allowance(requests=Bucket(1, asyncio.get_running_loop().time()))
    async with bench(allowance=allowance, llm=ScriptedLlm(["Hello there."])) as ours:
        ours.perform(Generate("resp_1", REQUEST))
        await ours.posted.wait_for(inputs.GenerationFinished)
        ours.perform(Generate("resp_2", REQUEST))
        broke = await ours.posted.wait_for(inputs.ResponseBroke)
        assert (broke.response_id, broke.error.code, broke.error.type) == ("resp_2", "rate_limit_exceeded", "rate_limit_error")
        assert {each.response_id for each in ours.posted.of(inputs.TextGenerated)} == {"resp_1"}


async def test_the_client_is_told_what_is_left_of_its_requests(bench: Benches) -> None:
    allowance = Allowance(requests=Bucket(60, asyncio.get_running_loop().time()))
    async with bench(allowance=allowance, llm=ScriptedLlm(["Hello there."])) as ours:
        ours.perform(Generate("resp_1", REQUEST))
        await ours.posted.wait_for(inputs.GenerationFinished)
        ours.perform(Send(server.RateLimitsUpdated(event_id="event_1", rate_limits=[])))
        (told,) = json.loads(await ours.socket.wait_for_frame(b"rate_limits.updated"))["rate_limits"]
        assert (told["name"], told["limit"], told["remaining"]) == ("requests", 60, 59)
        assert 0 < told["reset_seconds"] <= 1


async def test_what_an_answer_has_used_is_taken_before_it_is_told_what_is_left(bench: Benches) -> None:
    allowance = Allowance(tokens=Bucket(60, asyncio.get_running_loop().time()))
    cost = usage(None, "", TokenUsage(40, 50))
    async with bench(allowance=allowance, llm=ScriptedLlm(["Hello there."])) as ours:
        for id, used in (("resp_1", None), ("resp_2", cost)):
            ours.perform(Send(server.ResponseDone(event_id="event_1", response=ended(id, used))))
            ours.perform(Send(server.RateLimitsUpdated(event_id="event_2", rate_limits=[])))
        frames = [json.loads(await ours.socket.wait_for_frame(word)) for word in (b'"remaining":60', b'"remaining":0')]
        assert [frame["rate_limits"][0]["name"] for frame in frames] == ["tokens", "tokens"]
        ours.perform(Generate("resp_3", REQUEST))
        broke = await ours.posted.wait_for(inputs.ResponseBroke)
        assert (broke.response_id, broke.error.code) == ("resp_3", "rate_limit_exceeded")


async def test_so_many_answers_at_once_and_one_that_is_stopped_makes_room(bench: Benches) -> None:
    slots = Slots(1)
    async with bench(allowance=Allowance(responses=slots), llm=ScriptedLlm(["Hello there."], first_delay=3600)) as ours:
        ours.perform(Generate("resp_1", REQUEST))
        ours.perform(Generate("resp_2", REQUEST))
        broke = await ours.posted.wait_for(inputs.ResponseBroke)
        assert (broke.response_id, broke.error.code) == ("resp_2", "rate_limit_exceeded")
        ours.perform(Abandon("resp_1"))
        await ours.performer.close()
        assert slots.free


async def test_where_nothing_is_limited_the_client_is_told_so(bench: Benches) -> None:
    async with bench() as ours:
        ours.perform(Send(server.RateLimitsUpdated(event_id="event_1", rate_limits=[])))
        assert b'"rate_limits":[]' in await ours.socket.wait_for_frame(b"rate_limits.updated")


async def test_our_own_mistake_in_a_job_is_logged_and_told_without_its_text(
    bench: Benches, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caplog.handler, "formatter", TextForm())

    class Mistaken(ScriptedLlm):
        async def stream(self, request: LlmRequest) -> AsyncIterator[LlmEvent]:
            raise KeyError("/secret/path")
            yield

    async with bench(llm=Mistaken()) as ours:
        ours.perform(Generate("resp_1", REQUEST))
        broke = await ours.posted.wait_for(inputs.ResponseBroke)
        assert broke.error.code == "internal_error"
        assert "secret" not in broke.error.message
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        assert "A job of ours failed response_id=resp_1" in caplog.text


async def test_abandoning_a_response_stops_its_generation(bench: Benches) -> None:
    gate = asyncio.Event()
    llm = ScriptedLlm([["Hello", gate.wait, " there."]])
    async with bench(llm=llm) as ours:
        ours.perform(Generate("resp_1", REQUEST))
        await ours.posted.wait_for(inputs.TextGenerated)
        assert llm.streaming == 1
        ours.perform(Abandon("resp_1"))
        await ours.performer.close()
        assert llm.streaming == 0
        assert len(ours.posted.of(inputs.TextGenerated)) == 1


def spoke(seconds: float) -> AudioDelta:
    """So much of the tone."""
    return AudioDelta(np.frombuffer(LOUD, np.int16)[: int(seconds * 24_000)], 24_000)


@pytest.mark.parametrize(("format", "rate"), [(PcmFormat(), 48_000), (PcmFormat(16_000), 32_000), (PcmuFormat(), 8_000)])
async def test_a_model_that_speaks_comes_back_in_the_clients_format(bench: Benches, format: AudioFormat, rate: int) -> None:
    async with bench(llm=ScriptedLlm([["Hel", spoke(0.1), "lo.", spoke(0.2), spoke(0.05)]])) as ours:
        ours.perform(Generate("resp_1", REQUEST, format))
        await ours.posted.wait_for(inputs.GenerationFinished)
        kinds = [type(each) for each in ours.posted.inputs]
        assert kinds[:4] == [inputs.TextGenerated, inputs.SpeechGenerated, inputs.TextGenerated, inputs.SpeechGenerated]
        assert sum(len(each.audio) for each in ours.posted.of(inputs.SpeechGenerated)) == 0.35 * rate
        assert kinds[-1] is inputs.GenerationFinished, "what the converter held back came before"


async def test_a_long_piece_of_speech_is_the_same_from_a_worker_thread(bench: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []
    for limit in (10.0, 0.5):
        monkeypatch.setattr(perform, "INLINE_SECONDS", limit)
        async with bench(llm=ScriptedLlm([["Hm.", spoke(1.0), spoke(0.1)]])) as ours:
            ours.perform(Generate("resp_1", REQUEST, PcmuFormat()))
            await ours.posted.wait_for(inputs.GenerationFinished)
            heard.append(b"".join(each.audio for each in ours.posted.of(inputs.SpeechGenerated)))
    assert heard[0] == heard[1]
    assert len(heard[0]) == 8_800


async def test_speech_where_writing_was_asked_for_is_not_passed_on(bench: Benches) -> None:
    async with bench(llm=ScriptedLlm([["Hm.", spoke(0.1)]])) as ours:
        ours.perform(Generate("resp_1", REQUEST))
        await ours.posted.wait_for(inputs.GenerationFinished)
        assert ours.posted.of(inputs.SpeechGenerated) == []


async def test_a_clause_comes_back_as_sound_in_the_clients_format(bench: Benches) -> None:
    async with bench(tts=ScriptedTts(seconds_per_character=0.1)) as ours:
        ours.perform(Speak("resp_1", 3, "Hello.", "alloy", 1.0, PcmuFormat()))
        spoken = await ours.posted.wait_for(inputs.ClauseSpoken)
        assert spoken == inputs.ClauseSpoken("resp_1", 3)
        assert sum(len(each.audio) for each in ours.posted.of(inputs.ClauseSounded)) == 4800


async def test_a_clause_without_sound_is_spoken_all_the_same(bench: Benches) -> None:
    async with bench(tts=ScriptedTts(seconds_per_character=0)) as ours:
        ours.perform(speak())
        await ours.posted.wait_for(inputs.ClauseSpoken)
        assert ours.posted.of(inputs.ClauseSounded) == []


async def test_a_voice_that_fails_breaks_its_response(bench: Benches) -> None:
    async with bench(tts=ScriptedTts(failures=[EngineError("speech_failed", "Hoarse.")])) as ours:
        ours.perform(speak())
        assert (await ours.posted.wait_for(inputs.ResponseBroke)).error.code == "speech_failed"


async def test_speaking_without_a_voice_is_a_mistake_of_ours(bench: Benches) -> None:
    async with bench(mute=True) as ours:
        ours.perform(speak())
        assert (await ours.posted.wait_for(inputs.ResponseBroke)).error.code == "internal_error"


async def test_an_utterance_comes_back_as_words(bench: Benches) -> None:
    stt = ScriptedStt(["Good morning."])
    async with bench(stt=stt) as ours:
        ours.perform(Transcribe("item_1", 0, LOUD, PcmFormat(), None, None))
        heard = await ours.posted.wait_for(inputs.SpeechTranscribed)
        assert heard == inputs.SpeechTranscribed("item_1", 0, "Good morning.", 1.0)
        assert list(stt.heard) == [1.0]


async def test_a_failed_transcription_is_told_with_no_null_in_it(bench: Benches) -> None:
    async with bench(stt=ScriptedStt([EngineError("audio_unintelligible", "Only noise.")])) as ours:
        ours.perform(Transcribe("item_1", 0, LOUD, PcmFormat(), None, None))
        broke = await ours.posted.wait_for(inputs.TranscriptionBroke)
        assert broke.error == server.ErrorInfo(
            type="transcription_error", code="audio_unintelligible", message="Only noise.", param="audio"
        )


async def test_appended_audio_comes_back_as_scores(bench: Benches) -> None:
    async with bench() as ours:
        ours.perform(Detect(0, LOUD, PcmFormat()))
        scored = await ours.posted.wait_for(inputs.SpeechScored)
        assert scored.epoch == 0
        assert min(scored.scores) > 0.9


async def test_a_detector_that_breaks_is_logged_and_told(bench: Benches, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def open(self) -> VadStream:
            return self

        def score(self, audio: Float32) -> list[float]:
            raise RuntimeError("no ears")

    async with bench(vad=Broken()) as ours:
        ours.perform(Detect(7, LOUD, PcmFormat()))
        assert (await ours.posted.wait_for(inputs.DetectionFailed)).epoch == 7
        assert "The detector failed" in caplog.text


async def test_closing_comes_after_what_was_sent(bench: Benches) -> None:
    async with bench() as ours:
        ours.perform(Send(server.InputAudioBufferCleared(event_id="event_1")))
        ours.perform(Close(1001, "session_expired"))
        await ours.socket.wait_closed()
        assert len(ours.socket.frames) == 1
        assert ours.socket.closed == (1001, "session_expired")


async def test_a_tool_call_comes_back_in_its_parts(bench: Benches) -> None:
    async with bench(llm=ScriptedLlm([[CallBegan(0, "f", "call_1"), ArgumentsDelta(0, "{}")]])) as ours:
        ours.perform(Generate("resp_1", REQUEST))
        await ours.posted.wait_for(inputs.GenerationFinished)
        assert ours.posted.inputs[:2] == [inputs.CallGenerated("resp_1", 0, "f", "call_1"), inputs.ArgumentsGenerated("resp_1", 0, "{}")]


SERVER = McpTool(server_label="s", server_url="http://s.example/")


async def test_a_servers_tools_come_back_as_a_list(bench: Benches) -> None:
    async def add(arguments: dict[str, Any]) -> str:
        return "3"

    async with bench(tool_servers=ScriptedToolServers(add=add)) as ours:
        ours.perform(ListTools("item_1", SERVER))
        assert await ours.posted.wait_for(inputs.ToolsListed) == inputs.ToolsListed("item_1", (ListedTool("add", {"type": "object"}),))
        ours.perform(CallTool("item_2", SERVER, "add", {}))
        assert await ours.posted.wait_for(inputs.ToolReturned) == inputs.ToolReturned("item_2", "3")


async def test_a_server_that_is_not_there_breaks_its_listing(bench: Benches) -> None:
    async with bench() as ours:
        ours.perform(ListTools("item_1", SERVER))
        broke = await ours.posted.wait_for(inputs.ToolListingBroke)
        assert (broke.item_id, broke.error.type, broke.error.code) == ("item_1", "http_error", "404")


async def test_a_tool_that_fails_breaks_its_call(bench: Benches) -> None:
    async def add(arguments: dict[str, Any]) -> str:
        raise EngineError("tool_execution_error", "No.", type="tool_execution_error")

    async with bench(tool_servers=ScriptedToolServers(add=add)) as ours:
        ours.perform(CallTool("item_1", SERVER, "add", {}))
        broke = await ours.posted.wait_for(inputs.ToolBroke)
        assert broke.error == server.ErrorInfo(type="tool_execution_error", code="tool_execution_error", message="No.")


async def test_abandoning_a_call_stops_its_tool(bench: Benches) -> None:
    began, gate = asyncio.Event(), asyncio.Event()

    async def slow(arguments: dict[str, Any]) -> str:
        began.set()
        await gate.wait()
        return "late"

    servers = ScriptedToolServers(slow=slow)
    async with bench(tool_servers=servers) as ours:
        ours.perform(CallTool("item_1", SERVER, "slow", {}))
        await began.wait()
        assert servers.working == 1
        ours.perform(Abandon("item_1"))
        await ours.performer.close()
        assert (servers.working, ours.posted.inputs) == (0, [])


# Speculation


async def test_a_speculation_that_is_dropped_stops_and_is_paid_for(bench: Benches) -> None:
    allowance = Allowance(tokens=Bucket(60, asyncio.get_running_loop().time()), responses=Slots(1))
    async with bench(allowance=allowance, llm=ScriptedLlm(["Hello there."])) as ours:
        ours.perform(Generate("resp_1", REQUEST, speculative=True))
        ours.perform(Forgo("resp_1", usage(None, "", TokenUsage(20, 10))))
        ours.perform(Generate("resp_2", REQUEST))  # who may have one answer at a time has it
        await ours.posted.wait_for(inputs.GenerationFinished)
        assert {each.response_id for each in ours.posted.of(inputs.TextGenerated)} == {"resp_2"}
        assert ours.posted.of(inputs.ResponseBroke) == []
        ours.perform(Send(server.RateLimitsUpdated(event_id="event_1", rate_limits=[])))
        (told,) = json.loads(await ours.socket.wait_for_frame(b"rate_limits.updated"))["rate_limits"]
        assert (told["name"], told["remaining"]) == ("tokens", 30)


async def test_a_speculation_does_not_take_the_last_request(bench: Benches) -> None:
    allowance = Allowance(requests=Bucket(1, asyncio.get_running_loop().time()))
    async with bench(allowance=allowance, llm=ScriptedLlm(["Hello there."])) as ours:
        ours.perform(Generate("resp_1", REQUEST, speculative=True))
        assert (await ours.posted.wait_for(inputs.ResponseBroke)).response_id == "resp_1"
        ours.perform(Generate("resp_2", REQUEST))
        assert (await ours.posted.wait_for(inputs.GenerationFinished)).response_id == "resp_2"
