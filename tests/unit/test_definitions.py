"""What a model may ask for: features of the catalogue, as they are defined here."""

from __future__ import annotations

import pytest

from stream_app.errors import ModelError
from stream_app.features.definitions import CATALOGUE, CONTEXT_FEATURES, DEFAULT_FEATURES, Feature, resolve


def named(*features: Feature) -> list[tuple[str, str]]:
    """As a model's metadata carry them."""
    return [(f.name, f.hash) for f in features]


def test_a_model_may_name_any_features_but_those_of_the_texts_in_any_order() -> None:
    """In its own order, which is that of its columns."""
    chosen = DEFAULT_FEATURES[::-2]
    assert resolve(named(*chosen)) == chosen
    assert set(CATALOGUE) - set(DEFAULT_FEATURES) == set(CONTEXT_FEATURES)


@pytest.mark.parametrize("feature", CONTEXT_FEATURES, ids=lambda f: f.name)
def test_a_model_that_names_a_feature_of_the_texts_is_refused_when_it_is_loaded(feature: Feature) -> None:
    """It has no code and no sentence: its first alert would fail."""
    with pytest.raises(ModelError, match=rf"'{feature.name}', which is for the texts of reasons only\. Train it again"):
        resolve(named(DEFAULT_FEATURES[0], feature))


def test_a_model_of_other_features_or_definitions_is_refused() -> None:
    """One line each, with what to do."""
    with pytest.raises(ModelError, match=r"'device_count_1d', which this version does not know\. Deploy"):
        resolve([("device_count_1d", "0")])
    with pytest.raises(ModelError, match=r"another definition of 'amount' \(0, here .*Retrain"):
        resolve([("amount", "0")])
