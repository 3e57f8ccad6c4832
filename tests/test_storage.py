"""Which store the settings come to."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime import storage
from realtime.config import Config
from realtime.errors import ConfigError
from realtime.store.memory import MemoryStore
from realtime.store.redis import RedisStore
from realtime.store.sealed import Sealed
from realtime.store.sqlite import SqliteStore


async def test_each_choice_is_a_store(tmp_path: Path) -> None:
    kinds = {choice: type(storage.store(Config(store=choice, state_dir=tmp_path))) for choice in ("sqlite", "redis", "memory", "none")}
    assert kinds == {"sqlite": SqliteStore, "redis": RedisStore, "memory": MemoryStore, "none": type(None)}
    assert isinstance(storage.store(Config(store="memory", store_key=(bytes(32),))), Sealed)
    assert storage.store(Config(store="none", store_key=(bytes(32),))) is None


def test_workers_share_no_memory() -> None:
    with pytest.raises(ConfigError, match="REALTIME_STORE=memory: a client that comes back may come to another worker"):
        storage.store(Config(store="memory", workers=2))


def test_sqlite_needs_a_folder() -> None:
    with pytest.raises(ConfigError, match="REALTIME_STATE_DIR is unset and there is no home folder"):
        storage.store(Config(state_dir=None))


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        (Config(store="redis"), "REALTIME_STORE=redis: needs the package redis"),
        (Config(store="memory", store_key=(bytes(32),)), r"REALTIME_STORE_KEY=\*\*\*: needs the package cryptography"),
    ],
)
def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, config: Config, missing: str) -> None:
    monkeypatch.setattr(storage, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=missing):
        storage.store(config)
