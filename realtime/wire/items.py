"""Conversation items and their content parts, GA shape (PROTOCOL 2.6, 3.3).

The same structs are read from clients and written to them. Beta and classic know `FunctionItem`s only. What a dialect or an old client
calls otherwise (`text`, `audio`, `image`, `video`) is made canonical by `canonical`; the core never sees those. Nor does it see files:
`session/intake` has pictures, sounds and clips read, and puts what was read in their place.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from realtime.errors import ClientError

MAX_TEXT = 256_000
"""Characters of one text part: the limit of gpt-realtime (`string_above_max_length`)."""

MAX_ITEM_TEXT = 2 * MAX_TEXT
"""Characters of all text parts of one item: an item is written into one frame, and classic writes speech twice."""

MAX_PARTS = 1024
"""Parts of one message: each costs a frame some bytes, even if it is empty."""

MAX_EXTRA = 1024 * 1024
"""Bytes of JSON in `extra_content`: a signature is some kilobytes, and one frame carries those of all calls of an answer."""

MAX_ID = 512
"""Characters of any id or name that a client chooses; upstream documents it for `event_id`."""

MAX_AUDIO = 15 * 1024 * 1024
"""Bytes of audio in one event, once decoded (PROTOCOL 1.5)."""

MAX_FUNCTION_NAME = 64
"""Characters of a function's name (OpenAI API, "Create chat completion", `tools[].function.name`)."""

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID)]
Name = Annotated[str, Meta(max_length=MAX_ID)]
LimitedText = Annotated[str, Meta(max_length=MAX_TEXT)]
Base64 = Annotated[bytes, Meta(max_length=MAX_AUDIO)]
"""Audio: base64 on the wire."""
Status = Literal["in_progress", "completed", "incomplete"]
Role = Literal["system", "user", "assistant"]
Detail = Literal["auto", "low", "high"]
"""How closely the model is to look."""


MAX_NESTING = 64
"""Levels of a client's own JSON (tool schemas, tracing) that is served back: writing it must never need more stack than reading it did."""


def check_nesting(value: object, depth: int = MAX_NESTING) -> None:
    """Raises `ValueError`, which msgspec tells as an error of the field."""
    if depth == 0:
        raise ValueError(f"nested more than {MAX_NESTING} levels deep")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        check_nesting(each, depth - 1)


class InputText(Struct, tag="input_text", forbid_unknown_fields=True):
    """Text from the user or the system."""

    text: LimitedText


class InputAudio(Struct, tag="input_audio", forbid_unknown_fields=True):
    """Speech from the user."""

    transcript: LimitedText | None = None
    """None until it is known; the key is always served (agents-realtime needs it)."""
    audio: Base64 | UnsetType = UNSET
    """In the session's input format; served by `retrieve` only."""


class InputImage(Struct, tag="input_image", forbid_unknown_fields=True):
    """A picture from the user. What stands after `detail` is this server's to tell, and ignored where a client says it."""

    image_url: str | UnsetType = UNSET
    """`data:` URI. Clients must give it; the picture as the model is shown it is served where a frame can carry it."""
    detail: Detail = "auto"
    width: int | UnsetType = UNSET
    """Of the picture as the model is shown it, in pixels."""
    height: int | UnsetType = UNSET
    format: str | UnsetType = UNSET
    """What the client's file was, as people call it: `PNG`."""


class Image(Struct, tag="image", forbid_unknown_fields=True):
    """Classic name of a picture from the user."""

    image: str
    """Base64 of the file, or a whole `data:` URI."""
    detail: Detail = "auto"


class InputVideo(Struct, tag="input_video", forbid_unknown_fields=True):
    """A clip from the user: extension of this server."""

    video: Raw
    """Base64 of the file, or a whole `data:` URI; still in its quotes, for to read megabytes here would keep everybody waiting."""
    detail: Detail = "auto"


class Video(Struct, tag="video", forbid_unknown_fields=True):
    """Classic name of a clip from the user."""

    video: Raw
    """As of an `InputVideo`."""
    detail: Detail = "auto"


class OutputText(Struct, tag="output_text", forbid_unknown_fields=True):
    """Text from the model."""

    text: LimitedText


class OutputAudio(Struct, tag="output_audio", forbid_unknown_fields=True):
    """Speech from the model."""

    transcript: LimitedText | None = None
    audio: Base64 | UnsetType = UNSET
    """In the session's output format; served by `retrieve` only."""


class Text(Struct, tag="text", forbid_unknown_fields=True):
    """Beta and classic name of a text part, either side's."""

    text: LimitedText


class Audio(Struct, tag="audio", forbid_unknown_fields=True):
    """Beta name of the model's speech."""

    transcript: LimitedText | None = None
    audio: Base64 | UnsetType = UNSET


Part = InputText | InputAudio | InputImage | InputVideo | OutputText | OutputAudio | Text | Audio | Image | Video


class Message(Struct, tag="message", forbid_unknown_fields=True):
    """Something that somebody said."""

    role: Role
    content: Annotated[list[Part], Meta(max_length=MAX_PARTS)]
    id: Id | UnsetType = UNSET
    """Set by the server where the client chose none."""
    status: Status = "completed"
    object: Literal["realtime.item"] = "realtime.item"


class FunctionCall(Struct, tag="function_call", forbid_unknown_fields=True):
    """The model asks for a tool."""

    name: Name
    arguments: LimitedText
    """JSON text, as the model wrote it: perhaps malformed."""
    call_id: Id | UnsetType = UNSET
    id: Id | UnsetType = UNSET
    status: Status = "completed"
    object: Literal["realtime.item"] = "realtime.item"
    extra_content: dict[str, Any] | UnsetType = UNSET
    """Extension of this server: what the model wants to be given back with the call, such as Gemini's `thought_signature`. Opaque."""

    def __post_init__(self) -> None:
        check_nesting(self.extra_content)


class FunctionCallOutput(Struct, tag="function_call_output", forbid_unknown_fields=True):
    """The client's answer to a `FunctionCall`."""

    call_id: Id
    output: LimitedText
    id: Id | UnsetType = UNSET
    status: Status = "completed"
    object: Literal["realtime.item"] = "realtime.item"


class ListedTool(Struct, frozen=True, forbid_unknown_fields=True):
    """A tool of a server, as the server describes it."""

    name: str
    input_schema: dict[str, Any]
    """JSON Schema of its arguments, passed on untouched."""
    description: str | None = ""
    """Served as text even where the server gave none: agents-realtime drops a list with a null in it."""
    annotations: dict[str, Any] | None = None
    """The server's own hints, such as `readOnlyHint`."""

    def __post_init__(self) -> None:
        check_nesting(self.input_schema)
        check_nesting(self.annotations)


class McpListTools(Struct, tag="mcp_list_tools", forbid_unknown_fields=True):
    """What a server offers."""

    server_label: Name
    tools: list[ListedTool]
    id: Id | UnsetType = UNSET
    status: Status = "completed"
    object: Literal["realtime.item"] = "realtime.item"
    error: str | UnsetType | None = UNSET
    """Why there is no list. Extension of this server: `mcp_list_tools.failed` has no room for it. The Responses API has the same key."""


class ProtocolError(Struct, frozen=True, tag="protocol_error", forbid_unknown_fields=True):
    """The server answered with an error of JSON-RPC instead of a result."""

    code: int
    message: LimitedText


class ToolExecutionError(Struct, frozen=True, tag="tool_execution_error", forbid_unknown_fields=True):
    """The tool failed, could not be reached, or was not waited for."""

    message: LimitedText


class HttpError(Struct, frozen=True, tag="http_error", forbid_unknown_fields=True):
    """The server refused the request."""

    code: int
    """HTTP status."""
    message: LimitedText


McpError = ProtocolError | ToolExecutionError | HttpError


class McpCall(Struct, tag="mcp_call", forbid_unknown_fields=True):
    """The model had this server call a tool of another one. Cut in its arguments it is `incomplete` without an error."""

    server_label: Name
    name: Name
    arguments: LimitedText
    """JSON text, as the model wrote it: perhaps malformed."""
    approval_request_id: Name | None = None
    output: LimitedText | None = None
    """None until it has returned; the key is always served (agents-realtime needs it)."""
    error: McpError | None = None
    id: Id | UnsetType = UNSET
    status: Status = "completed"
    object: Literal["realtime.item"] = "realtime.item"
    extra_content: dict[str, Any] | UnsetType = UNSET
    """As of a `FunctionCall`."""

    def __post_init__(self) -> None:
        check_nesting(self.extra_content)


class McpApprovalRequest(Struct, tag="mcp_approval_request", forbid_unknown_fields=True):
    """May this tool be called?"""

    server_label: Name
    name: Name
    arguments: LimitedText
    id: Id | UnsetType = UNSET
    status: Status = "completed"
    object: Literal["realtime.item"] = "realtime.item"
    extra_content: dict[str, Any] | UnsetType = UNSET

    def __post_init__(self) -> None:
        check_nesting(self.extra_content)


class McpApprovalResponse(Struct, tag="mcp_approval_response", forbid_unknown_fields=True):
    """The client's answer to a `McpApprovalRequest`."""

    approval_request_id: Id
    approve: bool
    reason: LimitedText | None = None
    id: Id | UnsetType = UNSET
    status: Status = "completed"
    object: Literal["realtime.item"] = "realtime.item"


FunctionItem = Message | FunctionCall | FunctionCallOutput
"""What every dialect knows."""

McpItem = McpListTools | McpCall | McpApprovalRequest | McpApprovalResponse

Item = FunctionItem | McpItem

_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")


def function_name(tool: str) -> str:
    """The name by which a model is told of a server's tool: chat endpoints take 64 letters, digits, `_` and `-`, MCP takes more."""
    return _FOREIGN.sub("_", tool)[:MAX_FUNCTION_NAME]


class ItemReference(Struct, tag="item_reference", forbid_unknown_fields=True):
    """Stands for an item of the conversation in `response.create.response.input`."""

    id: Id


_ALLOWED: dict[str, tuple[type, ...]] = {
    "system": (InputText,),
    "user": (InputText, InputAudio, InputImage, InputVideo),
    "assistant": (OutputText, OutputAudio),
}


def _canonical_part(part: Part, role: Role) -> Part:
    match part:
        case Text(text=text):
            return OutputText(text) if role == "assistant" else InputText(text)
        case Audio(transcript=transcript, audio=audio):
            return OutputAudio(transcript, audio) if role == "assistant" else InputAudio(transcript, audio)
        case Image(image=image, detail=detail):
            return InputImage(image, detail)
        case Video(video=video, detail=detail):
            return InputVideo(video, detail)
        case _:
            return part


def canonical(item: Item, param: str = "item") -> None:
    """Rename a client item's parts to GA, in place. `param` is where the item stood in the event.

    Raises `ClientError` for no content, and for a part that its role can't have.
    """
    if not isinstance(item, Message):
        return
    if not item.content:
        raise ClientError("invalid_value", "A message needs at least one content part.", param=f"{param}.content")
    item.content = [_canonical_part(part, item.role) for part in item.content]
    for index, part in enumerate(item.content):
        if not isinstance(part, _ALLOWED[item.role]):
            kind, names = type(part).__struct_config__.tag, [cls.__struct_config__.tag for cls in _ALLOWED[item.role]]  # type: ignore[attr-defined]
            raise ClientError(
                "invalid_value",
                f"Invalid value: '{kind}'. Supported values for role '{item.role}' are: {', '.join(repr(n) for n in names)}.",
                param=f"{param}.content[{index}].type",
            )
