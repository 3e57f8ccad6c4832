"""The lines of the log: their two forms, and the session and the response that each belongs to.

A line of ours may carry facts beside its message (`extra=facts(turns=3)`). Which session a line belongs to is the task's context: what a
session starts inherits it. Nothing that is said and no key is ever a fact, unless the operator asks for what is said.
"""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

Form = Literal["text", "json"]

OURS = "realtime"
"""The logger above all of this package's."""

session_id: ContextVar[str] = ContextVar("session_id", default="")
"""Of the session that this task works for."""

response_id: ContextVar[str] = ContextVar("response_id", default="")
"""Of the response that this task works for."""

_PLAIN = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def facts(**facts: Any) -> dict[str, Any]:
    """What a line says beside its message, as the `extra` of a call. Values are JSON; None is left out."""
    return {"facts": {name: value for name, value in facts.items() if value is not None}}


def _said(record: logging.LogRecord) -> dict[str, Any]:
    ids = {"session_id": session_id.get(), "response_id": response_id.get()}
    return {name: value for name, value in ids.items() if value} | getattr(record, "facts", {})


def _plain(value: object) -> str:
    """A number or a name as it is; what has spaces, in quotes."""
    if isinstance(value, str) and value.isprintable() and " " not in value:
        return value
    return msgspec.json.encode(value).decode()


class TextForm(logging.Formatter):
    """For people: the message, then ids and facts as `name=value`."""

    def __init__(self) -> None:
        super().__init__(_PLAIN)

    def formatMessage(self, record: logging.LogRecord) -> str:
        pairs = (f" {name}={_plain(value)}" for name, value in _said(record).items())
        return super().formatMessage(record) + "".join(pairs)


class JsonForm(logging.Formatter):
    """For machines: an object on a line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_said(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def start(level: str, form: Form = "text") -> None:
    """Write to stderr from now on. `level` is that of our own lines; libraries are heard from their warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonForm() if form == "json" else TextForm())
    # What libraries say below a warning is what goes over their wires: frames, headers, and the keys in them.
    logging.basicConfig(level="ERROR" if level == "error" else "WARNING", handlers=[handler])
    logging.getLogger(OURS).setLevel(level.upper())
