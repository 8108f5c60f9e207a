"""The entities, as data: what state is kept of, which field of a payment names it, and what its keys are called. A new one is a line here.

Tiles, plan, packed rows, training, the stream, takeover, rebuild, `repartition` and the list in the documents follow. What it says in words is
asked for by `stream_app.explaining.sentences`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from types import MappingProxyType
from typing import Literal, get_args

from stream_app.errors import SettingsError

Entity = Literal["card", "terminal", "device", "merchant", "mcc", "country", "ip"]
type KeptEntities = frozenset[Entity]
"""Of which entities a deployment keeps state. Of others nothing is named, read or written: they cost nothing, and their features are neutral."""

_IPV4_BITS, _IPV6_BITS = 24, 48
"""Of an address, what its network has in common: a /24, and a /48, as one site is given."""
_KNOWN_ADDRESSES = 65_536


@dataclass(frozen=True, slots=True)
class EntityKind:
    """What is known of one entity, but for what is computed of it.

    Attributes:
        field: of a payment, that names it; of a label too, where `labelled`.
        called: for people.
        key: what its keys in the store begin with, before a colon.
        required: whether every payment names one; else its features are neutral where none is named.
        labelled: whether a label names it: of others there are no counts of fraud.
        named: the id that a text of the field stands for, or None where it stands for none; None: the text is the id.
    """

    field: str
    called: str
    key: str
    required: bool = False
    labelled: bool = False
    named: Callable[[str], str | None] | None = None

    def id_of(self, message: object) -> str | None:
        """The id that a payment or a label names; None where it names none."""
        text: str | None = getattr(message, self.field, None)
        return text if text is None or self.named is None else self.named(text)


@lru_cache(_KNOWN_ADDRESSES)
def ip_prefix(text: str) -> str | None:
    """The network of an IP address: `203.0.113.0/24`, `2001:db8:1::/48`; None where the text is no address. An IPv4 address in the clothes of IPv6
    is one of IPv4.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    bits = _IPV6_BITS if isinstance(address, IPv6Address) else _IPV4_BITS
    rest = address.max_prefixlen - bits
    return f"{type(address)(int(address) >> rest << rest)}/{bits}"


KINDS: Mapping[Entity, EntityKind] = MappingProxyType(
    {
        "card": EntityKind("card_id", "card", "c", required=True, labelled=True),
        "terminal": EntityKind("terminal_id", "terminal", "t", required=True, labelled=True),
        "device": EntityKind("device_id", "device", "d"),
        "merchant": EntityKind("merchant_id", "merchant", "m", labelled=True),
        "mcc": EntityKind("mcc", "merchant category", "mc", labelled=True),
        "country": EntityKind("country", "country", "co", labelled=True),
        "ip": EntityKind("ip", "IP network", "i", labelled=True, named=ip_prefix),
    }
)
ENTITIES: tuple[Entity, ...] = tuple(KINDS)
"""Cards first: theirs is the order of the log. All others are shared: their payments come through many partitions."""
SHARED: tuple[Entity, ...] = ENTITIES[1:]
LABELLED: tuple[Entity, ...] = tuple(entity for entity, kind in KINDS.items() if kind.labelled)
"""What a label names. The others have no counts of fraud."""
OPTIONAL: tuple[Entity, ...] = tuple(entity for entity, kind in KINDS.items() if not kind.required)
"""What a payment may lack: its features are neutral then."""
KEPT_BY_DEFAULT: KeptEntities = frozenset({"card", "terminal", "device"})
ALL: KeptEntities = frozenset(ENTITIES)


def kept_of(names: str) -> KeptEntities:
    """The entities of a list with commas, as `terminal,device,merchant`; cards always.

    Raises:
        SettingsError: if one is unknown, naming it.
    """
    known = {str(entity): entity for entity in ENTITIES}
    asked = [name.strip() for name in names.split(",") if name.strip()]
    for name in asked:
        if name not in known:
            raise SettingsError(f"FRAUDSTREAM_ENTITIES names {name!r}, which is no entity. Allowed: {', '.join(SHARED)}.")
    return frozenset({ENTITIES[0], *(known[name] for name in asked)})


def in_order(kept: KeptEntities) -> tuple[Entity, ...]:
    """The shared ones among them, in the order of the table."""
    return tuple(entity for entity in SHARED if entity in kept)


def check_kinds(kinds: Mapping[Entity, EntityKind]) -> None:
    """Refuse a table that lacks an entity, or in which two have the same key: one would read the other's rows.

    Raises:
        SettingsError: naming what is wrong.
    """
    if set(kinds) != set(get_args(Entity)) or next(iter(kinds)) != "card":
        raise SettingsError(
            f"The entities are {', '.join(get_args(Entity))}; the table has {', '.join(kinds)}. Give each a line, cards first."
        )
    keys = [kind.key for kind in kinds.values()]
    for key in keys:
        if keys.count(key) > 1 or key == "n":
            raise SettingsError(f"The key {key!r} is taken, by an entity or by notes. Give each entity one of its own.")


check_kinds(KINDS)
