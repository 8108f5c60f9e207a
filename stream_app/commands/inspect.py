"""`fraudstream inspect`: what is in a file or a topic, what each column is to us, what would be refused and why, and a mapping to edit.

A file is read by `training.data.rows`, as `train` and `produce` read it, and what is found in its rows is `stream_app.inspecting`'s.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
import yaml

from stream_app.adapters.kafka.partitioners import by_crc32, by_murmur2
from stream_app.bootstrap import intake_rules
from stream_app.commands.alerts import read_topic
from stream_app.commands.coroutines import result_of
from stream_app.errors import DataError, RecordError
from stream_app.inspecting.columns import SourceColumn
from stream_app.inspecting.guesses import Guess, GuessedMapping, guessed
from stream_app.inspecting.inspection import Inspection, flattened
from stream_app.inspecting.report import InspectionReport
from stream_app.inspecting.suspicions import suspicions
from stream_app.messages.records import Record
from stream_app.messages.transaction import Decoder, Label, Transaction
from stream_app.settings import Settings, load_settings

_GUESSED_FROM = 1_000
_MOST_ROWS = 100_000
_REFUSED, _SUSPECTED = 1, 2
_APART = 0.02


def inspect_command(
    source: Annotated[str, typer.Argument(help="A file that `train` reads, or else the name of a topic.")],
    mapping: Annotated[Path | None, typer.Option(help="YAML: what a file's columns are; without it, it is guessed.")] = None,
    rows: Annotated[
        int, typer.Option(min=1, help="Look at so many rows at the most, the first of a file, the newest day's of a topic.")
    ] = _MOST_ROWS,
    write: Annotated[Path | None, typer.Option(help="Write the mapping here, to edit it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object in place of text.")] = False,  # noqa: FBT002 - typer's way
    strict: Annotated[bool, typer.Option("--strict", help="What looks wrong counts too: exit code 2.")] = False,  # noqa: FBT002 - typer's way
) -> None:
    """Say what is in a file or a topic before it is trained on or scored. Ends with 1 where it would be refused as it stands."""
    settings = load_settings()
    path = Path(source)
    if path.exists() or path.suffix:
        found, whole, is_guessed = _of_file(path, mapping, rows, settings)
    elif mapping is not None:
        raise typer.BadParameter(
            "a topic's records are looked at as they are; FRAUDSTREAM_MAPPING_FILE is the worker's", param_hint="--mapping"
        )
    else:
        found, whole, is_guessed = *_of_topic(source, rows, settings), False
    report = InspectionReport(source, found[0], whole, [*suspicions(found[0], time.time_ns() // 1_000_000), *found[1]], is_guessed)
    _tell(report, write, as_json=as_json)
    sys.exit(_REFUSED if report.is_refused else _SUSPECTED if strict and report.suspicions else 0)


type _Found = tuple[Inspection, list[str]]
"""What was seen, and sentences on what only the source tells."""


def _of_file(path: Path, mapping: Path | None, most: int, settings: Settings) -> tuple[_Found, bool, bool]:
    read: Any = importlib.import_module("training.data.rows")
    every = read.rows_of(path, most + 1)
    head = list(islice(every, min(_GUESSED_FROM, most)))
    if not head:
        raise DataError(f"{path} has no rows. Give a file with transactions; `fraudstream simulate` makes one.")
    names = [name for name in head[0] if name != read.ROW]
    given = read.read_mapping(mapping) if mapping else read.known_layout(names)
    found = Inspection(
        _as_guessed(given, names) if given else _guessed_from(head, read.ROW), refuse_card_numbers=settings.refuse_card_numbers
    )
    for row in islice(chain(head, every), most):
        found.add({name: value for name, value in row.items() if name != read.ROW or (given and read.ROW in given.columns.values())})
    return (found, []), next(every, None) is None, given is None


def _as_guessed(given: Any, names: Iterable[str]) -> GuessedMapping:
    """A mapping of files, as inspection has it; columns that have our names already are there too."""
    units = {1000.0: "s", 1.0: "ms", 1e-3: "us", 1e-6: "ns"}
    columns = {
        ours: Guess(theirs, units[given.unit_ms(ours)], given.epoch_ms, given.values_of(ours)) for ours, theirs in given.columns.items()
    }
    known = importlib.import_module("training.data.files").is_known
    taken = {guess.theirs for guess in columns.values()}
    columns |= {name: Guess(name) for name in names if known(name) and name not in columns and name not in taken}
    return GuessedMapping(columns, tuple(given.tokens), given.decimal, {k: v for k, v in given.constants.items() if k not in columns})


def _guessed_from(head: Iterable[Mapping[str, Any]], row: str = "") -> GuessedMapping:
    columns: dict[str, SourceColumn] = {}
    for each in head:
        for name, value in flattened(each):
            if name != row:
                columns.setdefault(name, SourceColumn(name)).add(value)
    return guessed(columns)


def _of_topic(topic: str, most: int, settings: Settings) -> tuple[_Found, bool]:
    records: list[Record] = []
    partitions: list[int] = []

    async def read() -> bool:
        async for some in read_topic(settings, topic):
            records.extend(some[: most - len(records)])
            partitions.extend(r.partition for r in some[: most - len(partitions)])
            if len(records) >= most:
                return False
        return True

    whole = result_of(read())
    decoder: Decoder[Any] = Decoder(Label if topic == settings.labels_topic else Transaction, intake_rules(settings))
    rows = list(_objects(records))
    found = Inspection(_guessed_from(rows[:_GUESSED_FROM]), is_file=False, refuse_card_numbers=settings.refuse_card_numbers)
    for record, row in zip(records, rows, strict=True):
        found.add(row, _refusal(decoder, record), judged=True)
    return (found, _partitioned(records, partitions)), whole


def _objects(records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    """What stands in records, as far as it is JSON."""
    for record in records:
        try:
            yield msgspec.json.decode(str(record.value or b"", "utf-8"), type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            yield {}


def _refusal(decoder: Decoder[Any], record: Record) -> RecordError | None:
    """What a worker says of a record."""
    try:
        decoder.decode(record.value, record.key, record.timestamp, None)
    except RecordError as refusal:
        return refusal
    return None


def _partitioned(records: Iterable[Record], partitions: list[int]) -> list[str]:
    """Whether one partitioner put the keys where they stand."""
    count = max(partitions, default=0) + 1
    keyed = [(r.key, n) for r, n in zip(records, partitions, strict=True) if r.key is not None]
    if count < 2 or not keyed:  # noqa: PLR2004 - partitions
        return []
    java = sum(by_murmur2(key, count) == n for key, n in keyed) / len(keyed)
    librdkafka = sum(by_crc32(key, count) == n for key, n in keyed) / len(keyed)
    if max(java, librdkafka) > 1 - _APART:
        return []
    told = (
        f"Keys stand where no one partitioner puts them all ({java:.0%} as Java's murmur2, {librdkafka:.0%} as librdkafka's CRC32): a card's payments "
        "are in several partitions. Give all producers one partitioner; `fraudstream doctor` has a line on it."
    )
    return [told]


def _tell(report: InspectionReport, write: Path | None, *, as_json: bool) -> None:
    text = yaml.safe_dump(report.mapping(), sort_keys=False, allow_unicode=True, width=140, default_flow_style=None)
    text = "".join(f"{line}\n" for line in [*text.splitlines(), *report.hints()])
    if write is not None:
        write.write_text(text, encoding="utf-8")
    if as_json:
        print(json.dumps(report.as_json(), ensure_ascii=False))
        return
    print("\n".join(report.lines()).rstrip())
    if write is not None:
        print(f"\nThe mapping is in {write}: edit it, then `fraudstream train --data {report.source} --mapping {write}`.")
    elif report.is_guessed and not report.found.mapping.is_ours:
        print(
            f"\nIt needs a mapping; this is one to edit (`--write mapping.yml` keeps it; then `fraudstream train --data {report.source} --mapping mapping.yml`):\n"
        )
        print("\n".join(f"    {line}" for line in text.splitlines()))
