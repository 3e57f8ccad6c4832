"""The JSON of a chat completion, both ways."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from realtime.engines.completions import Answer, Shape, body, takes_no_pictures
from realtime.errors import EngineError
from realtime.ports import CallBegan, Finished, LlmRequest, Recording, TokenUsage
from realtime.wire.items import MAX_EXTRA, InputAudio, InputImage, InputText, Message
from realtime.wire.settings import FunctionChoice, FunctionTool, PcmFormat, ToolChoice


def posted(shape: Shape | None = None, **wanted: Any) -> Any:
    request = LlmRequest(instructions="", items=(Message("user", [InputText("Hi")]),), **wanted)
    return msgspec.json.decode(body("gpt", request, shape or Shape()))


def delta(**fields: Any) -> bytes:
    return msgspec.json.encode({"choices": [{"delta": fields, "finish_reason": None}]})


def sound(**fields: Any) -> bytes:
    return delta(audio=fields)


def stopped(reason: str) -> bytes:
    return msgspec.json.encode({"choices": [{"delta": {}, "finish_reason": reason}]})


def test_a_request_says_no_more_than_it_must() -> None:
    assert posted() == {
        "model": "gpt",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_temperature_goes_only_when_given() -> None:
    assert posted(temperature=0.0)["temperature"] == 0.0


def test_the_limit_is_called_max_tokens() -> None:
    wire = posted(max_output_tokens=5)
    assert (wire["max_tokens"], "max_completion_tokens" in wire) == (5, False)


def test_the_limit_can_be_called_max_completion_tokens() -> None:
    wire = posted(Shape(names_completion=True), max_output_tokens=5)
    assert (wire["max_completion_tokens"], "max_tokens" in wire) == (5, False)


def test_usage_need_not_be_asked_for() -> None:
    assert "stream_options" not in posted(Shape(asks_usage=False))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (delta(content="Hi"), "Hi"),
        (delta(content=None), ""),
        (delta(content=""), ""),
        (delta(role="assistant"), ""),
        (delta(refusal="I can't."), "I can't."),
        (delta(content=None, reasoning_content="Hmm"), ""),
        (delta(reasoning="Hmm"), ""),
        (delta(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}]), ""),
        (b'{"choices":[{"finish_reason":"stop"}]}', ""),
        (b'{"choices":[{"message":{"role":"assistant","content":"Whole."},"finish_reason":"stop"}]}', "Whole."),
        (b'{"choices":[],"usage":null}', ""),
        (b'{"choices":null,"error":null}', ""),
        (sound(transcript="Hi", data="AAAA"), "Hi"),
        (sound(expires_at=1), ""),
        (b'{"modality":"audio","choices":[{"delta":{"content":"AAAA"}}]}', ""),
        (b'{"modality":"text","choices":[{"delta":{"content":"Hi"}}]}', "Hi"),
        (b"{}", ""),
        (b"[DONE]", ""),
        (b"", ""),
    ],
)
def test_a_piece_has_this_text(data: bytes, text: str) -> None:
    assert Answer().read(data) == text


@pytest.mark.parametrize(
    ("data", "begun"),
    [
        (delta(role="assistant", content=""), False),
        (delta(content="a"), True),
        (delta(reasoning="b"), True),
        (sound(id="audio_1"), False),
        (sound(data="AAAA"), True),
    ],
)
def test_a_thought_is_a_beginning_and_a_role_is_none(data: bytes, begun: bool) -> None:
    answer = Answer(spoken=True)
    answer.read(data)
    assert answer.begun is begun


def test_what_has_begun_stays_begun() -> None:
    answer = Answer()
    for data in (delta(content="a"), delta(content="")):
        answer.read(data)
    assert answer.begun


@pytest.mark.parametrize(
    ("reason", "ours"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("tool_calls", "stop"),
        ("function_call", "stop"),
        ("eos", "stop"),
    ],
)
def test_a_reason_is_one_of_ours(reason: str, ours: str) -> None:
    answer = Answer()
    answer.read(stopped(reason))
    assert answer.finished().reason == ours


def test_done_alone_ends_an_answer() -> None:
    answer = Answer()
    answer.read(b"[DONE]")
    assert answer.done
    assert answer.finished() == Finished("stop", None)


def test_an_answer_that_just_stops_was_interrupted() -> None:
    answer = Answer()
    answer.read(delta(content="Hi"))
    with pytest.raises(EngineError) as caught:
        answer.finished()
    assert caught.value.code == "stream_interrupted"


@pytest.mark.parametrize(
    ("usage", "ours"),
    [
        (b'{"prompt_tokens":9,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}', TokenUsage(9, 2, 4)),
        (b'{"prompt_tokens":9,"completion_tokens":2}', TokenUsage(9, 2)),
        (b'{"prompt_tokens":9,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":null}}', TokenUsage(9, 2)),
        (b'{"prompt_tokens":9,"completion_tokens":null}', TokenUsage(9, 0)),
        (
            b'{"prompt_tokens":9,"completion_tokens":7,"prompt_tokens_details":{"audio_tokens":5},'
            b'"completion_tokens_details":{"audio_tokens":6,"text_tokens":1}}',
            TokenUsage(9, 7, 0, 5, 6),
        ),
        (b'{"prompt_tokens":9,"completion_tokens":7,"completion_tokens_details":{"audio_tokens":null}}', TokenUsage(9, 7)),
        (b'{"prompt_tokens":90,"prompt_tokens_details":{"image_tokens":85}}', TokenUsage(90, 0, input_image_tokens=85)),
    ],
)
def test_usage_is_counted(usage: bytes, ours: TokenUsage) -> None:
    answer = Answer()
    answer.read(stopped("stop"))
    answer.read(b'{"choices":[],"usage":' + usage + b"}")
    assert answer.finished().usage == ours


def test_the_last_usage_counts() -> None:
    answer = Answer()
    for count in (1, 2):
        answer.read(b'{"choices":[{"finish_reason":"stop"}],"usage":{"completion_tokens":%d}}' % count)
    assert answer.finished().usage == TokenUsage(0, 2)


def test_an_error_object_is_raised_without_the_key() -> None:
    with pytest.raises(EngineError) as caught:
        Answer("sk-1").read(b'{"error":{"message":"Overloaded, sk-1.","code":"overloaded"}}')
    assert (caught.value.code, caught.value.message) == ("overloaded", "Overloaded, ***.")


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"choices":[{"delta":{"content":"\xff"}}]}', b'{"choices":[{"delta":{"content":5}}]}'])
def test_what_is_no_completion_is_an_error(data: bytes) -> None:
    with pytest.raises(EngineError) as caught:
        Answer().read(data)
    assert caught.value.code == "server_error"


WEATHER = FunctionTool("weather", "Tells the weather.", {"type": "object"})


def test_tools_go_in_the_shape_of_chat_completions() -> None:
    wire = posted(tools=(WEATHER, FunctionTool("time")))
    assert wire["tools"] == [
        {"type": "function", "function": {"name": "weather", "description": "Tells the weather.", "parameters": {"type": "object"}}},
        {"type": "function", "function": {"name": "time"}},
    ]
    assert "tool_choice" not in wire
    assert "parallel_tool_calls" not in wire


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", None),
        ("none", "none"),
        ("required", "required"),
        (FunctionChoice("weather"), {"type": "function", "function": {"name": "weather"}}),
    ],
)
def test_every_choice_of_tool_has_its_shape(choice: ToolChoice, sent: object) -> None:
    assert posted(tools=(WEATHER,), tool_choice=choice).get("tool_choice") == sent


def test_whether_calls_may_be_parallel_goes_only_with_tools() -> None:
    assert posted(tools=(WEATHER,), parallel_tool_calls=False)["parallel_tool_calls"] is False
    bare = posted(tool_choice="required", parallel_tool_calls=False)
    assert bare.keys().isdisjoint({"tools", "tool_choice", "parallel_tool_calls"})


def calls(*pieces: dict[str, Any]) -> bytes:
    return delta(tool_calls=list(pieces))


def piece(name: str | None = None, arguments: object = None, **more: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}, **more}


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(
            [
                calls(piece("f", "", index=0, id="a", type="function")),
                calls(piece(None, '{"x"', index=0)),
                calls(piece(None, ":1}", index=0)),
                calls(piece("g", "", index=1, id="b")),
                calls(piece(None, "{}", index=1)),
            ],
            id="openai: in pieces, by index",
        ),
        pytest.param(
            [calls(piece("f", '{"x"', index=0, id="a"), piece("g", "{}", index=1, id="b")), calls(piece(None, ":1}", index=0))],
            id="vllm: several in one chunk, interleaved",
        ),
        pytest.param([calls(piece("f", '{"x":1}', id="a")), calls(piece("g", "{}", id="b"))], id="gemini: whole, without an index"),
        pytest.param([calls(piece("f", '{"x":1}', index=0, id="a"), piece("g", "{}", index=0, id="b"))], id="ollama: all with index 0"),
        pytest.param(
            [calls(piece("f", '{"x"', id="a")), calls(piece("f", ":1}", id="a")), calls(piece("g", "{}", id="b"))],
            id="by id alone, in pieces",
        ),
    ],
)
def test_calls_are_told_apart_however_they_are_streamed(chunks: list[bytes]) -> None:
    assert made(chunks) == ([("f", "a", '{"x":1}'), ("g", "b", "{}")], "")


def made(chunks: list[bytes]) -> tuple[list[tuple[str, str, str]], str]:
    """Name, id and arguments of each call, and the text."""
    answer, text, found = Answer(), "", list[list[str]]()
    for each in chunks:
        text += answer.read(each)
        for event in answer.called:
            if isinstance(event, CallBegan):
                assert event.index == len(found)
                found.append([event.name, event.call_id, ""])
            else:
                found[event.index][2] += event.text
    return [(name, id, arguments) for name, id, arguments in found], text


def test_calls_without_any_id_are_told_apart_by_their_names() -> None:
    chunks = [calls(piece("f", '{"x"')), calls(piece(None, ":1}")), calls(piece("g", "{}"))]
    assert made(chunks)[0] == [("f", "", '{"x":1}'), ("g", "", "{}")]


def test_arguments_that_are_an_object_become_json_text() -> None:
    assert made([calls(piece("f", {"x": 1}, index=0, id="a"))])[0] == [("f", "a", '{"x":1}')]


def test_a_call_without_its_function_is_a_call_without_a_name() -> None:
    assert made([calls({"index": 0, "id": "a"})])[0] == [("", "a", "")]


def test_text_and_calls_may_share_an_answer() -> None:
    assert made([delta(content="One moment."), calls(piece("f", "{}", index=0, id="a"))]) == ([("f", "a", "{}")], "One moment.")


def test_a_call_is_a_beginning() -> None:
    answer = Answer()
    answer.read(calls(piece("f", "{}", index=0, id="a")))
    assert answer.begun
    answer.read(stopped("tool_calls"))
    assert answer.called == []
    assert answer.finished() == Finished("stop", None, (None,))


SIGNATURE = {"google": {"thought_signature": "EjQK"}}


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([calls(piece("f", "{}", id="a", extra_content=SIGNATURE)), calls(piece("g", "{}", id="b"))], id="with the call"),
        pytest.param([calls(piece("f", "{}", id="a")), calls({"extra_content": SIGNATURE})], id="in a piece of its own"),
    ],
)
def test_what_comes_with_a_call_is_kept_for_the_way_back(chunks: list[bytes]) -> None:
    answer = Answer()
    for each in [*chunks, stopped("stop")]:
        answer.read(each)
    assert answer.finished().extras[0] == SIGNATURE
    assert not any(answer.finished().extras[1:])


def test_what_comes_with_all_calls_together_has_a_limit() -> None:
    half = {"signature": "x" * (MAX_EXTRA // 2 - 20)}
    answer = Answer()
    answer.read(calls(piece("f", "{}", id="a", extra_content=half)))
    answer.read(calls(piece("g", "{}", id="b", extra_content=half)))
    with pytest.raises(EngineError, match=str(MAX_EXTRA)):
        answer.read(calls(piece("h", "{}", id="c", extra_content={"signature": "x" * 40})))


def test_a_piece_that_belongs_to_no_call_is_no_call() -> None:
    assert made([calls({"extra_content": SIGNATURE})]) == ([], "")


def test_how_hard_to_think_goes_only_when_given() -> None:
    assert posted(effort="low")["reasoning_effort"] == "low"
    assert "reasoning_effort" not in posted()
    assert "reasoning_effort" not in posted(Shape(knows_effort=False), effort="low")


def test_a_spoken_answer_is_asked_for_as_it_can_be_streamed() -> None:
    wire = posted(voice="ash")
    assert (wire["modalities"], wire["audio"]) == (["text", "audio"], {"voice": "ash", "format": "pcm16"})


def test_qwens_are_asked_in_their_way() -> None:
    assert posted(Shape(sounds_as_qwen=True), voice="Cherry")["audio"] == {"voice": "Cherry", "format": "wav"}
    request = LlmRequest(
        instructions="", items=(Message("user", [InputAudio()], "item_1"),), sounds=(Recording("item_1", 0, b"\0\0", PcmFormat()),)
    )
    wire = msgspec.json.decode(body("qwen", request, Shape(sounds_as_qwen=True)))
    assert wire["messages"][0]["content"][0]["input_audio"]["data"].startswith("data:audio/wav;base64,UklGR")


@pytest.mark.parametrize(("shape", "sent"), [(Shape(), None), (Shape(knows_modalities=True), ["text"])])
def test_who_could_speak_is_told_to_write(shape: Shape, sent: list[str] | None) -> None:
    wire = posted(shape)
    assert (wire.get("modalities"), "audio" in wire) == (sent, False)


def test_pictures_can_be_told_in_words() -> None:
    request = LlmRequest(instructions="", items=(Message("user", [InputImage("data:image/jpeg;base64,AA==")]),))
    wire = msgspec.json.decode(body("gpt", request, Shape(knows_pictures=False)))
    assert wire["messages"] == [{"role": "user", "content": "(a picture, which you cannot see)"}]


BLIND = {
    "OpenAI": "Invalid content type. image_url is only supported by certain models.",
    "OpenRouter": "No endpoints found that support image input",
    "vLLM": "deepseek-v4-flash is not a multimodal model",
    "vLLM as a reader": "At most 0 image(s) may be provided in one prompt. Set `--limit-mm-per-prompt` to increase this limit.",
    "llama.cpp": "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
    "llama.cpp in 2025": 'Failed to parse messages: Unsupported content part type: "image_url"; messages = []',
    "xAI": "Invalid request content: Image inputs are not supported by this model.",
    "Ollama": "Failed to create new sequence: failed to process inputs: this model is missing data required for image input",
    "Ollama's cloud": "this model does not support image input (ref: b8bd630e)",
    "Mistral": "Image input is not enabled for this model",
    "Gemini": "Image input modality is not enabled for tunedModels/x",
    "LM Studio": "Model does not support images. Please use a model that does.",
    "Bedrock": "This model doesn't support the image field for user messages. Remove image and try again.",
    "DeepSeek": "Failed to deserialize the JSON body into the target type: messages[1]: unknown variant `image_url`, expected `text`",
    "DeepSeek in 2025": "messages[2]: data did not match any variant of untagged enum ChatCompletionRequestContent at line 1 column 15700",
    "DeepSeek before": "messages[2]: invalid type: sequence, expected a string at line 1 column 2901",
    "Groq": "messages[1].content must be a string",
    "Qwen": "<400> InternalError.Algo.InvalidParameter: [Unexpected item type in content]",
    "Zhipu": "messages.content.type \u53c2\u6570\u975e\u6cd5\uff0c\u53d6\u503c\u8303\u56f4 ['text']",
    "Copilot": 'model "gpt-4.1" not supported for vision',
    "infini-ai": "Bad Request: [message type 'image_url' is not supported for model 'glm-5']",
    "mlx-lm": "Only 'text' content type is supported.",
}
SEEING = [
    "You uploaded an unsupported image. Please make sure your image is valid.",
    "You uploaded an unsupported image. Please make sure your image has of one the following formats: ['png', 'jpeg', 'gif', 'webp'].",
    "The image data you provided does not represent a valid image.",
    "Could not process image",
    "Failed to load image or audio file",
    "messages.0.content.1.image.source.base64: image exceeds 5 MB maximum: 6000000 bytes > 5242880 bytes",
    "This model does not support images larger than 2048 x 2048 pixels.",
    "The model does not support image format image/jpeg.",
    "At most 1 image(s) may be provided in one prompt.",
    "messages.content.type \u53c2\u6570\u975e\u6cd5 ['text','image_url']",
    "Unsupported value: 'messages[0].content[1].image_url.detail' is not supported with this model.",
    "Your input image may contain content that is not allowed by our safety system.",
    "No endpoints found for foo/bar.",
    "No endpoints found that support tool use.",
]


@pytest.mark.parametrize("message", BLIND.values(), ids=BLIND)
def test_that_no_pictures_are_taken_is_said_in_many_ways(message: str) -> None:
    problem = msgspec.json.encode({"error": {"message": message}})
    # Some libraries write more in escapes than they must.
    for refusal in (problem, problem.replace(b"'", rb"\u0027"), message.encode("ascii", "backslashreplace")):
        assert takes_no_pictures(refusal)


@pytest.mark.parametrize("message", SEEING)
def test_a_refusal_of_one_picture_or_of_anything_else_is_none_of_all(message: str) -> None:
    assert not takes_no_pictures(msgspec.json.encode({"error": {"message": message}}))


def spoke(*chunks: bytes) -> tuple[str, list[tuple[list[int], int]]]:
    """The text and the sounds of a spoken answer."""
    answer, text, sounds = Answer(spoken=True), "", []
    for each in chunks:
        text += answer.read(each)
        if answer.sound:
            sounds.append((answer.sound.audio.tolist(), answer.sound.rate))
    return text, sounds


ONE_TWO, THREE = "AQACAA==", "AwA="
"""Samples in base64."""


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(
            [
                delta(role="assistant", content=None, refusal=None, audio={"id": "audio_1", "transcript": "Hi"}),
                sound(transcript=" you"),
                sound(data=ONE_TWO),
                sound(data=THREE),
                sound(expires_at=1),
                stopped("stop"),
            ],
            id="openai",
        ),
        pytest.param(
            [delta(content="Hi you"), sound(transcript="Hi you"), sound(data="AQA"), sound(data="CAA=="), sound(data=THREE)],
            id="qwen: base64 cut anywhere, words twice",
        ),
        pytest.param(
            [
                b'{"modality":"text","choices":[{"delta":{"content":"Hi you"}}]}',
                b'{"modality":"audio","choices":[{"delta":{"content":"AQACAA=="}}],"usage":{"completion_tokens":0}}',
                b'{"modality":"audio","choices":[{"delta":{"content":"AwA="}}]}',
                b'{"modality":"audio","choices":[{"delta":{"content":null}}]}',
            ],
            id="vllm-omni: sound as content",
        ),
    ],
)
def test_a_spoken_answer_is_heard_however_it_is_streamed(chunks: list[bytes]) -> None:
    assert spoke(*chunks) == ("Hi you", [([1, 2], 24_000), ([3], 24_000)])


@pytest.mark.parametrize(
    "choices",
    [
        pytest.param([{"message": {"content": None, "audio": {"transcript": "Hi", "data": ONE_TWO}}}], id="openai"),
        pytest.param([{"message": {"content": "Hi"}}, {"message": {"audio": {"data": ONE_TWO, "transcript": ""}}}], id="vllm-omni"),
    ],
)
def test_a_spoken_answer_may_come_whole(choices: list[dict[str, Any]]) -> None:
    assert spoke(msgspec.json.encode({"choices": choices})) == ("Hi", [([1, 2], 24_000)])


def test_sound_is_of_its_own_piece() -> None:
    answer = Answer(spoken=True)
    answer.read(sound(data=ONE_TWO))
    answer.read(sound(transcript="Hi"))
    assert answer.sound is None


def test_sound_that_nobody_asked_for_is_let_go() -> None:
    answer = Answer()
    assert answer.read(sound(data="not even base64", transcript="Hi")) == "Hi"
    assert answer.sound is None


@pytest.mark.parametrize("start", ['{"error":', '{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":', '{"x":'])
def test_json_deeper_than_any_parser_goes_is_no_answer(start: str) -> None:
    with pytest.raises(EngineError, match="not a chat completion"):
        Answer().read(start.encode() + b"[" * 9999)
