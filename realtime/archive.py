"""Stored sessions in the hands of whoever runs the server: listed, shown, taken out as files, put back, deleted."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

from realtime import storage
from realtime.config import Config
from realtime.errors import ConfigError, StoreError
from realtime.ports import Change, Store
from realtime.session import journal
from realtime.session.conversation import Entry
from realtime.session.journal import Head
from realtime.session.sound import KeptSound, Sound
from realtime.wire.items import FunctionCall, FunctionCallOutput, InputImage, InputText, Item, McpCall, Message, OutputText

T = TypeVar("T")


class ExportedItem(Struct, omit_defaults=True):
    """An item with its sounds, by content index."""

    rank: float
    item: Item
    sounds: dict[int, KeptSound] = {}


class Exported(Struct):
    """A session as a file: JSON, sounds and pictures in base64."""

    session_id: str
    head: Head
    items: list[ExportedItem]
    format: Literal["realtime-session"] = "realtime-session"


async def opened(config: Config, use: Callable[[Store], Awaitable[T]]) -> T:
    """Open the store, use it, close it. Raises `ConfigError` where nobody but the daemon can look into it."""
    if config.store in ("memory", "none"):
        raise ConfigError(f"REALTIME_STORE={config.store}: its sessions end with the daemon, and only the daemon has them")
    store = storage.store(config)
    assert store is not None
    await store.open()
    try:
        return await use(store)
    finally:
        await store.close()


async def rows(store: Store) -> list[tuple[str, ...]]:
    """The id of every session, when it was last used, and its size."""
    found = [summary async for summary in store.sessions()]
    return [(each.session_id, _date(each.touched), f"{each.size / 1000:.1f} kB") for each in found]


async def lines(store: Store, session_id: str) -> list[str]:
    """What was said, for people to read. Raises `StoreError`."""
    stored = await store.read(session_id)
    if stored is None:
        raise StoreError(f"{session_id}: there is no such session")
    remembered = journal.read(stored.records)
    head = remembered.head
    return [
        f"{session_id}, since {_date(head.created)}, of {'nobody in particular' if head.owner is None else head.owner}",
        *(_line(entry) for entry in remembered.conversation),
    ]


async def export(store: Store, session_id: str) -> bytes:
    """Raises `StoreError`."""
    stored = await store.read(session_id)
    if stored is None:
        raise StoreError(f"{session_id}: there is no such session")
    remembered = journal.read(stored.records)
    items = [
        ExportedItem(entry.rank, entry.item, {index: sound.keep() for index, sound in entry.sounds.items()})
        for entry in remembered.conversation
    ]
    return msgspec.json.encode(Exported(session_id, remembered.head, items))


async def restore(store: Store, exported: bytes) -> str:
    """Put a file back, under the id that it had; returns that. Raises `StoreError`."""
    try:
        session = msgspec.json.decode(exported, type=Exported)
    except msgspec.MsgspecError as error:
        raise StoreError(f"this is no exported session: {error}") from error
    journal.check_version(session.head)
    if await store.head(session.session_id) is not None:
        raise StoreError(f"{session.session_id}: there is such a session already")
    entries = [Entry(each.item, {i: Sound.of(kept) for i, kept in each.sounds.items()}, each.rank) for each in session.items]
    await store.create(session.session_id, Change(journal.records(session.head, entries)))
    return session.session_id


async def delete(store: Store, session_ids: Sequence[str]) -> list[str]:
    """Those that were not there."""
    return [each for each in session_ids if not await store.delete(each)]


def _line(entry: Entry) -> str:
    match entry.item:
        case Message(role=role, content=content):
            return f"  {role}: " + " ".join(_part(part, entry.sounds.get(index)) for index, part in enumerate(content))
        case FunctionCall(name=name, arguments=arguments):
            return f"  call: {name}({arguments})"
        case FunctionCallOutput(output=output):
            return f"  result: {output}"
        case McpCall(server_label=label, name=name, arguments=arguments, output=output):
            return f"  call: {label}.{name}({arguments}) -> {output}"
        case item:
            return f"  {type(item).__struct_config__.tag}"


def _part(part: object, sound: Sound | None) -> str:
    if isinstance(part, InputText | OutputText):
        return part.text
    if isinstance(part, InputImage):
        return f"[picture, {part.width} x {part.height}]"
    words = getattr(part, "transcript", None)
    return f"{words or '(not transcribed)'} [{0 if sound is None else sound.ms / 1000:.1f} s of sound]"


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


# What the command line calls


def show_list(config: Config) -> list[tuple[str, ...]]:
    return asyncio.run(opened(config, rows))


def show(config: Config, session_id: str) -> list[str]:
    return asyncio.run(opened(config, lambda store: lines(store, session_id)))


def write(config: Config, session_id: str, file: str) -> None:
    """`-` is the output. A file is for its owner's eyes alone."""
    exported = asyncio.run(opened(config, lambda store: export(store, session_id)))
    if file == "-":
        sys.stdout.buffer.write(exported + b"\n")
        return
    path = Path(file)
    try:
        path.touch(mode=0o600, exist_ok=True)
        path.write_bytes(exported)
    except OSError as error:
        raise ConfigError(f"{file}: can't be written: {error.strerror}") from error


def read(config: Config, file: str) -> str:
    """`-` is the input."""
    try:
        exported = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: can't be read: {error.strerror}") from error
    return asyncio.run(opened(config, lambda store: restore(store, exported)))


def remove(config: Config, session_ids: Sequence[str]) -> list[str]:
    return asyncio.run(opened(config, lambda store: delete(store, session_ids)))
