"""Expressions of a release, made into one program for `machine`: what several of them say is worked out once.

A condition is false where it surely does not hold, so each is compiled for what is asked of it: where it *surely holds*, or where it *surely
does not*. `not` exchanges the two, `and` of the one is `or` of the other, and a comparison has its opposite. A comparison with something
unknown does neither. That is Kleene's logic, with one truth for each part in place of two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stream_app.features.compute import Floats
from stream_app.rules.machine import FIRST_OF_TRUTHS, Instruction, Instructions, Truths, run
from stream_app.rules.names import ValueKind
from stream_app.rules.tree import Node, NodeOp

Made = Literal["number", "text", "same", "listed", "share"]


@dataclass(frozen=True, slots=True)
class RuleColumn:
    """What a program reads of each payment, a number each; NaN where it is unknown.

    Attributes:
        made: of a `number` (also true or false, 1 or 0, and a time in ms) itself; of a `text` its place among the constants, -1 for any
            other; of `same` whether two texts are equal, of `listed` whether a list holds the field, of `share` whether the card is among
            a rule's share: 1 or 0.
        name: of the field, feature or attribute; of `share` the rule's code.
        other: the second text; the name of the list.
        share: of the cards.
    """

    made: Made
    name: str
    other: str = ""
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Program:
    """What finds the payments that each expression holds for.

    Attributes:
        columns: that it reads, in order.
        texts: the place of each constant text.
        needs: for each expression, the places of its columns.
    """

    columns: tuple[RuleColumn, ...]
    texts: Mapping[str | None, float]
    needs: tuple[tuple[int, ...], ...]
    code: Instructions = field(repr=False)
    constants: Floats = field(repr=False)
    roots: NDArray[np.int32] = field(repr=False)
    sizes: tuple[int, int]

    def hits(self, columns: Floats) -> Truths:
        """Which payments each expression holds for, bool [expressions, payments]; of columns float64 [columns, payments]."""
        if not len(self.roots) or not columns.shape[1]:
            return np.zeros((len(self.roots), columns.shape[1]), dtype=np.bool_)
        return run(self.code, columns, self.constants, self.roots, self.sizes)


@dataclass(frozen=True, slots=True)
class Condition:
    """When a rule may hit, beside its expression: in a span of event time, for a share of the cards."""

    root: Node
    from_ms: int | None = None
    until_ms: int | None = None
    share: RuleColumn | None = None


def compiled(conditions: Sequence[Condition]) -> Program:
    """The program of several conditions."""
    assembler = _Assembler()
    roots, needs = [], []
    for condition in conditions:
        roots.append(assembler.condition(condition))
        needs.append(assembler.reads(roots[-1]))
    return assembler.program(roots, needs)


type _Register = tuple[Literal["column", "constant", "number", "truth"], int]

_OF_NUMBERS: Mapping[NodeOp, Instruction] = {
    "add": Instruction.ADD, "sub": Instruction.SUB, "mul": Instruction.MUL, "div": Instruction.DIV, "neg": Instruction.NEG,
    "abs": Instruction.ABS, "min": Instruction.MIN, "max": Instruction.MAX, "hour": Instruction.HOUR,
}  # fmt: skip
_SURELY: Mapping[NodeOp, Instruction] = {"lt": Instruction.LT, "le": Instruction.LE, "eq": Instruction.EQ, "ne": Instruction.NE}
_SURELY_NOT: Mapping[NodeOp, tuple[Instruction, bool]] = {
    "lt": (Instruction.LE, True), "le": (Instruction.LT, True), "eq": (Instruction.NE, False), "ne": (Instruction.EQ, False),
}  # fmt: skip
"""The opposite of a comparison, and whether its sides are exchanged."""


class _Assembler:
    """Gives each part a register, equal parts the same."""

    def __init__(self) -> None:
        self._columns: dict[RuleColumn, int] = {}
        self._constants: dict[float, int] = {}
        self._texts: dict[str | None, float] = {None: np.nan}
        self._made: dict[tuple[Instruction, _Register, _Register], _Register] = {}
        self._reads: dict[_Register, frozenset[int]] = {}
        self._counts = {"number": 0, "truth": 0}

    def condition(self, of: Condition) -> _Register:
        """The register that says where a condition surely holds."""
        parts = [self._truth(of.root, holds=True)]
        if of.from_ms is not None:
            parts.append(self._emit(Instruction.LE, self._constant(of.from_ms), self._column(RuleColumn("number", "event_time"))))
        if of.until_ms is not None:
            parts.append(self._emit(Instruction.LT, self._column(RuleColumn("number", "event_time")), self._constant(of.until_ms)))
        if of.share is not None:
            parts.append(self._emit(Instruction.EQ, self._column(of.share), self._constant(1)))
        return self._chain(Instruction.AND, parts)

    def reads(self, register: _Register) -> tuple[int, ...]:
        """The places of the columns that a register is made of."""
        return tuple(sorted(self._reads[register]))

    def _truth(self, node: Node, *, holds: bool) -> _Register:
        """Where a part surely holds, or surely does not."""
        match node.op:
            case "not":
                return self._truth(node.args[0], holds=not holds)
            case "and" | "or":
                op = Instruction.AND if (node.op == "and") is holds else Instruction.OR
                return self._chain(op, [self._truth(arg, holds=holds) for arg in node.args])
            case "missing":
                of = self._number(node.args[0])
                return self._emit(Instruction.MISSING if holds else Instruction.THERE, of, of)
            case "among":
                return self._among(node, holds=holds)
            case "holds" | "same" | "listed":
                return self._emit(Instruction.EQ, self._flag(node), self._constant(1 if holds else 0))
        a, b = self._sides(node)
        instruction, exchanged = (_SURELY[node.op], False) if holds else _SURELY_NOT[node.op]
        return self._emit(instruction, b, a) if exchanged else self._emit(instruction, a, b)

    def _sides(self, node: Node) -> tuple[_Register, _Register]:
        """Both sides of a comparison; a constant beside a number of 32 bits is rounded as that was."""
        a, b = node.args
        return self._number(a, beside=b), self._number(b, beside=a)

    def _among(self, node: Node, *, holds: bool) -> _Register:
        of, members = node.args[0], node.value
        assert isinstance(members, tuple)  # noqa: S101 - for the type checker
        instruction = Instruction.EQ if holds else Instruction.NE
        column = self._number(of)
        codes = [self._texts.setdefault(m, len(self._texts) - 1.0) if isinstance(m, str) else _rounded(m, of) for m in members]
        parts = [self._emit(instruction, column, self._constant(code)) for code in codes]
        return self._chain(Instruction.OR if holds else Instruction.AND, parts)

    def _flag(self, node: Node) -> _Register:
        """A column that is 1, 0 or unknown."""
        names = [arg.name.name for arg in node.args if arg.name is not None]
        if node.op == "same":
            return self._column(RuleColumn("same", min(names), max(names)))
        return self._column(RuleColumn("listed", names[0], str(node.value)) if node.op == "listed" else RuleColumn("number", names[0]))

    def _number(self, node: Node, beside: Node | None = None) -> _Register:
        if node.op == "const":
            assert isinstance(node.value, float)  # noqa: S101 - for the type checker
            return self._constant(_rounded(node.value, beside))
        if node.name is not None:
            return self._column(RuleColumn("text" if node.kind is ValueKind.TEXT else "number", node.name.name))
        args = [self._number(arg) for arg in node.args]
        return self._emit(_OF_NUMBERS[node.op], args[0], args[-1])

    def _column(self, column: RuleColumn) -> _Register:
        place = self._columns.setdefault(column, len(self._columns))
        self._reads["column", place] = frozenset({place})
        return "column", place

    def _constant(self, value: float) -> _Register:
        register: _Register = ("constant", self._constants.setdefault(float(value), len(self._constants)))
        self._reads[register] = frozenset()
        return register

    def _chain(self, op: Instruction, parts: Sequence[_Register]) -> _Register:
        found = parts[0]
        for part in parts[1:]:
            found = self._emit(op, found, part)
        return found

    def _emit(self, op: Instruction, a: _Register, b: _Register) -> _Register:
        """The register of an instruction; the one that is there already where it was asked for before."""
        if (op, a, b) not in self._made:
            kind: Literal["number", "truth"] = "number" if op < FIRST_OF_TRUTHS else "truth"
            register: _Register = (kind, self._counts[kind])
            self._made[op, a, b] = register
            self._counts[kind] += 1
            self._reads[register] = self._reads[a] | self._reads[b]
        return self._made[op, a, b]

    def program(self, roots: Sequence[_Register], needs: Sequence[tuple[int, ...]]) -> Program:
        """All that was asked for; registers of numbers stand behind columns and constants."""
        first = {"column": 0, "constant": len(self._columns), "number": len(self._columns) + len(self._constants), "truth": 0}

        def place(register: _Register) -> int:
            return first[register[0]] + register[1]

        code = [(op, place(a), place(b), place(to)) for (op, a, b), to in self._made.items()]
        return Program(
            tuple(self._columns),
            self._texts,
            tuple(needs),
            np.array(code, dtype=np.int32).reshape(-1, 4),
            np.array(list(self._constants), dtype=np.float64),
            np.array([place(root) for root in roots], dtype=np.int32),
            (first["number"] + self._counts["number"], self._counts["truth"]),
        )


def _rounded(value: float, beside: Node | None) -> float:
    """A constant, of 32 bits where it is compared with a number of 32 bits: 0.7 is 7 of 10 then."""
    if beside is not None and beside.name is not None and beside.name.is_32_bit:
        return float(np.float32(value))
    return float(value)
