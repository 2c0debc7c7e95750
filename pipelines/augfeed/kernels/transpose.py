"""A transpose of small elements through vector registers, as LLVM does not make one of a loop."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.base import BaseContext
from numba.core.typing.context import Context as TypingContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from augfeed.kernels.inner import njit
from augfeed.kernels.pointers import Emitted, Number, Values, width_of
from augfeed.kernels.types import Array

SIDE = 16
_ROWS = range(SIDE)


def _interleave(first: int) -> ir.Constant:
    # Elements first, first + 1, ... of two vectors, in turn.
    lanes = [lane for i in range(first, first + SIDE // 2) for lane in (i, SIDE + i)]
    return ir.Constant(ir.VectorType(ir.IntType(32), SIDE), lanes)


def _emit_block(
    context: TypingContext, source: types.Array, at: Number, stride: Number, target: types.Array,
    to: Number, step: Number,
) -> Emitted:  # fmt: skip
    """Copy the block of `SIDE` x `SIDE` elements at `source[at]`, rows `stride` apart, turned to
    `target[to]`, rows `step` apart; places count elements of the C-contiguous arrays."""
    signature = types.void(source, types.intp, types.intp, target, types.intp, types.intp)

    def emit(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: Values
    ) -> ir.Value:
        element = context.get_data_type(source.dtype)
        width = width_of(source)
        pointer = ir.VectorType(element, SIDE).as_pointer()

        def row(
            array: ir.Value, kind: types.Array, start: ir.Value, distance: ir.Value, i: int
        ) -> ir.Value:
            data = context.make_array(kind)(context, builder, array).data
            place = builder.add(start, builder.mul(distance, ir.Constant(distance.type, i)))
            return builder.bitcast(builder.gep(data, [place]), pointer)

        source_array, at, stride, target_array, to, step = args
        vectors = [builder.load(row(source_array, source, at, stride, i), align=width)
                   for i in _ROWS]  # fmt: skip
        low, high = _interleave(0), _interleave(SIDE // 2)
        # Interleaving row i with row i + SIDE / 2 is a rotation of the bits of (row, column);
        # log2(SIDE) of them exchange row and column.
        for _ in range(SIDE.bit_length() - 1):
            halves = zip(vectors[: SIDE // 2], vectors[SIDE // 2 :], strict=True)
            vectors = [builder.shuffle_vector(a, b, mask) for a, b in halves
                       for mask in (low, high)]  # fmt: skip
        for i in _ROWS:
            builder.store(vectors[i], row(target_array, target, to, step, i), align=width)
        return context.get_dummy_value()

    return signature, emit


transpose_block: Any = intrinsic(_emit_block)


@njit(nogil=True)
def transpose(source: Array, target: Array, at: int, to: int, rows: int, columns: int) -> None:
    """Copy the `[rows, columns]` block of a matrix at flat place `at` to `[columns, rows]` at `to`.

    Both matrices are C-contiguous, and of uint8 or float32.
    """
    stride, step = source.shape[1], target.shape[1]
    if rows < SIDE or columns < SIDE:
        for y in range(rows):
            for x in range(columns):
                target.flat[to + x * step + y] = source.flat[at + y * stride + x]
        return
    # The last block of a side that SIDE does not divide overlaps the one before.
    for y in range(0, rows, SIDE):
        row = min(y, rows - SIDE)
        for x in range(0, columns, SIDE):
            column = min(x, columns - SIDE)
            start, end = at + row * stride + column, to + column * step + row
            transpose_block(source, start, stride, target, end, step)
