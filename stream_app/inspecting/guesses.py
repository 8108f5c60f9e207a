"""What each column is to us, by its name and by how its values are written: the beginning of a mapping, which a person looks at and edits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import yaml

from stream_app.inspecting.columns import Form, SourceColumn
from stream_app.messages.event_time import seems_to_be
from stream_app.messages.fields import Field, FieldKind, fields_of
from stream_app.messages.refusals import meant_by
from stream_app.messages.transaction import ATTRIBUTE, Label, Transaction
from stream_app.wire.times import ISO

OURS: Mapping[str, Field] = {f.name: f for message in (Label, Transaction) for f in fields_of(message)}
NEEDED = tuple(f.name for f in fields_of(Transaction) if f.required)
OF_LABEL = ("is_fraud", "labelled_at")
TRUE, FALSE = ("true", "1", "yes", "y", "ja", "j", "oui", "si", "t", "fraud"), ("false", "0", "no", "n", "nein", "non", "f", "genuine")
_NAMES: Mapping[str, str] = {
    "transaction_id": "transactionid txid txnid trxid transnum tranid paymentid paymentuuid operationid reference rrn uetr id uuid umsatzid",
    "event_time": "eventtime txdatetime transdatetranstime transactiontime transactiondate timestamp datetime paidat createdat created time ts zeitpunkt zeit datum date",
    "card_id": "cardid cardtoken pantoken pan ccnum cardnumber card kartennummer karte customerid accountid account clientid customer client nameorig",
    "terminal_id": "terminalid posid terminal pos shopid shop merchantid merchantname merchant haendler namedest store",
    "amount": "amount amt txamount transactionamount value betrag sum price",
    "currency": "currency currencycode ccy curr waehrung",
    "is_fraud": "isfraud fraud txfraud fraudlabel label class target chargeback betrug",
    "labelled_at": "labelledat labeledat chargebackdate reportedat",
    "type": "type transactiontype txtype kind",
    "merchant_id": "merchantid merchant merchantname",
    "mcc": "mcc merchantcategorycode categorycode",
    "country": "country countrycode merchantcountry land",
    "channel": "channel entrymode posentrymode kanal",
    "latitude": "latitude merchlat lat",
    "longitude": "longitude merchlong long lon lng",
    "device_id": "deviceid device fingerprint",
    "ip": "ip ipaddress",
    "approved": "approved isapproved authorised authorized",
    "billing_amount": "billingamount",
    "billing_currency": "billingcurrency",
}
"""Of each field the names that others give it, the likeliest first."""
_MEANT: Mapping[str, Mapping[str, str]] = {
    "type": {
        **dict.fromkeys("p sale payment debit auth".split(), "purchase"),
        **dict.fromkeys("w cash cash_out atm".split(), "withdrawal"),
        **dict.fromkeys("r return credit".split(), "refund"),
    },
    "channel": {
        **dict.fromkeys("ecom e-com ecommerce e-commerce internet web cnp".split(), "online"),
        **dict.fromkeys("ctls nfc tap".split(), "contactless"),
        **dict.fromkeys("emv icc".split(), "chip"),
        **dict.fromkeys("mag swipe magnetic".split(), "magstripe"),
    },
}
_DAYS = "date datum day tag txdate transdate transactiondate paymentdate buchungstag".split()
_CLOCKS = "time zeit uhrzeit clock txtime transtime transactiontime paymenttime".split()
"""Names of a time's two parts, where each has a column of its own."""
_ISO_FORMS = frozenset({Form.ZONED, Form.ZONELESS, Form.DATE})
_MCC_DIGITS = 4
_UNITS = {" (seconds?)": "s", " (microseconds?)": "us", " (nanoseconds?)": "ns"}


@dataclass(frozen=True, slots=True)
class Guess:
    """What a column of theirs is.

    Attributes:
        theirs: its name.
        unit: of a time: s, ms, us or ns of a number, iso8601 of a text; empty: not told.
        values: theirs → ours.
        since_ms: what such a time counts from.
        also: of a time in several parts the others.
        written: the format of a time that is text; empty: not told.
        zoned: whether such a time names its zone.
        read: makes what is ours of a text of theirs, or raises RecordError; None: see `inspection.spelt`.
    """

    theirs: str
    unit: str = ""
    since_ms: int = 0
    values: Mapping[str, str] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    written: str = ""
    zoned: bool = False
    read: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class GuessedMapping:
    """What a source's columns are to us.

    Attributes:
        columns: ours → theirs.
        tokens: ours, whose values are card numbers.
        decimal: the sign of numbers that are text.
        constants: ours → the same for all.
        zone: of times that name none; empty: nobody says it, and they are taken for UTC.
        is_said: whether a person says it, or the file's form is known.
        in_minor: whether a person says that amounts are in minor units.
    """

    columns: Mapping[str, Guess]
    tokens: tuple[str, ...] = ()
    decimal: str = ""
    constants: Mapping[str, str] = field(default_factory=dict)
    zone: str = ""
    is_said: bool = False
    in_minor: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        """What a payment needs and nothing gives."""
        return tuple(name for name in NEEDED if name not in self.columns and name not in self.constants)

    @property
    def zone_guessed(self) -> bool:
        """Whether a zone must be said, and nobody says it: of times that are text, and name none."""
        texts = [guess for guess in self.columns.values() if guess.written or guess.unit == ISO]
        return not self.zone and not all(guess.zoned for guess in texts)

    @property
    def is_ours(self) -> bool:
        """Whether the source is taken as it is: what is needed, and what is_fraud says, is called and written as ours; more it may leave out."""
        names = [*NEEDED, *OF_LABEL]
        named = all(
            name == guess.theirs and guess.unit in {"", "ms", ISO} and not guess.written and not guess.also
            for name, guess in self.columns.items()
            if name in names
        )
        written = not any(guess.values for name, guess in self.columns.items() if name == guess.theirs)
        return named and written and not (self.tokens or self.decimal or self.constants)


def guessed(columns: Mapping[str, SourceColumn]) -> GuessedMapping:
    """What each column is: by our name, else by a name that others give; its unit and its table of values by what stands there."""
    found: dict[str, str] = {name: name for name in OURS if name in columns}
    plain = _by_plain_name(columns)
    for ours, names in _NAMES.items():
        theirs = next((plain[n] for n in names.split() if n in plain and plain[n] not in found.values()), None)
        if ours not in found and theirs is not None:
            found[ours] = theirs
    chosen = {ours: columns[theirs] for ours, theirs in found.items()}
    commas = any(c.form is Form.COMMA for name, c in chosen.items() if OURS[name].kind is FieldKind.NUMBER)
    tokens = tuple(n for n, c in chosen.items() if n == "card_id" and c.filled and c.card_numbers / c.filled > 0.1)  # noqa: PLR2004 - a tenth: one in ten digits passes Luhn by chance
    attributes = {n: Guess(n) for n in columns if n.startswith(ATTRIBUTE)}
    guesses = {ours: guess_of(OURS[ours], column) for ours, column in chosen.items()}
    if found.get("event_time") in {None, *(parts := _parts_of_time(columns, plain))} and parts:
        guesses["event_time"] = _guess_of_parts(*(columns[name] for name in parts))
    return GuessedMapping(guesses | attributes, tokens, "," if commas else "")


def with_all_values(mapping: GuessedMapping, columns: Mapping[str, SourceColumn]) -> GuessedMapping:
    """The same with tables of all values that were seen since: a table that lacks one refuses it."""
    guesses = {
        ours: replace(guess, values=words(columns[guess.theirs].values, OURS[ours]))
        for ours, guess in mapping.columns.items()
        if ours in OURS
        and OURS[ours].kind in {FieldKind.CODE, FieldKind.FLAG}
        and guess.theirs in columns
        and not columns[guess.theirs].many
    }
    return replace(mapping, columns={**mapping.columns, **guesses})


def _parts_of_time(columns: Mapping[str, SourceColumn], plain: Mapping[str, str]) -> tuple[str, ...]:
    """The columns of a day and of its time; none where there are no such two."""
    days = (plain[name] for name in _DAYS if name in plain)
    clocks = (plain[name] for name in _CLOCKS if name in plain)
    day = next((name for name in days if columns[name].form in {Form.DATE, Form.OTHER_DATE}), None)
    clock = next((name for name in clocks if columns[name].form is Form.CLOCK), None)
    return () if day is None or clock is None else (day, clock)


def _guess_of_parts(day: SourceColumn, clock: SourceColumn) -> Guess:
    if day.form is Form.DATE:
        return Guess(day.name, ISO, also=(clock.name,))
    lengths = {len(text) for text in clock.values}
    hours = {len("10:00"): "%H:%M", len("10:00:00"): "%H:%M:%S"}.get(lengths.pop()) if len(lengths) == 1 else None
    if hours is None or day.formats is None or len(day.formats) != 1:
        return Guess(day.name, also=(clock.name,))
    return Guess(day.name, also=(clock.name,), written=f"{next(iter(day.formats))} {hours}")


def _by_plain_name(columns: Mapping[str, SourceColumn]) -> dict[str, str]:
    """The columns that hold values, by plain name: of a nested one by its last part, and with what it is in, as `device.id` is a device's id."""
    named = [
        name for name, column in columns.items() if name.isprintable() and column.form is not Form.OBJECT
    ]  # no mapping can name another
    alone = {_plain(name.rpartition(".")[2]): name for name in reversed(named)}
    return alone | {_plain("".join(name.split(".")[-2:])): name for name in reversed(named) if "." in name}


def _plain(name: str) -> str:
    """A name without what people write differently: `TX_Datum`, `tx datum` and `txDatum` are one."""
    for umlaut, letters in (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ß", "ss")):
        name = name.lower().replace(umlaut, letters)
    return re.sub(r"[^a-z0-9]", "", name)


def words(texts: Iterable[str], of: Field) -> dict[str, str]:
    """The table of values of a code or a flag: what stands there and is plainly meant for one of ours.

    With one that is not ours those that are stand in it too: a table is all that a mapping knows.
    """
    found = _meant(texts, of)
    return {**found, **{text: ours for text in texts if text not in found and (ours := _as_ours(text, of))}} if found else {}


def _as_ours(text: str, of: Field) -> str:
    """A text that is a value of ours already, as a table has it; empty where it is none."""
    if of.kind is FieldKind.FLAG:
        return {"true": "true", "false": "false", "1": "true", "0": "false"}.get(text.lower().removesuffix(".0"), "")
    is_ours = text in of.codes or (of.form is not None and re.search(of.form, text) is not None and len(text) <= (of.most or len(text)))
    return text if is_ours else ""


def _meant(texts: Iterable[str], of: Field) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        low = text.strip().lower()
        if of.kind is FieldKind.FLAG and low not in {"true", "false", "1", "0", "1.0", "0.0"}:
            meant = "true" if low in TRUE else "false" if low in FALSE else None
        elif of.name == "mcc" and low.isdecimal() and len(low) < _MCC_DIGITS:
            meant = low.zfill(_MCC_DIGITS)  # a spreadsheet took the zeros away
        elif of.codes and text not in of.codes:
            meant = meant_by(of, text) or _MEANT.get(of.name, {}).get(low)
        else:
            meant = None
        if meant:
            found[text] = meant
    return found


def guess_of(of: Field, column: SourceColumn) -> Guess:
    """A column as this field: its unit, format and table of values by what stands there."""
    if of.kind is FieldKind.TIME and column.form in {Form.WHOLE, Form.DIGITS, Form.NUMBER} and _fits(column.most):
        return Guess(column.name, _UNITS.get(seems_to_be(int(column.most)), ""))
    if of.kind is FieldKind.TIME and column.form in _ISO_FORMS:
        return Guess(column.name, ISO, zoned={*column.forms} == {Form.ZONED})
    if of.kind is FieldKind.TIME and column.formats is not None and len(column.formats) == 1:
        return Guess(column.name, written=next(iter(column.formats)))
    if of.kind in {FieldKind.CODE, FieldKind.FLAG} and not column.many:
        return Guess(column.name, values=words(column.values, of))
    return Guess(column.name)


def _fits(number: float) -> bool:
    return abs(number) < 2**63


def as_yaml(mapping: GuessedMapping) -> dict[str, Any]:
    """The mapping as `train --mapping` takes it."""
    columns: dict[str, Any] = {}
    for ours, guess in mapping.columns.items():
        more: dict[str, Any] = {"unit": guess.unit} if guess.unit and guess.unit != "ms" else {}
        more |= {"since": datetime.fromtimestamp(guess.since_ms / 1000, UTC).isoformat()} if guess.since_ms else {}
        more |= {"format": guess.written} if guess.written else {}
        more |= {"values": dict(guess.values)} if guess.values else {}
        first, *others = map(_path_as_yaml, (guess.theirs, *guess.also))
        place: dict[str, Any] = {"paths": [first, *others]} if others else {"path": first}
        columns[ours] = place | more if others or more else first
    told: dict[str, Any] = {"columns": columns}
    told |= {"constants": dict(mapping.constants)} if mapping.constants else {}
    told |= {"tokens": list(mapping.tokens)} if mapping.tokens else {}
    zone = mapping.zone or ("UTC" if mapping.zone_guessed else "")
    told |= {"zone": zone} if zone else {}
    told |= {"decimal": mapping.decimal} if mapping.decimal else {}
    return told


def yaml_line(name: str, value: Any) -> str:
    """`name: value` of a mapping, in one line."""
    return yaml.safe_dump({name: value}, allow_unicode=True, width=10_000, default_flow_style=True, sort_keys=False).strip()[1:-1]


def _path_as_yaml(name: str) -> str | list[str]:
    """A column's name as a path; as one name alone, where what its dots part is none."""
    return [name] if "" in name.split(".") else name
