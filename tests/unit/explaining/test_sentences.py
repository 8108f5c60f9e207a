"""Every feature that can be defined has words of its own, and what has none stops the program at start."""

from __future__ import annotations

from itertools import product

import pytest

from stream_app.errors import SettingsError
from stream_app.explaining import reason_codes, sentences
from stream_app.explaining.reason_codes import check_covered, reason_code
from stream_app.explaining.sentences import Usual, sentence
from stream_app.features.aggregations import AGGREGATIONS, DAY_S, Op
from stream_app.features.definitions import CATALOGUE, Feature

OWN_NUMBER = "The payment's own number"
SAID = frozenset({"place", "country", "channel", "mcc", "device_id", "attributes.v1"})


def definable() -> list[Feature]:
    """Each aggregation over all that it may be over."""
    features = []
    for name, of in AGGREGATIONS.items():
        over = product(of.entities or (None,), of.windows_s, of.delays_s, of.fields or ("v1",))
        features += [Feature(name, *parts) for parts in over if not parts[2] or parts[1] >= DAY_S]
    return features


@pytest.mark.parametrize("feature", definable(), ids=lambda f: f.name)
def test_every_feature_that_can_be_defined_has_a_code_and_words_of_its_own(feature: Feature) -> None:
    """None is told as a number of the producer's, but those that are; a value and none at all are both told."""
    assert reason_code(feature).isupper()
    for value in (0.0, 1.0, 80.0):
        text = sentence(feature, value, Usual(9, 5.0, said=SAID), "EUR")
        assert text.startswith(OWN_NUMBER) == (feature.aggregation == "attributes")
        assert "  " not in text
        assert text.endswith(".")


def test_what_can_be_defined_is_all_there_is() -> None:
    """Every operation, and every feature of the catalogue."""
    assert {feature.of.op for feature in definable()} == set(Op)
    assert set(CATALOGUE) <= set(definable())


def test_a_producers_own_number_is_told_by_its_name() -> None:
    """As `--attributes v1` gives it to a model."""
    assert sentence(Feature("attributes", field="v1"), 80, Usual(9, 5.0, said=SAID), "EUR") == f"{OWN_NUMBER} v1 is 80."


def test_a_text_of_the_producer_is_told_by_their_name_and_in_their_words() -> None:
    """Not as the place that the model has it at; one that it does not know, and none, are told as such."""
    way = Feature("category", field="threeds", vocabulary=("frictionless", "challenge"))
    usual = Usual(9, 5.0, said=frozenset({"attributes.threeds"}))
    assert sentence(way, 3, usual, "EUR") == "The payment's own threeds is 'challenge'."
    assert sentence(way, 1, usual, "EUR") == "The payment's own threeds is a value that the model does not know."
    assert sentence(way, 0, Usual(9, 5.0), "EUR") == "The payment has no threeds of its own."


@pytest.mark.parametrize("told", [sentences._TOLD, sentences._AT, sentences._WHERE_FIRST, sentences._COMPARED, reason_codes._OF_AN_ENTITY])
def test_what_has_no_words_stops_the_program_at_start(told: dict[str, str]) -> None:
    """With its name and the place that lacks it; no sentence of another feature is taken."""
    with pytest.raises(SettingsError, match=r"Alerts cannot say what unheard_of is\. Give it a sentence in `_TOLD`"):
        check_covered([*told, "unheard_of"], told, "a sentence in `_TOLD`")
    check_covered(told, told, "a sentence")


@pytest.mark.parametrize(
    ("currency", "amount", "usual"), [("EUR", "1234.50", "12.35"), ("JPY", "1234", "12"), ("KWD", "1234.500", "12.346")]
)
def test_money_has_the_decimals_of_its_currency(currency: str, amount: str, usual: str) -> None:
    """A yen has no hundredth, a dinar has a thousandth."""
    said = Usual(9, 12.3456, said=SAID)
    assert sentence(Feature("amount"), 1234.5, said, currency) == f"The amount is {amount} {currency}; this card's usual is {usual}."
