"""Tool servers as clients name them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import UNSET

from realtime.errors import ClientError
from realtime.wire.beta import BetaCodec
from realtime.wire.classic import ClassicCodec
from realtime.wire.client import ResponseCreate, SessionUpdate
from realtime.wire.codec import GaCodec
from realtime.wire.mcp import MAX_HEADERS, MAX_SECRET, McpApproval, McpChoice, McpFilter, McpTool, without_secrets
from realtime.wire.settings import SettingsPatch

PLAIN = {"type": "mcp", "server_label": "s", "server_url": "https://s.example/mcp"}


def update(tool: dict[str, Any], **more: Any) -> str:
    return json.dumps({"type": "session.update", "session": {"type": "realtime", "tools": [{**PLAIN, **tool}], **more}})


def read(tool: dict[str, Any], **more: Any) -> SettingsPatch:
    event = GaCodec().decode(update(tool, **more))
    assert isinstance(event, SessionUpdate)
    assert isinstance(event.session, SettingsPatch)
    return event.session


def test_every_field_of_the_schema_is_read() -> None:
    (tool,) = read(
        {
            "connector_id": None,
            "tunnel_id": None,
            "server_description": "Adds.",
            "authorization": "token",
            "headers": {"X-Key": "k"},
            "allowed_tools": {"tool_names": ["add"], "read_only": True},
            "require_approval": {"always": {"read_only": False}, "never": {"tool_names": ["add"]}},
            "allowed_callers": ["direct", "programmatic"],
            "defer_loading": True,
        }
    ).tools  # type: ignore[misc]  # they were named
    assert tool == McpTool(
        server_label="s",
        server_url="https://s.example/mcp",
        connector_id=None,
        tunnel_id=None,
        server_description="Adds.",
        authorization="token",
        headers={"X-Key": "k"},
        allowed_tools=McpFilter(("add",), True),
        require_approval=McpApproval(McpFilter(read_only=False), McpFilter(("add",))),
        allowed_callers=("direct", "programmatic"),
        defer_loading=True,
    )


@pytest.mark.parametrize("wish", [None, "always", "never"])
@pytest.mark.parametrize("allowed", [None, ["add"]])
def test_short_forms_are_read(wish: object, allowed: object) -> None:
    (tool,) = read({"require_approval": wish, "allowed_tools": allowed}).tools  # type: ignore[misc]
    assert isinstance(tool, McpTool)
    assert (tool.require_approval, tool.allowed_tools) == (wish, None if allowed is None else ("add",))


@pytest.mark.parametrize("choice", [{"server_label": "s"}, {"server_label": "s", "name": "add"}])
def test_the_choice_of_a_server_is_read(choice: dict[str, str]) -> None:
    assert read({}, tool_choice={"type": "mcp", **choice}).tool_choice == McpChoice(**choice)


def test_a_response_names_servers_too() -> None:
    event = GaCodec().decode(json.dumps({"type": "response.create", "response": {"tools": [PLAIN]}}))
    assert isinstance(event, ResponseCreate)
    assert event.response is not None
    assert event.response.tools == (McpTool(server_label="s", server_url="https://s.example/mcp"),)


@pytest.mark.parametrize(
    ("tool", "code", "param"),
    [
        ({"server_label": ""}, "string_below_min_length", "server_label"),
        ({"server_label": None}, "invalid_type", "server_label"),
        ({"server_url": 1}, "invalid_type", "server_url"),
        ({"require_approval": "sometimes"}, "invalid_value", "require_approval"),
        ({"require_approval": {"maybe": {}}}, "unknown_parameter", "require_approval.maybe"),
        ({"allowed_tools": {"names": []}}, "unknown_parameter", "allowed_tools.names"),
        ({"allowed_tools": [1]}, "invalid_type", "allowed_tools[0]"),
        ({"allowed_callers": ["me"]}, "invalid_value", "allowed_callers[0]"),
        ({"authorization": "a\r\nX-Evil: 1"}, "invalid_type", "authorization"),
        ({"authorization": "a" * (MAX_SECRET + 1)}, "string_above_max_length", "authorization"),
        ({"headers": {"X-Key": "a\n"}}, "invalid_type", "headers[...]"),
        ({"headers": {"X Key": "a"}}, "invalid_type", "headers"),
        ({"headers": {f"x{n}": "" for n in range(MAX_HEADERS + 1)}}, "object_above_max_length", "headers"),
        ({"mood": "fine"}, "unknown_parameter", "mood"),
    ],
)
def test_what_is_wrong_with_a_server_is_named(tool: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(ClientError) as caught:
        GaCodec().decode(update(tool))
    assert caught.value.param == f"session.tools[0].{param}"
    assert caught.value.code in (code, "invalid_value")


@pytest.mark.parametrize("codec", [BetaCodec(), ClassicCodec(16_000)], ids=["beta", "classic"])
def test_older_dialects_know_functions_only(codec: BetaCodec) -> None:
    for frame in (
        {"type": "session.update", "session": {"tools": [PLAIN]}},
        {"type": "response.create", "response": {"tools": [PLAIN]}},
        {"type": "session.update", "session": {"tool_choice": {"type": "mcp", "server_label": "s"}}},
        {"type": "conversation.item.create", "item": {"type": "mcp_call", "server_label": "s", "name": "f", "arguments": "{}"}},
        {
            "type": "response.create",
            "response": {"input": [{"type": "mcp_approval_response", "approval_request_id": "x", "approve": True}]},
        },
    ):
        with pytest.raises(ClientError) as caught:
            codec.decode(json.dumps(frame))
        assert caught.value.code == "invalid_value"


def test_what_is_shown_of_a_server_has_no_secrets() -> None:
    tool = McpTool(server_label="s", server_url="https://s.example/", authorization="hush", headers={"X-Key": "hush"})
    assert without_secrets(tool) == McpTool(server_label="s", server_url="https://s.example/")
    assert tool.authorization == "hush"
    assert without_secrets(tool).headers is UNSET
