"""The tree of an expression: typed parts, equal where they say the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from stream_app.rules.names import RuleName, ValueKind

NodeOp = Literal[
    "name", "const", "add", "sub", "mul", "div", "neg", "abs", "min", "max", "hour",
    "lt", "le", "eq", "ne", "same", "among", "listed", "missing", "holds", "and", "or", "not",
]  # fmt: skip
ListKind = Literal["card", "terminal", "device", "merchant", "ip", "country"]
FIELD_OF_KIND: Mapping[ListKind, str] = {
    "card": "card_id", "terminal": "terminal_id", "device": "device_id", "merchant": "merchant_id", "ip": "ip", "country": "country",
}  # fmt: skip
"""Which field of a payment the values of a list are of."""


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression: equal parts are equal nodes.

    Attributes:
        kind: what its value is.
        name: of `name`.
        value: of `const` the number; of `among` the texts or numbers; of `same` nothing; of `listed` the name of the list.
    """

    op: NodeOp
    kind: ValueKind
    args: tuple[Node, ...] = ()
    name: RuleName | None = None
    value: float | str | tuple[float | str, ...] | None = None

    def walk(self) -> Iterator[Node]:
        """This part and all below it."""
        yield self
        for arg in self.args:
            yield from arg.walk()


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition that is right in form and in types.

    Attributes:
        names: that it asks for, in order, each once.
        lists: that it asks, in order, each once.
    """

    text: str
    root: Node
    names: tuple[RuleName, ...]
    lists: tuple[str, ...]
