"""Which features can be computed from the tiles that state keeps: those of the catalogue, and any other definition over the same tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from itertools import product
from types import MappingProxyType

from stream_app.errors import SettingsError
from stream_app.features.aggregations import AGGREGATIONS
from stream_app.features.definitions import CATALOGUE, CONTEXT_FEATURES, Feature, attribute_feature, check_unique
from stream_app.features.plan import needs_of, row_layout_of, terms_of


@cache
def kept_features() -> MappingProxyType[str, Feature]:
    """Every feature that can be computed from the tiles that state keeps for the catalogue, by name."""
    found = {feature.name: feature for feature in CATALOGUE}
    found |= {feature.name: feature for feature in definable_features() if feature.name not in found and _is_kept(feature)}
    return MappingProxyType(found)


def definable_features() -> Iterator[Feature]:
    """Every feature that can be defined over any entity and window, whether state is kept for it or not."""
    for name, of in AGGREGATIONS.items():
        if of.fields is None:
            continue
        for entity, window, delay, field in product(of.entities or (None,), of.windows_s, of.delays_s, of.fields):
            try:
                yield Feature(name, entity, window, delay, field)
            except SettingsError:  # a delay goes with windows of a day or more only
                continue


def _is_kept(feature: Feature) -> bool:
    if feature.entity is None:
        return True
    series = row_layout_of(feature.entity, CATALOGUE).series
    if not terms_of(feature) and needs_of(feature):
        return all((feature.hop_s, quantity) in series for quantity in needs_of(feature))
    return all(series.get((term.hop_s, q), (0, 0))[1] >= term.tiles for term in terms_of(feature) for q in needs_of(feature))


def named_features(names: Sequence[str]) -> tuple[Feature, ...]:
    """The features of these names, in order: any that state keeps the tiles of, and `attributes.<name>`.

    Raises:
        SettingsError: there are none, one stands twice, is not known, is of tiles that state does not keep, or is for the texts of reasons only.
    """
    if not names:
        raise SettingsError("A list of features is empty. Name at least one, as `amount`.")
    known = kept_features()
    found = [known.get(name) or attribute_feature(name) or _refuse(name) for name in names]
    for feature in found:
        if feature in CONTEXT_FEATURES:
            raise SettingsError(f"Feature {feature.name!r} is for the texts of reasons only. Leave it out.")
    check_unique(found)
    return tuple(found)


def _refuse(name: str) -> Feature:
    if any(feature.name == name for feature in definable_features()):
        raise SettingsError(
            f"Feature {name!r} can be defined, but state keeps no tiles of that window. Add it to `_payments()` in stream_app/features/definitions.py: "
            "it is whole once its window has passed."
        )
    near = get_close_matches(name, [*kept_features()], 1, 0.5)
    told = f"; the nearest is {near[0]!r}" if near else ""
    raise SettingsError(
        f"Feature {name!r} is unknown{told}. docs/features.md lists them; one of the payment's own numbers is `attributes.<name>`."
    )
