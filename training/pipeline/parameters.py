"""`params.yaml`, typed: what the stages of the DVC pipeline are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stream_app.errors import SettingsError
from stream_app.messages.money import Money, read_rates
from training.data.split import Split
from training.fitting.fit import Recipe
from training.fitting.measure import ThresholdTarget
from training.fitting.options import Options


class _Strict(BaseModel):
    """A misspelt name stops the run."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Simulate(_Strict):
    """The history that a fresh clone makes for itself, see `fraudstream simulate`."""

    customers: int = Field(ge=1)
    terminals: int = Field(ge=1)
    days: int = Field(ge=1)
    seed: int = Field(ge=0)


class Prepare(_Strict):
    """The history, its features and windows; `data` is the simulated one unless you name yours."""

    data: Path
    mapping: Path | None = None
    label_delay_days: float = Field(7, ge=0)
    profile: Literal["velocity", "payments", "handbook", "passthrough"] = "velocity"
    attributes: tuple[str, ...] = ()
    base_currency: str = "EUR"
    rates_file: str = ""
    train_days: float = Field(28, gt=0)
    validation_days: float = Field(7, gt=0)
    test_days: float = Field(7, gt=0)
    gap_days: float = Field(7, ge=0)
    until: str = ""


class Train(_Strict):
    """The model and what its threshold follows from."""

    model: str = "random_forest"
    parameters: dict[str, int | float | str | bool | None] = {}
    fraud_weight: float = 1.0
    seed: int = 0
    alerts_per_day: float | None = Field(None, ge=0)
    review_cost: float | None = Field(None, ge=0)


class Parameters(_Strict):
    """All of the file."""

    simulate: Simulate
    prepare: Prepare
    train: Train

    def options(self) -> Options:
        """The same as a training run's options.

        Raises:
            SettingsError: naming what is wrong.
        """
        asked, fitting = self.prepare, self.train
        return Options(
            data=asked.data,
            mapping=asked.mapping,
            label_delay_days=asked.label_delay_days,
            profile=asked.profile,
            attributes=asked.attributes,
            money=Money(asked.base_currency, read_rates(asked.rates_file)),
            split=Split(
                train_days=asked.train_days,
                gap_days=asked.gap_days,
                validation_days=asked.validation_days,
                test_days=asked.test_days,
                until=asked.until,
            ),
            recipe=Recipe(model=fitting.model, parameters=fitting.parameters, fraud_weight=fitting.fraud_weight, seed=fitting.seed),
            target=ThresholdTarget(fitting.alerts_per_day, fitting.review_cost),
        )


def read_parameters(path: Path) -> Parameters:
    """The parameters of a file.

    Raises:
        SettingsError: it is not there, or says what is not known: which, why, and the remedy.
    """
    try:
        return Parameters.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}. Run this at the root of the project.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise SettingsError(f"{path}: {where}: {first['msg']}. Correct it; docs/how-to/pipeline.md lists all parameters.") from None
