from __future__ import annotations

import io

import pytest

from realtime.engines.progress import terminal_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_file_gets_one_line_for_each_label() -> None:
    stream = io.StringIO()
    with terminal_progress(stream) as progress:
        for done in (0, 1_000_000, 2_000_000):
            progress("tiny.en", done, 2_000_000)
        progress("base", 0, 0)
    assert stream.getvalue() == "fetching tiny.en (2 MB)\nfetching base\n"


def test_a_terminal_gets_a_bar_that_ends_whole() -> None:
    stream = Terminal()
    with terminal_progress(stream) as progress:
        progress("tiny.en", 0, 2_000_000)
        progress("tiny.en", 2_000_000, 2_000_000)
    last = stream.getvalue().split("\r")[-1]
    assert "tiny.en: 100%" in last
    assert "2.00M/2.00M" in last


def test_every_label_has_a_bar_of_its_own() -> None:
    stream = Terminal()
    with terminal_progress(stream) as progress:
        progress("tiny.en", 5, 10)
        progress("base", 1, 4)
    assert stream.getvalue().count("\n") == 2
    assert "base:  25%" in stream.getvalue()


def test_a_bar_of_unknown_length_shows_what_came() -> None:
    stream = Terminal()
    with terminal_progress(stream) as progress:
        progress("some/model", 3_000_000, 0)
    assert "some/model: 3.00MB" in stream.getvalue()


def test_nothing_is_drawn_when_nothing_is_fetched() -> None:
    stream = Terminal()
    with terminal_progress(stream):
        pass
    assert stream.getvalue() == ""


def test_the_default_is_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal_progress() as progress:
        progress("base", 0, 1_000_000)
    assert capsys.readouterr().err == "fetching base (1 MB)\n"
