from __future__ import annotations

from pathlib import Path

import pytest

from realtime.errors import ConfigError
from realtime.supervisor import Supervisor, credential, read, told

PID = 4711


def test_nobody_says_nothing() -> None:
    assert read({}, PID) == Supervisor()


def test_systemd_says_where_it_listens_what_it_opened_and_how_long_it_waits() -> None:
    said = {"NOTIFY_SOCKET": "/run/systemd/notify", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": f"{PID}"}
    given = {"LISTEN_FDS": "2", "LISTEN_PID": f"{PID}", "LISTEN_FDNAMES": "realtime.socket:realtime.socket"}
    assert read(said | given, PID) == Supervisor(notify_socket="/run/systemd/notify", watchdog_seconds=30.0, sockets=2)


@pytest.mark.parametrize(
    "worker",
    [
        Supervisor(worker=1),
        Supervisor(worker=2, notify_socket="@parent", watchdog_seconds=15.0, sockets=2, metrics=Path("/tmp/metrics")),
    ],
)
def test_a_worker_reads_what_its_parent_says_and_nothing_that_the_parent_was_told(worker: Supervisor) -> None:
    parents = {"NOTIFY_SOCKET": "/run/systemd/notify", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "LISTEN_FDS": "9", "LISTEN_PID": "1"}
    environment = told(parents | {"OPENAI_MODEL": "m", "PROMETHEUS_MULTIPROC_DIR": "/other"}, worker)
    assert read(environment, PID) == worker
    assert environment["OPENAI_MODEL"] == "m"


def test_a_folder_for_metrics_is_none_of_ours_without_a_parent() -> None:
    assert read({"PROMETHEUS_MULTIPROC_DIR": "/tmp"}, PID) == Supervisor()


def test_what_was_said_to_another_process_does_not_count() -> None:
    said = {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1", "LISTEN_FDS": "2", "LISTEN_PID": "1"}
    assert read(said, PID) == Supervisor()
    assert read({"LISTEN_FDS": "2"}, PID) == Supervisor()  # sd_listen_fds(3) wants the process to be named
    assert read({"WATCHDOG_USEC": "500000"}, PID) == Supervisor(watchdog_seconds=0.5)  # sd_watchdog_enabled(3) does not


def test_empty_variables_and_a_watchdog_that_is_off_say_nothing() -> None:
    said = {"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "0", "LISTEN_FDS": "", "LISTEN_PID": f"{PID}"}
    assert read(said, PID) == Supervisor()


def test_an_abstract_name_is_an_address_too() -> None:
    assert read({"NOTIFY_SOCKET": "@name"}, PID).notify_socket == "@name"


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({"NOTIFY_SOCKET": "vsock:2:1"}, "NOTIFY_SOCKET='vsock:2:1': must be a path, or @ and a name"),
        ({"WATCHDOG_USEC": "soon"}, "WATCHDOG_USEC='soon': must be a whole number"),
        ({"LISTEN_FDS": "-1", "LISTEN_PID": f"{PID}"}, "LISTEN_FDS='-1': must be a whole number"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(said: dict[str, str], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(said, PID)
    assert str(caught.value).startswith(line)


def test_a_credential_is_the_word_in_its_file(tmp_path: Path) -> None:
    (tmp_path / "OPENAI_API_KEY").write_text("sk-1\n")
    (tmp_path / "REALTIME_STT_API_KEY").write_text("\n")
    handed_over = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert credential(handed_over, "OPENAI_API_KEY") == "sk-1"
    assert credential(handed_over, "REALTIME_STT_API_KEY") is None
    assert credential(handed_over, "REALTIME_TTS_API_KEY") is None
    assert credential({}, "OPENAI_API_KEY") is None


def test_a_credential_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "OPENAI_API_KEY").mkdir()
    with pytest.raises(ConfigError, match="The credential OPENAI_API_KEY can't be read: Is a directory"):
        credential({"CREDENTIALS_DIRECTORY": str(tmp_path)}, "OPENAI_API_KEY")
