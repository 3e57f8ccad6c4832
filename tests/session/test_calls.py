"""The calls of one response; in their place among its other events they are in the transcripts `function-call*` and `mcp-*`."""

from __future__ import annotations

import pytest

from realtime.errors import ClientError
from realtime.session.approvals import Approvals
from realtime.session.calls import INVALID_PARAMS, NOT_WAITED_FOR, Calls
from realtime.session.conversation import Conversation
from realtime.session.effects import Abandon, CallTool, Effects, Send
from realtime.session.ids import CountedIds
from realtime.session.inputs import ToolBroke, ToolReturned
from realtime.session.mcp import Offer
from realtime.session.output import Output
from realtime.wire.items import (
    MAX_TEXT,
    FunctionCall,
    Item,
    ListedTool,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    ProtocolError,
    ToolExecutionError,
)
from realtime.wire.mcp import McpTool
from realtime.wire.server import ErrorInfo

FREE = McpTool(server_label="free", server_url="https://free.example/", require_approval="never")
ASKS = McpTool(server_label="asks", server_url="https://asks.example/")
OFFERS = {"add": Offer(FREE, ListedTool("add", {})), "disk_wipe": Offer(ASKS, ListedTool("disk.wipe", {}))}


class Stage:
    def __init__(self) -> None:
        ids = CountedIds()
        self._effects = Effects(ids)
        self.approvals = Approvals(Conversation("conv_1"), self._effects, ids)
        self.output = Output("resp_1", None, self._effects)
        self.calls = Calls("resp_1", OFFERS, self.output, self.approvals, self._effects, ids)

    def write(self, index: int, name: str, *arguments: str) -> None:
        self.calls.begin(index, name, "")
        for text in arguments:
            self.calls.add_arguments(index, text)

    def close(self) -> list[Item]:
        for index in self.output.unfinished:
            self.calls.close(index)
        return self.output.items

    def cut(self) -> list[Item]:
        for index in self.output.unfinished:
            self.calls.cut(index)
        return self.output.items

    def taken(self) -> list[object]:
        return [effect.event if isinstance(effect, Send) else effect for effect in self._effects.take()]

    def told(self) -> list[str]:
        return [str(type(each).__struct_config__.tag) for each in self.taken()]  # type: ignore[attr-defined]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_function_is_written_and_closed(stage: Stage) -> None:
    stage.write(0, "f", '{"a"', ": 1}")
    stage.calls.begin(0, "again", "")
    stage.calls.keep(({"k": 1},))
    stage.calls.start()
    assert stage.told() == ["response.output_item.added", *["response.function_call_arguments.delta"] * 2]
    assert not stage.calls.running
    assert stage.close() == [FunctionCall("f", '{"a": 1}', "call_1", "item_1", extra_content={"k": 1})]
    assert stage.told() == ["response.function_call_arguments.done", "response.output_item.done"]
    assert stage.calls.written == ['{"a"', ": 1}"]


def test_a_servers_tool_runs_once_all_is_written(stage: Stage) -> None:
    stage.write(0, "add", '{"a": 1}')
    stage.calls.keep((None,))
    stage.taken()
    stage.calls.start()
    assert stage.taken()[-1] == CallTool("item_1", FREE, "add", {"a": 1})
    assert (stage.calls.running, stage.calls.runs("item_1"), stage.calls.runs("item_2")) == (True, True, False)
    assert stage.close() == []
    stage.calls.settle(ToolReturned("item_1", "2"))
    assert stage.told() == ["response.mcp_call.completed"]
    assert stage.close() == [McpCall("free", "add", '{"a": 1}', output="2", id="item_1")]


def test_a_tool_that_fails_is_closed_with_its_error(stage: Stage) -> None:
    stage.write(0, "add")
    stage.calls.start()
    stage.calls.settle(ToolBroke("item_1", ErrorInfo(type="server_error", code="timeout", message="Too slow.")))
    assert stage.close() == [McpCall("free", "add", "{}", error=ToolExecutionError("Too slow."), id="item_1")]


def test_what_must_be_approved_of_is_told_only_when_it_is_whole(stage: Stage) -> None:
    stage.write(0, "disk_wipe", '{"disk": 1}')
    assert stage.taken() == []
    stage.calls.start()
    assert stage.told() == ["response.output_item.added"]
    with pytest.raises(ClientError):
        stage.approvals.check(McpApprovalResponse("item_1", True), "item")
    assert stage.close() == [McpApprovalRequest("asks", "disk.wipe", '{"disk": 1}', "item_1")]
    stage.approvals.check(McpApprovalResponse("item_1", True), "item")


@pytest.mark.parametrize(("name", "label", "tool"), [("add", "free", "add"), ("disk_wipe", "asks", "disk.wipe")])
def test_what_can_not_be_read_is_neither_called_nor_asked_about(stage: Stage, name: str, label: str, tool: str) -> None:
    stage.write(0, name, "[1")
    stage.calls.start()
    assert stage.told() == [
        "response.output_item.added",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.mcp_call.failed",
    ]
    (item,) = stage.close()
    assert isinstance(item, McpCall)
    assert (item.server_label, item.name, item.arguments, item.status) == (label, tool, "[1", "completed")
    assert isinstance(item.error, ProtocolError)
    assert item.error.code == INVALID_PARAMS


def test_cut_while_it_is_written_nothing_is_called_done(stage: Stage) -> None:
    stage.write(0, "f", "{")
    stage.write(1, "add", "{")
    stage.write(2, "disk_wipe", "{")
    stage.taken()
    assert stage.cut() == [
        FunctionCall("f", "{", "call_1", "item_1", "incomplete"),
        McpCall("free", "add", "{", id="item_2", status="incomplete"),
    ]
    assert stage.told() == ["response.output_item.done"] * 2


def test_cut_while_tools_run_they_are_given_up(stage: Stage) -> None:
    stage.write(0, "add")
    stage.write(1, "add")
    stage.write(2, "disk_wipe")
    stage.calls.start()
    stage.calls.settle(ToolReturned("item_1", "2"))
    stage.taken()
    items = stage.cut()
    assert items == [
        McpCall("free", "add", "{}", output="2", id="item_1"),
        McpCall("free", "add", "{}", error=ToolExecutionError(NOT_WAITED_FOR), id="item_2", status="incomplete"),
        McpApprovalRequest("asks", "disk.wipe", "{}", "item_3", "incomplete"),
    ]
    assert Abandon("item_2") in stage.taken()
    with pytest.raises(ClientError):
        stage.approvals.check(McpApprovalResponse("item_3", True), "item")


def test_results_have_room_for_so_much_together_and_what_is_left_out_is_said() -> None:
    stage = Stage()
    for index in range(3):
        stage.write(index, "add", "{}")
    stage.calls.start()
    stage.calls.settle(ToolReturned("item_1", "a" * (MAX_TEXT - 10)))
    stage.calls.settle(ToolReturned("item_2", "b" * 15))
    stage.calls.settle(ToolBroke("item_3", ErrorInfo(type="server_error", code="oops", message="c" * 7)))
    first, second, third = stage.close()
    assert isinstance(first, McpCall)
    assert first.output == "a" * (MAX_TEXT - 10)
    assert isinstance(second, McpCall)
    assert second.output == "b" * 10 + "\n[5 more characters are left out]"
    assert isinstance(third, McpCall)
    assert third.error == ToolExecutionError("\n[7 more characters are left out]")


def test_a_call_that_nobody_was_told_of_is_a_call() -> None:
    stage = Stage()
    assert not stage.calls
    stage.write(0, "disk_wipe")
    assert stage.calls
    assert not stage.output
