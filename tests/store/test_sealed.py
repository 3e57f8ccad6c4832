from __future__ import annotations

import pytest

from realtime.errors import StoreError
from realtime.ports import HEAD, Change, Stored
from realtime.session import journal
from realtime.store.memory import MemoryStore
from realtime.store.sealed import LARGE, SEAL, Sealed

OLD, NEW = bytes(32), bytes(range(32))
SAID = b"a secret that was said"


@pytest.fixture
def plain() -> MemoryStore:
    return MemoryStore(keep_seconds=60, max_bytes=0)


async def records(plain: MemoryStore) -> dict[str, bytes]:
    stored = await plain.read("sess_1")
    assert stored is not None
    return stored.records


async def test_nothing_of_it_can_be_read_without_the_key(plain: MemoryStore) -> None:
    await Sealed(plain, [NEW]).create("sess_1", Change({HEAD: SAID, "item.1": SAID}))
    kept = await records(plain)
    assert all(record.startswith(SEAL) and SAID not in record for record in kept.values())
    assert kept[HEAD][-40:] != kept["item.1"][-40:], "the same never looks the same"
    with pytest.raises(StoreError, match="encrypted, and REALTIME_STORE_KEY"):
        journal.read_head(kept[HEAD])


async def test_a_new_key_reads_what_the_old_one_wrote_and_what_nobody_encrypted(plain: MemoryStore) -> None:
    await plain.create("sess_1", Change({HEAD: b"plain"}))
    await Sealed(plain, [OLD]).commit("sess_1", 1, Change({"item.1": b"old"}))
    both = Sealed(plain, [NEW, OLD])
    await both.commit("sess_1", 1, Change({"item.2": b"new"}))
    assert await both.read("sess_1") == Stored(1, {HEAD: b"plain", "item.1": b"old", "item.2": b"new"})
    with pytest.raises(StoreError, match="sess_1 was encrypted with a key that REALTIME_STORE_KEY does not name"):
        await Sealed(plain, [NEW]).read("sess_1")


async def test_a_record_that_was_put_in_anothers_place_is_noticed(plain: MemoryStore) -> None:
    sealed = Sealed(plain, [NEW])
    await sealed.create("sess_1", Change({HEAD: b"head", "item.1": b"yes", "item.2": b"no"}))
    kept = await records(plain)
    await plain.commit("sess_1", 1, Change({"item.1": kept["item.2"]}))
    with pytest.raises(StoreError, match=r"sess_1: the record item\.1 was changed after it was encrypted"):
        await sealed.read("sess_1")


async def test_a_record_of_another_session_is_noticed(plain: MemoryStore) -> None:
    sealed = Sealed(plain, [NEW])
    await sealed.create("sess_1", Change({HEAD: b"mine"}))
    await plain.create("sess_2", Change(await records(plain)))
    with pytest.raises(StoreError, match="sess_2: the record head was changed"):
        await sealed.head("sess_2")


@pytest.mark.parametrize("length", [len(SEAL) + 4, len(SEAL) + 6, len(SEAL) + 20, 60])
async def test_a_record_that_was_cut_off_is_noticed(plain: MemoryStore, length: int) -> None:
    sealed = Sealed(plain, [NEW])
    await sealed.create("sess_1", Change({HEAD: bytes(100)}))
    await plain.commit("sess_1", 1, Change({HEAD: (await records(plain))[HEAD][:length]}))
    with pytest.raises(StoreError, match="sess_1: the record head was changed"):
        await sealed.head("sess_1")


async def test_much_is_encrypted_beside_the_loop(plain: MemoryStore) -> None:
    sealed = Sealed(plain, [NEW])
    change = Change({HEAD: b"head", "sound.0.1": bytes(LARGE)})
    await sealed.create("sess_1", change)
    assert await sealed.claim("sess_1") == Stored(2, change.put)
    assert SAID not in (await records(plain))["sound.0.1"]
