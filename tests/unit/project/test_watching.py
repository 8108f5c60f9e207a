"""Dashboards and rules: sound in form, about metrics that exist, each alarm with a runbook, and right by Prometheus' own tool."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_app.adapters.metrics.catalogue import CATALOGUE
from tests.conftest import ROOT

RULES_FILE = ROOT / "docker" / "prometheus" / "rules.yml"
RULES: list[dict[str, Any]] = [r for g in yaml.safe_load(RULES_FILE.read_text())["groups"] for r in g["rules"]]
ALARMS = [r for r in RULES if "alert" in r]
BOARD_FILES = sorted((ROOT / "docker" / "grafana" / "dashboards").glob("*.json"))
DASHBOARDS = {f.stem: json.loads(f.read_text()) for f in BOARD_FILES}
OPERATIONS = ROOT.joinpath("docs", "operations.md").read_text()
PROMTOOL = shutil.which("promtool")
OF_PROMETHEUS = {"up", "ALERTS"}
GRID_WIDTH = 24


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every panel that asks something, with its dashboard."""
    for name, board in DASHBOARDS.items():
        yield from ((name, panel) for panel in board["panels"] if panel["type"] != "row")


QUERIES = [(f"{name}: {p['title']}, {t['refId']}", t["expr"]) for name, p in panels() for t in p["targets"]]
QUERIES += [(r.get("alert") or r["record"], r["expr"]) for r in RULES]


def exposed() -> set[str]:
    """Every series name that a worker shows, and those that rules record."""
    names = {r["record"] for r in RULES if "record" in r} | OF_PROMETHEUS
    for metric in CATALOGUE:
        names |= {f"{metric.exposed}{s}" for s in ("_bucket", "_count", "_sum")} if metric.kind == "histogram" else {metric.exposed}
    return names


@pytest.mark.parametrize(("what", "query"), QUERIES, ids=[what for what, _ in QUERIES])
def test_every_query_asks_for_series_that_exist(what: str, query: str) -> None:
    """A mistyped name would give an empty panel, or an alarm that never fires."""
    asked = set(re.findall(r"\b(?:fraudstream[a-z_0-9:]+|up(?=\{)|ALERTS)", re.sub(r'"[^"]*"', '""', query)))
    asked |= {name for name in re.findall(r"\bprocess_[a-z_]+", query) if name not in _of_the_process()}
    assert asked - exposed() == set(), what


def _of_the_process() -> set[str]:
    return {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"}


def test_every_metric_of_ours_is_looked_at() -> None:
    """On a dashboard or by an alarm; what nobody looks at costs and helps nobody."""
    asked = " ".join(query for _, query in QUERIES)
    assert [m.name for m in CATALOGUE if m.name not in asked] == []


@pytest.mark.parametrize("name", sorted(DASHBOARDS))
def test_a_dashboard_is_sound(name: str) -> None:
    """Ids are unique, panels lie in the grid and over no other, every query goes to the provisioned data source, every panel says what it is."""
    board, taken = DASHBOARDS[name], set[tuple[int, int]]()
    assert board["uid"] == f"fraudstream-{name}"
    assert len({p["id"] for p in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        at = panel["gridPos"]
        assert 0 <= at["x"] < at["x"] + at["w"] <= GRID_WIDTH
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert len({t["refId"] for t in panel["targets"]}) == len(panel["targets"]) > 0
        for asked in (panel, *panel["targets"]):
            assert asked["datasource"] == {"type": "prometheus", "uid": "prometheus"}


def canonical(board: dict[str, Any]) -> str:
    """The one form of a dashboard's file, so that a change shows what changed: keys in their order, an indent of one, a line at the end."""
    return json.dumps(board, indent=1, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("file", BOARD_FILES, ids=lambda f: f.stem)
def test_a_dashboard_is_in_its_one_form(file: Path) -> None:
    """However it was edited: by hand, or exported by Grafana."""
    same = canonical(DASHBOARDS[file.stem]) == file.read_text()
    assert same, f"{file.relative_to(ROOT)} is not in its one form: `.venv/bin/python -m tests.unit.project.test_watching` rewrites it"


def test_dashboards_and_data_source_are_those_that_are_provisioned() -> None:
    """Compose mounts the folder; the data source has the uid that the panels name; rules lie where Prometheus looks."""
    sources = yaml.safe_load(ROOT.joinpath("docker/grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert [s["uid"] for s in sources] == ["prometheus"]
    assert set(DASHBOARDS) == {"operations", "model", "fraud"}
    config = yaml.safe_load(ROOT.joinpath("docker/prometheus/prometheus.yml").read_text())
    assert config["rule_files"] == ["rules.yml"]
    assert [s["job_name"] for s in config["scrape_configs"]] == ["fraudstream", "fraudstream-api"]


@pytest.mark.parametrize("rule", ALARMS, ids=lambda r: r["alert"])
def test_an_alarm_has_a_runbook(rule: dict[str, Any]) -> None:
    """A section of its own, and the alarm names it."""
    assert f"\n### {rule['alert']}\n" in OPERATIONS
    assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["labels"]["severity"] in {"critical", "warning"}


def test_no_runbook_is_left_of_an_alarm_that_is_gone() -> None:
    """The other way round."""
    assert sorted(re.findall(r"^### (Fraudstream\w+)$", OPERATIONS, re.MULTILINE)) == sorted(r["alert"] for r in ALARMS)


def test_every_alarm_has_unit_tests_that_fire_and_that_do_not() -> None:
    """By name in the file that promtool runs; the quiet test holds for all."""
    tests = yaml.safe_load(RULES_FILE.with_name("rules_test.yml").read_text())["tests"]
    fired = {a["alertname"] for t in tests for a in t.get("alert_rule_test", []) if a["exp_alerts"]}
    assert fired == {r["alert"] for r in ALARMS}
    assert any("count(ALERTS)" in q["expr"] for t in tests for q in t.get("promql_expr_test", []))


def test_promtool_finds_rules_and_configuration_sound_and_the_unit_tests_hold() -> None:
    """Prometheus' own program."""
    if PROMTOOL is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    for command in (("check", "config", "prometheus.yml"), ("test", "rules", "rules_test.yml")):
        ran = subprocess.run([PROMTOOL, *command], cwd=RULES_FILE.parent, capture_output=True, text=True, check=False, timeout=150)
        assert ran.returncode == 0, ran.stdout + ran.stderr


if __name__ == "__main__":
    for path in BOARD_FILES:
        path.write_text(canonical(DASHBOARDS[path.stem]))
