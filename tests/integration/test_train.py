"""Training from a file to the registry of a real MLflow, and what a worker then finds there over plain HTTP."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pandas as pd
import pytest

from stream_app.adapters.onnx_model import OnnxModel
from stream_app.alert import ModelReference
from stream_app.decision import policy_of
from stream_app.model_metadata import read_metadata
from training.export import onnx_session
from training.fit import Recipe
from training.pipeline import Options, train
from training.simulate import Simulation, simulate, write
from training.split import Split
from training.train import main

if TYPE_CHECKING:
    from pathlib import Path

NAME = "test-train"
SMALL = ["--trees", "5", "--max-depth", "6"]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A month and a half of a small bank."""
    path = tmp_path_factory.mktemp("data") / "transactions.parquet"
    write(simulate(Simulation(customers=300, terminals=200, days=45, compromised_terminals=0.5, compromised_customers=1)), path)
    return path


@pytest.mark.servers
def test_a_trained_model_can_be_fetched_by_its_alias(
    stack: Any, history: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Alias → version → address → file, its SHA-256 as tagged, its metadata readable; twice: the alias moves to the newer."""
    monkeypatch.setenv("FRAUDSTREAM_MLFLOW_TRACKING_URI", stack.mlflow)
    for expected in (1, 2):
        assert main(["--data", str(history), "--model-name", NAME, *SMALL]) == 0
        version = _get(stack.mlflow, "registered-models/alias", name=NAME, alias="champion")["model_version"]
        assert version["version"] == str(expected)
    told = capfd.readouterr()
    assert "fraudstream worker" in told.out
    assert "average precision" in told.out
    assert "mlflow" not in told.err.lower().replace("register in mlflow", "")
    where = _get(stack.mlflow, "model-versions/get-download-uri", name=NAME, version="2")["artifact_uri"]
    path = where.removeprefix("mlflow-artifacts:/").strip("/")
    file = httpx.get(f"{stack.mlflow}/api/2.0/mlflow-artifacts/artifacts/{path}/model.onnx").raise_for_status().content
    tags = {tag["key"]: tag["value"] for tag in version["tags"]}
    metadata = read_metadata(onnx_session(file).get_modelmeta().custom_metadata_map)
    assert tags == {"sha256": hashlib.sha256(file).hexdigest(), "features_hash": metadata.features_hash()}
    run = _get(stack.mlflow, "runs/get", run_id=version["run_id"])["run"]["data"]
    assert {m["key"]: m["value"] for m in run["metrics"]}["threshold"] == metadata.threshold
    assert {t["key"]: t["value"] for t in run["tags"]}["data_sha256"] == hashlib.sha256(history.read_bytes()).hexdigest()
    plots = _get(stack.mlflow, "artifacts/list", run_id=version["run_id"], path="plots")["files"]
    assert sorted(p["path"] for p in plots) == [f"plots/{name}.png" for name in ("feature_importance", "precision_recall", "reliability")]


def test_without_mlflow_training_stops_at_once(history: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """One line with the remedy; the exit code of a server that is not there."""
    monkeypatch.setenv("FRAUDSTREAM_MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert main(["--data", str(history)]) == 69
    told = capfd.readouterr().err
    assert told.count("\n") == 1
    assert "fraudstream local up" in told


def test_a_model_can_be_trained_without_a_registry(history: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The file is written, nothing is registered; the split and the decisions are told."""
    out = tmp_path / "model.onnx"
    assert main(["--data", str(history), "--no-register", "--out", str(out), *SMALL]) == 0
    metadata = read_metadata(onnx_session(out.read_bytes()).get_modelmeta().custom_metadata_map)
    assert metadata.threshold > 0
    assert metadata.baseline is not None
    assert len(metadata.baseline.shares) == len(metadata.features) + 1
    told = capfd.readouterr().out
    assert "Nothing was registered" in told
    assert "alert from" in told


def test_training_reads_the_rates_file(
    history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A third in USD, a third in JPY, of which one has a rate: the other third is told of."""
    mixed = tmp_path / "mixed.parquet"
    frame = pd.read_parquet(history)
    frame.assign(currency=np.array(["EUR", "USD", "JPY"])[np.arange(len(frame)) % 3]).to_parquet(mixed)
    rates = tmp_path / "rates.json"
    rates.write_text(json.dumps({"version": "1", "base": "EUR", "rates": {"USD": 0.9}}))
    monkeypatch.setenv("FRAUDSTREAM_RATES_FILE", str(rates))
    assert main(["--data", str(mixed), "--no-register", *SMALL]) == 0
    assert f"{len(frame) // 3:,} transactions have no rate into EUR" in capfd.readouterr().out
    monkeypatch.setenv("FRAUDSTREAM_BASE_CURRENCY", "USD")
    assert main(["--data", str(mixed), "--no-register", *SMALL]) == 78
    assert "FRAUDSTREAM_RATES_FILE has base EUR" in capfd.readouterr().err


def test_the_worker_decides_as_training_counted(history: Path, tmp_path: Path) -> None:
    """The file that training wrote, loaded by the worker's runtime, in the worker's small batches: the same payments are alerted."""
    out = tmp_path / "model.onnx"
    options = Options(data=history, split=Split(), recipe=Recipe(parameters={"n_estimators": 5, "max_depth": 6}), out=out)
    trained = train(options)
    model = OnnxModel(out.read_bytes(), ModelReference(name="m", version="1"))
    policy = policy_of(model.metadata, None)
    rows = trained.history.parts.test.rows
    scores = np.concatenate([model.score(trained.history.vectors[rows[i : i + 7]]).probability for i in range(0, len(rows), 7)])
    alerted = np.array([policy.action(float(score)) is not None for score in scores])
    np.testing.assert_array_equal(alerted, trained.fitted.test_scores.scores >= trained.fitted.threshold)
    assert alerted.sum() == round(trained.fitted.test.alerts_a_day * options.split.test_days) > 0


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--data", "missing.parquet"], 65, "missing.parquet is not there"),
        (["--data", "{history}", "--test-days", "40"], 65, "The history is too short"),
        (["--data", "{history}", "--trees", "0"], 2, "--trees"),
    ],
)
def test_what_cannot_be_trained_is_told_in_one_line(
    history: Path, arguments: list[str], code: int, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without a traceback."""
    assert main([a.format(history=history) for a in arguments] + ["--no-register"]) == code
    told = capfd.readouterr().err
    assert text in told
    assert "Traceback" not in told


def _get(mlflow: str, method: str, /, **params: str) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(f"{mlflow}/api/2.0/mlflow/{method}", params=params).raise_for_status().json()
    return answer
