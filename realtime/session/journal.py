"""What of a session outlives its process: what is stored of it, what of that has changed, and how it is read again.

A session is stored as records, each under its own key, so that a change costs what has changed and what is deleted is gone:

    head                    the version of all this, the owner, the settings, the conversation's id
    item.<id>               an item and its rank among the others
    sound.<index>.<id>      the sound of one of its parts

What is still being written is not stored, nor is what a running turn has heard so far: nobody was told that we have it. Records are
msgpack; what a later version adds has defaults, so that whatever an earlier one wrote can be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from realtime.errors import StoreError
from realtime.ports import HEAD, Change
from realtime.session.conversation import Conversation, Entry
from realtime.session.machine import Session
from realtime.session.sound import KeptSound, Sound
from realtime.wire.items import Item
from realtime.wire.settings import PCM_RATE, AnySettings, AudioSettings, Settings, at_rate, sample_rate, shown

VERSION = 1
"""Of the records. A reader knows its own and all before it."""

ENCRYPTED = b"\xc1"
"""No msgpack begins so; what a store has encrypted does."""

ITEM, SOUND = "item.", "sound."


class Head(Struct):
    """What there is one of."""

    version: int
    settings: AnySettings
    conversation_id: str
    created: float
    """Unix seconds."""
    owner: str | None = None
    """Name of the key whose session it is; None where nobody needed one."""
    input_rate: int = PCM_RATE
    """Samples a second, where the settings' input is PCM: they are written with the wire's own rate."""
    output_rate: int = PCM_RATE


class KeptItem(Struct, omit_defaults=True):
    """An item, without its sounds."""

    rank: float
    item: Item


class Remembered(Struct):
    """A session, read again."""

    head: Head
    conversation: Conversation


UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding raises: text may be no UTF-8, and what is nested too deeply has no end."""

_encode = msgspec.msgpack.Encoder().encode
_heads, _items, _sounds = msgspec.msgpack.Decoder(Head), msgspec.msgpack.Decoder(KeptItem), msgspec.msgpack.Decoder(KeptSound)


class Journal:
    """Of one session; `changes` tells each change once."""

    def __init__(self, session: Session, head: Head, *, secrets: bool) -> None:
        """`secrets`: may those of tool servers be stored? Without them, a server that needs them has to be named anew."""
        self._session = session
        self._conversation = session.conversation
        self._head = head
        self._secrets = secrets
        self._settings: AnySettings | None = None
        """As they were last stored."""
        self._sounds: dict[str, dict[int, Extent]] = {}
        """How much is stored of each sound, by item and content index: sounds are large, and change rarely."""

    @property
    def changed(self) -> bool:
        """Is there anything to store?"""
        return bool(self._conversation.changed) or self._session.settings is not self._settings

    def adopt(self, remembered: Remembered) -> None:
        """What was read again is stored already."""
        self._settings = self._session.settings
        for entry in remembered.conversation:
            self._sounds[entry.id] = {index: _extent(sound) for index, sound in entry.sounds.items()}

    def take(self) -> Change:
        """What has changed since the last time."""
        change = Change()
        if self._session.settings is not self._settings:
            self._settings = self._session.settings
            self._head.settings = self._settings if self._secrets else shown(self._settings)
            change.put[HEAD] = write_head(self._head)
        for item_id in self._conversation.changed:
            entry = self._conversation.find(item_id)
            if entry is None:
                self._drop(item_id, change)
            elif entry.item.status != "in_progress":
                change.put[ITEM + item_id] = _encode(KeptItem(entry.rank, entry.item))
                self._put_sounds(entry, change)
        self._conversation.changed.clear()
        return change

    def _drop(self, item_id: str, change: Change) -> None:
        change.drop.add(ITEM + item_id)
        change.drop.update(_sound_key(item_id, index) for index in self._sounds.pop(item_id, ()))

    def _put_sounds(self, entry: Entry, change: Change) -> None:
        stored = self._sounds.setdefault(entry.id, {}) if entry.sounds else {}
        for index, sound in entry.sounds.items():
            if stored.get(index) != (extent := _extent(sound)):
                stored[index] = extent
                change.put[_sound_key(entry.id, index)] = _encode(sound.keep())


Extent = tuple[int, int]
"""Bytes that a sound holds, and milliseconds that it lasts."""


def _extent(sound: Sound) -> Extent:
    return sound.held, sound.ms


def _sound_key(item_id: str, index: int) -> str:
    return f"{SOUND}{index}.{item_id}"


def write_head(head: Head) -> bytes:
    audio = head.settings.audio
    rates = [sample_rate(each.format) for each in (audio.input, audio.output if isinstance(audio, AudioSettings) else audio.input)]
    written = replace(head, settings=_pcm_at(head.settings, PCM_RATE, PCM_RATE), input_rate=rates[0], output_rate=rates[1])
    return _encode(written)


def _pcm_at(settings: AnySettings, input_rate: int, output_rate: int) -> AnySettings:
    heard = replace(settings.audio.input, format=at_rate(settings.audio.input.format, input_rate))
    if not isinstance(settings, Settings):
        return replace(settings, audio=replace(settings.audio, input=heard))
    said = replace(settings.audio.output, format=at_rate(settings.audio.output.format, output_rate))
    return replace(settings, audio=replace(settings.audio, input=heard, output=said))


def read_head(record: bytes) -> Head:
    """Raises `StoreError` for what is no head, or is one of a later version."""
    if record.startswith(ENCRYPTED):
        raise StoreError("a stored session is encrypted, and REALTIME_STORE_KEY does not say with what")
    try:
        head = _heads.decode(record)
    except UNREADABLE as error:
        raise StoreError(f"a stored session can't be read: {error}") from error
    check_version(head)
    head.settings = _pcm_at(head.settings, head.input_rate, head.output_rate)
    return head


def check_version(head: Head) -> None:
    """Raises `StoreError` for one of a later version."""
    if head.version > VERSION:
        raise StoreError(f"a stored session has version {head.version}; this server reads versions up to {VERSION}")


def records(head: Head, entries: Iterable[Entry]) -> dict[str, bytes]:
    """All of a session."""
    written = {HEAD: write_head(head)}
    for entry in entries:
        written[ITEM + entry.id] = _encode(KeptItem(entry.rank, entry.item))
        written |= {_sound_key(entry.id, index): _encode(sound.keep()) for index, sound in entry.sounds.items()}
    return written


def read(records: Mapping[str, bytes]) -> Remembered:
    """The session that was stored so. Raises `StoreError` for what can't be read."""
    if HEAD not in records:
        raise StoreError("a stored session has no head")
    head, entries = read_head(records[HEAD]), {}
    sounds: dict[str, dict[int, Sound]] = {}
    try:
        for key, record in records.items():
            if key.startswith(ITEM):
                kept = _items.decode(record)
                if kept.item.id != key.removeprefix(ITEM):
                    raise StoreError(f"a stored session can't be read: {key} holds the item {kept.item.id}")
                entries[key.removeprefix(ITEM)] = Entry(kept.item, rank=kept.rank)
            elif key.startswith(SOUND):
                index, _, item_id = key.removeprefix(SOUND).partition(".")
                sounds.setdefault(item_id, {})[int(index)] = Sound.of(_sounds.decode(record))
    except UNREADABLE as error:
        raise StoreError(f"a stored session can't be read: {error}") from error
    conversation = Conversation(head.conversation_id)
    for item_id, entry in sorted(entries.items(), key=lambda pair: pair[1].rank):
        entry.sounds = dict(sorted(sounds.get(item_id, {}).items()))
        conversation.remember(entry)
    return Remembered(head, conversation)
