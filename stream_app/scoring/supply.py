"""Whether a source supplies what a model needs: said by its mapping before a payment is scored, and seen by how many payments have each field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from stream_app.errors import ModelError
from stream_app.features.definitions import Feature
from stream_app.features.entities import KeptEntities, in_order
from stream_app.features.model_metadata import ModelMetadata
from stream_app.messages.transaction import ATTRIBUTE, Transaction
from stream_app.wire.mapping import SourceMapping

NEEDED_FROM = 0.01
"""Of the payments that a model was trained on: a field that fewer had tells it little."""
FAR = 0.2
"""So far the share of payments that have a field may be from that of training before it is told."""
ENOUGH = 100
"""Payments, to say a share of."""


def refuse_unsupplied(named: str, metadata: ModelMetadata, mapping: SourceMapping) -> None:
    """Refuse a model that needs a field of which the mapping does not say where it is: each of its features would be neutral for every payment.

    Raises:
        ModelError: naming the fields, and what to write.
    """
    lacking = [name for name, share in (metadata.needs or {}).items() if share >= NEEDED_FROM and not mapping.says(name)]
    if lacking:
        shares = ", ".join(f"{name} ({(metadata.needs or {})[name]:.0%} of the payments that it was trained on had it)" for name in lacking)
        raise ModelError(
            f"{named} needs {shares}, and FRAUDSTREAM_MAPPING_FILE does not say where that is. Name it there, also where it has our name "
            f"({lacking[0]}: {lacking[0]}), or train without it."
        )


def refuse_unkept(named: str, features: Iterable[Feature], kept: KeptEntities) -> None:
    """Refuse what needs an entity that no state is kept of: each of its features would be neutral for every payment.

    Args:
        named: what needs them, for the error: a model, a release.
        features: that are needed.
        kept: the entities that this deployment keeps state of.

    Raises:
        ModelError: naming the entities, and what to set.
    """
    needed = {feature.entity: feature.name for feature in features if feature.entity is not None and feature.entity not in kept}
    if needed:
        told = ", ".join(f"{entity} (as {name})" for entity, name in needed.items())
        wanted = ",".join(in_order(kept | needed.keys()))
        raise ModelError(
            f"{named} needs state of {told}, which is not kept here. Set FRAUDSTREAM_ENTITIES={wanted} for every worker and the API; each partition "
            "is then rebuilt from the topics once. Or do without these features."
        )


class SuppliedFields:
    """How many payments have each field that a model needs."""

    def __init__(self, metadata: ModelMetadata) -> None:
        self._trained = dict(metadata.needs or {})
        self._had: Counter[str] = Counter()
        self.payments = 0

    def add(self, payments: Iterable[Transaction]) -> None:
        """Count payments."""
        for payment in payments:
            self.payments += 1
            self._had.update(name for name in self._trained if _has(payment, name))

    def differences(self) -> list[str]:
        """What is said of each field whose share is far from that of training; nothing of too few payments."""
        if self.payments < ENOUGH:
            return []
        shares = {name: self._had[name] / self.payments for name in self._trained}
        return [
            f"{name} stands in {now:.0%} of them, in training in {self._trained[name]:.0%}"
            for name, now in shares.items()
            if abs(now - self._trained[name]) > FAR
        ]


def _has(payment: Transaction, name: str) -> bool:
    if name.startswith(ATTRIBUTE):
        return (payment.attributes or {}).get(name.removeprefix(ATTRIBUTE), "") != ""
    return getattr(payment, name) is not None
