"""The tool servers of a session; how they look from outside is in the transcripts `mcp-*`."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from realtime.errors import ClientError
from realtime.session.conversation import Conversation
from realtime.session.effects import Abandon, Effects, ListTools, Send
from realtime.session.ids import CountedIds
from realtime.session.inputs import ToolListingBroke, ToolsListed
from realtime.session.mcp import MAX_LISTINGS, MAX_SERVERS, ToolServers, check_servers, is_allowed, needs_approval
from realtime.wire.items import ListedTool, McpListTools
from realtime.wire.mcp import McpApproval, McpChoice, McpFilter, McpTool
from realtime.wire.server import ErrorInfo
from realtime.wire.settings import FunctionChoice, FunctionTool, Tool

OOPS = ErrorInfo(type="server_error", code="oops", message="Oops.")
ADD = ListedTool("add", {"type": "object"}, "Adds.")
WIPE = ListedTool("disk.wipe", {"type": "object"})
READ = ListedTool("read", {"type": "object"}, annotations={"readOnlyHint": True})


def server(label: str = "s", url: str = "https://s.example/mcp", **more: Any) -> McpTool:
    return McpTool(server_label=label, server_url=url, **more)


class Desk:
    """The servers of one session, and what is asked of them."""

    def __init__(self) -> None:
        ids = CountedIds()
        self._effects = Effects(ids)
        self.conversation = Conversation("conv_1")
        self.settled: list[str] = []
        self.servers = ToolServers(self.conversation, self._effects, ids, self.settled.append)

    def listed(self, *tools: Tool, offers: tuple[ListedTool, ...] = (ADD, WIPE)) -> None:
        """Name servers and have all of them answer."""
        self.servers.adopt(tools)
        for asked in self.asked():
            self.servers.complete(ToolsListed(asked.item_id, offers))
        self.taken()

    def taken(self) -> list[object]:
        return [effect.event if isinstance(effect, Send) else effect for effect in self._effects.take()]

    def asked(self) -> list[ListTools]:
        return [effect for effect in self.taken() if isinstance(effect, ListTools)]

    def item(self, item_id: str) -> McpListTools:
        entry = self.conversation.find(item_id)
        assert entry is not None
        assert isinstance(entry.item, McpListTools)
        return entry.item


@pytest.fixture
def desk() -> Desk:
    return Desk()


# Which servers may be named


def refusal(*tools: Tool, allowed: tuple[str, ...] | None = None) -> ClientError:
    with pytest.raises(ClientError) as caught:
        check_servers(tools, allowed, "session.tools")
    return caught.value


@pytest.mark.parametrize(
    "url",
    [
        "ftp://s.example/",
        "file:///etc/passwd",
        "https://",
        "https://user:pass@s.example/",
        "https://user@s.example/",
        "https://s.example/#x",
        "https://s.example:0/",
        "https://s.example:x/",
        "https://[::1/",
        "https://s.example\\@evil.example/",
        "https://s.example/ x",
        "https://s.example/\n",
        "https://s\u00e4.example/",
        "s.example",
    ],
)
def test_what_is_no_address_of_a_web_server_is_refused(url: str) -> None:
    assert refusal(FunctionTool("f"), server(url=url)).param == "session.tools[1].server_url"


@pytest.mark.parametrize("url", ["http://s.example", "https://s.example:8443/mcp?key=1", "http://[::1]:7/", "HTTPS://S.example/"])
def test_any_address_of_a_web_server_will_do_where_none_are_named(url: str) -> None:
    check_servers([server(url=url)], None, "session.tools")


FENCE = ("https://good.example/tools/", "http://localhost:7")


@pytest.mark.parametrize(
    "url",
    [
        "https://good.example/tools",
        "https://GOOD.example:443/tools/a",
        "https://good.example/tools/a?b=c",
        "http://localhost:7",
        "http://localhost:7/any",
    ],
)
def test_an_address_inside_the_fence_is_taken(url: str) -> None:
    check_servers([server(url=url)], FENCE, "session.tools")


@pytest.mark.parametrize(
    "url",
    [
        "https://good.example/",
        "https://good.example/toolshed",
        "https://good.example.evil/tools/",
        "https://good.example:444/tools/",
        "http://good.example/tools/",
        "https://good.example/tools/../secrets",
        "https://good.example/tools/%2E%2e/secrets",
        "https://good.example/tools/..%2fsecrets",
        "https://good.example/tools/..%5csecrets",
        "http://localhost:70",
        "http://localhost",
    ],
)
def test_an_address_outside_the_fence_is_refused(url: str) -> None:
    assert "REALTIME_MCP_URLS" in refusal(server(url=url), allowed=FENCE).message


def test_two_servers_have_two_labels() -> None:
    assert refusal(server(), server(url="https://t.example/")).param == "session.tools[1].server_label"


def test_there_are_only_so_many() -> None:
    named = [server(f"s{number}") for number in range(MAX_SERVERS + 1)]
    check_servers(named[1:], None, "session.tools")
    error = refusal(*named)
    assert (error.code, error.param) == ("array_above_max_length", "session.tools")


@pytest.mark.parametrize("header", ["Host", "content-length", "Transfer-Encoding"])
def test_headers_of_the_connection_are_ours(header: str) -> None:
    assert refusal(server(headers={"X-Key": "k", header: "x"})).param == f"session.tools[0].headers.{header}"


# What of a server a model is offered


@pytest.mark.parametrize(
    ("allowed", "names"),
    [
        (None, ["add", "disk.wipe", "read"]),
        ((), []),
        (("add", "nothing"), ["add"]),
        (McpFilter(), ["add", "disk.wipe", "read"]),
        (McpFilter(("add", "read")), ["add", "read"]),
        (McpFilter(read_only=True), ["read"]),
        (McpFilter(None, False), ["add", "disk.wipe"]),
        (McpFilter(("add",), True), []),
    ],
)
def test_what_is_allowed_may_be_called(allowed: tuple[str, ...] | McpFilter | None, names: list[str]) -> None:
    assert [tool.name for tool in (ADD, WIPE, READ) if is_allowed(server(allowed_tools=allowed), tool)] == names


@pytest.mark.parametrize(
    ("wish", "names"),
    [
        (None, ["add", "disk.wipe", "read"]),
        ("always", ["add", "disk.wipe", "read"]),
        ("never", []),
        (McpApproval(), ["add", "disk.wipe", "read"]),
        (McpApproval(never=McpFilter()), ["add", "disk.wipe", "read"]),
        (McpApproval(never=McpFilter(None, None)), ["add", "disk.wipe", "read"]),
        (McpApproval(never=McpFilter(read_only=True)), ["add", "disk.wipe"]),
        (McpApproval(always=McpFilter(("disk.wipe",))), ["add", "disk.wipe", "read"]),
        (McpApproval(always=McpFilter(("add",)), never=McpFilter(("add", "read"))), ["add", "disk.wipe"]),
        (McpApproval(always=None, never=McpFilter(("add",))), ["disk.wipe", "read"]),
    ],
)
def test_whoever_is_in_doubt_asks(wish: Any, names: list[str]) -> None:
    assert [tool.name for tool in (ADD, WIPE, READ) if needs_approval(server(require_approval=wish), tool)] == names


def test_the_function_counts_then_the_first_server(desk: Desk) -> None:
    first, second = server("a"), server("b", url="https://b.example/")
    tools = (FunctionTool("add", "Mine."), first, second)
    desk.listed(*tools)
    box = desk.servers.toolbox(tools, "auto")
    assert box.functions == (FunctionTool("add", "Mine."), FunctionTool("disk_wipe", parameters={"type": "object"}))
    assert {name: offer.server for name, offer in box.offers.items()} == {"disk_wipe": first}


def test_functions_with_the_same_name_are_the_clients_business(desk: Desk) -> None:
    tools = (FunctionTool("f", "One."), FunctionTool("f", "Two."))
    assert desk.servers.toolbox(tools, "required").functions == tools


def test_one_tool_may_be_chosen_or_one_of_a_server(desk: Desk) -> None:
    tools = (FunctionTool("f"), server("a"), server("b", url="https://b.example/", allowed_tools=()))
    desk.listed(*tools)
    named = desk.servers.toolbox(tools, McpChoice("a", "disk.wipe"))
    assert (named.choice, len(named.functions)) == (FunctionChoice("disk_wipe"), 3)
    some = desk.servers.toolbox(tools, McpChoice("a"))
    assert (some.choice, [tool.name for tool in some.functions]) == ("required", ["add", "disk_wipe"])


@pytest.mark.parametrize("choice", [McpChoice("a", "nothing"), McpChoice("b"), McpChoice("b", "add"), McpChoice("c", None)])
def test_a_choice_of_what_is_not_there_is_none(desk: Desk, choice: McpChoice) -> None:
    tools = (FunctionTool("f"), server("a"), server("b", url="https://b.example/", allowed_tools=()))
    desk.listed(*tools)
    box = desk.servers.toolbox(tools, choice)
    assert (box.choice, len(box.functions)) == ("auto", 3)


# Listing


def test_a_server_is_asked_once(desk: Desk) -> None:
    desk.listed(server())
    desk.servers.adopt([replace(server(), allowed_tools=("add",), require_approval="never")])
    desk.servers.want([server()])
    assert desk.taken() == []


@pytest.mark.parametrize(
    "changed",
    [
        server("other"),
        server(url="https://other.example/"),
        server(authorization="token"),
        server(headers={"X-Key": "k"}),
    ],
)
def test_a_server_that_changed_is_asked_again(desk: Desk, changed: McpTool) -> None:
    desk.listed(server())
    desk.servers.adopt([changed])
    assert [asked.server for asked in desk.asked()] == [changed]
    assert desk.servers.toolbox((server(),), "auto").offers == {}


def test_one_that_failed_is_asked_when_it_is_named_again(desk: Desk) -> None:
    desk.servers.adopt([server()])
    assert desk.servers.pending([server(), FunctionTool("f")]) == desk.servers.pending_ids == {"item_1"}
    desk.servers.fail(ToolListingBroke("item_1", OOPS))
    assert (desk.item("item_1").status, desk.item("item_1").error) == ("incomplete", "Oops.")
    assert (desk.servers.pending([server()]), desk.settled) == (set(), ["item_1"])
    desk.taken()
    desk.servers.want([server()])
    assert [asked.item_id for asked in desk.asked()] == ["item_2"]


def test_one_that_is_named_no_more_is_given_up(desk: Desk) -> None:
    desk.servers.adopt([server()])
    desk.taken()
    desk.servers.adopt([])
    assert Abandon("item_1") in desk.taken()
    assert (desk.item("item_1").status, desk.settled) == ("incomplete", ["item_1"])


def test_a_single_responses_server_outlives_an_update(desk: Desk) -> None:
    desk.servers.want([server()])
    desk.servers.adopt([])
    desk.servers.complete(ToolsListed("item_1", (ADD,)))
    assert list(desk.servers.toolbox((server(),), "auto").offers) == ["add"]


def test_what_comes_late_changes_nothing(desk: Desk) -> None:
    desk.listed(server())
    desk.servers.complete(ToolsListed("item_1", ()))
    desk.servers.fail(ToolListingBroke("item_1", OOPS))
    desk.servers.stop("item_1")
    assert desk.taken() == []
    assert desk.item("item_1").tools == [ADD, WIPE]


def test_a_listing_whose_item_is_deleted_is_given_up(desk: Desk) -> None:
    desk.servers.adopt([server()])
    desk.servers.stop("item_1")
    assert Abandon("item_1") in desk.taken()
    assert desk.servers.pending_ids == set()


def test_all_that_are_under_way_end_together(desk: Desk) -> None:
    desk.listed(server())
    desk.servers.adopt([server(), server("other")])
    desk.servers.fail_all("Bye.")
    assert (desk.item("item_1").status, desk.item("item_2").error) == ("completed", "Bye.")


def test_only_so_many_are_remembered_and_the_sessions_longest(desk: Desk) -> None:
    desk.listed(server())
    passing = [server(f"r{number}") for number in range(MAX_LISTINGS)]
    desk.servers.want(passing[:1])
    desk.servers.want(passing[1:2])
    desk.servers.complete(ToolsListed("item_3", (ADD,)))
    desk.servers.want(passing[2 : MAX_LISTINGS - 1])
    assert desk.settled == ["item_1", "item_3"]
    desk.servers.want(passing[MAX_LISTINGS - 1 :])
    assert list(desk.servers.toolbox((passing[1],), "auto").offers) == []  # it was known, the older one is still being listed
    desk.taken()
    desk.servers.want([server("one more")])
    assert Abandon("item_2") in desk.taken()
    assert list(desk.servers.toolbox((server(),), "auto").offers) == ["add", "disk_wipe"]


# A conversation that goes on


def test_what_a_conversation_says_of_a_server_need_not_be_asked_again(desk: Desk) -> None:
    known, failed, other = server(), server("broken"), server("other")
    desk.listed(known)
    desk.servers.adopt([known, failed])
    desk.servers.fail(ToolListingBroke(desk.asked()[0].item_id, OOPS))
    desk.taken()
    later = Desk()
    for entry in desk.conversation:
        later.conversation.remember(entry)
    later.servers.remember([known, failed, other])
    later.servers.adopt([known, failed, other])
    assert [asked.server for asked in later.asked()] == [failed, other]
    assert later.servers.toolbox((known,), "auto").offers.keys() == {"add", "disk_wipe"}


def test_what_is_known_already_is_not_what_was_listed_before(desk: Desk) -> None:
    desk.listed(server())
    newer = server(authorization="other")
    desk.servers.adopt([newer])
    [asked] = desk.asked()
    desk.servers.remember([newer])
    desk.servers.complete(ToolsListed(asked.item_id, (READ,)))
    assert desk.servers.toolbox((newer,), "auto").offers.keys() == {"read"}
