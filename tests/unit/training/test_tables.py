"""`fraudstream evaluate` on a small simulated history over the book's days: its file, its printed table, its refusals."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from stream_app.cli import cli
from training.book import tables
from training.book.protocol import PROTOCOLS, Fold
from training.data.backfill import backfill
from training.data.dataset import read_transactions
from training.data.simulate import Simulation, simulate, write

if TYPE_CHECKING:
    from pathlib import Path

    from training.fitting.team import TeamFigures

FIGURES = ("auc", "average_precision", "card_precision_at_100")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven weeks, with frauds in each."""
    path = tmp_path_factory.mktemp("tables") / "transactions.parquet"
    bank = Simulation(customers=200, terminals=150, days=50, start="2018-07-01", compromised_terminals=0.5, compromised_customers=1)
    write(simulate(bank), path)
    return path


@pytest.fixture(scope="module")
def report(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """What the command writes, and what it prints."""
    out = tmp_path_factory.mktemp("out") / "new" / "ch3.json"
    models = ["--model", "logistic_regression", "--model", "extra_trees", "--profile", "handbook"]
    done = CliRunner().invoke(cli, ["evaluate", "--data", str(data), "--json", str(out), "--seeds", "2", *models])
    assert done.exit_code == 0, done.output
    plots = {path.name for path in out.parent.glob("*.png") if path.stat().st_size > 1000}
    assert plots == {f"ch3.{name}.png" for name in (*FIGURES, "precision_recall")}
    return json.loads(out.read_text(encoding="utf-8")), done.output


def test_each_model_has_a_row_by_either_runtime_with_the_same_figures(report: tuple[dict[str, Any], str]) -> None:
    """To 1e-6."""
    rows = report[0]["rows"]
    assert [(row["model"], row["runtime"]) for row in rows] == [
        (model, runtime) for model in ("logistic_regression", "extra_trees") for runtime in ("sklearn", "onnx")
    ]
    for by_sklearn, by_onnx in zip(rows[::2], rows[1::2], strict=True):
        assert {row["profile"] for row in (by_sklearn, by_onnx)} == {"handbook"}
        assert [by_onnx[name] for name in FIGURES] == pytest.approx([by_sklearn[name] for name in FIGURES], abs=1e-6)
        assert 0.5 < by_onnx["auc"] < 1


def test_the_published_figures_stand_beside_ours_where_there_are_any(report: tuple[dict[str, Any], str]) -> None:
    """The book has a logistic regression in chapter 3, and no extra trees."""
    logistic, extra = report[0]["rows"][0], report[0]["rows"][2]
    assert [logistic[f"published_{name}"] for name in FIGURES] == [0.871, 0.606, 0.291]
    assert [extra[f"published_{name}"] for name in FIGURES] == [None] * 3
    assert "(0.606)" in report[1]


def test_the_spread_is_over_the_seeds_of_what_draws_lots(report: tuple[dict[str, Any], str]) -> None:
    """Two seeds of extra trees differ, and their mean lies between; a logistic regression has one. The book's row is the book's seed."""
    logistic, extra = report[0]["rows"][0], report[0]["rows"][2]
    assert (logistic["seeds"], extra["seeds"]) == (1, 2)
    spread = extra["spread"]["average_precision"]
    assert spread["least"] < extra["mean_over_seeds"]["average_precision"] < spread["most"]
    assert extra["average_precision"] in spread.values()


def test_a_history_other_than_the_handbooks_is_said_to_be_one(report: tuple[dict[str, Any], str]) -> None:
    """The counts of the split stand beside the published; nobody takes the figures for the book's."""
    train = report[0]["split"][0]["train"]
    assert train["published"] == {"transactions": 67_240, "frauds": 598}
    assert 0 < train["frauds"] < train["transactions"] < 67_240
    assert "not the Handbook's own data" in report[1]


def test_a_fold_whose_training_days_another_fold_tests_has_the_threshold_that_it_has_alone(data: Path) -> None:
    """Chapter 5's folds are a week apart: two weeks before the first stands the third. What was scored there is not fitted anew.

    days    07-01 .. 07-15 .. 07-29 .. 08-12 .. 08-18
    earlier          train    test
    latest                    train    test
    """
    frame = read_transactions(data)
    features = backfill(frame, tables.PROFILES["handbook"])
    latest = Fold(int(datetime(2018, 7, 29, tzinfo=UTC).timestamp()) * 1000)
    book = PROTOCOLS["handbook-ch5"].only(["extra_trees"])

    def team(*folds: Fold) -> TeamFigures:
        table = tables.run(frame, features, replace(book, folds=folds), ["handbook"], 1, lambda _: None)
        return table.rows[0].team

    alone = [asdict(team(fold)) for fold in (latest, latest.earlier)]
    assert asdict(team(latest, latest.earlier)) == {name: pytest.approx(fmean(one[name] for one in alone)) for name in alone[0]}
    assert alone[0] != alone[1]


@pytest.mark.parametrize("option", ["--protocol", "--model", "--profile"])
def test_a_wrong_name_is_refused_with_those_that_there_are(data: Path, option: str) -> None:
    """Before anything is read."""
    done = CliRunner().invoke(cli, ["evaluate", "--data", str(data), option, "handbok"])
    assert done.exit_code == 2
    assert "Choose one of" in done.output


def test_a_search_replaces_the_models_chosen_before(data: Path, tmp_path: Path) -> None:
    """On the validation folds, which this history does not hold: that is told, and nothing is written."""
    out = tmp_path / "ch3.json"
    options = ["--search", "--profile", "velocity", "--model", "logistic_regression"]
    done = CliRunner().invoke(cli, ["evaluate", "--data", str(data), "--json", str(out), *options])
    assert "train window 2018-07-11 to 2018-07-17" not in done.output
    assert "2018-06-20" in str(done.exception)
    assert not out.exists()
