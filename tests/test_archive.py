"""Sessions as lines and as files; the command line itself is tried in tests/e2e/test_sessions.py."""

from __future__ import annotations

import asyncio
import io
import sys
from pathlib import Path

import pytest

from realtime import archive
from realtime.config import Config
from realtime.errors import ConfigError, StoreError
from realtime.ports import HEAD, Change
from realtime.session import journal
from realtime.session.conversation import Entry
from realtime.session.journal import VERSION, Head
from realtime.session.sound import Sound
from realtime.store.memory import MemoryStore
from realtime.wire.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    McpApprovalResponse,
    McpCall,
    Message,
    OutputAudio,
)
from realtime.wire.settings import PcmFormat, Settings

ENTRIES = [
    Entry(Message("user", [InputText("Look:"), InputImage("data:image/jpeg;base64,AA==", width=3, height=2)], "a"), rank=1),
    Entry(Message("user", [InputAudio(None)], "b"), {0: Sound(PcmFormat(), bytes(48_000))}, 2),
    Entry(Message("assistant", [OutputAudio("Nice.")], "c"), rank=3),
    Entry(FunctionCall("f", "{}", id="d"), rank=4),
    Entry(FunctionCallOutput("call_1", "7", id="e"), rank=5),
    Entry(McpCall("s", "add", "{}", output="8", id="f"), rank=6),
    Entry(McpApprovalResponse("req", True, id="g"), rank=7),
]


def head(version: int = VERSION, owner: str | None = None) -> Head:
    return Head(version, Settings(id="sess_1", model="m", expires_at=0), "conv_1", 0.0, owner)


@pytest.fixture
async def store() -> MemoryStore:
    store = MemoryStore(keep_seconds=60, max_bytes=0, clock=lambda: 0.0)
    await store.create("sess_1", Change(journal.records(head(), ENTRIES)))
    return store


async def test_what_was_said_is_shown(store: MemoryStore) -> None:
    assert await archive.lines(store, "sess_1") == [
        "sess_1, since 1970-01-01 00:00:00Z, of nobody in particular",
        "  user: Look: [picture, 3 x 2]",
        "  user: (not transcribed) [1.0 s of sound]",
        "  assistant: Nice. [0.0 s of sound]",
        "  call: f({})",
        "  result: 7",
        "  call: s.add({}) -> 8",
        "  mcp_approval_response",
    ]
    await store.create("sess_2", Change({HEAD: journal.write_head(head(owner="phone"))}))
    assert (await archive.lines(store, "sess_2"))[0].endswith("of phone")


async def test_they_are_listed(store: MemoryStore) -> None:
    [(session_id, used, size)] = await archive.rows(store)
    assert (session_id, used) == ("sess_1", "1970-01-01 00:00:00Z")
    assert size.endswith(" kB")


async def test_what_was_taken_out_is_put_back_as_it_was(store: MemoryStore) -> None:
    exported = await archive.export(store, "sess_1")
    with pytest.raises(StoreError, match="sess_1: there is such a session already"):
        await archive.restore(store, exported)
    assert await archive.delete(store, ["sess_1", "sess_2"]) == ["sess_2"]
    assert await archive.restore(store, exported) == "sess_1"
    assert await archive.export(store, "sess_1") == exported


@pytest.mark.parametrize("ask", [archive.lines, archive.export])
async def test_a_session_that_is_not_there(store: MemoryStore, ask: object) -> None:
    with pytest.raises(StoreError, match="sess_0: there is no such session"):
        await ask(store, "sess_0")  # type: ignore[operator]


async def test_what_is_no_session_is_not_put_back(store: MemoryStore) -> None:
    with pytest.raises(StoreError, match="this is no exported session"):
        await archive.restore(store, b"{}")
    later = (await archive.export(store, "sess_1")).replace(b'"version":1', b'"version":9')
    with pytest.raises(StoreError, match="has version 9"):
        await archive.restore(store, later)


def config(tmp_path: Path) -> Config:
    return Config(state_dir=tmp_path)


def test_files_and_pipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    here, file = config(tmp_path), tmp_path / "session.json"

    async def create(store: object) -> None:
        await store.create("sess_1", Change(journal.records(head(), ENTRIES)))  # type: ignore[attr-defined]

    asyncio.run(archive.opened(here, create))
    assert archive.show_list(here)[0][0] == "sess_1"
    assert len(archive.show(here, "sess_1")) == 1 + len(ENTRIES)
    archive.write(here, "sess_1", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    archive.write(here, "sess_1", "-")
    assert capsysbinary.readouterr().out == file.read_bytes() + b"\n"
    assert archive.remove(here, ["sess_1"]) == []
    assert archive.read(here, str(file)) == "sess_1"
    archive.remove(here, ["sess_1"])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    assert archive.read(here, "-") == "sess_1"
    with pytest.raises(ConfigError, match="can't be written"):
        archive.write(here, "sess_1", str(tmp_path / "no" / "folder"))
    with pytest.raises(ConfigError, match="can't be read"):
        archive.read(here, str(tmp_path / "no"))


@pytest.mark.parametrize("choice", ["memory", "none"])
def test_what_only_the_daemon_has_only_the_daemon_shows(choice: str) -> None:
    with pytest.raises(ConfigError, match=f"REALTIME_STORE={choice}: its sessions end with the daemon"):
        archive.show_list(Config(store=choice))  # type: ignore[arg-type]
