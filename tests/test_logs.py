from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context

import pytest

from realtime import logs
from realtime.logs import JsonForm, TextForm, facts


def record(message: str = "It happened", **extra: object) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "realtime.x", "levelname": "INFO", "levelno": 20, "msg": message, "created": 0.5} | extra)


def within(form: logging.Formatter, record: logging.LogRecord, session_id: str = "", response_id: str = "") -> str:
    """The line, as a task of that session writes it."""

    def write() -> str:
        logs.session_id.set(session_id)
        logs.response_id.set(response_id)
        return form.format(record)

    return copy_context().run(write)


def test_a_line_of_text_ends_with_its_ids_and_facts() -> None:
    line = within(TextForm(), record(**facts(turns=3, reason="client", said="two words", dialect=None)), "sess_1", "resp_1")
    assert line.endswith('INFO realtime.x: It happened session_id=sess_1 response_id=resp_1 turns=3 reason=client said="two words"')


def test_a_line_of_nobodys_has_no_ids() -> None:
    assert within(TextForm(), record()).endswith("INFO realtime.x: It happened")


def test_a_line_break_in_a_fact_is_none_in_the_log() -> None:
    assert within(TextForm(), record(**facts(said="one\ntwo"))).endswith(r'said="one\ntwo"')


def test_a_line_of_json_is_one_object() -> None:
    line = json.loads(within(JsonForm(), record("It\nhappened", **facts(turns=3)), "sess_1"))
    assert line == {
        "time": "1970-01-01T00:00:00.500+00:00",
        "level": "info",
        "logger": "realtime.x",
        "message": "It\nhappened",
        "session_id": "sess_1",
        "turns": 3,
    }


def test_an_exception_stays_within_its_line_of_json() -> None:
    error = ValueError("broken")
    text = within(JsonForm(), record(exc_info=(ValueError, error, None)))
    assert "\n" not in text
    assert json.loads(text)["exception"] == "ValueError: broken"


def test_a_fact_of_a_lines_own_beats_that_of_the_task() -> None:
    line = json.loads(within(JsonForm(), record(**facts(response_id="resp_2")), "sess_1", "resp_1"))
    assert (line["session_id"], line["response_id"]) == ("sess_1", "resp_2")


@contextmanager
def afresh() -> Iterator[logging.Logger]:
    """The root logger as a new process has it; after, as it was."""
    root, ours = logging.getLogger(), logging.getLogger(logs.OURS)
    handlers, level, our_level = root.handlers[:], root.level, ours.level
    root.handlers = []
    try:
        yield root
    finally:
        root.handlers = handlers
        root.setLevel(level)
        ours.setLevel(our_level)


@pytest.mark.parametrize(("level", "ours", "theirs"), [("debug", 10, 30), ("info", 20, 30), ("warning", 30, 30), ("error", 40, 40)])
def test_libraries_are_heard_from_their_warnings_on(level: str, ours: int, theirs: int) -> None:
    with afresh():
        logs.start(level)
        assert logging.getLogger("realtime.runner.meter").getEffectiveLevel() == ours
        assert logging.getLogger("some.library").getEffectiveLevel() == theirs


@pytest.mark.parametrize(("form", "kind"), [("text", TextForm), ("json", JsonForm)])
def test_lines_have_the_form_that_was_asked_for(form: logs.Form, kind: type[logging.Formatter]) -> None:
    with afresh() as root:
        logs.start("info", form)
        assert [type(handler.formatter) for handler in root.handlers] == [kind]
