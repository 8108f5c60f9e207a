"""Profiles: the lists of features that a model can be trained on, chosen by name and carried in the model's metadata."""

from __future__ import annotations

from collections.abc import Sequence

from stream_app.errors import SettingsError
from stream_app.features.aggregations import Quantity
from stream_app.features.definitions import HANDBOOK, VELOCITY, Feature, check_unique

HANDBOOK_PROFILE, DEFAULT_PROFILE, PASSTHROUGH = "handbook", "velocity", "passthrough"
PROFILES = (HANDBOOK_PROFILE, DEFAULT_PROFILE, PASSTHROUGH)


def features_of(profile: str, attributes: Sequence[str] = ()) -> tuple[Feature, ...]:
    """The features of a profile, in order.

    - `handbook`: the 15 of the Fraud Detection Handbook;
    - `velocity`: those and all others of the catalogue;
    - `passthrough`: the amount and the named numbers of `attributes`, as v1 … v28 of the ULB data. No history is needed.

    Raises:
        SettingsError: if there is no such profile, or `attributes` do not belong to it, are missing or named twice.
    """
    if profile not in PROFILES:
        raise SettingsError(f"Feature profile {profile!r} is unknown. Allowed: {', '.join(PROFILES)}.")
    if profile != PASSTHROUGH:
        if attributes:
            raise SettingsError(
                f"Attributes belong to the profile {PASSTHROUGH!r}, not to {profile!r}. Leave them out, or change the profile."
            )
        return HANDBOOK if profile == HANDBOOK_PROFILE else VELOCITY
    if not attributes:
        raise SettingsError(f"The profile {PASSTHROUGH!r} needs the names of attributes. Name them, as `--attributes v1,v2`.")
    features = (Feature("amount"), *(Feature("attributes", field=name) for name in attributes))
    check_unique(features)
    return features


def features_table() -> str:
    """Every feature of the catalogue in Markdown: what it says, and its value where there is no history or a field is missing."""
    rows = [
        f"{len(VELOCITY)} features, and the producer's own numbers:",
        "",
        "| feature | meaning | neutral | handbook |",
        "|---|---|---|---|",
    ]
    for feature in (*VELOCITY, Feature("attributes", field="name")):
        neutral = f"{feature.of.neutral:,.0f}" if feature.of.neutral else "0"
        rows.append(f"| `{feature.name}` | {feature.meaning} | {neutral} | {'yes' if feature in HANDBOOK else ''} |")
    return "\n".join(rows)


def quantities_table() -> str:
    """Everything that tiles hold, in Markdown: number, unit, and how it combines."""
    rows = ["| kept | number | of | combines as |", "|---|---|---|---|"]
    rows += [f"| `{quantity.name}` | {int(quantity)} | {quantity.unit} | {quantity.combination.name.lower()} |" for quantity in Quantity]
    return "\n".join(rows)
