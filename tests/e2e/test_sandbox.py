"""The unit's sandbox, from inside: systemd itself runs the shipped unit (tests/rigs/booted.py), the daemon talks with the embedded models,
and an intruder who runs as the daemon does tries what he can (tests/rigs/intruder.py)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime.server.keys import hashed
from tests.e2e.conftest import need_models
from tests.e2e.test_voice import QUESTIONS, named
from tests.rigs.booted import Booted
from tests.rigs.recordings import word_error_rate
from tests.rigs.sounds import silence, voice
from tests.rigs.wire_client import WireClient

pytestmark = pytest.mark.timeout(180)

PHONE = "phone-key-of-16-chars"

INTRUDER = "/opt/checkout/tests/rigs/intruder.py"

SEEN = f"""
[Service]
StandardOutput=file:/run/output
StandardError=file:/run/output
ExecStart=
ExecStart=/bin/sh -c 'P="/opt/realtime/bin/python -P"; $$P {INTRUDER} $$$$ >$$STATE_DIRECTORY/intruder.json; exec $$P -m realtime serve'
"""
"""What a test adds to the unit: the intruder is a child of the process that becomes the daemon, and is in everything that it is in."""

SOCKET = """
[Socket]
ListenStream=/run/realtime.sock
"""
"""A door that can be reached from outside: the network inside is another."""

OTHER = """
[Unit]
DefaultDependencies=no
Before=realtime.service
[Service]
Type=exec
DynamicUser=yes
StateDirectory=other
LoadCredential=secret:/etc/realtime/of-the-other
ExecStart=/bin/sleep infinity
"""
"""A service of somebody else's, with a key."""

PERMITTED = {
    "write /var/lib/realtime",
    "write /var/cache/realtime",
    "write /tmp",
    "read own key",
    "open an ordinary socket",
    "get memory to write and run",
    "read the daemon's memory",
}
"""What an intruder can do, for the daemon must be able to, or because he is of the same user as the daemon: systemd/README.md says so."""

NOT_FOR_FILES = {"EROFS", "EACCES"}
"""How it is refused to write."""


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    need_models("base", "smollm2-135m-instruct")
    files = {
        "etc/systemd/system/realtime.service.d/tests.conf": SEEN,
        "etc/systemd/system/realtime.socket.d/tests.conf": SOCKET,
        "etc/systemd/system/other.service": OTHER,
        "etc/realtime/realtime.env": "REALTIME_CACHE_DIR=/opt/models\n",
        "etc/realtime/api-keys": f"phone:{hashed(PHONE).hex()}\n",
        "etc/realtime/of-the-other": "a secret of somebody else's\n",
        "home/somebody/diary": "Dear diary\n",
        "tmp/of-the-machine": "for programs outside\n",
    }
    with Booted(tmp_path_factory.mktemp("booted"), files, ("realtime.socket", "realtime.service", "other.service")) as booted:
        yield booted


def test_all_units_are_up(booted: Booted) -> None:
    assert {name: state["ActiveState"] for name, state in booted.states.items()} == dict.fromkeys(
        ("realtime.socket", "realtime.service", "other.service"), "active"
    ), booted.path("/run/output").read_text()
    assert booted.states["realtime.service"]["StatusText"].startswith("listening on ws://127.0.0.1:8001, ws://[::1]:8001")


async def test_the_daemon_talks_inside_with_its_embedded_models(booted: Booted) -> None:
    [question] = [named(name) for name in QUESTIONS[:1]]
    door = booted.path("/run/realtime.sock")
    async with WireClient("ws://localhost/v1/realtime", headers={"Authorization": f"Bearer {PHONE}"}, path=door, patience=60) as client:
        await client.speak(voice(question.audio))
        await client.speak(silence(1.0))
        response = await client.response()
        assert response["status"] == "completed"
        assert len(client.sound(response["id"])) > 0
        item = await client.retrieve((await client.wait_for("input_audio_buffer.committed"))["item_id"])
        assert word_error_rate([question.text], [item["content"][0]["transcript"]]) <= 0.2
    assert booted.path("/var/lib/private/realtime/sessions.db").stat().st_size > 0
    assert "Traceback" not in booted.path("/run/output").read_text()


async def test_a_client_without_a_key_is_not_let_in(booted: Booted) -> None:
    async with WireClient("ws://localhost/v1/realtime", path=booted.path("/run/realtime.sock")) as client:
        assert (await client.closed())[0] == 3000


def test_an_intruder_can_do_what_the_daemon_must_and_nothing_else(booted: Booted) -> None:
    outcomes: dict[str, str] = json.loads(booted.path("/var/lib/private/realtime/intruder.json").read_text())
    assert {name for name, outcome in outcomes.items() if outcome == "done"} == PERMITTED, json.dumps(outcomes)
    written = {name: outcome for name, outcome in outcomes.items() if name.startswith("write ") and outcome != "done"}
    assert len(written) > 10
    assert set(written.values()) <= NOT_FOR_FILES, written


def test_what_an_intruder_leaves_in_tmp_is_not_the_machines(booted: Booted) -> None:
    assert booted.path("/tmp/of-the-machine").exists()
    assert Path("/tmp/of-the-machine").exists() is False, "the root of the test is its own"
