"""A session written down; that it runs again is tried in tests/test_replay.py, and by a daemon in tests/e2e/test_recordings.py."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import msgspec
import pytest

from realtime.errors import ClientError
from realtime.runner import recorder
from realtime.runner.recorder import BROKE, Aliases, Beginning, Disk, NotedIds, Recorder, at_rate, told, written
from realtime.session import inputs, journal
from realtime.session.abilities import Abilities
from realtime.session.effects import CallTool, Send
from realtime.session.ids import CountedIds
from realtime.session.machine import Session
from realtime.wire.client import InputAudioBufferClear, ResponseAudio, ResponseAudioOutput, ResponseCreate, ResponseParams, SessionUpdate
from realtime.wire.mcp import McpTool
from realtime.wire.server import InputAudioBufferCleared, SessionUpdated
from realtime.wire.settings import AudioInputPatch, AudioPatch, FunctionTool, PcmFormat, Settings, SettingsPatch, TranscriptionSettings

SECRET = McpTool(server_label="s", server_url="https://s.example/", authorization="hush", headers={"X-Key": "whisper"})
WEATHER = FunctionTool(name="weather")


def beginning() -> Beginning:
    settings = Settings(id="sess_1", model="m", expires_at=0)
    records = journal.records(journal.Head(journal.VERSION, settings, "conv_1", 0.0), [])
    return Beginning(abilities=Abilities(), records=records, resumed=False)


def record(disk: Disk, *happened: inputs.Input) -> Path:
    """A session to which this happened, a second apart."""
    ids = NotedIds(CountedIds())
    session = Session(Settings(id=ids.new("sess"), model="m", expires_at=0), ids)
    ours = Recorder(disk, "sess_1", ids, beginning(), Aliases())
    for second, input in enumerate(happened):
        ours.heard(input, float(second))
        ours.did(session.receive(input, now=float(second)))
    return ours.path


def test_what_happens_is_written_in_order(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "recordings")
    path = record(disk, inputs.Opened(), InputAudioBufferClear(event_id="mine"))
    disk.close()
    lines = path.read_text().splitlines()
    assert [line[0] for line in lines] == ["#", "~", "%", "<", "<", "+", ">", "%", "<"]
    assert json.loads(lines[0][2:])["ids"] == ["conv_1"]
    assert lines[5] == "+ 1.0"
    assert lines[-1].endswith('}  "mine"'.replace("  ", " "))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_recording_that_is_too_long_says_that_it_was_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "MAX_BYTES", 3000)
    disk = Disk(tmp_path)
    path = record(disk, inputs.Opened(), *[InputAudioBufferClear() for _ in range(50)])
    disk.close()
    lines = path.read_text().splitlines()
    assert lines[-1] == '# {"cut":true}'
    assert len(lines) < 60


def test_a_disk_that_is_too_slow_cuts_it_and_the_file_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, is_writing, may_write = Disk(tmp_path), threading.Event(), threading.Event()
    write = disk._write

    def slowly(path: Path, lines: bytes) -> None:
        is_writing.set()
        may_write.wait()
        write(path, lines)

    monkeypatch.setattr(disk, "_write", slowly)
    monkeypatch.setattr(recorder, "MAX_WAITING", 5000)
    disk.put(tmp_path / "of another session", b".")
    is_writing.wait()
    ids = NotedIds(CountedIds())
    ours = Recorder(disk, "sess_1", ids, beginning(), Aliases())
    while disk.put(tmp_path / "of another session", b"."):
        pass
    for second in range(3):
        ours.heard(InputAudioBufferClear(), float(second))
        ours.did([])
    may_write.set()
    disk.close()
    assert ours.path.read_text().splitlines()[1:] == ['# {"cut":true}']


def test_the_input_that_broke_a_session_is_written(tmp_path: Path) -> None:
    disk, ids = Disk(tmp_path), NotedIds(CountedIds())
    ours = Recorder(disk, "sess_1", ids, beginning(), Aliases())
    ours.heard(InputAudioBufferClear(event_id="mine"), 1.5)
    ids.new("event")
    ours.broke()
    disk.close()
    passed, input, drawn, broke = ours.path.read_bytes().splitlines()[1:]
    assert (passed, drawn, broke) == (b"+ 1.5", b'% ["event_1"]', BROKE)
    assert b"mine" in input


def test_the_times_add_up_to_those_of_the_clock(tmp_path: Path) -> None:
    disk, ids = Disk(tmp_path), NotedIds(CountedIds())
    ours = Recorder(disk, "sess_1", ids, beginning(), Aliases())
    clock = [86_400.1 + 0.032 * step / 3 for step in range(200)]
    for now in clock:
        ours.heard(inputs.TimePassed(), now)
        ours.did([])
    disk.close()
    read, at = [], 0.0
    for line in ours.path.read_text().splitlines():
        if line.startswith("+"):
            at += float(line[2:])
            read.append(at)
    assert read == clock


@pytest.mark.parametrize("full", [False, True])
def test_a_disk_that_fails_ends_the_recording_and_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture, full: bool) -> None:
    disk, path = Disk(tmp_path), tmp_path / "recording"
    path.symlink_to("/dev/full" if full else tmp_path)
    assert disk.put(path, b"1"), "the session hears nothing of it"
    disk.put(tmp_path / "another", b"1")
    disk.close()
    disk._write(path, b"2")  # what comes at once is written at once: this came later
    assert len([record for record in caplog.records if "ends here" in record.message]) == 1
    assert ("No space left on device" in caplog.text) is full
    assert (tmp_path / "another").read_bytes() == b"1"


def test_no_key_of_a_tool_server_is_written() -> None:
    patch, aliases = SettingsPatch(tools=(SECRET, WEATHER)), Aliases()
    update = SessionUpdate(session=patch)
    respond = ResponseCreate(response=ResponseParams(tools=(SECRET,)))
    settings = aliases.settings(Settings(id="sess_1", model="m", expires_at=0, tools=(SECRET,)))
    call, shown = (
        CallTool("item_1", SECRET, "add", {}),
        SessionUpdated(session=Settings(id="sess_1", model="m", expires_at=0, tools=(SECRET,))),
    )
    for line in (
        written(aliases.input(update)),
        written(aliases.input(respond)),
        msgspec.json.encode(settings),
        told(call),
        told(Send(shown)),
    ):
        assert b"s.example" in line
        assert b"hush" not in line
        assert b"whisper" not in line
    assert patch.tools == (SECRET, WEATHER), "the session needs it"


def test_the_same_key_has_the_same_alias_and_another_has_another() -> None:
    aliases = Aliases()
    assert [aliases.of(each) for each in ("hush", "quiet", "hush", "")] == ["secret-1", "secret-2", "secret-1", ""]


def test_what_names_no_tool_server_is_written_as_it_is() -> None:
    aliases = Aliases()
    transcribes = TranscriptionSettings(id="sess_1", expires_at=0)
    assert aliases.settings(transcribes) is transcribes
    keyless = McpTool(server_label="s", server_url="https://s.example/")
    for event in (SessionUpdate(session=SettingsPatch()), ResponseCreate(), SessionUpdate(session=SettingsPatch(tools=(keyless,)))):
        assert aliases.input(event) == event


def test_a_refusal_and_an_answer_are_written_whole() -> None:
    refused = inputs.FrameRefused(ClientError("invalid_json", "No.", param="p", event_id="e"))
    error = {"code": "invalid_json", "message": "No.", "param": "p", "event_id": "e", "type": "invalid_request_error"}
    assert json.loads(written(refused)) == {"type": "FrameRefused", "error": error}
    assert told(Send(InputAudioBufferCleared(event_id="e"), "mine")).endswith(b' "mine"')


def test_rates_that_the_wire_does_not_know_are_put_back() -> None:
    update = SessionUpdate(session=SettingsPatch(audio=AudioPatch(input=AudioInputPatch(format=PcmFormat(16_000)))))
    respond = ResponseCreate(response=ResponseParams(audio=ResponseAudio(output=ResponseAudioOutput(format=PcmFormat(16_000)))))
    for event in (update, respond):
        assert b"24000" in written(event)
        assert at_rate(at_rate(event, 24_000), 16_000) == event
