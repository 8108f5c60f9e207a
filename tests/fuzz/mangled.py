"""Bytes that are nearly right: a message or a packed value in which something is other than it must be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

NUMBERS = st.integers(-(2**70), 2**70) | st.floats() | st.sampled_from([0, -0.0, 1e308, 2**63 - 1, 2**63, -(2**63), 253_402_300_799_999])
TEXTS = st.text(max_size=70) | st.sampled_from(["", "\x00", "\u2028", "4111111111111111", "EUR", "eur", "é" * 64, "a" * 65, "\U0001f4b3"])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def mangled_bytes(draw: st.DrawFn, value: bytes) -> bytes:
    """A value with some bytes turned, cut out, put in or doubled."""
    made = bytearray(value)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(made)))
        how = draw(st.sampled_from(["turn", "cut", "put", "double"]))
        if how == "turn" and at < len(made):
            made[at] = draw(st.integers(0, 255))
        elif how == "cut":
            del made[at : at + draw(st.integers(1, 9))]
        elif how == "put":
            made[at:at] = draw(st.binary(min_size=1, max_size=9) | st.just(b"\xff" * 9))
        else:
            made[at:at] = made[at : at + draw(st.integers(1, 40))]
    return bytes(made)


@st.composite
def mangled_message(draw: st.DrawFn, message: Mapping[str, Any]) -> bytes:
    """A JSON message with fields that are missing, others, or of another kind; then bytes of it, now and then."""
    made = {name: value for name, value in message.items() if draw(st.integers(0, 9))}
    names = st.sampled_from([*message, "unknown"])
    made |= draw(st.dictionaries(names, JSON, max_size=3))
    value = json.dumps(made, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    return draw(mangled_bytes(value)) if draw(st.integers(0, 3)) == 0 else value
