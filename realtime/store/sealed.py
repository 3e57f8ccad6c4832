"""Another store, whose records are encrypted before they get there.

Ids of sessions, keys of records and sizes stay legible. Who can write to the store can still delete, or bring back what a session was
before; and since what was stored before there was a key is read as it is, put what nobody encrypted in a record's place.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec.structs import replace

from realtime.errors import StoreError
from realtime.ports import HEAD, Change, Store, Stored, Summary

SEAL = b"\xc1sealed\x01"
"""What an encrypted record begins with: no msgpack begins so (MessagePack specification, "Formats": 0xc1 is never used)."""

NAME_BYTES = 4
"""Of what tells which key it was."""

NONCE_BYTES = 12
"""Random for each record (NIST SP 800-38D, 8.2.2): a key is good for four billion, and so each session has a key of its own."""

LARGE = 1_000_000
"""Bytes from which on they are encrypted in a thread: a millisecond of work, while others wait."""


class Sealed:
    """Implements `ports.Store`: AES-256-GCM, bound to the session and the key of the record, so that none can be put in another's place.

    The first key encrypts, every one decrypts. What was stored before there was a key is read as it is.
    """

    def __init__(self, store: Store, keys: Sequence[bytes]) -> None:
        """`keys`: 32 bytes each."""
        self.name = store.name
        self._store = store
        self._keys = {_name(key): key for key in keys}
        self._newest = _name(keys[0])

    async def open(self) -> None:
        await self._store.open()

    async def create(self, session_id: str, change: Change) -> None:
        await self._store.create(session_id, await self._sealed(session_id, change))

    async def commit(self, session_id: str, epoch: int, change: Change) -> None:
        await self._store.commit(session_id, epoch, await self._sealed(session_id, change))

    async def head(self, session_id: str) -> bytes | None:
        record = await self._store.head(session_id)
        return None if record is None else self._opened(session_id, {HEAD: record})[HEAD]

    async def claim(self, session_id: str) -> Stored | None:
        return await self._unsealed(session_id, await self._store.claim(session_id))

    async def superseded(self, epochs: Mapping[str, int]) -> set[str]:
        return await self._store.superseded(epochs)

    async def touch(self, session_ids: Collection[str]) -> None:
        await self._store.touch(session_ids)

    async def delete(self, session_id: str) -> bool:
        return await self._store.delete(session_id)

    def sessions(self) -> AsyncIterator[Summary]:
        return self._store.sessions()

    async def read(self, session_id: str) -> Stored | None:
        return await self._unsealed(session_id, await self._store.read(session_id))

    async def close(self) -> None:
        await self._store.close()

    async def _sealed(self, session_id: str, change: Change) -> Change:
        return Change(await _aside(change.put, lambda: self._closed(session_id, change.put)), change.drop)

    async def _unsealed(self, session_id: str, stored: Stored | None) -> Stored | None:
        if stored is None:
            return None
        records = stored.records
        return replace(stored, records=await _aside(records, lambda: self._opened(session_id, records)))

    def _closed(self, session_id: str, records: dict[str, bytes]) -> dict[str, bytes]:
        cipher = self._cipher(session_id, self._newest)
        sealed = {}
        for key, record in records.items():
            nonce = os.urandom(NONCE_BYTES)
            sealed[key] = SEAL + self._newest + nonce + cipher.encrypt(nonce, record, _place(session_id, key))
        return sealed

    def _opened(self, session_id: str, records: dict[str, bytes]) -> dict[str, bytes]:
        names = {record[len(SEAL) :][:NAME_BYTES] for record in records.values() if record.startswith(SEAL)}
        ciphers = {name: self._cipher(session_id, name) for name in names}
        return {key: _open(session_id, key, record, ciphers) for key, record in records.items()}

    def _cipher(self, session_id: str, name: bytes) -> AESGCM:
        key = self._keys.get(name)
        if key is None:
            raise StoreError(f"{session_id} was encrypted with a key that REALTIME_STORE_KEY does not name")
        return AESGCM(hmac.digest(key, session_id.encode(), "sha256"))


def _open(session_id: str, key: str, record: bytes, ciphers: Mapping[bytes, AESGCM]) -> bytes:
    if not record.startswith(SEAL):
        return record
    name, rest = record[len(SEAL) :][:NAME_BYTES], record[len(SEAL) + NAME_BYTES :]
    try:
        return ciphers[name].decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], _place(session_id, key))
    except (InvalidTag, ValueError) as error:  # ValueError: of one that was cut off
        raise StoreError(f"{session_id}: the record {key} was changed after it was encrypted") from error


async def _aside(records: Mapping[str, bytes], work: Callable[[], dict[str, bytes]]) -> dict[str, bytes]:
    """In a thread where it takes long."""
    small = sum(map(len, records.values())) < LARGE
    return work() if small else await asyncio.to_thread(work)


def _name(key: bytes) -> bytes:
    return hashlib.sha256(b"realtime store key" + key).digest()[:NAME_BYTES]


def _place(session_id: str, key: str) -> bytes:
    return f"{session_id}\0{key}".encode()
