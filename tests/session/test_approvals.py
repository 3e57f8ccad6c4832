"""Approvals, and the calls that they let run; how they look from outside is in the transcripts `mcp-approval*`."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.errors import ClientError
from realtime.session.approvals import MAX_ASKED, Approvals, Asked, call_error, readable
from realtime.session.conversation import Conversation, Entry
from realtime.session.effects import Abandon, CallTool, Effects, Send
from realtime.session.ids import CountedIds
from realtime.session.inputs import ToolBroke, ToolReturned
from realtime.wire.items import (
    MAX_NESTING,
    HttpError,
    Item,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpError,
    ProtocolError,
    ToolExecutionError,
)
from realtime.wire.mcp import McpTool
from realtime.wire.server import ErrorInfo
from realtime.wire.settings import FunctionTool

SERVER = McpTool(server_label="s", server_url="https://s.example/")
EXTRA = {"google": {"thought_signature": "EjQK"}}
YES, NO = McpApprovalResponse("req_1", True), McpApprovalResponse("req_1", False, "No.")


class Desk:
    def __init__(self) -> None:
        self._effects = Effects(CountedIds())
        self.conversation = Conversation("conv_1")
        self.approvals = Approvals(self.conversation, self._effects, CountedIds())

    def ask(self, arguments: str = '{"a": 1}', request_id: str = "req_1") -> None:
        self.approvals.ask(request_id, Asked(SERVER, "add", arguments, EXTRA))

    def taken(self) -> list[object]:
        return [effect.event if isinstance(effect, Send) else effect for effect in self._effects.take()]

    def told(self) -> list[str]:
        return [str(type(each).__struct_config__.tag) for each in self.taken()]  # type: ignore[attr-defined]

    def call(self) -> McpCall:
        (entry,) = self.conversation
        assert isinstance(entry.item, McpCall)
        return entry.item


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_what_is_approved_of_is_called_as_it_was_asked(desk: Desk) -> None:
    desk.ask()
    desk.approvals.check(YES, "item")
    desk.approvals.answer(YES)
    assert desk.taken()[-1] == CallTool("item_1", SERVER, "add", {"a": 1})
    call = McpCall("s", "add", '{"a": 1}', "req_1", id="item_1", status="in_progress", extra_content=EXTRA)
    assert (desk.call(), desk.approvals.running_ids) == (call, {"item_1"})
    assert desk.approvals.come_out(ToolReturned("item_1", "2"))
    assert desk.told() == ["response.mcp_call.completed", "conversation.item.done"]
    assert (desk.call().output, desk.call().status, desk.approvals.running_ids) == ("2", "completed", set())


def test_a_call_that_fails_says_how(desk: Desk) -> None:
    desk.ask()
    desk.approvals.answer(YES)
    desk.taken()
    assert desk.approvals.come_out(ToolBroke("item_1", ErrorInfo(type="http_error", code="503", message="Not today.")))
    assert desk.told() == ["response.mcp_call.failed", "conversation.item.done"]
    assert (desk.call().error, desk.call().status) == (HttpError(503, "Not today."), "completed")


def test_what_is_refused_is_not_called_and_not_asked_again(desk: Desk) -> None:
    desk.ask()
    desk.approvals.answer(NO)
    assert desk.taken() == []
    with pytest.raises(ClientError) as caught:
        desk.approvals.check(YES, "item")
    assert (caught.value.code, caught.value.param) == ("invalid_value", "item.approval_request_id")


def test_an_outcome_of_something_else_is_nobodys(desk: Desk) -> None:
    assert not desk.approvals.come_out(ToolReturned("item_1", "2"))


def test_a_request_that_is_deleted_can_not_be_answered(desk: Desk) -> None:
    desk.ask()
    desk.approvals.stop("req_1")
    with pytest.raises(ClientError):
        desk.approvals.check(YES, "item")


def test_a_call_whose_item_is_deleted_is_given_up(desk: Desk) -> None:
    desk.ask()
    desk.approvals.answer(YES)
    desk.taken()
    desk.approvals.stop("item_1")
    assert desk.told() == ["Abandon", "response.mcp_call.failed", "conversation.item.done"]
    assert desk.call().status == "incomplete"
    assert not desk.approvals.come_out(ToolReturned("item_1", "late"))


def test_all_that_run_end_together(desk: Desk) -> None:
    for number in (1, 2):
        desk.ask(request_id=f"req_{number}")
        desk.approvals.answer(McpApprovalResponse(f"req_{number}", True))
    desk.taken()
    desk.approvals.fail_all("Bye.")
    assert [effect for effect in desk.taken() if isinstance(effect, Abandon)] == [Abandon("item_1"), Abandon("item_2")]
    assert [getattr(entry.item, "error", None) for entry in desk.conversation] == [ToolExecutionError("Bye.")] * 2


def test_only_so_many_wait_for_an_answer(desk: Desk) -> None:
    for number in range(MAX_ASKED + 1):
        desk.ask(request_id=f"req_{number}")
    with pytest.raises(ClientError):
        desk.approvals.check(McpApprovalResponse("req_0", True), "item")
    desk.approvals.check(YES, "item")
    desk.approvals.check(McpApprovalResponse(f"req_{MAX_ASKED}", True), "item")


def deep(levels: int) -> str:
    return '{"x":' * levels + "{}" + "}" * levels


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        ("{}", {}),
        ('{"a": [1]}', {"a": [1]}),
        ("", None),
        ("[1]", None),
        ("null", None),
        ('{"a":', None),
        ("{} {}", None),
        (deep(MAX_NESTING), None),
        (deep(100_000), None),
    ],
)
def test_arguments_are_a_json_object_or_nothing(arguments: str, read: dict[str, Any] | None) -> None:
    assert readable(arguments) == read


@pytest.mark.parametrize(
    ("type", "code", "error"),
    [
        ("http_error", "503", HttpError(503, "Oops.")),
        ("protocol_error", "-32603", ProtocolError(-32603, "Oops.")),
        ("protocol_error", None, ToolExecutionError("Oops.")),
        ("http_error", "teapot", ToolExecutionError("Oops.")),
        ("tool_execution_error", "1", ToolExecutionError("Oops.")),
        ("server_error", "timeout", ToolExecutionError("Oops.")),
    ],
)
def test_every_failure_is_one_of_three_kinds(type: str, code: str | None, error: McpError) -> None:
    assert call_error(ErrorInfo(type=type, code=code, message="Oops.")) == error


def test_what_nobody_has_answered_waits_again_in_a_conversation_that_goes_on(desk: Desk) -> None:
    items: list[Item] = [
        McpApprovalRequest("s", "add", "{}", id="open", extra_content=EXTRA),
        McpApprovalRequest("s", "add", "{}", id="refused"),
        McpApprovalResponse("refused", False, id="no"),
        McpApprovalRequest("s", "add", "{}", id="called"),
        McpCall("s", "add", "{}", "called", id="call"),
        McpApprovalRequest("unknown", "add", "{}", id="of a server that is gone"),
    ]
    for item in items:
        desk.conversation.remember(Entry(item))
    desk.ask(request_id="asked")
    desk.approvals.remember([FunctionTool("f"), SERVER])
    for id in ("open", "asked"):
        desk.approvals.check(McpApprovalResponse(id, True), "item")
    for id in ("refused", "called", "of a server that is gone"):
        with pytest.raises(ClientError):
            desk.approvals.check(McpApprovalResponse(id, True), "item")
    desk.approvals.answer(McpApprovalResponse("open", True))
    assert desk.taken()[-1] == CallTool("item_1", SERVER, "add", {})
