from __future__ import annotations

import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Self

import pytest

from realtime.__main__ import MISUSED, main
from realtime.config import Config
from realtime.engines.models import CATALOGUE
from realtime.options import SETTINGS
from realtime.server.keys import read
from realtime.supervisor import Supervisor

HELP_SECONDS = 0.3
"""CPU time of `--help`, the budget of the design."""

TURN = "smart-turn-v3.2"

HEAVY = ("asyncio", "numpy", "aiohttp", "websockets", "faster_whisper", "ctranslate2", "onnxruntime", "huggingface_hub", "PIL", "av")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.env, raising=False)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache that holds what `locate` takes for a ready model, of every name in the catalogue."""
    for name, model in CATALOGUE.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / model.main).touch()
    return tmp_path


class Served:
    """Stands for the application: keeps what it was given."""

    def __init__(self) -> None:
        self.configs: list[Config] = []
        self.supervisors: list[Supervisor] = []
        self.interrupted = False

    def __call__(self, config: Config, supervisor: Supervisor) -> Self:
        self.configs.append(config)
        self.supervisors.append(supervisor)
        return self

    def run(self) -> int:
        if self.interrupted:
            raise KeyboardInterrupt
        return 7


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    stand_in = Served()
    module = ModuleType("realtime.app")
    module.App = stand_in  # type: ignore[attr-defined]  # a module made for the test
    monkeypatch.setitem(sys.modules, "realtime.app", module)
    return stand_in


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=50)


def test_serve_runs_the_application_with_the_settings_and_returns_its_status(served: Served) -> None:
    assert main(["serve", "--port", "0", "--llm", "scripted"]) == 7
    assert [(config.port, config.llm) for config in served.configs] == [(0, "scripted")]


def test_serve_hands_on_what_the_service_manager_says(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "@manager")
    main(["serve"])
    assert [supervisor.notify_socket for supervisor in served.supervisors] == ["@manager"]
    monkeypatch.setenv("NOTIFY_SOCKET", "manager")
    assert main(["serve"]) == MISUSED


def test_ctrl_c_is_quiet(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    served.interrupted = True
    assert main(["serve"]) == 130
    assert capfd.readouterr() == ("", "")


def test_bad_configuration_is_one_line_and_status_2(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", "http"]) == 2
    assert capfd.readouterr().err == "realtime: --port='http': must be a whole number from 0 to 65535\n"
    assert served.configs == []


@pytest.mark.parametrize(
    "arguments", [[], ["models"], ["keys"], ["keys", "new"], ["serve", "--prot", "1"], ["serve", "--por", "1"], ["sing"]]
)
def test_a_wrong_command_line_is_one_line_and_status_2(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "--help" in err


def test_the_version_is_that_of_the_distribution(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capfd.readouterr().out == f"realtime {version('realtime-daemon')}\n"


@pytest.mark.parametrize(
    "command", [[], ["serve"], ["keys"], ["keys", "new"], ["models"], ["models", "list"], ["models", "fetch"], ["models", "remove"]]
)
def test_every_command_explains_itself(command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([*command, "--help"])
    assert exit_.value.code == 0
    assert capfd.readouterr().out.startswith(" ".join(["usage: realtime", *command]))


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import sys
from realtime.__main__ import main
try:
    main(["serve", "--help"])
except SystemExit:
    print("heavy:", sorted(set({HEAVY}) & set(sys.modules)))
"""
    assert run("-c", code).stdout.endswith("heavy: []\n")


def test_help_is_instant() -> None:
    def cpu_seconds() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    def once() -> float:
        before = cpu_seconds()
        assert run("-m", "realtime", "--help").returncode == 0
        return cpu_seconds() - before

    assert min(once() for _ in range(3)) < HELP_SECONDS


def test_the_module_exits_with_the_status_of_its_command() -> None:
    done = run("-m", "realtime", "serve", "--sample-rate", "1")
    assert (done.returncode, done.stderr) == (2, "realtime: --sample-rate='1': must be a whole number of Hz from 8000 to 48000\n")


def test_the_list_shows_each_model_and_where_it_is(cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (cache / "base" / "model.bin").unlink()
    assert main(["models", "list", "--cache-dir", str(cache)]) == 0
    heading, *lines = capfd.readouterr().out.splitlines()
    assert heading.split() == ["name", "kind", "size", "licence", "where"]
    assert "base                   stt   150 MB  MIT           not fetched" in lines
    assert f"smollm2-135m-instruct  llm   140 MB  Apache-2.0    {cache / 'smollm2-135m-instruct'}" in lines
    assert len(lines) == len(CATALOGUE)


def fetched(capfd: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["models", "fetch", *arguments]) == 0
    return [line.split(":")[0] for line in capfd.readouterr().out.splitlines()]


def test_fetch_says_where_each_named_model_is(cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "fetch", "tiny.en", "base", "--cache-dir", str(cache)]) == 0
    assert capfd.readouterr().out.splitlines() == [f"tiny.en: {cache / 'tiny.en'}", f"base: {cache / 'base'}"]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], ["base", "smollm2-135m-instruct", TURN]),
        (["--whisper-model", "tiny.en", "--port", "1"], ["tiny.en", "smollm2-135m-instruct", TURN]),
        (["--base-url", "http://localhost:1/v1"], ["base", TURN]),
        (["--base-url", "http://localhost:1/v1", "--llm", "local"], ["base", "smollm2-135m-instruct", TURN]),
        (["--llm", "scripted"], ["base", TURN]),
        (["--stt", "scripted"], ["smollm2-135m-instruct", TURN]),
        (["--enable-audio-processing", "no"], ["smollm2-135m-instruct"]),
        (["--stt-base-url", "http://localhost:1/v1"], ["smollm2-135m-instruct", TURN]),
        (["--stt-base-url", "http://localhost:1/v1", "--stt", "local"], ["base", "smollm2-135m-instruct", TURN]),
        (["--llm", "scripted", "--tts", "piper"], ["base", TURN, "en_US-joe-medium"]),
        (["--llm", "scripted", "--tts", "piper", "--piper-voice", "/voices/de.onnx"], ["base", TURN]),
        (["--llm", "scripted", "--piper-voice", "en_US-joe-medium"], ["base", TURN]),
        (["--stt", "scripted", "--llm", "scripted", "--turn-model", "smart-turn"], [TURN]),
        (["--stt", "scripted", "--llm", "scripted", "--turn-model", "words"], []),
    ],
)
def test_fetch_without_names_takes_what_serve_would_load(
    options: list[str], names: list[str], cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert fetched(capfd, "--cache-dir", str(cache), *options) == names


def without_turn_model(cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options of a fetch that lacks the turn model alone, and finds no index."""
    (cache / TURN / "model.onnx").unlink()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return ["models", "fetch", "--cache-dir", str(cache), "--stt", "scripted", "--llm", "scripted"]


def test_a_server_that_chooses_by_itself_goes_on_without_the_turn_model(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(without_turn_model(cache, monkeypatch)) == 0
    out, err = capfd.readouterr()
    assert out == ""
    [line] = [line for line in err.splitlines() if line.startswith("realtime: ")]
    assert line.startswith(f"realtime: going on without {TURN}, turns will be judged by the words: ")
    assert "pipecat-ai==1.14.0" in line


@pytest.mark.parametrize("wanted", [["--turn-model", "smart-turn"], [TURN]])
def test_a_turn_model_that_was_asked_for_and_can_not_be_had_is_a_failure(
    wanted: list[str], cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*without_turn_model(cache, monkeypatch), *wanted]) == 1
    assert "set REALTIME_TURN_MODEL to words" in capfd.readouterr().err


def test_the_turn_model_can_be_removed(cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "remove", TURN, "--cache-dir", str(cache)]) == 0
    assert capfd.readouterr().out == f"{TURN}: removed\n"
    assert not (cache / TURN).exists()


def test_a_model_that_can_not_be_had_is_one_line_and_status_1(cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "fetch", "no-such-model", "--cache-dir", str(cache)]) == 1
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith("realtime: ")
    assert "no-such-model" in line


def test_remove_deletes_the_named_models_alone(cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "remove", "base", "--cache-dir", str(cache)]) == 0
    assert capfd.readouterr().out == "base: removed\n"
    assert not (cache / "base").exists()
    assert (cache / "tiny.en").exists()


def test_remove_says_when_there_was_nothing_and_goes_on(cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "remove", "small", "base", "--cache-dir", str(cache)]) == 1
    assert capfd.readouterr() == ("base: removed\n", "small: was not here\n")


def test_a_new_key_is_shown_once_and_its_line_goes_to_the_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "new", "phone"]) == 0
    line, told = capfd.readouterr()
    file = tmp_path / "api-keys"
    file.write_text(line)
    key = read(file, None).find(told.split()[-1])
    assert key is not None
    assert key.name == "phone"
    assert told.split()[-1] not in line


def test_a_name_that_can_be_nobodys_is_one_line_and_status_2(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "new", "my phone"]) == 2
    assert capfd.readouterr() == ("", "realtime: 'my phone': must be 1 to 64 letters, digits, dots, dashes or underscores\n")
