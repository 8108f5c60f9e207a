"""What a training run is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stream_app.features.profiles import DEFAULT_PROFILE, features_of
from training.data.backfill import EUR
from training.fitting.measure import ThresholdTarget

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.features.definitions import Feature
    from stream_app.messages.money import Money
    from training.data.split import Split
    from training.fitting.fit import Recipe
    from training.fitting.registration import Registration


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to train on, and how.

    Attributes:
        data: file of transactions with labels; `mapping`, `refuse_card_numbers`: see `read_transactions`.
        labels: file of labels in the place of those in `data`; `labels_mapping`: what its columns are. See `training.data.label_join`.
        split: the windows.
        recipe: the model to fit; with `search`, its seed.
        search: choose the recipe on so many validation folds, see `training.fitting.search`; 0: fit `recipe`.
        profile, attributes: the features to train on, see `profiles.features_of`.
        listed: these in their place, see `feature_file.read_features`; empty: none.
        money: of the money features: the base currency and the rates into it.
        label_delay_days: when a fraud became known, where the file does not say.
        target: what the threshold follows from.
        registration: where to register; None: nowhere.
        out: also write the ONNX file here.
    """

    data: Path
    split: Split
    recipe: Recipe
    search: int = 0
    profile: str = DEFAULT_PROFILE
    attributes: tuple[str, ...] = ()
    listed: tuple[Feature, ...] = ()
    money: Money = EUR
    label_delay_days: float = 7.0
    mapping: Path | None = None
    refuse_card_numbers: bool = True
    labels: Path | None = None
    labels_mapping: Path | None = None
    target: ThresholdTarget = field(default_factory=ThresholdTarget)
    registration: Registration | None = None
    out: Path | None = None

    @property
    def features(self) -> tuple[Feature, ...]:
        """The columns of the model as asked for; those of texts become categories when the data is read.

        Raises:
            SettingsError: if profile and attributes make no list.
        """
        return self.listed or features_of(self.profile, self.attributes)
