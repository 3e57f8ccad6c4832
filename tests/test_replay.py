"""Recordings run again, good ones and others."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime import replay
from realtime.errors import ClientError, ConfigError
from realtime.runner.recorder import Disk
from realtime.session import inputs
from realtime.wire.client import ConversationItemCreate, InputAudioBufferAppend, InputAudioBufferClear
from realtime.wire.items import InputText, Message
from tests.runner.test_recorder import record


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    disk = Disk(tmp_path)
    item = ConversationItemCreate(item=Message("user", [InputText("Hello.")]))
    refused = inputs.FrameRefused(ClientError(None, "No.", type="server_error"))
    path = record(
        disk, inputs.Opened(), InputAudioBufferAppend(audio=bytes(960)), item, refused, InputAudioBufferClear(), inputs.TimePassed()
    )
    disk.close()
    return path


def test_what_was_recorded_is_the_same_again(recording: Path) -> None:
    assert replay.run(recording) == []


def test_a_difference_is_shown_with_what_came_before_it(recording: Path) -> None:
    recording.write_text(recording.read_text().replace("input_audio_buffer.cleared", "input_audio_buffer.cleaned"))
    head, *shown = replay.run(recording)
    assert head.startswith("line ")
    assert any(line.startswith("- < ") and "cleaned" in line for line in shown)
    assert any(line.startswith("+ < ") and "cleared" in line for line in shown)
    assert any("conversation.item.create" in line for line in shown)


def test_a_session_that_draws_more_ids_than_it_did_is_another(recording: Path) -> None:
    lines = recording.read_text().splitlines(keepends=True)
    recording.write_text("".join(line for line in lines if not line.startswith("%")))
    assert any("that_was_not_drawn" in line for line in replay.run(recording))


def test_a_recording_that_was_cut_is_run_as_far_as_it_goes(recording: Path) -> None:
    recording.write_text(recording.read_text() + '# {"cut":true}\n')
    assert replay.run(recording) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "this is no recording of version 1 or before"),
        ("rubbish\n", "line 1: this is no recording"),
        ("FIRST", ""),
        ("FIRST? what\n", "line 2: this is no line of a recording"),
        ("FIRST< {}\n", "line 2: this is no line of a recording"),
        ('FIRST> {"type":"nonsense"}\n', "line 2: this is no input"),
    ],
)
def test_what_is_no_recording(recording: Path, text: str, why: str) -> None:
    recording.write_text(text.replace("FIRST", recording.read_text().splitlines(keepends=True)[0]))
    if not why:
        assert replay.run(recording) == []
        return
    with pytest.raises(ConfigError, match=why):
        replay.run(recording)


def test_what_can_not_be_read(tmp_path: Path, recording: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        replay.run(tmp_path / "nothing")
    first = recording.read_text().splitlines()[0]
    (tmp_path / "headless").write_text(first.replace('"head"', '"tail"') + "\n")
    with pytest.raises(ConfigError, match="line 1: a stored session has no head"):
        replay.run(tmp_path / "headless")
    (tmp_path / "later").write_text(first.replace('"version":1', '"version":9', 1) + "\n")
    with pytest.raises(ConfigError, match="no recording of version 1"):
        replay.run(tmp_path / "later")
