"""The feature list as data: what may be defined, what a model may ask for, and what is refused, by name."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stream_app.errors import ModelError, SettingsError
from stream_app.features.aggregations import AGGREGATIONS, DAY_S, DELAY_S, HORIZON_S, HOUR_S
from stream_app.features.definitions import CATALOGUE, CONTEXT_FEATURES, HANDBOOK, PAYMENTS, VELOCITY, Feature, check_unique, resolve
from stream_app.features.entities import ENTITIES
from stream_app.features.model_metadata import METADATA_KEY, Bands, ModelMetadata, ParityVectors, read_metadata
from stream_app.features.profiles import features_of


def named(*features: Feature) -> list[tuple[str, str]]:
    """As a model's metadata carry them."""
    return [(f.name, f.hash) for f in features]


def test_a_model_may_name_any_features_but_those_of_the_texts_in_any_order() -> None:
    """In its own order, which is that of its columns."""
    chosen = VELOCITY[::-2]
    assert resolve(named(*chosen)) == chosen
    assert set(CATALOGUE) - set(PAYMENTS) == set(CONTEXT_FEATURES)


def test_a_model_may_name_any_attribute_for_which_no_state_is_kept() -> None:
    """As v1 … v28 of the ULB data."""
    chosen = features_of("passthrough", ["v1", "V 2", "x.y"])
    assert [f.name for f in chosen] == ["amount", "attributes.v1", "attributes.V 2", "attributes.x.y"]
    assert resolve(named(*chosen)) == chosen


@pytest.mark.parametrize("feature", CONTEXT_FEATURES, ids=lambda f: f.name)
def test_a_model_that_names_a_feature_of_the_texts_is_refused_when_it_is_loaded(feature: Feature) -> None:
    """It has no code and no sentence: its first alert would fail."""
    with pytest.raises(ModelError, match=rf"'{feature.name}', which is for the texts of reasons only\. Train it again"):
        resolve(named(VELOCITY[0], feature))


@pytest.mark.parametrize("name", ["shop_count_1d", "attributes.", "attributes." + "x" * 65, "amount.x"])
def test_a_model_of_other_features_is_refused(name: str) -> None:
    """One line, with what to do."""
    with pytest.raises(ModelError, match=rf"'{name}', which this version does not know\. Deploy"):
        resolve([(name, "0")])


def test_a_model_of_other_definitions_is_refused() -> None:
    """One line, with what to do."""
    for name in ("amount", "attributes.v1"):
        with pytest.raises(ModelError, match=rf"another definition of '{name}' \(0, here .*Retrain"):
            resolve([(name, "0")])


def test_the_hashes_of_the_first_features_stand() -> None:
    """Models trained before there were profiles are still served: pinned, because a changed hash refuses them all."""
    assert Feature("amount").hash == "ec0da95c88df2197"
    assert Feature("count", "card", DAY_S).hash == "fc74041b5bbd12f9"
    assert Feature("risk", "terminal", 30 * DAY_S, DELAY_S).hash == "7a71e293d01e2f04"


def test_the_profiles_hold_what_is_promised() -> None:
    """The book's 15 begin each, then come those of `velocity`; `payments` has everything that state is kept for; no two names are the same."""
    assert features_of("handbook") == HANDBOOK == VELOCITY[:15]
    assert features_of("velocity") == VELOCITY == PAYMENTS[:63]
    assert features_of("payments") == PAYMENTS
    assert {f.entity for f in VELOCITY} == {None, "card", "terminal", "device"}
    assert {f.entity for f in PAYMENTS} == {None, *ENTITIES}
    assert len({f.name for f in CATALOGUE}) == len(CATALOGUE)
    for entity in ("card", "terminal", "device"):
        for window in (HOUR_S, DAY_S, 7 * DAY_S, 30 * DAY_S):
            assert {Feature(a, entity, window) for a in ("count", "mean_amount", "amount_ratio")} <= set(VELOCITY)


@pytest.mark.parametrize(
    ("definition", "told"),
    [
        ({"aggregation": "median"}, r"aggregation 'median': unknown\. Allowed: amount, weekend, night, .*first_time"),
        (
            {"aggregation": "count", "entity": "shop", "window_s": DAY_S},
            "over entity 'shop': allowed is one of card, terminal, device, merchant, mcc, country, ip",
        ),
        ({"aggregation": "count", "window_s": DAY_S}, "over entity None: allowed is one of card, terminal, device"),
        ({"aggregation": "risk", "entity": "device", "window_s": DAY_S, "delay_s": DELAY_S}, "'device': allowed is one of card, terminal"),
        ({"aggregation": "night", "entity": "card"}, "over entity 'card': allowed is none"),
        ({"aggregation": "declines_in_a_row", "entity": "terminal"}, "over entity 'terminal': allowed is one of card"),
        ({"aggregation": "count", "entity": "card", "window_s": 7200}, "window of 7200 s: allowed are 3600, 86400, 604800, 2592000"),
        ({"aggregation": "count", "entity": "card"}, "window of 0 s: allowed are 3600"),
        ({"aggregation": "mean_amount", "entity": "card", "window_s": DAY_S, "delay_s": DELAY_S}, "delayed by 604800 s: allowed are"),
        ({"aggregation": "count", "entity": "card", "window_s": HOUR_S, "delay_s": DELAY_S}, "on windows of a day or more"),
        (
            {"aggregation": "first_time", "entity": "card", "window_s": HORIZON_S, "field": "ip"},
            "'ip': allowed is one of terminal_id, country",
        ),
        ({"aggregation": "count", "entity": "card", "window_s": DAY_S, "field": "country"}, "of field 'country': allowed is none"),
        ({"aggregation": "attributes"}, "name one of the payment's `attributes`"),
    ],
    ids=lambda d: "_".join(map(str, d.values())) if isinstance(d, dict) else "",
)
def test_a_definition_that_makes_no_sense_is_refused_with_what_is_allowed(definition: dict[str, Any], told: str) -> None:
    """Unknown aggregation, entity, window, delay or field: one line that says which, and what is allowed."""
    with pytest.raises(SettingsError, match=told):
        Feature(**definition)


def test_two_features_of_one_name_are_refused() -> None:
    """Naming it."""
    with pytest.raises(SettingsError, match="'card_count_1d' is listed twice"):
        check_unique([*VELOCITY, Feature("count", "card", DAY_S)])
    with pytest.raises(SettingsError, match=r"'attributes.v1' is listed twice"):
        features_of("passthrough", ["v1", "v1"])


@pytest.mark.parametrize(
    ("profile", "attributes", "told"),
    [
        ("default", [], "'default' is unknown. Allowed: handbook, velocity, payments, passthrough"),
        ("passthrough", [], "needs the names of attributes"),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused(profile: str, attributes: list[str], told: str) -> None:
    """One line with the remedy."""
    with pytest.raises(SettingsError, match=told):
        features_of(profile, attributes)


@pytest.mark.parametrize("profile", ["handbook", "velocity", "passthrough"])
def test_attributes_stand_beside_the_features_of_every_profile(profile: str) -> None:
    """Behind them, in the order asked for."""
    assert [f.name for f in features_of(profile, ["threeds", "v1"])][-2:] == ["attributes.threeds", "attributes.v1"]
    assert len(features_of(profile, ["v1"])) == {"handbook": 15, "velocity": len(VELOCITY), "passthrough": 1}[profile] + 1


def test_a_category_is_its_vocabulary() -> None:
    """Two models that know a text by other places must not share a column; a worker without the vocabulary refuses the model."""
    one, other = (Feature("category", field="threeds", vocabulary=texts) for texts in (("no", "yes"), ("yes", "no")))
    assert one.name == other.name == "attributes.threeds"
    assert one.hash != other.hash
    assert resolve([(one.name, one.hash)], vocabularies={one.name: one.vocabulary}) == (one,)
    for vocabularies in ({}, {other.name: other.vocabulary}):
        with pytest.raises(ModelError, match=r"another definition of 'attributes\.threeds'"):
            resolve([(one.name, one.hash)], vocabularies=vocabularies)


def test_a_models_metadata_carry_its_vocabularies_and_nothing_where_it_has_none() -> None:
    """What another version wrote without them is read, and what has none is written as before."""
    way, amount = Feature("category", field="way", vocabulary=("no", "yes")), Feature("amount")
    said: dict[str, Any] = {"threshold": 0.3, "bands": Bands(0.5, 0.9), "parity": ParityVectors((), ()), "trained_at_ms": 0}
    for features, vocabularies in (((way, amount), {way.name: way.vocabulary}), ((amount,), msgspec.UNSET)):
        written = msgspec.json.encode(
            ModelMetadata(features=tuple((f.name, f.hash) for f in features), vocabularies=vocabularies, **said)
        ).decode()
        assert ("vocabularies" in written) == (way in features)
        assert read_metadata({METADATA_KEY: written}).resolved() == features


@pytest.mark.parametrize(
    "definition",
    [
        {"aggregation": "attributes", "vocabulary": ("a",)},
        {"aggregation": "category", "vocabulary": tuple(map(str, range(65)))},
        {"aggregation": "category", "vocabulary": ("a", "a")},
        {"aggregation": "category", "vocabulary": ("",)},
    ],
)
def test_a_vocabulary_that_makes_no_sense_is_refused(definition: dict[str, Any]) -> None:
    """Of a number, too many texts, one twice, an empty one, which is as not given."""
    with pytest.raises(SettingsError, match="has a vocabulary of at most 64 texts, each once, none of them empty"):
        Feature(field="v1", **definition)


def test_every_aggregation_says_what_it_means_and_what_it_is_worth_without_history() -> None:
    """The list in the documents is made of these."""
    for feature in CATALOGUE:
        assert "{" not in feature.meaning
        assert AGGREGATIONS[feature.aggregation].neutral == feature.of.neutral
