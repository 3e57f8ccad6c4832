"""The tool servers that a session knows (PROTOCOL 2.5, 5.13): what each offers, and what of it a response's model is offered.

    named --(new, changed, or it failed before)--> being listed --(tools)--> listed
                                                        '-------(failure)--> failed: no tools, until it is named again

A server is known by its label, its address and its secrets; what is allowed and what must be approved is no reason to ask it again.
A listing is an item of the conversation, for whichever response it is made. Calls are `calls`' and `approvals`' business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from msgspec import UNSET, Struct

from realtime.errors import ClientError
from realtime.session.conversation import Conversation, Entry, snapshot
from realtime.session.effects import Abandon, Effects, ListTools
from realtime.session.ids import Ids
from realtime.session.inputs import ToolListingBroke, ToolsListed
from realtime.wire import server
from realtime.wire.items import ListedTool, McpListTools, function_name
from realtime.wire.mcp import McpApproval, McpChoice, McpFilter, McpTool
from realtime.wire.settings import AnyToolChoice, FunctionChoice, FunctionTool, Tool, ToolChoice

MAX_SERVERS = 16
"""Servers among the tools of one session, or of one response: each is a connection that this server makes for its client."""

MAX_LISTINGS = 64
"""Servers that a session remembers: those of single responses come and go."""

TRANSPORT_HEADERS = {"connection", "content-length", "content-type", "host", "te", "trailer", "transfer-encoding", "upgrade"}
"""They are about the connection, which is ours (RFC 9110, 7.6.1); with a `host` of its own, a client would reach past what it named."""


def servers(tools: Iterable[Tool]) -> Iterator[McpTool]:
    return (tool for tool in tools if isinstance(tool, McpTool))


# Which servers may be named


def check_servers(tools: Iterable[Tool], allowed: tuple[str, ...] | None, param: str) -> None:
    """Raises `ClientError` for a server that can't be used here. `allowed` are the addresses that clients may name, None for any."""
    labels: set[str] = set()
    for index, tool in enumerate(tools):
        if not isinstance(tool, McpTool):
            continue
        where = f"{param}[{index}]"
        _check_address(tool, allowed, where)
        if tool.server_label in labels:
            raise ClientError(
                "invalid_value", f"There is another server with the label '{tool.server_label}'.", param=f"{where}.server_label"
            )
        labels.add(tool.server_label)
    if len(labels) > MAX_SERVERS:
        raise ClientError("array_above_max_length", f"Expected at most {MAX_SERVERS} tool servers.", param=param)


def _check_address(tool: McpTool, allowed: tuple[str, ...] | None, where: str) -> None:
    for name in ("connector_id", "tunnel_id"):
        if getattr(tool, name):
            message = "Connectors and tunnels are kept by OpenAI; this server has none. Name the server by its server_url."
            raise ClientError("invalid_value", message, param=f"{where}.{name}")
    url, param = tool.server_url, f"{where}.server_url"
    if url is UNSET:
        raise ClientError("missing_required_parameter", f"Missing required parameter: '{param}'.", param=param)
    parts = _parts(url)
    if parts is None:
        raise ClientError("invalid_value", "Expected an http:// or https:// address without a password in it.", param=param)
    if allowed is not None and not any(_within(parts, prefix) for prefix in allowed):
        raise ClientError("invalid_value", "This address is not among those that this server may use (REALTIME_MCP_URLS).", param=param)
    for header in tool.headers or ():
        if header.lower() in TRANSPORT_HEADERS:
            raise ClientError("invalid_value", f"The header '{header}' belongs to the connection.", param=f"{where}.headers.{header}")


def _parts(url: str) -> SplitResult | None:
    """None for what is no address of a web server. Backslashes and blanks are read differently by different readers: nobody reads them."""
    if not url.isascii() or not url.isprintable() or "\\" in url or " " in url:
        return None
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.username is None and parts.port != 0
    except ValueError:  # an unclosed bracket, a port that is none
        return None
    return parts if valid and not parts.fragment else None


_PORTS = {"http": 80, "https": 443}


def _within(parts: SplitResult, prefix: str) -> bool:
    """Compared part by part: as text, `https://good.example` would be the beginning of `https://good.example.evil`."""
    allowed = urlsplit(prefix)
    origins = [(each.scheme, each.hostname, each.port or _PORTS[each.scheme]) for each in (parts, allowed)]
    path = allowed.path.rstrip("/")
    inside = not path or parts.path == path or parts.path.startswith(path + "/")
    return origins[0] == origins[1] and inside and not _climbs(parts.path)


def _climbs(path: str) -> bool:
    """Does it leave the folder that it begins in? An encoded dot or slash may be decoded on the way."""
    lowered = path.lower()
    return ".." in lowered.split("/") or "%2e" in lowered or "%2f" in lowered or "%5c" in lowered


# What of a server a model is offered


def _meets(tool: ListedTool, filter: McpFilter) -> bool:
    named = filter.tool_names is UNSET or filter.tool_names is None or tool.name in filter.tool_names
    read_only = bool((tool.annotations or {}).get("readOnlyHint") is True)
    return named and (filter.read_only is UNSET or filter.read_only is None or filter.read_only is read_only)


def _names_some(filter: object) -> bool:
    return isinstance(filter, McpFilter) and filter not in (McpFilter(), McpFilter(None, None))


def is_allowed(server: McpTool, tool: ListedTool) -> bool:
    """May the model call it at all?"""
    allowed = server.allowed_tools
    if isinstance(allowed, McpFilter):
        return _meets(tool, allowed)
    return allowed is UNSET or allowed is None or tool.name in allowed


def needs_approval(server: McpTool, tool: ListedTool) -> bool:
    """Must somebody approve of each call? Whoever is in doubt asks: what both filters name, and what neither does."""
    wish = server.require_approval
    if not isinstance(wish, McpApproval):
        return wish != "never"
    if isinstance(wish.always, McpFilter) and _names_some(wish.always) and _meets(tool, wish.always):
        return True
    return not (isinstance(wish.never, McpFilter) and _names_some(wish.never) and _meets(tool, wish.never))


class Offer(Struct, frozen=True):
    """A server's tool, as a response's model may call it."""

    server: McpTool
    tool: ListedTool

    @property
    def asks(self) -> bool:
        return needs_approval(self.server, self.tool)


class Toolbox(Struct, frozen=True):
    """All that the model of one response may call."""

    functions: tuple[FunctionTool, ...]
    """As the model is told of them, the servers' tools among them."""
    choice: ToolChoice
    offers: dict[str, Offer]
    """The servers' tools, by the names under which the model is told of them."""


class Listing(Struct):
    """What one server offers, as far as it is known."""

    item: McpListTools
    state: Literal["pending", "listed", "failed"] = "pending"
    of_session: bool = False
    """Is it among the session's tools? Else it was a single response's."""


Key = tuple[object, ...]


def _key(server: McpTool) -> Key:
    return server.server_label, server.server_url, server.authorization or None, tuple(sorted((server.headers or {}).items()))


class ToolServers:
    """Asks servers what they offer, and remembers it."""

    def __init__(self, conversation: Conversation, effects: Effects, ids: Ids, settled: Callable[[str], None]) -> None:
        """`settled` is told the item of every listing that ends, however it ends."""
        self._conversation = conversation
        self._effects = effects
        self._ids = ids
        self._settled = settled
        self._listings: dict[Key, Listing] = {}
        """The oldest first."""

    @property
    def pending_ids(self) -> set[str]:
        """The items of the listings that are under way."""
        return {str(listing.item.id) for listing in self._listings.values() if listing.state == "pending"}

    def remember(self, tools: Iterable[Tool]) -> None:
        """What the conversation says that these servers offer need not be asked again."""
        items = [entry.item for entry in self._conversation]
        for each in servers(tools):
            label = each.server_label
            lists = [item for item in items if isinstance(item, McpListTools) and item.server_label == label and item.status == "completed"]
            if lists and _key(each) not in self._listings:
                self._listings[_key(each)] = Listing(lists[-1], "listed")

    def adopt(self, tools: Iterable[Tool]) -> None:
        """These are the session's tools now. Servers that are no longer among them are forgotten."""
        named = {_key(each) for each in servers(tools)}
        for key in [key for key, listing in self._listings.items() if listing.of_session and key not in named]:
            self._forget(key, "The listing was given up: the server is no longer among the tools.")
        self.want(tools, of_session=True)

    def want(self, tools: Iterable[Tool], *, of_session: bool = False) -> None:
        """Have every server asked that is not known yet, or failed when it was asked."""
        for each in servers(tools):
            listing = self._listings.get(_key(each))
            if listing is None or listing.state == "failed":
                listing = self._list(each)
            listing.of_session = listing.of_session or of_session

    def pending(self, tools: Iterable[Tool]) -> set[str]:
        """The items of the listings that a response with these tools has to wait for."""
        known = (self._listings.get(_key(each)) for each in servers(tools))
        return {str(listing.item.id) for listing in known if listing is not None and listing.state == "pending"}

    def toolbox(self, tools: tuple[Tool, ...], choice: AnyToolChoice) -> Toolbox:
        """What a model may call, by what is known now. Of two with the same name the function counts, then the earlier server's."""
        functions = tuple(tool for tool in tools if isinstance(tool, FunctionTool))
        taken = {tool.name for tool in functions}
        offers: dict[str, Offer] = {}
        for each in servers(tools):
            listing = self._listings.get(_key(each))
            for tool in () if listing is None else listing.item.tools:
                name = function_name(tool.name)
                if is_allowed(each, tool) and name not in taken and name not in offers:
                    offers[name] = Offer(each, tool)
        if isinstance(choice, McpChoice):
            return _chosen(functions, choice, offers)
        return Toolbox((*functions, *_described(offers)), choice, offers)

    # Outcomes

    def complete(self, outcome: ToolsListed) -> None:
        listing = self._pending(outcome.item_id)
        if listing is not None:
            listing.item.tools = list(outcome.tools)
            listing.item.status, listing.state = "completed", "listed"
            self._effects.send(server.McpListToolsCompleted(item_id=outcome.item_id))
            self._finish(listing.item)

    def fail(self, outcome: ToolListingBroke) -> None:
        listing = self._pending(outcome.item_id)
        if listing is not None:
            self._fail(listing, outcome.error.message)

    def stop(self, item_id: str) -> None:
        """Its item is about to be deleted: whoever removes what is being listed wants no list."""
        listing = self._pending(item_id)
        if listing is not None:
            self._give_up(listing, "The listing was given up: its item was deleted.")

    def fail_all(self, message: str) -> None:
        for listing in list(self._listings.values()):
            if listing.state == "pending":
                self._give_up(listing, message)

    # How it proceeds

    def _pending(self, item_id: str) -> Listing | None:
        found = (each for each in self._listings.values() if each.item.id == item_id and each.state == "pending")
        return next(found, None)

    def _list(self, each: McpTool) -> Listing:
        """PROTOCOL 5.13."""
        item_id = self._ids.new("item")
        listing = Listing(McpListTools(each.server_label, [], item_id, "in_progress"))
        self._listings.pop(_key(each), None)
        self._make_room()
        self._listings[_key(each)] = listing
        previous = self._conversation.insert(Entry(snapshot(listing.item)))
        self._effects.send(server.ConversationItemAdded(previous_item_id=previous, item=snapshot(listing.item)))
        self._effects.send(server.McpListToolsInProgress(item_id=item_id))
        self._effects.add(ListTools(item_id, each))
        return listing

    def _make_room(self) -> None:
        """Forget a server that only a response named; where there is one, one that is not being listed."""
        if len(self._listings) < MAX_LISTINGS:
            return
        passing = [key for key, listing in self._listings.items() if not listing.of_session]
        known = [key for key in passing if self._listings[key].state != "pending"]
        self._forget((known or passing)[0], "The listing was given up: this session names too many servers.")

    def _forget(self, key: Key, message: str) -> None:
        listing = self._listings.pop(key)
        if listing.state == "pending":
            self._give_up(listing, message)

    def _give_up(self, listing: Listing, message: str) -> None:
        self._effects.add(Abandon(str(listing.item.id)))
        self._fail(listing, message)

    def _fail(self, listing: Listing, message: str) -> None:
        listing.item.status, listing.item.error, listing.state = "incomplete", message, "failed"
        self._effects.send(server.McpListToolsFailed(item_id=str(listing.item.id)))
        self._finish(listing.item)

    def _finish(self, item: McpListTools) -> None:
        previous = self._conversation.finish(item, {})
        self._effects.send(server.ConversationItemDone(previous_item_id=previous, item=snapshot(item)))
        self._settled(str(item.id))


def _described(offers: dict[str, Offer]) -> tuple[FunctionTool, ...]:
    return tuple(FunctionTool(name, offer.tool.description or UNSET, offer.tool.input_schema) for name, offer in offers.items())


def _chosen(functions: tuple[FunctionTool, ...], choice: McpChoice, offers: dict[str, Offer]) -> Toolbox:
    """One tool must be called, or one of a server. Where there is none, as after a failed listing, the response goes on as it likes."""
    of_server = {name: offer for name, offer in offers.items() if offer.server.server_label == choice.server_label}
    if choice.name:
        named = [name for name, offer in of_server.items() if offer.tool.name == choice.name]
        return Toolbox((*functions, *_described(offers)), FunctionChoice(named[0]) if named else "auto", offers)
    if of_server:
        return Toolbox(_described(of_server), "required", of_server)
    return Toolbox((*functions, *_described(offers)), "auto", offers)
