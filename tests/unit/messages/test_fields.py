"""The table of fields says what the decoder does, value by value, and what the schemas say."""

from __future__ import annotations

import json
from typing import Annotated, Any

import msgspec
import pycountry
import pytest

from stream_app.errors import RecordError
from stream_app.messages.event_time import seems_to_be
from stream_app.messages.fields import Field, FieldKind, fields_of, in_time_and_listed
from stream_app.messages.iso import ALPHA_3
from stream_app.messages.refusals import meant_by, refused
from stream_app.messages.transaction import Decoder, IntakeRules, Label, Transaction
from tests.conftest import ROOT
from tests.contract.messages import AWKWARD_VALUES
from tests.contract.schemas import SCHEMAS

PAGE = ROOT / "docs" / "how-to" / "own-data.md"
BEGIN, END = "<!-- fields: made by `python -m tests.unit.messages.test_fields` -->\n", "<!-- /fields -->"
RULES = IntakeRules()
TABLES: dict[str, tuple[Field, ...]] = {"transaction": fields_of(Transaction), "label": fields_of(Label)}
DECODERS: dict[str, Decoder[Any]] = {"transaction": Decoder(Transaction, RULES), "label": Decoder(Label, RULES)}
EVERY = [(name, field) for name, fields in TABLES.items() for field in fields]
MORE: list[Any] = [
    "eur ",
    "Fra",
    "ECOM",
    "ATM",
    "05.11",
    "12,50",
    "2026-11-24",
    "0x10",
    1_795_471_200,
    20_230_101_000_000,
    [None],
    {"": -0.0},
]


def verdict(name: str, field: str, value: Any) -> tuple[str, str] | None:
    """Code and sentence with which the decoder refuses a message that is right but for one value; None where it takes it."""
    message = SCHEMAS[name]["examples"][-1] | {field: value}
    card_id = message["card_id"]
    try:
        DECODERS[name].decode(json.dumps(message).encode(), card_id.encode() if isinstance(card_id, str) else b"", 2**52, None)
    except RecordError as refusal:
        return refusal.code, refusal.message
    return None


@pytest.mark.parametrize(("name", "field"), EVERY, ids=[f"{name}.{field.name}" for name, field in EVERY])
def test_the_table_refuses_what_the_decoder_refuses_with_its_code_and_sentence(name: str, field: Field) -> None:
    """Each awkward value in each field: lengths, bounds, kinds, codes, control characters, card numbers."""
    for value in [*AWKWARD_VALUES, *MORE]:
        found = refused(field, value, refuse_card_numbers=True)
        said = verdict(name, field.name, value)
        if said is not None and said[0] in {"label_before_event", "future"}:
            said = None  # of two fields, or of the clock
        assert (found and (found.code, found.message)) == said, value


@pytest.mark.parametrize(("name", "field"), EVERY, ids=[f"{name}.{field.name}" for name, field in EVERY])
def test_the_table_has_the_bounds_and_lists_of_the_schema(name: str, field: Field) -> None:
    """And what it gives as an example is valid in both."""
    node = SCHEMAS[name]["properties"][field.name]
    node = next(iter(node.get("anyOf", [node])))
    node = SCHEMAS[name]["$defs"]["currency" if "currency" in field.name else "country"] if "$ref" in node else node
    text = field.kind in {FieldKind.TEXT, FieldKind.CODE}
    assert field.required == (field.name in SCHEMAS[name]["required"])
    if field.codes:
        assert set(field.codes) == set(node["enum"]) - {None}
    elif text:
        assert (field.least, field.most, field.form) == (node.get("minLength"), node.get("maxLength"), node.get("pattern"))
    elif field.kind is FieldKind.OWN:
        (own,) = [held for held in node["additionalProperties"]["anyOf"] if held.get("type") == "string"]
        assert (field.least, field.most) == (own.get("minLength"), own["maxLength"])
    else:
        assert (field.least, field.most) == (node.get("minimum"), node.get("maximum"))
    if field.example:
        example = field.example if field.codes else json.loads(field.example)
        assert refused(field, example) is None


def test_every_field_says_what_it_must_be() -> None:
    """A sentence of refusal ends with it."""
    for _, field in EVERY:
        assert field.must_be
        assert field.must_be.isprintable()


def test_a_plain_variant_is_told_and_never_taken() -> None:
    """`transaction.v1` has other readers: what one of them mends the next one refuses."""
    field = {f.name: f for f in TABLES["transaction"]}
    for name, text, code in [
        ("currency", "eur", "EUR"),
        ("country", "deu", "DE"),
        ("country", " fr ", "FR"),
        ("channel", "Online", "online"),
        ("type", "PURCHASE", "purchase"),
    ]:
        refusal = refused(field[name], text)
        assert refusal is not None
        assert refusal.message.endswith(f"; send {code!r}.")
    assert meant_by(field["country"], "UK") is None
    assert meant_by(field["currency"], "DEU") is None


def test_the_letters_of_a_country_are_those_of_iso_3166() -> None:
    """Three letters and two, as pycountry has them."""
    assert {c.alpha_3: c.alpha_2 for c in pycountry.countries} == ALPHA_3


def test_a_code_that_is_added_is_checked_where_its_type_lists_it() -> None:
    """Nothing but the field's type says so."""
    code = Annotated[str, msgspec.Meta(extra={"codes": ("A", "B"), "list": "ours", "must_be": "A or B"})]
    message = msgspec.defstruct("Message", [("code", code), ("other", code | None, None)])
    fields = fields_of(message)
    assert [(f.kind, f.codes, f.listed, f.nullable) for f in fields] == [(FieldKind.CODE, ("A", "B"), "ours", n) for n in (False, True)]
    are_listed = in_time_and_listed(message, fields, "latest_ms > 0")
    assert [are_listed(message(*codes), 1) for codes in (("A",), ("C",), ("A", "B"), ("A", "C"))] == [True, False, True, False]
    assert not are_listed(message("A"), 0)


@pytest.mark.parametrize(
    ("at", "told"),
    [
        (1_795_471_200, " (seconds?)"),
        (1_795_471_200_000, " (milliseconds?)"),
        (1_795_471_200_000_000, " (microseconds?)"),
        (1_795_471_200_000_000_000, " (nanoseconds?)"),
        (20_230_101, " (a date in digits?)"),
        (20_230_101_235_959, " (a date in digits?)"),
        (0, ""),
        (-5, ""),
        (10**30, ""),
    ],
)
def test_a_wrong_time_is_told_by_its_likely_unit(at: int, told: str) -> None:
    """Who reads it need not count digits."""
    assert seems_to_be(at) == told


def document() -> str:
    """The page with the table as the fields are."""
    payment = {field.name for field in TABLES["transaction"]}
    own = [field for field in TABLES["label"] if field.name not in payment and field.name != "source"]
    rows = ["| field | needed | must be | for example |", "|---|---|---|---|"]
    for field in (*TABLES["transaction"], *own):
        example = SCHEMAS["transaction" if field.name in payment else "label"]["properties"][field.name]["examples"][0]
        needed = "yes" if field.required else f"else {field.default}" if field.default else ""
        rows.append(f"| `{field.name}` | {needed} | {field.must_be} | `{json.dumps(example)}` |")
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return before + BEGIN + "\n".join(rows) + "\n" + END + rest.split(END)[1]


def test_the_table_is_in_the_page_on_own_data() -> None:
    """Made anew with `python -m tests.unit.messages.test_fields`."""
    current = document() == PAGE.read_text(encoding="utf-8")
    assert current, f"{PAGE} is behind the fields: `.venv/bin/python -m tests.unit.messages.test_fields` makes it anew"


if __name__ == "__main__":
    PAGE.write_text(document(), encoding="utf-8")
