"""Calls of tools that somebody has to approve of first (PROTOCOL 2.5, 5.13), and those that run because somebody did.

    asked --(approved)--> running --(outcome, or given up)--> an `mcp_call` of the conversation
      '-----(refused)---> nothing: the model reads the refusal in the answer

A call that was approved of serves no response: it runs beside them, and the client asks for the next response when it wants one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from realtime.errors import ClientError
from realtime.session.conversation import Conversation, Entry, snapshot
from realtime.session.effects import Abandon, CallTool, Effects
from realtime.session.ids import Ids
from realtime.session.inputs import ToolBroke, ToolReturned
from realtime.wire import server
from realtime.wire.items import (
    HttpError,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpError,
    ProtocolError,
    ToolExecutionError,
    check_nesting,
)
from realtime.wire.mcp import McpTool
from realtime.wire.settings import Tool

MAX_ASKED = 256
"""Requests that may wait for an answer: nobody reads more, and those out of band are in no conversation to be deleted from."""

OUTPUT_INDEX = 0
"""Of a call that serves no response: the events have the field, so it has a value."""


def readable(arguments: str) -> dict[str, Any] | None:
    """A call's arguments as the tool takes them; None for what is no JSON object, which can't be sent to any tool."""
    try:
        value = msgspec.json.decode(arguments)
        check_nesting(value)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
    return value if isinstance(value, dict) else None


def call_error(error: server.ErrorInfo) -> McpError:
    """What an item says of a call that failed."""
    code = error.code or ""
    if error.type in ("http_error", "protocol_error") and code.lstrip("-").isdecimal():
        kind = HttpError if error.type == "http_error" else ProtocolError
        return kind(int(code), error.message)
    return ToolExecutionError(error.message)


class Asked(Struct, frozen=True):
    """A call that waits for somebody's word."""

    server: McpTool
    name: str
    arguments: str
    extra: dict[str, Any] | UnsetType = UNSET
    """What the model wants to be given back with it."""


class Approvals:
    """What was asked, and what runs."""

    def __init__(self, conversation: Conversation, effects: Effects, ids: Ids) -> None:
        self._conversation = conversation
        self._effects = effects
        self._ids = ids
        self._asked: dict[str, Asked] = {}
        """By the id of the request; the oldest first."""
        self._running: dict[str, McpCall] = {}
        """By the id of the call."""

    @property
    def running_ids(self) -> set[str]:
        return set(self._running)

    def ask(self, request_id: str, asked: Asked) -> None:
        """A request has been put to the client."""
        if len(self._asked) == MAX_ASKED:
            del self._asked[next(iter(self._asked))]
        self._asked[request_id] = asked

    def remember(self, tools: Iterable[Tool]) -> None:
        """Requests of the conversation that nobody has answered wait again, as far as their server is among these tools."""
        items = [entry.item for entry in self._conversation]
        answered = {item.approval_request_id for item in items if isinstance(item, McpApprovalResponse | McpCall)}
        named = {tool.server_label: tool for tool in tools if isinstance(tool, McpTool)}
        for item in items:
            if isinstance(item, McpApprovalRequest) and item.id not in answered | self._asked.keys() and item.server_label in named:
                self.ask(str(item.id), Asked(named[item.server_label], item.name, item.arguments, item.extra_content))

    def check(self, answer: McpApprovalResponse, param: str) -> None:
        """Raises `ClientError` for an answer to nothing. `param` is where the item stood in the event."""
        if answer.approval_request_id not in self._asked:
            message = f"Error adding item: no approval is asked for with the id '{answer.approval_request_id}', or it was answered already."
            raise ClientError("invalid_value", message, param=f"{param}.approval_request_id")

    def answer(self, answer: McpApprovalResponse) -> None:
        """Have the tool called, if that is the answer. The answer itself is in the conversation already."""
        asked = self._asked.pop(answer.approval_request_id)
        arguments = readable(asked.arguments)
        if not answer.approve or arguments is None:  # what was asked was readable
            return
        call = McpCall(
            asked.server.server_label,
            asked.name,
            asked.arguments,
            answer.approval_request_id,
            id=self._ids.new("item"),
            status="in_progress",
            extra_content=asked.extra,
        )
        self._running[str(call.id)] = call
        previous = self._conversation.insert(Entry(snapshot(call)))
        self._effects.send(server.ConversationItemAdded(previous_item_id=previous, item=snapshot(call)))
        self._effects.send(server.ResponseMcpCallInProgress(item_id=str(call.id), output_index=OUTPUT_INDEX))
        self._effects.add(CallTool(str(call.id), asked.server, asked.name, arguments))

    def come_out(self, outcome: ToolReturned | ToolBroke) -> bool:
        """Let an outcome reach its call. False where it is no call of these."""
        call = self._running.get(outcome.item_id)
        if call is None:
            return False
        if isinstance(outcome, ToolReturned):
            call.output, call.status = outcome.output, "completed"
            self._effects.send(server.ResponseMcpCallCompleted(item_id=outcome.item_id, output_index=OUTPUT_INDEX))
        else:
            call.error, call.status = call_error(outcome.error), "completed"
            self._effects.send(server.ResponseMcpCallFailed(item_id=outcome.item_id, output_index=OUTPUT_INDEX))
        self._finish(call)
        return True

    def stop(self, item_id: str) -> None:
        """An item is about to be deleted: what is asked in it can't be answered any more, what runs for it is not waited for."""
        self._asked.pop(item_id, None)
        if item_id in self._running:
            self._give_up(self._running[item_id], "Nobody waited for the tool: the item of its call was deleted.")

    def fail_all(self, message: str) -> None:
        for call in list(self._running.values()):
            self._give_up(call, message)

    def _give_up(self, call: McpCall, message: str) -> None:
        call.error, call.status = ToolExecutionError(message), "incomplete"
        self._effects.add(Abandon(str(call.id)))
        self._effects.send(server.ResponseMcpCallFailed(item_id=str(call.id), output_index=OUTPUT_INDEX))
        self._finish(call)

    def _finish(self, call: McpCall) -> None:
        del self._running[str(call.id)]
        previous = self._conversation.finish(call, {})
        self._effects.send(server.ConversationItemDone(previous_item_id=previous, item=snapshot(call)))
