"""The tool calls of one response: functions, which the client calls (PROTOCOL 5.6), and servers' tools, which are called for it (5.13).

    a function        writing --(text ended)--> whole ------------------------------------------> closed
    a server's tool   writing --(text ended)--> running --(outcome)--> settled -----------------> closed
    one that asks     (nothing is told) --(text ended)--> asked, as an item of its own ----------> closed

Whoever is cut before the text has ended is closed as incomplete, and its arguments are never called done.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from realtime.session.approvals import Approvals, Asked, call_error, readable
from realtime.session.effects import Abandon, CallTool, Effects
from realtime.session.ids import Ids
from realtime.session.inputs import ToolBroke, ToolReturned
from realtime.session.mcp import Offer
from realtime.session.output import Output
from realtime.wire import server
from realtime.wire.items import (
    MAX_TEXT,
    FunctionCall,
    Item,
    McpApprovalRequest,
    McpCall,
    McpError,
    ProtocolError,
    Status,
    ToolExecutionError,
)

INVALID_PARAMS = -32602
"""JSON-RPC's code for arguments that can't be (JSON-RPC 2.0, 5.1): the server would say the same, so it is not asked."""

NOT_WAITED_FOR = "Nobody waited for the tool: the response was ended first. It may have done its work all the same."


class Call(Struct):
    """One call."""

    id: str
    call_id: str
    """Of a function: the model's own name for the call."""
    name: str
    """As the model says it."""
    offer: Offer | None
    """The server's tool that is meant; None for a function."""
    arguments: list[str]
    output_index: int | None = None
    """None while nothing has been told of it."""
    state: Literal["writing", "running", "settled", "asked"] = "writing"
    output: str | None = None
    error: McpError | None = None
    extra: dict[str, Any] | UnsetType = UNSET
    """What the model wants to be given back with it."""

    @property
    def written(self) -> str:
        """The arguments as the model wrote them; where it wrote none, the empty object, for nothing is not JSON."""
        return "".join(self.arguments) or "{}"


class Calls:
    """Keys are the model's own indexes of the calls."""

    def __init__(
        self, response_id: str, offers: dict[str, Offer], output: Output, approvals: Approvals, effects: Effects, ids: Ids
    ) -> None:
        self._response_id = response_id
        self._offers = offers
        self._output = output
        self._approvals = approvals
        self._effects = effects
        self._ids = ids
        self._calls: dict[int, Call] = {}
        self._room = MAX_TEXT
        """Characters that results may still have: all of them go into one frame."""

    def __bool__(self) -> bool:
        """Has the model called anything, be it something that nobody was told of yet?"""
        return bool(self._calls)

    @property
    def running(self) -> bool:
        """Does any tool work?"""
        return any(call.state == "running" for call in self._calls.values())

    @property
    def written(self) -> list[str]:
        """All that the model wrote."""
        return [text for call in self._calls.values() for text in call.arguments]

    def runs(self, item_id: str) -> bool:
        return self._running(item_id) is not None

    def begin(self, index: int, name: str, call_id: str) -> None:
        if index in self._calls:
            return
        call = Call(self._ids.new("item"), call_id or self._ids.new("call"), name, self._offers.get(name), [])
        self._calls[index] = call
        if call.offer is None or not call.offer.asks:
            self._open(call)

    def add_arguments(self, index: int, text: str) -> None:
        call = self._calls[index]
        call.arguments.append(text)
        if call.output_index is not None:
            self._tell(call, call.output_index, text)

    def keep(self, extras: tuple[dict[str, Any] | None, ...]) -> None:
        """`extras` are to go back to the model, one with each call."""
        for call, extra in zip(self._calls.values(), extras, strict=False):
            call.extra = UNSET if extra is None else extra

    def start(self) -> None:
        """Every call is written: have the servers' tools called, or ask whether they may be."""
        for call in self._calls.values():
            if call.offer is None:
                continue
            arguments = readable(call.written)
            if call.offer.asks and arguments is not None:
                call.state = "asked"
                self._open(call)
            else:
                self._run(call, call.offer, arguments)

    def settle(self, outcome: ToolReturned | ToolBroke) -> None:
        """A tool that runs is done."""
        call = self._running(outcome.item_id)
        if call is None:  # the response is asked before
            raise AssertionError(f"{outcome.item_id} does not run")
        if isinstance(outcome, ToolReturned):
            call.state, call.output = "settled", self._kept(outcome.output)
            self._effects.send(server.ResponseMcpCallCompleted(item_id=call.id, output_index=self._index(call)))
        else:
            self._fail(call, call_error(outcome.error))

    def _kept(self, output: str) -> str:
        """As much of a result as `response.done` has room for beside the others."""
        kept = output[: self._room]
        self._room -= len(kept)
        return kept if len(kept) == len(output) else f"{kept}\n[{len(output) - len(kept)} more characters are left out]"

    def close(self, output_index: int) -> None:
        """Nothing is to be waited for but tools that run: close a call unless its tool does (PROTOCOL 5.6, 5.13)."""
        call = self._at(output_index)
        if call.state == "running":
            return
        if call.offer is None:
            self._effects.send(
                server.ResponseFunctionCallArgumentsDone(
                    response_id=self._response_id,
                    item_id=call.id,
                    output_index=output_index,
                    call_id=call.call_id,
                    name=call.name,
                    arguments=call.written,
                )
            )
        self._output.finish(output_index, self._item(call, "completed"))
        if call.state == "asked" and call.offer is not None:
            self._approvals.ask(call.id, Asked(call.offer.server, call.offer.tool.name, call.written, call.extra))

    def cut(self, output_index: int) -> None:
        """The response ends before its time. Arguments that are cut are not called done: Pipecat would call the tool with half of them."""
        call = self._at(output_index)
        if call.state == "running":
            self._effects.add(Abandon(call.id))
            self._fail(call, ToolExecutionError(NOT_WAITED_FOR))
            self._output.finish(output_index, self._item(call, "incomplete"))
        else:
            self._output.finish(output_index, self._item(call, "completed" if call.state == "settled" else "incomplete"))

    # How it proceeds

    def _running(self, item_id: str) -> Call | None:
        return next((call for call in self._calls.values() if call.id == item_id and call.state == "running"), None)

    def _at(self, output_index: int) -> Call:
        return next(call for call in self._calls.values() if call.output_index == output_index)

    def _index(self, call: Call) -> int:
        if call.output_index is None:
            raise AssertionError(f"{call.id} was never told of")
        return call.output_index

    def _open(self, call: Call) -> int:
        call.output_index = self._output.open(self._item(call, "in_progress"))
        return call.output_index

    def _tell(self, call: Call, output_index: int, text: str) -> None:
        place: dict[str, Any] = {"response_id": self._response_id, "item_id": call.id, "output_index": output_index, "delta": text}
        if call.offer is None:
            self._effects.send(server.ResponseFunctionCallArgumentsDelta(call_id=call.call_id, **place))
        else:
            self._effects.send(server.ResponseMcpCallArgumentsDelta(**place))

    def _run(self, call: Call, offer: Offer, arguments: dict[str, Any] | None) -> None:
        if call.output_index is None:  # it would have been asked about, if it could be read
            self._tell(call, self._open(call), call.written)
        index = self._index(call)
        self._effects.send(
            server.ResponseMcpCallArgumentsDone(response_id=self._response_id, item_id=call.id, output_index=index, arguments=call.written)
        )
        if arguments is None:
            self._fail(call, ProtocolError(INVALID_PARAMS, "The model wrote arguments that are no JSON object; the tool was not called."))
            return
        call.state = "running"
        self._output.amend(self._item(call, "in_progress"))  # agents-realtime retrieves it on the next event
        self._effects.send(server.ResponseMcpCallInProgress(item_id=call.id, output_index=index))
        self._effects.add(CallTool(call.id, offer.server, offer.tool.name, arguments))

    def _fail(self, call: Call, error: McpError) -> None:
        call.state, call.error = "settled", replace(error, message=self._kept(error.message))
        self._effects.send(server.ResponseMcpCallFailed(item_id=call.id, output_index=self._index(call)))

    def _item(self, call: Call, status: Status) -> Item:
        arguments = call.written if call.state != "writing" or status == "completed" else "".join(call.arguments)
        if call.offer is None:
            return FunctionCall(call.name, arguments, call.call_id, call.id, status, extra_content=call.extra)
        label, name = call.offer.server.server_label, call.offer.tool.name
        if call.state == "asked":
            return McpApprovalRequest(label, name, arguments, call.id, status, extra_content=call.extra)
        return McpCall(label, name, arguments, None, call.output, call.error, call.id, status, extra_content=call.extra)
