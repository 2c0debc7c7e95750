"""The memory of arrays without the arrays: what small functions are given that run many times.

An array that is passed on is seven words and, often, a reference that is counted atomically, in
and out: several nanoseconds, as long as a line of pixels takes. A pointer is one word. It is
indexed like a flat C-contiguous array, and holds nothing: who makes one keeps the array.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.base import BaseContext
from numba.core.typing.context import Context as TypingContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from augfeed.kernels.inner import njit

Values = tuple[ir.Value, ...]  # arguments of a call
Emitted = tuple[Signature, Callable[..., ir.Value]]  # what an intrinsic returns
Number = types.Integer
Memory = types.Array | types.CPointer  # the type of either, as Numba has it


def data_of(context: BaseContext, builder: ir.IRBuilder, kind: Memory, value: ir.Value) -> ir.Value:
    """Return the LLVM pointer to the first element of what is an array or a pointer."""
    if isinstance(kind, types.CPointer):
        return value
    return context.make_array(kind)(context, builder, value).data


def width_of(kind: Memory) -> int:
    """Return the bytes of an element of an array or a pointer."""
    element: Any = kind.dtype
    return int(element.bitwidth) // 8


def _of_type(dtype: types.Type | None) -> Any:
    def emit(typing: TypingContext, array: Memory) -> Emitted:
        result = types.CPointer(array.dtype if dtype is None else dtype)

        def generate(
            context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: Values
        ) -> ir.Value:
            data = data_of(context, builder, array, args[0])
            return builder.bitcast(data, context.get_value_type(result))

        return result(array), generate

    return intrinsic(emit)


# Pointers to the memory of an array, or of a pointer: as what it holds, or as something else.
pointer_to: Any = _of_type(None)
as_floats: Any = _of_type(types.float32)
as_words: Any = _of_type(types.uint32)
as_halves: Any = _of_type(types.uint16)


def _emit_moved(typing: TypingContext, pointer: types.CPointer, count: Number) -> Emitted:
    def generate(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: Values
    ) -> ir.Value:
        return builder.gep(args[0], [args[1]])

    return pointer(pointer, types.intp), generate


moved: Any = intrinsic(_emit_moved)  # a pointer to the element so many further


def _emit_pointer(typing: TypingContext, address: Number) -> Emitted:
    def generate(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: Values
    ) -> ir.Value:
        return builder.inttoptr(args[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate


pointer_at: Any = intrinsic(_emit_pointer)  # what `numba.carray` takes, of an address


@njit(nogil=True)
def keep(arrays: Any) -> bool:
    """Return True: arrays that are made in a function live up to their last use, this one."""
    return len(arrays) > 0
