"""Recordings run again, good ones and others."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from realtime import replay
from realtime.errors import ClientError, ConfigError
from realtime.runner.recorder import BROKE, Aliases, Beginning, Disk, NotedIds, Recorder
from realtime.session import inputs, journal
from realtime.session.abilities import Abilities
from realtime.session.effects import Effect
from realtime.session.ids import Ids
from realtime.session.machine import Session
from realtime.wire.client import ConversationItemCreate, InputAudioBufferAppend, InputAudioBufferClear, SessionUpdate
from realtime.wire.items import InputText, Message
from realtime.wire.settings import AnySettings, SettingsPatch, sample_rate
from tests.rigs.transcript import Transcript
from tests.runner.test_recorder import SECRET, record


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
        ("", "line 1: this is no recording"),
        ("rubbish\n", "line 1: this is no recording"),
        ("FIRST", ""),
        ("FIRST? what\n", "line 2: this is no line of a recording"),
        ("FIRST< {}\n", "line 2: this is no line of a recording"),
        ('FIRST> {"type":"nonsense"}\n', "line 2: this is no line of a recording"),
        ("FIRST+ soon\n", "line 2: this is no line of a recording"),
        ("FIRST+\n", "line 2: this is no line of a recording"),
        ('FIRST> {"type":"input_audio_buffer.clear"}\n% {}\n', "line 3: this is no line of a recording"),
        ('FIRST> {"type":"input_audio_buffer.clear"}\n% no\n', "line 3: this is no line of a recording"),
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


def test_words_may_have_what_other_texts_end_lines_with(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    item = ConversationItemCreate(item=Message("user", [InputText("one\u2028two\x85three\x0bfour\rfive\nsix")]))
    path = record(disk, inputs.Opened(), item)
    disk.close()
    assert replay.run(path) == []


def test_a_tool_server_that_is_given_another_key_is_asked_again_as_it_was_then(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    updates = [SessionUpdate(session=SettingsPatch(tools=(replace(SECRET, authorization=key),))) for key in ("hush", "hush", "quiet")]
    path = record(disk, inputs.Opened(), *updates)
    disk.close()
    text = path.read_text()
    assert text.count('! {"type":"ListTools"') == 2
    assert "hush" not in text
    assert "quiet" not in text
    assert replay.run(path) == []


@pytest.mark.parametrize("lost", [1, 40, 400])
def test_a_recording_whose_writer_was_killed_is_run_as_far_as_it_goes(recording: Path, lost: int) -> None:
    recording.write_text(recording.read_text()[:-lost])
    assert replay.run(recording) == []


def test_a_difference_is_found_in_the_last_input_of_one_too(recording: Path) -> None:
    recording.write_text(recording.read_text().replace("conversation.item.added", "conversation.item.edited")[: -len("xx\n")])
    assert replay.run(recording)


def test_what_differs_far_into_a_line_is_shown(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    path = record(disk, inputs.Opened(), ConversationItemCreate(item=Message("user", [InputText("so " * 1000 + "good.")])))
    disk.close()
    lines = path.read_text().split("\n")
    path.write_text("\n".join(line if line.startswith(">") else line.replace("good.", "bad.") for line in lines))
    shown = replay.run(path)
    assert [line for line in shown if line.startswith("- ") and "bad." in line and "conversation.item.added" in line]
    assert [line for line in shown if line.startswith("+ ") and "good." in line and "conversation.item.added" in line]
    assert shown[-2:] == ["  ... and 1 more then", "  ... and 1 more now"]
    assert all(len(line) < 500 for line in shown)


@pytest.mark.parametrize(("sign", "kept"), [("-", 1), ("+", -1)])
def test_one_effect_more_or_fewer_is_a_difference(recording: Path, sign: str, kept: int) -> None:
    lines = recording.read_text().splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if "input_audio_buffer.cleared" in line)
    recording.write_text("".join(lines[:last] + lines[last : last + 1] * (1 + kept) + lines[last + 1 :]))
    assert [line[0] for line in replay.run(recording) if line.startswith(("- ", "+ "))] == [sign]


def test_a_session_that_breaks_now_is_a_difference(
    recording: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Session, "receive", breaks)
    shown = replay.run(recording)
    assert '+ # {"broke":true}' in shown
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_a_session_that_broke_then_breaks_again_until_it_is_mended(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = recording.read_text()
    recording.write_text(text[: text.index("% ")] + BROKE.decode() + "\n")
    assert '- # {"broke":true}' in replay.run(recording)
    monkeypatch.setattr(Session, "receive", breaks)
    assert replay.run(recording) == []


def breaks(session: Session, input: inputs.Input, *, now: float) -> list[Effect]:
    raise KeyError("a bug of ours")


@pytest.mark.parametrize("file", sorted((Path(__file__).parent / "recordings").glob("*.jsonl")), ids=lambda file: file.stem)
def test_every_recording_that_is_kept_is_the_same_today(file: Path) -> None:
    """A bug report that has become a test. What is meant to be different now is recorded anew."""
    assert replay.run(file) == []


def test_some_recordings_are_kept() -> None:
    assert list((Path(__file__).parent / "recordings").glob("*.jsonl"))


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "transcripts").glob("*.jsonl")), ids=lambda path: path.stem)
def test_every_conversation_that_is_known_can_be_recorded_and_run_again(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path)

    class Recorded(Session):
        def __init__(self, settings: AnySettings, ids: Ids, abilities: Abilities) -> None:
            noted, aliases, rate = NotedIds(ids), Aliases(), sample_rate(transcript._codec.audio.input.format)
            super().__init__(settings, noted, abilities)
            head = journal.Head(journal.VERSION, aliases.settings(settings), self.conversation.id, 0.0)
            begun = Beginning(abilities=abilities, records=journal.records(head, []), resumed=False, pcm_rate=rate)
            self.recorder = Recorder(disk, settings.id, noted, begun, aliases)

        def receive(self, input: inputs.Input, *, now: float) -> list[Effect]:
            self.recorder.heard(input, now)
            effects = super().receive(input, now=now)
            self.recorder.did(effects)
            return effects

    monkeypatch.setattr("tests.rigs.transcript.Session", Recorded)
    transcript = Transcript(path)
    assert transcript.difference() == ""
    disk.close()
    (file,) = tmp_path.iterdir()
    assert replay.run(file) == []
