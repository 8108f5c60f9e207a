"""The README of a Helm chart, made from its Chart.yaml and the comments (`# -- …`) of its values: `chart_docs.py CHART > CHART/README.md`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

HEAD = """\
# {name}

{description}

The chart installs workers, the API, a training on a schedule and a job that makes missing topics. Kafka, Redis and MLflow are yours:
name them, and existing secrets for what has a password. Pods meet the Pod Security Standard `restricted`.

```sh
helm install fraudstream helm/fraudstream --namespace payments --create-namespace \\
  --set kafka.bootstrapServers=kafka-1:9092 --set redis.url=redis://redis:6379/0 --set mlflow.trackingUri=http://mlflow:5000
helm test fraudstream --namespace payments --logs
```

Workers are a Deployment without static membership: a worker that stops hands its partitions over at once, and takes none of its state
along, which is in Redis and in the topics. With static membership the group would wait for its session timeout first.

## Values

| value | default | meaning |
|---|---|---|"""


def described(text: str) -> Iterator[tuple[str, str]]:
    """Path and comment of each key, in the file's order; comments of several lines are one."""
    path: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        said, key = re.fullmatch(r" *# (-- )?(.*)", line), re.match(r"( *)([\w./-]+):", line)
        if said:
            comment = [said[2]] if said[1] else [*comment, said[2]] if comment else []
        elif key:
            path = [*path[: len(key[1]) // 2], key[2]]
            yield ".".join(path), " ".join(comment)
            comment = []


def main(chart: Path) -> None:
    """Print the README: a row for each value that is no group of others, or that is described as a whole."""
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    text = (chart / "values.yaml").read_text()
    values: dict[str, Any] = yaml.safe_load(text)
    print(HEAD.format(name=about["name"], description=about["description"]))
    shown: set[str] = set()
    for path, meaning in described(text):
        value: Any = values
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        within = any(path.startswith(f"{other}.") for other in shown)
        if within or (isinstance(value, dict) and value and not meaning and not path.endswith("resources")):
            continue
        shown.add(path)
        print(f"| `{path}` | `{json.dumps(value)}` | {meaning} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
