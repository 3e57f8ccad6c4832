from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from realtime.engines.scripted import (
    MAX_REMEMBERED,
    SENTENCE,
    SPEECH_LEVEL,
    Answer,
    ScriptedJudge,
    ScriptedLlm,
    ScriptedStt,
    ScriptedToolServers,
    ScriptedTts,
    ScriptedVad,
    Step,
    echo,
)
from realtime.errors import EngineError
from realtime.ports import (
    VAD_WINDOW,
    ArgumentsDelta,
    CallBegan,
    Finished,
    Llm,
    LlmEvent,
    LlmRequest,
    Stt,
    TextDelta,
    TokenUsage,
    Transcript,
    Tts,
    TurnJudge,
    Vad,
)
from realtime.wire.items import (
    Audio,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    ListedTool,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpListTools,
    Message,
    OutputAudio,
    OutputText,
    Role,
    Text,
)
from realtime.wire.mcp import McpTool

SECOND = np.zeros(16000, np.float32)
FAILURE = EngineError("rate_limit_exceeded", "slow down")


def said(text: str, role: Role = "user") -> Message:
    return Message(role, [OutputText(text) if role == "assistant" else InputText(text)])


def request(*items: Item, instructions: str = "") -> LlmRequest:
    return LlmRequest(instructions=instructions, items=items)


async def answer(llm: Llm, asked: LlmRequest | None = None) -> list[LlmEvent]:
    return [event async for event in llm.stream(asked or request(said("Hello there.")))]


async def text(llm: Llm, asked: LlmRequest | None = None) -> str:
    return "".join(event.text for event in await answer(llm, asked) if isinstance(event, TextDelta))


async def test_the_default_model_echoes_word_by_word() -> None:
    assert await answer(ScriptedLlm()) == [
        *map(TextDelta, ["You", " said:", " Hello", " there."]),
        Finished("stop", TokenUsage(2, 4)),
    ]


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([], "I am listening."),
        ([said("")], "I am listening."),
        ([said("One."), said("Two.", "assistant")], "You said: One."),
        ([said("One."), said("Two.")], "You said: Two."),
        ([Message("user", [InputAudio("Spoken."), InputImage("data:,"), InputText("And typed.")])], "You said: Spoken. And typed."),
        ([Message("user", [InputAudio(None)])], "I am listening."),
        ([Message("user", [Text("Old.")])], "You said: Old."),
        ([FunctionCall("clock", "{}"), FunctionCallOutput("call_1", "noon")], "You said: noon"),
    ],
)
async def test_the_echo_is_of_what_the_user_said_last(items: list[Item], expected: str) -> None:
    assert await text(ScriptedLlm(), request(*items)) == expected


async def test_usage_counts_the_words_of_the_prompt_and_the_pieces_of_the_answer() -> None:
    items: list[Item] = [said("one two"), Message("assistant", [OutputAudio("three"), Audio("four")]), FunctionCall("f", "five six")]
    finished = (await answer(ScriptedLlm(["a b"]), request(*items, instructions="seven eight nine")))[-1]
    assert finished == Finished("stop", TokenUsage(9, 2))


async def test_answers_come_in_order_and_then_the_echo() -> None:
    llm = ScriptedLlm(["first", "second"])
    assert [await text(llm) for _ in range(3)] == ["first", "second", "You said: Hello there."]


async def test_words_keep_every_space() -> None:
    assert await text(ScriptedLlm(["  a  b\nc "])) == "  a  b\nc "


async def test_an_empty_answer_only_finishes() -> None:
    assert await answer(ScriptedLlm([""])) == [Finished("stop", TokenUsage(2, 0))]


async def test_a_function_answers_every_request() -> None:
    def count(asked: LlmRequest) -> Answer:
        return f"{len(asked.items)} items"

    llm = ScriptedLlm(count)
    assert [await text(llm), await text(llm, request())] == ["1 items", "0 items"]


async def test_steps_are_followed_one_by_one() -> None:
    gate = asyncio.Event()
    stream = ScriptedLlm([["one", 0.0, gate.wait, "two", FAILURE]]).stream(request())
    assert await anext(stream) == TextDelta("one")
    waiting = asyncio.ensure_future(anext(stream))
    gate.set()
    assert await waiting == TextDelta("two")
    with pytest.raises(EngineError, match="slow down"):
        await anext(stream)


async def test_an_answer_may_end_otherwise() -> None:
    assert await answer(ScriptedLlm([["cut", Finished("length"), "never"]])) == [TextDelta("cut"), Finished("length")]


async def test_a_failure_is_an_answer() -> None:
    llm = ScriptedLlm([FAILURE])
    with pytest.raises(EngineError, match="slow down"):
        await answer(llm)
    assert llm.streaming == 0


async def test_a_model_remembers_what_it_was_asked_up_to_its_limit() -> None:
    llm = ScriptedLlm(lambda _: "")
    for number in range(MAX_REMEMBERED + 1):
        await answer(llm, request(instructions=str(number)))
    assert len(llm.requests) == MAX_REMEMBERED
    assert llm.requests[0].instructions == "1"


async def test_a_cancelled_answer_leaves_nothing() -> None:
    gate, begun = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        begun.set()
        await gate.wait()

    llm = ScriptedLlm([["one", hold, "two"]])
    reading = asyncio.create_task(answer(llm))
    await begun.wait()
    assert llm.streaming == 1
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert llm.streaming == 0


async def test_a_model_waits_before_an_answer_and_before_each_of_its_pieces() -> None:
    loop = asyncio.get_running_loop()
    llm, started = ScriptedLlm(["a b c"], first_delay=0.03, token_delay=0.01), loop.time()
    times = [loop.time() - started async for event in llm.stream(request()) if isinstance(event, TextDelta)]
    assert all(time >= floor for time, floor in zip(times, [0.039, 0.049, 0.059], strict=True))


async def test_an_ear_hears_its_texts_and_then_one_sentence() -> None:
    stt = ScriptedStt(["one", "two"])
    texts = [(await stt.transcribe(SECOND, language=None, prompt=None)).text for _ in range(3)]
    assert texts == ["one", "two", SENTENCE]


async def test_an_ear_knows_length_and_language() -> None:
    stt = ScriptedStt()
    transcript = await stt.transcribe(SECOND[:4000], language="de", prompt=None)
    assert (transcript.seconds, transcript.language) == (0.25, "de")
    assert list(stt.heard) == [0.25]


async def test_an_ear_may_tell_more_than_words() -> None:
    told = Transcript("You", 1.0, no_speech=0.9, confidence=-1.5)
    assert await ScriptedStt([told]).transcribe(SECOND[:8000], language=None, prompt=None, logprobs=True) is told


async def test_an_ear_may_fail() -> None:
    with pytest.raises(EngineError, match="slow down"):
        await ScriptedStt([FAILURE]).transcribe(SECOND, language=None, prompt=None)


async def test_an_ear_waits_for_its_delay_and_its_gate() -> None:
    loop, gate = asyncio.get_running_loop(), asyncio.Event()
    stt = ScriptedStt(delay=0.01, gate=gate.wait)
    loop.call_later(0.03, gate.set)
    started = loop.time()
    await stt.transcribe(SECOND, language=None, prompt=None)
    assert loop.time() - started >= 0.029


async def test_a_judge_gives_its_answers_and_then_one_and_knows_what_it_heard() -> None:
    judge = ScriptedJudge([0.1, 0.6])
    assert [await judge.judge(SECOND[:4000]) for _ in range(3)] == [0.1, 0.6, 1.0]
    assert await ScriptedJudge(otherwise=0.3).judge(SECOND) == 0.3
    assert list(judge.heard) == [0.25] * 3


async def test_a_judge_may_fail() -> None:
    with pytest.raises(EngineError, match="slow down"):
        await ScriptedJudge([FAILURE]).judge(SECOND)


async def test_a_judge_waits_for_its_delay_and_its_gate() -> None:
    loop, gate = asyncio.get_running_loop(), asyncio.Event()
    loop.call_later(0.03, gate.set)
    started = loop.time()
    await ScriptedJudge(delay=0.01, gate=gate.wait).judge(SECOND)
    assert loop.time() - started >= 0.029


async def hum(tts: Tts, text: str = "Hello.", speed: float = 1.0) -> list[np.ndarray]:
    return [chunk async for chunk in tts.speak(text, voice="any", speed=speed)]


async def test_a_hum_is_as_long_as_its_text() -> None:
    sound = np.concatenate(await hum(ScriptedTts(), "0123456789"))
    assert len(sound) == round(0.6 * 24000)
    assert sound.dtype == np.int16


async def test_a_hum_comes_in_chunks_at_its_own_rate() -> None:
    chunks = await hum(ScriptedTts(sample_rate=8000, seconds_per_character=0.05), "01234")
    assert [len(chunk) for chunk in chunks] == [800, 800, 400]


async def test_a_faster_hum_is_shorter() -> None:
    assert sum(map(len, await hum(ScriptedTts(), "0123456789", speed=1.5))) == round(0.4 * 24000)


async def test_a_hum_begins_and_ends_softly_and_is_loud_enough_to_be_speech() -> None:
    sound = np.concatenate(await hum(ScriptedTts())) / 32768
    assert abs(sound[0]) < 0.001 > abs(sound[-1])
    assert np.sqrt(np.mean(sound**2)) > SPEECH_LEVEL


async def test_no_text_is_no_hum() -> None:
    assert await hum(ScriptedTts(), "") == []


async def test_a_voice_fails_where_its_script_says() -> None:
    tts = ScriptedTts(failures=[None, FAILURE])
    assert await hum(tts)
    with pytest.raises(EngineError, match="slow down"):
        await hum(tts)
    assert await hum(tts)
    assert list(tts.spoken) == ["Hello."] * 3


async def test_a_voice_waits_for_its_delay_and_its_gate() -> None:
    loop, gate = asyncio.get_running_loop(), asyncio.Event()
    tts = ScriptedTts(delay=0.01, gate=gate.wait)
    loop.call_later(0.03, gate.set)
    started = loop.time()
    await hum(tts)
    assert loop.time() - started >= 0.029


@pytest.mark.parametrize(("level", "probability"), [(0.0, 0.0), (SPEECH_LEVEL / 2, 0.25), (SPEECH_LEVEL, 0.5), (SPEECH_LEVEL * 8, 1.0)])
def test_a_detector_hears_loudness(level: float, probability: float) -> None:
    assert ScriptedVad().open().score(np.full(VAD_WINDOW, level, np.float32)) == pytest.approx([probability])


def test_a_detector_has_a_level_of_its_own() -> None:
    assert ScriptedVad(level=0.5).open().score(np.full(VAD_WINDOW, 0.5, np.float32)) == pytest.approx([0.5])


def test_a_detector_scores_the_same_however_the_audio_is_cut() -> None:
    audio = np.linspace(0, 0.05, 5 * VAD_WINDOW + 100, dtype=np.float32)
    stream = ScriptedVad().open()
    scores = [score for start in range(0, len(audio), 320) for score in stream.score(audio[start : start + 320])]
    assert scores == pytest.approx(ScriptedVad().open().score(audio))
    assert len(scores) == 5


def test_a_detector_scores_nothing_before_a_window_is_whole() -> None:
    assert ScriptedVad().open().score(np.zeros(VAD_WINDOW - 1, np.float32)) == []


async def test_scripted_engines_fit_their_ports_and_close() -> None:
    llm: Llm = ScriptedLlm()
    stt: Stt = ScriptedStt()
    tts: Tts = ScriptedTts()
    vad: Vad = ScriptedVad()
    judge: TurnJudge = ScriptedJudge()
    for engine in (llm, stt, tts, judge):
        assert engine.name == "scripted"
        await engine.close()
    assert vad.open().score(SECOND[:0]) == []


async def test_a_script_may_call_tools() -> None:
    steps: list[Step] = [CallBegan(0, "f", "call_1"), ArgumentsDelta(0, "{}")]
    events = [event async for event in ScriptedLlm([steps]).stream(LlmRequest(instructions="", items=()))]
    assert events[:2] == steps


SERVER = McpTool(server_label="s", server_url="http://s.example/")


async def test_scripted_servers_offer_functions_as_tools() -> None:
    async def twice(arguments: dict[str, Any]) -> str:
        return str(2 * arguments["a"])

    servers = ScriptedToolServers(twice=twice)
    assert await servers.tools(SERVER) == (ListedTool("twice", {"type": "object"}),)
    assert await servers.call(SERVER, "twice", {"a": 2}) == "4"
    assert servers.working == 0
    await servers.close()


async def test_without_functions_there_is_no_server() -> None:
    with pytest.raises(EngineError, match=r"http://s\.example/"):
        await ScriptedToolServers().tools(SERVER)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (McpCall("s", "f", "{}", output="4"), "You said: 4"),
        (McpCall("s", "f", "{}"), "I am listening."),
        (McpListTools("s", []), "I am listening."),
        (McpApprovalRequest("s", "f", "{}"), "I am listening."),
        (McpApprovalResponse("item_r", True), "I am listening."),
    ],
)
def test_the_echo_is_of_what_a_servers_tool_said(item: Item, said: str) -> None:
    assert echo(LlmRequest(instructions="", items=(item,))) == said
