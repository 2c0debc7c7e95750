"""Pixels taken apart into planes and put together again, through vector registers.

LLVM does not vectorise a loop over values that lie three apart, so these name the shuffles; it
makes of them what the processor has.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.base import BaseContext
from numba.core.typing.context import Context as TypingContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from augfeed.kernels.inner import njit
from augfeed.kernels.pointers import Emitted, Memory, Number, Values, data_of, width_of
from augfeed.kernels.processor import has
from augfeed.kernels.types import Array, Floats, Index

U = np.uint64
BLOCK = 16  # pixels that registers take at once
_LANES = range(BLOCK)
_INDEX = ir.IntType(32)


def _shuffled(builder: ir.IRBuilder, vectors: list[ir.Value], lanes: list[int]) -> ir.Value:
    # The vector of those elements of one vector, or of three, one after another.
    def mask(of: list[int]) -> ir.Constant:
        return ir.Constant(ir.VectorType(_INDEX, BLOCK), of)

    if len(vectors) == 1:
        ordered = lanes == list(_LANES)
        return vectors[0] if ordered else builder.shuffle_vector(*vectors * 2, mask(lanes))
    two = builder.shuffle_vector(*vectors[:2], mask([k if k < 2 * BLOCK else 0 for k in lanes]))
    last = [i if k < 2 * BLOCK else k - BLOCK for i, k in enumerate(lanes)]
    return builder.shuffle_vector(two, vectors[2], mask(last))


def _line(
    context: BaseContext, builder: ir.IRBuilder, kind: Memory, array: ir.Value, place: ir.Value
) -> ir.Value:
    # A pointer to a vector of an array's elements, from one on.
    data = data_of(context, builder, kind, array)
    vector = ir.VectorType(context.get_data_type(kind.dtype), BLOCK).as_pointer()
    return builder.bitcast(builder.gep(data, [place]), vector)


def _splitting(channels: int, mirrored: bool) -> Any:
    # `BLOCK` pixels from source[at] on, as float32 to target[to], a channel `stride` further each.
    lanes = [[channels * i + c for i in _LANES][:: -1 if mirrored else 1] for c in range(channels)]

    def emit(
        typing: TypingContext, source: Memory, at: Number, target: Memory, to: Number,
        stride: Number,
    ) -> Emitted:  # fmt: skip
        def generate(
            context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: Values
        ) -> ir.Value:
            array, at, out, to, stride = args
            vectors = []
            for _ in range(channels):
                pointer = _line(context, builder, source, array, at)
                vectors.append(builder.load(pointer, align=width_of(source)))
                at = builder.add(at, ir.Constant(at.type, BLOCK))
            for of in lanes:
                values = _shuffled(builder, vectors, of)
                if width_of(source) == 1:
                    values = builder.uitofp(values, ir.VectorType(ir.FloatType(), BLOCK))
                builder.store(values, _line(context, builder, target, out, to), align=4)
                to = builder.add(to, stride)
            return context.get_dummy_value()

        return types.void(source, types.uint64, target, types.uint64, types.uint64), generate

    return intrinsic(emit)


def _emit_join(
    typing: TypingContext, source: Memory, at: Number, stride: Number, target: Memory, to: Number
) -> Emitted:
    # `BLOCK` values of three planes, side by side.
    def generate(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: Values
    ) -> ir.Value:
        array, at, stride, out, to = args
        planes = []
        for _ in range(3):
            pointer = _line(context, builder, source, array, at)
            planes.append(builder.load(pointer, align=width_of(source)))
            at = builder.add(at, stride)
        for k in range(3):
            lanes = [i % 3 * BLOCK + i // 3 for i in range(k * BLOCK, (k + 1) * BLOCK)]
            pointer = _line(context, builder, target, out, to)
            builder.store(_shuffled(builder, planes, lanes), pointer, align=width_of(target))
            to = builder.add(to, ir.Constant(to.type, BLOCK))
        return context.get_dummy_value()

    return types.void(source, types.uint64, types.uint64, target, types.uint64), generate


def _emit_halves(
    typing: TypingContext, source: Memory, at: Number, target: Memory, to: Number
) -> Emitted:
    # The bits of `BLOCK` float32 as float16.
    def generate(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: Values
    ) -> ir.Value:
        array, at, out, to = args
        values = builder.load(_line(context, builder, source, array, at), align=4)
        halves = builder.fptrunc(values, ir.VectorType(ir.HalfType(), BLOCK))
        bits = builder.bitcast(halves, ir.VectorType(ir.IntType(16), BLOCK))
        builder.store(bits, _line(context, builder, target, out, to), align=2)
        return context.get_dummy_value()

    return types.void(source, types.uint64, target, types.uint64), generate


def _splitter(channels: int, mirrored: bool) -> Any:
    block, each = _splitting(channels, mirrored), U(channels)

    @njit(nogil=True)
    def split(
        flat: Array, first: Index, step: Index, lines: int, count: int, planes: Floats, at: Index,
        steps: tuple[Any, Any],
    ) -> None:  # fmt: skip
        stride, pitch = steps
        last = U(max(count - BLOCK, 0))
        for _ in range(lines):
            if count >= BLOCK:
                for k in range(0, count, BLOCK):
                    # The last block overlaps the one before, where `BLOCK` does not divide `count`.
                    i = min(U(k), last)
                    to = at + (last - i if mirrored else i)
                    block(flat, first + i * each, planes, to, stride)
            else:
                for k in range(count):
                    to = at + U(count - 1 - k if mirrored else k)
                    for c in range(channels):
                        planes[to + U(c) * stride] = flat[first + U(k) * each + U(c)]
            first, at = first + step, at + pitch

    return split


_split_gray, _split_gray_mirrored = _splitter(1, mirrored=False), _splitter(1, mirrored=True)
_split_color, _split_color_mirrored = _splitter(3, mirrored=False), _splitter(3, mirrored=True)
_join: Any = intrinsic(_emit_join)
halve_block: Any = intrinsic(_emit_halves)
# Elsewhere LLVM calls a function for each value, which is not always there.
CONVERTS_HALVES = has("f16c")


@njit(nogil=True)
def split_pixels(
    flat: Array, first: Index, lines: tuple[Any, int, int, int], mirrored: bool, planes: Floats,
    at: Index, steps: tuple[Any, Any],
) -> None:  # fmt: skip
    """Write pixels of 1 or 3 values each, from `flat[first]` on, as float32 planes.

    `lines` (distance of their first values, number, pixels of each, channels): all of them in one
    call, as it costs more than a line. Channel c goes to `planes[at + c * steps[0]]`, the next line
    `steps[1]` further; `mirrored` writes the last pixel of a line first. `flat` is uint8 or
    float32.
    """
    step, number, count, channels = lines
    if channels == 1:
        if mirrored:
            _split_gray_mirrored(flat, first, step, number, count, planes, at, steps)
        else:
            _split_gray(flat, first, step, number, count, planes, at, steps)
    elif mirrored:
        _split_color_mirrored(flat, first, step, number, count, planes, at, steps)
    else:
        _split_color(flat, first, step, number, count, planes, at, steps)


@njit(nogil=True)
def join_planes(planes: Array, at: Index, stride: Index, count: int, out: Array, to: Index) -> None:
    """Write `count` pixels of three planes, `stride` apart from `planes[at]` on, side by side.

    Both arrays have one type, of 1, 2 or 4 bytes.
    """
    if count < BLOCK:
        for k in range(count):
            for c in range(3):
                out[to + U(3 * k + c)] = planes[at + U(c) * stride + U(k)]
        return
    last = U(count - BLOCK)
    for k in range(0, count, BLOCK):
        i = min(U(k), last)
        _join(planes, at + i, stride, out, to + U(3) * i)
