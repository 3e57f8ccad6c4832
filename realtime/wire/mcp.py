"""Servers of tools that speak the Model Context Protocol, as a client names them among its tools (PROTOCOL 2.5).

Owns what may be said of a server and what of it may be shown: never its secrets. Whether an address may be used is the session's to judge.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

MAX_LABEL = 256
"""Characters of a server's label. Upstream documents no limit; a label is repeated in every item of its server."""

MAX_URL = 4096
"""Characters of an address: more than any server takes in a request line."""

MAX_SECRET = 16_384
"""Characters of a token or of a header's value: web servers refuse longer ones (nginx takes 8 KiB, node 16 KiB)."""

MAX_HEADERS = 32
"""Headers of the client's own: a few are for access, more are a mistake."""

MAX_FILTERED = 1000
"""Names in one filter: more than any server has tools."""

Label = Annotated[str, Meta(min_length=1, max_length=MAX_LABEL)]
Url = Annotated[str, Meta(min_length=1, max_length=MAX_URL)]
HeaderName = Annotated[str, Meta(max_length=MAX_LABEL, pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")]
"""A token of RFC 9110, 5.6.2."""
HeaderValue = Annotated[str, Meta(max_length=MAX_SECRET, pattern=r"^[\t\x20-\x7E]*\Z")]
"""Visible ASCII: what RFC 9110, 5.5, recommends, and nothing that could end the header."""
Names = Annotated[tuple[str, ...], Meta(max_length=MAX_FILTERED)]


class McpFilter(Struct, frozen=True, forbid_unknown_fields=True):
    """Some of a server's tools: those that meet every condition that is given."""

    tool_names: Names | UnsetType | None = UNSET
    read_only: bool | UnsetType | None = UNSET
    """Does the server say of the tool that it changes nothing (`readOnlyHint`)?"""


class McpApproval(Struct, frozen=True, forbid_unknown_fields=True):
    """Which tools somebody must approve of before each call. What neither filter names is asked about."""

    always: McpFilter | UnsetType | None = UNSET
    never: McpFilter | UnsetType | None = UNSET


class McpTool(Struct, frozen=True, tag="mcp", forbid_unknown_fields=True, kw_only=True):
    """A server whose tools the model may call; the server of this protocol calls them for it."""

    server_label: Label
    server_url: Url | UnsetType = UNSET
    connector_id: str | UnsetType | None = UNSET
    """Like `tunnel_id`, something that OpenAI keeps."""
    tunnel_id: str | UnsetType | None = UNSET
    server_description: str | UnsetType | None = UNSET
    authorization: HeaderValue | UnsetType | None = UNSET
    """Secret: a bearer token."""
    headers: Annotated[dict[HeaderName, HeaderValue], Meta(max_length=MAX_HEADERS)] | UnsetType | None = UNSET
    """Secret."""
    allowed_tools: Names | McpFilter | UnsetType | None = UNSET
    """Not given: all."""
    require_approval: Literal["always", "never"] | McpApproval | UnsetType | None = UNSET
    """Not given: always, as upstream."""
    allowed_callers: tuple[Literal["direct", "programmatic"], ...] | UnsetType | None = UNSET
    """Accepted without effect, like `defer_loading`: there are no programs here that call tools, and no search for them."""
    defer_loading: bool | UnsetType | None = UNSET


class McpChoice(Struct, frozen=True, tag="mcp", forbid_unknown_fields=True):
    """The one tool, or the one server of which some tool, must be called."""

    server_label: str
    name: str | UnsetType | None = UNSET


def without_secrets(tool: McpTool) -> McpTool:
    """What a client is shown of a server. Upstream leaves `authorization` out, too."""
    return replace(tool, authorization=UNSET, headers=UNSET)
