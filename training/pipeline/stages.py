"""The stages of `dvc.yaml`: simulate → prepare → train → evaluate. The same code as `training.train`, cut where files can be kept.

simulate   params → data/raw/simulated.parquet
prepare    the raw file → data/processed/{train,validation,test}.parquet, origin.json
train      train and validation → models/model.onnx, models/fitted.joblib; the test is not read
evaluate   validation and test → metrics/evaluation.json, plots/, models/model.card.md
    register   what was evaluated → MLflow; not in `dvc.yaml`: `make register-model`
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import onnx
import typer

from stream_app.errors import DataError, FraudstreamError
from stream_app.settings import load_settings
from training.data.simulate import Simulation, simulate, write
from training.fitting.history import computed, read
from training.fitting.measure import decided
from training.fitting.registration import Registration
from training.pipeline import portions
from training.pipeline.parameters import read_parameters
from training.pipeline.run import fitted_on, recorded
from training.registry.catalogue import check_reachable, user
from training.registry.register import register

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.pipeline.parameters import Parameters
    from training.registry.record import RunRecord

SIMULATED = Path("data/raw/simulated.parquet")
PROCESSED, MODELS, METRICS, PLOTS = Path("data/processed"), Path("models"), Path("metrics"), Path("plots")
MODEL, FITTED = MODELS / "model.onnx", MODELS / "fitted.joblib"


def _simulate(parameters: Parameters) -> None:
    asked = parameters.simulate
    simulation = Simulation(
        customers=asked.customers,
        terminals=asked.terminals,
        days=asked.days,
        seed=asked.seed,
        compromised_terminals=asked.terminals / 5_000,
        compromised_customers=asked.customers * 3 / 5_000,
    )
    write(simulate(simulation), SIMULATED)


def _prepare(parameters: Parameters) -> None:
    options = parameters.options()
    frame, windows = read(options)
    portions.write(PROCESSED, computed(options, frame, windows))


def _train(parameters: Parameters) -> None:
    options = parameters.options()
    history = portions.read(PROCESSED, options.features, ("train", "validation"))
    model, exported, _ = fitted_on(options, history)
    MODELS.mkdir(exist_ok=True)
    MODEL.write_bytes(exported.SerializeToString())
    joblib.dump(model, FITTED)


def _evaluate(parameters: Parameters) -> None:
    record, _ = _record(parameters)
    for folder in (METRICS, PLOTS):
        folder.mkdir(exist_ok=True)
    (METRICS / "evaluation.json").write_text(json.dumps(record.metrics(), indent=1) + "\n", encoding="utf-8")
    MODEL.with_suffix(".card.md").write_text(record.card(), encoding="utf-8")
    record.plots(PLOTS)


def _register(parameters: Parameters) -> None:
    settings = load_settings()
    where = Registration(
        settings.mlflow_tracking_uri,
        settings.model_name,
        serving=settings.model_alias,
        who=user(),
        needs_approval=settings.promotion_needs_approval,
    )
    check_reachable(where.tracking_uri)
    record, exported = _record(parameters)
    with tempfile.TemporaryDirectory() as folder:
        done = register(exported, record.report(Path(folder)), where)
    typer.echo(done.told())


def _record(parameters: Parameters) -> tuple[RunRecord, Any]:
    """What is to be said of the trained model, and its ONNX file."""
    options = parameters.options()
    history = portions.read(PROCESSED, options.features)
    try:
        model, exported = joblib.load(FITTED), onnx.load(MODEL)
    except OSError as error:
        raise DataError(f"The trained model cannot be read: {error}. Run `make repro`, which trains it.") from None
    validation = history.parts.validation
    decisions = decided(exported.SerializeToString(), history.vectors, history.truth, validation, options.target)
    return recorded(options, history, model, exported, decisions), exported


STAGES: dict[str, Callable[[Parameters], None]] = {
    "simulate": _simulate,
    "prepare": _prepare,
    "train": _train,
    "evaluate": _evaluate,
    "register": _register,
}


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def stage_command(stage: str) -> None:
    """Run one stage, at the root of the project."""
    if stage not in STAGES:
        raise typer.BadParameter(f"{stage!r} is no stage. Choose one of {', '.join(STAGES)}.")
    try:
        STAGES[stage](read_parameters(Path("params.yaml")))
    except FraudstreamError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(getattr(error, "exit_code", 1)) from None


if __name__ == "__main__":
    app()
