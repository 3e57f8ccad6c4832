"""What the README says of settings, models, packages and events, held to the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from realtime.config import SETTINGS, Setting
from realtime.engines.models import CATALOGUE
from realtime.wire.client import ClientEvent, OutputAudioBufferClear

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in README.splitlines() if line.startswith("| ")]


def rows_with(cell: str) -> list[list[str]]:
    return [row for row in ROWS if row[0] == cell]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_has_its_row(setting: Setting) -> None:
    ((_, flag, default, meaning),) = rows_with(f"`{setting.env}`")
    assert flag == (f"`{setting.flag}`" if setting.flag else "")
    assert default == (f"`{setting.default()}`" if setting.default() else "")
    assert meaning


def test_no_row_names_a_setting_that_is_gone() -> None:
    named = {row[0].strip("`") for row in ROWS if re.fullmatch(r"`[A-Z_]+`", row[0])}
    assert named == {setting.env for setting in SETTINGS}


@pytest.mark.parametrize("event", [event for event in get_args(ClientEvent) if event is not OutputAudioBufferClear])
def test_every_client_event_is_named(event: type) -> None:
    tag = str(event.__struct_config__.tag)  # type: ignore[attr-defined]  # every event is a tagged struct
    ((_, events),) = rows_with("Client events")
    family, _, last = tag.rpartition(".")
    assert f"`{tag}`" in events or (f"`{family}." in events and f"`.{last}`" in events)


def test_every_model_of_the_catalogue_is_named() -> None:
    said = " ".join(cell for row in ROWS for cell in row).lower()
    assert [name for name in CATALOGUE if name not in said] == []


def test_every_package_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = project["dependencies"] + extras["local"] + extras["redis"] + extras["fast"]
    names = {re.split(r"[><=;\[ ]", package)[0].lower() for package in wanted}
    reasons = [row for row in ROWS if len(row) == 2]
    given = {name for cell, _ in reasons for name in re.split(r"[,() ]+", cell.replace("`", ""))}
    assert sorted(names - given) == []
