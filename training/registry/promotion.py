"""From challenger to champion, and back.

A promotion moves the alias that workers follow, and only if every gate holds: the file gives the scores it was registered with, its labels are
mature, and on its held-out period it is not worse than the champion. A rollback goes to the version that was the champion before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stream_app.errors import ModelError
from stream_app.features.aggregations import DAY_MS
from stream_app.features.model_metadata import RAW_NAME, ModelMetadata, read_metadata
from training.fitting.export import TOLERANCE, explained, onnx_scores, onnx_session
from training.fitting.team import TeamFigures, team_figures
from training.registry.catalogue import CHALLENGER, PROMOTED_OVER, now
from training.registry.gates import Gate, not_worse, team_not_worse, useful
from training.registry.held_out import FILE, unpacked

if TYPE_CHECKING:
    from stream_app.features.compute import Floats, Vectors
    from training.fitting.evaluate import Scored
    from training.registry.catalogue import Catalogue, Version
    from training.registry.held_out import HeldOut


ASKED_BY = "promotion_asked_by"
"""Tag of a version whose promotion waits for a second person: who asked for it."""


@dataclass(frozen=True, slots=True)
class Served:
    """A version as a worker would have it.

    Attributes:
        version: in the registry.
        content: the ONNX file.
        metadata: read from it.
        held_out: the period that its run kept.
    """

    version: Version
    content: bytes
    metadata: ModelMetadata
    held_out: HeldOut

    def scores(self, vectors: Vectors, output: str = "probabilities") -> Floats:
        """By ONNX Runtime."""
        return onnx_scores(onnx_session(self.content), vectors, output)


@dataclass(frozen=True, slots=True)
class PromotionCase:
    """What speaks for a promotion.

    Attributes:
        candidate: the version to promote.
        gates: each with what was found.
        forecast: what the team saw with it on its held-out period.
    """

    candidate: str
    gates: tuple[Gate, ...]
    forecast: TeamFigures

    @property
    def failed(self) -> tuple[Gate, ...]:
        """The gates that do not hold."""
        return tuple(gate for gate in self.gates if not gate.passed)


def served(catalogue: Catalogue, number: str) -> Served:
    """A version with its file and its held-out period.

    Raises:
        ModelError: it is not there, damaged, or was registered without a held-out period.
        Unavailable: MLflow does not answer.
    """
    version = catalogue.version(number)
    content = catalogue.file(version)
    metadata = read_metadata(onnx_session(content).get_modelmeta().custom_metadata_map)
    return Served(version, content, metadata, unpacked(catalogue.artifact(version, FILE)))


def examined(candidate: Served, champion: Served | ModelError | None, currency: str) -> PromotionCase:
    """Look at a version through every gate.

    Args:
        candidate: the version to promote.
        champion: the one that is served now, or why it cannot be had; None where there is none: then it must beat chance and the amount alone.
        currency: the workers' base currency.
    """
    held, threshold = candidate.held_out, candidate.metadata.threshold
    own = held.scored(candidate.scores(held.of(candidate.metadata)))
    immature = held.about.immature()
    theirs = candidate.metadata.base_currency
    gates = [
        _parity(candidate),
        Gate("base currency", theirs == currency, f"trained on {theirs}, the workers' is {currency}", forceable=False),
        Gate("labels mature", immature is None, immature or "the frauds of the held-out period had the time to become known"),
    ]
    gates += _against(candidate, champion, own) if champion else [useful(own)]
    return PromotionCase(candidate.version.number, tuple(gates), team_figures(own, threshold))


def check(catalogue: Catalogue, alias: str, case: PromotionCase, force: str | None = None) -> None:
    """Refuse a candidate whose gates do not hold.

    Args:
        catalogue: of the model.
        alias: that workers follow.
        case: what was found.
        force: why it is promoted though gates fail; None: it is not.

    Raises:
        ModelError: a gate fails and is not forced, or cannot be.
    """
    stops = [gate for gate in case.failed if force is None or not gate.forceable]
    if stops:
        why = "; ".join(f"{gate.name}: {gate.found}" for gate in stops)
        remedy = (
            'Train a better one, or promote it all the same with --force --why "…", which is recorded'
            if all(gate.forceable for gate in stops)
            else "Train it again: a worker would refuse it, and so this cannot be forced"
        )
        raise ModelError(f"Version {case.candidate} of {catalogue.name} was not promoted; {alias} stays where it is. {why}. {remedy}.")


def approved(catalogue: Catalogue, case: PromotionCase, who: str, why: str) -> bool:
    """Whether a second person may promote the candidate now; if nobody has asked for it yet, this one does, on the version's tags.

    Raises:
        ModelError: the one who asked is the one who approves.
    """
    asked_by = catalogue.version(case.candidate).tags.get(ASKED_BY, "")
    if not asked_by:
        catalogue.tag(case.candidate, {ASKED_BY: who, "promotion_asked_at": now(), "promotion_asked_why": why})
        return False
    if asked_by == who:
        raise ModelError(
            f"{who} asked for the promotion of version {case.candidate} of {catalogue.name}: another person must promote it "
            "(FRAUDSTREAM_PROMOTION_NEEDS_APPROVAL is on)."
        )
    return True


def promote(catalogue: Catalogue, alias: str, case: PromotionCase, who: str, force: str | None = None) -> None:
    """Move the alias to the candidate.

    Args:
        catalogue: of the model.
        alias: that workers follow.
        case: what was found.
        who: is tagged.
        force: why it is promoted though gates fail; None: it is not.

    Raises:
        ModelError: a gate fails and is not forced, or cannot be; the alias stays.
    """
    check(catalogue, alias, case, force)
    asked_by = catalogue.version(case.candidate).tags.get(ASKED_BY, "")
    passed_over = ", ".join(gate.name for gate in case.failed)
    catalogue.crown(alias, case.candidate, who, f"forced past {passed_over}: {force}" if passed_over else force or "all gates passed")
    if asked_by:  # it is used up: after a rollback two persons are needed again
        catalogue.tag(case.candidate, {ASKED_BY: "", "promoted_asked_by": asked_by})
    if catalogue.aliases().get(CHALLENGER) == case.candidate:
        catalogue.drop(CHALLENGER)


def roll_back(catalogue: Catalogue, alias: str, who: str, why: str) -> tuple[str, str]:
    """Move the alias back to the version that had it before.

    Returns:
        The version that had it, and the one that has it now.

    Raises:
        ModelError: there is no champion, none was before it, or that one cannot be served any more; the alias stays.
    """
    current = catalogue.aliases().get(alias)
    if current is None:
        raise ModelError(f"Model {catalogue.name} has no version with the alias {alias}. Train one, or see `fraudstream promote --help`.")
    before = catalogue.version(current).tags.get(PROMOTED_OVER)
    if not before:
        raise ModelError(
            f"Version {current} of {catalogue.name} is the first {alias}: there is none to go back to. Promote another with `fraudstream promote VERSION`."
        )
    catalogue.file(catalogue.version(before))
    catalogue.tag(current, {"rolled_back_at": now(), "rolled_back_by": who, "rolled_back_why": why})
    catalogue.alias(alias, before)
    return current, before


def _parity(candidate: Served) -> Gate:
    """The file gives, here and now, the scores that scikit-learn gave; and its contributions add up."""
    held, metadata = candidate.held_out, candidate.metadata
    vectors = held.of(metadata)
    own = np.array(metadata.parity.features, dtype=np.float32)
    raw = candidate.scores(own, RAW_NAME)
    additive = explained(candidate.content, metadata.reference)
    found = {
        "its parity vectors": candidate.scores(own) - np.array(metadata.parity.scores),
        "the held-out period": candidate.scores(vectors) - held.truth.scores,
        "its contributions": (additive.expected + additive.contributions(own).sum(axis=1) - raw) / np.maximum(1, np.abs(raw)),
    }
    largest = {name: float(np.abs(difference).max()) for name, difference in found.items()}
    worst = max(largest, key=lambda name: largest[name] if largest[name] == largest[name] else np.inf)  # NaN is the worst
    return Gate("parity", largest[worst] <= TOLERANCE, f"scores differ by {largest[worst]:.1e} at most, on {worst}", forceable=False)


def _against(candidate: Served, champion: Served | ModelError, own: Scored) -> list[Gate]:
    held = candidate.held_out
    try:
        if isinstance(champion, ModelError):
            raise champion
        against = held.scored(champion.scores(held.of(champion.metadata)))
    except ModelError as error:
        return [Gate("same held-out period", passed=False, found=f"the champion cannot be scored on it: {error}")]
    thresholds = candidate.metadata.threshold, champion.metadata.threshold
    return [_unseen(candidate, champion), *not_worse(own, against), *team_not_worse((own, thresholds[0]), (against, thresholds[1]))]


def _unseen(candidate: Served, champion: Served) -> Gate:
    """The champion was not fitted on the days that it is compared on: it would look better than it is."""
    days = (champion.held_out.about.trained_until_ms - candidate.held_out.about.begins_ms) / DAY_MS
    found = "the champion was fitted on earlier days" if days <= 0 else f"the champion was fitted on its first {days:.0f} days or more"
    return Gate("same held-out period", days <= 0, found)
