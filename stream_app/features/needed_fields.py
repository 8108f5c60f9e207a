"""What features need of a payment beyond what every payment has: the fields that a source may lack, and that leave a feature neutral without a word."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from stream_app.features.aggregations import Op, Quantity
from stream_app.features.definitions import Feature
from stream_app.features.entities import KINDS, OPTIONAL

_OF_OPS: Mapping[Op, tuple[str, ...]] = MappingProxyType({Op.DISTANCE: ("latitude", "longitude"), Op.SPEED: ("latitude", "longitude")})
_OF_HISTORIES = frozenset({"approved", "type"})
"""What says which of an entity's payments were declined or given back: all that is counted of them follows."""
_OPTIONAL = frozenset({"country", "device_id", "mcc"})
"""Of the names that first times, and numbers of different ones, are of."""
_CODES: Mapping[str, str] = MappingProxyType({"channel_code": "channel", "type_code": "type", "mcc_code": "mcc"})
"""Of features that are a field of the payment itself."""


def fields_read(features: Iterable[Feature]) -> tuple[str, ...]:
    """The fields that features read and a payment may lack, by name; own values as `attributes.NAME`."""
    return tuple(sorted({name for feature in features for name in _read_by(feature)}))


def _read_by(feature: Feature) -> set[str]:
    of = feature.of
    if of.fields is None:
        return {feature.name}
    found = {*_OF_OPS.get(of.op, ()), *(("channel",) if Quantity.ONLINE in of.needs else ())}
    found |= {_CODES[feature.name]} if feature.name in _CODES else set()
    found |= _OF_HISTORIES if feature.entity else set()
    found |= {KINDS[feature.entity].field} if feature.entity in OPTIONAL else set()
    return found | ({feature.field} & _OPTIONAL)
