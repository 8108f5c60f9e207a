"""Profiles: the lists of features that a model can be trained on, chosen by name and carried in the model's metadata."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from stream_app.errors import SettingsError
from stream_app.features.aggregations import Quantity
from stream_app.features.definitions import CATEGORY, HANDBOOK, NUMBER, PAYMENTS, VELOCITY, Feature, check_unique

HANDBOOK_PROFILE, DEFAULT_PROFILE, PAYMENTS_PROFILE, PASSTHROUGH = "handbook", "velocity", "payments", "passthrough"
PROFILES = (HANDBOOK_PROFILE, DEFAULT_PROFILE, PAYMENTS_PROFILE, PASSTHROUGH)
_LISTS = MappingProxyType(
    {HANDBOOK_PROFILE: HANDBOOK, DEFAULT_PROFILE: VELOCITY, PAYMENTS_PROFILE: PAYMENTS, PASSTHROUGH: (Feature("amount"),)}
)


def features_of(profile: str, attributes: Sequence[str] = ()) -> tuple[Feature, ...]:
    """The features of a profile, in order.

    - `handbook`: the 15 of the Fraud Detection Handbook;
    - `velocity`: those, and what card, terminal and device did in the last hour, day, week and month;
    - `payments`: those, what labels say of the card's and the terminal's episode of fraud, and who, where and how;
    - `passthrough`: the amount alone, beside `attributes`, as v1 … v28 of the ULB data. No history is needed.

    The producer's own `attributes`, numbers or texts, may stand beside each of them. Which of them are texts is for the data to say: those become
    categories in training.

    Raises:
        SettingsError: if there is no such profile, or it has nothing but `attributes` and they are missing, or one is named twice.
    """
    if profile not in PROFILES:
        raise SettingsError(f"Feature profile {profile!r} is unknown. Allowed: {', '.join(PROFILES)}.")
    if profile == PASSTHROUGH and not attributes:
        raise SettingsError(f"The profile {PASSTHROUGH!r} needs the names of attributes. Name them, as `--attributes v1,v2`.")
    features = (*_LISTS[profile], *(Feature(NUMBER, field=name) for name in attributes))
    check_unique(features)
    return features


def features_table() -> str:
    """Every feature that a model may name, in Markdown: what it says, its value where there is no history or a field is missing, its profiles."""
    rows = [
        f"{len(PAYMENTS)} features, {len(VELOCITY)} of them in `velocity`, and the producer's own numbers and texts:",
        "",
        "| feature | meaning | neutral | profiles |",
        "|---|---|---|---|",
    ]
    for feature in (*PAYMENTS, Feature(NUMBER, field="name"), Feature(CATEGORY, field="name")):
        neutral = f"{feature.of.neutral:,.0f}" if feature.of.neutral else "0"
        among = ", ".join(name for name, listed in _LISTS.items() if feature in listed) or "beside any"
        rows.append(f"| `{feature.name}` | {feature.meaning} | {neutral} | {among} |")
    return "\n".join(rows)


def quantities_table() -> str:
    """Everything that tiles hold, in Markdown: number, unit, and how it combines."""
    rows = ["| kept | number | of | combines as |", "|---|---|---|---|"]
    rows += [f"| `{quantity.name}` | {int(quantity)} | {quantity.unit} | {quantity.combination.name.lower()} |" for quantity in Quantity]
    return "\n".join(rows)
