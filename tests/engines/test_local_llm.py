from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from realtime import config
from realtime.engines import local_llm, models
from realtime.engines.chatml import HISTORY_TOKENS
from realtime.engines.local_llm import END_TOKENS, MAX_ANSWER, MAX_CONTEXT, MAX_WAITING, TEMPERATURE, LocalLlm, TokenText
from realtime.engines.smollm import convert
from realtime.errors import EngineError
from realtime.ports import Finished, LlmEvent, LlmRequest, TextDelta
from realtime.wire.items import InputText, Item, Message
from tests.rigs.toy_gguf import CONTEXT, write_gguf

SECONDS = 20
"""The most that any test waits for a thread."""


def request(*texts: str, instructions: str = "", tokens: int | None = None, temperature: float | None = None) -> LlmRequest:
    items: tuple[Item, ...] = tuple(Message("user", [InputText(text)]) for text in texts or ("Hi.",))
    return LlmRequest(instructions=instructions, items=items, max_output_tokens=tokens, temperature=temperature)


async def collect(events: AsyncIterator[LlmEvent]) -> tuple[str, Finished]:
    text = ""
    async for event in events:
        if isinstance(event, Finished):
            return text, event
        assert isinstance(event, TextDelta)
        text += event.text
    raise AssertionError("the stream ended without Finished")


class Generator:
    """Stands for ctranslate2's: says its tokens one by one, as far as the gate lets it."""

    def __init__(self, tokens: list[str], fault: Exception | None = None) -> None:
        self.tokens = tokens
        self.fault = fault
        self.gate = threading.Semaphore(10_000)
        self.begun: list[dict[str, Any]] = []
        self.steps = 0
        self.heard = 0
        """Tokens after which the caller wanted more."""

    def generate_batch(self, prompts: list[list[str]], *, callback: Callable[[Any], bool], max_length: int, **options: Any) -> list[Any]:
        self.begun.append({"prompt": prompts[0], "max_length": max_length, **options})
        if self.fault:
            raise self.fault
        for token in self.tokens[:max_length]:
            assert self.gate.acquire(timeout=SECONDS)
            self.steps += 1
            if callback(SimpleNamespace(token=token)):
                break
            self.heard += 1
        ended = self.tokens[:max_length]
        return [SimpleNamespace(sequences=[[token for token in ended if token not in END_TOKENS]])]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from tokenizers import Tokenizer

    place = tmp_path_factory.mktemp("tokenizer")
    convert(write_gguf(place / "toy.gguf"), place / "toy")
    return Tokenizer.from_file(str(place / "toy" / "tokenizer.json"))


@pytest.fixture
async def make(tokenizer: Any) -> AsyncIterator[Callable[..., LocalLlm]]:
    made: list[LocalLlm] = []

    def build(generator: Any, *, tokenizer: Any = tokenizer, workers: int = 1, context: int = 8192) -> LocalLlm:
        made.append(LocalLlm(generator, tokenizer, name="toy", context=context, workers=workers))
        return made[-1]

    yield build
    for llm in made:
        await llm.close()


Make = Callable[..., LocalLlm]


async def test_text_comes_token_by_token_and_then_the_end(make: Make) -> None:
    llm = make(Generator(["Y", "es", ".", "<|im_end|>"]))
    events = [event async for event in llm.stream(request())]
    assert events[:-1] == [TextDelta("Y"), TextDelta("es"), TextDelta(".")]
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "stop"


async def test_usage_counts_the_prompt_and_every_token_made(make: Make) -> None:
    generator = Generator(["Y", "es", "<|im_end|>"])
    _, end = await collect(make(generator).stream(request()))
    assert end.usage is not None
    assert (end.usage.input_tokens, end.usage.output_tokens) == (len(generator.begun[0]["prompt"]), 3)


async def test_an_answer_that_was_cut_says_so(make: Make) -> None:
    text, end = await collect(make(Generator(list("abcdef"))).stream(request(tokens=4)))
    assert (text, end.reason) == ("abcd", "length")


async def test_an_answer_is_never_longer_than_our_own_limit(make: Make) -> None:
    generator = Generator(["a"] * (MAX_ANSWER + 10))
    for tokens in (None, MAX_ANSWER * 10):
        text, end = await collect(make(generator).stream(request(tokens=tokens)))
        assert (len(text), end.reason) == (MAX_ANSWER, "length")


async def test_an_answer_takes_at_most_half_of_a_small_context(make: Make) -> None:
    generator = Generator(["<|im_end|>"])
    await collect(make(generator, context=400).stream(request()))
    assert generator.begun[0]["max_length"] == 200


async def test_prompt_and_answer_fit_the_context(make: Make) -> None:
    generator = Generator(["<|im_end|>"])
    await collect(make(generator).stream(request("a" * 10_000)))
    assert len(generator.begun[0]["prompt"]) + generator.begun[0]["max_length"] == MAX_CONTEXT


async def test_history_is_bounded_below_the_context(make: Make) -> None:
    generator = Generator(["<|im_end|>"])
    await collect(make(generator).stream(request(*["a" * 50] * 100, instructions="b")))
    assert len(generator.begun[0]["prompt"]) < HISTORY_TOKENS + 200


async def test_marks_of_the_model_are_not_text(make: Make) -> None:
    text, _ = await collect(make(Generator(["a", "<|endoftext|>"])).stream(request()))
    assert text == "a"


async def test_the_model_may_end_by_any_mark_that_ends_a_turn(make: Make) -> None:
    generator = Generator([])
    await collect(make(generator).stream(request()))
    assert generator.begun[0]["end_token"] == ["<|im_end|>", "<|endoftext|>", "<|im_start|>"]


async def test_a_character_of_several_tokens_comes_whole(make: Make) -> None:
    llm = make(Generator(["ð", "Ł", "İ", "ī", "!"]))
    assert [event async for event in llm.stream(request(tokens=9))][:-1] == [TextDelta("🎉"), TextDelta("!")]


def test_half_a_character_is_held_back() -> None:
    text = TokenText()
    assert [text.add(token) for token in ("Ã", "¶")] == ["", "ö"]


def test_bytes_that_are_no_character_are_replaced() -> None:
    text = TokenText()
    assert text.add("Ã") + text.add("a") == "\ufffda"


def test_the_alphabet_of_tokens_covers_every_byte() -> None:
    assert sorted(local_llm._BYTES.values()) == list(range(256))


async def test_without_a_temperature_the_models_own_is_used(make: Make) -> None:
    generator = Generator([])
    await collect(make(generator).stream(request()))
    assert generator.begun[0]["sampling_temperature"] == TEMPERATURE


async def test_the_protocols_usual_temperature_means_the_models_own(make: Make) -> None:
    generator = Generator([])
    await collect(make(generator).stream(request(temperature=0.8)))
    assert generator.begun[0]["sampling_temperature"] == pytest.approx(TEMPERATURE)


async def test_at_temperature_zero_the_likeliest_token_is_taken(make: Make) -> None:
    generator = Generator([])
    await collect(make(generator).stream(request(temperature=0)))
    assert generator.begun[0]["sampling_topk"] == 1
    assert "sampling_temperature" not in generator.begun[0]


async def test_a_listener_who_leaves_stops_the_model_at_its_next_token(make: Make) -> None:
    generator = Generator(["a"] * 100)
    generator.gate = threading.Semaphore(1)
    llm = make(generator)
    heard = asyncio.Event()

    async def listen() -> None:
        async for _ in llm.stream(request()):
            heard.set()

    task = asyncio.create_task(listen())
    await asyncio.wait_for(heard.wait(), SECONDS)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    generator.gate.release(100)
    await llm.close()
    assert (generator.steps, generator.heard) == (2, 1)


async def test_the_next_answer_comes_after_one_that_was_cancelled(make: Make) -> None:
    generator = Generator(["a"] * 100)
    generator.gate = threading.Semaphore(1)
    llm = make(generator)
    stream = llm.stream(request())
    assert await anext(stream) == TextDelta("a")
    await stream.aclose()  # type: ignore[attr-defined]  # an async generator, which the port does not promise
    generator.gate.release(10_000)
    text, _ = await collect(llm.stream(request(tokens=5)))
    assert text == "aaaaa"


async def test_answers_beyond_the_workers_wait_and_come_in_order(make: Make) -> None:
    generator = Generator(["a", "<|im_end|>"])
    generator.gate = threading.Semaphore(0)
    llm = make(generator)
    ended: list[str] = []

    async def ask(name: str) -> None:
        await collect(llm.stream(request(name)))
        ended.append(name)

    tasks = [asyncio.create_task(ask(name)) for name in ("x", "y", "z")]
    await asyncio.sleep(0)
    assert len(generator.begun) <= 1
    generator.gate.release(6)
    await asyncio.wait_for(asyncio.gather(*tasks), SECONDS)
    assert ended == ["x", "y", "z"]


async def test_answers_beyond_the_queue_are_refused(make: Make) -> None:
    generator = Generator(["a", "<|im_end|>"])
    generator.gate = threading.Semaphore(0)
    llm = make(generator)
    tasks = [asyncio.create_task(collect(llm.stream(request()))) for _ in range(1 + MAX_WAITING)]
    await asyncio.sleep(0)
    assert llm.waiting == MAX_WAITING
    with pytest.raises(EngineError) as refused:
        await collect(llm.stream(request()))
    assert refused.value.code == "overloaded"
    generator.gate.release(1000)
    assert {text for text, _ in await asyncio.wait_for(asyncio.gather(*tasks), SECONDS)} == {"a"}
    assert (await collect(llm.stream(request())))[0] == "a"


async def test_as_many_answers_run_at_once_as_there_are_workers(make: Make) -> None:
    together = threading.Barrier(2)

    class Meeting(Generator):
        def generate_batch(self, prompts: list[list[str]], **options: Any) -> list[Any]:
            together.wait(SECONDS)
            return super().generate_batch(prompts, **options)

    llm = make(Meeting(["a"]), workers=2)
    answers = await asyncio.gather(*[collect(llm.stream(request())) for _ in range(2)])
    assert [text for text, _ in answers] == ["a", "a"]


async def test_a_cancelled_answer_in_the_queue_is_never_begun(make: Make) -> None:
    generator = Generator(["a"])
    generator.gate = threading.Semaphore(0)
    llm = make(generator)
    first, second = (asyncio.create_task(collect(llm.stream(request(name)))) for name in "xy")
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    generator.gate.release()
    assert (await first)[0] == "a"
    await llm.close()
    assert len(generator.begun) == 1


async def test_a_failure_of_the_model_is_an_engine_error(make: Make) -> None:
    with pytest.raises(EngineError, match="The language model failed: out of memory") as caught:
        await collect(make(Generator([], RuntimeError("out of memory"))).stream(request()))
    assert caught.value.code == "generation_failed"


async def test_instructions_that_are_too_long_are_an_engine_error(make: Make) -> None:
    with pytest.raises(EngineError, match="The instructions take") as caught:
        await collect(make(Generator([])).stream(request(instructions="a" * MAX_CONTEXT)))
    assert caught.value.code == "context_length_exceeded"


async def test_a_failure_that_nobody_waits_for_goes_unheard(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    class Late(Generator):
        def generate_batch(self, prompts: list[list[str]], **options: Any) -> list[Any]:
            super().generate_batch(prompts, **options)
            raise RuntimeError("too late")

    llm = make(Late(["a"]))
    stream = llm.stream(request())
    await anext(stream)
    await llm.close()
    await stream.aclose()  # type: ignore[attr-defined]  # as above
    assert caplog.records == []


async def test_closing_ends_a_running_answer(make: Make) -> None:
    generator = Generator(["a"] * 100)
    generator.gate = threading.Semaphore(1)
    llm = make(generator)
    stream = llm.stream(request())
    await anext(stream)
    closing = asyncio.create_task(llm.close())
    await asyncio.sleep(0)
    generator.gate.release(100)
    await asyncio.wait_for(closing, SECONDS)
    with pytest.raises(EngineError, match="has been closed") as caught:
        await anext(stream)
    assert (caught.value.code, generator.heard) == ("engine_closed", 1)


async def test_closing_ends_an_answer_in_the_queue(make: Make) -> None:
    generator = Generator(["a"])
    generator.gate = threading.Semaphore(0)
    llm = make(generator)
    tasks = [asyncio.create_task(collect(llm.stream(request(name)))) for name in "xy"]
    await asyncio.sleep(0)
    closing = asyncio.create_task(llm.close())
    await asyncio.sleep(0)
    generator.gate.release()
    await closing
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [getattr(result, "code", None) for result in results] == ["engine_closed", "engine_closed"]
    assert len(generator.begun) == 1


async def test_after_closing_nothing_is_answered(make: Make) -> None:
    llm = make(Generator([]))
    await llm.close()
    with pytest.raises(EngineError, match="has been closed"):
        await collect(llm.stream(request()))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="holds no usable language model"):
        LocalLlm.load(tmp_path)


async def test_a_converted_model_loads_and_answers(tmp_path: Path) -> None:
    convert(write_gguf(tmp_path / "toy.gguf"), tmp_path / "toy")
    llm = LocalLlm.load(tmp_path / "toy", name="toy")
    _, end = await collect(llm.stream(request("a", instructions="b")))
    await llm.close()
    assert llm.name == "toy"
    assert end.usage is not None
    assert end.usage.input_tokens + end.usage.output_tokens <= CONTEXT


@pytest.fixture(scope="module")
def smollm() -> Iterator[LocalLlm]:
    cache = Path(os.environ.get("REALTIME_CACHE_DIR") or config.default_cache())
    llm = LocalLlm.load(models.fetch("smollm2-135m-instruct", cache))
    yield llm
    asyncio.run(llm.close())


async def test_the_real_model_knows_the_capital_of_france(smollm: LocalLlm) -> None:
    text, end = await collect(smollm.stream(request("What is the capital of France?", temperature=0)))
    assert "Paris" in text
    assert end.reason == "stop"


async def test_the_real_model_follows_a_conversation(smollm: LocalLlm) -> None:
    items: tuple[Item, ...] = (
        Message("user", [InputText("My name is Anna.")]),
        Message("assistant", [InputText("Nice to meet you, Anna.")]),
        Message("user", [InputText("What is my name?")]),
    )
    text, _ = await collect(smollm.stream(LlmRequest(instructions="", items=items, temperature=0)))
    assert "Anna" in text


async def test_the_real_model_stops_for_a_listener_who_leaves(smollm: LocalLlm, make: Make) -> None:
    made: list[int] = []

    class Counting:
        def generate_batch(self, *arguments: Any, **options: Any) -> list[Any]:
            results: list[Any] = smollm._generator.generate_batch(*arguments, **options)
            made.append(len(results[0].sequences[0]))
            return results

    llm = make(Counting(), tokenizer=smollm._tokenizer)
    stream = llm.stream(request("Tell me a long story."))
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]  # as above
    await llm.close()
    assert len(made) == 1
    assert made[0] < 20  # of some 250


async def test_a_mark_that_a_person_types_does_not_end_the_turn(smollm: LocalLlm) -> None:
    plain = await collect(smollm.stream(request("x", tokens=1)))
    typed = await collect(smollm.stream(request("x<|im_end|>", tokens=1)))
    assert plain[1].usage is not None
    assert typed[1].usage is not None
    assert typed[1].usage.input_tokens - plain[1].usage.input_tokens > 3  # spelled out, where a mark would be one token
