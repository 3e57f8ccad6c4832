"""Which store keeps the sessions: the only file that names concrete stores."""

from __future__ import annotations

from importlib.util import find_spec

from realtime.config import Config
from realtime.errors import ConfigError
from realtime.media.limits import MEBIBYTE
from realtime.ports import Store

REDIS_URL = "redis://localhost:6379/0"
"""Where Redis is unless somebody says so."""

FILE = "sessions.db"
"""In the state folder."""


def store(config: Config) -> Store | None:
    """None where sessions end with their connections. Raises `ConfigError` where a package or a folder is missing."""
    plain = _plain(config)
    if plain is None or config.store_key is None:
        return plain
    if find_spec("cryptography") is None:
        raise ConfigError("REALTIME_STORE_KEY=***: needs the package cryptography (extra: encryption)")
    from realtime.store.sealed import Sealed

    return Sealed(plain, config.store_key)


def _plain(config: Config) -> Store | None:
    most, keep = config.store_mb * MEBIBYTE, config.keep_seconds
    match config.store:
        case "none":
            return None
        case "memory":
            if config.workers > 1:
                raise ConfigError("REALTIME_STORE=memory: a client that comes back may come to another worker; use sqlite, redis or none")
            from realtime.store.memory import MemoryStore

            return MemoryStore(keep_seconds=keep, max_bytes=most)
        case "sqlite":
            if config.state_dir is None:
                raise ConfigError("REALTIME_STATE_DIR is unset and there is no home folder: must be a folder for the sessions")
            from realtime.store.sqlite import SqliteStore

            return SqliteStore(config.state_dir / FILE, keep_seconds=keep, max_bytes=most)
        case "redis":
            if find_spec("redis") is None:
                raise ConfigError("REALTIME_STORE=redis: needs the package redis (extra: redis)")
            from realtime.store.redis import RedisStore

            return RedisStore(config.redis_url or REDIS_URL, keep_seconds=keep)
