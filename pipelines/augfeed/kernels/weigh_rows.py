"""Weighted sums of rows of bytes, by whole weights, in vector registers from the first row to the
last: LLVM, which cannot see how many rows there are, would write each sum to memory in between.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.base import BaseContext
from numba.core.typing.context import Context as TypingContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from augfeed.kernels.inner import njit
from augfeed.kernels.place import U
from augfeed.kernels.pointers import Emitted, Memory, Number, Values, data_of
from augfeed.kernels.types import Array, Index, Ints

BLOCK = 32  # values of a row at a time
_BYTES, _WORDS = ir.VectorType(ir.IntType(8), BLOCK), ir.VectorType(ir.IntType(32), BLOCK)


def _every(value: int) -> ir.Constant:
    return ir.Constant(_WORDS, [value] * BLOCK)


def _weighing(bits: int) -> Any:
    def emit(
        typing: TypingContext, source: Memory, at: Number, pitch: Number, weights: Memory,
        first: Number, taps: Number, target: Memory, to: Number,
    ) -> Emitted:  # fmt: skip
        def generate(
            context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: Values
        ) -> ir.Value:
            rows, at, pitch, shares, first, taps, out, to = args
            data, held = (data_of(context, builder, kind, value)
                          for kind, value in ((source, rows), (weights, shares)))  # fmt: skip
            total = cgutils.alloca_once(builder, _WORDS)
            builder.store(_every(1 << (bits - 1)), total)
            with cgutils.for_range(builder, taps, intp=taps.type) as loop:
                place = builder.add(at, builder.mul(loop.index, pitch))
                line = builder.bitcast(builder.gep(data, [place]), _BYTES.as_pointer())
                values = builder.zext(builder.load(line, align=1), _WORDS)
                weight = builder.load(builder.gep(held, [builder.add(first, loop.index)]))
                one = builder.insert_element(ir.Constant(_WORDS, ir.Undefined), weight,
                                             ir.IntType(32)(0))  # fmt: skip
                lanes = ir.Constant(ir.VectorType(ir.IntType(32), BLOCK), [0] * BLOCK)
                spread = builder.shuffle_vector(one, one, lanes)
                sum_ = builder.add(builder.load(total), builder.mul(values, spread))
                builder.store(sum_, total)
            made = builder.ashr(builder.load(total), _every(bits))
            made = builder.select(builder.icmp_signed("<", made, _every(0)), _every(0), made)
            made = builder.select(builder.icmp_signed(">", made, _every(255)), _every(255), made)
            data = data_of(context, builder, target, out)
            pointer = builder.bitcast(builder.gep(data, [to]), _BYTES.as_pointer())
            builder.store(builder.trunc(made, _BYTES), pointer, align=1)
            return context.get_dummy_value()

        place = types.uint64
        return types.void(source, place, place, weights, place, place, target, place), generate

    return intrinsic(emit)


BITS = 22  # of a weight; Pillow's number
_weigh_block: Any = _weighing(BITS)


@njit(nogil=True)
def weigh_rows(
    source: Array, at: Index, pitch: Index, weights: Ints, first: Index, taps: Index,
    target: Array, to: Index, count: int,
) -> None:  # fmt: skip
    """Write the sums of rows of at least `BLOCK` bytes, `pitch` apart from `source[at]` on, times
    as many `weights` from `first` on, each of 22 bits, rounded to bytes, from `target[to]` on."""
    last = U(count - BLOCK)
    for k in range(0, count, BLOCK):
        i = min(U(k), last)  # the last block overlaps the one before
        _weigh_block(source, at + i, pitch, weights, first, taps, target, to + i)
