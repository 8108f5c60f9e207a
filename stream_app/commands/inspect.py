"""`fraudstream inspect`: what is in a file or a topic, what each column is to us, what would be refused and why, and a mapping to edit.

A file is read by `training.data.rows`, as `train` and `produce` read it, and what is found in its rows is `stream_app.inspecting`'s.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.partitioners import by_crc32, by_murmur2
from stream_app.adapters.kafka.topics import partition_counts
from stream_app.bootstrap_inputs import intake_rules, mapping_in
from stream_app.commands.coroutines import result_of
from stream_app.commands.topic_records import read_topic
from stream_app.errors import DataError, RecordError
from stream_app.inspecting.columns import SourceColumn
from stream_app.inspecting.guesses import OURS, Guess, GuessedMapping, guessed, with_all_values, yaml_line
from stream_app.inspecting.inspection import Inspection, flattened
from stream_app.inspecting.report import InspectionReport
from stream_app.inspecting.suspicions import suspicions
from stream_app.messages.fields import FieldKind
from stream_app.messages.refusals import DeadLetterCode, shown
from stream_app.messages.transaction import Decoder, Label, Transaction
from stream_app.settings import Settings, load_settings
from stream_app.wire.decoder import WireDecoder
from stream_app.wire.inputs import Reads, decode_one
from stream_app.wire.mapped import MappedReader
from stream_app.wire.mapping import MappingError, SourceMapping
from stream_app.wire.times import ISO, TimeForm, UnmappedError

_GUESSED_FROM = 1_000
_MOST_ROWS = 100_000
_REFUSED, _SUSPECTED = 1, 2
_APART = 0.02


def inspect_command(
    source: Annotated[str, typer.Argument(help="A file that `train` reads, or else the name of a topic.")],
    mapping: Annotated[
        Path | None, typer.Option(help="YAML: what a file's columns are, or a topic's fields; without it, it is guessed.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Look at so many rows at the most, the first.")] = _MOST_ROWS,
    write: Annotated[Path | None, typer.Option(help="Write the mapping here, to edit it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object in place of text.")] = False,  # noqa: FBT002 - typer's way
    strict: Annotated[bool, typer.Option("--strict", help="What looks wrong counts too: exit code 2.")] = False,  # noqa: FBT002 - typer's way
) -> None:
    """Say what is in a file or a topic before it is trained on or scored. Ends with 1 where it would be refused as it stands."""
    settings = load_settings()
    path = Path(source)
    if path.exists() or path.suffix or set(source) & set("/*?["):  # none of these is in a topic's name
        found, whole, is_guessed = _of_file(path, mapping, rows, settings)
    else:
        found, whole, is_guessed = *_of_topic(source, rows, settings, _mapping_of_topic(mapping, source, settings)), False
    report = InspectionReport(source, found[0], whole, [*suspicions(found[0], time.time_ns() // 1_000_000), *found[1]], is_guessed)
    _tell(report, write, as_json=as_json)
    sys.exit(_REFUSED if report.is_refused else _SUSPECTED if strict and report.suspicions else 0)


type _Judged = tuple[dict[str, Any], RecordError | None, dict[str, Any] | None]
"""A record's object, why a worker refuses it, and with a mapping the payment that it is, nothing of one that is refused."""
type _Found = tuple[Inspection, list[str]]
"""What was seen, and sentences on what only the source tells."""


def _of_file(path: Path, mapping: Path | None, most: int, settings: Settings) -> tuple[_Found, bool, bool]:
    read: Any = importlib.import_module("training.data.rows")
    mapped = read.read_mapping(mapping) if mapping else None
    every = read.rows_of(path, most + 1, mapped.said.delimiter if mapped else "")
    head = list(islice(every, min(_GUESSED_FROM, most)))
    if not head:
        raise DataError(
            f"{importlib.import_module('training.data.sources').shown(path)} has no rows. Give a file with transactions; `fraudstream simulate` makes one."
        )
    names = [name for name in head[0] if name != read.ROW]
    given = mapped or read.known_layout(names)
    found = Inspection(
        _as_guessed(given, names) if given else _guessed_from(head, read.ROW), refuse_card_numbers=settings.refuse_card_numbers
    )
    for row in islice(chain(head, every), most):
        found.add({name: value for name, value in row.items() if name != read.ROW or (given and read.ROW in given.columns.values())})
    if given is None:
        found.mapping = with_all_values(found.mapping, found.columns)
    return (found, []), next(every, None) is None, given is None


def _as_guessed(given: Any, names: Iterable[str]) -> GuessedMapping:
    """A mapping of files, as inspection has it; columns that have our names already are there too."""
    columns = {ours: _as_guess(given.said, ours, [name for name, _ in given.places_of(ours)]) for ours in given.columns}
    known = importlib.import_module("training.data.files").is_known
    taken = {name for guess in columns.values() for name in (guess.theirs, *guess.also)} | given.said.taken
    columns |= {name: Guess(name) for name in names if known(name) and name not in columns and name not in taken}
    constants = {k: v for k, v in given.constants.items() if k not in columns or k in given.said.constants}
    kept = {name: guess for name, guess in columns.items() if name not in given.said.constants}
    return GuessedMapping(kept, tuple(given.tokens), given.decimal, constants, given.zone, is_said=True, in_minor=_in_minor(given.said))


def _as_guess(said: SourceMapping, ours: str, places: list[str]) -> Guess:
    form, (theirs, *also) = said.time_of(ours), places
    read = _reader(ours, " and ".join(places), form) if form.is_text and ours in OURS and OURS[ours].kind is FieldKind.TIME else None
    values = said.columns[ours].values if ours in said.columns else {}
    return Guess(theirs, "" if form.is_text else form.unit, form.since_ms, values, tuple(also), form.written, read=read)


def _in_minor(said: SourceMapping) -> bool:
    return "amount" in said.columns and said.columns["amount"].unit == "minor"


def _reader(ours: str, theirs: str, form: TimeForm) -> Callable[[Any], Any]:
    """What reads a time that is text, as `train` and a worker do."""
    convert = form.reader()

    def read(value: Any) -> Any:
        try:
            return convert(value) if convert else value
        except UnmappedError as error:
            told = f"{ours}, at {theirs}, is {shown(repr(value))}; {error}."
            raise RecordError(DeadLetterCode.UNKNOWN_VALUE, told) from None

    return read


def _guessed_from(head: Iterable[Mapping[str, Any]], row: str = "") -> GuessedMapping:
    columns: dict[str, SourceColumn] = {}
    for each in head:
        for name, value in flattened(each):
            if name != row:
                columns.setdefault(name, SourceColumn(name)).add(value)
    found = guessed(columns)
    if found.is_ours:  # times of ISO 8601 are taken as they are, without a mapping
        return found
    texts = {ours: guess for ours, guess in found.columns.items() if guess.written or guess.unit == ISO}
    zone = "UTC" if found.zone_guessed else ""
    forms = {ours: TimeForm(guess.unit or "ms", zone, written=guess.written) for ours, guess in texts.items()}
    read = {
        ours: replace(texts[ours], read=_reader(ours, " and ".join((texts[ours].theirs, *texts[ours].also)), form))
        for ours, form in forms.items()
    }
    return replace(found, columns={**found.columns, **read})


def _mapping_of_topic(path: Path | None, topic: str, settings: Settings) -> SourceMapping | None:
    if path is None:
        return None
    if topic == settings.labels_topic:
        raise typer.BadParameter("labels have no mapping in the stream: they are label.v1", param_hint="--mapping")
    try:
        return mapping_in(path)
    except MappingError as error:
        raise DataError(f"{path}: {error} docs/how-to/wire-formats.md shows a mapping.") from None


def _of_topic(topic: str, most: int, settings: Settings, mapping: SourceMapping | None) -> tuple[_Found, bool]:
    seen = TopicInspection(topic, settings, most, mapping)
    whole = result_of(seen.read())
    if not seen.rows:
        raise DataError(f"Topic {topic!r} has no records. `fraudstream produce FILE` publishes some.")
    return (seen.found(), seen.partitioned()), whole


class TopicInspection:
    """Records of a topic, as a worker would take them, with a mapping too. Held are the first, from which names are guessed, and then none."""

    def __init__(self, topic: str, settings: Settings, most: int, mapping: SourceMapping | None = None) -> None:
        self.rows = 0
        self._topic, self._settings, self._most = topic, settings, most
        kind = Label if topic == settings.labels_topic else Transaction
        rules, self._mapping = intake_rules(settings), mapping
        self._decoder: Reads[Any] = (
            Decoder(kind, rules) if mapping is None else WireDecoder(Transaction, rules, None, MappedReader(mapping))
        )
        self._first: list[_Judged] = []
        self._found: Inspection | None = None
        self._partitions = self._keyed = self._murmur2 = self._crc32 = 0

    async def read(self) -> bool:
        """Read it from its beginning; whether all of it was."""
        counts = await partition_counts(client_options(self._settings), [self._topic])
        self._partitions = counts.get(self._topic, 0)
        async with aclosing(read_topic(self._settings, self._topic)) as read:
            async for records in read:
                for record in records[: self._most - self.rows]:
                    self.add(record)
                if self.rows >= self._most:
                    return False
        return True

    def add(self, record: Any) -> None:
        """Take a record."""
        self.rows += 1
        if record.key is not None:
            self._keyed += 1
            self._murmur2 += by_murmur2(record.key, self._partitions) == record.partition
            self._crc32 += by_crc32(record.key, self._partitions) == record.partition
        judged = self._judged(record)
        if self._found is not None:
            self._found.add(*judged, judged=True)
            return
        self._first.append(judged)
        if len(self._first) >= _GUESSED_FROM:
            self.found()

    def found(self) -> Inspection:
        """What was seen so far."""
        if self._found is None:
            rows = [row for row, *_ in self._first]
            mapping = _guessed_from(rows) if self._mapping is None else _said_of_records(self._mapping, rows)
            self._found = Inspection(mapping, is_file=False, refuse_card_numbers=self._settings.refuse_card_numbers)
            for judged in self._first:
                self._found.add(*judged, judged=True)
            self._first.clear()
        return self._found

    def partitioned(self) -> list[str]:
        """What is said where no one partitioner put the keys where they stand."""
        if self._partitions < 2 or not self._keyed or max(self._murmur2, self._crc32) > (1 - _APART) * self._keyed:  # noqa: PLR2004 - partitions
            return []
        java, librdkafka = self._murmur2 / self._keyed, self._crc32 / self._keyed
        told = (
            f"Keys stand where no one partitioner puts them all ({java:.0%} as Java's murmur2, {librdkafka:.0%} as librdkafka's CRC32): a card's "
            "payments are in several partitions. Give all producers one partitioner; `fraudstream doctor` has a line on it."
        )
        return [told]

    def _judged(self, record: Any) -> _Judged:
        row = _object(record.value)
        try:
            message = decode_one(self._decoder, record, None)
        except RecordError as refusal:
            return row, refusal, None if self._mapping is None else {}
        return row, None, None if self._mapping is None else msgspec.to_builtins(message)


def _said_of_records(mapping: SourceMapping, rows: Iterable[Mapping[str, Any]]) -> GuessedMapping:
    """A mapping of records, as inspection has it; fields that have our names there too."""
    columns = {ours: _as_guess(mapping, ours, [".".join(path) for path in column.paths]) for ours, column in mapping.columns.items()}
    ours = {name: Guess(name) for row in rows for name in row if name in OURS and mapping.has_our_name(name)}
    return GuessedMapping(
        columns | ours, tuple(mapping.tokens), mapping.decimal, mapping.constants, mapping.zone, is_said=True, in_minor=_in_minor(mapping)
    )


def _object(value: bytes | None) -> dict[str, Any]:
    """What stands in a record, as far as it is an object of JSON."""
    try:
        found: dict[str, Any] = msgspec.json.decode(str(value or b"", "utf-8"), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return found


def _as_lines(mapping: Mapping[str, Any]) -> list[str]:
    """A mapping to edit: a line for each column, each table of values within it."""
    lines: list[str] = []
    for part, said in mapping.items():
        if isinstance(said, dict):
            lines += [f"{part}:", *(f"  {yaml_line(name, value)}" for name, value in said.items())]
        else:
            lines.append(yaml_line(part, said))
    return lines


def _tell(report: InspectionReport, write: Path | None, *, as_json: bool) -> None:
    text = "".join(f"{line}\n" for line in [*_as_lines(report.mapping()), *report.hints()])
    if write is not None:
        write.write_text(text, encoding="utf-8")
    if as_json:
        print(json.dumps(report.as_json(), ensure_ascii=False))
        return
    print("\n".join(report.lines()).rstrip())
    if write is not None:
        print(f"\nThe mapping is in {write}: edit it, then `fraudstream train --data {report.source} --mapping {write}`.")
    elif report.needs_mapping:
        print(
            f"\nIt needs a mapping; this is one to edit (`--write mapping.yml` keeps it; then `fraudstream train --data {report.source} --mapping mapping.yml`):\n"
        )
        print("\n".join(f"    {line}" for line in text.splitlines()))
