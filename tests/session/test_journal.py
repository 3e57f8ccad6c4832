"""What is stored of a session, and what is read again. That nothing is missed, the walk shows (tests/rigs/shadow.py)."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from realtime.errors import StoreError
from realtime.ports import HEAD
from realtime.session import inputs, journal
from realtime.session.conversation import Conversation, Entry
from realtime.session.ids import CountedIds
from realtime.session.journal import ENCRYPTED, ITEM, VERSION, Head, Journal
from realtime.session.machine import Session
from realtime.session.sound import Sound
from realtime.wire.client import SessionUpdate
from realtime.wire.items import InputAudio, InputText, Message, OutputText, Part
from realtime.wire.mcp import McpTool
from realtime.wire.settings import (
    AudioInput,
    AudioOutput,
    AudioSettings,
    PcmFormat,
    Settings,
    SettingsPatch,
    TranscriptionAudio,
    TranscriptionSettings,
)

SETTINGS = Settings(id="sess_1", model="m", expires_at=0)
ITEM_A = {"type": "message", "role": "user", "id": "a", "content": []}
TOOL = McpTool(server_label="s", server_url="https://s.example/", authorization="hush")


class Desk:
    """A session and its journal."""

    def __init__(self, settings: Settings = SETTINGS, *, secrets: bool = True) -> None:
        self.session = Session(settings, CountedIds())
        self.head = Head(VERSION, settings, self.session.conversation.id, 7.0, "phone")
        self.journal = Journal(self.session, self.head, secrets=secrets)
        self.records = self.journal.take().put

    def say(self, id: str, *sounds: bytes, status: str = "completed") -> Entry:
        content: list[Part] = [InputAudio("Hello.") for _ in sounds]
        content = content or [InputText("Hello.")]
        entry = Entry(Message("user", content, id, status), {i: Sound(PcmFormat(), each) for i, each in enumerate(sounds)})  # type: ignore[arg-type]
        self.session.conversation.insert(entry)
        return entry


def test_a_new_session_is_stored_once() -> None:
    desk = Desk()
    assert desk.records.keys() == {HEAD}
    assert not desk.journal.changed
    head = journal.read_head(desk.records[HEAD])
    assert (head.owner, head.created, head.conversation_id, head.settings) == ("phone", 7.0, "conv_1", SETTINGS)


def test_what_changes_is_stored_by_itself() -> None:
    desk = Desk()
    desk.say("a")
    desk.say("b", bytes(480), bytes(960))
    assert desk.journal.changed
    assert desk.journal.take().put.keys() == {"item.a", "item.b", "sound.0.b", "sound.1.b"}
    desk.session.receive(SessionUpdate(session=SettingsPatch(instructions="Be brief.")), now=0)
    change = desk.journal.take()
    assert change.put.keys() == {HEAD}
    assert journal.read_head(change.put[HEAD]).settings.instructions == "Be brief."  # type: ignore[union-attr]


def test_a_sound_is_stored_again_only_where_it_changed() -> None:
    desk = Desk()
    entry = desk.say("a", bytes(480), bytes(9600))
    desk.journal.take()
    desk.session.conversation.note("a")
    assert desk.journal.take().put.keys() == {"item.a"}
    entry.sounds[1].truncate(100)
    desk.session.conversation.weigh(entry)
    assert desk.journal.take().put.keys() == {"item.a", "sound.1.a"}


def test_what_is_deleted_goes_with_all_that_belongs_to_it() -> None:
    desk = Desk()
    desk.say("a", bytes(480))
    desk.journal.take()
    desk.say("never stored")
    for id in ("a", "never stored"):
        desk.session.conversation.delete(id)
    change = desk.journal.take()
    assert (change.put, change.drop) == ({}, {"item.a", "sound.0.a", "item.never stored"})


def test_what_is_still_being_written_is_not_stored() -> None:
    desk = Desk()
    desk.say("a", status="in_progress")
    assert desk.journal.take().put == {}
    desk.session.conversation.finish(Message("assistant", [OutputText("Done.")], "a"), {})
    assert desk.journal.take().put.keys() == {"item.a"}


def test_secrets_are_stored_only_where_they_may_be() -> None:
    for secrets in (True, False):
        head = Desk(replace(SETTINGS, tools=(TOOL,)), secrets=secrets).records[HEAD]
        assert (b"hush" in head) is secrets
        assert b"https://s.example/" in head


@pytest.mark.parametrize(
    "settings",
    [
        replace(SETTINGS, audio=AudioSettings(AudioInput(PcmFormat(16_000)), AudioOutput(PcmFormat(8_000)))),
        TranscriptionSettings(id="sess_1", expires_at=0, audio=TranscriptionAudio(AudioInput(PcmFormat(16_000)))),
    ],
)
def test_rates_that_only_classic_knows_come_back(settings: Settings) -> None:
    assert journal.read_head(Desk(settings).records[HEAD]).settings == settings


def test_a_session_that_was_read_goes_on_where_it_was() -> None:
    desk = Desk()
    desk.say("a", bytes(480))
    desk.say("b")
    desk.session.conversation.insert(Entry(Message("user", [InputText("First.")], "c")), 0)
    remembered = journal.read(desk.records | desk.journal.take().put)
    assert [entry.id for entry in remembered.conversation] == ["c", "a", "b"]
    session = Session(remembered.head.settings, CountedIds(), conversation=remembered.conversation)
    later = Journal(session, remembered.head, secrets=True)
    later.adopt(remembered)
    assert not later.changed, "all of it is stored"
    session.receive(inputs.Resumed(9, whole=True), now=0)
    assert later.take().put.keys() == {HEAD}, "it expires later now"
    session.conversation.delete("a")
    assert later.take().drop == {"item.a", "sound.0.a"}


def test_all_of_a_session_at_once_is_the_same_as_one_after_the_other() -> None:
    desk = Desk()
    desk.say("a", bytes(480))
    assert journal.records(desk.head, desk.session.conversation) == desk.records | desk.journal.take().put


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ({}, "has no head"),
        ({HEAD: b"rubbish"}, "can't be read"),
        ({HEAD: ENCRYPTED + b"..."}, "is encrypted, and REALTIME_STORE_KEY does not say with what"),
        ({ITEM + "a": b"rubbish"}, "can't be read"),
        ({"sound.x.a": b"rubbish"}, "can't be read"),
        ({ITEM + "b": msgspec.msgpack.encode({"rank": 1.0, "item": ITEM_A})}, "item.b holds the item a"),
    ],
)
def test_what_can_not_be_read_is_said_to_be_so(records: dict[str, bytes], why: str) -> None:
    whole = {HEAD: Desk().records[HEAD]} if records.keys() - {HEAD} else {}
    with pytest.raises(StoreError, match=why):
        journal.read(whole | records)


def test_a_later_version_is_refused() -> None:
    head = journal.write_head(replace(Desk().head, version=VERSION + 1))
    with pytest.raises(StoreError, match=f"has version {VERSION + 1}; this server reads versions up to {VERSION}"):
        journal.read_head(head)


def test_records_that_nobody_knows_are_left_alone() -> None:
    records = Desk().records | {"later.thing": msgspec.msgpack.encode("of a version that added something")}
    assert list(journal.read(records).conversation) == list(Conversation("conv_1"))


JOURNALS = Path(__file__).parent / "journals"
"""Of each version, the records of one session, as that version wrote them. They are never written anew."""


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_what_every_version_wrote_can_be_read(version: int) -> None:
    records = msgspec.json.decode((JOURNALS / f"{version}.json").read_bytes(), type=dict[str, bytes])
    remembered = journal.read(records)
    assert (remembered.head.owner, remembered.head.settings.id, remembered.head.conversation_id) == ("phone", "sess_1", "conv_1")
    assert isinstance(remembered.head.settings, Settings)
    assert remembered.head.settings.instructions == "Be brief."
    entries = list(remembered.conversation)
    assert [type(entry.item).__name__ for entry in entries] == [
        "Message",
        "Message",
        "FunctionCall",
        "FunctionCallOutput",
        "McpListTools",
        "McpApprovalRequest",
        "McpApprovalResponse",
        "McpCall",
        "Message",
    ]
    spoken = entries[1]
    assert spoken.part(0) == InputAudio("What is this?")
    assert [(len(sound.audio), sound.ms) for sound in spoken.sounds.values()] == [(960, 20)]
    assert spoken.pictures[0].width == 2
    assert entries[-1].sounds[0].truncate(10) == "It is"
    session = Session(remembered.head.settings, CountedIds(), conversation=remembered.conversation)
    assert session.receive(inputs.Resumed(9, whole=True), now=0)
