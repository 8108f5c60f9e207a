"""What a training run says of itself: parameters, tags, model card, plots, and the held-out period."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from stream_app.explaining.sampling import Sampled
from stream_app.features.definitions import features_hash
from training.fitting.calibrate import raw_scores_of
from training.fitting.evaluate import scored
from training.fitting.fit import has_importances, importances_of, scores_of
from training.fitting.plots import Review, draw
from training.fitting.search import SPACE
from training.registry.card import card, warnings_in
from training.registry.held_out import FILE, About, HeldOut
from training.registry.register import RunReport, code_revision

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.features.compute import Floats
    from training.fitting.history import History
    from training.fitting.measure import Fitted
    from training.fitting.options import Options

EXAMPLE_ROWS = 5
WEIGHED = 100
LONGEST_NAME, LONGEST_DESCRIPTION = 250, 5_000
"""What MLflow's database has room for, of a run and of a version."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run.

    Attributes:
        options: what it was asked for, with the recipe that was fitted.
        history: what it was trained on.
        fitted: the model and its metrics.
        parity: largest difference between scikit-learn and ONNX Runtime.
    """

    options: Options
    history: History
    fitted: Fitted
    parity: float

    def metrics(self) -> dict[str, float]:
        """All numbers by name."""
        return self.fitted.figures() | {"parity": self.parity}

    def parameters(self) -> dict[str, str | int | float]:
        """What it was trained with."""
        options, parts = self.options, self.history.parts
        chosen = f"{len(self.history.folds)} validation folds, of {len(SPACE)} recipes"
        return {
            **{name: str(value) for name, value in options.recipe.described().items()},
            "chosen_on": chosen if self.history.folds else "nothing: as asked for",
            **{f"{part.window.name}_window": part.window.dates() for part in (parts.train, parts.validation, parts.test)},
            "gap_days": f"{options.split.gap_days:g}",
            "warm_up_days": self.history.origin.warm_up_days,
            "base_currency": options.money.currency,
            "rates": options.money.rates_version or "none",
            "threshold_from": str(options.target),
            "profile": options.profile,
            "features": ",".join(f.name for f in self.history.features),
        }

    def tags(self) -> dict[str, str]:
        """Where it comes from."""
        origin = self.history.origin
        return {
            "features_hash": features_hash(self.history.features),
            "data_file": origin.file,
            "data_sha256": origin.sha256,
            "data_from": _moment(origin.from_ms),
            "data_to": _moment(origin.to_ms),
            **{f"{name}_sha256": digest for name, digest in origin.beside.items()},
            "code_revision": code_revision() or "unknown",
        }

    def name(self) -> str:
        """What was trained on what, in a line that a list of versions has room for."""
        return f"{self.options.recipe.called} on {self.options.profile}, {self.history.parts.train.window.dates()}"[:LONGEST_NAME]

    def description(self) -> str:
        """What the version is, for who finds it in a registry."""
        fitted, origin, parts = self.fitted, self.history.origin, self.history.parts
        told = [
            (
                f"{self.options.recipe.called} on {len(self.history.features)} features (profile {self.options.profile}), trained on {origin.file}"
                f"{', simulated payments' if origin.simulated else ''}, {parts.train.window.dates()}."
            ),
            (
                f"Test {parts.test.window.dates()}: average precision {fitted.test.average_precision:.3f}, AUC {fitted.test.auc_roc:.3f}; from "
                f"{fitted.threshold:.5f} on {fitted.outcome.alerts_a_day:,.1f} alerts a day, precision {fitted.outcome.precision:.3f}."
            ),
        ]
        return " ".join([*told, *warnings_in(fitted)])[:LONGEST_DESCRIPTION]

    def card(self) -> str:
        """The model card, in Markdown."""
        name = self.options.registration.name if self.options.registration else "not registered"
        facts = {key: str(value) for key, value in (self.parameters() | self.tags()).items() if not key.startswith("features")}
        return card(name, self.fitted, self.parity, facts, self.history, simulated=self.history.origin.simulated)

    def plots(self, folder: Path) -> tuple[Path, ...]:
        """Draw them into a folder that is there."""
        importances = list(zip(self.history.features, self._shares().tolist(), strict=True))
        return draw(folder, self.fitted, Review(self.options.target.cost, self.options.money.currency), importances)

    def _shares(self) -> Floats:
        """How much each feature matters; where the model does not say, by what it added to payments of the test, whichever way."""
        inner, vectors = self.fitted.model.inner, self.history.vectors
        if has_importances(inner):
            return importances_of(inner, len(self.history.features))
        reference = np.quantile(vectors[self.history.parts.train.rows], 0.5, axis=0, method="higher")
        some = vectors[self.history.parts.test.rows[:: max(1, len(self.history.parts.test.rows) // WEIGHED)]]
        model = Sampled(lambda rows: raw_scores_of(inner, rows), reference, float(raw_scores_of(inner, reference[None])[0]))
        weights = np.abs(model.contributions(some)).sum(axis=0)
        return np.asarray(weights / max(weights.sum(), np.finfo(np.float64).tiny))

    def report(self, folder: Path) -> RunReport:
        """All of it, for MLflow; plots are drawn into `folder`."""
        example = self.history.vectors[self.history.parts.test.rows[:EXAMPLE_ROWS]]
        return RunReport(
            parameters=self.parameters(),
            metrics=self.metrics(),
            tags=self.tags(),
            plots=self.plots(folder),
            files={"model_card.md": self.card().encode(), FILE: self._held_out().packed()},
            example=example,
            example_scores=self.fitted.model.predict_proba(example).astype("float32"),
            name=self.name(),
            description=self.description(),
            useless="" if self.fitted.usefulness.is_useful else str(self.fitted.usefulness),
        )

    def _held_out(self) -> HeldOut:
        parts, origin = self.history.parts, self.history.origin
        about = About(
            features=tuple((f.name, f.hash) for f in self.history.features),
            trained_until_ms=parts.train.window.end_ms,
            begins_ms=parts.test.window.start_ms,
            ends_ms=parts.test.window.end_ms,
            gap_days=self.options.split.gap_days,
            newest_label_ms=origin.newest_label_ms,
            read_at_ms=origin.read_at_ms,
        )
        vectors, truth = self.history.vectors[parts.test.rows], self.fitted.scores[1]
        theirs = scored(scores_of(self.fitted.model, vectors), truth.is_fraud, truth.times_ms, truth.cards, truth.amounts)
        return HeldOut(about, vectors, theirs)


def _moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds")
