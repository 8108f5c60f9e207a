"""Training from a file to the registry of a real MLflow, and what a worker then finds there over plain HTTP."""

from __future__ import annotations

import hashlib
import json
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pandas as pd
import pytest
from onnx.parser import parse_model
from sklearn.ensemble import RandomForestClassifier

from stream_app.adapters.models.onnx_model import OnnxModel
from stream_app.errors import ModelError
from stream_app.features.model_metadata import read_metadata
from stream_app.messages.alert import ModelReference
from stream_app.scoring.decision import policy_of
from tests.conftest import ROOT
from tests.unit.scoring.test_scorer import Till, alerts, payment
from training.data.simulate import Simulation, simulate, write
from training.data.split import Split
from training.fitting.export import onnx_session
from training.fitting.fit import Recipe
from training.fitting.options import Options
from training.pipeline.run import train
from training.registry.catalogue import Catalogue
from training.registry.held_out import unpacked
from training.registry.promote import promote_command, rollback_command
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
def test_versions_from_their_training_to_the_rollback(
    stack: Any, history: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The first is served, the next is the challenger; gates let one through and stop another, which is forced; two rollbacks.

    trained 1 → champion; trained 2, an own estimator → challenger, promoted; trained 3, a stump of LightGBM → refused, forced; back to 2, back to 1
    """
    monkeypatch.setenv("FRAUDSTREAM_MLFLOW_TRACKING_URI", stack.mlflow)
    monkeypatch.setenv("FRAUDSTREAM_MODEL_NAME", NAME)
    assert main(["--data", str(history), *SMALL]) == 0
    assert _aliases(stack.mlflow) == {"champion": "1"}
    told = capfd.readouterr()
    assert "fraudstream worker" in told.out
    assert "mlflow" not in told.err.lower().replace("register in mlflow", "")
    _check_run(stack.mlflow, history)

    monkeypatch.setitem(sys.modules, "ours", ModuleType("ours"))
    sys.modules["ours"].make = _own_forest  # type: ignore[attr-defined]
    assert main(["--data", str(history), "--estimator", "ours:make"]) == 0
    assert _aliases(stack.mlflow) == {"champion": "1", "challenger": "2"}
    assert "fraudstream promote --alias challenger" in capfd.readouterr().out
    promote_command(dry_run=True)
    assert _aliases(stack.mlflow) == {"champion": "1", "challenger": "2"}
    promote_command(alias="Staging", who="ada")
    assert _aliases(stack.mlflow) == {"champion": "2"}
    told = capfd.readouterr()
    assert "Staging of older registries is the alias challenger" in told.out
    assert "alerts a day" in told.out

    assert main(["--data", str(history), "--model", "lightgbm", "--trees", "1", "--max-depth", "1"]) == 0
    with pytest.raises(ModelError, match=r"Version 3 of .* was not promoted; champion stays where it is\. .*average precision: "):
        promote_command()
    assert _aliases(stack.mlflow) == {"champion": "2", "challenger": "3"}
    promote_command("3", force=True, why="an attack is on", who="ada")
    assert _aliases(stack.mlflow) == {"champion": "3"}
    tags = _tags(stack.mlflow, "3")
    assert (tags["promoted_by"], tags["promoted_over"]) == ("ada", "2")
    assert tags["promoted_why"].startswith("forced past ")
    assert tags["promoted_why"].endswith(": an attack is on")
    for left in ("2", "1"):
        rollback_command(who="bob", why="too many alerts")
        assert _aliases(stack.mlflow) == {"champion": left}
    assert _tags(stack.mlflow, "3")["rolled_back_why"] == "too many alerts"
    with pytest.raises(ModelError, match="is the first champion"):
        rollback_command()


def _own_forest() -> RandomForestClassifier:
    """As the first version's, with another seed."""
    return RandomForestClassifier(n_estimators=5, max_depth=6, min_samples_leaf=5, max_features="sqrt", random_state=1)


def _check_run(mlflow: str, history: Path) -> None:
    """The version's file as a worker fetches it, its tags, and everything that its run holds."""
    version = _get(mlflow, "registered-models/alias", name=NAME, alias="champion")["model_version"]
    where = _get(mlflow, "model-versions/get-download-uri", name=NAME, version="1")["artifact_uri"]
    path = where.removeprefix("mlflow-artifacts:/").strip("/")
    file = httpx.get(f"{mlflow}/api/2.0/mlflow-artifacts/artifacts/{path}/model.onnx").raise_for_status().content
    metadata = read_metadata(onnx_session(file).get_modelmeta().custom_metadata_map)
    tags = _tags(mlflow, "1")
    assert (tags["sha256"], tags["features_hash"]) == (hashlib.sha256(file).hexdigest(), metadata.features_hash())
    assert (tags["promoted_over"], tags["promoted_why"]) == ("", "the first version")
    run = _get(mlflow, "runs/get", run_id=version["run_id"])["run"]["data"]
    assert {m["key"]: m["value"] for m in run["metrics"]}["threshold"] == metadata.threshold
    assert {t["key"]: t["value"] for t in run["tags"]}["data_sha256"] == hashlib.sha256(history.read_bytes()).hexdigest()
    plots = _get(mlflow, "artifacts/list", run_id=version["run_id"], path="plots")["files"]
    assert sorted(p["path"] for p in plots) == [
        f"plots/{name}.png" for name in ("feature_importance", "precision_recall", "reliability", "threshold_money")
    ]
    catalogue = Catalogue(mlflow, NAME)
    card = catalogue.artifact(catalogue.version("1"), "model_card.md").decode()
    assert "trained and measured on are simulated" in card
    assert ".912, average precision .080 and card precision@100 .227" in card
    assert len(unpacked(catalogue.artifact(catalogue.version("1"), "held_out.npz")).vectors) > 100


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
    assert out.with_suffix(".card.md").read_text().startswith("# Model card: not registered")
    told = capfd.readouterr().out
    assert "Nothing was registered" in told
    assert "alert from" in told


@pytest.mark.parametrize(("factory", "sampled"), [("pipeline", False), ("network", True)])
def test_a_pipeline_of_ones_own_decides_in_a_worker(
    factory: str, history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, sampled: bool
) -> None:
    """The example's, trained, loaded as a worker loads it; its alert says how its reasons were made, and so does its card."""
    monkeypatch.setattr(sys, "path", [str(ROOT / "examples"), *sys.path])
    out = tmp_path / "own.onnx"
    asked = ["--estimator", f"own_estimator:{factory}", "--profile", "handbook", "--no-register", "--out", str(out)]
    assert main(["--data", str(history), *asked]) == 0
    model = OnnxModel(out.read_bytes(), ModelReference("own", "1"))
    [alert] = alerts(Till(model=model, threshold=0.0).take(payment("a", 400)))
    assert {reason.sampled for reason in alert.reasons} == {sampled}
    assert ("**Sampled.**" in out.with_suffix(".card.md").read_text()) == sampled


def test_a_ready_file_is_measured_and_told_of_as_one(history: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The same gates on the same payments; on which days it was fitted nobody knows, which is said."""
    ready, out = tmp_path / "ready.onnx", tmp_path / "out.onnx"
    graph = "model (float[N, 1] x) => (float[N, 1] p) <float w = {100}> { z = Div (x, w)\n p = Tanh (z) }"
    ready.write_bytes(parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {graph}').SerializeToString())
    asked = ["--data", str(history), "--no-register", "--out", str(out)]
    (tmp_path / "amount.yml").write_text("features: [amount]")
    assert main([*asked, "--onnx", str(ready), "--features", str(tmp_path / "amount.yml")]) == 0
    told = capfd.readouterr().out
    assert "on which days it was fitted is not known here" in told
    assert main([*asked, "--onnx", str(ready)]) != 0
    assert "the list has 63 features" in capfd.readouterr().err
    model = OnnxModel(out.read_bytes(), ModelReference("ready", "1"))
    assert alerts(Till(model=model, threshold=0.0).take(payment("a", 400)))[0].reasons[0].code == "AMOUNT"


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
    np.testing.assert_array_equal(alerted, trained.fitted.scores[1].scores >= trained.fitted.threshold)
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


def _aliases(mlflow: str) -> dict[str, str]:
    return {one["alias"]: one["version"] for one in _get(mlflow, "registered-models/get", name=NAME)["registered_model"]["aliases"]}


def _tags(mlflow: str, version: str) -> dict[str, str]:
    found = _get(mlflow, "model-versions/get", name=NAME, version=version)["model_version"]["tags"]
    return {tag["key"]: tag.get("value", "") for tag in found}
