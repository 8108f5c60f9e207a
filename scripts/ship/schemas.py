"""Kubernetes' schemas as kubeconform reads them: `schemas.py TARGET CRD-FILE…`.

The built-in kinds come from the package kubernetes-validate, which names its definitions by an absolute path; kinds of the KEDA and
Prometheus operators come from their own custom resource definitions. Unknown fields are refused in both.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

VERSIONS = ("1.27.0", "1.34.0")
"""The oldest that the chart says it works with, and a current one."""


def main(target: Path, definitions: list[Path]) -> None:
    """Write `TARGET/vVERSION/KIND-GROUP-VERSION.json` and `TARGET/custom/…` likewise."""
    packaged = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
    for version in VERSIONS:
        folder = target / f"v{version}"
        folder.mkdir(parents=True, exist_ok=True)
        for schema in (packaged / f"v{version}-local-strict").glob("*.json"):
            content = json.loads(schema.read_text().replace('"/api/_definitions.json#', '"_definitions.json#'))
            content.pop("$id", None)
            (folder / schema.name).write_text(json.dumps(content))
    custom = target / "custom"
    custom.mkdir(exist_ok=True)
    for path in definitions:
        spec = yaml.safe_load(path.read_text())["spec"]
        for served in spec["versions"]:
            name = f"{spec['names']['kind']}-{spec['group'].split('.')[0]}-{served['name']}".lower()
            schema = _closed(served["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            (custom / f"{name}.json").write_text(json.dumps(schema))


def _closed(schema: Any) -> Any:
    """The same, where an object takes no other fields than those it names."""
    if isinstance(schema, list):
        return [_closed(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema and schema.get("type") == "object":
        closed["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    return closed


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
