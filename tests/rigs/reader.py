"""A client that believes nothing: it reads every frame of one dialect by that dialect's own structs, and keeps account of what it was told.

The session speaks GA only, so what a dialect makes of its events is judged here, from the frames alone.
"""

from __future__ import annotations

import inspect
import json
from typing import Any

import msgspec
from msgspec import Struct

from realtime.wire import beta, beta_events, server
from realtime.wire.beta import BetaCodec
from realtime.wire.codec import Codec

CREATED = {"ga": "conversation.item.added", "beta": "conversation.item.created"}
FOREIGN = {"ga": {"conversation.item.created", "conversation.created"}, "beta": {"conversation.item.added", "conversation.item.done"}}
FOREIGN["beta"] |= {f"mcp_list_tools.{end}" for end in ("in_progress", "completed", "failed")}
FOREIGN["beta"] |= {f"response.mcp_call.{end}" for end in ("in_progress", "completed", "failed")}
FOREIGN["beta"] |= {f"response.mcp_call_arguments.{end}" for end in ("delta", "done")}
"""What the other one says."""

PARTS = {"ga": {"input_text", "input_audio", "input_image", "output_text", "output_audio"}}
PARTS["beta"] = {"input_text", "input_audio", "input_image", "text", "audio"}

SAID = ("text", "transcript", "arguments")
"""Where a `.done` repeats what its deltas said."""


def tagged(module: Any) -> dict[str, type[Struct]]:
    """The events of a module by their `type`."""
    classes = [cls for _, cls in inspect.getmembers(module, inspect.isclass) if issubclass(cls, server.ServerEvent)]
    return {str(cls.__struct_config__.tag): cls for cls in classes if cls.__struct_config__.tag is not None}


def events_of_beta() -> dict[str, type[Struct]]:
    """GA's, with those that beta has of its own and those that it only calls otherwise."""
    renamed = {name: msgspec.defstruct(cls.__name__, [], bases=(cls,), tag=name, kw_only=True) for cls, name in beta._RENAMED.items()}
    return tagged(server) | renamed | tagged(beta_events)


class Reader:
    """Reads one session."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._dialect = "beta" if isinstance(codec, BetaCodec) else "ga"
        self._events = EVENTS[self._dialect]
        self._said: dict[tuple[Any, ...], list[str]] = {}
        """By the stem of the event, the item and the part."""
        self._running: set[str] = set()
        self._items: set[str] = set()
        """Those of running responses that are still being written, by id."""
        self.answered: dict[str, list[str]] = {}
        """What each ended response said, by its id."""

    def read(self, event: server.ServerEvent, answers: str | None) -> None:
        for frame in self._codec.encode(event, answers):
            assert len(frame) < server.MAX_FRAME
            told = json.loads(frame)
            msgspec.json.decode(frame, type=self._events[told["type"]])
            assert told["event_id"]
            assert told["type"] not in FOREIGN[self._dialect]
            self._take(told)

    def _take(self, told: dict[str, Any]) -> None:
        stem, _, last = told["type"].rpartition(".")
        if "item" in told:
            assert self._dialect == "ga" or not _is_of_a_server(told["item"])
            parts = {part["type"] for part in told["item"].get("content", [])}
            assert parts <= PARTS[self._dialect]
        if stem.startswith("response") and "response_id" in told:
            assert told["response_id"] in self._running, "nothing for a response that does not run"
        match last:
            case "created" if stem == "response":
                self._running.add(told["response"]["id"])
            case "done" if stem == "response":
                self._end(told["response"])
            case "added" if stem == "response.output_item":
                self._items.add(told["item"]["id"])
            case "done" if stem == "response.output_item":
                self._items.remove(told["item"]["id"])
            case "delta":
                self._said.setdefault(_place(stem, told), []).append(told["delta"])
            case "done":
                said = "".join(self._said.pop(_place(stem, told), []))
                assert all(told[name] in (said, said or "{}") for name in SAID if name in told)
            case _:
                pass

    def _end(self, response: dict[str, Any]) -> None:
        self._running.remove(response["id"])
        assert self._items.isdisjoint(item["id"] for item in response["output"]), "what was added is done"
        self.answered[response["id"]] = [_words(item) for item in response["output"] if not _is_of_a_server(item)]


EVENTS = {"ga": tagged(server), "beta": events_of_beta()}


def _place(stem: str, told: dict[str, Any]) -> tuple[Any, ...]:
    return stem, told.get("item_id"), told.get("content_index")


def _is_of_a_server(item: dict[str, Any]) -> bool:
    """Beta has no such items."""
    return str(item["type"]).startswith("mcp_")


def _words(item: dict[str, Any]) -> str:
    """What an item says, whatever its parts are called; classic says it twice, as text and as sound."""
    parts = item.get("content", [])
    return str(parts[0].get("text", parts[0].get("transcript"))) if parts else str(item.get("arguments"))
