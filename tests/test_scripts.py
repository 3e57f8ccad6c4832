"""start.sh, test.sh and what CI runs, with a stand-in for Python that notes what it was asked: no network, nothing installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import Struct

ROOT = Path(__file__).parent.parent

TOOLS = ("sh", "dirname", "cat", "cksum", "rm", "mkdir", "cp")
"""All that a machine has to have beside Python: what the scripts and the stand-in call."""

PYTHON = """#!/bin/sh
case $0 in */.venv/*) echo "venv: $*" ;; *) echo "system: $*" ;; esac >>"$NOTES"
case $* in
    *version_info\\ \\<*) exit ${TOO_OLD:-0} ;;
    *version_info*) echo 3.11 ;;
    *ensurepip*) exit ${NO_VENV:-0} ;;
    "-m venv --clear "*) rm -rf "$4" && mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
    "-m pip install "*) exit ${NO_NETWORK:-0} ;;
    *"realtime models fetch"*) exit ${NO_MODEL:-0} ;;
    *"realtime serve"*) echo "pid: $$" >>"$NOTES" ;;
esac
"""


class Checkout(Struct):
    """A copy of the scripts, and the machine that they run on."""

    folder: Path
    tools: Path
    notes: Path

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a script from a working directory that is not the checkout's."""
        command = [str(self.folder / script), *arguments]
        variables = {"PATH": str(self.tools), "NOTES": str(self.notes), **environment}
        self.notes.unlink(missing_ok=True)
        return subprocess.run(command, cwd="/", env=variables, capture_output=True, text=True, check=False, timeout=30)

    def asked(self) -> list[str]:
        """What the Pythons were asked to do, without the questions about themselves."""
        lines = self.notes.read_text().splitlines()
        return [line for line in lines if ": -c" not in line and "pip --version" not in line and not line.startswith("pid")]

    def python(self, name: str) -> None:
        (self.tools / name).write_text(PYTHON)
        (self.tools / name).chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    folder, tools = tmp_path / "a checkout", tmp_path / "bin"
    (folder / ".ci").mkdir(parents=True)
    for name in ("start.sh", "test.sh", "pyproject.toml", ".ci/environment.sh"):
        shutil.copy(ROOT / name, folder / name)
    tools.mkdir()
    for name in TOOLS:
        (tools / name).symlink_to(shutil.which(name) or name)
    made = Checkout(folder, tools, tmp_path / "notes")
    made.python("python3.11")
    return made


def install(checkout: Checkout, extras: str) -> str:
    return f"venv: -m pip install -qq --disable-pip-version-check --editable {checkout.folder}[{extras}]"


def make(checkout: Checkout) -> str:
    return f"system: -m venv --clear {checkout.folder}/.venv"


FETCH, SERVE = "venv: -P -m realtime models fetch", "venv: -P -m realtime serve"


def test_the_first_start_makes_installs_fetches_and_serves(checkout: Checkout) -> None:
    assert checkout.run("start.sh").returncode == 0
    assert checkout.asked() == [make(checkout), install(checkout, "local"), FETCH, SERVE]


def test_the_second_start_has_nothing_to_install(checkout: Checkout) -> None:
    checkout.run("start.sh")
    checkout.run("start.sh")
    assert checkout.asked() == [FETCH, SERVE]


def test_the_options_reach_both_the_fetch_and_the_server(checkout: Checkout) -> None:
    checkout.run("start.sh", "--llm", "scripted", "--host", "::")
    assert checkout.asked()[-2:] == [f"{FETCH} --llm scripted --host ::", f"{SERVE} --llm scripted --host ::"]


def test_the_server_takes_the_place_of_the_script_so_that_signals_reach_it(checkout: Checkout) -> None:
    variables = {"PATH": str(checkout.tools), "NOTES": str(checkout.notes)}
    process = subprocess.Popen([checkout.folder / "start.sh"], env=variables, stderr=subprocess.DEVNULL)
    assert process.wait(30) == 0
    assert checkout.notes.read_text().splitlines()[-1] == f"pid: {process.pid}"


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_is_that_of_the_server_and_fetches_nothing(checkout: Checkout, word: str) -> None:
    checkout.run("start.sh", "--port", "1", word)
    assert checkout.asked() == [make(checkout), install(checkout, "local"), f"{SERVE} --help"]


def test_no_model_means_no_server(checkout: Checkout) -> None:
    assert checkout.run("start.sh", NO_MODEL="1").returncode == 1
    assert checkout.asked()[-1] == FETCH


def test_a_failed_install_is_said_and_done_again_from_the_start(checkout: Checkout) -> None:
    failed = checkout.run("start.sh", NO_NETWORK="1")
    assert failed.returncode == 1
    assert "The install failed" in failed.stderr
    assert checkout.run("start.sh").returncode == 0
    assert checkout.asked() == [make(checkout), install(checkout, "local"), FETCH, SERVE]


def test_an_environment_without_its_python_is_made_again(checkout: Checkout) -> None:
    checkout.run("start.sh")
    (checkout.folder / ".venv/bin/python").unlink()
    checkout.run("start.sh")
    assert checkout.asked()[0] == make(checkout)


def test_a_changed_project_is_installed_over_the_old_one(checkout: Checkout) -> None:
    checkout.run("start.sh")
    (checkout.folder / "pyproject.toml").write_text("# changed")
    checkout.run("start.sh")
    assert checkout.asked() == [install(checkout, "local"), FETCH, SERVE]


def test_a_moved_checkout_is_installed_again(checkout: Checkout) -> None:
    checkout.run("start.sh")
    checkout.folder = checkout.folder.rename(checkout.folder.with_name("moved"))
    checkout.run("start.sh")
    assert checkout.asked()[0] == install(checkout, "local")


def test_an_environment_of_the_persons_own_is_kept(checkout: Checkout) -> None:
    (checkout.folder / ".venv/bin").mkdir(parents=True)
    shutil.copy(checkout.tools / "python3.11", checkout.folder / ".venv/bin/python")
    checkout.run("start.sh")
    assert checkout.asked() == [install(checkout, "local"), FETCH, SERVE]


def test_without_a_new_enough_python_the_script_says_so(checkout: Checkout) -> None:
    failed = checkout.run("start.sh", TOO_OLD="1")
    assert failed.returncode == 1
    [line] = failed.stderr.splitlines()
    assert line.startswith("Python 3.11 or newer is needed; looked for: python3.12 python3.11")
    assert not (checkout.folder / ".venv").exists()


def test_without_any_python_the_script_says_so(checkout: Checkout) -> None:
    (checkout.tools / "python3.11").unlink()
    assert checkout.run("start.sh").stderr.startswith("Python 3.11 or newer is needed")


@pytest.mark.parametrize("name", ["python3.13", "python3"])
def test_a_new_enough_python_of_any_usual_name_will_do(checkout: Checkout, name: str) -> None:
    (checkout.tools / "python3.11").rename(checkout.tools / name)
    assert checkout.run("start.sh").returncode == 0


def test_a_python_that_the_person_names_is_the_only_one_that_will_do(checkout: Checkout) -> None:
    assert "looked for: /no/python." in checkout.run("start.sh", PYTHON="/no/python").stderr
    checkout.python("my python")
    assert checkout.run("start.sh", PYTHON=str(checkout.tools / "my python")).returncode == 0


def test_a_python_without_venv_is_told_which_package_brings_it(checkout: Checkout) -> None:
    failed = checkout.run("start.sh", NO_VENV="1")
    assert failed.returncode == 1
    assert failed.stderr.endswith("sudo apt install python3.11-venv\n")


def test_the_tests_add_to_the_environment_that_start_made(checkout: Checkout) -> None:
    checkout.run("start.sh")
    checkout.run("test.sh", "tests/wire", "-q")
    assert checkout.asked() == [install(checkout, "local,mcp,test"), "venv: -m pytest tests/wire -q"]


def test_the_second_run_of_the_tests_has_nothing_to_install(checkout: Checkout) -> None:
    checkout.run("test.sh", "-q")
    checkout.run("test.sh", "-q")
    assert checkout.asked() == ["venv: -m pytest -q"]


def test_start_is_content_with_the_environment_of_the_tests(checkout: Checkout) -> None:
    checkout.run("test.sh", "-q")
    checkout.run("start.sh")
    assert checkout.asked() == [FETCH, SERVE]


def test_without_arguments_the_tests_are_held_to_their_coverage_even_where_models_are_out_of_reach(checkout: Checkout) -> None:
    assert checkout.run("test.sh", NO_MODEL="1").returncode == 0
    assert checkout.asked()[-1] == "venv: .ci/cover.py"


@pytest.mark.parametrize("script", ["start.sh", "test.sh", ".ci/run"])
def test_the_scripts_can_be_run(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)


@pytest.mark.parametrize(("shell", "script"), [("sh", "start.sh"), ("sh", "test.sh"), ("sh", ".ci/environment.sh"), ("bash", ".ci/run")])
def test_the_scripts_are_sound(shell: str, script: str) -> None:
    assert subprocess.run([shell, "-n", ROOT / script], check=False).returncode == 0


def pytest_run(folder: Path, *, no_skips: bool) -> str:
    environment = {**os.environ, "REALTIME_NO_SKIPS": "1" if no_skips else ""}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(folder),
        "-c",
        os.devnull,
        str(folder),
    ]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=50).stdout


@pytest.fixture
def skippers(tmp_path: Path) -> Path:
    (tmp_path / "test_one.py").write_text("import pytest\ndef test_tool() -> None:\n    pytest.skip('no such tool')\n")
    (tmp_path / "test_all.py").write_text("import pytest\npytest.skip('no such library', allow_module_level=True)\n")
    (tmp_path / "test_bug.py").write_text("import pytest\n@pytest.mark.xfail\ndef test_bug() -> None:\n    assert False\n")
    return tmp_path


def test_a_test_may_skip_where_a_tool_is_absent(skippers: Path) -> None:
    assert "2 skipped, 1 xfailed" in pytest_run(skippers, no_skips=False)


def test_a_skip_fails_where_skips_are_forbidden(skippers: Path) -> None:
    output = pytest_run(skippers, no_skips=True)
    assert "no such library" in output
    assert "1 error" in output.splitlines()[-1]
    (skippers / "test_all.py").unlink()
    output = pytest_run(skippers, no_skips=True)
    assert "no such tool" in output
    assert "1 failed, 1 xfailed" in output


MODULE = "def sign(number: int) -> int:\n    if number < 0:\n        return -1\n    return 1\n"
BOTH = "from realtime.{0}.sign import sign\ndef test_both() -> None:\n    assert sign(-1) < sign(1)\n"
HALF = "from realtime.{0}.sign import sign\ndef test_half() -> None:\n    assert sign(1) == 1\n"


def covered(folder: Path, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run cover.py in a small project with these files."""
    files["pyproject.toml"] = "[tool.coverage.run]\nbranch = true\nsource = ['realtime']\n"
    for name in ("realtime/__init__.py", *(f"{Path(name).parent}/__init__.py" for name in files if "/" in name), *files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(files.get(name, ""))
    command = [sys.executable, str(ROOT / ".ci/cover.py")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=50)


def test_a_pure_package_that_its_own_tests_cover_passes(tmp_path: Path) -> None:
    done = covered(tmp_path, {"realtime/wire/sign.py": MODULE, "tests/wire/test_sign.py": BOTH.format("wire")})
    assert "realtime/wire/**: 100.0 %" in done.stdout
    assert done.stdout.splitlines()[-1].strip("= ").startswith("1 passed")
    assert done.returncode == 0


def test_a_pure_package_is_not_covered_by_the_tests_of_others(tmp_path: Path) -> None:
    others = {"tests/test_all.py": BOTH.format("wire"), "tests/wire/test_sign.py": HALF.format("wire")}
    done = covered(tmp_path, {"realtime/wire/sign.py": MODULE, **others})
    assert "sign.py" in done.stdout
    assert done.returncode == 1


def test_another_package_may_be_covered_by_all_tests_together(tmp_path: Path) -> None:
    done = covered(tmp_path, {"realtime/server/sign.py": MODULE, "tests/test_all.py": BOTH.format("server")})
    assert done.returncode == 0


def test_another_package_owes_most_of_its_coverage_too(tmp_path: Path) -> None:
    done = covered(tmp_path, {"realtime/server/sign.py": MODULE, "tests/test_all.py": HALF.format("server")})
    assert "realtime/server/**: 66.7 %" in done.stdout
    assert done.returncode == 1


def test_a_failed_test_fails_the_run(tmp_path: Path) -> None:
    done = covered(tmp_path, {"realtime/server/sign.py": MODULE, "tests/test_all.py": "def test_no() -> None:\n    assert not 1\n"})
    assert done.returncode == 1
