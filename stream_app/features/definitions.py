"""The feature list: each feature is data, with a name and a hash that derive from its definition.

A window of a payment at time t holds the payments of the same card (or terminal, device, merchant …) in (t-w, t], kept as tiles of one hop h:
with k(x) = floor(x/h) it is the tiles k(t-w)+1 … k(t). A delayed window (t-7d-w, t-7d] is the tiles k(t-7d-w) … up to the
last full hour before t-7d. The tiled value is the feature, in training as in the stream.

Money is in the base currency. A payment without a rate into it has an unknown amount: `amount` is 0.0, `amount_ratio` 1.0 and
`amount_zscore` 0.0, as where there is no history; means count it as a payment without money.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from stream_app.errors import ModelError, SettingsError
from stream_app.features.aggregations import (
    AGGREGATIONS,
    CARDS_IN,
    DAY_S,
    DELAY_S,
    HOPS_S,
    HORIZON_S,
    HOUR_S,
    Aggregation,
)
from stream_app.features.entities import KINDS, Entity
from stream_app.features.own_values import MOST_VALUES

KERNEL_VERSION = 2
"""Raised when the meaning of an aggregation changes; part of each feature's hash."""
LAYOUT_VERSION = 4
"""Raised when rows keep other tiles than before. A cursor says which its state may hold: who knows only earlier ones would drop what came since."""

LONGEST_ATTRIBUTE = 64
NUMBER, CATEGORY = "attributes", "category"
"""The two aggregations of a value of the producer's own."""
_NONE: Mapping[str, tuple[str, ...]] = MappingProxyType({})


def _short(seconds: int) -> str:
    return f"{seconds // DAY_S}d" if seconds % DAY_S == 0 else f"{seconds // HOUR_S}h"


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature: an aggregation over the payments of an entity in a window, or of one of the payment's own fields.

    Attributes:
        vocabulary: of a category, the texts that it knows, in order; see `stream_app.features.own_values`.

    Raises:
        SettingsError: if the definition makes no sense, naming what is allowed.
    """

    aggregation: str
    entity: Entity | None = None
    window_s: int = 0
    delay_s: int = 0
    field: str = ""
    vocabulary: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.aggregation not in AGGREGATIONS:
            raise SettingsError(f"Feature with aggregation {self.aggregation!r}: unknown. Allowed: {', '.join(AGGREGATIONS)}.")
        of = self.of
        if self.entity not in (of.entities or (None,)):
            raise SettingsError(f"Feature {self.aggregation!r} over entity {self.entity!r}: allowed is {_either(of.entities)}.")
        if self.window_s not in of.windows_s:
            allowed = ", ".join(map(str, of.windows_s))
            raise SettingsError(f"Feature {self.aggregation!r} with a window of {self.window_s} s: allowed are {allowed}.")
        if self.delay_s not in of.delays_s or (self.delay_s and self.window_s < DAY_S):
            raise SettingsError(
                f"Feature {self.aggregation!r} delayed by {self.delay_s} s: allowed are {of.delays_s} s, on windows of a day or more."
            )
        if of.fields is None and not 1 <= len(self.field) <= LONGEST_ATTRIBUTE:
            raise SettingsError(
                f"Feature {self.aggregation!r} of field {self.field!r}: name one of the payment's `attributes`, in 1 to {LONGEST_ATTRIBUTE} characters."
            )
        if of.fields is not None and self.field not in of.fields:
            raise SettingsError(f"Feature {self.aggregation!r} of field {self.field!r}: allowed is {_either(of.fields)}.")
        if self.vocabulary and (
            not self.is_category or len(self.vocabulary) > MOST_VALUES or len({*self.vocabulary, ""}) <= len(self.vocabulary)
        ):
            raise SettingsError(
                f"Feature {self.name!r}: a category has a vocabulary of at most {MOST_VALUES} texts, each once, none of them empty."
            )

    @property
    def of(self) -> Aggregation:
        """The aggregation itself."""
        return AGGREGATIONS[self.aggregation]

    @property
    def is_category(self) -> bool:
        """Whether it is a text of the producer's own."""
        return self.aggregation == CATEGORY

    @property
    def hop_s(self) -> int:
        """Width of a tile, seconds; 0 without a window."""
        return HOPS_S.get(self.window_s, 0)

    @property
    def name(self) -> str:
        """The name, derived: `card_mean_amount_7d`, `terminal_risk_1d_delay_7d`, `card_first_time_country_38d`; of a value of the
        producer's own where it stands in the payment: `attributes.v1`.
        """
        if self.of.fields is None:
            return f"attributes.{self.field}"
        parts = [
            self.entity or "",
            self.aggregation,
            self.field.removesuffix("_id"),
            _short(self.window_s) if self.window_s else "",
            f"delay_{_short(self.delay_s)}" if self.delay_s else "",
        ]
        return "_".join(p for p in parts if p)

    @property
    def window(self) -> str:
        """Its window, for people: `the last 7 days`, `the 30 days that ended 7 days ago`."""
        window = {HOUR_S: "1 hour", DAY_S: "1 day", HORIZON_S: "19 to 38 days"}.get(self.window_s, f"{self.window_s // DAY_S} days")
        return f"the {window} that ended 7 days ago" if self.delay_s else f"the last {window}"

    @property
    def meaning(self) -> str:
        """What it says, for people."""
        called = KINDS[self.entity].called if self.entity else None
        return self.of.meaning.format(entity=called, window=self.window, field=self.field.removesuffix("_id"))

    @property
    def hash(self) -> str:
        """16 hex digits over everything that changes the value: definition, hop, kernel version."""
        text = f"v{KERNEL_VERSION}|{self.entity}|{self.aggregation}|{self.window_s}|{self.delay_s}|{self.hop_s}"
        text += f"|{self.field}" if self.field else ""
        text += f"|{'|'.join(map(repr, self.vocabulary))}" if self.is_category else ""
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _either(names: Sequence[str]) -> str:
    given = [name for name in names if name]
    return f"one of {', '.join(given)}" if given else "none"


_HOURS_AND_DAYS = (HOUR_S, DAY_S, 7 * DAY_S, 30 * DAY_S)


def _over(entity: Entity, *aggregations: str) -> list[Feature]:
    return [Feature(aggregation, entity, window) for window in _HOURS_AND_DAYS for aggregation in aggregations]


def _handbook() -> tuple[Feature, ...]:
    features, days = [Feature("amount"), Feature("weekend"), Feature("night")], _HOURS_AND_DAYS[1:]
    for window in days:
        features += [Feature("count", "card", window), Feature("mean_amount", "card", window)]
    for window in days:
        features += [Feature("count", "terminal", window, DELAY_S), Feature("risk", "terminal", window, DELAY_S)]
    return tuple(features)


HANDBOOK = _handbook()
"""The 15 features of the Fraud Detection Handbook."""


def _velocity() -> tuple[Feature, ...]:
    month = 30 * DAY_S
    more = [
        *_over("card", "count", "mean_amount", "amount_ratio", "amount_zscore"),
        Feature("seconds_since_last", "card"),
        Feature("distance_km", "card"),
        Feature("speed_kmh", "card"),
        *(Feature("first_time", "card", HORIZON_S, field=field) for field in ("terminal_id", "country", "device_id")),
        Feature("online_share", "card", month),
        Feature("declines_in_a_row", "card"),
        Feature("declines", "card", HOUR_S),
        Feature("refunds", "card", month),
    ]
    for entity in ("terminal", "device"):
        more += _over(entity, "count", "mean_amount", "amount_ratio")
        more += [Feature("declines", entity, HOUR_S), Feature("refunds", entity, month)]
    return (*HANDBOOK, *(feature for feature in more if feature not in HANDBOOK))


VELOCITY = _velocity()
"""Those, and what the card, the terminal and the device did in the last hour, day, week and month. To add a feature, add it here."""


_WITH_EPISODES: tuple[Entity, ...] = ("card", "terminal")


def _of_merchants_and_networks() -> list[Feature]:
    """Those of entities that a deployment keeps only where it is asked to. Few are of categories and countries: each partition has a part of each."""
    month = 30 * DAY_S
    of_merchant = [*_over("merchant", "count", "mean_amount"), Feature("amount_ratio", "merchant", month)]
    of_network = [Feature("count", "ip", window) for window in CARDS_IN] + [Feature("cards", "ip", window) for window in CARDS_IN]
    return [
        *of_merchant,
        Feature("declines", "merchant", HOUR_S),
        *(Feature("risk", "merchant", window, DELAY_S) for window in (7 * DAY_S, month)),
        Feature("mean_amount", "mcc", month),
        Feature("amount_ratio", "mcc", month),
        Feature("risk", "mcc", month, DELAY_S),
        Feature("count", "country", DAY_S),
        Feature("risk", "country", month, DELAY_S),
        *of_network,
        Feature("declines", "ip", HOUR_S),
        *(Feature("risk", "ip", window, DELAY_S) for window in (7 * DAY_S, month)),
    ]


def _payments() -> tuple[Feature, ...]:
    of_episodes = ("days_since_fraud", "days_since_episode", "genuine_since_fraud", "episode_risk")
    more = [Feature(name, entity, 30 * DAY_S, DELAY_S) for entity in _WITH_EPISODES for name in of_episodes]
    more += [Feature("channel_code"), Feature("type_code"), Feature("mcc_code")]
    more += [Feature("first_time", "card", HORIZON_S, field=field) for field in ("mcc", "hour")]
    more += [Feature("distinct", "card", HORIZON_S, field=field) for field in ("terminal_id", "country", "device_id", "mcc")]
    more += [
        Feature("other", "card", HORIZON_S, field="country"),
        Feature("amount_to_largest", "card", HORIZON_S),
        Feature("same_amount", "card", 2 * DAY_S),
    ]
    more += [Feature("cards", entity, window) for entity in ("terminal", "device") for window in CARDS_IN]
    return (*VELOCITY, *more, *_of_merchants_and_networks())


PAYMENTS = _payments()
"""Those, what labels say of the card's and the terminal's episode of fraud, and who, where and how: channel, category, hour, country, amounts and
cards that stand out, and what merchant, category, country and IP network are known for. A feature that is not for `velocity` is added here.
"""

CONTEXT_FEATURES = (Feature("prior_count", "card", 30 * DAY_S), Feature("prior_mean_amount", "card", 30 * DAY_S))
"""Never given to a model: what is usual for the card, without the present payment. Reasons quote them."""

CATALOGUE = PAYMENTS + CONTEXT_FEATURES
"""Every feature that state is kept for. A model may name any subset of it, and any attributes, which need no state."""


def check_unique(features: Iterable[Feature]) -> None:
    """Refuse a list with two features of one name.

    Raises:
        SettingsError: naming the feature.
    """
    names = [f.name for f in features]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"Feature {name!r} is listed twice. Each feature may stand once.")


check_unique(CATALOGUE)


def features_hash(features: Sequence[Feature]) -> str:
    """One hash for a list of features in order; a model carries it."""
    return hashlib.sha256("|".join(f"{f.name}={f.hash}" for f in features).encode()).hexdigest()[:16]


def resolve(
    named: Sequence[tuple[str, str]], catalogue: Sequence[Feature] = CATALOGUE, vocabularies: Mapping[str, tuple[str, ...]] = _NONE
) -> tuple[Feature, ...]:
    """The features a model names, in its order.

    Args:
        named: (name, hash) of each feature, as the model's metadata carries them.
        catalogue: the features that this program can compute, attributes aside.
        vocabularies: of each attribute that is a category, by the feature's name.

    Raises:
        ModelError: if the model names a feature that is missing here, defined otherwise, or for reasons only.
    """
    known = {f.name: f for f in catalogue}
    known |= {f.name: f for name, _ in named if (f := attribute_feature(name, vocabularies.get(name)))}
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


def attribute_feature(name: str, vocabulary: tuple[str, ...] | None = None) -> Feature | None:
    """One of a payment's own values by the name of its feature, `attributes.<name>`; None where that is no such name."""
    own, _, field = name.partition(".")
    if own != NUMBER or not 0 < len(field) <= LONGEST_ATTRIBUTE:
        return None
    return Feature(NUMBER, field=field) if vocabulary is None else Feature(CATEGORY, field=field, vocabulary=vocabulary)
