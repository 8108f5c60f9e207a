"""A list of features in a file: what it gives, and what is refused with its name and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_app.errors import ModelError, SettingsError
from stream_app.features.definitions import CONTEXT_FEATURES, VELOCITY, Feature
from stream_app.features.kept import kept_features, named_features
from stream_app.features.model_metadata import Bands, ModelMetadata, ParityVectors
from training.data.feature_file import LARGEST_FILE, read_features


def listed(tmp_path: Path, text: str) -> tuple[Feature, ...]:
    """What a file with this text gives."""
    file = tmp_path / "mine.yml"
    file.write_text(text, encoding="utf-8")
    return read_features(file)


def test_a_list_begins_with_a_profile_leaves_some_out_and_adds_others(tmp_path: Path) -> None:
    """In that order; attributes too."""
    added = ["terminal_days_since_fraud_30d_delay_7d", "attributes.threeds"]
    found = listed(tmp_path, f"profile: velocity\nwithout: [weekend, night]\nfeatures: [{', '.join(added)}]\n")
    assert [f.name for f in found] == [*(f.name for f in VELOCITY if f.name not in {"weekend", "night"}), *added]


def test_a_list_may_name_whatever_state_keeps_the_tiles_of_and_a_worker_serves_it(tmp_path: Path) -> None:
    """Also what is in no profile; a model's metadata names it, and it is found again there."""
    found = listed(tmp_path, "features: [amount, terminal_seconds_since_last]\n")
    assert found == (Feature("amount"), Feature("seconds_since_last", "terminal"))
    named = tuple((f.name, f.hash) for f in found)
    parity = ParityVectors(((0.0, 0.0),), (0.0,))
    metadata = ModelMetadata(features=named, threshold=0.5, bands=Bands(0.6, 0.7), parity=parity, trained_at_ms=0)
    assert metadata.resolved() == found


def test_what_is_for_reasons_only_is_no_feature_of_a_model() -> None:
    """Neither in a list nor in a model."""
    [usual, *_] = CONTEXT_FEATURES
    assert usual.name in kept_features()
    with pytest.raises(SettingsError, match=f"'{usual.name}' is for the texts of reasons only"):
        named_features([usual.name])
    parity = ParityVectors(((0.0,),), (0.0,))
    of_reasons = ModelMetadata(
        features=((usual.name, usual.hash),), threshold=0.5, bands=Bands(0.6, 0.7), parity=parity, trained_at_ms=0
    )  # fmt: skip
    with pytest.raises(ModelError, match="for the texts of reasons only"):
        of_reasons.resolved()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("features: [card_count_2d]", r"'card_count_2d' is unknown; the nearest is 'card_count_\w+'.*docs/features\.md"),
        ("features: [terminal_amount_zscore_1h]", "'terminal_amount_zscore_1h' can be defined, but state keeps no tiles of that window"),
        ("features: [card_count_1d_delay_7d]", "'card_count_1d_delay_7d' can be defined, but state keeps no tiles of that window"),
        ("features: [amount, amount]", "'amount' is listed twice"),
        ("features: []", "is empty"),
        ("", "is no list of features"),
        ("[amount]", "is no list of features"),
        ("features: [1]", "is no list of features"),
        ("feature: [amount]", "is no list of features.*feature"),
        ("features: [amount", "is no list of features"),
        ("profile: best", "Feature profile 'best' is unknown"),
        ("profile: handbook\nwithout: [card_count_1h]", "leaves out 'card_count_1h', which its profile 'handbook' does not have"),
        ("without: [amount]", "leaves out 'amount', which its profile 'none'"),
        ("#" * (LARGEST_FILE + 1), "larger than 256 kB"),
    ],
)
def test_a_list_that_cannot_be_used_says_what_and_why(tmp_path: Path, text: str, told: str) -> None:
    """No traceback, and nothing is trained."""
    with pytest.raises(SettingsError, match=told):
        listed(tmp_path, text)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """By its path."""
    with pytest.raises(SettingsError, match=r"nowhere\.yml cannot be read \(No such file"):
        read_features(tmp_path / "nowhere.yml")
