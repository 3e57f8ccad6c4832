"""The `pipecat-ai` package, unmodified: its `OpenAIRealtimeLLMService` in a pipeline that is fed and read by the test.

Every frame of every test is held against the openai package's own types (`conftest.py`). Pipecat validates too: a frame that
it can't read ends its receive loop, and so does nearly every `error` event; an answer is proof enough of what comes before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from realtime.engines.scripted import SENTENCE
from tests.compat.story import BEGINNING, INTERRUPTION, QUESTION, begin_story, frames
from tests.compat.test_openai_python import STANDARD
from tests.e2e.test_tools import ROME, call
from tests.rigs.chat_endpoint import ChatEndpoint, answer
from tests.rigs.sounds import WIRE_RATE
from tests.rigs.tap import Tap
from tests.rigs.wire_client import PATIENCE

pytest.importorskip("pipecat", reason="pipecat-ai is not installed (extra: compat)")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
"""Pipecat still imports what later Pythons will not have; that is its own business."""


class Pipeline:
    """A running pipeline of context, service and a tap behind it."""

    def __init__(self, worker: Any, context: Any, out: asyncio.Queue[Any]) -> None:
        self.context = context
        self._worker = worker
        self._out = out

    async def put(self, *given: Any) -> None:
        await self._worker.queue_frames(list(given))

    async def ask(self) -> None:
        from pipecat.frames.frames import LLMRunFrame

        await self.put(LLMRunFrame())

    async def speak(self, sound: Any) -> None:
        from pipecat.frames.frames import InputAudioRawFrame

        await self.put(*(InputAudioRawFrame(frame, WIRE_RATE, 1) for frame in frames(sound)))

    async def until(self, sought: Callable[[Any], bool]) -> list[Any]:
        """What came out, up to and with the first frame that is sought."""
        from pipecat.frames.frames import ErrorFrame

        came: list[Any] = []
        async with asyncio.timeout(PATIENCE):
            while not came or not sought(came[-1]):
                came.append(await self._out.get())
                assert not isinstance(came[-1], ErrorFrame), came[-1]
        return came

    async def answered(self) -> tuple[str, int]:
        """The words of the next answer, and its samples."""
        from pipecat.frames.frames import LLMFullResponseEndFrame, TTSAudioRawFrame, TTSTextFrame

        came = await self.until(lambda frame: isinstance(frame, LLMFullResponseEndFrame))
        words = "".join(frame.text for frame in came if isinstance(frame, TTSTextFrame))
        return words, sum(len(frame.audio) // 2 for frame in came if isinstance(frame, TTSAudioRawFrame))


@asynccontextmanager
async def piped(tap: Tap, *messages: dict[str, Any], tools: Any = None) -> AsyncIterator[Pipeline]:
    from pipecat.pipeline.pipeline import Pipeline as Processors
    from pipecat.pipeline.runner import WorkerRunner
    from pipecat.pipeline.task import PipelineParams, PipelineWorker
    from pipecat.processors.aggregators.llm_context import LLMContext
    from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
    from pipecat.processors.frame_processor import FrameProcessor
    from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

    out: asyncio.Queue[Any] = asyncio.Queue()

    class Behind(FrameProcessor):  # type: ignore[misc, unused-ignore]  # typed only where the package is installed
        async def process_frame(self, frame: Any, direction: Any) -> None:
            await super().process_frame(frame, direction)
            out.put_nowait(frame)
            await self.push_frame(frame, direction)

    context = LLMContext(messages=list(messages), **({"tools": tools} if tools else {}))
    aggregators = LLMContextAggregatorPair(context)
    service = OpenAIRealtimeLLMService(api_key="k", base_url=tap.url("ws", "/v1/realtime"))
    params = PipelineParams(audio_in_sample_rate=WIRE_RATE, audio_out_sample_rate=WIRE_RATE)
    worker = PipelineWorker(Processors([aggregators.user(), service, Behind(), aggregators.assistant()]), params=params)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    try:
        await tap.wait_for("session.updated")
        yield Pipeline(worker, context, out)
    finally:
        await worker.cancel()
        await running


def asked(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


async def test_a_written_question_is_answered(tap: Tap, endpoint: ChatEndpoint) -> None:
    async with piped(tap, asked("What does the fox do?")) as pipeline:
        await pipeline.ask()
        words, samples = await pipeline.answered()
    assert words == STANDARD
    assert samples > WIRE_RATE
    assert endpoint.requests[0].body["messages"][-1] == asked("What does the fox do?")


async def test_a_spoken_question_is_answered_by_voice(tap: Tap, endpoint: ChatEndpoint) -> None:
    async with piped(tap) as pipeline:
        await pipeline.ask()
        await pipeline.answered()
        await pipeline.speak(QUESTION)
        words, samples = await pipeline.answered()
    assert words == STANDARD
    assert samples > WIRE_RATE
    assert endpoint.requests[-1].body["messages"][-1] == asked(SENTENCE)


async def test_a_tool_is_called_and_its_result_answered(tap: Tap, endpoint: ChatEndpoint) -> None:
    from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
    from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema

    async def weather(params: Any) -> None:
        await params.result_callback(f"Sunny in {params.arguments['city']}.")

    schema = FunctionSchema("weather", "Tells the weather.", {"city": {"type": "string"}}, ["city"], handler=weather)
    endpoint.script(answer(*call(0, "call_1", ROME), finish_reason="tool_calls"), answer("It is sunny."))
    async with piped(tap, asked("What is the weather in Rome?"), tools=ToolsSchema([schema])) as pipeline:
        await pipeline.ask()
        words = ""
        while not words:
            words, _ = await pipeline.answered()
    assert words == "It is sunny."
    result = endpoint.requests[-1].body["messages"][-1]
    assert (result["role"], result["tool_call_id"]) == ("tool", "call_1")
    assert "Sunny in Rome." in result["content"]


async def test_an_answer_is_interrupted_and_cut_to_what_was_heard(tap: Tap, endpoint: ChatEndpoint) -> None:
    begin_story(endpoint)
    async with piped(tap, asked("Tell me a story.")) as pipeline:
        await pipeline.ask()
        begun = await tap.wait_for("response.output_audio.delta")
        await pipeline.speak(INTERRUPTION)
        done = await tap.wait_for("response.done")
        assert done["response"]["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
        truncated = await tap.wait_for("conversation.item.truncated", item_id=begun["item_id"])
        assert 0 <= truncated["audio_end_ms"] <= len(BEGINNING) * 1000
    assert not [event for event in tap.received if event["type"] == "error"]


async def test_a_frame_of_the_camera_reaches_the_endpoint(tap: Tap, endpoint: ChatEndpoint) -> None:
    from pipecat.frames.frames import InputImageRawFrame

    size = (64, 64)
    async with piped(tap, asked("What is this?")) as pipeline:
        await pipeline.put(InputImageRawFrame(bytes(size[0] * size[1] * 3), size, "RGB"))
        await tap.wait_for("conversation.item.done")
        await pipeline.ask()
        await pipeline.answered()
    shown, question = endpoint.requests[0].body["messages"][-2:]
    assert question == asked("What is this?")
    (image,) = shown["content"]
    assert image["image_url"]["url"].startswith("data:image/jpeg;base64,")
