"""What an expression says of one payment, a part after the other: the oracle that the compiled program is held against."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from stream_app.rules.names import names

type Env = Mapping[str, Any]
"""Values by name; None where one is missing; of lists, the set of what they hold by `_name`."""

ORDER: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
SUMS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip

FUNCTIONS: dict[str, Callable[..., float]] = {"abs": abs, "min": min, "max": max}


def says(text: str, env: Env) -> bool | None:
    """True, False, or None where it is unknown."""
    found: bool | None = _of(ast.parse(text.replace("@", "_").strip(), mode="eval").body, env)
    return found


def _of(node: ast.expr, env: Env) -> Any:  # noqa: PLR0911, PLR0912, C901 - one for each part
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return env[name]
        case ast.Attribute(attr=name):
            return env["attributes"].get(name)
        case ast.BoolOp(op=op, values=values):
            parts, decides = [_of(v, env) for v in values], isinstance(op, ast.Or)
            return decides if decides in parts else None if None in parts else not decides
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return None if (of := _of(operand, env)) is None else not of
        case ast.UnaryOp(operand=operand):
            return None if (of := _of(operand, env)) is None else -of
        case ast.BinOp(left=left, op=op, right=right):
            return _finite(SUMS[type(op)], _of(left, env), _of(right, env))
        case ast.Call(func=ast.Name(id="missing"), args=[of]):
            return _of(of, env) is None
        case ast.Call(func=ast.Name(id="hour"), args=[of]):
            return _of(of, env) // 3_600_000 % 24
        case ast.Call(func=ast.Name(id=name), args=args):
            return _finite(FUNCTIONS[name], *(_of(a, env) for a in args))
        case ast.Compare(left=left, ops=[ast.In() as op], comparators=[ast.Name(id=name)]):
            return None if (of := _of(left, env)) is None else of in env[name]
        case ast.Compare(left=left, ops=[ast.In()], comparators=[ast.Tuple(elts=items)]):
            return None if (of := _of(left, env)) is None else any(of == _beside(left, _of(i, env)) for i in items)
        case ast.Compare(left=left, ops=ops, comparators=sides):
            pairs = zip([left, *sides], ops, sides, strict=False)
            found = [_compared(a, ORDER[type(op)], b, env) for a, op, b in pairs]
            return False if False in found else None if None in found else True
    raise AssertionError(ast.dump(node))


def _compared(a: ast.expr, op: Callable[[Any, Any], bool], b: ast.expr, env: Env) -> bool | None:
    one, other = _of(a, env), _of(b, env)
    if one is None or other is None:
        return None
    return bool(op(_beside(b, one) if _is_number(a) else one, _beside(a, other) if _is_number(b) else other))


def _is_number(node: ast.expr) -> bool:
    """A number as such, with or without a sign."""
    return isinstance(node, ast.Constant) or (isinstance(node, ast.UnaryOp) and _is_number(node.operand))


def _beside(node: ast.expr, value: Any) -> Any:
    """A constant beside a feature is of 32 bits, as that is."""
    return float(np.float32(value)) if isinstance(node, ast.Name) and names()[node.id].is_32_bit else value


def _finite(what: Callable[..., float], *of: Any) -> float | None:
    if None in of:
        return None
    try:
        made = what(*of)
    except ZeroDivisionError:
        return None
    return made if math.isfinite(made) else None
