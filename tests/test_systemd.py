"""The units, held to systemd's own judgement of them and to the code."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from realtime.config import Config
from realtime.options import SECRETS, SETTINGS
from realtime.server.connection import GOODBYE_SECONDS

UNITS = Path(__file__).parent.parent / "systemd"

SERVICES = ("realtime.service", "realtime@.service")

MAX_EXPOSURE = 20
"""Tenths, of the ten points that no sandbox at all would score."""

OPENING_SECONDS = 10
"""The library's limit for a handshake (`open_timeout` of websockets' `serve`): the longest that one holds up the end."""

OWN_ENVIRONMENT = {"REALTIME_CACHE_DIR", "HOME", "PYTHONFAULTHANDLER", "PIP_NO_CACHE_DIR"}
"""What the units set: what the person's file may override, and what is none of our settings."""


@pytest.fixture(scope="module")
def analyze() -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed (Debian: systemd)")
    return program


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as they are once installed: their programs have to be there, so each is one that always is."""
    for unit in UNITS.glob("realtime*.s*"):
        (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/realtime/bin/python", "/bin/true"))
    # One of the instances stands for all.
    shutil.copy(tmp_path / "realtime@.service", tmp_path / "realtime@8002.service")
    return tmp_path


def told(*command: str) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50, env={"SYSTEMD_COLORS": "0", "PATH": "/bin"})
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("unit", ["realtime.service", "realtime.socket", "realtime@8002.service"])
def test_systemd_understands_every_line(unit: str, analyze: str, installed: Path) -> None:
    status, said = told(analyze, "verify", "--man=no", str(installed / unit))
    # Other units of the machine are looked at too, and are none of ours.
    assert [line for line in said.splitlines() if "realtime" in line] == []
    assert status == 0, said


def test_verify_sees_what_it_should(analyze: str, installed: Path) -> None:
    """Else the test above would pass whatever the units say."""
    unit = installed / "realtime.service"
    unit.write_text(unit.read_text().replace("RestartSec=", "RestartSeconds="))
    assert "RestartSeconds" in told(analyze, "verify", "--man=no", str(unit))[1]


@pytest.mark.parametrize("unit", SERVICES)
def test_the_sandbox_is_as_tight_as_was_asked_for(unit: str, analyze: str) -> None:
    status, said = told(analyze, "security", "--offline=yes", "--no-pager", f"--threshold={MAX_EXPOSURE}", str(UNITS / unit))
    assert status == 0, said
    assert "Overall exposure level" in said


def unit(name: str) -> list[tuple[str, str]]:
    """Its settings, in order."""
    lines = (UNITS / name).read_text().splitlines()
    return [(key, value) for key, mark, value in (line.partition("=") for line in lines if not line.startswith("#")) if mark]


def value(name: str, key: str) -> str:
    [found] = [value for given, value in unit(name) if given == key]
    return found


def test_an_instance_is_the_service_on_a_port_of_its_own_and_nothing_else() -> None:
    service, instance = unit("realtime.service"), unit("realtime@.service")
    assert [line for line in service if line not in instance] == [
        ("Description", "Realtime voice server"),
        ("Requires", "realtime.socket"),
        ("After", "realtime.socket"),
        ("ExecStart", "/opt/realtime/bin/python -P -m realtime serve"),
        ("Also", "realtime.socket"),
    ]
    assert [line for line in instance if line not in service] == [
        ("Description", "Realtime voice server on port %i"),
        ("EnvironmentFile", "-/etc/realtime/%i.env"),
        ("ExecStart", "/opt/realtime/bin/python -P -m realtime serve --port %i"),
    ]
    common = [line for line in service if line in instance]
    assert common == [line for line in instance if line in service], "in another order"


def test_the_socket_is_where_clients_look_for_the_daemon_by_default() -> None:
    port = Config().port
    assert [value for key, value in unit("realtime.socket") if key == "ListenStream"] == [f"127.0.0.1:{port}", f"[::1]:{port}"]


def test_the_end_is_given_more_time_than_it_takes() -> None:
    longest = Config().grace_seconds + GOODBYE_SECONDS + OPENING_SECONDS
    assert int(value("realtime.service", "TimeoutStopSec").removesuffix("s")) > longest


def test_every_key_of_the_settings_can_be_a_credential_and_none_has_to_be() -> None:
    loaded = {value.partition(":")[0] for key, value in unit("realtime.service") if key == "LoadCredential"}
    # Keys of clients come as hashes, in a file.
    assert {setting.env for setting in SETTINGS if setting.name in SECRETS} - {"REALTIME_API_KEYS"} | {"api-keys"} == loaded
    assert sorted(value for key, value in unit("realtime.service") if key == "SetCredential") == sorted(f"{name}:\\n" for name in loaded)


def test_every_key_has_its_file_in_the_steps() -> None:
    steps = (UNITS / "README.md").read_text()
    for loaded in (value for key, value in unit("realtime.service") if key == "LoadCredential"):
        name, _, path = loaded.partition(":")
        [row] = [line for line in steps.splitlines() if line.startswith(f"| `{Path(path).name}` |")]
        assert f"`{name}`" in row


def test_the_environment_names_settings_that_there_are() -> None:
    known = {setting.env for setting in SETTINGS}
    example = (UNITS / "realtime.env.example").read_text()
    named = set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE))
    assert named
    assert named <= known
    # The units say where it listens; the example only says that.
    assert named & {"SERVER_HOST", "SERVER_PORT", "REALTIME_CACHE_DIR"} == set()
    given = {pair.partition("=")[0] for key, value in unit("realtime.service") if key == "Environment" for pair in value.split()}
    assert given == OWN_ENVIRONMENT
    # systemd takes what stands behind a value for a part of it.
    assert [line for line in example.splitlines() if not line.startswith("#") and line] == []
