"""An expression, parsed and typed: what may be asked of a payment, and nothing else. No text is ever evaluated.

Three values: a condition is true, false or unknown. What is missing is unknown, and so is what is made of it, a division by zero, and a number
that is not finite. `false and unknown` is false, `true or unknown` is true, `not unknown` is unknown (Kleene). A rule hits where its
expression is true; unknown never hits.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from stream_app.errors import RuleError
from stream_app.messages.event_time import EARLIEST_EVENT_TIME_MS, MAX_EVENT_TIME_MS
from stream_app.rules.names import ATTRIBUTES, RuleName, ValueKind, attribute, is_attribute, names, nearest, unknown
from stream_app.rules.tokens import RuleText, checked
from stream_app.rules.tree import FIELD_OF_KIND, Expression, ListKind, Node, NodeOp

MAX_NODES = 200
MAX_DEPTH = 24
MAX_MEMBERS = 32
MAX_NUMBER = 1e15
"""Money of any currency is below it, and times in milliseconds too; a 64-bit number tells each whole one apart."""


def parse(text: str, lists: Mapping[str, ListKind] | None = None) -> Expression:
    """Read an expression.

    Args:
        text: as it was written.
        lists: the lists that there are, and what their values are; None where any may be.

    Raises:
        RuleError: with the place, what is wrong there, and the nearest name where one is not known.
    """
    source = checked(text)
    try:
        tree = ast.parse(source.python.strip(" "), mode="eval").body
    except SyntaxError as error:
        raise source.refused(_start(source) + source.at((error.offset or 1) - 1), f"it cannot be read here: {error.msg}.") from None
    except (RecursionError, MemoryError, ValueError):
        raise source.refused(0, "it is nested too deeply. Make two rules of it.") from None
    if sum(1 for _ in ast.walk(tree) if isinstance(_, ast.expr)) > MAX_NODES:
        raise source.refused(0, f"it has more than {MAX_NODES} parts. Make two rules of it.")
    root = _Reader(source, lists).condition(tree, 0)
    found = list(root.walk())
    asked = dict.fromkeys(node.name for node in found if node.name is not None)
    return Expression(text, root, tuple(asked), tuple(dict.fromkeys(str(node.value) for node in found if node.op == "listed")))


def _start(source: RuleText) -> int:
    return len(source.python) - len(source.python.lstrip(" "))


_COMPARISONS: Mapping[type[ast.cmpop], tuple[NodeOp, bool]] = {
    ast.Lt: ("lt", False), ast.LtE: ("le", False), ast.Gt: ("lt", True), ast.GtE: ("le", True), ast.Eq: ("eq", False), ast.NotEq: ("ne", False),
}  # fmt: skip
"""Each as an operation, and whether its sides are exchanged."""
_ARITHMETIC: Mapping[type[ast.operator], NodeOp] = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div"}
_FUNCTIONS: Mapping[str, tuple[NodeOp, int, ValueKind]] = {
    "abs": ("abs", 1, ValueKind.NUMBER), "min": ("min", 2, ValueKind.NUMBER), "max": ("max", 2, ValueKind.NUMBER), "hour": ("hour", 1, ValueKind.TIME),
    "missing": ("missing", 1, ValueKind.BOOL),
}  # fmt: skip
"""By name: the operation, how many values it takes, and of what kind; `missing` takes any name."""
_FOLDED: Mapping[NodeOp, Callable[..., float]] = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b, "neg": lambda a: -a,
    "abs": abs, "min": min, "max": max,
}  # fmt: skip


class _Reader:
    """Makes nodes of Python's: those of a whitelist; any other is refused at its place."""

    def __init__(self, source: RuleText, lists: Mapping[str, ListKind] | None) -> None:
        self._source, self._lists, self._start = source, lists, _start(source)

    def _offset(self, node: ast.expr) -> int:
        return self._start + self._source.at(node.col_offset)

    def _refused(self, node: ast.expr, what: str) -> RuleError:
        return self._source.refused(self._offset(node), what)

    def condition(self, node: ast.expr, depth: int) -> Node:
        """A part that is true or false."""
        if depth > MAX_DEPTH:
            raise self._refused(node, f"it is nested more than {MAX_DEPTH} deep. Make two rules of it.")
        match node:
            case ast.BoolOp(op=op, values=values):
                parts = tuple(self.condition(value, depth + 1) for value in values)
                return Node("and" if isinstance(op, ast.And) else "or", ValueKind.BOOL, parts)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Node("not", ValueKind.BOOL, (self.condition(operand, depth + 1),))
            case ast.Compare():
                return self._compared(node, depth)
            case ast.Constant(value=bool()):
                raise self._refused(node, "`True` and `False` say nothing of a payment. Write a comparison.")
        value = self.value(node, depth)
        if value.kind is not ValueKind.BOOL:
            raise self._refused(node, f"this is {value.kind}, where something true or false is wanted. Compare it, as `… > 0`.")
        return Node("holds", ValueKind.BOOL, (value,)) if value.op == "name" else value

    def value(self, node: ast.expr, depth: int) -> Node:
        """A part with a value."""
        if depth > MAX_DEPTH:
            raise self._refused(node, f"it is nested more than {MAX_DEPTH} deep. Make two rules of it.")
        match node:
            case ast.Name() | ast.Attribute() | ast.Subscript():
                return self._name(node)
            case ast.Constant(value=int() | float() | str() as constant) if not isinstance(constant, bool):
                return Node("const", ValueKind.TEXT, value=constant) if isinstance(constant, str) else self._number(node, constant)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._made(node, "neg", [operand], depth)
            case ast.BinOp(op=op) if type(op) in _ARITHMETIC:
                return self._made(node, _ARITHMETIC[type(op)], [node.left, node.right], depth)
            case ast.Call(func=ast.Name(id=name)):
                return self._called(node, name, depth)
            case ast.BoolOp() | ast.Compare() | ast.UnaryOp(op=ast.Not()):
                return self.condition(node, depth)
        raise self._refused(node, f"{_WORDS.get(type(node), 'this')} is not allowed. docs/rules.md says what an expression may hold.")

    def _called(self, node: ast.Call, name: str, depth: int) -> Node:
        if name not in _FUNCTIONS:
            raise self._refused(node, f"there is no function {name!r}{nearest(name, _FUNCTIONS)}. There are {', '.join(_FUNCTIONS)}.")
        if node.keywords:
            raise self._refused(node, f"`{name}` takes values alone, without names and stars.")
        op, count, kind = _FUNCTIONS[name]
        if len(node.args) != count:
            raise self._refused(node, f"`{name}` takes {count} value{'s' if count > 1 else ''}, not {len(node.args)}.")
        if op != "missing":
            return self._made(node, op, node.args, depth, kind)
        of = self.value(node.args[0], depth + 1)
        if of.op != "name":
            raise self._refused(node.args[0], "`missing` takes a name.")
        return Node("missing", ValueKind.BOOL, (of,))

    def _made(self, node: ast.expr, op: NodeOp, operands: list[ast.expr], depth: int, kind: ValueKind = ValueKind.NUMBER) -> Node:
        """A number made of others; of constants alone it is one, now."""
        args = tuple(self._of_kind(operand, kind, depth + 1) for operand in operands)
        if not all(arg.op == "const" for arg in args):
            return Node(op, ValueKind.NUMBER, args)
        try:
            return self._number(node, _FOLDED[op](*(arg.value for arg in args)))
        except ZeroDivisionError:
            raise self._refused(node, "this never has a value.") from None

    def _number(self, node: ast.expr, value: float) -> Node:
        if not abs(value) <= MAX_NUMBER:
            raise self._refused(node, f"this number is too large: up to {MAX_NUMBER:.0e} are allowed.")
        return Node("const", ValueKind.NUMBER, value=float(value) + 0.0)

    def _of_kind(self, node: ast.expr, kind: ValueKind, depth: int) -> Node:
        found = self.value(node, depth)
        if found.kind is not kind:
            raise self._refused(node, f"this is {found.kind}, where {kind} is wanted.")
        return found

    def _name(self, node: ast.Name | ast.Attribute | ast.Subscript) -> Node:
        match node:
            case ast.Name(id=name) if self._offset(node) in self._source.lists:
                raise self._refused(node, f"a list can only be asked: `… in @{name[1:]}`.")
            case ast.Name(id=name) if name in names():
                return _node_of(names()[name])
            case ast.Name(id=name) if name == ATTRIBUTES:
                raise self._refused(node, f'say which: `{ATTRIBUTES}.v1`, or `{ATTRIBUTES}["V 1"]`.')
            case ast.Name(id=name):
                raise self._refused(node, unknown(name))
            case (
                ast.Attribute(value=ast.Name(id=of), attr=name) | ast.Subscript(value=ast.Name(id=of), slice=ast.Constant(value=str(name)))
            ):
                if of == ATTRIBUTES and is_attribute(name):
                    return _node_of(attribute(name))
        raise self._refused(node, f'only `{ATTRIBUTES}` has parts: `{ATTRIBUTES}.v1`, or `{ATTRIBUTES}["V 1"]`.')

    def _compared(self, node: ast.Compare, depth: int) -> Node:
        operands = [node.left, *node.comparators]
        parts = tuple(self._pair(left, op, right, depth + 1) for left, op, right in zip(operands, node.ops, operands[1:], strict=False))
        return parts[0] if len(parts) == 1 else Node("and", ValueKind.BOOL, parts)

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr, depth: int) -> Node:
        if isinstance(op, ast.In | ast.NotIn):
            found = self._membership(left, right, depth)
            return found if isinstance(op, ast.In) else Node("not", ValueKind.BOOL, (found,))
        if type(op) not in _COMPARISONS:
            raise self._refused(right, "`is` is not allowed. Write `==`, or `missing(…)`.")
        sides = self._alike(left, right, self.value(left, depth), self.value(right, depth))
        operation, exchanged = _COMPARISONS[type(op)]
        if sides[0].kind is ValueKind.TEXT:
            if operation not in {"eq", "ne"}:
                raise self._refused(right, "texts have no order here: write `==` or `!=`.")
            found = self._texts(left, right, *sides)
            return found if operation == "eq" else Node("not", ValueKind.BOOL, (found,))
        return Node(operation, ValueKind.BOOL, sides[::-1] if exchanged else sides)

    def _alike(self, left: ast.expr, right: ast.expr, a: Node, b: Node) -> tuple[Node, Node]:
        """Both sides, of one kind; a text beside a time is read as one."""
        if {a.kind, b.kind} == {ValueKind.TIME, ValueKind.TEXT}:
            a = self._time(left, a) if a.kind is ValueKind.TEXT else a
            b = self._time(right, b) if b.kind is ValueKind.TEXT else b
        if ValueKind.BOOL in {a.kind, b.kind}:
            raise self._refused(
                left if a.kind is ValueKind.BOOL else right, "what is true or false is not compared: write it, or `not` before it."
            )
        if a.kind is not b.kind:
            raise self._refused(right, f"{a.kind} is compared with {b.kind}.")
        if a.op == b.op == "const":
            raise self._refused(right, "two constants are compared.")
        return a, b

    def _time(self, at: ast.expr, node: Node) -> Node:
        try:
            moment = datetime.fromisoformat(str(node.value))
        except ValueError:
            raise self._refused(
                at, 'this is no time: write `"2026-11-01"`, or `"2026-11-01T12:00:00+01:00"` (UTC, unless it says otherwise).'
            ) from None
        ms = round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
        if node.op != "const" or not EARLIEST_EVENT_TIME_MS <= ms <= MAX_EVENT_TIME_MS:
            raise self._refused(at, "no payment has such a time: they are from 2000 on.")
        return Node("const", ValueKind.TIME, value=float(ms))

    def _texts(self, left: ast.expr, right: ast.expr, a: Node, b: Node) -> Node:
        if b.op == "name" and a.op == "const":
            return Node("among", ValueKind.BOOL, (b,), value=(self._code(left, b, a),))
        if b.op == "const":
            return Node("among", ValueKind.BOOL, (a,), value=(self._code(right, a, b),))
        return Node("same", ValueKind.BOOL, (a, b))

    def _code(self, at: ast.expr, of: Node, const: Node) -> str:
        """A text that the name may hold."""
        text, name = str(const.value), of.name
        if name is not None and name.codes and text not in name.codes:
            raise self._refused(at, f"no {name.name} is {text!r}{nearest(text, name.codes)}.")
        if name is not None and name.form and not re.fullmatch(name.form, text, re.ASCII):
            raise self._refused(at, f"no {name.name} is {text!r}: its form is {name.form}.")
        return text

    def _membership(self, left: ast.expr, right: ast.expr, depth: int) -> Node:
        of = self.value(left, depth)
        if isinstance(right, ast.Name) and self._offset(right) in self._source.lists:
            return self._listed(left, right, of)
        if not isinstance(right, ast.Tuple | ast.List | ast.Set):
            raise self._refused(right, 'after `in` stands a list, as `@watched`, or values, as `("online", "moto")`.')
        if not 1 <= len(right.elts) <= MAX_MEMBERS:
            raise self._refused(right, f"between 1 and {MAX_MEMBERS} values may stand here. Make a list of more, and ask it: `@name`.")
        members: list[float | str] = []
        for item in right.elts:
            value = self.value(item, depth)
            if value.op != "const" or value.kind is not of.kind or of.op == "const" or of.kind not in {ValueKind.TEXT, ValueKind.NUMBER}:
                raise self._refused(item, f"here stand constants, of the kind of what is asked for: {of.kind}.")
            member = self._code(item, of, value) if of.kind is ValueKind.TEXT else value.value
            if member in members:
                raise self._refused(item, f"{member!r} stands here twice.")
            members.append(member)  # type: ignore[arg-type] # a constant's
        return Node("among", ValueKind.BOOL, (of,), value=tuple(members))

    def _listed(self, left: ast.expr, right: ast.Name, of: Node) -> Node:
        name = right.id[1:]
        if self._lists is not None and name not in self._lists:
            raise self._refused(right, f"there is no list @{name}{nearest(name, self._lists)}.")
        fields = tuple(FIELD_OF_KIND.values()) if self._lists is None else (FIELD_OF_KIND[self._lists[name]],)
        if of.name is None or of.name.name not in fields:
            raise self._refused(left, f"@{name} holds values of {' or '.join(fields)}: write `{fields[0]} in @{name}`.")
        return Node("listed", ValueKind.BOOL, (of,), value=name)


def _node_of(name: RuleName) -> Node:
    return Node("name", name.kind, name=name)


_WORDS: Mapping[type[ast.expr], str] = {
    ast.Lambda: "a function",
    ast.IfExp: "`if`",
    ast.Tuple: "a row of values",
    ast.List: "a row of values",
    ast.Call: "a call of anything but a function by its name",
    ast.BinOp: "this operator",
    ast.UnaryOp: "this operator",
    ast.Constant: "this constant",
    ast.ListComp: "a loop",
    ast.GeneratorExp: "a loop",
}
