"""The prompt of a small chat model in ChatML, and the art of leaving things out of it.

Owns what of a conversation is told in words (pictures, tools, speech that nobody understood) and what is dropped when there is too much.
It never drops the instructions. Text is encoded apart from the marks between turns, so nothing that a person types can end a turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import assert_never

from msgspec import Struct

from realtime.engines.prompt import unseen
from realtime.errors import EngineError
from realtime.ports import LlmRequest
from realtime.wire.items import (
    Audio,
    FunctionCall,
    FunctionCallOutput,
    Image,
    InputAudio,
    InputImage,
    InputVideo,
    Item,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpListTools,
    Message,
    OutputAudio,
    Part,
    Video,
)

TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"

DEFAULT_INSTRUCTIONS = "You are a friendly voice assistant. Answer truthfully in one or two short, plain sentences."
"""Used where the session gives none: the answer is going to be spoken, and a small model rambles when it isn't told to be brief."""

HISTORY_TOKENS = 512
"""Tokens of all turns before the newest. Reading them is what delays the answer: on one busy core some 0.9 s for 512
tokens, 4 s for 1024, 10 s for 2000."""

LEAST_TURN = 32
"""Tokens that the newest turn must have room for; with less, the instructions have left no place for a conversation."""

Encode = Callable[[str], list[str]]
"""Text to tokens, where no text becomes a mark such as `<|im_end|>`."""


class Turn(Struct, frozen=True):
    """What one side said, as the model reads it."""

    role: str
    text: str


def prompt(request: LlmRequest, encode: Encode, space: int) -> list[str]:
    """Return the tokens to continue from, at most `space` of them.

    Raises `EngineError` when the instructions alone leave no room.
    """
    system = _encoded(Turn("system", request.instructions or DEFAULT_INSTRUCTIONS), encode)
    opening = [TURN_START, *encode("assistant\n")]
    left = space - len(system) - len(opening)
    if left < LEAST_TURN:
        text = f"The instructions take {len(system)} tokens; this model has {space - len(opening) - LEAST_TURN} for them."
        raise EngineError("context_length_exceeded", text, type="invalid_request_error")
    return system + _recent(turns(request.items), encode, left) + opening


def turns(items: Iterable[Item]) -> list[Turn]:
    """Tell every item in words; one of which nothing can be told is left out."""
    told = (_turn(item) for item in items)
    return [turn for turn in told if turn.text]


def _turn(item: Item) -> Turn:
    match item:
        case Message(role=role, content=content):
            return Turn(role, "\n".join(filter(None, map(_words, content))))
        case FunctionCall(name=name, arguments=arguments):
            return Turn("assistant", f"(I call the tool {name} with {arguments})")
        case FunctionCallOutput(output=output):
            return Turn("user", f"(The tool answers: {output})")
        case McpCall(name=name, arguments=arguments, output=output):
            return Turn("assistant", f"(I called the tool {name} with {arguments}. It answers: {output or 'nothing'})")
        case McpListTools() | McpApprovalRequest() | McpApprovalResponse():
            return Turn("assistant", "")
        case _:
            assert_never(item)


def _words(part: Part) -> str:
    match part:
        case InputAudio(transcript=transcript):
            return "(I said something that could not be understood.)" if transcript is None else transcript or "(I say nothing.)"
        case OutputAudio(transcript=transcript) | Audio(transcript=transcript):
            return transcript or ""
        case InputImage():
            return f"(I sent {unseen(part)}.)"
        case InputVideo() | Image() | Video():
            raise AssertionError("files are read before")
        case _:
            return part.text


def _recent(told: list[Turn], encode: Encode, left: int) -> list[str]:
    """The newest turn, its end at least, and as many whole turns before it as there is room for."""
    if not told:
        return []
    newest = _encoded(told[-1], encode)
    if len(newest) > left:
        newest = _tail(told[-1], encode, left)
    left = min(left - len(newest), HISTORY_TOKENS)
    chosen = [newest]
    for turn in reversed(told[:-1]):
        tokens = _encoded(turn, encode)
        left -= len(tokens)
        if left < 0:
            break
        chosen.append(tokens)
    return [token for tokens in reversed(chosen) for token in tokens]


def _encoded(turn: Turn, encode: Encode) -> list[str]:
    return [TURN_START, *encode(f"{turn.role}\n{turn.text}"), TURN_END, *encode("\n")]


def _tail(turn: Turn, encode: Encode, left: int) -> list[str]:
    # The question usually ends a long message, so its beginning goes.
    head, end = [TURN_START, *encode(f"{turn.role}\n")], [TURN_END, *encode("\n")]
    return head + encode(turn.text)[len(head) + len(end) - left :] + end
