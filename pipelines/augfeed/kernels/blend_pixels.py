"""A pixel of three channels blended of its four neighbors, through vector registers.

LLVM makes one value at a time of a loop over three channels.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.base import BaseContext
from numba.core.typing.context import Context as TypingContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from augfeed.kernels.pointers import Emitted, Memory, Number, Values, data_of, width_of

LANES = 4  # values of a register: three channels and what lies behind them
_INDEX, _FLOAT = ir.IntType(32), ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)
_FUSED = ("contract",)  # fused multiply-add only, as in `augfeed.kernels.warp`


def _mask(*lanes: int) -> ir.Constant:
    return ir.Constant(ir.VectorType(_INDEX, LANES), lanes)


def _pointer(
    context: BaseContext, builder: ir.IRBuilder, kind: Memory, array: ir.Value, place: ir.Value
) -> ir.Value:
    data = data_of(context, builder, kind, array)
    vector = ir.VectorType(context.get_data_type(kind.dtype), LANES).as_pointer()
    return builder.bitcast(builder.gep(data, [place]), vector)


def _load(
    context: BaseContext, builder: ir.IRBuilder, kind: Memory, array: ir.Value, place: ir.Value
) -> ir.Value:
    # `LANES` values as float32.
    pointer = _pointer(context, builder, kind, array, place)
    values = builder.load(pointer, align=width_of(kind))
    return builder.uitofp(values, _VECTOR) if width_of(kind) == 1 else values


def _spread(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, _INDEX(0))
    return builder.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), _mask(0, 0, 0, 0))


def _mix(builder: ir.IRBuilder, first: ir.Value, second: ir.Value, share: ir.Value) -> ir.Value:
    change = builder.fmul(share, builder.fsub(second, first, flags=_FUSED), flags=_FUSED)
    return builder.fadd(first, change, flags=_FUSED)


def _emit_widened(
    typing: TypingContext, source: Memory, at: Number, target: Memory, to: Number
) -> Emitted:
    def generate(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: Values
    ) -> ir.Value:
        values = _load(context, builder, source, args[0], args[1])
        builder.store(values, _pointer(context, builder, target, args[2], args[3]), align=4)
        return context.get_dummy_value()

    return types.void(source, types.uint64, target, types.uint64), generate


def _blending(step: int) -> Any:
    # Of pixels that are `step` values apart: 3 where they lie side by side, 4 where one is a
    # register. Of the former nothing is read behind the second pixel of a line.
    def emit(
        typing: TypingContext, source: Memory, at: Number, pitch: Number, shares: types.UniTuple,
        target: Memory, to: Number, stride: Number,
    ) -> Emitted:  # fmt: skip
        def generate(
            context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: Values
        ) -> ir.Value:
            array, at, pitch, shares, out, to, stride = args
            across, down = (_spread(builder, builder.extract_value(shares, k)) for k in (0, 1))

            def line(place: ir.Value) -> ir.Value:
                left = _load(context, builder, source, array, place)
                behind = builder.add(place, ir.Constant(place.type, step if step == LANES else 2))
                right = _load(context, builder, source, array, behind)
                if step < LANES:
                    right = builder.shuffle_vector(right, right, _mask(1, 2, 3, 3))
                return _mix(builder, left, right, across)

            made = _mix(builder, line(at), line(builder.add(at, pitch)), down)
            data = data_of(context, builder, target, out)
            for c in range(3):
                value = builder.extract_element(made, _INDEX(c))
                builder.store(value, builder.gep(data, [to]), align=4)
                to = builder.add(to, stride)
            return context.get_dummy_value()

        pair = types.UniTuple(types.float32, 2)
        place = types.uint64
        return types.void(source, place, place, pair, target, place, place), generate

    return intrinsic(emit)


# widen_pixel(source, at, target, to): the four values from source[at] on, as float32.
widen_pixel: Any = intrinsic(_emit_widened)
# blend_*(source, at, pitch, (across, down), planes, to, stride): the pixel between that at
# source[at], the next one, and those `pitch` values further; channel c goes to
# planes[to + c * stride].
blend_pixel: Any = _blending(3)
blend_wide: Any = _blending(LANES)
