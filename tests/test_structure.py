"""The shape of the tree, held by tests. Every exception names its reason, and one that is no longer needed fails."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

MAX_FILE = 500
"""Lines: a longer file is two nouns."""

MAX_FUNCTION = 70
"""Lines, docstring included: a longer function does two things."""

LONGER = {"clients/python/realtime_client.py": 900}
"""Files that may be: this one is copied into other people's code, and one file is what they want."""

VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager", "handler"}
"""Names of modules that say nothing about what is inside."""

UNMIRRORED = {"rigs", "transcripts", "compat", "e2e", "fuzz", "simulation"}
"""Folders of tests that stand beside the mirror: what tests need, and tests of the whole."""

WITHOUT_TEST = {
    "ports.py": "protocols and structs: no behaviour of its own",
    "session/abilities.py": "one struct without behaviour",
    "wire/beta_events.py": "structs without behaviour, held to the protocol by the tests of `beta`, which translates them",
    "errors.py": "constructors alone, seen by the tests of all who raise",
    "media/limits.py": "one struct without behaviour",
    "media/readings.py": "structs without behaviour",
    "server/service.py": "one struct without behaviour",
}
WITHOUT_MODULE = {
    "test_bench.py": "how the benchmarks in bench/ judge",
    "test_structure.py": "this file",
    "test_readme.py": "holds the README to the code",
    "test_scripts.py": "tests start.sh, test.sh and what CI runs",
    "test_supply.py": "holds the lock file to the project, and the code to its promises about what comes from elsewhere",
    "test_systemd.py": "tests the units",
    "store/test_contract.py": "what the port promises, asked of every store",
}
CATCHES_ALL = {
    "runner/loop.py": "top of a session: logs what escaped and closes with 1011",
    "runner/detection.py": "one session's detector in a job of several: what it raises is told to its own session",
    "runner/perform.py": "top of a job: whatever goes wrong in it becomes an outcome",
    "replay.py": "top of a session that is run again: that it breaks is what its recording may be kept for",
    "store/sqlite.py": "top of the store's thread: what escapes a job is its failure alone, and reaches whoever asked",
    "engines/media_process.py": "top of a process: what escapes while a file is read is logged and refused, and the next file is read",
}
TRANSLATES_ALL = {
    "engines/local_voice.py": "onnxruntime's exceptions share no base class but Exception, hibari's are whatever its tables run into",
    "engines/piper.py": "onnxruntime's exceptions share no base class but Exception, Piper's are whatever its tables run into",
    "engines/mcp_client.py": "anyio's task groups raise groups of whatever went wrong inside them",
    "engines/silero.py": "onnxruntime's exceptions share no base class but Exception",
    "engines/smart_turn.py": "onnxruntime's exceptions share no base class but Exception",
    "engines/whisper.py": "tokenizers raises bare Exception",
    "media/image.py": "Pillow reads most of a file in Python, without checks: what broken bytes raise is whatever they run into",
}
STARTS_TASKS = {"runner/tasks.py": "keeps a reference to every task and sees its end"}
READS_ENVIRONMENT = {
    "config.py": "owns the settings",
    "engines/__init__.py": "switches a library's telemetry off, which must be done before it is loaded",
    "engines/downloads.py": "hands the environment on to pip, so that the person's own index settings hold",
    "engines/media_reader.py": "hands on what Python needs to start, and nothing else",
}


def package() -> list[Path]:
    return sorted((ROOT / "realtime").rglob("*.py"))


def everything() -> list[Path]:
    folders = (ROOT / name for name in ("realtime", "clients", "tests", "bench", ".ci"))
    return sorted(path for folder in folders for path in folder.rglob("*.py") if "node_modules" not in path.parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def named(path: Path) -> str:
    """The path as the exceptions above write it."""
    return path.relative_to(ROOT / "realtime").as_posix()


def holds_only_for(exceptions: dict[str, str], paths: list[Path], breaks: Callable[[Path], bool]) -> None:
    """Assert that the files which break a rule are those on its list, no more and no fewer."""
    broken = {named(path) for path in paths if breaks(path)}
    assert sorted(broken - exceptions.keys()) == []
    assert sorted(exceptions.keys() - broken) == [], "no longer needed on the list"


def partner(module: Path) -> Path:
    folder = ROOT / "tests" / module.relative_to(ROOT / "realtime").parent
    return folder / f"test_{module.stem.strip('_')}.py"


def modules() -> list[Path]:
    return [path for path in package() if path.name != "__init__.py"]


def mirror() -> list[Path]:
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    return [path for path in tests if path.relative_to(ROOT / "tests").parts[0] not in UNMIRRORED]


def test_every_module_has_a_test_of_its_name() -> None:
    holds_only_for(WITHOUT_TEST, modules(), lambda module: not partner(module).exists())


def test_every_test_has_a_module_of_its_name() -> None:
    partners = {partner(module) for module in modules()}
    strays = {path.relative_to(ROOT / "tests").as_posix() for path in mirror() if path not in partners}
    assert sorted(strays - WITHOUT_MODULE.keys()) == []
    assert sorted(WITHOUT_MODULE.keys() - strays) == [], "no longer needed on the list"


@pytest.mark.parametrize("path", everything(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_and_no_function_is_too_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGER.get(path.relative_to(ROOT).as_posix(), MAX_FILE)
    functions = (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    assert [node.name for node in functions if (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION] == []


def test_every_module_is_named_for_what_it_owns() -> None:
    folders = [path for path in (ROOT / "realtime").rglob("*") if path.is_dir()]
    assert sorted(named(path) for path in [*package(), *folders] if path.stem in VAGUE) == []


def test_every_module_says_what_it_owns() -> None:
    assert [named(path) for path in modules() if ast.get_docstring(tree(path)) is None] == []


def test_only_the_tops_catch_everything() -> None:
    holds_only_for(CATCHES_ALL, package(), lambda path: "swallowed" in fates(tree(path)))


def test_everything_is_translated_only_where_a_library_leaves_no_choice() -> None:
    holds_only_for(TRANSLATES_ALL, package(), lambda path: "translated" in fates(tree(path)))


def fates(module: ast.Module) -> set[str]:
    """What becomes of exceptions of every kind, in `except:`, `except Exception` and `except BaseException`."""
    handlers = (node for node in ast.walk(module) if isinstance(node, ast.ExceptHandler))
    return {fate(handler.body[-1]) for handler in handlers if catches_all(handler)}


def catches_all(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or getattr(kind, "id", "") in ("Exception", "BaseException") for kind in kinds)


def fate(last: ast.stmt) -> str:
    if not isinstance(last, ast.Raise):
        return "swallowed"
    return "passed on" if last.exc is None else "translated"


def test_tasks_are_started_where_somebody_keeps_them() -> None:
    starts = {"asyncio.create_task", "asyncio.ensure_future"}
    holds_only_for(STARTS_TASKS, package(), lambda path: bool(starts & set(names_used(tree(path)))))


def test_the_environment_is_read_by_the_settings_alone() -> None:
    reads = {"os.environ", "os.getenv", "os.environb"}
    holds_only_for(READS_ENVIRONMENT, package(), lambda path: bool(reads & set(names_used(tree(path)))))


def names_used(module: ast.Module) -> Iterator[str]:
    """`a.b` for every attribute of a plain name, and for every `from a import b`."""
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("except Exception:\n pass", {"swallowed"}),
        ("except (OSError, Exception):\n pass", {"swallowed"}),
        ("except:\n pass", {"swallowed"}),
        ("except BaseException as error:\n raise OSError from error", {"translated"}),
        ("except BaseException:\n tidy()\n raise", {"passed on"}),
        ("except OSError:\n pass", set()),
        ("except asyncio.CancelledError:\n pass", set()),
    ],
)
def test_the_check_for_catching_everything_sees_what_it_should(code: str, expected: set[str]) -> None:
    assert fates(ast.parse(f"try:\n pass\n{code}")) == expected


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("asyncio.create_task(x())", "asyncio.create_task"),
        ("from asyncio import create_task", "asyncio.create_task"),
        ("value = os.environ['X']", "os.environ"),
        ("from os import getenv", "os.getenv"),
    ],
)
def test_the_check_for_names_sees_imports_and_attributes(code: str, name: str) -> None:
    assert name in names_used(ast.parse(code))
