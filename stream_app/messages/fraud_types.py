"""How a card was misused: our words, and the codes that the schemes' fraud reports have for it.

Visa's TC40 has one sign, Mastercard's SAFE two digits, so a code says by itself whose it is.
"""

from __future__ import annotations

from types import MappingProxyType

from stream_app.messages.fields import Field, FieldKind

_TC40 = {
    "0": "lost",
    "1": "stolen",
    "2": "not_received",
    "3": "application",
    "4": "counterfeit",
    "5": "other",
    "6": "card_not_present",
    "9": "counterfeit",
    "A": "processing",
    "B": "account_takeover",
    "C": "merchant",
    "D": "manipulation",
}
_SAFE = {
    "00": "lost",
    "01": "stolen",
    "02": "not_received",
    "03": "application",
    "04": "counterfeit",
    "05": "account_takeover",
    "06": "card_not_present",
    "07": "merchant",
    "51": "merchant",
    "55": "manipulation",
    "56": "manipulation",
}
FRAUD_TYPES = tuple(sorted({*_TC40.values(), *_SAFE.values()}))
BY_CODE = MappingProxyType({**_TC40, **_SAFE, **{name: name for name in FRAUD_TYPES}})
"""What a report may say, a scheme's code or our word → our word."""

FRAUD_TYPE = Field(
    "fraud_type",
    FieldKind.CODE,
    required=False,
    default=None,
    nullable=True,
    codes=tuple(sorted(BY_CODE)),
    must_be=f"one of {', '.join(FRAUD_TYPES)}, or a code of TC40 (0 to 6, 9, A to D) or SAFE (00 to 07, 51, 55, 56)",
    example="counterfeit",
)
