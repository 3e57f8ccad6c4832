"""What the README says of settings, models, packages and events, held to the code."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, get_args

import pytest

from realtime import config
from realtime.engines.models import CATALOGUE
from realtime.options import SETTINGS, Setting
from realtime.wire.beta_events import BetaClientEvent
from realtime.wire.client import ClientEvent
from tests.rigs.reader import EVENTS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in README.splitlines() if line.startswith("| ")]


def rows_with(cell: str) -> list[list[str]]:
    return [row for row in ROWS if row[0] == cell]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_has_its_row(setting: Setting) -> None:
    ((_, flag, default, meaning),) = rows_with(f"`{setting.env}`")
    assert flag == (f"`{setting.flag}`" if setting.flag else "")
    value = config.default(setting)
    assert default == (f"`{value}`" if value else "")
    assert meaning


def test_no_row_names_a_setting_that_is_gone() -> None:
    named = {row[0].strip("`") for row in ROWS if re.fullmatch(r"`[A-Z_]+`", row[0])}
    assert named == {setting.env for setting in SETTINGS}


class Row(NamedTuple):
    """A row of the protocol's tables."""

    names: list[str]
    said: str
    shown_by: list[str]

    @property
    def left_out(self) -> bool:
        return self.said.startswith("left out")


def protocol(kind: str) -> list[Row]:
    """The rows of the table whose first head is that."""
    section = README.partition("## The protocol, event by event")[2].partition("\n## ")[0]
    table = section.partition(f"| {kind} |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in table)
    return [Row(spelled_out(names), said, re.findall("`(.+?)`", shown_by)) for names, said, shown_by in cells]


def spelled_out(cell: str) -> list[str]:
    """`a.b.c` `.d` is a.b.c and a.b.d."""
    names: list[str] = []
    for name in re.findall("`(.+?)`", cell):
        names.append(names[0].rpartition(".")[0] + name if name.startswith(".") else name)
    return names


def written(name: str) -> str:
    """What a transcript, or a test, says."""
    path = ROOT / name if name.endswith(".py") else ROOT / "tests" / "transcripts" / f"{name}.jsonl"
    return path.read_text(encoding="utf-8")


def tags(events: Iterable[type]) -> set[str]:
    return {str(event.__struct_config__.tag) for event in events}  # type: ignore[attr-defined]  # every event is a tagged struct


def constants(path: Path, call: str) -> Iterator[str]:
    """The codes that a file gives to its errors."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute) and ast.unparse(node.func).endswith(call):
            codes = node.args[:1] + [keyword.value for keyword in node.keywords if keyword.arg == "code"]
            yield from (code.value for code in codes if isinstance(code, ast.Constant) and isinstance(code.value, str))


CLIENT_EVENTS = tags({*get_args(ClientEvent), *get_args(BetaClientEvent)})
SERVER_EVENTS = EVENTS["ga"].keys() | EVENTS["beta"].keys() | {"input_audio_buffer.dtmf_event_received"}


@pytest.mark.parametrize(("kind", "known"), [("Client event", CLIENT_EVENTS), ("Server event", SERVER_EVENTS)])
def test_every_event_has_its_row_and_no_other_does(kind: str, known: set[str]) -> None:
    assert sorted(name for row in protocol(kind) for name in row.names) == sorted(known)


@pytest.mark.parametrize(("kind", "sign"), [("Client event", ">"), ("Server event", "<")])
def test_every_event_is_shown_where_its_row_says(kind: str, sign: str) -> None:
    for row in protocol(kind):
        assert row.shown_by or row.left_out, row
        lines = [line for name in row.shown_by for line in written(name).splitlines()]
        for event in row.names if row.shown_by else []:
            assert any(line.startswith(f'{sign} {{"type": "{event}"') for line in lines), f"{event} is not in {row.shown_by}"


def test_every_error_code_is_shown_where_its_row_says() -> None:
    for row in protocol("Error code"):
        assert row.shown_by or row.said, row
        for code in row.names if row.shown_by else []:
            assert any(f'"{code}"' in written(name) for name in row.shown_by), f"{code} is not in {row.shown_by}"


def test_every_error_code_of_the_session_has_its_row() -> None:
    named = {code for row in protocol("Error code") for code in row.names}
    folders = [ROOT / "realtime" / name for name in ("wire", "session", "server", "runner", "media")]
    paths = [path for folder in folders for path in folder.rglob("*.py")]
    given = {code for path in paths for call in ("ClientError", "ErrorInfo", "MediaError") for code in constants(path, call)}
    assert sorted(given - named) == []


def test_every_threat_is_tried_where_its_row_says() -> None:
    table = README.partition("| Threat |")[2].partition("\n\n")[0]
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "e2e").glob("test_*.py"))
    names = re.findall(r"`(test_\w+)`", table)
    assert names
    assert [name for name in names if f"def {name}(" not in tests] == []


def test_every_promise_is_proved_by_tests_that_there_are() -> None:
    table = README.partition("| Promise |")[2].partition("\n\n")[0]
    files = re.findall(r"`(tests/\S+\.py)`", table)
    assert files
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_every_model_of_the_catalogue_is_named() -> None:
    said = " ".join(cell for row in ROWS for cell in row).lower()
    assert [name for name in CATALOGUE if name.lower() not in said] == []


def test_every_package_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [package for extra in ("local", "piper", "mcp", "redis", "encryption", "fast") for package in extras[extra]] + project[
        "dependencies"
    ]
    names = {re.split(r"[><=;\[ ]", package)[0].lower() for package in wanted}
    reasons = [row for row in ROWS if len(row) == 2]
    given = {name for cell, _ in reasons for name in re.split(r"[,() ]+", cell.replace("`", ""))}
    assert sorted(names - given) == []
