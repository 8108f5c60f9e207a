"""Payments of a benchmark's portfolio: as they always were, unless asked to say who and where."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from benchmarks.payments import Portfolio
from stream_app.features.entities import ip_prefix

OF_ALL_BENCHMARKS = "8ff13c34b0628901cdcf65f42a050848d38702168ccf490458b7de2d023f259c"
"""SHA-256 of what other figures were measured on."""


def test_payments_that_name_nobody_are_byte_for_byte_what_they_always_were() -> None:
    """So figures of `velocity` stay comparable."""
    assert hashlib.sha256(b"".join(Portfolio(1000, 500).lines(3000))).hexdigest() == OF_ALL_BENCHMARKS


def test_payments_that_say_who_and_where_name_as_many_of_each_as_a_bank_sees() -> None:
    """Fewer merchants than terminals, one category each; 300 categories, 60 countries, addresses online alone, networks of several cards."""
    lines = Portfolio(20_000, 20_000, who_and_where=True).lines(40_000)
    paid: list[dict[str, Any]] = [msgspec.json.decode(b"{" + line.split(b"\t")[1]) for line in lines]
    of = {name: {p[name] for p in paid if name in p} for name in ("terminal_id", "merchant_id", "mcc", "country")}
    assert len(of["merchant_id"]) < len(of["terminal_id"]) / 2
    assert 250 < len(of["mcc"]) <= 300
    assert 50 < len(of["country"]) <= 60
    assert len({(p["merchant_id"], p["mcc"]) for p in paid}) == len(of["merchant_id"])
    assert all(("ip" in p) == (p["channel"] == "online") for p in paid)
    networks = {(ip_prefix(p["ip"]), p["card_id"]) for p in paid if "ip" in p}
    assert None not in {network for network, _ in networks}
    assert len(networks) > 5 * len({network for network, _ in networks})
