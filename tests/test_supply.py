"""What comes from elsewhere, and what the code never does with it: the lock file, the hashes of models, and calls that run data as code."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from realtime.engines.models import CATALOGUE

ROOT = Path(__file__).parent.parent
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKED_EXTRAS = ("local", "mcp")
"""What `make lock` locks: all that start.sh installs, and tool servers."""

ENTRY = re.compile(
    r"^(?P<name>[a-z0-9.-]+)==(?P<version>[^ ;\\]+)(?: ; [^\\]+)? \\\n(?P<hashes>(?:    --hash=\S+(?: \\)?\n)+)", re.MULTILINE
)


def locked() -> dict[str, set[Version]]:
    """Versions by name; some are of one Python or of one system, so there may be several."""
    versions: dict[str, set[Version]] = {}
    for entry in ENTRY.finditer(LOCK):
        versions.setdefault(canonicalize_name(entry["name"]), set()).add(Version(entry["version"]))
    return versions


def wanted() -> list[Requirement]:
    extras = PROJECT["project"]["optional-dependencies"]
    return [Requirement(each) for each in [*PROJECT["project"]["dependencies"], *(one for extra in LOCKED_EXTRAS for one in extras[extra])]]


@pytest.mark.parametrize("requirement", wanted(), ids=lambda requirement: requirement.name)
def test_the_lock_holds_what_the_project_asks_for(requirement: Requirement) -> None:
    """Who adds or raises a dependency runs `make lock`."""
    versions = locked().get(canonicalize_name(requirement.name), set())
    assert versions
    assert all(version in requirement.specifier for version in versions)


def test_every_line_of_the_lock_is_one_version_with_its_hashes() -> None:
    lines = [line for line in LOCK.splitlines() if line and line[0] not in " #"]
    entries = list(ENTRY.finditer(LOCK))
    assert len(entries) == len(lines) > len(wanted())
    hashes = [each for entry in entries for each in re.findall(r"--hash=(\S+)", entry["hashes"])]
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", each) for each in hashes)


def test_every_file_of_every_model_has_its_hash() -> None:
    """That it is compared, and what differs refused, is the business of tests/engines/test_downloads.py."""
    files = [file for model in CATALOGUE.values() for file in model.files]
    assert files
    assert [file.name for file in files if not re.fullmatch("[0-9a-f]{64}", file.sha256)] == []


MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "code", "codeop"}
"""Some of which make objects of bytes, and run what those say; the others run text."""

CALLS = {
    *("eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec", "importlib.import_module"),
    *("os.system", "os.popen", "pty.spawn", "runpy.run_path", "runpy.run_module"),
    *("subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell"),
    *("yaml.load", "torch.load"),
}


def told_to_run(module: ast.Module) -> Iterator[str]:
    """What in a module takes data for code."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield str(node.module)
        elif isinstance(node, ast.ImportFrom):
            yield from (name for alias in node.names if (name := f"{node.module}.{alias.name}") in CALLS)
        elif isinstance(node, ast.Call):
            yield from _called(node)


def _called(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    if name in CALLS:
        yield name
    for keyword in call.keywords:
        if keyword.arg in ("shell", "allow_pickle", "trust_remote_code") and ast.unparse(keyword.value) != "False":
            yield f"{name}({keyword.arg}={ast.unparse(keyword.value)})"


@pytest.mark.parametrize("path", sorted((ROOT / "realtime").rglob("*.py")), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_data_is_run_as_code(path: Path) -> None:
    assert list(told_to_run(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import pickle", "pickle"),
        ("from marshal import loads", "marshal"),
        ("eval(text)", "eval"),
        ("os.system(text)", "os.system"),
        ("from os import system", "os.system"),
        ("asyncio.create_subprocess_shell(text)", "asyncio.create_subprocess_shell"),
        ("subprocess.run(text, shell=True)", "subprocess.run(shell=True)"),
        ("np.load(file, allow_pickle=True)", "np.load(allow_pickle=True)"),
    ],
)
def test_the_check_sees_what_it_should(code: str, found: str) -> None:
    assert list(told_to_run(ast.parse(code))) == [found]


def test_ruff_looks_for_the_same() -> None:
    lint = PROJECT["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    assert not {"S102", "S301", "S307", "S602", "S604", "S605"} & set(lint["ignore"])
    assert all(pattern.startswith(("tests/", "bench/")) for pattern, rules in lint["per-file-ignores"].items() if "S" in rules)


def test_a_model_that_is_used_tells_nobody(tmp_path: Path) -> None:
    """onnxruntime's telemetry keeps what it will send in the user's cache, or says there why it can't."""
    code = "from realtime.engines.silero import SileroVad; from numpy import zeros; SileroVad().open().score(zeros(5120, 'f4'))"
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": "", "PYTHONDONTWRITEBYTECODE": "1"}
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"} | home
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, timeout=60)
    assert list(tmp_path.rglob("*")) == []
