"""From a history to a registered model.

history → features by the serving code → split by time → fit → calibrate → ONNX → parity gate → threshold from validation → test → MLflow, alias.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream_app.features.definitions import features_hash
from stream_app.features.profiles import DEFAULT_PROFILE, features_of
from training.backfill import EUR, backfill
from training.baseline import baseline_of
from training.bench import Bench
from training.calibrate import calibrate
from training.card import card
from training.catalogue import check_reachable
from training.dataset import check_for_training, read_transactions
from training.evaluate import card_ranks, scored
from training.export import Decisions, check_parity, describe, metadata_for, to_onnx_model
from training.fit import Recipe, fit, importances_of, scores_of
from training.held_out import FILE, About, HeldOut
from training.measure import Fitted, Truth, Wish, measured
from training.plots import draw
from training.register import Registered, Registration, Report, code_revision, register
from training.search import SPACE, search
from training.split import Parts, Split, Windows, prequential, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from stream_app.features.compute import Vectors
    from stream_app.features.definitions import Feature
    from stream_app.money import Money

    type Stage = Callable[[str], AbstractContextManager[None]]

EXAMPLE_ROWS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to train on, and how.

    Attributes:
        data: file of transactions with labels; `mapping`: what its columns are, see `read_transactions`.
        split: the windows.
        recipe: the model to fit; with `search`, its seed.
        search: choose the recipe on so many validation folds, see `training.search`; 0: fit `recipe`.
        profile, attributes: the features to train on, see `profiles.features_of`.
        money: of the money features: the base currency and the rates into it.
        label_delay_days: when a fraud became known, where the file does not say.
        wish: what the threshold follows from.
        registration: where to register; None: nowhere.
        out: also write the ONNX file here.
    """

    data: Path
    split: Split
    recipe: Recipe
    search: int = 0
    profile: str = DEFAULT_PROFILE
    attributes: tuple[str, ...] = ()
    money: Money = EUR
    label_delay_days: float = 7.0
    mapping: Path | None = None
    wish: Wish = field(default_factory=Wish)
    registration: Registration | None = None
    out: Path | None = None

    @property
    def features(self) -> tuple[Feature, ...]:
        """The columns of the model.

        Raises:
            SettingsError: if profile and attributes make no list.
        """
        return features_of(self.profile, self.attributes)


@dataclass(frozen=True, slots=True)
class History:
    """What is trained on: the transactions, their features, the windows and what stands in each."""

    frame: pd.DataFrame
    vectors: Vectors
    truth: Truth
    scored: NDArray[np.bool_]
    windows: Windows
    parts: Parts
    unpriced: int


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


def train(options: Options, stage: Stage | None = None, decided: Callable[[History, Fitted], None] = lambda *_: None) -> Trained:
    """Train, evaluate, export and register one model.

    1. is MLflow there? Before minutes are spent;
    2. read and check the history, compute its features, split it by time;
    3. choose the recipe where that is asked for; fit on the train window, calibrate on validation;
    4. export to ONNX and compare with scikit-learn on the whole test;
    5. with the scores of ONNX Runtime, which are the worker's: choose threshold and bands on validation, measure on the test;
    6. tell what was decided, then register; the alias moves last.

    Args:
        options: what and how.
        stage: a context for each stage, for progress.
        decided: is given the decisions and their forecast before anything is registered.

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
    history = _history(options, timed)
    if options.search:
        with timed("Choose the model on validation folds"):
            options = _chosen(options, history)
    with timed("Fit the model"):
        train_part = history.parts.train
        uncalibrated = fit(history.vectors[train_part.rows], train_part.is_fraud, options.recipe)
    with timed("Calibrate it"):
        model = calibrate(uncalibrated, history.vectors[history.parts.validation.rows], history.parts.validation.is_fraud)
    with timed("Export to ONNX and check parity"):
        exported = to_onnx_model(model, len(options.features))
        parity = check_parity(model, exported.SerializeToString(), history.vectors[history.parts.test.rows])
    with timed("Choose the threshold, evaluate"):
        parts = history.parts.validation, history.parts.test
        fitted = measured(model, exported.SerializeToString(), history.vectors, history.truth, parts, options.wish)
    decided(history, fitted)
    _complete(options, history, fitted, exported)
    description = _described(options, history, fitted, parity)
    if options.out:
        options.out.with_suffix(".card.md").write_text(description, encoding="utf-8")
    if where:
        with timed("Register in MLflow"):
            registered = _registered(options, history, fitted, exported, _Told(where, parity, description))
    return Trained(history, fitted, exported, parity, registered, seconds)


@dataclass(frozen=True, slots=True)
class _Told:
    """What registration needs beside the model: where it goes, its parity, its card."""

    where: Registration
    parity: float
    card: str


def _history(options: Options, timed: Stage) -> History:
    with timed("Read the transactions"):
        frame = read_transactions(options.data, label_delay_days=options.label_delay_days, mapping=options.mapping)
        check_for_training(frame, str(options.data))
        times = frame["event_time"]
        windows = options.split.windows(int(times.iloc[0]), int(times.iloc[-1]))
    with timed("Compute the features"):
        features = backfill(frame, options.features, options.money)
    truth = Truth(times.to_numpy(), card_ranks(frame["card_id"]), features.amounts)
    return History(frame, features.vectors, truth, features.scored, windows, split(frame, windows, features.scored), features.unpriced)


def _chosen(options: Options, history: History) -> Options:
    """The same with the best recipe of the search."""
    folds = prequential(history.frame, history.windows, options.search, history.scored)
    tried = search(Bench(history.vectors, history.truth), folds, [replace(recipe, seed=options.recipe.seed) for recipe in SPACE])
    return replace(options, recipe=tried[0].recipe, search=len(folds))


def _complete(options: Options, history: History, fitted: Fitted, exported: Any) -> None:
    """Write the decisions into the ONNX model, and the model where it was asked for."""
    baseline = baseline_of(history.vectors[history.parts.train.rows], fitted.scores[0].scores)
    decisions = Decisions(fitted.threshold, fitted.bands, time.time_ns() // 1_000_000, options.money.currency, baseline, options.profile)
    describe(exported, metadata_for(fitted.model, options.features, history.vectors[history.parts.train.rows], decisions))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_bytes(exported.SerializeToString())


def _registered(options: Options, history: History, fitted: Fitted, exported: Any, told: _Told) -> Registered:
    ranked = importances_of(fitted.model.inner, len(options.features)).tolist()
    importances = zip((f.name for f in options.features), ranked, strict=True)
    example = history.vectors[history.parts.test.rows[:EXAMPLE_ROWS]]
    with tempfile.TemporaryDirectory() as folder:
        report = Report(
            parameters=_parameters(options, history.windows),
            metrics=fitted.figures() | {"parity": told.parity},
            tags=_tags(options, history.frame["event_time"]),
            plots=draw(Path(folder), fitted, options.wish.cost, list(importances)),
            files={"model_card.md": told.card.encode(), FILE: _held_out(options, history, fitted).packed()},
            example=example,
            example_scores=fitted.model.predict_proba(example).astype("float32"),
        )
        return register(exported, report, told.where)


def _held_out(options: Options, history: History, fitted: Fitted) -> HeldOut:
    rows, windows, labels = history.parts.test.rows, history.windows, history.frame["labelled_at"].dropna()
    about = About(
        features=tuple((f.name, f.hash) for f in options.features),
        trained_until_ms=windows.train.end_ms,
        begins_ms=windows.test.start_ms,
        ends_ms=windows.test.end_ms,
        gap_days=options.split.gap_days,
        newest_label_ms=int(labels.max()) if len(labels) else 0,
        read_at_ms=time.time_ns() // 1_000_000,
    )
    vectors, truth = history.vectors[rows], fitted.scores[1]
    theirs = scored(scores_of(fitted.model, vectors), truth.is_fraud, truth.times_ms, truth.cards, truth.amounts)
    return HeldOut(about, vectors, theirs)


def _described(options: Options, history: History, fitted: Fitted, parity: float) -> str:
    name = options.registration.name if options.registration else "not registered"
    facts = {k: str(v) for k, v in {**_parameters(options, history.windows), **_tags(options, history.frame["event_time"])}.items()}
    simulated = "fraud_scenario" in history.frame.columns
    return card(
        name, fitted, parity, {k: v for k, v in facts.items() if not k.startswith("features")}, options.features, simulated=simulated
    )


def _tags(options: Options, times: pd.Series[int]) -> dict[str, str]:
    with options.data.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "features_hash": features_hash(options.features),
        "data_file": options.data.name,
        "data_sha256": digest,
        "data_from": _moment(int(times.iloc[0])),
        "data_to": _moment(int(times.iloc[-1])),
        "code_revision": code_revision() or "unknown",
    }


def _parameters(options: Options, windows: Windows) -> dict[str, str | int | float]:
    return {
        **{name: str(value) for name, value in options.recipe.described().items()},
        "chosen_on": f"{options.search} validation folds, of {len(SPACE)} recipes" if options.search else "nothing: as asked for",
        **{f"{window.name}_window": window.dates() for window in (windows.train, windows.validation, windows.test)},
        "gap_days": options.split.gap_days,
        "warm_up_days": windows.warm_up_days,
        "base_currency": options.money.currency,
        "rates": options.money.rates_version or "none",
        "threshold_from": str(options.wish),
        "profile": options.profile,
        "features": ",".join(f.name for f in options.features),
    }


def _moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds")


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
