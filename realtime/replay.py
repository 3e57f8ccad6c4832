"""A recorded session, run again: the same inputs at the same times have to come to the same effects."""

from __future__ import annotations

import difflib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union, get_args

import msgspec
from msgspec import Struct

from realtime.errors import ClientError, ConfigError, StoreError
from realtime.runner.recorder import VERSION, Beginning, at_rate, told
from realtime.session import journal
from realtime.session.inputs import FrameRefused, Input
from realtime.session.machine import Session

CONTEXT = 12
"""Lines before a difference that are shown."""

SHOWN = 400
"""Characters of a line that are shown: nobody reads sound."""


class Refusal(Struct, tag="FrameRefused"):
    """A `FrameRefused`, as it is written."""

    error: dict[str, str | None]


Written = Union[(Refusal, *(each for each in get_args(Input) if each is not FrameRefused))]  # type: ignore[valid-type]
_inputs: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Written)
_beginnings = msgspec.json.Decoder(Beginning)


class Step(Struct):
    """An input, and all that came of it."""

    number: int
    """Of its line, from 1."""
    passed: float
    """Seconds since the one before."""
    input: Input
    ids: list[str]
    effects: list[str]


class GivenIds:
    """Implements `session.ids.Ids`: those that were drawn then. Where another is wanted, the effects will tell."""

    def __init__(self) -> None:
        self.left: deque[str] = deque()

    def new(self, kind: str) -> str:
        return self.left.popleft() if self.left else f"{kind}_that_was_not_drawn"


def run(file: Path) -> list[str]:
    """What to show of the first difference; nothing where there is none. Raises `ConfigError` for what can't be read."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: can't be read: {error}") from error
    try:
        beginning = _beginnings.decode(lines[0].removeprefix("# ")) if lines else None
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{file}: line 1: this is no recording: {error}") from error
    if beginning is None or beginning.version > VERSION:
        raise ConfigError(f"{file}: this is no recording of version {VERSION} or before")
    return _compare(lines, _session(file, beginning), beginning)


def _session(file: Path, beginning: Beginning) -> tuple[Session, GivenIds]:
    ids = GivenIds()
    ids.left.extend(beginning.ids)
    try:
        remembered = journal.read(beginning.records)
    except StoreError as error:
        raise ConfigError(f"{file}: line 1: {error}") from error
    conversation = remembered.conversation if beginning.resumed else None
    return Session(remembered.head.settings, ids, beginning.abilities, conversation), ids


def _compare(lines: list[str], made: tuple[Session, GivenIds], beginning: Beginning) -> list[str]:
    session, ids = made
    now = 0.0
    for step in _steps(lines, beginning.pcm_rate):
        now += step.passed
        ids.left = deque(step.ids)
        effects = [told(effect).decode() for effect in session.receive(step.input, now=now)]
        if effects != step.effects:
            return _difference(lines, step, effects)
    return []


def _steps(lines: list[str], rate: int) -> Iterator[Step]:
    """Raises `ConfigError` for a line that is none."""
    step, passed = None, 0.0
    for number, line in enumerate(lines[1:], 2):
        sign, _, rest = line.partition(" ")
        if sign in (">", "~", "+") and step is not None:
            yield step
            step = None
        if sign == "+":
            passed = float(rest)
        elif sign in (">", "~"):
            step, passed = Step(number, passed, _input(number, rest, rate), [], []), 0.0
        elif sign == "%" and step is not None:
            step.ids = msgspec.json.decode(rest, type=list[str])
        elif sign in ("<", "!") and step is not None:
            step.effects.append(line)
        elif sign != "#":
            raise ConfigError(f"line {number}: this is no line of a recording: {line[:SHOWN]}")
    if step is not None:
        yield step


def _input(number: int, text: str, rate: int) -> Input:
    try:
        input = _inputs.decode(text)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"line {number}: this is no input: {error}") from error
    if isinstance(input, Refusal):
        said = input.error
        refused = ClientError(said["code"], str(said["message"]), param=said["param"], event_id=said["event_id"])
        refused.type = said["type"] or refused.type
        return FrameRefused(refused)
    read: Input = at_rate(input, rate)
    return read


def _difference(lines: list[str], step: Step, effects: list[str]) -> list[str]:
    before = [f"  {line[:SHOWN]}" for line in lines[max(1, step.number - CONTEXT) : step.number]]
    diff = difflib.ndiff([line[:SHOWN] for line in step.effects], [line[:SHOWN] for line in effects])
    head = f"line {step.number}: what came of this input is not what came of it then (- then, + now)"
    return [head, *before, *(line for line in diff if not line.startswith("?"))]
