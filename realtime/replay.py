"""A recorded session, run again: the same inputs at the same times have to come to the same effects."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union, get_args

import msgspec
from msgspec import Struct

from realtime.errors import ClientError, ConfigError, StoreError
from realtime.runner.recorder import BROKE, VERSION, Beginning, at_rate, told
from realtime.session import journal
from realtime.session.inputs import FrameRefused, Input
from realtime.session.machine import Session

log = logging.getLogger(__name__)

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
_drawn = msgspec.json.Decoder(list[str])


class Step(Struct):
    """An input, and all that came of it."""

    number: int
    """Of its line, from 1."""
    passed: float
    """Seconds since the one before."""
    input: Input
    ids: list[str]
    effects: list[str]
    whole: bool = True
    """Else the file ends within it: the process was killed, or the disk was full."""


class GivenIds:
    """Implements `session.ids.Ids`: those that were drawn then. Where another is wanted, the effects will tell."""

    def __init__(self) -> None:
        self.left: deque[str] = deque()

    def new(self, kind: str) -> str:
        return self.left.popleft() if self.left else f"{kind}_that_was_not_drawn"


def run(file: Path) -> list[str]:
    """What to show of the first difference; nothing where there is none. Raises `ConfigError` for what can't be read."""
    try:
        lines = file.read_text(encoding="utf-8").split("\n")  # and at nothing else: JSON may have line separators of Unicode in it
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: can't be read: {error}") from error
    try:
        beginning = _beginnings.decode(lines[0].removeprefix("# "))
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{file}: line 1: this is no recording: {error}") from error
    if beginning.version > VERSION:
        raise ConfigError(f"{file}: this is no recording of version {VERSION} or before")
    return _compare(file, lines, beginning)


def _session(file: Path, beginning: Beginning) -> tuple[Session, GivenIds]:
    ids = GivenIds()
    ids.left.extend(beginning.ids)
    try:
        remembered = journal.read(beginning.records)
    except StoreError as error:
        raise ConfigError(f"{file}: line 1: {error}") from error
    conversation = remembered.conversation if beginning.resumed else None
    return Session(remembered.head.settings, ids, beginning.abilities, conversation), ids


def _compare(file: Path, lines: list[str], beginning: Beginning) -> list[str]:
    session, ids = _session(file, beginning)
    now = 0.0
    for step in _steps(file, lines, beginning.pcm_rate):
        now += step.passed
        ids.left = deque(step.ids)
        effects = _effects(session, step, now)
        if effects[: None if step.whole else len(step.effects)] != step.effects:
            return _difference(lines, step, effects)
    return []


def _effects(session: Session, step: Step, now: float) -> list[str]:
    """As lines. A session that breaks is compared, too: a recording of that is a bug report."""
    try:
        return [told(effect).decode() for effect in session.receive(step.input, now=now)]
    except Exception:
        log.exception("The session breaks on line %d", step.number)
        return [BROKE.decode()]


def _steps(file: Path, lines: list[str], rate: int) -> Iterator[Step]:
    """Raises `ConfigError` for a line that is none."""
    step, passed, whole = None, 0.0, not lines[-1]
    for number, line in enumerate(lines[1:-1], 2):  # what follows the last line's end is no line
        try:
            sign, rest = line[:1], line[2:]
            if sign in (">", "~", "+") and step is not None:
                yield step
                step = None
            if sign == "+":
                passed += float(rest)
            elif sign in (">", "~"):
                step, passed = Step(number, passed, _input(rest, rate), [], []), 0.0
            elif sign == "%" and step is not None:
                step.ids = _drawn.decode(rest)
            elif (sign in ("<", "!") or line == BROKE.decode()) and step is not None:
                step.effects.append(line)
            elif sign != "#":
                raise ValueError(f"it begins with none of the signs, or is about no input: {line[:SHOWN]}")
        except ValueError as error:  # msgspec's are among them
            raise ConfigError(f"{file}: line {number}: this is no line of a recording: {error}") from error
    if step is not None:
        step.whole = whole
        yield step


def _input(text: str, rate: int) -> Input:
    """Raises `ValueError`."""
    input = _inputs.decode(text)
    if isinstance(input, Refusal):
        said = input.error
        refused = ClientError(said["code"], str(said["message"]), param=said["param"], event_id=said["event_id"])
        refused.type = said["type"] or refused.type
        return FrameRefused(refused)
    read: Input = at_rate(input, rate)
    return read


def _difference(lines: list[str], step: Step, effects: list[str]) -> list[str]:
    """What led to it, what was the same, and the first effect that is not, from both."""
    same = next(
        (index for index, (then, now) in enumerate(zip(step.effects, effects, strict=False)) if then != now),
        min(len(step.effects), len(effects)),
    )
    before = lines[max(1, step.number - CONTEXT) : step.number] + effects[:same]
    then, now = step.effects[same : same + 1], effects[same : same + 1]
    at = _first_difference(then[0], now[0]) if then and now else 0
    return [
        f"line {step.number}: what came of this input is not what came of it then (- then, + now)",
        *(f"  {line[:SHOWN]}" for line in before),
        *(f"{sign} {_around(line, at)}" for sign, found in (("-", then), ("+", now)) for line in found),
        *(
            f"  ... and {len(rest)} more {when}"
            for when, rest in (("then", step.effects[same + 1 :]), ("now", effects[same + 1 :]))
            if rest
        ),
    ]


def _first_difference(one: str, other: str) -> int:
    return next((at for at, (then, now) in enumerate(zip(one, other, strict=False)) if then != now), min(len(one), len(other)))


def _around(line: str, at: int) -> str:
    """Its beginning, and what is at that place where it is farther on."""
    if at < SHOWN * 3 // 4:
        return line[:SHOWN]
    begin = at - SHOWN // 4
    return f"{line[: SHOWN // 4]} ... {line[begin : begin + SHOWN // 2]}"
