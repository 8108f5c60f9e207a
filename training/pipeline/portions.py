"""Prepared transactions on disk, one Parquet file a window, so that a later stage needs neither the raw file nor the features' code again.

Beside the features in the model's order: `is_fraud` as it was known, `event_time`, `card` (its place among the cards by id) and `money`.
`origin.json` says where they came from.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet

from stream_app.errors import DataError
from training.data.split import Part, Parts, Window
from training.data.vocabularies import Vocabulary, with_vocabularies
from training.fitting.history import History, Origin
from training.fitting.measure import Truth

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from stream_app.features.definitions import Feature

WINDOWS = ("train", "validation", "test")
ORIGIN = "origin.json"
OTHERS = ("is_fraud", "event_time", "card", "money")


def write(folder: Path, history: History) -> None:
    """Write every window of a history into a folder, which is made."""
    names = [feature.name for feature in history.features]
    folder.mkdir(parents=True, exist_ok=True)
    truth, windows = history.truth, {}
    for name in WINDOWS:
        part: Part = getattr(history.parts, name)
        columns = {feature: history.vectors[part.rows, i] for i, feature in enumerate(names)}
        others = (part.is_fraud, truth.times_ms[part.rows], truth.cards[part.rows], truth.amounts[part.rows])
        pyarrow.parquet.write_table(pa.table(columns | dict(zip(OTHERS, others, strict=True))), folder / f"{name}.parquet")
        windows[name] = [part.window.start_ms, part.window.end_ms]
    told = {"origin": asdict(history.origin), "windows": windows, "vocabularies": [asdict(v) for v in history.vocabularies]}
    (folder / ORIGIN).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def read(folder: Path, features: Sequence[Feature], wanted: Collection[str] = WINDOWS) -> History:
    """The windows that `write` wrote, as a history of their transactions alone; a window that is not wanted is empty.

    Args:
        folder: where they are.
        features: those that were asked for.
        wanted: windows to read.

    Raises:
        DataError: a file is missing, or has other features.
    """
    names = [feature.name for feature in features]
    try:
        told = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
        tables = {name: pyarrow.parquet.read_table(folder / f"{name}.parquet") for name in WINDOWS if name in wanted}
        for name, table in tables.items():
            if table.column_names != [*names, *OTHERS]:
                raise DataError(f"{folder / name}.parquet has other features than asked for. Run `make repro`, which prepares them anew.")
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} cannot be read: {error}. Run `make repro`, which prepares it.") from None
    parts, begun = {}, 0
    vocabularies = msgspec.convert(told.get("vocabularies", []), tuple[Vocabulary, ...])
    for name in WINDOWS:
        count = tables[name].num_rows if name in tables else 0
        is_fraud = tables[name]["is_fraud"].to_numpy() if name in tables else np.zeros(0, dtype=np.bool_)
        parts[name] = Part(Window(name, *told["windows"][name]), np.arange(begun, begun + count), is_fraud)
        begun += count
    whole = pa.concat_tables(tables.values())
    truth = Truth(*(whole[name].to_numpy() for name in OTHERS[1:]))
    vectors = np.column_stack([whole[name].to_numpy() for name in names])
    origin, known = msgspec.convert(told["origin"], Origin), with_vocabularies(features, vocabularies)
    return History(np.ascontiguousarray(vectors), truth, Parts(**parts), (), origin, known, vocabularies)
