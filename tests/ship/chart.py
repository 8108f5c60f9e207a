"""The chart as Helm renders it, and its features: each a set of values that turns one thing on or off."""

from __future__ import annotations

from typing import Any

import yaml

from tests.conftest import ROOT
from tests.ship.tools import passes, run, tool

CHART = ROOT / "helm" / "fraudstream"
KUBERNETES = ("1.27.0", "1.34.0")
SERVERS = {
    "kafka": {"bootstrapServers": "kafka-1:9092,kafka-2:9092"},
    "redis": {"url": "redis://redis:6379/0"},
    "mlflow": {"trackingUri": "http://mlflow:5000"},
}
API: dict[str, Any] = {"api": {"enabled": True, "keysExistingSecret": "fraud-api-keys"}}
FEATURES: dict[str, dict[str, Any]] = {
    "no-topics-job": {"topics": {"enabled": False}},
    "topics-replicated": {"topics": {"replication": 3}},
    "keda": {"worker": {"autoscaling": {"kind": "keda", "kedaAuthentication": "kafka"}}},
    "hpa": {"worker": {"autoscaling": {"kind": "hpa"}}},
    "no-worker-budget": {"worker": {"disruptionBudget": {"enabled": False}}},
    "no-spread": {"worker": {"topologySpread": False}},
    "placement": {"worker": {"nodeSelector": {"pool": "fraud"}, "tolerations": [{"key": "fraud", "operator": "Exists"}]}},
    "api": API,
    "api-scaled": {"api": {**API["api"], "autoscaling": {"enabled": True}}},
    "no-api-budget": {"api": {**API["api"], "disruptionBudget": {"enabled": False}}},
    "training": {"training": {"enabled": True, "existingClaim": "history", "arguments": ["--alerts-per-day=100"]}},
    "no-account": {"serviceAccount": {"create": False}},
    "account-annotated": {"serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/fraud"}}},
    "no-network-policy": {"networkPolicy": {"enabled": False}},
    "network-confined": {
        "networkPolicy": {"egressCidrs": ["10.0.0.0/8"], "apiFrom": [{"namespaceSelector": {"matchLabels": {"team": "fraud"}}}]}
    },
    "service-monitor": {"monitoring": {"serviceMonitor": True, "labels": {"release": "prometheus"}}},
    "prometheus-rule": {"monitoring": {"prometheusRule": True}},
    "dashboards": {"monitoring": {"dashboards": True}},
    "kafka-sasl": {"kafka": {"securityProtocol": "SASL_SSL", "existingSecret": "kafka-user"}},
    "kafka-mutual-tls": {"kafka": {"securityProtocol": "SSL", "tlsExistingSecret": "kafka-tls", "mutualTls": True}},
    "secret-urls": {"redis": {"existingSecret": "redis"}, "mlflow": {"existingSecret": "mlflow"}},
    "own-secrets": {
        "kafka": {"securityProtocol": "SASL_SSL", "existingSecret": "kafka-worker", "tlsExistingSecret": "kafka-ca"},
        "redis": {"existingSecret": "redis-worker"},
        "secrets": {
            "topics": {"kafka": "kafka-topics", "kafkaTls": "kafka-topics-ca"},
            "api": {"kafka": "kafka-api", "redis": "redis-api"},
        },
        **API,
    },
    "digest": {"image": {"digest": "sha256:" + "0" * 64}, "imagePullSecrets": ["registry"]},
    "config": {"config": {"base_currency": "USD", "batch_max_records": 500, "refuse_card_numbers": False}},
}


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Values over values, as Helm merges them."""
    both = dict(base)
    for key, value in over.items():
        both[key] = merged(both[key], value) if isinstance(value, dict) and isinstance(both.get(key), dict) else value
    return both


EVERYTHING: dict[str, Any] = {}
for _name in ("keda", "training", "api-scaled", "service-monitor", "prometheus-rule", "dashboards", "kafka-sasl", "secret-urls", "digest"):
    EVERYTHING = merged(EVERYTHING, FEATURES[_name])


def command(values_file: str, version: str = KUBERNETES[-1]) -> list[str]:
    """`helm template …`, values read from a file."""
    return [tool("helm"), "template", "fraud", str(CHART), "--namespace", "payments", "--kube-version", version, "--values", values_file]


def write(values: dict[str, Any], path: Any) -> str:
    """A values file with the servers' addresses and these values."""
    path.write_text(yaml.safe_dump(merged(SERVERS, values)))
    return str(path)


def rendered(values: dict[str, Any], folder: Any) -> str:
    """What Helm makes of these values."""
    return passes(command(write(values, folder / "values.yaml")))


def refusal(values: dict[str, Any], folder: Any) -> str:
    """What Helm says of values that are wrong."""
    ended = run(command(write(values, folder / "values.yaml")))
    assert ended.returncode != 0, "the values were accepted"
    return ended.stderr


def objects(text: str) -> dict[str, Any]:
    """The objects by kind and name."""
    return {f"{o['kind']} {o['metadata']['name']}": o for o in yaml.safe_load_all(text) if o}
