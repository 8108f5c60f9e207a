"""Versions of a trained model in the real MLflow, made in milliseconds: its file with other metadata, registered over REST."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import onnx

from stream_app.adapters.models.registry import ModelRegistry
from stream_app.features.model_metadata import METADATA_KEY, ModelMetadata, read_metadata


@dataclass(frozen=True)
class Shelf:
    """The versions of one registered model."""

    mlflow: str
    name: str

    def make(self) -> None:
        """Register the model, without a version."""
        self._post("registered-models/create", name=self.name)

    def content(self, alias: str = "champion") -> bytes:
        """The file behind an alias."""
        return ModelRegistry(self.mlflow, Path()).fetch(self.name, alias).content

    def add(self, content: bytes, **tags: str) -> str:
        """Register a file; its version. Tags are as training sets them, where none are given."""
        run = self._post("runs/create", experiment_id="0")["run"]["info"]
        source = f"{run['artifact_uri']}/model"
        path = source.removeprefix("mlflow-artifacts:").lstrip("/")
        httpx.put(f"{self.mlflow}/api/2.0/mlflow-artifacts/artifacts/{path}/model.onnx", content=content).raise_for_status()
        made = self._post("model-versions/create", name=self.name, source=source, run_id=run["run_id"])
        version = str(made["model_version"]["version"])
        right = {"sha256": hashlib.sha256(content).hexdigest(), "features_hash": metadata_of(content).features_hash()}
        for key, value in (right | tags).items():
            self._post("model-versions/set-tag", name=self.name, version=version, key=key, value=value)
        return version

    def point(self, alias: str, version: str) -> None:
        """Move an alias."""
        self._post("registered-models/alias", name=self.name, alias=alias, version=version)

    def remove(self, alias: str) -> None:
        """Take an alias away."""
        answer = httpx.request("DELETE", f"{self.mlflow}/api/2.0/mlflow/registered-models/alias", json={"name": self.name, "alias": alias})
        answer.raise_for_status()

    def _post(self, path: str, **body: str) -> dict[str, Any]:
        answer = httpx.post(f"{self.mlflow}/api/2.0/mlflow/{path}", json=body).raise_for_status()
        return dict(answer.json())


def metadata_of(content: bytes) -> ModelMetadata:
    """What a model says of itself."""
    return read_metadata({p.key: p.value for p in onnx.load_model_from_string(content).metadata_props})


def variant(content: bytes, **changes: Any) -> bytes:
    """The same model with other metadata."""
    model = onnx.load_model_from_string(content)
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            entry.value = msgspec.json.encode(msgspec.structs.replace(metadata_of(content), **changes)).decode()
    return bytes(model.SerializeToString())


def without_parity(content: bytes) -> bytes:
    """A model that does not reproduce its own parity vectors."""
    parity = metadata_of(content).parity
    return variant(content, parity=msgspec.structs.replace(parity, scores=tuple(1 - s for s in parity.scores)))
