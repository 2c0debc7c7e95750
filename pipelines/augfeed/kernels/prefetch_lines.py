"""Lines of the cache asked for before they are needed: images of a batch lie anywhere in memory."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.base import BaseContext
from numba.core.typing.context import Context as TypingContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from augfeed.kernels.inner import njit
from augfeed.kernels.nontemporal_copy import LINE, bytes_of
from augfeed.kernels.place import U
from augfeed.kernels.pointers import Emitted, Memory, Number, Values, data_of
from augfeed.kernels.types import Array

MOST = 4096  # bytes that are asked for: the processor foresees the rest of a larger image
_READ, _KEEP, _DATA = (ir.Constant(ir.IntType(32), value) for value in (0, 3, 1))


def _emit_prefetch(typing: TypingContext, array: Memory, at: Number) -> Emitted:
    def generate(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: Values
    ) -> ir.Value:
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), (byte, word, word, word))
        wanted = builder.module.declare_intrinsic("llvm.prefetch", (byte,), kind)
        place = builder.gep(data_of(context, builder, array, args[0]), [args[1]])
        builder.call(wanted, (builder.bitcast(place, byte), _READ, _KEEP, _DATA))
        return context.get_dummy_value()

    return types.void(array, types.uint64), generate


# mypy would count the parameter of the typing context among those of a call.
_prefetch: Any = intrinsic(_emit_prefetch)


@njit(nogil=True)
def prefetch_image(flat: Array, shape: tuple[int, int, int, int], place: int) -> None:
    """Ask for the lines of an image of some `shape` `[N, h, w, C]`, `MOST` bytes at most."""
    width, count = bytes_of(flat), shape[1] * shape[2] * shape[3]
    for i in range(0, min(count, MOST // width), LINE // width):
        _prefetch(flat, U(place * count + i))
