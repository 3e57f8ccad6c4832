"""What the model is told of a conversation that has grown long (PROTOCOL 2.1, `truncation`).

Owns which items the prompt has forgotten. They stay in the conversation: nothing is deleted here, and nobody but the model misses them.

What a camera saw leaves first, all of it that is older than the newest turn. Then turns leave, whole and oldest first: a user's message,
the pictures before it, and all that follows it, up to the next one. Three things never leave: messages of the system, for they are
instructions; the newest turn, for it is what is to be answered; and one half of a tool's call and result. Where a result comes so late that
its call has been forgotten already, the call's turn is told again.

What has left stays away, and a cut takes more than it must: so the prompts of successive turns begin alike, and the endpoint's cache of
prompts hits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec
from msgspec import UNSET

from realtime.ports import LlmRequest, TokenUsage
from realtime.session.response import Terms
from realtime.session.seeing import Place, frames, is_frame, without
from realtime.session.usage import item_tokens, text_tokens
from realtime.wire.items import FunctionCall, FunctionCallOutput, Item, Message
from realtime.wire.settings import RetentionRatio

RETENTION = 0.8
"""Share of its room that a conversation keeps when `auto` cuts it: the example of upstream's schema, which gives no default. A fifth is
several turns, in which nothing is cut and the endpoint's cache of prompts hits."""

REFUSED_RETENTION = 0.5
"""Share of a conversation that is kept when the endpoint refused it: how much too long it was is not known, and there is one try more."""

ANSWER_SHARE = 1 / 8
"""Of the model's context, what is left free for an answer without a limit of its own: as upstream, 4,096 of 32,768 tokens."""

SAMPLE = 256
"""Estimated tokens from which a prompt tells how the endpoint counts: in a shorter one its template weighs more than the words."""

MAX_SCALE = 8.0
"""The most that the endpoint's count may be above the estimate: a character of the rarest scripts is two tokens, and not one of four."""

Items = tuple[Item, ...]


class Context:
    """The memory of one session's prompts. `limit` is the model's context in tokens, 0 where nobody knows it."""

    def __init__(self, limit: int = 0) -> None:
        self._limit = limit
        self._forgotten: set[str] = set()
        """Ids of the items that are left out."""
        self._unseen: set[Place] = set()
        """Frames of a camera that are left out."""
        self._scale = 1.0
        """Tokens that the endpoint counts for one that we estimate."""

    def fork(self) -> Context:
        """Another that knows the same: what it forgets, this one remembers."""
        other = Context(self._limit)
        other._forgotten, other._unseen, other._scale = set(self._forgotten), set(self._unseen), self._scale
        return other

    def tell(self, items: Items, terms: Terms) -> Items | None:
        """What goes into the prompt of a whole conversation, oldest first; None where it is too long and must not be cut."""
        told = self._recall(items) if self._forgotten or self._unseen else items
        room = self._room(terms)
        if room is None or self._tokens(told) <= room:
            return told
        if terms.truncation == "disabled":
            return None
        # Perhaps the newest turn alone is over it. The room is an estimate: the endpoint has the last word.
        return self._cut(told, room * _retention(terms))

    def shorten(self, told: Items, terms: Terms) -> Items | None:
        """Less of what was told, for the endpoint found it too long; None where nothing can be left out."""
        room = self._room(terms)
        most = self._tokens(told) * REFUSED_RETENTION
        shorter = self._cut(told, most if room is None else min(most, room * _retention(terms)))
        return None if shorter == told else shorter

    def learn(self, request: LlmRequest, counted: TokenUsage) -> None:
        """Compare the endpoint's count of a prompt with ours."""
        estimate = _head_tokens(request.instructions, request.tools) + sum(map(item_tokens, request.items))
        if estimate >= SAMPLE:
            # Never below the estimate: some count only what their cache lacked, or what they did not cut off (ollama/ollama#3427).
            self._scale = min(max(1.0, counted.input_tokens / estimate), MAX_SCALE)

    # What has been forgotten

    def release(self, item_id: str) -> None:
        """The item is deleted: its id may come back as somebody else's."""
        self._forgotten.discard(item_id)
        self._unseen = {place for place in self._unseen if place[0] != item_id}

    def _recall(self, items: Items) -> Items:
        """Bring what is forgotten in line with a conversation that may have changed anywhere; return the rest of it."""
        turns = _turns(items)
        forgotten = set(self._forgotten)
        needed = {id for turn in _needed(turns) for id in map(_id, turn)}
        for turn in turns:
            if any(_opens(item) and _id(item) in forgotten for item in turn):
                forgotten.update(map(_id, turn))  # who joined it later
        lost = {item.call_id for item in items if isinstance(item, FunctionCall | FunctionCallOutput) and _id(item) in forgotten}
        forgotten.update(_id(item) for item in items if _call_id(item) in lost)
        self._forgotten = forgotten - needed
        newest = set(map(_id, turns[-1]))
        self._unseen = {place for place in self._unseen if place[0] not in newest}
        return without(tuple(item for item in items if _id(item) not in self._forgotten), self._unseen)

    def _cut(self, told: Items, most: float) -> Items:
        """Leave out what a camera saw before the newest turn; if that is not enough, the oldest turns, one at least, until no more than so
        many tokens are left. The newest stays, whatever it has."""
        newest = set(map(_id, _turns(told)[-1]))
        unseen = {place for place in frames(told) if place[0] not in newest}
        if unseen:
            self._unseen |= unseen
            told = without(told, unseen)
            if self._tokens(told) <= most:
                return told
        turns = _turns(told)
        kept = _needed(turns)
        calls = _calls(told)
        left = self._tokens(told)
        dropped: set[str] = set()
        for turn in turns:
            if any(turn is other for other in kept):
                continue
            if dropped and left <= most:
                break
            leaving = {_id(item): item for item in [*turn, *(half for item in turn for half in calls[_call_id(item)])]}
            left -= self._tokens(item for id, item in leaving.items() if id not in dropped)
            dropped.update(leaving)
        self._forgotten |= dropped
        return tuple(item for item in told if _id(item) not in dropped)

    # Tokens

    def _room(self, terms: Terms) -> int | None:
        """Tokens that a conversation may have beside the instructions; None where there is no limit that we know."""
        limits: list[float] = []
        if self._limit:
            wanted = terms.max_output_tokens
            answer = self._limit * ANSWER_SHARE if wanted == "inf" else min(wanted, self._limit / 2)
            limits.append(self._limit - answer - _head_tokens(terms.instructions, terms.tools) * self._scale)
        if isinstance(terms.truncation, RetentionRatio) and terms.truncation.token_limits is not UNSET:
            most = terms.truncation.token_limits.post_instructions
            limits += [] if most is UNSET else [most]
        return max(0, int(min(limits))) if limits else None

    def _tokens(self, items: Iterable[Item]) -> float:
        return sum(map(item_tokens, items)) * self._scale


def _retention(terms: Terms) -> float:
    return terms.truncation.retention_ratio if isinstance(terms.truncation, RetentionRatio) else RETENTION


def _head_tokens(instructions: str, tools: tuple[object, ...]) -> int:
    """Instructions include the definitions of tools (PROTOCOL 2.1)."""
    return text_tokens(instructions) + (text_tokens(msgspec.json.encode(tools)) if tools else 0)


def _turns(items: Items) -> list[list[Item]]:
    """The conversation without its instructions, cut before every message of the user. The first may begin with something else.

    A picture that stands alone was shown with what is said next.
    """
    turns: list[list[Item]] = [[]]
    shown: list[Item] = []
    for item in items:
        if isinstance(item, Message) and item.role == "system":
            continue
        if is_frame(item):
            shown.append(item)
            continue
        if _opens(item):
            turns.append([])
        turns[-1] += [*shown, item]
        shown = []
    turns[-1] += shown
    return turns


def _needed(turns: list[list[Item]]) -> list[list[Item]]:
    """The newest turn, and those that it can't be told without: a result needs its call, and the call needs what led to it."""
    needed = [turns[-1]]
    for turn in needed:  # grows while it is read
        calls = {_call_id(item) for item in turn} - {None}
        needed += [other for other in turns if calls & set(map(_call_id, other)) and not any(other is known for known in needed)]
    return needed


def _calls(items: Items) -> dict[str | None, list[Item]]:
    """Calls and their results by the id that they share."""
    calls: dict[str | None, list[Item]] = defaultdict(list)
    for item in items:
        if isinstance(item, FunctionCall | FunctionCallOutput):
            calls[_call_id(item)].append(item)
    return calls


def _opens(item: Item) -> bool:
    return isinstance(item, Message) and item.role == "user" and not is_frame(item)


def _call_id(item: Item) -> str | None:
    if not isinstance(item, FunctionCall | FunctionCallOutput):
        return None
    assert item.call_id is not UNSET
    return item.call_id


def _id(item: Item) -> str:
    assert item.id is not UNSET
    return item.id
