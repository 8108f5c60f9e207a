"""Every query of every panel and rule, and what it must return."""

from __future__ import annotations

import json
import math
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.conftest import ROOT

DASHBOARDS = ROOT / "docker" / "grafana" / "dashboards"
RULES = ROOT / "docker" / "prometheus" / "rules.yml"
_LEGEND = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Query:
    """A query.

    Attributes:
        where: dashboard and panel, or the rule.
        kind: of the panel; `record` or `alert` of a rule.
        expr: PromQL.
        labels: that every series must have, because the legend names them.
    """

    where: str
    kind: str
    expr: str
    labels: frozenset[str] = frozenset()


def of_panels() -> list[Query]:
    """Those of all dashboards."""
    found = []
    for file in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", ()):
                labels = frozenset(_LEGEND.findall(target["legendFormat"]))
                found.append(Query(f"{file.stem}: {panel['title']}, {target['refId']}", panel["type"], target["expr"], labels))
    return found


def of_rules() -> list[Query]:
    """Those of all rules."""
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    return [Query(r.get("alert") or r["record"], "alert" if "alert" in r else "record", r["expr"]) for r in rules]


def at_once(target: Path) -> Path:
    """The rules with `for: 0s`, and nothing else changed: a fault is made and awaited here, not sat out."""
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = "0s"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(yaml.safe_dump(rules))
    return target


def amiss(prometheus: str, query: Query, over_s: float) -> str | None:
    """What is wrong with the answer to a query over the last `over_s` seconds, as Grafana asks it; None where it is as it must be."""
    series = _asked(prometheus, query, over_s)
    if isinstance(series, str):
        return series
    alive = [s for s in series if any(math.isfinite(float(v)) for _, v in s["values"])]
    if not alive:
        return "no data"
    if query.kind == "stat" and len(series) != 1:
        return f"{len(series)} series where one number is shown"
    missing = sorted({label for s in series for label in query.labels - s["metric"].keys()})
    if missing:
        return f"no label {', '.join(missing)}"
    if query.kind == "heatmap":
        bounds = {float(s["metric"].get("le", "nan")) for s in series}
        if math.inf not in bounds or any(map(math.isnan, bounds)):
            return "no buckets"
    return None


def _asked(prometheus: str, query: Query, over_s: float) -> list[dict[str, Any]] | str:
    """Series with their values: of a range for what is drawn over time, of one moment else."""
    now = time.time()
    if query.kind in {"stat", "table"}:
        answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": query.expr, "time": now}, timeout=30)
    else:
        span = {"start": now - over_s, "end": now, "step": 1}
        answer = httpx.get(f"{prometheus}/api/v1/query_range", params={"query": query.expr, **span}, timeout=30)
    body = answer.json()
    if body["status"] != "success":
        return str(body.get("error"))
    return [{"metric": s["metric"], "values": s.get("values") or [s["value"]]} for s in body["data"]["result"]]


def firing(prometheus: str) -> set[str]:
    """Names of the alarms that fire now."""
    alerts = httpx.get(f"{prometheus}/api/v1/alerts", timeout=30).json()["data"]["alerts"]
    return {a["labels"]["alertname"] for a in alerts if a["state"] == "firing"}
