"""The DVC pipeline: its stages come to what one training run comes to, its parameters are typed, its graph names what is there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from sklearn.ensemble import RandomForestClassifier
from typer.testing import CliRunner

from stream_app.errors import DataError, SettingsError
from stream_app.features.definitions import Feature
from tests.conftest import ROOT
from training.fitting.fit import Recipe
from training.pipeline import portions
from training.pipeline import run as pipeline
from training.pipeline.parameters import read_parameters
from training.pipeline.run import train
from training.pipeline.stages import STAGES, app

PARAMETERS: dict[str, dict[str, Any]] = {
    "simulate": {"customers": 500, "terminals": 500, "days": 80, "seed": 4},
    "prepare": {"data": "data/raw/simulated.parquet", "train_days": 14, "profile": "handbook"},
    "train": {"parameters": {"n_estimators": 8, "max_depth": 6}, "alerts_per_day": 3},
}


def parameters(**changes: dict[str, Any]) -> Path:
    """A params.yaml of the current directory."""
    path = Path("params.yaml")
    path.write_text(yaml.safe_dump({part: given | changes.get(part, {}) for part, given in PARAMETERS.items()}), encoding="utf-8")
    return path


def run(stage: str) -> None:
    """As DVC does."""
    done = CliRunner().invoke(app, [stage])
    assert done.exit_code == 0, done.output


def test_the_stages_come_to_what_a_training_run_comes_to() -> None:
    """Every figure, over files between them; `training.train`'s pipeline on the same raw file is the short way."""
    path = parameters()
    for stage in ("simulate", "prepare", "train", "evaluate"):
        run(stage)
    staged = json.loads(Path("metrics/evaluation.json").read_text(encoding="utf-8"))
    trained = train(read_parameters(path).options())
    assert staged == pytest.approx(trained.fitted.figures() | {"parity": trained.parity}, abs=1e-12)
    assert Path("models/model.card.md").read_text(encoding="utf-8").startswith("# Model card: not registered")
    assert {plot.name for plot in Path("plots").iterdir()} == {
        "precision_recall.png",
        "reliability.png",
        "threshold_money.png",
        "feature_importance.png",
    }
    seen = portions.read(Path("data/processed"), read_parameters(path).options().features, ("train", "validation"))
    assert len(seen.parts.test.rows) == 0 < len(seen.parts.train.rows)
    with pytest.raises(DataError, match="other features than asked for"):
        portions.read(Path("data/processed"), [Feature("amount")])


def test_a_run_with_a_search_fits_what_was_best_on_the_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forest before trees of one split; with the run's own seed, and its record says on what it was chosen."""
    forest = Recipe(parameters={"n_estimators": 8, "max_depth": 8})
    monkeypatch.setattr(pipeline, "SPACE", (Recipe(model="extra_trees", parameters={"n_estimators": 5, "max_depth": 1}), forest))
    path = parameters(train={"seed": 7})
    run("simulate")
    options = replace(read_parameters(path).options(), search=2, out=Path("searched.onnx"))
    trained = train(options)
    assert isinstance(trained.fitted.model.inner, RandomForestClassifier)
    assert trained.fitted.model.inner.random_state == 7
    assert len(trained.history.folds) == 2
    assert "| chosen on | `2 validation folds" in Path("searched.card.md").read_text(encoding="utf-8")


def test_a_stage_without_what_comes_before_says_what_to_do() -> None:
    """In one line, with the exit code of wrong data."""
    parameters()
    done = CliRunner().invoke(app, ["train"])
    assert done.exit_code == 65
    assert "Run `make repro`" in done.output


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"prepare": {"train_day": 3}}, "prepare.train_day: Extra inputs are not permitted"),
        ({"prepare": {"train_days": "long"}}, "prepare.train_days: Input should be a valid number"),
        ({"simulate": {"days": 0}}, "simulate.days: Input should be greater than or equal to 1"),
    ],
)
def test_a_wrong_parameter_is_named(change: dict[str, dict[str, Any]], says: str) -> None:
    """With its path in the file and what is right."""
    with pytest.raises(SettingsError, match=says):
        read_parameters(parameters(**change))


def test_a_recipe_that_there_is_not_is_named_too() -> None:
    """By the code that fits."""
    with pytest.raises(SettingsError, match="'perceptron' is not known"):
        read_parameters(parameters(train={"model": "perceptron"})).options()


@pytest.fixture
def graph() -> dict[str, Any]:
    """The stages of dvc.yaml."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return found


def test_the_graph_has_the_stages_of_the_code(graph: dict[str, Any]) -> None:
    """But for registering, which is asked for by hand."""
    assert [stage["cmd"] for stage in graph.values()] == [f"python -m training.pipeline.stages {name}" for name in graph]
    assert [*graph, "register"] == list(STAGES)


def test_the_graph_depends_on_files_that_are_there_or_made(graph: dict[str, Any]) -> None:
    """Code that is renamed would be watched no more."""
    made = {out for stage in graph.values() for out in stage["outs"]}
    needed = {dep for stage in graph.values() for dep in stage["deps"]} - made - {"${prepare.data}"}
    assert [name for name in sorted(needed) if not (ROOT / name).exists()] == []


def test_the_projects_parameters_are_right() -> None:
    """And start from the simulated history that the graph makes."""
    found = read_parameters(ROOT / "params.yaml")
    assert str(found.prepare.data) == "data/raw/simulated.parquet"
    assert found.options().recipe.model == "random_forest"
