"""The feature list: each feature is data, with a name and a hash that derive from its definition.

A window of a payment at time t holds the payments of the same card (or terminal) in (t-w, t], kept as tiles of one hop h:
with k(x) = floor(x/h) it is the tiles k(t-w)+1 … k(t). A delayed window (t-7d-w, t-7d] is the tiles k(t-7d-w) … up to the
last full hour before t-7d. The tiled value is the feature, in training as in the stream.

Money is in the base currency. A payment without a rate into it has an unknown amount: `amount` is 0.0, `amount_ratio` 1.0 and
`amount_zscore` 0.0, as where a card has no history; its means count it as a payment without money.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from stream_app.errors import ModelError, SettingsError

HOUR_S = 3600
DAY_S = 24 * HOUR_S
DELAY_S = 7 * DAY_S

KERNEL_VERSION = 2
"""Raised when the meaning of an aggregation changes; part of each feature's hash."""

Entity = Literal["card", "terminal"]
ENTITIES: tuple[Entity, ...] = get_args(Entity)
"""Cards first: theirs is the order of the log. All others are shared: their payments come through many partitions."""
Aggregation = Literal[
    "amount",
    "weekend",
    "night",
    "count",
    "mean_amount",
    "amount_ratio",
    "amount_zscore",
    "seconds_since_last",
    "risk",
    "prior_mean_amount",
    "prior_count",
]

OF_RECORD = frozenset({"amount", "weekend", "night"})
"""Aggregations that need no history: they belong to no entity."""

OF_THE_PAYMENTS_MONEY = frozenset({"amount", "amount_ratio", "amount_zscore"})
"""Aggregations that say something of the present payment's own money."""

WINDOWED = frozenset(get_args(Aggregation)) - OF_RECORD - {"seconds_since_last"}

HOPS_S = {HOUR_S: 300, DAY_S: HOUR_S, 7 * DAY_S: 6 * HOUR_S, 30 * DAY_S: DAY_S}
"""Hop of each window. Measured on the Handbook's history: no loss against exact windows."""

HORIZON_S = 38 * DAY_S
"""Longest reach of any feature: 30 days, 7 days of delay, one tile."""


def _short(seconds: int) -> str:
    return f"{seconds // DAY_S}d" if seconds % DAY_S == 0 else f"{seconds // HOUR_S}h"


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature: an aggregation over the payments of an entity in a window.

    Raises:
        SettingsError: if the definition makes no sense, naming what is allowed.
    """

    aggregation: Aggregation
    entity: Entity | None = None
    window_s: int = 0
    delay_s: int = 0

    def __post_init__(self) -> None:
        if self.aggregation not in get_args(Aggregation):
            raise SettingsError(f"Feature with aggregation {self.aggregation!r}: unknown. Allowed: {', '.join(get_args(Aggregation))}.")
        needs_entity = self.aggregation not in OF_RECORD
        if needs_entity != (self.entity in get_args(Entity)):
            allowed = f"one of {', '.join(get_args(Entity))}" if needs_entity else "none"
            raise SettingsError(f"Feature {self.aggregation!r} over entity {self.entity!r}: allowed is {allowed}.")
        windows = HOPS_S if self.aggregation in WINDOWED else (0,)
        if self.window_s not in windows:
            raise SettingsError(
                f"Feature {self.aggregation!r} with a window of {self.window_s} s: allowed are {', '.join(map(str, windows))}."
            )
        delayed = (0, DELAY_S) if self.aggregation == "count" else (DELAY_S,) if self.aggregation == "risk" else (0,)
        if self.delay_s not in delayed or (self.delay_s and self.window_s < DAY_S):
            raise SettingsError(
                f"Feature {self.aggregation!r} delayed by {self.delay_s} s: allowed are {delayed} s, on windows of a day or more."
            )

    @property
    def hop_s(self) -> int:
        """Width of a tile, seconds; 0 without a window."""
        return HOPS_S.get(self.window_s, 0)

    @property
    def name(self) -> str:
        """The name, derived: `card_mean_amount_7d`, `terminal_risk_1d_delay_7d`."""
        parts = [
            self.entity or "",
            self.aggregation,
            _short(self.window_s) if self.window_s else "",
            f"delay_{_short(self.delay_s)}" if self.delay_s else "",
        ]
        return "_".join(p for p in parts if p)

    @property
    def hash(self) -> str:
        """16 hex digits over everything that changes the value: definition, hop, kernel version."""
        text = f"v{KERNEL_VERSION}|{self.entity}|{self.aggregation}|{self.window_s}|{self.delay_s}|{self.hop_s}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _default() -> tuple[Feature, ...]:
    days = (DAY_S, 7 * DAY_S, 30 * DAY_S)
    handbook = [Feature("amount"), Feature("weekend"), Feature("night")]
    for window in days:
        handbook += [Feature("count", "card", window), Feature("mean_amount", "card", window)]
    for window in days:
        handbook += [Feature("count", "terminal", window, DELAY_S), Feature("risk", "terminal", window, DELAY_S)]
    return (
        *handbook,
        Feature("amount_ratio", "card", 30 * DAY_S),
        Feature("amount_zscore", "card", 30 * DAY_S),
        Feature("seconds_since_last", "card"),
        Feature("count", "card", HOUR_S),
        Feature("count", "terminal", HOUR_S),
    )


DEFAULT_FEATURES = _default()
"""The 15 features of the Fraud Detection Handbook, then amount ÷ 30-day mean, z-score, seconds since the last, 1-hour counts."""

CONTEXT_FEATURES = (Feature("prior_count", "card", 30 * DAY_S), Feature("prior_mean_amount", "card", 30 * DAY_S))
"""Never given to a model: what is usual for the card, without the present payment. Reasons quote them."""

CATALOGUE = DEFAULT_FEATURES + CONTEXT_FEATURES
"""Every feature that state is kept for. A model may name any subset of it."""


def check_unique(features: Iterable[Feature]) -> None:
    """Refuse a list with two features of one name.

    Raises:
        SettingsError: naming the feature.
    """
    names = [f.name for f in features]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"Feature {name!r} is listed twice. Each feature may stand once.")


def features_hash(features: Sequence[Feature]) -> str:
    """One hash for a list of features in order; a model carries it."""
    return hashlib.sha256("|".join(f"{f.name}={f.hash}" for f in features).encode()).hexdigest()[:16]


def resolve(named: Sequence[tuple[str, str]], catalogue: Sequence[Feature] = CATALOGUE) -> tuple[Feature, ...]:
    """The features a model names, in its order.

    Args:
        named: (name, hash) of each feature, as the model's metadata carries them.
        catalogue: the features that this program can compute.

    Raises:
        ModelError: if the model names a feature that is missing here, defined otherwise, or for reasons only.
    """
    known = {f.name: f for f in catalogue}
    for name, digest in named:
        if name not in known:
            raise ModelError(
                f"The model needs feature {name!r}, which this version does not know. Deploy a newer worker, or promote another model."
            )
        if known[name] in CONTEXT_FEATURES:
            raise ModelError(
                f"The model needs feature {name!r}, which is for the texts of reasons only. Train it again without that feature."
            )
        if known[name].hash != digest:
            raise ModelError(
                f"The model was trained on another definition of {name!r} ({digest}, here {known[name].hash}). Retrain it with this version."
            )
    return tuple(known[name] for name, _ in named)
