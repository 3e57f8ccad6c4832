"""A conversation as the `messages` of a chat-completions request.

Owns what a model is told about each kind of item. Refuses to shorten: what is in the request is in the prompt. Each message depends on its
own item alone (a run of function calls on that run and its results), so the prompt of a turn starts with the prompt of the turn before it
and the prompt cache of the endpoint hits.

Reference: OpenAI API, "Create chat completion", parameter `messages`.
"""

from __future__ import annotations

from base64 import b64encode
from itertools import groupby
from typing import Any, Literal, assert_never

from msgspec import UNSET, Struct, UnsetType

from realtime.media import formats, wav
from realtime.ports import LlmRequest, Recording
from realtime.wire.items import (
    Audio,
    Detail,
    FunctionCall,
    FunctionCallOutput,
    Image,
    InputAudio,
    InputImage,
    InputText,
    InputVideo,
    Item,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    Message,
    OutputAudio,
    OutputText,
    Part,
    Text,
    Video,
    function_name,
)
from realtime.wire.settings import encoding, sample_rate

INAUDIBLE = "[inaudible]"
"""Stands for speech that has no transcript: the model can say that it did not understand."""

SILENCE = "[silence]"
"""Stands for an item in which nobody said a word: only noise, or somebody who is waited for."""


FADED = "[an earlier picture, which is no longer kept]"
"""Stands for a picture that was let go, as a conversation has room for so many."""

PENDING = "(There is no result yet.)"
"""Stands for the result of a tool that is still at work, or not yet approved of, while the conversation goes on."""

REFUSED = "(The user did not allow this call.)"
"""Stands for the result of a tool that was not called."""

FAILED = "(The tool failed: {})"
"""Stands for the result of a server's tool that gave none."""

Called = FunctionCall | McpCall | McpApprovalRequest
"""What reads as a call. A request that was approved of is one with its call, at the place of the request."""


class TextPart(Struct, tag="text", frozen=True):
    """Words beside a picture."""

    text: str


class ImageUrl(Struct, frozen=True):
    """Where a picture is, and how closely to look."""

    url: str
    """`data:` URI."""
    detail: Detail


class ImagePart(Struct, tag="image_url", frozen=True):
    """A picture."""

    image_url: ImageUrl


class AudioFile(Struct, frozen=True):
    """A sound."""

    data: bytes | str
    """The file, which is written as base64; or a `data:` URI."""
    format: Literal["wav"] = "wav"


class AudioPart(Struct, tag="input_audio", frozen=True):
    """What the user said aloud."""

    input_audio: AudioFile


class SystemMessage(Struct, tag="system", tag_field="role", frozen=True):
    """Instructions."""

    content: str


class UserMessage(Struct, tag="user", tag_field="role", frozen=True):
    """What the user wrote, said and showed."""

    content: str | list[TextPart | ImagePart | AudioPart]
    """A plain string unless there are pictures or sounds: not every endpoint reads parts."""


class CalledFunction(Struct, frozen=True):
    """Which function, with what."""

    name: str
    arguments: str
    """JSON text, as the model wrote it."""


class ToolCall(Struct, tag="function", frozen=True):
    """One call of a tool."""

    id: str
    function: CalledFunction
    extra_content: dict[str, Any] | UnsetType = UNSET
    """As the model gave it: Gemini 3 refuses a call that comes back without its thought signature."""


class AssistantMessage(Struct, tag="assistant", tag_field="role", frozen=True, omit_defaults=True):
    """What the model said, or the tools that it called."""

    content: str | None = None
    tool_calls: list[ToolCall] | None = None


class ToolMessage(Struct, tag="tool", tag_field="role", frozen=True):
    """What a tool answered."""

    tool_call_id: str
    content: str


ChatMessage = SystemMessage | UserMessage | AssistantMessage | ToolMessage


Sounds = dict[tuple[str | UnsetType, int], AudioPart]
"""By item id and content index."""


def messages(request: LlmRequest, *, data_uris: bool = False, pictures: bool = True) -> list[ChatMessage]:
    """Return the whole prompt, ready to be encoded. Where there are sounds it takes milliseconds: call it from a worker thread.

    `data_uris`: sounds are wanted as such, as pictures are. `pictures`: they are shown; else they are told in words.
    """
    sounds: Sounds = {(recording.item_id, recording.content_index): _file(recording, data_uris) for recording in request.sounds}
    prompt: list[ChatMessage] = [SystemMessage(request.instructions)] if request.instructions else []
    results = _results(request.items)
    for are_calls, items in groupby(_once(request.items), lambda item: isinstance(item, Called)):
        run = list(items)
        prompt += _calls(run, results) if are_calls else _others(run, sounds, pictures)
    return prompt


def unseen(picture: InputImage) -> str:
    """A picture in the words for a model that sees none, to be put into a sentence."""
    size = "" if picture.width is UNSET else f" of {picture.width} x {picture.height} pixels"
    return f"a picture{size}{'' if picture.format is UNSET else f' ({picture.format})'}, which you cannot see"


def _file(recording: Recording, data_uri: bool) -> AudioPart:
    data = wav.write(formats.decode(encoding(recording.format), recording.audio), sample_rate(recording.format))
    return AudioPart(AudioFile(f"data:audio/wav;base64,{b64encode(data).decode()}" if data_uri else data))


def _once(items: tuple[Item, ...]) -> list[Item]:
    """The items without the calls that were approved of: their requests stand for them."""
    requests = {item.id for item in items if isinstance(item, McpApprovalRequest)}
    return [item for item in items if not isinstance(item, McpCall) or item.approval_request_id not in requests]


def _results(items: tuple[Item, ...]) -> dict[str, str]:
    """What came of each call, by its id."""
    results: dict[str, str] = {}
    for item in items:
        match item:
            case FunctionCallOutput(call_id=call_id, output=output):
                results[call_id] = output
            case McpApprovalResponse(approval_request_id=request_id, approve=False, reason=reason):
                results[request_id] = f"{REFUSED} {reason}" if reason else REFUSED
            case McpCall(approval_request_id=request_id, output=output, error=error):
                result = FAILED.format(error.message) if error else output or ""
                results |= {str(id): result for id in (item.id, request_id) if id}
            case _:
                pass
    return results


def _calls(run: list[Item], results: dict[str, str]) -> list[ChatMessage]:
    """The calls, and at once the result of each: endpoints refuse a call whose result comes later, or never."""
    calls = [_tool_call(item) for item in run if isinstance(item, Called)]
    return [AssistantMessage(tool_calls=calls), *(ToolMessage(call.id, results.get(call.id, PENDING)) for call in calls)]


def _others(items: list[Item], sounds: Sounds, pictures: bool) -> list[ChatMessage]:
    return [_said(item, sounds, pictures) for item in items if isinstance(item, Message) and _says(item)]


def _tool_call(call: Called) -> ToolCall:
    id, name = (call.call_id, call.name) if isinstance(call, FunctionCall) else (call.id, function_name(call.name))
    if not isinstance(id, str):
        raise AssertionError("a call reached a model before it had an id")
    return ToolCall(id, CalledFunction(name, call.arguments), call.extra_content)


def _says(message: Message) -> bool:
    """A response that was interrupted before its first word says nothing; endpoints refuse an assistant message without content."""
    return message.role != "assistant" or bool(_words(message.content))


def _said(message: Message, sounds: Sounds, pictures: bool) -> ChatMessage:
    match message.role:
        case "system":
            return SystemMessage(_words(message.content))
        case "user":
            return UserMessage(_shown(message, sounds, pictures))
        case "assistant":
            return AssistantMessage(_words(message.content))
        case _:
            assert_never(message.role)


def _shown(message: Message, sounds: Sounds, pictures: bool) -> str | list[TextPart | ImagePart | AudioPart]:
    parts = [sounds.get((message.id, index)) or _part(part, pictures) for index, part in enumerate(message.content)]
    words = [part.text for part in parts if isinstance(part, TextPart)]
    return "\n".join(filter(None, words)) if len(words) == len(parts) else parts


def _part(part: Part, pictures: bool) -> TextPart | ImagePart:
    if not isinstance(part, InputImage):
        return TextPart(_word(part))
    # One that was let go is told like the others: it was never seen, and what was said of it before stays the same.
    return _picture(part) if pictures else TextPart(f"({unseen(part)})")


def _picture(part: InputImage) -> ImagePart | TextPart:
    return TextPart(FADED) if part.image_url is UNSET else ImagePart(ImageUrl(part.image_url, part.detail))


def _words(parts: list[Part]) -> str:
    return "\n".join(filter(None, map(_word, parts)))


def _word(part: Part) -> str:
    match part:
        case InputText(text=text) | OutputText(text=text) | Text(text=text):
            return text
        case InputAudio(transcript=transcript):
            return INAUDIBLE if transcript is None else transcript or SILENCE
        case OutputAudio(transcript=transcript) | Audio(transcript=transcript):
            return transcript or ""
        case InputImage() | InputVideo() | Image() | Video():
            raise AssertionError("a picture has no words; only users show pictures, and files are read before")
        case _:
            assert_never(part)
