"""Changes on their way into the store, and what the client may hear meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from realtime.errors import StoreError, Superseded
from realtime.metrics import Metrics
from realtime.ports import HEAD
from realtime.runner.committer import Committer
from realtime.runner.outbox import Outbox
from realtime.session.conversation import Entry
from realtime.session.ids import CountedIds
from realtime.session.journal import ITEM, VERSION, Head, Journal
from realtime.session.machine import Session
from realtime.wire.items import InputText, Message
from realtime.wire.settings import Settings
from tests.rigs.socket import KeptSocket
from tests.rigs.store import ScriptedStore

GONE = StoreError("gone")


class Desk:
    """A session whose changes are stored."""

    def __init__(self, store: ScriptedStore, outbox: Outbox, socket: KeptSocket) -> None:
        settings = Settings(id="sess_1", model="m", expires_at=0)
        self.session = Session(settings, CountedIds())
        self.store, self.outbox, self.socket = store, outbox, socket
        self.lost: list[StoreError] = []
        self.metrics = Metrics()
        head = Head(VERSION, settings, "conv_1", 0.0)
        journal = Journal(self.session, head, secrets=False)
        self.committer = Committer(journal, store, "sess_1", outbox, self.lost.append, self.metrics, pauses=(0, 0))

    def say(self, id: str) -> None:
        """An item comes, is stored, and is told."""
        self.session.conversation.insert(Entry(Message("user", [InputText(id)], id)))
        self.committer.save()
        self.outbox.put(id.encode())


@asynccontextmanager
async def desk(*failures: StoreError | None) -> AsyncIterator[Desk]:
    socket = KeptSocket()
    ours = Desk(ScriptedStore(*failures), Outbox(socket), socket)
    async with asyncio.TaskGroup() as group:
        writer = group.create_task(ours.outbox.write())
        yield ours
        writer.cancel()


async def test_nothing_is_told_before_it_is_stored() -> None:
    async with desk() as ours:
        ours.store.writing.clear()
        ours.say("a")
        await ours.store.asked.wait()
        assert (ours.socket.frames, ours.committer.storing) == ([], True)
        ours.store.writing.set()
        await ours.socket.wait_for_frames(1)
        assert ours.store.records["sess_1"].keys() == {HEAD, ITEM + "a"}
        await ours.committer.flush()
        assert not ours.committer.storing


async def test_what_comes_while_something_is_stored_is_stored_together() -> None:
    async with desk() as ours:
        ours.store.writing.clear()
        ours.say("a")
        await ours.store.asked.wait()
        for id in "bcd":
            ours.say(id)
        ours.session.conversation.delete("c")
        ours.committer.save()
        ours.outbox.put(b"c is gone")
        ours.store.writing.set()
        await ours.committer.flush()
        await ours.socket.wait_for_frames(5)
        assert ours.socket.frames == [b"a", b"b", b"c", b"d", b"c is gone"]
        assert [sorted(change.put) for change in ours.store.commits] == [[HEAD, ITEM + "a"], [ITEM + "b", ITEM + "d"]]
        assert ITEM + "c" in ours.store.commits[1].drop


async def test_an_item_that_goes_and_comes_again_is_there() -> None:
    async with desk() as ours:
        ours.say("a")
        await ours.committer.flush()
        ours.store.writing.clear()
        ours.say("b")
        ours.session.conversation.delete("a")
        ours.committer.save()
        ours.say("a")
        ours.store.writing.set()
        await ours.committer.flush()
        assert ITEM + "a" in ours.store.records["sess_1"]


async def test_a_store_that_fails_for_a_moment_is_tried_again() -> None:
    async with desk(GONE, GONE) as ours:
        ours.say("a")
        await ours.socket.wait_for_frames(1)
        assert (ours.store.attempts, ours.lost) == (3, [])
        value = ours.metrics.registry.get_sample_value
        assert value("realtime_store_errors_total") == 2
        assert value("realtime_store_commit_seconds_count") == 3


async def test_what_can_not_be_stored_is_never_told_and_the_session_is_lost() -> None:
    async with desk(None, GONE, GONE, GONE) as ours:
        ours.say("a")
        await ours.socket.wait_for_frames(1)
        ours.say("b")
        await ours.committer.flush()
        assert (ours.lost, ours.socket.frames) == ([GONE], [b"a"])
        ours.say("c")
        await ours.committer.flush()
        assert (ours.store.attempts, ours.lost) == (4, [GONE]), "nothing more is tried"


async def test_a_session_that_somebody_else_has_is_not_tried_again() -> None:
    async with desk() as ours:
        ours.say("a")
        await ours.committer.flush()
        await ours.store.claim("sess_1")
        ours.say("b")
        await ours.committer.flush()
        assert [type(error) for error in ours.lost] == [Superseded]
        assert ours.store.attempts == 2


async def test_whoever_learns_it_otherwise_says_so_once() -> None:
    async with desk() as ours:
        ours.store.writing.clear()
        ours.say("a")
        await ours.store.asked.wait()
        ours.store.failures.append(Superseded("sess_1"))
        ours.committer.stop()
        ours.committer.stop()
        ours.store.writing.set()
        await ours.committer.flush()
        assert len(ours.lost) == 1


@pytest.mark.parametrize("epoch", [3])
async def test_a_claimed_session_goes_on_with_its_epoch(epoch: int) -> None:
    async with desk() as ours:
        ours.store.records["sess_1"], ours.store.epochs["sess_1"] = {}, epoch
        ours.committer.epoch = epoch
        ours.say("a")
        await ours.socket.wait_for_frames(1)
        assert ours.store.epochs["sess_1"] == epoch
