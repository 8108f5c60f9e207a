"""`make bench-families`: which family of features finds which named scenario of fraud (`fraudstream simulate --scenarios`).

Each seed draws a history with all scenarios beside the book's, and trees. They are fitted with the book's 15 features and with these and one family;
with all of `payments`, and with all of it but that family. A figure is the average precision of one scenario's frauds among the genuine payments of the test
days, other frauds left out. Fitted on days 38 to 58, when windows are full; tested from day 66 on, when what was fitted on is known.

    SEEDS=0,1,2,3,4 CARDS=800 make bench-families >> families.jsonl     one JSON line a seed: a minute of processor each
    make bench-families FROM=families.jsonl                             the table: mean over all seeds in the file, least and most

Simulated fraud is what its generator says it is: the table says that a family sees what it is there for, not what it finds in real payments.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

from stream_app.features.aggregations import DAY_MS
from stream_app.features.definitions import HANDBOOK, PAYMENTS, Feature
from training.data.backfill import backfill
from training.data.scenarios import SCENARIOS
from training.data.simulate import Simulation, simulate
from training.fitting.fit import Recipe, fit, scores_of

DAYS, FIRST_DAY, TRAINED_UNTIL, TEST_FROM = 80, 38, 59, 66
TREES, DEPTH = 50, 20
ALL, BOOK = "payments", "handbook"

_PLAIN = tuple(feature for feature in HANDBOOK if not feature.delay_s)
FAMILIES: Mapping[str, tuple[Feature, ...]] = MappingProxyType(
    {
        "cards": tuple(f for f in PAYMENTS if f.aggregation == "cards"),
        "device": tuple(f for f in PAYMENTS if f.field == "device_id" or (f.entity == "device" and f.aggregation != "cards")),
        "unusual": tuple(f for f in PAYMENTS if f.aggregation in {"first_time", "distinct", "other"} and f.field != "device_id"),
        "labels": tuple(f for f in PAYMENTS if f.delay_s),
        "network": tuple(f for f in PAYMENTS if f.entity == "ip" and not f.delay_s),
    }
)
"""What stands out by many cards, by the device, by what is unusual for the card, by what is known of frauds, by the IP network."""
FOUND_BY: Mapping[str, str] = MappingProxyType(
    {
        "card-testing": "cards",
        "shared-device": "device",
        "account-takeover": "unusual",
        "compromised-merchant": "labels",
        "one-network": "network",
    }
)
"""Of each scenario, the family that is there for it."""


def lists() -> Iterator[tuple[str, tuple[Feature, ...]]]:
    """What is compared: a name, and features."""
    yield BOOK, _PLAIN
    yield ALL, PAYMENTS
    for name, family in FAMILIES.items():
        yield f"{BOOK} + {name}", (*_PLAIN, *family)
        yield f"{ALL} - {name}", tuple(feature for feature in PAYMENTS if feature not in family)


def measured(seed: int, cards: int) -> dict[str, Any]:
    """The average precision of each scenario with each list of features, of one history."""
    frame = simulate(
        Simulation(
            customers=cards,
            terminals=2 * cards,
            days=DAYS,
            seed=seed,
            scenarios=tuple(SCENARIOS),
            compromised_terminals=cards / 2_500,
            compromised_customers=3 * cards / 5_000,
        )
    )
    vectors, scenario = backfill(frame, PAYMENTS).vectors, frame["fraud_scenario"].to_numpy().astype(np.int64)
    day = (frame["event_time"].to_numpy() - int(frame["event_time"].min())) // DAY_MS
    train, test = (day >= FIRST_DAY) & (day < TRAINED_UNTIL), day >= TEST_FROM
    found: dict[str, dict[str, float]] = {}
    for name, features in lists():
        columns = [PAYMENTS.index(feature) for feature in features]
        parameters = {"n_estimators": TREES, "max_depth": DEPTH, "min_samples_leaf": 1, "max_features": 0.5}
        model = fit(vectors[train][:, columns], scenario[train] > 0, Recipe(model="extra_trees", parameters=parameters, seed=seed))
        found[name] = _found(scenario[test], scores_of(model, vectors[test][:, columns]))
        print(f"seed {seed}, {name}: {found[name]}", file=sys.stderr, flush=True)
    frauds = {name: int((scenario[test] == number).sum()) for name, number in SCENARIOS.items()}
    return {"seed": seed, "cards": cards, "fitted": int(train.sum()), "tested": int(test.sum()), "frauds": frauds, "found": found}


def _found(scenario: Any, scores: Any) -> dict[str, float]:
    """Of each scenario that has frauds there."""
    asked = {name: (scenario == 0) | (scenario == number) for name, number in SCENARIOS.items() if (scenario == number).any()}
    return {name: round(float(average_precision_score(scenario[rows] > 0, scores[rows])), 4) for name, rows in asked.items()}


def table(runs: Sequence[Mapping[str, Any]]) -> str:
    """Of each scenario its family's four figures, in Markdown: the mean over the runs, in brackets least and most."""
    rows = [
        "| scenario | frauds tested, a seed | family | the book's without labels | and the family | all of `payments` | without the family |",
        "|---|---|---|---|---|---|---|",
    ]
    for scenario, family in FOUND_BY.items():
        cells = [
            _cell([run["found"][name][scenario] for run in runs if scenario in run["found"][name]])
            for name in (BOOK, f"{BOOK} + {family}", ALL, f"{ALL} - {family}")
        ]
        rows.append(f"| {scenario} | {fmean(run['frauds'][scenario] for run in runs):.0f} | {family} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _cell(figures: Sequence[float]) -> str:
    return f"{fmean(figures):.3f} [{min(figures):.3f}, {max(figures):.3f}]"


def main() -> None:
    """Print a line for each seed, or the table of those in a file."""
    kept = os.environ.get("FROM")
    if kept:
        print(table([json.loads(line) for line in Path(kept).read_text(encoding="utf-8").splitlines()]))
        return
    for seed in (os.environ.get("SEEDS") or "0,1,2,3,4").split(","):
        print(json.dumps(measured(int(seed), int(os.environ.get("CARDS") or 800))), flush=True)


if __name__ == "__main__":
    main()
