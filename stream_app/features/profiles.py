"""Profiles: the lists of features that a model can be trained on, chosen by name and carried in the model's metadata."""

from __future__ import annotations

from collections.abc import Sequence

from stream_app.errors import SettingsError
from stream_app.features.aggregations import Quantity
from stream_app.features.definitions import CATEGORY, HANDBOOK, NUMBER, VELOCITY, Feature, check_unique

HANDBOOK_PROFILE, DEFAULT_PROFILE, PASSTHROUGH = "handbook", "velocity", "passthrough"
PROFILES = (HANDBOOK_PROFILE, DEFAULT_PROFILE, PASSTHROUGH)


def features_of(profile: str, attributes: Sequence[str] = ()) -> tuple[Feature, ...]:
    """The features of a profile, in order.

    - `handbook`: the 15 of the Fraud Detection Handbook;
    - `velocity`: those and all others of the catalogue;
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
    listed = {HANDBOOK_PROFILE: HANDBOOK, DEFAULT_PROFILE: VELOCITY, PASSTHROUGH: (Feature("amount"),)}[profile]
    features = (*listed, *(Feature(NUMBER, field=name) for name in attributes))
    check_unique(features)
    return features


def features_table() -> str:
    """Every feature of the catalogue in Markdown: what it says, and its value where there is no history or a field is missing."""
    rows = [
        f"{len(VELOCITY)} features, and the producer's own numbers and texts:",
        "",
        "| feature | meaning | neutral | handbook |",
        "|---|---|---|---|",
    ]
    for feature in (*VELOCITY, Feature(NUMBER, field="name"), Feature(CATEGORY, field="name")):
        neutral = f"{feature.of.neutral:,.0f}" if feature.of.neutral else "0"
        rows.append(f"| `{feature.name}` | {feature.meaning} | {neutral} | {'yes' if feature in HANDBOOK else ''} |")
    return "\n".join(rows)


def quantities_table() -> str:
    """Everything that tiles hold, in Markdown: number, unit, and how it combines."""
    rows = ["| kept | number | of | combines as |", "|---|---|---|---|"]
    rows += [f"| `{quantity.name}` | {int(quantity)} | {quantity.unit} | {quantity.combination.name.lower()} |" for quantity in Quantity]
    return "\n".join(rows)
