"""A language model behind a chat-completions endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, cast

import msgspec
import pytest

from realtime.engines import chat
from realtime.engines.chat import ChatLlm, Timeouts
from realtime.errors import EngineError
from realtime.ports import ArgumentsDelta, AudioDelta, CallBegan, Finished, Llm, LlmEvent, LlmRequest, Recording, TextDelta, TokenUsage
from realtime.wire.items import InputAudio, InputImage, InputText, Message
from realtime.wire.settings import PcmFormat
from tests.rigs.chat_endpoint import (
    DEFAULT_TOKENS,
    DONE,
    PROMPT_TOKENS,
    ChatEndpoint,
    Reply,
    Stop,
    answer,
    chunk,
    hang_up,
    raw,
    refusal,
    spoken,
    usage,
)

KEY = "sk-secret-0123456789"
PATIENCE = Timeouts(connect=10, first_token=10, between_tokens=10)
TINY = 0.02
"""Seconds: a timeout that is meant to strike."""

PING = b": ping\n\n"
NO_MAX_TOKENS = {
    "error": {
        "message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "type": "invalid_request_error",
        "param": "max_tokens",
        "code": "unsupported_parameter",
    }
}
NO_STREAM_OPTIONS = {"error": {"message": "Extra inputs are not permitted, field: 'stream_options'"}}
UNSAFE = {"error": {"message": "Unsafe.", "code": "content_policy_violation"}}


@pytest.fixture
async def stub() -> AsyncIterator[ChatEndpoint]:
    async with ChatEndpoint() as stub:
        yield stub


async def at_once(seconds: float) -> None:
    """A pause that does not last."""


def reaching(stub: ChatEndpoint, timeouts: Timeouts = PATIENCE) -> ChatLlm:
    return ChatLlm(stub.base_url, KEY, "gpt", timeouts=timeouts, dice=lambda: 0.0, pause=at_once)


@pytest.fixture
async def llm(stub: ChatEndpoint) -> AsyncIterator[ChatLlm]:
    llm = reaching(stub)
    yield llm
    await llm.close()


def asking(text: str = "Hi", **wanted: Any) -> LlmRequest:
    return LlmRequest(instructions="Be brief.", items=(Message("user", [InputText(text)]),), **wanted)


def opened(llm: ChatLlm, request: LlmRequest | None = None) -> AsyncGenerator[LlmEvent, None]:
    return cast(AsyncGenerator[LlmEvent, None], llm.stream(request or asking()))


async def events(llm: ChatLlm, **wanted: Any) -> list[LlmEvent]:
    return [event async for event in llm.stream(asking(**wanted))]


async def text(llm: ChatLlm, **wanted: Any) -> str:
    return "".join(event.text for event in await events(llm, **wanted) if isinstance(event, TextDelta))


async def failure(llm: ChatLlm, **wanted: Any) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await events(llm, **wanted)
    return caught.value


async def test_it_is_an_llm(llm: ChatLlm) -> None:
    port: Llm = llm
    assert port.name == "gpt"


async def test_every_token_is_a_delta_and_the_last_event_says_why(stub: ChatEndpoint, llm: ChatLlm) -> None:
    usage = TokenUsage(PROMPT_TOKENS, len(DEFAULT_TOKENS))
    assert await events(llm) == [*map(TextDelta, DEFAULT_TOKENS), Finished("stop", usage)]


async def test_the_request_is_the_conversation(stub: ChatEndpoint, llm: ChatLlm) -> None:
    await events(llm, temperature=0.5, max_output_tokens=7)
    assert stub.requests[0].body == {
        "model": "gpt",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 7,
        "temperature": 0.5,
    }
    assert stub.requests[0].headers["Authorization"] == f"Bearer {KEY}"


async def test_answers_share_a_connection(stub: ChatEndpoint, llm: ChatLlm) -> None:
    # A reply without usage and [DONE] is read to the end of the body: its connection is free when the answer is.
    stub.script(raw(chunk({"content": "One."}, "stop")))
    await events(llm)
    await events(llm)
    assert stub.requests[0].connection == stub.requests[1].connection


async def test_two_answers_at_once_use_two_connections(stub: ChatEndpoint, llm: ChatLlm) -> None:
    gate = asyncio.Event()
    stub.script(answer(gate, "slow"), answer("quick"))
    async with aclosing(opened(llm)) as slow:
        first = asyncio.ensure_future(anext(slow))
        await stub.wait_for(lambda stub: len(stub.requests) == 1)
        assert await text(llm) == "quick"
        gate.set()
        assert await first == TextDelta("slow")


ONE, NONE = TokenUsage(PROMPT_TOKENS, 1), TokenUsage(PROMPT_TOKENS, 0)

ENDS: dict[str, tuple[Reply, list[LlmEvent]]] = {
    "cut anywhere": (
        raw(b'data: {"choices":[{"del', b'ta":{"content":"\xc3', b'\xbc"},"finish_reason":"stop"}]}\n', b"\n" + DONE),
        [TextDelta("ü"), Finished("stop")],
    ),
    "comments and CRLF": (
        raw(PING, chunk({"content": "a"}, "stop").replace(b"\n", b"\r\n"), b": x\r\n\r\n", DONE),
        [TextDelta("a"), Finished("stop")],
    ),
    "blank lines first": (raw(b"\n\n", chunk({"content": "a"}, "stop")), [TextDelta("a"), Finished("stop")]),
    "no [DONE]": (raw(chunk({"content": "a"}), chunk({}, "length")), [TextDelta("a"), Finished("length")]),
    "no reason": (raw(chunk({"content": "a"}), DONE), [TextDelta("a"), Finished("stop")]),
    "no final blank line": (raw(chunk({"content": "a"}), b"data: [DONE]\n"), [TextDelta("a"), Finished("stop")]),
    "cut after the reason": (raw(chunk({"content": "a"}, "stop"), Stop.CUT), [TextDelta("a"), Finished("stop")]),
    "usage with the reason": (
        raw(chunk({"content": "a"}, "stop", usage=usage(1, cached_tokens=5)), DONE),
        [TextDelta("a"), Finished("stop", TokenUsage(PROMPT_TOKENS, 1, 5))],
    ),
    "filtered": (answer("a", finish_reason="content_filter"), [TextDelta("a"), Finished("content_filter", ONE)]),
    "nothing but tools": (answer(chunk({"tool_calls": []}), finish_reason="tool_calls"), [Finished("stop", NONE)]),
    "thoughts are not spoken": (
        answer(chunk({"reasoning_content": "Hm"}), chunk({"reasoning": "Hm"}), "a"),
        [TextDelta("a"), Finished("stop", ONE)],
    ),
    "a refusal is text": (answer(chunk({"content": None, "refusal": "No."})), [TextDelta("No."), Finished("stop", NONE)]),
    "empty content": (answer(chunk({"content": ""}), chunk({"content": None}), "a"), [TextDelta("a"), Finished("stop", ONE)]),
}


@pytest.mark.parametrize(("reply", "expected"), ENDS.values(), ids=ENDS)
async def test_a_stream_ends_in_one_finished(stub: ChatEndpoint, llm: ChatLlm, reply: Reply, expected: list[LlmEvent]) -> None:
    stub.script(reply)
    assert await events(llm) == expected


PLAIN = {"object": "chat.completion", "choices": [{"message": {"content": "Whole."}, "finish_reason": "stop"}], "usage": usage(1)}


@pytest.mark.parametrize("space", [b"", b"\n "])
async def test_an_endpoint_that_does_not_stream_works_too(stub: ChatEndpoint, llm: ChatLlm, space: bytes) -> None:
    data = msgspec.json.encode(PLAIN)
    stub.script(Reply((space + data[:20], data[20:]), headers={"Content-Type": "application/json"}))
    assert await events(llm) == [TextDelta("Whole."), Finished("stop", TokenUsage(PROMPT_TOKENS, 1))]


async def test_a_plain_answer_has_a_limit(stub: ChatEndpoint, llm: ChatLlm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "MAX_EVENT", 100)
    stub.script(raw(b"{" + b" " * 100))
    assert (await failure(llm)).code == "server_error"


BROKEN: dict[str, tuple[Reply, str]] = {
    "cut in the middle": (raw(chunk({"content": "a"}), Stop.CUT), "stream_interrupted"),
    "ended in the middle": (raw(chunk({"content": "a"})), "stream_interrupted"),
    "ended inside an event": (raw(chunk({"content": "a"}), b'data: {"choices":[{"delta"'), "server_error"),
    "an empty body": (raw(), "stream_interrupted"),
    "an error in the middle": (raw(chunk({"content": "a"}), b'data: {"error":{"message":"x","code":"overloaded"}}\n\n'), "overloaded"),
    "an error in place of an answer": (raw(b'{"error":{"message":"x"}}'), "server_error"),
    "a page": (raw(b"<html>Sign in</html>"), "stream_interrupted"),
    "an endless event": (raw(b"data: " + b"x" * (1 << 20), b"x"), "server_error"),
}


@pytest.mark.parametrize(("reply", "code"), BROKEN.values(), ids=BROKEN)
async def test_a_broken_stream_is_an_error(stub: ChatEndpoint, llm: ChatLlm, reply: Reply, code: str) -> None:
    stub.script(reply)
    assert (await failure(llm)).code == code
    assert len(stub.requests) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "invalid_api_key"),
        (403, "invalid_api_key"),
        (404, "model_not_found"),
        (413, "context_length_exceeded"),
        (429, "rate_limit_exceeded"),
        (500, "server_error"),
    ],
)
async def test_a_refused_request_is_an_honest_error(stub: ChatEndpoint, llm: ChatLlm, status: int, code: str) -> None:
    stub.script(*[refusal(status, {"error": {"message": f"No, {KEY}!"}})] * 3)
    error = await failure(llm)
    assert (error.code, error.message) == (code, "No, ***!")


async def test_a_body_that_is_too_large_for_the_minute_is_a_matter_of_time(stub: ChatEndpoint, llm: ChatLlm) -> None:
    stub.script(*[refusal(413, {"error": {"message": "Limit 6000.", "code": "rate_limit_exceeded"}})] * 3)
    assert (await failure(llm)).code == "rate_limit_exceeded"


async def test_the_key_is_masked_in_an_error_inside_the_stream(stub: ChatEndpoint, llm: ChatLlm) -> None:
    stub.script(raw(b'data: {"error":{"message":"Bad ' + KEY.encode() + b'"}}\n\n'))
    assert (await failure(llm)).message == "Bad ***"


@pytest.mark.parametrize("passing", [refusal(429), refusal(502), hang_up()], ids=["429", "502", "no answer"])
async def test_a_passing_failure_is_not_noticed(stub: ChatEndpoint, llm: ChatLlm, passing: Reply) -> None:
    stub.script(passing, answer("Here."))
    assert await text(llm) == "Here."


async def test_a_model_without_max_tokens_is_remembered(stub: ChatEndpoint, llm: ChatLlm) -> None:
    stub.script(refusal(400, NO_MAX_TOKENS))
    await events(llm, max_output_tokens=5)
    await events(llm, max_output_tokens=6)
    limits = [(request.body.get("max_tokens"), request.body.get("max_completion_tokens")) for request in stub.requests]
    assert limits == [(5, None), (None, 5), (None, 6)]


async def test_an_endpoint_without_stream_options_is_remembered(stub: ChatEndpoint, llm: ChatLlm) -> None:
    stub.script(refusal(400, NO_STREAM_OPTIONS))
    await events(llm)
    await events(llm)
    assert ["stream_options" in request.body for request in stub.requests] == [True, False, False]


@pytest.mark.parametrize("status", [400, 422])
async def test_a_stranger_that_does_not_say_what_it_refuses_is_asked_more_plainly(stub: ChatEndpoint, llm: ChatLlm, status: int) -> None:
    stub.script(refusal(status, {"error": "unknown field"}), answer("Here."))
    assert await text(llm) == "Here."


async def test_an_endpoint_may_lack_both(stub: ChatEndpoint, llm: ChatLlm) -> None:
    stub.script(refusal(400, NO_MAX_TOKENS), refusal(400, NO_STREAM_OPTIONS), answer("Here."))
    assert await text(llm, max_output_tokens=5) == "Here."
    assert len(stub.requests) == 3


async def test_an_endpoint_that_refuses_everything_is_not_asked_for_ever(stub: ChatEndpoint, llm: ChatLlm) -> None:
    stub.script(*[refusal(400, NO_MAX_TOKENS)] * 9)
    assert (await failure(llm, max_output_tokens=5)).code == "unsupported_parameter"
    assert len(stub.requests) == 3


async def test_a_refusal_for_length_is_not_taken_for_one_of_the_shape(stub: ChatEndpoint, llm: ChatLlm) -> None:
    message = (
        "'max_tokens' or 'max_completion_tokens' is too large: 4096. This model's maximum context length is 4096 tokens "
        "and your request has 200 input tokens (4096 > 4096 - 200)."
    )
    stub.script(refusal(400, {"error": {"message": message, "code": 400}}))
    assert (await failure(llm, max_output_tokens=4096)).code == "context_length_exceeded"
    assert len(stub.requests) == 1


async def test_a_refusal_about_something_else_teaches_nothing(stub: ChatEndpoint, llm: ChatLlm) -> None:
    stub.script(refusal(400, UNSAFE), refusal(400, UNSAFE))
    assert (await failure(llm)).code == "content_policy_violation"
    await events(llm)
    assert "stream_options" in stub.requests[-1].body


async def test_an_endpoint_that_is_known_is_not_asked_twice(stub: ChatEndpoint, llm: ChatLlm) -> None:
    await events(llm)
    stub.script(refusal(400, UNSAFE))
    assert (await failure(llm)).code == "content_policy_violation"
    assert len(stub.requests) == 2


async def test_no_first_token_in_time_is_a_timeout(stub: ChatEndpoint) -> None:
    stub.script(raw(PING, chunk({"role": "assistant"}), Stop.HANG))
    llm = reaching(stub, Timeouts(first_token=TINY, between_tokens=10))
    assert (await failure(llm)).code == "timeout"
    await stub.wait_for(lambda stub: stub.disconnects == 1)
    await llm.close()


async def test_no_next_token_in_time_is_a_timeout(stub: ChatEndpoint) -> None:
    stub.script(answer("a", PING, Stop.HANG))
    llm = reaching(stub, Timeouts(first_token=10, between_tokens=TINY))
    assert (await failure(llm)).code == "timeout"
    await stub.wait_for(lambda stub: stub.disconnects == 1)
    await llm.close()


async def test_a_farewell_that_does_not_come_costs_no_answer(stub: ChatEndpoint) -> None:
    stub.script(raw(chunk({"content": "a"}, "stop"), Stop.HANG))
    llm = reaching(stub, Timeouts(first_token=10, between_tokens=TINY))
    assert await events(llm) == [TextDelta("a"), Finished("stop")]
    await llm.close()


async def test_cancelling_the_listener_disconnects_at_once(stub: ChatEndpoint, llm: ChatLlm) -> None:
    spoken: asyncio.Queue[LlmEvent] = asyncio.Queue()

    async def listen() -> None:
        async with aclosing(opened(llm)) as stream:
            async for event in stream:
                spoken.put_nowait(event)

    stub.script(answer("a", Stop.HANG))
    listener = asyncio.create_task(listen())
    await spoken.get()
    listener.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listener
    await stub.wait_for(lambda stub: stub.disconnects == 1)


async def test_closing_the_stream_early_disconnects_at_once(stub: ChatEndpoint, llm: ChatLlm) -> None:
    stub.script(answer("a", Stop.HANG))
    async with aclosing(opened(llm)) as stream:
        await anext(stream)
    await stub.wait_for(lambda stub: stub.disconnects == 1)


async def test_a_cancelled_answer_leaves_the_engine_whole(stub: ChatEndpoint, llm: ChatLlm) -> None:
    stub.script(answer("a", Stop.HANG), answer("b"))
    async with aclosing(opened(llm)) as stream:
        await anext(stream)
    assert await text(llm) == "b"


async def test_a_slow_listener_is_not_the_endpoints_fault(stub: ChatEndpoint) -> None:
    gate = asyncio.Event()
    stub.script(answer("a", gate, "b"))
    llm = reaching(stub, Timeouts(first_token=10, between_tokens=TINY))
    async with aclosing(opened(llm)) as stream:
        await anext(stream)
        over = asyncio.Event()
        asyncio.get_running_loop().call_later(TINY * 2, over.set)
        await over.wait()
        gate.set()
        assert await anext(stream) == TextDelta("b")
    await llm.close()


async def test_tool_calls_are_events_among_the_text(stub: ChatEndpoint, llm: ChatLlm) -> None:
    begin = chunk({"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "f", "arguments": ""}}]})
    go_on = chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]})
    stub.script(answer("Wait.", begin, go_on, finish_reason="tool_calls"))
    *parts, finished = await events(llm)
    assert parts == [TextDelta("Wait."), CallBegan(0, "f", "call_1"), ArgumentsDelta(0, "{}")]
    assert isinstance(finished, Finished)
    assert finished.reason == "stop"


SAID = LlmRequest(
    instructions="",
    items=(Message("user", [InputAudio()], "item_1"),),
    sounds=(Recording("item_1", 0, bytes(960), PcmFormat()),),
    voice="ash",
)
BAD_URL = {"error": {"message": "<400> InternalError: The provided URL does not appear to be valid.", "code": "invalid_parameter_error"}}
ONLY_WAV = {"error": {"message": "Input should be 'wav': audio.format"}}


def sounds_of(stub: ChatEndpoint) -> list[tuple[str, str]]:
    """How each request wrote its sound, and in what it asked for more."""
    bodies = [request.body for request in stub.requests]
    return [(body["messages"][0]["content"][0]["input_audio"]["data"][:5], body["audio"]["format"]) for body in bodies]


async def test_a_model_that_speaks_is_heard_and_read(stub: ChatEndpoint, llm: ChatLlm) -> None:
    stub.script(answer(spoken("Hel"), spoken("lo.", b"\1\0\2\0\3"), spoken("", b"\0\4\0"), spoken(expires_at=1)))
    hel, lo, first, second, finished = [event async for event in llm.stream(SAID)]
    assert (hel, lo) == (TextDelta("Hel"), TextDelta("lo."))
    assert isinstance(first, AudioDelta)
    assert isinstance(second, AudioDelta)
    assert (first.audio.tolist(), second.audio.tolist(), first.rate) == ([1, 2], [3, 4], 24_000)
    assert finished == Finished("stop", NONE)


@pytest.mark.parametrize("problem", [BAD_URL, ONLY_WAV], ids=["base64", "pcm16"])
async def test_an_endpoint_that_wants_sound_as_qwen_does_is_remembered(stub: ChatEndpoint, llm: ChatLlm, problem: Any) -> None:
    stub.script(refusal(400, problem))
    for _ in range(2):
        async with aclosing(opened(llm, SAID)) as answer:
            await anext(answer)
    assert sounds_of(stub) == [("UklGR", "pcm16"), ("data:", "wav"), ("data:", "wav")]


async def test_a_refusal_of_sound_is_no_reason_where_there_is_none(stub: ChatEndpoint, llm: ChatLlm) -> None:
    await events(llm)
    stub.script(refusal(400, BAD_URL))
    assert (await failure(llm)).code == "invalid_parameter_error"


@pytest.mark.parametrize(
    ("url", "qwens"),
    [
        ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", True),
        ("https://example.org/aliyuncs.com", False),
        ("http://localhost:8000/v1", False),
    ],
)
async def test_qwens_own_endpoint_is_known_by_its_name(url: str, qwens: bool) -> None:
    assert ChatLlm(url, None, "qwen", timeouts=PATIENCE)._shape.sounds_as_qwen is qwens


async def test_a_model_that_could_speak_is_told_to_write(stub: ChatEndpoint) -> None:
    llm = ChatLlm(stub.base_url, None, "gpt", timeouts=PATIENCE, speaks=True)
    await events(llm)
    await llm.close()
    assert stub.requests[0].body["modalities"] == ["text"]


async def test_an_effort_that_an_endpoint_does_not_know_is_left_out_from_then_on(stub: ChatEndpoint, llm: ChatLlm) -> None:
    stub.script(refusal(400, {"error": {"message": "Unrecognized request argument supplied: reasoning_effort"}}))
    await events(llm, effort="low")
    await events(llm, effort="low")
    assert [request.body.get("reasoning_effort") for request in stub.requests] == ["low", None, None]


SHOWN = LlmRequest(instructions="", items=(Message("user", [InputImage("data:image/jpeg;base64,AA==")]),))
FADED = LlmRequest(instructions="", items=(Message("user", [InputImage()]),))
NO_EYES = {"error": {"message": "No endpoints found that support image input", "code": 404}}


def showing(stub: ChatEndpoint) -> list[bool]:
    """Which requests had a picture in them."""
    return [isinstance(request.body["messages"][0]["content"], list) for request in stub.requests]


@pytest.mark.parametrize(("status", "refusals"), [(400, 1), (404, 1), (422, 1), (500, 3)])  # a failure may pass, and is tried again
async def test_that_a_model_sees_nothing_is_remembered(stub: ChatEndpoint, llm: ChatLlm, status: int, refusals: int) -> None:
    stub.script(*[refusal(status, NO_EYES)] * refusals)
    for _ in range(2):
        assert len([event async for event in llm.stream(SHOWN)]) == len(DEFAULT_TOKENS) + 1
    assert showing(stub) == [True] * refusals + [False, False]


async def test_a_model_that_refuses_more_than_pictures_may_see_after_all(stub: ChatEndpoint, llm: ChatLlm) -> None:
    stub.script(*[refusal(404, NO_EYES)] * 2)
    with pytest.raises(EngineError, match="No endpoints"):
        await anext(opened(llm, SHOWN))
    await anext(opened(llm, SHOWN))
    assert showing(stub) == [True, False, True]


@pytest.mark.parametrize("request_", [asking(), FADED], ids=["none", "let go"])
async def test_without_pictures_nothing_is_learned_of_them(stub: ChatEndpoint, llm: ChatLlm, request_: LlmRequest) -> None:
    stub.script(refusal(404, NO_EYES))
    with pytest.raises(EngineError, match="No endpoints"):
        await anext(opened(llm, request_))
    assert len(stub.requests) == 1


async def test_a_sound_that_comes_as_one_may_be_long(stub: ChatEndpoint, llm: ChatLlm) -> None:
    minute = bytes(60 * 48_000)
    stub.script(answer(spoken("Hm.", minute)))
    sounds = [event async for event in llm.stream(SAID) if isinstance(event, AudioDelta)]
    assert [len(sound.audio) for sound in sounds] == [60 * 24_000]
    stub.script(answer(spoken("Hm.", minute)))
    assert (await failure(llm)).code == "server_error"


async def test_a_sound_has_a_limit_too(stub: ChatEndpoint, llm: ChatLlm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "MAX_SOUND_EVENT", 1000)
    stub.script(answer(spoken("Hm.", bytes(1000))))
    with pytest.raises(EngineError, match="more than 1000 bytes"):
        [event async for event in llm.stream(SAID)]
