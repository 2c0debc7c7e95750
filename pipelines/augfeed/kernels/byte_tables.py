"""Bytes made into others by tables of 256, 64 at a time where the processor holds such tables.

A table is four registers of AVX-512, of which `vpermi2b` reads two at once; LLVM makes one value at
a time of a loop that looks bytes up.
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
from augfeed.kernels.levels import LEVELS
from augfeed.kernels.place import U
from augfeed.kernels.pointers import Emitted, Memory, Number, Values, data_of
from augfeed.kernels.processor import has
from augfeed.kernels.types import Array, Index

WIDE = 64  # bytes of a register
HOLDS_TABLES = has("avx512vbmi", "avx512bw")
_VECTOR = ir.VectorType(ir.IntType(8), WIDE)


def _load(builder: ir.IRBuilder, data: ir.Value, place: ir.Value) -> tuple[ir.Value, ir.Value]:
    pointer = builder.bitcast(builder.gep(data, [place]), _VECTOR.as_pointer())
    return builder.load(pointer, align=1), pointer


def _looking_up(channels: int) -> Any:
    # Of `channels` registers of values side by side, those of a channel by its own table.
    def emit(typing: TypingContext, values: Memory, at: Number, tables: Memory) -> Emitted:
        def generate(
            context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: Values
        ) -> ir.Value:
            data = data_of(context, builder, values, args[0])
            held = data_of(context, builder, tables, args[2])
            kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
            pick = cgutils.get_or_insert_function(
                builder.module, kind, "llvm.x86.avx512.vpermi2var.qi.512"
            )
            parts = [_load(builder, held, ir.Constant(types_index, WIDE * k))[0]
                     for k in range(channels * LEVELS // WIDE)]  # fmt: skip
            zero = ir.Constant(_VECTOR, [0] * WIDE)
            for block in range(channels):
                place = builder.add(args[1], ir.Constant(types_index, WIDE * block))
                given, pointer = _load(builder, data, place)
                upper = builder.icmp_signed("<", given, zero)  # of 128 and more
                made = given
                for c in range(channels):
                    low, high = (
                        builder.call(pick, [parts[4 * c + k], given, parts[4 * c + k + 1]])
                        for k in (0, 2)
                    )
                    found = builder.select(upper, high, low)
                    own = [int((WIDE * block + i) % channels == c) for i in range(WIDE)]
                    mask = ir.Constant(ir.VectorType(ir.IntType(1), WIDE), own)
                    made = builder.select(mask, found, made)
                builder.store(made, pointer, align=1)
            return context.get_dummy_value()

        return types.void(values, types.uint64, tables), generate

    types_index = ir.IntType(64)
    return intrinsic(emit)


_look_up_gray, _look_up_color = _looking_up(1), _looking_up(3)


@njit(nogil=True)
def _each(values: Array, at: Index, first: int, count: int, channels: int, tables: Array) -> None:
    for k in range(first, count):
        i = at + U(k)
        values[i] = tables[U(k % channels * LEVELS) + U(values[i])]


@njit(nogil=True)
def look_up(values: Array, at: Index, pixels: int, channels: int, tables: Array) -> None:
    """Make each byte of pixels another one, in place, by tables `[C, 256]` as one line."""
    count, first = pixels * channels, 0
    if HOLDS_TABLES and channels == 3:
        first = count - count % (3 * WIDE)
        for k in range(0, first, 3 * WIDE):
            _look_up_color(values, at + U(k), tables)
    elif HOLDS_TABLES and channels == 1:
        first = count - count % WIDE
        for k in range(0, first, WIDE):
            _look_up_gray(values, at + U(k), tables)
    elif channels == 3:
        first = count
        for p in range(pixels):
            i = at + U(3 * p)
            values[i] = tables[U(values[i])]
            values[i + U(1)] = tables[U(LEVELS) + U(values[i + U(1)])]
            values[i + U(2)] = tables[U(2 * LEVELS) + U(values[i + U(2)])]
    _each(values, at, first, count, channels, tables)
