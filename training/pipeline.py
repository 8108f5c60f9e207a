"""From a history to a registered model.

history → features by the serving code → split by time → fit → ONNX → parity gate → threshold from validation → test → MLflow, alias.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream_app.features.definitions import features_hash
from stream_app.features.profiles import DEFAULT_PROFILE, features_of
from training.agreement import Agreement, agreement
from training.backfill import EUR, backfill
from training.baseline import baseline_of
from training.dataset import check_for_training, read_transactions
from training.evaluate import Metrics, Scored, bands_for, card_ranks, evaluate, scored, threshold_for
from training.export import Decisions, check_parity, describe, metadata_for, onnx_scores, onnx_session, to_onnx_model
from training.fit import Recipe, fit, importances_of
from training.plots import draw
from training.register import Registered, Registration, Report, check_reachable, code_revision, register
from training.split import Part, Parts, Split, Windows, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import pandas as pd

    from stream_app.features.compute import Floats, Vectors
    from stream_app.features.definitions import Feature
    from stream_app.model_metadata import Bands
    from stream_app.money import Money

    type Stage = Callable[[str], AbstractContextManager[None]]

EXAMPLE_ROWS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to train on, and how.

    Attributes:
        data: file of transactions with labels.
        split: the windows.
        recipe: the model to fit.
        profile, attributes: the features to train on, see `profiles.features_of`.
        money: of the money features: the base currency and the rates into it.
        label_delay_days: when a fraud became known, where the file does not say.
        alerts_per_day: budget that the threshold follows from; None: 1 % of the payments.
        registration: where to register; None: nowhere.
        out: also write the ONNX file here.
    """

    data: Path
    split: Split
    recipe: Recipe
    profile: str = DEFAULT_PROFILE
    attributes: tuple[str, ...] = ()
    money: Money = EUR
    label_delay_days: float = 7.0
    alerts_per_day: float | None = None
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
    amounts: Floats
    windows: Windows
    parts: Parts
    unpriced: int

    def scored(self, session: Any, part: Part) -> Scored:
        """A part, scored by ONNX Runtime as the worker scores."""
        times, cards = self.frame["event_time"].to_numpy(), card_ranks(self.frame["card_id"])
        scores = onnx_scores(session, self.vectors[part.rows])
        return scored(scores, part.is_fraud, times[part.rows], cards[part.rows], self.amounts[part.rows])


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model with its decisions, and how good it is on either window; the agreement of its reasons, where the test has an alert."""

    model: Any
    threshold: float
    bands: Bands
    validation: Metrics
    test: Metrics
    test_scores: Scored
    reasons: Agreement | None


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


def train(options: Options, stage: Stage | None = None) -> Trained:
    """Train, evaluate, export and register one model.

    1. is MLflow there? Before minutes are spent;
    2. read and check the history, compute its features, split it by time;
    3. fit on the train window;
    4. export to ONNX and compare with scikit-learn on the whole test;
    5. with the scores of ONNX Runtime, which are the worker's: choose threshold and bands on validation, measure on the test;
    6. register; the alias moves last.

    Args:
        options: what and how.
        stage: a context for each stage, for progress.

    Raises:
        SettingsError: there is no such list of features.
        DataError: the history cannot be trained on.
        ModelError: the gate is not passed, or MLflow refuses.
        Unavailable: MLflow does not answer.
    """
    seconds: dict[str, float] = {}
    timed, width = _timed(stage, seconds), len(options.features)
    where, registered = options.registration, None
    if where:
        check_reachable(where.tracking_uri)
    history = _history(options, timed)
    with timed("Fit the model"):
        train_part = history.parts.train
        model = fit(history.vectors[train_part.rows], train_part.is_fraud, options.recipe)
    with timed("Export to ONNX and check parity"):
        exported = to_onnx_model(model, width)
        parity = check_parity(model, exported.SerializeToString(), history.vectors[history.parts.test.rows])
    with timed("Choose the threshold, evaluate"):
        fitted = _fitted(options, history, model, exported)
    _complete(options, history, fitted, exported)
    if where:
        with timed("Register in MLflow"):
            registered = _registered(options, history, fitted, exported, where, parity)
    return Trained(history, fitted, exported, parity, registered, seconds)


def _history(options: Options, timed: Stage) -> History:
    with timed("Read the transactions"):
        frame = read_transactions(options.data, label_delay_days=options.label_delay_days)
        check_for_training(frame, str(options.data))
        times = frame["event_time"]
        windows = options.split.windows(int(times.iloc[0]), int(times.iloc[-1]))
    with timed("Compute the features"):
        features = backfill(frame, options.features, options.money)
    return History(frame, features.vectors, features.amounts, windows, split(frame, windows, features.scored), features.unpriced)


def _fitted(options: Options, history: History, model: Any, exported: Any) -> Fitted:
    session = onnx_session(exported.SerializeToString())
    validation, test = history.scored(session, history.parts.validation), history.scored(session, history.parts.test)
    threshold = threshold_for(validation, options.alerts_per_day)
    bands = bands_for(validation, threshold)
    alerts = history.vectors[history.parts.test.rows[test.scores >= threshold]]
    reasons = agreement(exported.SerializeToString(), alerts) if len(alerts) else None
    return Fitted(model, threshold, bands, evaluate(validation, threshold), evaluate(test, threshold), test, reasons)


def _complete(options: Options, history: History, fitted: Fitted, exported: Any) -> None:
    """Write the decisions into the ONNX model, and the model where it was asked for."""
    unseen = onnx_scores(onnx_session(exported.SerializeToString()), history.vectors[history.parts.validation.rows])
    baseline = baseline_of(history.vectors[history.parts.train.rows], unseen)
    decisions = Decisions(fitted.threshold, fitted.bands, time.time_ns() // 1_000_000, options.money.currency, baseline, options.profile)
    describe(exported, metadata_for(fitted.model, options.features, history.vectors[history.parts.train.rows], decisions))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_bytes(exported.SerializeToString())


def _registered(options: Options, history: History, fitted: Fitted, exported: Any, where: Registration, parity: float) -> Registered:
    ranked = importances_of(fitted.model, len(options.features)).tolist()
    importances = zip((f.name for f in options.features), ranked, strict=True)
    example = history.vectors[history.parts.test.rows[:EXAMPLE_ROWS]]
    with tempfile.TemporaryDirectory() as folder:
        report = Report(
            parameters=_parameters(options, history.windows),
            metrics=_metrics(fitted) | {"parity": parity},
            tags=_tags(options, history.frame["event_time"]),
            plots=draw(Path(folder), fitted.test_scores, fitted.threshold, list(importances)),
            example=example,
            example_scores=fitted.model.predict_proba(example).astype("float32"),
        )
        return register(exported, report, where)


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
        **{f"{window.name}_window": window.dates() for window in (windows.train, windows.validation, windows.test)},
        "gap_days": options.split.gap_days,
        "warm_up_days": windows.warm_up_days,
        "base_currency": options.money.currency,
        "rates": options.money.rates_version or "none",
        "alerts_per_day": "1 % of payments" if options.alerts_per_day is None else options.alerts_per_day,
        "profile": options.profile,
        "features": ",".join(f.name for f in options.features),
    }


def _metrics(fitted: Fitted) -> dict[str, float]:
    return {
        **{f"test_{name}": value for name, value in asdict(fitted.test).items()},
        **{f"validation_{name}": value for name, value in asdict(fitted.validation).items()},
        "threshold": fitted.threshold,
        "step_up": fitted.bands.step_up,
        "decline": fitted.bands.decline,
        **({f"reasons_{name}": value for name, value in asdict(fitted.reasons).items()} if fitted.reasons else {}),
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
