"""Compiled programs say what the oracle says, of any expression and any payment; what several rules say is worked out once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_app.errors import RuleError
from stream_app.messages.transaction import Transaction
from stream_app.rules.expression import parse
from stream_app.rules.program import Condition, compiled
from tests.examples import examples
from tests.unit.rules.made import FEATURES, NOW_MS, batch, hit, lists, payment, rule, verdicts
from tests.unit.rules.oracle import says

LISTS = lists(watched=("terminal", "ask", ["term-1"]), travelling=("card", "ask", ["card-2"]))

NUMBERS = st.sampled_from(["0", "1", "2.5", "0.7", "0.1", "-3", "500", "1e15", "1e-9"])
NAMES = st.sampled_from(["amount", "billing_amount", "latitude", "score", "attributes.v1", "attributes.v2", *FEATURES[:4]])
SIDES = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])


def _sums(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), inner, inner),
        st.builds("abs({})".format, inner),
        st.builds("-({})".format, inner),
    )


VALUES = st.recursive(NAMES, lambda inner: _sums(inner | NUMBERS) | st.just("hour(event_time)"), max_leaves=4)


def is_taken(text: str) -> bool:
    """Whether it is an expression: two constants that are compared are none, nor is a division by 0 that always is."""
    try:
        parse(text)
    except RuleError:
        return False
    return True


ATOMS = st.one_of(
    st.builds("{} {} {}".format, VALUES, SIDES, VALUES | NUMBERS),
    st.builds("{} {} {}".format, NUMBERS, SIDES, VALUES),
    st.builds("{} < {} <= {}".format, NUMBERS, VALUES, NUMBERS),
    st.builds('channel {} "{}"'.format, st.sampled_from(["==", "!="]), st.sampled_from(["online", "atm"])),
    st.builds("currency {} billing_currency".format, st.sampled_from(["==", "!="])),
    st.sampled_from(['channel in ("online", "moto")', 'country in ("FR", "DE")', "card_count_1h in (1, 0.7)"]),
    st.sampled_from(["approved", "terminal_id in @watched", "card_id in @travelling"]),
    st.builds("missing({})".format, NAMES | st.sampled_from(["channel", "approved", "device_id", "country"])),
).filter(is_taken)
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner), st.builds("({} or {})".format, inner, inner), st.builds("not ({})".format, inner)
    ),
    max_leaves=6,
)
_NUMBER = st.sampled_from([0.0, 1.0, 2.5, 0.7, 500.0, 1e9])


@st.composite
def payments(draw: st.DrawFn) -> tuple[Transaction, dict[str, float]]:
    """One, with what it may lack, and its features."""
    one = payment(
        terminal_id=draw(st.sampled_from(["term-1", "term-2"])),
        card_id=draw(st.sampled_from(["card-1", "card-2"])),
        amount=draw(_NUMBER),
        event_time=NOW_MS + draw(st.integers(0, 86_400_000)),
        billing_amount=draw(st.none() | _NUMBER),
        billing_currency=draw(st.sampled_from([None, "EUR", "USD"])),
        latitude=draw(st.none() | st.sampled_from([0.0, 0.7])),
        approved=draw(st.sampled_from([None, True, False])),
        channel=draw(st.sampled_from([None, "online", "moto", "atm"])),
        country=draw(st.sampled_from([None, "FR", "DE"])),
        device_id=draw(st.sampled_from([None, "d"])),
        attributes=draw(st.none() | st.dictionaries(st.sampled_from(["v1", "v2"]), st.sampled_from([0.0, -1.5, 1e300, -1e300]))),
    )
    return one, {name: draw(st.sampled_from([0.0, 1.0, 0.7, 3.0])) for name in FEATURES[:4]}


def env(one: Transaction, features: dict[str, float], money: float, score: float) -> dict[str, Any]:
    """What the oracle reads."""
    of_fields = {name: getattr(one, name) for name in one.__struct_fields__}
    of_features = {name: float(np.float32(value)) for name, value in features.items()}
    if one.device_id is None:
        of_features["device_count_1d"] = None  # type: ignore[assignment] # unknown
    return {
        **of_fields,
        **of_features,
        "attributes": one.attributes or {},
        "amount": None if np.isnan(money) else money,
        "score": score,
        "_watched": {"term-1"},
        "_travelling": {"card-2"},
    }


@examples(400)
@given(st.lists(EXPRESSIONS, min_size=1, max_size=4), st.lists(payments(), min_size=1, max_size=5), st.data())
def test_a_program_says_what_the_oracle_says(
    texts: list[str], some: list[tuple[Transaction, dict[str, float]]], data: st.DataObject
) -> None:
    """Several rules at once over several payments: true exactly where the oracle says so, neither false nor unknown."""
    money = [data.draw(st.sampled_from([one.amount, float("nan")])) for one, _ in some]
    whole = batch([one for one, _ in some], [features for _, features in some], money=np.array(money))
    found = verdicts(whole, *(rule(text, code=f"r{n}") for n, text in enumerate(texts)), beside=LISTS)
    assert found.failed == {}
    expected = [[says(text, env(*one, cents, 0.5)) is True for one, cents in zip(some, money, strict=True)] for text in texts]
    assert found.hits.tolist() == expected


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 700])
def test_blocks_of_payments_meet_without_a_seam(count: int) -> None:
    """The kernel takes them in blocks."""
    some = [payment(amount=float(n)) for n in range(count)]
    found = verdicts(batch(some), rule("amount >= 100 and amount + 1 <= 300"))
    assert np.flatnonzero(found.hits[0]).tolist() == list(range(100, min(count, 300)))


@pytest.mark.parametrize(
    ("expression", "hits"),
    [
        ("billing_amount > 1", False),
        ("not billing_amount > 1", False),
        ("billing_amount > 1 or amount == 10", True),
        ("not (billing_amount > 1 and amount > 99)", True),
        ("not (billing_amount > 1 and amount == 10)", False),
        ("missing(billing_amount)", True),
        ("not missing(amount) and missing(attributes.v1) and missing(ip)", True),
        ("billing_amount != 1", False),
        ('channel != "online"', False),
        ("currency != billing_currency", False),
        ("approved", False),
        ("not approved", False),
        ("device_id in @watched", False),
        ("not device_id in @watched", False),
        ("amount / 0 > 1", False),
        ("not amount / 0 > 1", False),
        ("amount / (amount - 10) > 1 or amount / (amount - 10) <= 1", False),
        ("min(amount, billing_amount) < 99", False),
    ],
)
def test_unknown_never_hits_nor_does_its_opposite(expression: str, hits: bool) -> None:  # noqa: FBT001 - a case of the table
    """A payment of 10 that says no more than it must."""
    found = verdicts(batch([payment()]), rule(expression), beside=lists(watched=("device", "ask", ["d"])))
    assert found.hits.tolist() == [[hits]]


def test_a_number_beside_a_feature_is_rounded_as_the_feature_is() -> None:
    """Seven of ten is 0.7, though no number of 32 bits is; money is exact, and so is what is computed."""
    assert hit("card_online_share_30d >= 0.7", features={"card_online_share_30d": 0.7})
    assert hit("card_online_share_30d == 0.7 and card_online_share_30d in (0.7, 1)", features={"card_online_share_30d": 0.7})
    assert hit("score == 0.1", scores=np.array([0.1], dtype=np.float32))
    assert hit("amount == 500.1", payment(amount=500.1))


def test_a_feature_that_the_payment_does_not_speak_of_is_unknown() -> None:
    """A device that is not named has no count, a place that is not given no speed, money without a rate no ratio."""
    assert not hit("not device_count_1d > 5")
    assert hit("not device_count_1d > 5", payment(device_id="d"))
    assert not hit("card_speed_kmh < 5", payment(latitude=1.0))
    assert hit("card_speed_kmh < 5", payment(latitude=1.0, longitude=1.0))
    assert not hit("card_amount_ratio_7d < 5 or amount < 5", money=np.array([np.nan]))
    assert hit("card_amount_ratio_7d < 5")


@examples(50)
@example(NOW_MS + 1)
@given(st.integers(NOW_MS, NOW_MS + 40 * 86_400_000))
def test_an_hour_is_that_of_utc(at_ms: int) -> None:
    """Whatever the clock of the machine says."""
    assert hit(f"hour(event_time) == {at_ms // 3_600_000 % 24}", payment(event_time=at_ms))


def test_a_time_is_compared_with_a_date() -> None:
    """UTC, unless it says otherwise."""
    assert hit('event_time >= "2026-11-23T22:00:00" and event_time < "2026-11-23T23:00:01+01:00"', payment(event_time=1795471200000))


def test_what_several_rules_say_is_worked_out_once() -> None:
    """200 rules of ten conditions need ten comparisons more, not 2,000."""
    parts = [f'amount > {n} and channel == "online"' for n in range(10)]
    alone = compiled([Condition(parse(part).root) for part in parts])
    many = compiled([Condition(parse(parts[n % 10]).root) for n in range(200)])
    assert len(many.code) == len(alone.code) == 21
    assert many.roots.tolist() == alone.roots.tolist() * 20
