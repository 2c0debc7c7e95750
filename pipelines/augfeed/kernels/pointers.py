"""The memory of arrays without the arrays: what small functions are given that run many times.

An array that is passed on is seven words and, often, a reference that is counted atomically, in
and out: several nanoseconds, as long as a line of pixels takes. A pointer is one word. It is
indexed like a flat C-contiguous array, and holds nothing: who makes one keeps the array.
"""

from typing import Any

from numba import njit, types
from numba.extending import intrinsic

_pointer: Any = types.CPointer


def data_of(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """Return the LLVM pointer to the first element of what is an array or a pointer."""
    if isinstance(kind, types.CPointer):
        return value
    return context.make_array(kind)(context, builder, value).data


def width_of(kind: Any) -> int:
    """Return the bytes of an element of an array or a pointer."""
    return int(kind.dtype.bitwidth) // 8


def _of_type(dtype: Any) -> Any:
    def emit(typing: Any, array: Any) -> Any:
        result = _pointer(array.dtype if dtype is None else dtype)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data = data_of(context, builder, array, args[0])
            return builder.bitcast(data, context.get_value_type(result))

        return result(array), generate

    return intrinsic(emit)


# Pointers to the memory of an array, or of a pointer: as what it holds, or as something else.
pointer_to: Any = _of_type(None)
as_floats: Any = _of_type(types.float32)
as_words: Any = _of_type(types.uint32)
as_halves: Any = _of_type(types.uint16)


def _emit_moved(typing: Any, pointer: Any, count: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.gep(args[0], [args[1]])

    return pointer(pointer, types.intp), generate


moved: Any = intrinsic(_emit_moved)  # a pointer to the element so many further


@njit(nogil=True)
def keep(arrays: Any) -> bool:
    """Return True: arrays that are made in a function live up to their last use, this one."""
    return len(arrays) > 0
