from __future__ import annotations

import pytest
from msgspec import UNSET

from realtime.errors import ClientError
from realtime.session.abilities import Abilities
from realtime.session.admission import admit, check_audio
from realtime.session.conversation import Entry
from realtime.session.ids import CountedIds
from realtime.wire.items import (
    MAX_EXTRA,
    MAX_ITEM_TEXT,
    Audio,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    ListedTool,
    McpApprovalRequest,
    McpCall,
    McpListTools,
    Message,
    OutputAudio,
    OutputText,
    Part,
    Text,
)
from realtime.wire.settings import MAX_TOOLS_SIZE, AudioFormat, PcmFormat, PcmuFormat

PICTURE = InputImage("data:image/png;base64,AAAA")


def enter(item: Item, abilities: Abilities = Abilities(), format: AudioFormat = PcmuFormat()) -> Entry:  # noqa: B008 - frozen
    return admit(item, "item", format=format, abilities=abilities, ids=CountedIds())


def refusal(part: Part, abilities: Abilities = Abilities(), role: str = "user") -> tuple[str | None, str | None]:  # noqa: B008 - frozen
    with pytest.raises(ClientError) as refused:
        enter(Message(role, [InputText("Hi.") if role == "user" else OutputText("Hi."), part]), abilities)  # type: ignore[arg-type] # a role
    return refused.value.code, refused.value.param


def test_an_item_without_an_id_gets_one() -> None:
    assert enter(Message("user", [InputText("Hi.")])).id == "item_1"


def test_an_item_keeps_its_own_id() -> None:
    assert enter(FunctionCall("f", "{}", id="mine")).id == "mine"


def test_a_call_that_a_client_remembers_without_its_id_gets_one() -> None:
    entry = enter(FunctionCall("f", "{}"))
    assert isinstance(entry.item, FunctionCall)
    assert entry.item.call_id == "call_1"


@pytest.mark.parametrize("item", [Message("user", [InputText("Hi.")]), FunctionCall("f", "{}"), FunctionCallOutput("call_1", "4")])
def test_whatever_status_the_client_names_it_is_completed(item: Item) -> None:
    item.status = "in_progress"
    assert enter(item).item.status == "completed"


def test_parts_get_their_names_of_today() -> None:
    entry = enter(Message("assistant", [Text("Hi."), Audio("Hello.")]))
    assert isinstance(entry.item, Message)
    assert entry.item.content == [OutputText("Hi."), OutputAudio("Hello.")]


def test_sound_is_kept_apart_from_the_item_in_the_format_of_the_session() -> None:
    entry = enter(Message("user", [InputText("Hear:"), InputAudio(audio=b"sound")]))
    assert isinstance(entry.item, Message)
    assert entry.item.content == [InputText("Hear:"), InputAudio(None, UNSET)]
    assert entry.sounds.keys() == {1}
    assert (entry.sounds[1].audio, entry.sounds[1].format) == (b"sound", PcmuFormat())


def test_half_a_sample_at_the_end_of_an_item_is_refused() -> None:
    with pytest.raises(ClientError, match="odd") as refused:
        enter(Message("user", [InputAudio(audio=b"abc")]), format=PcmFormat())
    assert (refused.value.code, refused.value.param) == ("invalid_value", "item.content[0].audio")


def test_words_alone_stand_for_speech() -> None:
    assert enter(Message("user", [InputAudio("Hello.")])).sounds == {}


def test_speech_needs_sound_or_words() -> None:
    assert refusal(InputAudio()) == ("missing_required_parameter", "item.content[1].audio")


def test_the_models_sound_is_not_the_clients_to_write() -> None:
    assert refusal(OutputAudio("Hi.", b"sound"), role="assistant") == ("invalid_value", "item.content[1].audio")


@pytest.mark.parametrize("url", ["https://example.com/cat.png", "data:text/html;base64,AAAA", ""])
def test_a_picture_is_a_data_uri(url: str) -> None:
    assert refusal(InputImage(url)) == ("invalid_value", "item.content[1].image_url")


def test_a_picture_must_be_there() -> None:
    assert refusal(InputImage()) == ("missing_required_parameter", "item.content[1].image_url")


HALF = MAX_ITEM_TEXT // 2


@pytest.mark.parametrize(
    "item",
    [
        Message("user", [InputText("x" * HALF), InputAudio("x" * HALF)]),
        Message("assistant", [OutputText("x" * HALF), OutputAudio("x" * HALF)]),
        Message("user", [InputText("x" * HALF), Text("x" * HALF), PICTURE]),
    ],
)
def test_all_words_of_an_item_together_have_a_limit(item: Message) -> None:
    enter(item)
    part = item.content[0]
    assert isinstance(part, InputText | OutputText)
    part.text += "x"
    with pytest.raises(ClientError, match=str(MAX_ITEM_TEXT)) as refused:
        enter(item)
    assert (refused.value.code, refused.value.param) == ("string_above_max_length", "item.content")


def test_what_goes_with_a_call_has_a_limit() -> None:
    fits = "x" * (MAX_EXTRA - len('{"s":""}'))
    enter(FunctionCall("f", "{}", extra_content={"s": fits}))
    with pytest.raises(ClientError, match=str(MAX_EXTRA)) as refused:
        enter(FunctionCall("f", "{}", extra_content={"s": fits + "x"}))
    assert (refused.value.code, refused.value.param) == ("object_above_max_length", "item.extra_content")


@pytest.mark.parametrize("kind", [McpCall, McpApprovalRequest])
def test_so_has_what_goes_with_a_servers_tool(kind: type[McpCall] | type[McpApprovalRequest]) -> None:
    with pytest.raises(ClientError) as refused:
        enter(kind("s", "f", "{}", extra_content={"s": "x" * MAX_EXTRA}))
    assert (refused.value.code, refused.value.param) == ("object_above_max_length", "item.extra_content")


def test_a_list_of_tools_has_a_limit() -> None:
    enter(McpListTools("s", [ListedTool("f", {})]))
    with pytest.raises(ClientError, match=str(MAX_TOOLS_SIZE)) as refused:
        enter(McpListTools("s", [ListedTool("f", {}, "x" * MAX_TOOLS_SIZE)]))
    assert (refused.value.code, refused.value.param) == ("array_above_max_length", "item.tools")


def test_a_picture_is_let_in() -> None:
    assert enter(Message("user", [PICTURE])).item == Message("user", [PICTURE], "item_1")


def test_what_is_switched_off_is_refused() -> None:
    assert refusal(PICTURE, Abilities(images=False)) == ("image_disabled", "item.content[1]")
    assert refusal(InputAudio("Hello."), Abilities(audio=False)) == ("audio_disabled", "item.content[1]")


def test_a_part_that_its_role_can_not_have_is_refused() -> None:
    assert refusal(OutputText("Hi.")) == ("invalid_value", "item.content[1].type")


def test_where_audio_is_switched_off_the_field_that_brought_it_is_named() -> None:
    check_audio("audio", Abilities())
    with pytest.raises(ClientError) as refused:
        check_audio("audio", Abilities(audio=False))
    assert (refused.value.code, refused.value.param) == ("audio_disabled", "audio")
