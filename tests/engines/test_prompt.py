"""How a conversation reads to a chat-completions endpoint."""

from __future__ import annotations

import io
import wave
from base64 import b64decode
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import UNSET

from realtime.engines.prompt import FADED, INAUDIBLE, PENDING, REFUSED, SILENCE, messages
from realtime.media import g711
from realtime.ports import LlmRequest, Recording
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
    Part,
    Text,
    ToolExecutionError,
)
from realtime.wire.settings import AudioFormat, PcmaFormat, PcmFormat, PcmuFormat

PICTURE = "data:image/png;base64,iVBORw0KGgo="


def wire(*items: Item, instructions: str = "", pictures: bool = True) -> Any:
    """The messages as the endpoint decodes them."""
    return msgspec.json.decode(msgspec.json.encode(messages(LlmRequest(instructions=instructions, items=items), pictures=pictures)))


def user(*parts: Part) -> Message:
    return Message("user", list(parts))


def assistant(*parts: Part) -> Message:
    return Message("assistant", list(parts))


def call(name: str, call_id: str) -> FunctionCall:
    return FunctionCall(name, '{"city":"Oslo"}', call_id)


def tool_call(name: str, call_id: str) -> dict[str, Any]:
    return {"type": "function", "id": call_id, "function": {"name": name, "arguments": '{"city":"Oslo"}'}}


def test_instructions_come_first_as_the_system_message() -> None:
    assert wire(user(InputText("Hi")), instructions="Be brief.")[0] == {"role": "system", "content": "Be brief."}


def test_no_instructions_no_system_message() -> None:
    assert wire(user(InputText("Hi"))) == [{"role": "user", "content": "Hi"}]


def test_an_empty_conversation_is_an_empty_prompt() -> None:
    assert wire() == []


def test_messages_keep_their_order_and_role() -> None:
    said = wire(
        Message("system", [InputText("Speak French.")]), user(InputText("Hi")), assistant(OutputText("Salut")), user(InputText("Merci"))
    )
    assert said == [
        {"role": "system", "content": "Speak French."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Salut"},
        {"role": "user", "content": "Merci"},
    ]


def test_speech_is_read_by_its_transcript() -> None:
    said = wire(user(InputAudio("What time is it?", audio=b"\0\0")), assistant(OutputAudio("Noon.", audio=b"\0\0")))
    assert said == [{"role": "user", "content": "What time is it?"}, {"role": "assistant", "content": "Noon."}]


@pytest.mark.parametrize(("transcript", "told"), [(None, INAUDIBLE), ("", SILENCE)])
def test_speech_that_was_not_understood_is_told_from_none(transcript: str | None, told: str) -> None:
    assert wire(user(InputAudio(transcript))) == [{"role": "user", "content": told}]


def test_the_texts_of_a_message_are_lines() -> None:
    assert wire(user(InputText("One."), InputAudio("Two."))) == [{"role": "user", "content": "One.\nTwo."}]


def test_a_picture_makes_the_content_a_list_of_parts() -> None:
    assert wire(user(InputText("What is this?"), InputImage(PICTURE, "low"), InputAudio("Tell me."))) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}},
                {"type": "text", "text": "Tell me."},
            ],
        }
    ]


def test_a_picture_says_its_detail_even_by_default() -> None:
    assert wire(user(InputImage(PICTURE)))[0]["content"] == [{"type": "image_url", "image_url": {"url": PICTURE, "detail": "auto"}}]


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (InputImage(PICTURE, "low", 640, 480, "PNG"), "(a picture of 640 x 480 pixels (PNG), which you cannot see)"),
        (InputImage(PICTURE, "low", 640, 480), "(a picture of 640 x 480 pixels, which you cannot see)"),
        (InputImage(PICTURE), "(a picture, which you cannot see)"),
    ],
)
def test_to_a_model_that_sees_nothing_a_picture_is_told_in_a_plain_string(picture: InputImage, words: str) -> None:
    said = wire(user(InputText("What is this?"), picture, InputAudio("Tell me.")), pictures=False)
    assert said == [{"role": "user", "content": f"What is this?\n{words}\nTell me."}]


@pytest.mark.parametrize(("pictures", "words"), [(True, FADED), (False, "(a picture of 640 x 480 pixels (PNG), which you cannot see)")])
def test_a_picture_that_was_let_go_is_told_in_words(pictures: bool, words: str) -> None:
    assert wire(user(InputImage(UNSET, "low", 640, 480, "PNG")), pictures=pictures) == [{"role": "user", "content": words}]


def test_a_picture_from_anybody_but_a_user_is_our_bug() -> None:
    with pytest.raises(AssertionError):
        wire(Message("system", [InputImage(PICTURE)]))


@pytest.mark.parametrize("part", [OutputText(""), OutputAudio(None), OutputAudio("")])
def test_an_answer_without_a_word_is_left_out(part: Part) -> None:
    assert wire(user(InputText("Hi")), assistant(part)) == [{"role": "user", "content": "Hi"}]


RAMP = np.arange(-3000, 3000, 7, dtype=np.int16)


def listen(*items: Item, sounds: tuple[Recording, ...], data_uris: bool = False) -> Any:
    request = LlmRequest(instructions="", items=items, sounds=sounds)
    return msgspec.json.decode(msgspec.json.encode(messages(request, data_uris=data_uris)))


def said(*parts: Part) -> Message:
    return Message("user", list(parts), "item_1")


def samples(part: Any, prefix: str = "") -> tuple[int, list[int]]:
    """Rate and samples of a part, as any reader of WAV files finds them."""
    assert part == {"type": "input_audio", "input_audio": {"data": part["input_audio"]["data"], "format": "wav"}}
    data = part["input_audio"]["data"]
    assert data.startswith(prefix)
    with wave.open(io.BytesIO(b64decode(data.removeprefix(prefix), validate=True))) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return file.getframerate(), np.frombuffer(file.readframes(10_000), np.int16).tolist()


@pytest.mark.parametrize(
    ("audio", "format", "rate", "expected"),
    [
        (RAMP.tobytes(), PcmFormat(), 24_000, RAMP),
        (RAMP.tobytes(), PcmFormat(16_000), 16_000, RAMP),
        (g711.encode_ulaw(RAMP), PcmuFormat(), 8_000, g711.decode_ulaw(g711.encode_ulaw(RAMP))),
        (g711.encode_alaw(RAMP), PcmaFormat(), 8_000, g711.decode_alaw(g711.encode_alaw(RAMP))),
    ],
)
@pytest.mark.parametrize(("data_uris", "prefix"), [(False, ""), (True, "data:audio/wav;base64,")])
def test_what_is_to_be_heard_goes_as_a_wav_file(
    audio: bytes, format: AudioFormat, rate: int, expected: Any, data_uris: bool, prefix: str
) -> None:
    sounds = (Recording("item_1", 0, audio, format),)
    (message,) = listen(said(InputAudio("Known, but heard.")), sounds=sounds, data_uris=data_uris)
    (part,) = message["content"]
    assert samples(part, prefix) == (rate, expected.tolist())


def test_what_is_heard_stands_where_it_was_said_and_the_rest_is_read() -> None:
    sounds = (Recording("item_1", 1, b"\0\0", PcmFormat()),)
    (message,) = listen(said(InputText("One."), InputAudio(), InputAudio("Three."), InputImage(PICTURE)), sounds=sounds)
    assert [part["type"] for part in message["content"]] == ["text", "input_audio", "text", "image_url"]
    assert (message["content"][0]["text"], message["content"][2]["text"]) == ("One.", "Three.")


def test_a_message_of_which_nothing_is_heard_stays_a_string() -> None:
    sounds = (Recording("item_2", 0, b"\0\0", PcmFormat()),)
    assert listen(said(InputAudio("Read.")), sounds=sounds) == [{"role": "user", "content": "Read."}]


def test_calls_in_a_row_are_one_message() -> None:
    said = wire(
        call("weather", "call_1"), call("time", "call_2"), FunctionCallOutput("call_1", "Rain"), FunctionCallOutput("call_2", "Noon")
    )
    assert said == [
        {"role": "assistant", "tool_calls": [tool_call("weather", "call_1"), tool_call("time", "call_2")]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Rain"},
        {"role": "tool", "tool_call_id": "call_2", "content": "Noon"},
    ]


def test_calls_apart_are_messages_apart() -> None:
    said = wire(call("weather", "call_1"), FunctionCallOutput("call_1", "Rain"), call("time", "call_2"))
    assert [message["role"] for message in said] == ["assistant", "tool", "assistant", "tool"]


def test_a_result_stands_right_behind_its_call_whenever_it_came() -> None:
    said = wire(call("weather", "call_1"), user(InputText("Hurry.")), FunctionCallOutput("call_1", "Rain"))
    assert [(message["role"], message.get("content")) for message in said] == [("assistant", None), ("tool", "Rain"), ("user", "Hurry.")]


def test_a_call_without_a_result_is_said_to_have_none_yet() -> None:
    said = wire(call("weather", "call_1"), user(InputText("Well?")))
    assert said[1] == {"role": "tool", "tool_call_id": "call_1", "content": PENDING}


def test_a_result_without_its_call_is_left_out() -> None:
    assert wire(FunctionCallOutput("call_1", "Rain"), user(InputText("Well?"))) == [{"role": "user", "content": "Well?"}]


def test_the_names_of_older_dialects_read_the_same() -> None:
    assert wire(user(Text("Hi")), assistant(Audio("Hello"))) == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
    ]


CONVERSATION: tuple[Item, ...] = (
    user(InputAudio("Weather?"), InputImage(PICTURE)),
    assistant(OutputAudio("")),
    call("weather", "call_1"),
    FunctionCallOutput("call_1", "Rain"),
    assistant(OutputAudio("It rains.")),
    user(InputText("Thanks")),
)


@pytest.mark.parametrize("pictures", [True, False])
@pytest.mark.parametrize("length", [length for length in range(len(CONVERSATION)) if length != 3])  # nobody asks while a tool is at work
def test_the_prompt_of_a_turn_starts_with_the_prompt_before_it(length: int, pictures: bool) -> None:
    before, after = (wire(*items, instructions="Help.", pictures=pictures) for items in (CONVERSATION[:length], CONVERSATION))
    assert after[: len(before)] == before


def test_a_call_without_an_id_is_our_bug() -> None:
    with pytest.raises(AssertionError):
        wire(FunctionCall("weather", "{}"))


def test_what_came_with_a_call_goes_back_with_it() -> None:
    signature = {"google": {"thought_signature": "EjQK"}}
    (message, _) = wire(FunctionCall("weather", "{}", "call_1", extra_content=signature))
    assert message["tool_calls"][0]["extra_content"] == signature


def server_call(name: str = "disk.wipe", **more: Any) -> McpCall:
    return McpCall("s", name, '{"city":"Oslo"}', id="item_c", **more)


ASKED = McpApprovalRequest("s", "disk.wipe", '{"city":"Oslo"}', "item_r")


def test_a_servers_call_reads_as_a_call_and_its_result() -> None:
    assert wire(server_call(output="Wiped.")) == [
        {"role": "assistant", "tool_calls": [tool_call("disk_wipe", "item_c")]},
        {"role": "tool", "tool_call_id": "item_c", "content": "Wiped."},
    ]


def test_it_stands_in_a_row_with_functions() -> None:
    said = wire(call("weather", "call_1"), server_call(output=""), FunctionCallOutput("call_1", "Rain"))
    assert [message["role"] for message in said] == ["assistant", "tool", "tool"]
    assert [message["content"] for message in said[1:]] == ["Rain", ""]


def test_a_servers_call_that_failed_says_why() -> None:
    assert wire(server_call(error=ToolExecutionError("No disk.")))[1]["content"] == "(The tool failed: No disk.)"


def test_a_request_that_waits_has_no_result_yet() -> None:
    assert wire(ASKED) == [
        {"role": "assistant", "tool_calls": [tool_call("disk_wipe", "item_r")]},
        {"role": "tool", "tool_call_id": "item_r", "content": PENDING},
    ]


@pytest.mark.parametrize(("reason", "told"), [(None, REFUSED), ("Not today.", f"{REFUSED} Not today.")])
def test_a_request_that_was_refused_says_so(reason: str | None, told: str) -> None:
    said = wire(ASKED, user(InputText("Hm.")), McpApprovalResponse("item_r", False, reason))
    assert [message["content"] for message in said[1:]] == [told, "Hm."]


def test_a_request_that_was_approved_of_is_one_with_its_call() -> None:
    said = wire(
        ASKED, user(InputText("Hm.")), McpApprovalResponse("item_r", True), server_call(approval_request_id="item_r", output="Wiped.")
    )
    assert said == [
        {"role": "assistant", "tool_calls": [tool_call("disk_wipe", "item_r")]},
        {"role": "tool", "tool_call_id": "item_r", "content": "Wiped."},
        {"role": "user", "content": "Hm."},
    ]


def test_a_call_whose_request_is_gone_stands_for_itself() -> None:
    (said, _) = wire(server_call(approval_request_id="item_r", output="Wiped."))
    assert said["tool_calls"][0]["id"] == "item_c"


def test_a_list_of_tools_says_nothing() -> None:
    assert wire(McpListTools("s", [ListedTool("f", {})], "item_l")) == []


def test_what_came_with_a_servers_call_goes_back_with_it() -> None:
    signature = {"google": {"thought_signature": "EjQK"}}
    for item in (server_call(extra_content=signature), McpApprovalRequest("s", "f", "{}", "item_r", extra_content=signature)):
        assert wire(item)[0]["tool_calls"][0]["extra_content"] == signature
