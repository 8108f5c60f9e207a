"""The chart: what each feature changes, what is refused and with which remedy, and whether Kubernetes would take it."""

from __future__ import annotations

import difflib
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.ship.chart import CHART, EVERYTHING, FEATURES, KUBERNETES, command, merged, objects, refusal, rendered, write
from tests.ship.tools import HOME, passes, run, tool

SNAPSHOTS = ROOT / "tests" / "ship" / "snapshots"


def _text(values: dict[str, Any], folder: Path) -> list[str]:
    """The rendered objects in one order; what the dashboards and rules say is not the chart's."""
    found = objects(rendered(values, folder))
    for name, thing in found.items():
        if name.startswith("ConfigMap"):
            thing["data"] = dict.fromkeys(thing["data"], "…")
        if name.startswith("PrometheusRule"):
            thing["spec"]["groups"] = "…"
    return yaml.safe_dump_all([found[name] for name in sorted(found)], width=140, explicit_start=True).splitlines(keepends=True)


def _agrees(name: str, text: str) -> None:
    path = SNAPSHOTS / name
    if os.environ.get("SHIP_UPDATE"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"{name} is another now; look at the difference, then SHIP_UPDATE=1 make ship-check"


def test_lint_finds_nothing(tmp_path: Path) -> None:
    """Strict: warnings count."""
    for values in ({}, EVERYTHING):
        passes(
            [tool("helm"), "lint", "--strict", "--kube-version", KUBERNETES[-1], str(CHART), "--values", write(values, tmp_path / "v.yaml")]
        )


def test_the_defaults_are_as_recorded(tmp_path: Path) -> None:
    """All objects, as a whole."""
    _agrees("defaults.yaml", "".join(_text({}, tmp_path)))


@pytest.mark.parametrize("feature", sorted(FEATURES))
def test_a_feature_changes_what_was_recorded_and_nothing_else(feature: str, tmp_path: Path) -> None:
    """The difference from the defaults. A feature that changes nothing is none."""
    changes = difflib.unified_diff(_text({}, tmp_path), _text(FEATURES[feature], tmp_path), "defaults", feature, n=2)
    kept = [line for line in changes if not line.startswith("@@")]
    assert kept
    _agrees(f"{feature}.diff", "".join(kept))


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("feature", [*sorted(FEATURES), "everything"])
def test_kubernetes_knows_every_field(feature: str, version: str, tmp_path: Path) -> None:
    """Against the schemas of Kubernetes, of KEDA and of the Prometheus operator; unknown fields are refused."""
    kubeconform, schemas = tool("kubeconform"), HOME / "schemas"
    if not (schemas / "custom").is_dir():
        pytest.skip("no schemas of Kubernetes: scripts/ship/tools says why")
    whole = tmp_path / "all.yaml"
    whole.write_text(passes(command(write({**FEATURES, "everything": EVERYTHING}[feature], tmp_path / "v.yaml"), version)))
    places = [
        f"{schemas}/v{version}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
        f"{schemas}/custom/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
    ]
    passes(
        [
            kubeconform,
            "-strict",
            "-summary",
            "-kubernetes-version",
            version,
            *(a for p in places for a in ("-schema-location", p)),
            str(whole),
        ]
    )


def test_kubeconform_would_find_a_field_that_is_none(tmp_path: Path) -> None:
    """The check above can fail."""
    kubeconform, schemas = tool("kubeconform"), HOME / "schemas"
    broken = tmp_path / "broken.yaml"
    broken.write_text(rendered({}, tmp_path).replace("terminationGracePeriodSeconds", "terminationGracePeriodSecond"))
    where = f"{schemas}/v{KUBERNETES[-1]}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    assert run([kubeconform, "-strict", "-kubernetes-version", KUBERNETES[-1], "-schema-location", where, str(broken)]).returncode == 1


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"kafka": {"bootstrapServers": ""}}, "kafka.bootstrapServers is empty: name your brokers"),
        ({"redis": {"url": ""}}, "redis.url is empty: give redis.url, or redis.existingSecret"),
        ({"redis": {"url": "redis://user:secret@redis"}}, "/redis/url"),
        ({"mlflow": {"trackingUri": "https://user:secret@mlflow"}}, "/mlflow/trackingUri"),
        ({"kafka": {"securityProtocol": "SASL_SSL"}}, "kafka.existingSecret is empty: SASL needs a secret"),
        ({"worker": {"replica": 3}}, "additional properties 'replica' not allowed"),
        ({"config": {"treshold": 0.5}}, "additional properties 'treshold' not allowed"),
        ({"worker": {"replicas": 13}}, "worker.replicas is 13, of topics with 12 partitions"),
        ({"worker": {"autoscaling": {"kind": "keda", "maxReplicas": 20}}}, "maxReplicas is 20, of topics with 12 partitions"),
        ({"worker": {"terminationGracePeriodSeconds": 10}}, "/worker/terminationGracePeriodSeconds"),
        ({"api": {"enabled": True}}, "api.keysExistingSecret is empty: make keys with `fraudstream api-key`"),
        ({"training": {"enabled": True}}, "training.existingClaim is empty: name the volume claim"),
    ],
)
def test_wrong_values_are_refused_with_a_remedy(values: dict[str, Any], says: str, tmp_path: Path) -> None:
    """Before anything is installed. Passwords belong into secrets: a URL with one is refused."""
    assert says in refusal(values, tmp_path)


OF_SERVERS = {"kafka": ("FRAUDSTREAM_KAFKA_", 9092), "redis": ("FRAUDSTREAM_REDIS_", 6379), "mlflow": ("FRAUDSTREAM_MLFLOW_", 5000)}
TALKS_TO = {
    "worker": "kafka redis mlflow",
    "api": "kafka redis mlflow",
    "doctor": "kafka redis mlflow",
    "topics": "kafka",
    "training": "mlflow",
}


@pytest.mark.parametrize("component", sorted(TALKS_TO))
def test_a_pod_is_told_of_the_servers_that_it_talks_to_and_reaches_no_others(component: str, tmp_path: Path) -> None:
    """A training that somebody else's data led astray holds no login of Kafka or Redis, and has no way there."""
    found = objects(rendered(merged(EVERYTHING, FEATURES["kafka-mutual-tls"]), tmp_path))
    (pod,) = (o for name, o in found.items() if name.endswith(f"fraudstream-{component}") and name.split()[0] in RUNS)
    text, ports = yaml.safe_dump(pod), _reached(found[f"NetworkPolicy fraud-fraudstream-{component}"])
    told = {server for server, (prefix, _) in OF_SERVERS.items() if prefix in text}
    assert told == {server for server, (_, port) in OF_SERVERS.items() if port in ports} == set(TALKS_TO[component].split())
    assert ("kafka-tls" in text) == ("kafka" in told)


RUNS = {"Deployment", "Job", "CronJob", "Pod"}


def _reached(policy: dict[str, Any]) -> set[int]:
    return {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}


def test_a_component_has_a_login_of_its_own(tmp_path: Path) -> None:
    """Where it is named; else the one that all have."""
    found = objects(rendered(FEATURES["own-secrets"], tmp_path))

    def secrets(name: str) -> set[str]:
        env = found[name]["spec"]["template"]["spec"]["containers"][0]["env"]
        return {v["valueFrom"]["secretKeyRef"]["name"] for v in env if "valueFrom" in v}

    assert secrets("Deployment fraud-fraudstream-worker") == {"kafka-worker", "redis-worker"}
    assert secrets("Deployment fraud-fraudstream-api") == {"kafka-api", "redis-api"}
    assert secrets("Job fraud-fraudstream-topics") == {"kafka-topics"}
    assert "kafka-topics-ca" in yaml.safe_dump(found["Job fraud-fraudstream-topics"])


def test_the_rules_and_dashboards_are_those_of_compose(tmp_path: Path) -> None:
    """One source: the chart's files are links to them."""
    found = objects(rendered(EVERYTHING, tmp_path))
    source = yaml.safe_load((ROOT / "docker/prometheus/rules.yml").read_text())
    assert found["PrometheusRule fraud-fraudstream"]["spec"]["groups"] == source["groups"]
    dashboards = {p.name: p.read_text() for p in (ROOT / "docker/grafana/dashboards").glob("*.json")}
    assert dashboards
    assert {n: t.strip() for n, t in found["ConfigMap fraud-fraudstream-dashboards"]["data"].items()} == {
        n: t.strip() for n, t in dashboards.items()
    }


def test_the_readme_of_the_chart_is_made_from_its_values() -> None:
    """By scripts/ship/chart_docs.py."""
    made = passes([sys.executable, str(ROOT / "scripts" / "ship" / "chart_docs.py"), str(CHART)])
    path = CHART / "README.md"
    if os.environ.get("SHIP_UPDATE"):
        path.write_text(made)
    current = made == path.read_text()
    assert current, "helm/fraudstream/README.md is behind values.yaml: `SHIP_UPDATE=1 make ship-check` makes it anew"
