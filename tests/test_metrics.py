"""The registry, and what is written for it: the README's table, the dashboard and the rules."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from realtime.metrics import ERROR_CODES, Metrics, forget, known
from tests.rigs.promtool import check
from tests.test_readme import README, constants, protocol

ROOT = Path(__file__).parent.parent
DASHBOARD = ROOT / "systemd" / "grafana-dashboard.json"
RULES = ROOT / "systemd" / "prometheus-rules.yml"

SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


def series() -> set[str]:
    """The names that a query may use."""
    return {name + suffix for name, kind in Metrics().names().items() for suffix in SUFFIXES[kind]}


def test_two_servers_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.sessions.opened.labels("ga").inc()
    assert one.registry.get_sample_value("realtime_sessions_opened_total", {"dialect": "ga"}) == 1
    assert other.registry.get_sample_value("realtime_sessions_opened_total", {"dialect": "ga"}) is None


def test_what_is_written_is_read_by_prometheuss_own_parser() -> None:
    metrics = Metrics()
    metrics.turns.first_sound.observe(0.3)
    families = {family.name: family for family in text_string_to_metric_families(metrics.text().decode())}
    assert [sample.value for sample in families["realtime_turn_first_sound_seconds"].samples if sample.name.endswith("_count")] == [1]
    assert "process_resident_memory_bytes" in families
    assert not [name for name in families if name.endswith("_created")]


def test_promtool_finds_nothing_wrong_with_the_names() -> None:
    assert check("metrics", input=Metrics().text().decode()) == ""


def test_a_code_that_is_not_ours_is_other() -> None:
    assert [known(code) for code in ("timeout", "made_up_by_an_endpoint", None)] == ["timeout", "other", "other"]


def test_every_code_of_ours_has_a_label_of_its_own() -> None:
    told = {code for row in protocol("Error code") for code in row.names if not row.left_out}
    engines = {code for path in (ROOT / "realtime").rglob("*.py") for code in constants(path, "EngineError")}
    assert sorted(code for code in (told | engines) - ERROR_CODES if not code.isdigit()) == []


def test_the_readme_has_a_row_for_every_metric_and_no_other() -> None:
    section = README.partition("\n## Being watched\n")[2].partition("\n## ")[0]
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| `realtime_")]
    families = {family.name: family for family in Metrics().registry.collect()}
    for name, kind, _, meaning in rows:
        assert families[name.removesuffix("_total")].type == kind
        assert meaning
    assert sorted(row[0] for row in rows) == sorted(Metrics().names())


def test_the_readme_names_the_labels_that_there_are() -> None:
    metrics, labels = Metrics(), {}
    for group in (metrics.sessions, metrics.turns, metrics.responses, metrics.engines, metrics.store, metrics.process):
        for metric in vars(group).values():
            name = metric._name + ("_total" if metric._type == "counter" else "")
            labels[name] = set(metric._labelnames)
    for line in README.splitlines():
        if line.startswith("| `realtime_"):
            name, _, named, _ = (cell.strip() for cell in line.strip("|").split("|"))
            assert set(re.findall("`([a-z_]+)`:?", re.sub(r"\([^)]*\)", "", named))) == labels[name.strip("`")], name


# What watches it


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", [])


def expressions() -> list[str]:
    """What the dashboard asks for."""
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return [target["expr"] for panel in panels(board) for target in panel.get("targets", [])]


def test_every_metric_that_the_dashboard_and_the_rules_name_exists() -> None:
    known_series = series() | Metrics().names().keys()  # as people are told of them
    for text in [*expressions(), RULES.read_text(encoding="utf-8")]:
        named = set(re.findall(r"\brealtime_[a-z_]+", text))
        assert sorted(named - known_series) == []
    assert len(expressions()) >= 15


def test_every_metric_of_ours_is_watched_by_somebody() -> None:
    asked = " ".join([*expressions(), RULES.read_text(encoding="utf-8")])
    assert [name for name in Metrics().names() if name not in asked] == []


def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    assert "SUCCESS" in check("rules", "--lint=all", "--lint-fatal", str(RULES))


def test_promtool_understands_what_the_dashboard_asks_for(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{at}", "expr": re.sub(r"\$\w+", "5m", expression)} for at, expression in enumerate(expressions())]
    file = tmp_path / "dashboard.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert "SUCCESS" in check("rules", str(file))


@pytest.mark.parametrize("key", ["summary", "description"])
def test_every_alert_says_what_is_wrong_and_what_to_do(key: str) -> None:
    rules = RULES.read_text(encoding="utf-8")
    assert rules.count(f"          {key}: ") == rules.count("- alert: ") > 5


WORKER = """
import sys
from pathlib import Path
from realtime.metrics import Metrics
metrics = Metrics(Path(sys.argv[1]))
metrics.sessions.open.labels("ga").set(2)
metrics.turns.backlog.set(float(sys.argv[2]))
metrics.sessions.opened.labels("ga").inc(3)
metrics.process.lag.observe(0.02)
print("there", flush=True)
sys.stdin.read()
"""
"""prometheus-client decides when it is imported whether it shares: so each is a process."""


@contextmanager
def worker(folder: Path, backlog: str) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    command, pipe = [sys.executable, "-c", WORKER, str(folder), backlog], subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        yield process


def seen(folder: Path) -> dict[str, float]:
    families = text_string_to_metric_families(Metrics(folder).text().decode())
    return {sample.name: sample.value for family in families for sample in family.samples}


def memory(process: subprocess.Popen[str]) -> int:
    """Bytes that it has."""
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_what_several_processes_keep_is_told_as_one(tmp_path: Path) -> None:
    with ExitStack() as ends:
        processes = [ends.enter_context(worker(tmp_path, backlog)) for backlog in ("1", "4")]
        values = seen(tmp_path)
        assert (values["realtime_sessions_open"], values["realtime_detector_backlog_seconds"]) == (4, 4)
        assert (values["realtime_sessions_opened_total"], values["realtime_loop_lag_seconds_count"]) == (6, 2)
        assert values["process_resident_memory_bytes"] == pytest.approx(sum(map(memory, processes)), rel=0.1)
        starts = [os.stat(f"/proc/{process.pid}").st_ctime for process in processes]
        assert values["process_start_time_seconds"] == pytest.approx(min(starts), abs=60)
        for process in processes:
            process.kill()
            process.wait()
        forget(tmp_path, processes[1].pid)
        values = seen(tmp_path)  # what it had is gone with it, what it counted is not
        assert (values["realtime_sessions_open"], values["realtime_detector_backlog_seconds"]) == (2, 1)
        assert values["realtime_sessions_opened_total"] == 6
