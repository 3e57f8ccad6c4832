"""The journal: whatever a store gives back, it is a session that can go on, or a `StoreError`."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.errors import StoreError
from realtime.session import inputs, journal
from realtime.session.ids import CountedIds
from realtime.session.machine import Session
from tests.fuzz.corpus import kept

GOOD = {
    key: b64decode(record)
    for key, record in json.loads((Path(__file__).parents[1] / "session" / "journals" / "1.json").read_text()).items()
}
KEYS = [*GOOD, "item.", "item.z", "sound.0.z", "sound.0.", "sound..a", "sound.-1.a", "other"]


def check(data: bytes) -> None:
    """The first byte says which record the rest stands in for, so that the others are good."""
    key = KEYS[data[0] % len(KEYS)] if data else "head"
    read(GOOD | {key: data[1:]})


def read(records: dict[str, bytes]) -> None:
    try:
        remembered = journal.read(records)
    except StoreError:
        return
    session = Session(remembered.head.settings, CountedIds(), conversation=remembered.conversation)
    session.receive(inputs.Resumed(9, whole=True), now=0.0)
    again = journal.read(journal.records(remembered.head, remembered.conversation))
    assert len(list(again.conversation)) == len(list(remembered.conversation))


@pytest.mark.parametrize("path", kept("journal"), ids=lambda path: path.name)
def test_what_is_kept_is_read(path: Path) -> None:
    check(path.read_bytes())


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    check(data)


@given(st.sampled_from(list(GOOD)), st.integers(0, 4000), st.integers(0, 255), st.booleans())
def test_a_record_with_a_byte_that_is_another_or_missing(key: str, place: int, byte: int, missing: bool) -> None:
    record = GOOD[key]
    at = place % len(record)
    read(GOOD | {key: record[:at] + (b"" if missing else bytes([byte])) + record[at + 1 :]})


@given(st.sets(st.sampled_from(list(GOOD))), st.sampled_from(list(GOOD)), st.sampled_from(KEYS))
def test_records_that_are_missing_or_in_anothers_place(missing: set[str], one: str, place: str) -> None:
    read({key: record for key, record in GOOD.items() if key not in missing} | {place: GOOD[one]})
