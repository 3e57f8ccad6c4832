"""The embedded language model: SmolLM2, or any ChatML model with a byte-level tokenizer, on `ctranslate2.Generator`.

Owns the threads that generate and the way from a token to text; the prompt is `chatml`'s. Each answer has a thread of its own and one core;
answers beyond the number of cores wait their turn in the order in which they came. It refuses tools and pictures: the model has never
learned them, and is told of both in words.
"""

from __future__ import annotations

import asyncio
import codecs
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from realtime.engines import chatml
from realtime.errors import EngineError
from realtime.ports import Finished, LlmEvent, LlmRequest, TextDelta, TokenUsage

if TYPE_CHECKING:
    from ctranslate2 import GenerationStepResult, Generator
    from tokenizers import Tokenizer

MAX_CONTEXT = 2048
"""Tokens of prompt and answer together. Models of this size know more (8192) but read them too slowly to talk to (see `HISTORY_TOKENS`)."""

MAX_ANSWER = 512
"""Tokens of one answer, the default and the most: some three minutes of speech, long after a listener has interrupted."""

TEMPERATURE = 0.2
TOP_P = 0.9
"""What SmolLM2's model card recommends (huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct, "How to use")."""

TEMPERATURE_SCALE = TEMPERATURE / 0.8
"""Clients think of large models, for which 0.8 is the protocol's default (PROTOCOL 2.8); at a true 0.8 this one calls the capital of France
"Allemagne". So theirs is scaled until their default is ours."""

TOP_K = 40
"""Candidates for each token: cuts the long tail that a small model fills with nonsense when the temperature is high."""

REPETITION_PENALTY = 1.1
"""Without one, models of this size fall into loops within a few sentences; 1.2 already makes them ramble."""

MAX_WAITING = 16
"""Answers that may wait for a thread: at some five seconds each on two cores, the last of them waits for most of a minute already."""

END_TOKENS = ("<|im_end|>", "<|endoftext|>", "<|im_start|>")
"""A model that begins a new turn has ended its own."""


class _Settings(Struct):
    """What `smollm.convert` wrote beside the weights."""

    context_length: int = MAX_CONTEXT


class LocalLlm:
    """Implements `ports.Llm`. Make it with `load`; several requests at once are welcome."""

    sees = False

    def __init__(self, generator: Generator, tokenizer: Tokenizer, *, name: str, context: int, workers: int) -> None:
        self.name = name
        self._generator = generator
        self._tokenizer = tokenizer
        self._context = min(context, MAX_CONTEXT)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="llm")
        self._limit = workers + MAX_WAITING
        self._marks = frozenset(token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special)
        self._answers: set[_Answer] = set()

    @classmethod
    def load(cls, folder: Path, *, name: str = "smollm2-135m-instruct", workers: int | None = None) -> LocalLlm:
        """Read a converted model; blocks for about half a second. `workers` defaults to the cores that this process may use.

        Raises `EngineError` when the folder holds no usable model.
        """
        import ctranslate2
        from tokenizers import Tokenizer

        workers = workers or len(os.sched_getaffinity(0))
        try:
            settings = msgspec.json.decode((folder / "config.json").read_bytes(), type=_Settings)
            tokenizer = Tokenizer.from_buffer((folder / "tokenizer.json").read_bytes())
            generator = ctranslate2.Generator(str(folder), compute_type="int8", inter_threads=workers, intra_threads=1)
        except (OSError, ValueError, RuntimeError, msgspec.DecodeError) as error:
            raise EngineError("model_unavailable", f"{folder} holds no usable language model: {error}") from error
        tokenizer.encode_special_tokens = True  # what a person types never becomes a mark
        return cls(generator, tokenizer, name=name, context=settings.context_length, workers=workers)

    async def stream(self, request: LlmRequest) -> AsyncIterator[LlmEvent]:
        """Yield text as it is generated, then one `Finished`. Leaving early stops the thread at its next token."""
        if len(self._answers) >= self._limit:
            raise EngineError("overloaded", "The language model has too many answers to give; try again in a moment.")
        loop = asyncio.get_running_loop()
        answer = _Answer(loop, self._marks)
        self._answers.add(answer)
        try:
            work = loop.run_in_executor(self._threads, self._generate, request, answer)
        except RuntimeError as error:  # how ThreadPoolExecutor.submit says that it was shut down
            self._answers.discard(answer)
            raise EngineError("engine_closed", "The language model has been closed.") from error
        work.add_done_callback(lambda _: answer.events.put_nowait(None))
        try:
            while (delta := await answer.events.get()) is not None:
                yield delta
            if work.cancelled() or answer.stopped:
                raise EngineError("engine_closed", "The language model has been closed.")
            yield work.result()
        finally:
            answer.stopped = True
            self._answers.discard(answer)
            # An answer still in the queue is never begun; the error of one that ended unheard counts as read.
            if not work.cancel() and not work.cancelled():
                work.exception()

    @property
    def waiting(self) -> int:
        return max(0, len(self._answers) - (self._limit - MAX_WAITING))

    async def close(self) -> None:
        """Stop what is running, at its next token, and end the threads."""
        for answer in self._answers:
            answer.stopped = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._threads.shutdown)

    def _generate(self, request: LlmRequest, answer: _Answer) -> Finished:
        """Runs in a thread of the pool."""
        room = min(request.max_output_tokens or MAX_ANSWER, MAX_ANSWER, self._context // 2)
        prompt = chatml.prompt(request, self._encode, self._context - room)
        try:
            results = self._generator.generate_batch(
                [prompt],
                include_prompt_in_result=False,
                max_length=room,
                end_token=list(END_TOKENS),
                repetition_penalty=REPETITION_PENALTY,
                callback=answer.step,
                **_sampling(request.temperature),
            )
        except (ValueError, RuntimeError) as error:
            raise EngineError("generation_failed", f"The language model failed: {error}") from error
        whole = len(results[0].sequences[0]) < room
        return Finished("stop" if whole else "length", TokenUsage(len(prompt), answer.tokens))

    def _encode(self, text: str) -> list[str]:
        tokens: list[str] = self._tokenizer.encode(text).tokens
        return tokens


class _Answer:
    """One answer under way: the thread steps, the loop reads `events`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, marks: frozenset[str]) -> None:
        self.events: asyncio.Queue[TextDelta | None] = asyncio.Queue()
        """None when the thread has ended."""
        self.stopped = False
        """Set by the loop, read by the thread at each token."""
        self.tokens = 0
        self._loop = loop
        self._marks = marks
        self._text = TokenText()

    def step(self, result: GenerationStepResult) -> bool:
        """Called by ctranslate2 in its own thread for every token; True stops it."""
        if self.stopped:
            return True
        self.tokens += 1
        if result.token not in self._marks and (text := self._text.add(result.token)):
            self._loop.call_soon_threadsafe(self.events.put_nowait, TextDelta(text))
        return False


class TokenText:
    """Byte-level tokens to text, holding back the beginning of a character until its end has come."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, token: str) -> str:
        """Return the text that `token` completes, perhaps none."""
        return self._decoder.decode(bytes(map(_BYTES.__getitem__, token)))


def _byte_of_character() -> dict[str, int]:
    """GPT-2's alphabet: printable Latin-1 stands for itself, the other bytes for U+0100 and on (openai/gpt-2, encoder.py)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = sorted(set(range(256)) - set(plain))
    return {chr(byte): byte for byte in plain} | {chr(256 + index): byte for index, byte in enumerate(others)}


_BYTES = _byte_of_character()


def _sampling(temperature: float | None) -> dict[str, Any]:
    scaled = TEMPERATURE if temperature is None else temperature * TEMPERATURE_SCALE
    if scaled <= 0:
        return {"sampling_topk": 1}
    return {"sampling_topk": TOP_K, "sampling_topp": TOP_P, "sampling_temperature": scaled}
