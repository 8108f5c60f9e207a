"""From a history to a registered model.

history → features by the serving code → split by time → fit → calibrate → ONNX → parity gate → threshold from validation → test → MLflow, alias.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.fitting.baseline import baseline_of
from training.fitting.bench import Bench
from training.fitting.calibrate import Calibrated, calibrate
from training.fitting.export import OperatingPoint, check_parity, check_whole_way, describe, metadata_for, reference_of, to_onnx_model
from training.fitting.fit import fit, unfitted
from training.fitting.guards import warnings_of
from training.fitting.history import History, computed, read
from training.fitting.measure import ChosenOnValidation, Fitted, decided, measured
from training.fitting.options import Options
from training.fitting.own_estimator import try_out
from training.fitting.ready_model import read_ready_model
from training.fitting.search import SPACE, search
from training.registry.catalogue import check_reachable
from training.registry.record import RunRecord
from training.registry.register import Registered, register

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from training.data.label_join import LabelJoin

    type Stage = Callable[[str], AbstractContextManager[None]]


FITTED_ELSEWHERE = "The model came as a file: on which days it was fitted is not known here. If days of validation or test are among them, all its figures are too good."
"""Told of what `--onnx` names."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of a training run.

    Attributes:
        history: what it was trained on.
        fitted: the model and its metrics.
        exported: the ONNX model.
        parity: largest difference between scikit-learn and ONNX Runtime.
        registered: where it is; None if it was not asked for.
        seconds: how long each stage took.
    """

    history: History
    fitted: Fitted
    exported: Any
    parity: float
    registered: Registered | None
    seconds: dict[str, float]


def train(
    options: Options,
    stage: Stage | None = None,
    told: Callable[[History, Fitted], None] = lambda *_: None,
    labelled: Callable[[LabelJoin], None] = lambda _: None,
) -> Trained:
    """Train, evaluate, export and register one model.

    1. is MLflow there? Before minutes are spent;
    2. read and check the history, compute its features, split it by time;
    3. choose the recipe where that is asked for; fit on the train window, calibrate on validation;
    4. export to ONNX; with the scores of ONNX Runtime, which are the worker's, choose threshold and bands on validation;
    5. compare with scikit-learn on the whole test, and measure there;
    6. tell what was decided, then register; the alias moves last.

    Args:
        options: what and how.
        stage: a context for each stage, for progress.
        told: is given the decisions and their forecast before anything is registered.
        labelled: is given what became of labels in a file of their own.

    Raises:
        SettingsError: there is no such list of features.
        DataError: the history cannot be trained on.
        ModelError: the gate is not passed, or MLflow refuses.
        Unavailable: MLflow does not answer.
    """
    seconds: dict[str, float] = {}
    timed, where, registered = _timed(stage, seconds), options.registration, None
    if where:
        check_reachable(where.tracking_uri)
    _look_at(options)
    with timed("Read the transactions"):
        frame, windows = read(options, labelled)
    with timed("Compute the features"):
        history = computed(options, frame, windows)
        del frame
    if options.search:
        with timed("Choose the model on validation folds"):
            options = chosen(options, history)
    if options.recipe.estimator:
        with timed("Try the estimator on a sample"):
            part = history.parts.train
            try_out(options.recipe.estimator, history.vectors[part.rows], part.is_fraud, check_whole_way)
    with timed("Fit the model, calibrate and export it"):
        model, exported, decisions = fitted_on(options, history)
    with timed("Compare with ONNX Runtime, evaluate"):
        record = recorded(options, history, model, exported, decisions)
    told(history, record.fitted)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_bytes(exported.SerializeToString())
        options.out.with_suffix(".card.md").write_text(record.card(), encoding="utf-8")
    if where:
        with timed("Register in MLflow"), tempfile.TemporaryDirectory() as folder:
            registered = register(exported, record.report(Path(folder)), where)
    return Trained(history, record.fitted, exported, record.parity, registered, seconds)


def _look_at(options: Options) -> None:
    """What is to be fitted, or comes as a file, before minutes are spent.

    Raises:
        SettingsError: it cannot be.
    """
    if options.recipe.ready:
        read_ready_model(options.recipe.ready, len(options.features))
    else:
        unfitted(options.recipe)


def chosen(options: Options, history: History) -> Options:
    """The same with the best recipe of the search."""
    recipes = [replace(recipe, seed=options.recipe.seed) for recipe in SPACE]
    return replace(options, recipe=search(Bench(history.vectors, history.truth), history.folds, recipes)[0].recipe)


def fitted_on(options: Options, history: History) -> tuple[Calibrated, Any, ChosenOnValidation]:
    """The model, its ONNX file with all metadata, and its decisions: nothing of the test is looked at."""
    train_part, validation = history.parts.train, history.parts.validation
    train_vectors = history.vectors[train_part.rows]
    uncalibrated = fit(train_vectors, train_part.is_fraud, options.recipe)
    model = calibrate(uncalibrated, history.vectors[validation.rows], validation.is_fraud)
    exported = to_onnx_model(model, len(history.features))
    found = decided(exported.SerializeToString(), history.vectors, history.truth, validation, options.target)
    told = OperatingPoint(
        threshold=found.threshold,
        bands=found.bands,
        trained_at_ms=time.time_ns() // 1_000_000,
        base_currency=options.money.currency,
        baseline=baseline_of(train_vectors, found.validation.scores),
        profile=options.profile,
        reference=reference_of(exported.SerializeToString(), train_vectors),
        needs=history.needs,
    )
    describe(exported, metadata_for(model, history.features, train_vectors, told))
    return model, exported, found


def recorded(options: Options, history: History, model: Calibrated, exported: Any, decisions: ChosenOnValidation) -> RunRecord:
    """The parity gate, then the test.

    Raises:
        ModelError: the gate is not passed.
    """
    test, content = history.parts.test, exported.SerializeToString()
    parity = check_parity(model, content, history.vectors[test.rows])
    fitted = measured(model, content, history.vectors, history.truth, test, decisions)
    warnings = warnings_of(decisions, history.vectors[history.parts.validation.rows], history.features)
    told = (*(FITTED_ELSEWHERE,) * bool(options.recipe.ready), *warnings)
    return RunRecord(options, history, replace(fitted, warnings=told), parity)


def _timed(stage: Stage | None, seconds: dict[str, float]) -> Stage:
    @contextmanager
    def timed(name: str) -> Iterator[None]:
        begun = time.monotonic()
        if stage is None:
            yield
        else:
            with stage(name):
                yield
        seconds[name] = time.monotonic() - begun

    return timed
