"""Asking the processor for memory before it is needed: an instruction that changes nothing but time."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from stream_app.features.compiled import jit

_WORDS_OF_A_LINE = 8
_FOR_WRITING, _KEEP, _DATA = 1, 3, 1  # arguments of LLVM's prefetch


@intrinsic  # type: ignore[untyped-decorator]
def _prefetch(_typing: Any, array: Any, index: Any) -> Any:  # noqa: ARG001 - numba reads the names' types
    """Prefetch the cache line of an element of an array in C order, by its flat index."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        prefetch = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte, number, number, number]), "llvm.prefetch.p0"
        )
        address = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        builder.call(prefetch, [address, number(_FOR_WRITING), number(_KEEP), number(_DATA)])
        return context.get_dummy_value()

    return types.void(array, types.intp), code


@jit  # type: ignore[untyped-decorator]
def _ask_for(rows: Any, row: int) -> None:
    start = row * rows.shape[1]
    for j in range(start, start + rows.shape[1], _WORDS_OF_A_LINE):
        _prefetch(rows, j)


@jit  # type: ignore[untyped-decorator]
def ask_for_row(rows: Any, at: Any, slots: Any, i: int) -> None:
    """Prefetch the row of event i, if there is such an event and it has one."""
    if i < len(slots) and slots[i] >= 0:
        _ask_for(rows, at[slots[i]])


@jit  # type: ignore[untyped-decorator]
def ask_for_chosen(rows: Any, chosen: Any, i: int) -> None:
    """Prefetch the i-th chosen row, if there is one."""
    if i < len(chosen):
        _ask_for(rows, chosen[i])
