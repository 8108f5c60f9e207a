"""The chart's values: every setting can be given, each value is in the schema, and nothing is held twice."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from stream_app.settings import Settings
from tests.conftest import ROOT

CHART = ROOT / "helm" / "fraudstream"
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
BY_ITS_OWN_VALUES = {
    "redis_url",
    "mlflow_tracking_uri",
    "model_cache",
    "metrics_host",
    "metrics_port",
    "api_host",
    "api_port",
    "api_keys_file",
}


def test_every_setting_can_be_given() -> None:
    """By `config`, or by a value of its own where the chart has to know. A setting that is missing here belongs into values.schema.json."""
    others = {f for f in Settings.model_fields if f not in BY_ITS_OWN_VALUES and not f.startswith("kafka_")}
    assert set(SCHEMA["properties"]["config"]["properties"]) == others


def test_every_value_is_in_the_schema_which_takes_no_other() -> None:
    """All levels that have names of their own."""

    def check(values: dict[str, Any], schema: dict[str, Any], path: str) -> None:
        if "properties" not in schema:
            return
        assert schema["additionalProperties"] is False, path
        assert values.keys() <= schema["properties"].keys(), path
        for name, value in values.items():
            if isinstance(value, dict):
                check(value, schema["properties"][name], f"{path}.{name}")

    check(VALUES, SCHEMA, "")


@pytest.mark.parametrize(("link", "source"), [("dashboards", "docker/grafana/dashboards"), ("rules.yml", "docker/prometheus/rules.yml")])
def test_dashboards_and_rules_are_those_of_compose(link: str, source: str) -> None:
    """Links, not copies: Helm packs what they point to."""
    path = CHART / "files" / link
    assert path.is_symlink()
    assert path.resolve() == ROOT / source


def test_no_value_is_a_secret() -> None:
    """Passwords are in secrets that exist; the chart names them."""

    def names(values: dict[str, Any]) -> list[str]:
        return [n for name, v in values.items() for n in [name, *(names(v) if isinstance(v, dict) else [])]]

    assert [n for n in names(VALUES) if "password" in n.lower() and not n.endswith("Key")] == []


def test_the_version_is_the_projects() -> None:
    """The chart installs the images of this version."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert f'version = "{chart["appVersion"]}"' in (ROOT / "pyproject.toml").read_text()
