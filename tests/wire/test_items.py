from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest
from msgspec import UNSET, Raw

from realtime.errors import ClientError
from realtime.wire.items import (
    MAX_ID,
    MAX_NESTING,
    MAX_TEXT,
    Audio,
    FunctionCall,
    FunctionCallOutput,
    Image,
    InputAudio,
    InputImage,
    InputText,
    Item,
    ItemReference,
    ListedTool,
    McpApprovalRequest,
    McpCall,
    Message,
    OutputAudio,
    OutputText,
    Part,
    Role,
    Text,
    Video,
    canonical,
    function_name,
)

IMAGE = InputImage("data:image/png;base64,AAAA")


def refusal(item: Item, **where: str) -> ClientError:
    with pytest.raises(ClientError) as caught:
        canonical(item, **where)
    return caught.value


def read(cls: Any, **fields: Any) -> Any:
    return msgspec.convert({"type": cls.__struct_config__.tag, **fields}, cls)


@pytest.mark.parametrize(
    ("role", "part", "renamed"),
    [
        ("user", Text("x"), InputText("x")),
        ("system", Text("x"), InputText("x")),
        ("assistant", Text("x"), OutputText("x")),
        ("user", Audio("x", b"ab"), InputAudio("x", b"ab")),
        ("assistant", Audio("x"), OutputAudio("x")),
    ],
)
def test_old_names_become_those_of_the_role(role: Role, part: Part, renamed: Part) -> None:
    message = Message(role, [part])
    canonical(message)
    assert message.content == [renamed]


@pytest.mark.parametrize(
    ("role", "part"),
    [
        ("user", InputText("x")),
        ("user", InputAudio(None, b"ab")),
        ("user", IMAGE),
        ("system", InputText("x")),
        ("assistant", OutputText("x")),
        ("assistant", OutputAudio("x")),
    ],
)
def test_a_role_keeps_the_parts_that_it_may_have(role: Role, part: Part) -> None:
    message = Message(role, [part])
    canonical(message)
    assert message.content == [part]


@pytest.mark.parametrize(
    ("role", "part", "kind"),
    [
        ("user", OutputText("x"), "output_text"),
        ("user", OutputAudio("x"), "output_audio"),
        ("system", InputAudio(None, b"ab"), "input_audio"),
        ("system", IMAGE, "input_image"),
        ("system", Audio("x"), "input_audio"),
        ("assistant", InputText("x"), "input_text"),
        ("assistant", IMAGE, "input_image"),
        ("assistant", Image("AAAA"), "input_image"),
        ("system", Video(Raw(b'"AAAA"')), "input_video"),
    ],
)
def test_a_part_that_its_role_cannot_have_is_refused_by_its_place(role: Role, part: Part, kind: str) -> None:
    good: Part = OutputText("x") if role == "assistant" else InputText("x")
    error = refusal(Message(role, [good, part]))
    assert (error.code, error.param) == ("invalid_value", "item.content[1].type")
    assert error.message.startswith(f"Invalid value: '{kind}'. Supported values for role '{role}' are: ")


def test_the_refusal_lists_what_the_role_may_have() -> None:
    error = refusal(Message("user", [OutputText("x")]))
    assert error.message.endswith(" are: 'input_text', 'input_audio', 'input_image', 'input_video'.")


def test_a_message_without_content_is_refused() -> None:
    error = refusal(Message("user", []))
    assert (error.code, error.param) == ("invalid_value", "item.content")


def test_the_refusal_begins_at_the_place_of_the_item() -> None:
    assert refusal(Message("user", []), param="response.input[2]").param == "response.input[2].content"


@pytest.mark.parametrize("item", [FunctionCall("f", "{}"), FunctionCallOutput("call_1", "{}")])
def test_calls_are_canonical_as_they_are(item: Item) -> None:
    before = msgspec.structs.replace(item)
    canonical(item)
    assert item == before


@pytest.mark.parametrize("cls", [InputText, OutputText, Text])
def test_a_text_may_be_as_long_as_the_limit_and_no_longer(cls: Any) -> None:
    assert len(read(cls, text="x" * MAX_TEXT).text) == 256_000
    with pytest.raises(msgspec.ValidationError, match="length <= 256000"):
        read(cls, text="x" * (MAX_TEXT + 1))


def test_the_output_of_a_call_may_be_as_long_as_a_text() -> None:
    assert read(FunctionCallOutput, call_id="c", output="x" * MAX_TEXT)
    with pytest.raises(msgspec.ValidationError, match=r"length <= 256000.*output"):
        read(FunctionCallOutput, call_id="c", output="x" * (MAX_TEXT + 1))


@pytest.mark.parametrize(("length", "bound"), [(0, ">= 1"), (MAX_ID + 1, "<= 512")])
def test_an_id_has_one_to_512_characters(length: int, bound: str) -> None:
    assert read(ItemReference, id="i" * MAX_ID).id
    with pytest.raises(msgspec.ValidationError, match=bound):
        read(ItemReference, id="i" * length)


@pytest.mark.parametrize("cls", [*get_args(Part), *get_args(Item), ItemReference])
def test_unknown_keys_are_refused(cls: Any) -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `mood`"):
        read(cls, mood="fine")


ITEMS = pytest.mark.parametrize(
    ("cls", "fields"),
    [
        (Message, {"role": "user", "content": []}),
        (FunctionCall, {"name": "f", "arguments": ""}),
        (FunctionCallOutput, {"call_id": "c", "output": ""}),
    ],
)


@ITEMS
def test_an_item_without_an_id_awaits_one(cls: Any, fields: dict[str, Any]) -> None:
    item = read(cls, **fields)
    assert (item.id, item.status) == (UNSET, "completed")


def test_audio_is_served_only_where_it_is_there() -> None:
    served = [msgspec.to_builtins(part) for part in (OutputAudio("x"), OutputAudio("x", b"\0\0\0"))]
    assert served == [{"type": "output_audio", "transcript": "x"}, {"type": "output_audio", "transcript": "x", "audio": "AAAA"}]


@pytest.mark.parametrize("status", ["in_progress", "completed", "incomplete"])
def test_every_status_is_taken(status: str) -> None:
    assert read(Message, role="user", content=[], status=status).status == status


@pytest.mark.parametrize("detail", ["auto", "low", "high"])
def test_every_detail_of_a_picture_is_taken(detail: str) -> None:
    assert read(InputImage, image_url="data:", detail=detail).detail == detail


@ITEMS
def test_an_item_may_say_that_it_is_one(cls: Any, fields: dict[str, Any]) -> None:
    assert read(cls, object="realtime.item", **fields) == read(cls, **fields)
    with pytest.raises(msgspec.ValidationError, match="Invalid enum value"):
        read(cls, object="realtime.response", **fields)


@pytest.mark.parametrize(
    ("tool", "name"), [("add", "add"), ("disk.wipe", "disk_wipe"), ("a/b c-1", "a_b_c-1"), ("ä", "_"), ("x" * 100, "x" * 64)]
)
def test_a_models_name_of_a_tool_is_one_that_endpoints_take(tool: str, name: str) -> None:
    assert function_name(tool) == name


@pytest.mark.parametrize("cls", [McpCall, McpApprovalRequest])
def test_what_comes_with_a_call_may_be_nested_only_so_deep(cls: type[McpCall | McpApprovalRequest]) -> None:
    deep: dict[str, Any] = {}
    for _ in range(MAX_NESTING):
        deep = {"x": deep}
    with pytest.raises(ValueError, match="nested"):
        cls("s", "f", "{}", extra_content=deep)
    with pytest.raises(ValueError, match="nested"):
        ListedTool("f", {}, annotations=deep)
    with pytest.raises(ValueError, match="nested"):
        ListedTool("f", deep)
