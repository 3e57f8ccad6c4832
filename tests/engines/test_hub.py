from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from realtime.engines import hub
from realtime.engines.hub import main, say
from tests.rigs.hub_server import serve_hub

FILES = {"config.json": b"{}", "model.bin": b"weights", "vocabulary.txt": b"a\nb\n", "README.md": b"long text", "pytorch_model.bin": b"no"}


def test_the_files_of_a_model_are_fetched_and_nothing_else(tmp_path: Path) -> None:
    with serve_hub("acme/whisper", FILES) as endpoint:
        main(["acme/whisper", str(tmp_path), endpoint])
    fetched = {path.name: path.read_bytes() for path in (tmp_path / "files").glob("*") if path.is_file()}
    assert fetched == {name: FILES[name] for name in ("config.json", "model.bin", "vocabulary.txt")}


def test_the_bytes_to_come_are_written_down(tmp_path: Path) -> None:
    with serve_hub("acme/whisper", FILES) as endpoint:
        main(["acme/whisper", str(tmp_path), endpoint])
    assert (tmp_path / "total").read_text() == str(len(b"{}" + b"weights" + b"a\nb\n"))


def test_a_repository_that_is_not_there_fails(tmp_path: Path) -> None:
    with serve_hub("acme/whisper", FILES) as endpoint, pytest.raises(OSError, match="404"):
        main(["acme/other", str(tmp_path), endpoint])


def test_a_failure_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say(ValueError, ValueError("\nno such model\nread the manual\n"), None)
    assert capsys.readouterr().err == "ValueError: no such model\n"


def test_as_a_program_it_takes_its_arguments_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # put back at the end
    with serve_hub("acme/whisper", FILES) as endpoint:
        monkeypatch.setattr(sys, "argv", ["hub.py", "acme/whisper", str(tmp_path), endpoint])
        runpy.run_path(hub.__file__, run_name="__main__")
    assert (tmp_path / "files" / "model.bin").read_bytes() == b"weights"
    assert sys.excepthook.__name__ == "say"
