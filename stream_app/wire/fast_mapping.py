"""The fast way of a mapping: a type of the paths that are needed, which msgspec decodes into, and one compiled expression that makes the payment of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NoReturn, get_type_hints

import msgspec

from stream_app.messages.fields import Field, FieldKind, fields_of
from stream_app.messages.iso import CURRENCIES, minor_units
from stream_app.messages.transaction import ATTRIBUTE, MAX_AMOUNT, OwnText, Transaction
from stream_app.wire.avro_fields import Convert
from stream_app.wire.mapping import Path
from stream_app.wire.times import UnmappedError, joined

MONEY = {"amount": "currency", "billing_amount": "billing_currency"}
OWN = ATTRIBUTE.removesuffix(".")
_Digits = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]
_NOTHING = Literal["\0"]
_UNITS = {currency: minor_units(currency) for currency in CURRENCIES}


@dataclass(frozen=True, slots=True)
class TakenField:
    """A field, and how its value is made of theirs.

    Attributes:
        of: the field.
        paths: where it is; of a time in several parts, where each of them is.
        convert: what makes a value of ours of theirs, of several parts of their text; None: it is one.
        takes: the types that theirs may have, for the fast way.
        default: in place of one that is missing or null; None: there is none.
        table: of `convert`, where it is one: what it gives was checked when the mapping was read.
        inline: `convert` as an expression, for the fast way.
        is_minor: whether it is an amount in minor units; its default is in major ones.
    """

    of: Field
    paths: tuple[Path, ...]
    convert: Convert | None
    takes: Any
    default: Any = None
    table: Mapping[str, Any] | None = None
    inline: str = ""
    is_minor: bool = False

    @property
    def where(self) -> str:
        """Its places, as a mapping writes them."""
        return " and ".join(map(".".join, self.paths))


def digits_as_text(theirs: Any) -> Any:
    """Ids are numbers with some; one with a fraction is none."""
    return str(theirs) if type(theirs) is int else theirs


def fast_way(taken: list[TakenField], constants: Mapping[str, Any]) -> tuple[Callable[[str], Any], Callable[[Any], Transaction]]:
    """See the module: what decodes what is needed, and what makes a payment of it."""
    tree: dict[str, Any] = {}
    for of in taken:
        for path in of.paths:
            node = tree
            for name in path[:-1]:
                node = node.setdefault(name, {})
            node.setdefault(path[-1], []).append(of)
    made_of = _Compiled()
    shape = made_of.shape(tree, "m", ())
    given = {name: made_of.bind(value) for name, value in constants.items()}
    for of in sorted(taken, key=lambda of: of.is_minor):  # whose currency is known then
        given[of.of.name] = made_of.expression(of, given)
    own = ", ".join(f"({name.removeprefix(ATTRIBUTE)!r}, {source})" for name, source in given.items() if name.startswith(ATTRIBUTE))
    if own:
        given[OWN] = f"own({given.get(OWN)}, {own})"
    fields = fields_of(Transaction)
    last = max(number for number, of in enumerate(fields) if of.name in given)
    arguments = [given[of.name] if of.name in given else made_of.bind(of.default) for of in fields[: last + 1]]
    lines = [*made_of.lines, f"return Transaction({', '.join(arguments)})"]
    exec("def make(m):\n    " + "\n    ".join(lines), made_of.bound)  # noqa: S102 - of our own words; theirs stand in it as positions alone, our own values' as literals
    return msgspec.json.Decoder(shape).decode, made_of.bound["make"]


class _Compiled:
    """What the fast way is made of.

    Attributes:
        lines: of source, that name the objects in which values are.
        bound: what the source names.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.bound: dict[str, Any] = {"Transaction": Transaction, "own": own_values, "units": _UNITS, "joined": joined, "refuse": _refuse}
        self._hints = get_type_hints(Transaction, include_extras=True)
        self._places: dict[Path, str] = {}

    def bind(self, value: Any) -> str:
        """A name for a value."""
        name = f"v{len(self.bound)}"
        self.bound[name] = value
        return name

    def shape(self, tree: Mapping[str, Any], place: str, path: Path) -> type[msgspec.Struct]:
        """The type of an object of which these names are needed."""
        required: list[Any] = []
        optional: list[Any] = []
        for number, (name, below) in enumerate(tree.items()):
            mine = f"f{number}"
            if isinstance(below, dict):
                self.lines.append(f"{place}_{number} = {place}.{mine}")
                required.append((mine, self.shape(below, f"{place}_{number}", (*path, name))))
                continue
            self._places[*path, name] = f"{place}.{mine}"
            takes = self._takes_of_all(below)
            if any(of.of.required and of.default is None for of in below):
                required.append((mine, takes))
            else:
                optional.append((mine, takes | None, None))
        rename = {f"f{number}": theirs for number, theirs in enumerate(tree)}
        return msgspec.defstruct("Needed", [*required, *optional], rename=rename, gc=False, frozen=True)

    def _takes_of_all(self, below: list[TakenField]) -> Any:
        """What msgspec takes in a place for all fields that are made of it: plain texts what is one for each; of others nothing, they go slowly."""
        if len(below) > 1 and not all(of.convert is digits_as_text for of in below):
            return _NOTHING  # of types that nothing is of
        return self._takes(max(below, key=lambda of: of.of.required))

    def _takes(self, of: TakenField) -> Any:
        """What msgspec takes there, checked by it where it is ours as it stands."""
        if of.convert is digits_as_text:
            return self._hints[of.of.name] | _Digits
        if len(of.paths) > 1:
            return str | _Digits
        if of.convert is not None:
            return of.takes
        if of.of.name.startswith(ATTRIBUTE):
            return {FieldKind.NUMBER: float, FieldKind.TEXT: OwnText}.get(of.of.kind, float | OwnText)
        return int if of.is_minor else self._hints[of.of.name]

    def expression(self, of: TakenField, given: Mapping[str, str]) -> str:
        """What makes a field's value of the message's parts; `given` has what makes its currency."""
        places = [self._places[path] for path in of.paths]
        place = places[0] if len(places) == 1 else f"joined(({', '.join(places)}))"
        if of.is_minor:
            source = self.bounded(f"{place} / units[{given.get(MONEY[of.of.name])}]", 0, MAX_AMOUNT)
        else:
            source = self._converted(of, place)
        if of.of.required and of.default is None:
            return source
        otherwise = of.of.default if of.default is None else of.default
        if source == place and otherwise is None:
            return place
        return f"({self.bind(otherwise)} if {' or '.join(f'{part} is None' for part in places)} else {source})"

    def _converted(self, of: TakenField, place: str) -> str:
        if of.convert is None:
            return place
        if of.convert is digits_as_text:
            return f"({place} if {place}.__class__ is str else str({place}))"
        if of.table is not None:
            whole = {
                int(theirs): value
                for theirs, value in of.table.items()
                if theirs.isascii() and theirs.isdigit() and str(int(theirs)) == theirs
            }
            return f"{self.bind({**of.table, **whole})}[{place}]"
        inline = of.inline.format(place) if of.inline else f"{self.bind(of.convert)}({place})"
        return (
            inline
            if of.of.least is None or of.of.kind not in {FieldKind.TIME, FieldKind.NUMBER}
            else self.bounded(inline, of.of.least, of.of.most)
        )

    def bounded(self, source: str, least: float, most: float | None) -> str:
        """The same, if it lies in these bounds: nobody looks at it again."""
        name = f"x{len(self.bound)}"
        self.bound[name] = None
        return f"({name} if {self.bind(least)} <= ({name} := {source}) <= {self.bind(most)} else refuse())"


def _refuse() -> NoReturn:
    raise UnmappedError


def own_values(given: dict[str, float | str] | None, *pairs: tuple[str, float | str | None]) -> dict[str, float | str] | None:
    """A payment's own values: those under our name, and those that the mapping says; it has the last word."""
    said = {name: value for name, value in pairs if value is not None}
    return given | said if given is not None else said or None
