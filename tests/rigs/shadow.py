"""What would be left of a session if its process ended now: its journal, written record by record, and read again."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from realtime.ports import HEAD
from realtime.session import inputs, journal
from realtime.session.abilities import Abilities
from realtime.session.effects import Effect, Send
from realtime.session.ids import CountedIds
from realtime.session.journal import ITEM, Head, Journal
from realtime.session.machine import Session
from realtime.wire import server

_encode = msgspec.json.Encoder().encode


class Ids(CountedIds):
    """Of another process."""

    def new(self, kind: str) -> str:
        return f"later_{super().new(kind)}"


class Shadow:
    """Follows one session. Raises `AssertionError` where the client was told what is not stored."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.records: dict[str, bytes] = {}
        self.journal = Journal(session, Head(journal.VERSION, session.settings, session.conversation.id, 0.0, "key"), secrets=True)

    def follow(self, effects: list[Effect]) -> None:
        """After every input."""
        if self.journal.changed:
            change = self.journal.take()
            assert not change.put.keys() & change.drop
            self.records = {key: record for key, record in self.records.items() if key not in change.drop} | change.put
        for effect in effects:
            if isinstance(effect, Send):
                self._check(effect.event)

    def _check(self, event: server.ServerEvent) -> None:
        conversation = self._session.conversation
        match event:
            case server.ConversationItemDone(item=item) if item.id in conversation:
                assert ITEM + str(item.id) in self.records, f"{item.id} was acknowledged and is not stored"
            case server.ConversationItemDeleted(item_id=id):
                assert not any(key.endswith(f".{id}") for key in self.records), f"something of {id} was kept"
            case server.SessionUpdated():
                assert _encode(journal.read_head(self.records[HEAD]).settings) == _encode(self._session.settings)

    def compare(self) -> None:
        """Is what could be read again what there is?"""
        remembered = journal.read(self.records)
        assert [_told(entry) for entry in remembered.conversation] == [
            _told(entry) for entry in self._session.conversation if entry.item.status != "in_progress"
        ]

    def resume(self, abilities: Abilities) -> Counter[str]:
        """Go on with it, as another process would; returns what the client is told, by type."""
        remembered = journal.read(self.records)
        count = len(list(remembered.conversation))
        session = Session(remembered.head.settings, Ids(), abilities, remembered.conversation)
        told: Counter[str] = Counter()
        for effect in session.receive(inputs.Resumed(7, whole=True), now=0.0):
            if isinstance(effect, Send):
                told[type(effect.event).__name__] += 1
        assert told["ConversationItemDone"] == count
        return told


def _told(entry: Any) -> tuple[bytes, dict[int, tuple[bytes, int, bool]]]:
    return _encode(entry.item), {index: (sound.audio, sound.ms, sound.released) for index, sound in entry.sounds.items()}
