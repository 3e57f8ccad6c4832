"""The registry, and what is written for it: the README's table, the dashboard and the rules."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from realtime.metrics import ERROR_CODES, Metrics, known
from tests.rigs.promtool import check
from tests.test_readme import README, constants, protocol

ROOT = Path(__file__).parent.parent


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
    for group in (metrics.sessions, metrics.turns, metrics.responses, metrics.engines, metrics.process):
        for metric in vars(group).values():
            name = metric._name + ("_total" if metric._type == "counter" else "")
            labels[name] = set(metric._labelnames)
    for line in README.splitlines():
        if line.startswith("| `realtime_"):
            name, _, named, _ = (cell.strip() for cell in line.strip("|").split("|"))
            assert set(re.findall("`([a-z_]+)`:?", re.sub(r"\([^)]*\)", "", named))) == labels[name.strip("`")], name
