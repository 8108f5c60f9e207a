"""The model card: what a fraud team and an auditor need to know of a version, in Markdown; made by each training run from what it measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.explaining.sampling import ORDERS
from stream_app.features.definitions import features_hash
from training.fitting.agreement import MANY_ORDERS
from training.fitting.rows import quality_rows, team_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from training.fitting.history import History
    from training.fitting.measure import Fitted

SIMULATED = (
    "**The payments that this model was trained and measured on are simulated** (the file says by which scenario each fraud was made, which no real "
    "history does). Simulated fraud is easy to find: these figures say that the pipeline works, not what the model would find in real payments."
)
UNKNOWN = "Whether these payments are real is not for the file to say: whoever gave it knows."
PUBLISHED = (
    "For comparison, published on real card payments (Worldline's, in the Fraud Detection Handbook; Le Borgne, Siblini, Lebichot, Bontempi; ULB, 2022): "
    "a random forest has AUC ROC .912, average precision .080 and card precision@100 .227; the best model .928, .105 and .235. On the Handbook's own "
    "simulated payments its forest has .867, .658 and .287 (chapter 3)."
)
LIMITS = (
    "It ranks card payments for a review. It knows no person, and nothing of a card's owner; it was not examined for fairness between groups of them, "
    "as the history names none. It is as old as its training days: measure it again when labels of newer days are in."
)


def card(name: str, fitted: Fitted, parity: float, facts: Mapping[str, str], history: History, *, simulated: bool) -> str:
    """The card, in Markdown.

    Args:
        name: of the registered model.
        fitted: with all its figures.
        parity: largest difference between scikit-learn and ONNX Runtime.
        facts: parameters and tags of the run.
        history: that it was trained on.
        simulated: whether the history is known to be.
    """
    ranks = (
        f"Ranks are over scores rounded to 1e-5, ties by id. Calibration is one sigmoid fitted on validation; it changed {fitted.changed} of "
        f"{len(fitted.before.scores):,} decisions of the test. scikit-learn and ONNX Runtime differ by {parity:.1g} at most."
    )
    bounds = (
        f"An alert from {fitted.threshold:.5f} on, step up from {fitted.bands.step_up:.5f}, decline from {fitted.bands.decline:.5f}; chosen on the "
        "validation days only. Money counts in full where a fraud is alerted, as if the review came in time."
    )
    features, categories = history.features, [f"{vocabulary}." for vocabulary in history.vocabularies]
    named = ", ".join(f"`{feature.name}`" for feature in features)
    sections = {
        "Quality": (_table(("", "validation", "test", "test, before calibration"), quality_rows(fitted)), ranks),
        "At the threshold": (_table(("", "validation (the forecast)", "test"), team_rows(fitted)), bounds),
        "Reasons": (_reasons(fitted),),
        "Made from": (_facts(facts),),
        "Features": (f"{len(features)}, hash `{features_hash(features)}`: {named}.", *categories),
        "What it is not for": (LIMITS,),
    }
    told = [f"# Model card: {name}", SIMULATED if simulated else UNKNOWN, PUBLISHED]
    told += [f"**Look at this first.** {warning}" for warning in warnings_in(fitted)]
    for title, texts in sections.items():
        told += [f"## {title}", *texts]
    return "\n\n".join(told) + "\n"


def warnings_in(fitted: Fitted) -> tuple[str, ...]:
    """What a person must be told first: that it finds nothing of use, and what else looks wrong."""
    useless = (
        ()
        if fitted.usefulness.is_useful
        else (f"It finds no more frauds than chance or the amount alone, on validation: {fitted.usefulness}.",)
    )
    return (*useless, *fitted.warnings)


def _reasons(fitted: Fitted) -> str:
    found, how, other = fitted.reasons, "Contributions along the trees' paths, which add up to the raw score.", "exact Shapley values"
    if fitted.sampled:
        other = f"{MANY_ORDERS} orders"
        how = (
            f"**Sampled.** The model does not say what each feature adds: a payment is reached from the medians of the training data by giving it one "
            f"feature's value after another, in {ORDERS} orders, and each feature gets the mean of what its steps moved. They add up to the raw score; an "
            f"alert costs at most {ORDERS} scores a feature."
        )
    if found is None:
        return f"{how} No payment of the test was alerted: how far its reasons agree with those of {other} is not known."
    return (
        f"{how} Of {found.alerts} alerts of the test, the first reason is that of {other} in {found.same_first:.0%}; of the three strongest, "
        f"{found.shared_of_three:.0%} are shared."
    )


def _facts(facts: Mapping[str, str]) -> str:
    return _table(("", ""), [(key.replace("_", " "), f"`{value}`") for key, value in facts.items()])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))
