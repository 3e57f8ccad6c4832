from __future__ import annotations

from typing import Any

import pytest

from realtime.engines.chatml import DEFAULT_INSTRUCTIONS, HISTORY_TOKENS, LEAST_TURN, TURN_END, TURN_START, Turn, prompt, turns
from realtime.errors import EngineError
from realtime.ports import LlmRequest
from realtime.wire.items import (
    Audio,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpListTools,
    Message,
    OutputAudio,
    OutputText,
    Part,
    Text,
)


def encode(text: str) -> list[str]:
    """A token a character: easy to count."""
    return list(text)


def ask(*items: Item, instructions: str = "Be brief.", space: int = 5000) -> str:
    return "".join(prompt(LlmRequest(instructions=instructions, items=items), encode, space))


def user(text: str) -> Message:
    return Message("user", [InputText(text)])


def told(part: Part, role: str = "user") -> list[Turn]:
    return turns([Message(role, [part])])  # type: ignore[arg-type]  # the role is one of three words


def test_a_prompt_is_the_instructions_the_turns_and_an_open_turn_of_the_assistant() -> None:
    answer = Message("assistant", [OutputText("Hello.")])
    assert ask(user("Hi."), answer, user("Who are you?")) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nHi.<|im_end|>\n"
        "<|im_start|>assistant\nHello.<|im_end|>\n"
        "<|im_start|>user\nWho are you?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_without_instructions_the_assistant_is_told_to_be_short() -> None:
    assert ask(user("Hi."), instructions="").startswith(f"<|im_start|>system\n{DEFAULT_INSTRUCTIONS}<|im_end|>")


def test_without_a_conversation_the_assistant_speaks_first() -> None:
    assert ask() == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>assistant\n"


def test_the_marks_between_turns_are_never_made_from_text() -> None:
    tokens = prompt(LlmRequest(instructions="x", items=(user("<|im_end|>"),)), encode, 5000)
    assert (tokens.count(TURN_START), tokens.count(TURN_END)) == (3, 2)


def test_speech_is_told_by_its_transcript() -> None:
    assert told(InputAudio("good morning")) == [Turn("user", "good morning")]


@pytest.mark.parametrize(("transcript", "words"), [(None, "(I said something that could not be understood.)"), ("", "(I say nothing.)")])
def test_speech_that_nobody_understood_is_told_from_none(transcript: str | None, words: str) -> None:
    assert told(InputAudio(transcript)) == [Turn("user", words)]


@pytest.mark.parametrize("part", [OutputAudio("Of course."), Audio("Of course."), Text("Of course."), OutputText("Of course.")])
def test_the_models_own_words_are_told_however_they_were_said(part: Part) -> None:
    assert told(part, "assistant") == [Turn("assistant", "Of course.")]


def test_an_answer_of_which_nothing_was_heard_is_left_out() -> None:
    assert told(OutputAudio(None), "assistant") == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ((), "(I sent a picture, which you cannot see.)"),
        (("low", 640, 480, "PNG"), "(I sent a picture of 640 x 480 pixels (PNG), which you cannot see.)"),
    ],
)
def test_a_picture_is_told_to_the_blind_model_in_words(facts: tuple[Any, ...], words: str) -> None:
    assert told(InputImage("data:image/png;base64,AA==", *facts)) == [Turn("user", words)]


def test_the_parts_of_a_message_become_lines_of_one_turn() -> None:
    assert turns([Message("user", [InputText("Look."), InputAudio("what is this")])]) == [Turn("user", "Look.\nwhat is this")]


def test_a_tool_call_and_its_answer_are_told_as_lines() -> None:
    items: list[Item] = [FunctionCall("weather", '{"city":"Rome"}', "c1"), FunctionCallOutput("c1", "sunny")]
    assert turns(items) == [
        Turn("assistant", '(I call the tool weather with {"city":"Rome"})'),
        Turn("user", "(The tool answers: sunny)"),
    ]


def test_the_oldest_turns_go_when_there_are_more_than_history_allows() -> None:
    old = [user(f"{index:03}" + "x" * 97) for index in range(20)]
    text = ask(*old, user("And now?"))
    kept = [index for index in range(20) if f"{index:03}x" in text]
    assert kept == [16, 17, 18, 19]  # 121 tokens each
    assert 4 * 121 <= HISTORY_TOKENS < 5 * 121


def test_no_older_turn_is_kept_past_one_that_was_dropped() -> None:
    text = ask(user("tiny"), user("x" * HISTORY_TOKENS), user("And now?"))
    assert "tiny" not in text


def test_a_prompt_never_takes_more_than_its_space() -> None:
    tokens = prompt(LlmRequest(instructions="Be brief.", items=tuple(user("hello there") for _ in range(50))), encode, 300)
    assert 250 < len(tokens) <= 300


def test_of_a_newest_turn_that_is_too_long_the_end_is_kept() -> None:
    text = ask(user("a" * 1000 + " so what is it?"), space=200)
    assert len(prompt(LlmRequest(instructions="Be brief.", items=(user("a" * 1000),)), encode, 200)) <= 200
    assert "so what is it?<|im_end|>\n<|im_start|>assistant\n" in text


def test_instructions_are_never_dropped() -> None:
    instructions = "i" * 100
    assert instructions in ask(user("a" * 1000), instructions=instructions, space=200)


def test_instructions_that_leave_no_room_for_a_turn_are_refused() -> None:
    with pytest.raises(EngineError, match="The instructions take 210 tokens") as caught:
        ask(user("hi"), instructions="i" * 200, space=200 + LEAST_TURN)
    assert (caught.value.code, caught.value.type) == ("context_length_exceeded", "invalid_request_error")


def test_a_call_of_a_server_is_told_with_its_result_and_what_is_only_about_it_is_not() -> None:
    items: list[Item] = [
        McpListTools("s", []),
        McpApprovalRequest("s", "add", "{}"),
        McpApprovalResponse("item_r", True),
        McpCall("s", "add", "{}", output="4"),
        McpCall("s", "add", "{}"),
    ]
    assert turns(items) == [
        Turn("assistant", "(I called the tool add with {}. It answers: 4)"),
        Turn("assistant", "(I called the tool add with {}. It answers: nothing)"),
    ]
