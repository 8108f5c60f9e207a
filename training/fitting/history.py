"""What a model is trained on: the features of a history, split by time, and where it came from."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stream_app.features.needed_fields import fields_read
from training.data.backfill import backfill
from training.data.dataset import check_for_training, read_transactions, with_labels
from training.data.sources import digest_of
from training.data.sources import shown as shown_path
from training.data.split import FoldParts, Parts, prequential, split
from training.data.vocabularies import Vocabulary, learnt, with_vocabularies
from training.fitting.evaluate import card_ranks
from training.fitting.measure import Truth

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from stream_app.features.compute import Vectors
    from stream_app.features.definitions import Feature
    from training.data.label_join import LabelJoin
    from training.data.split import Windows
    from training.fitting.options import Options


@dataclass(frozen=True, slots=True)
class Origin:
    """The file.

    Attributes:
        file, sha256: its name and hash.
        beside: hashes of the files that said what it means, by what each is: `mapping`, `labels`, `labels_mapping`. A gate they never are: a
            warehouse's columns and a topic's records have no mapping in common.
        from_ms, to_ms: its first and last transaction.
        newest_label_ms: when its newest label was made; 0 without one.
        simulated: it says by which scenario each fraud was made, which no real history does.
        unpriced: transactions without a rate into the base currency.
        warm_up_days: before the first day that is trained on.
        read_at_ms: when it was read, by the clock.
    """

    file: str
    sha256: str
    from_ms: int
    to_ms: int
    newest_label_ms: int
    simulated: bool
    unpriced: int
    warm_up_days: int
    read_at_ms: int
    beside: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class History:
    """Transactions with their features.

    Attributes:
        vectors: float32 [transactions, features]; rows before the first fold's training are not computed.
        truth: of each transaction.
        parts: the windows, and their rows of the above.
        folds: to choose a recipe on; none unless asked for.
        origin: the file.
        features: what the columns of `vectors` are; those of texts with the vocabulary that was learnt.
        vocabularies: of these. With a search, they are those of the last fold: they know the frauds of its validation days by their sums alone, the
            same for every recipe.
        needs: of each field that the features read and a payment may lack, the share of the train window's payments that had it.
    """

    vectors: Vectors
    truth: Truth
    parts: Parts
    folds: tuple[FoldParts, ...]
    origin: Origin
    features: tuple[Feature, ...]
    vocabularies: tuple[Vocabulary, ...] = ()
    needs: Mapping[str, float] = field(default_factory=dict)


def read(options: Options, told: Callable[[LabelJoin], None] = lambda _: None) -> tuple[pd.DataFrame, Windows]:
    """The file's transactions, checked, and the windows that they are split into.

    Args:
        options: which.
        told: is given what became of labels in a file of their own.

    Raises:
        DataError: they cannot be trained on.
    """
    frame = read_transactions(
        options.data,
        label_delay_days=options.label_delay_days,
        mapping=options.mapping,
        refuse_card_numbers=options.refuse_card_numbers,
    )
    if options.labels:
        frame, joined = with_labels(
            frame,
            options.labels,
            mapping=options.labels_mapping,
            label_delay_days=options.label_delay_days,
            refuse_card_numbers=options.refuse_card_numbers,
        )
        told(joined)
    check_for_training(frame, shown_path(options.data))
    return frame, options.split.windows(int(frame["event_time"].iloc[0]), int(frame["event_time"].iloc[-1]))


def computed(options: Options, frame: pd.DataFrame, windows: Windows) -> History:
    """Features by the serving code, of the days that are used; the windows' transactions.

    Raises:
        DataError: a window has no frauds, or nothing else; no transaction has a rate into the base currency; an attribute is nowhere.
    """
    times, labels = frame["event_time"].to_numpy(), frame["labelled_at"].dropna()
    begins = windows.train.start_ms - options.search * (windows.validation.end_ms - windows.validation.start_ms)
    in_training = (times >= windows.train.start_ms) & (times < windows.train.end_ms)
    vocabularies = learnt(frame, options.features, in_training)
    asked = with_vocabularies(options.features, vocabularies)
    features = backfill(frame, asked, options.money, wanted=(times >= begins) & (times < windows.test.end_ms))
    mappings = (("mapping", options.mapping), ("labels_mapping", options.labels_mapping))
    beside = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in mappings if path is not None}
    return History(
        vectors=features.vectors,
        truth=Truth(times, card_ranks(frame["card_id"]), features.amounts),
        parts=split(frame, windows, features.scored),
        folds=prequential(frame, windows, options.search, features.scored),
        origin=Origin(
            file=options.data.name,
            sha256=digest_of(options.data),
            from_ms=int(times[0]),
            to_ms=int(times[-1]),
            newest_label_ms=int(labels.max()) if len(labels) else 0,
            simulated="fraud_scenario" in frame.columns,
            unpriced=features.unpriced,
            warm_up_days=windows.warm_up_days,
            read_at_ms=time.time_ns() // 1_000_000,
            beside=beside | ({"labels": digest_of(options.labels)} if options.labels else {}),
        ),
        features=asked,
        vocabularies=vocabularies,
        needs=shares_of(frame[in_training], fields_read(asked)),
    )


def shares_of(frame: pd.DataFrame, fields: Sequence[str]) -> dict[str, float]:
    """Of each field the share of a file's payments that have it; a column that is not there is in none."""
    return {name: float(frame[name].notna().mean()) if name in frame.columns else 0.0 for name in fields}
