"""What earlier versions stored, opened by this one: as each version wrote it, and with a client who goes on over a real socket.

tests/store/stored has a session (that of tests/session/journals): SQLite's file by the version of its tables, and Redis's hash, in
base64, by that of the journal. They were written by that version, and are never written anew.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import time
from base64 import b64decode
from pathlib import Path

import pytest
from redis import Redis

from realtime.server.keys import hashed
from realtime.session.journal import VERSION
from realtime.store.sqlite import FORMAT
from tests.e2e.conftest import Start
from tests.e2e.test_sessions import Account, go_on
from tests.rigs.daemon import SCRIPTED, Daemon
from tests.rigs.redis_server import RedisServer
from tests.rigs.wire_client import WireClient, words

STORED = Path(__file__).parent.parent / "store" / "stored"

PHONE = "phone-key-of-16-chars"
"""The session is that of the key `phone`."""


def put(file: Path, folder: Path, redis_url: str) -> dict[str, str]:
    """Put what a version stored where a daemon finds it, as if it had been used a moment ago; return the daemon's settings."""
    now = time.time()
    if file.suffix == ".sqlite3":
        base = sqlite3.connect(shutil.copyfile(file, folder / "sessions.db"))
        with base:
            base.execute("UPDATE session SET touched = ?", (now,))
        base.close()
        return {"REALTIME_STORE": "sqlite", "REALTIME_STATE_DIR": str(folder)}
    with Redis.from_url(redis_url) as redis:
        for key, fields in json.loads(file.read_text()).items():
            redis.delete(key)
            redis.hset(key, mapping={field: b64decode(value) for field, value in fields.items()} | {":touched": now})
    return {"REALTIME_STORE": "redis", "REALTIME_REDIS_URL": redis_url}


def back(daemon: Daemon) -> WireClient:
    return WireClient(daemon.url("/v1/realtime?session_id=sess_1"), headers={"Authorization": f"Bearer {PHONE}"})


@pytest.mark.parametrize("name", [f"{at}.sqlite3" for at in range(1, FORMAT + 1)] + [f"{at}.redis.json" for at in range(1, VERSION + 1)])
async def test_a_session_that_an_earlier_version_stored_goes_on(start: Start, redis: RedisServer, tmp_path: Path, name: str) -> None:
    (keys := tmp_path / "keys").write_text(f"phone:{hashed(PHONE).hex()}\n")
    settings = put(STORED / name, tmp_path, redis.url)
    one = start(*SCRIPTED, "--api-keys-file", str(keys), **settings)
    async with back(one) as client:
        assert list(await go_on(client, "Are you there?")) == [*"abcdefghi", "going_on"]
        assert client.received[0]["session"]["instructions"] == "Be brief."
        assert len(b64decode((await client.retrieve("b"))["content"][0]["audio"])) == 960
        response = await client.respond(output_modalities=["text"], tools=[])
        assert (response["status"], words(response)) == ("completed", "You said: Are you there?")
    await asyncio.to_thread(one.stop)
    two = start(*SCRIPTED, "--api-keys-file", str(keys), **settings)
    async with back(two) as client:
        known = [*"abcdefghi", "going_on", response["output"][0]["id"]]
        for id in known:
            assert (await client.wait_for("conversation.item.done"))["item"]["id"] == id
        await client.say("Still there?")
        assert len(Account(client.received).items) == len(known) + 1
