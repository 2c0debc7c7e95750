"""Lines of a frame that is held as vectors of four: widened, and blended, four pixels at a time.

Four pixels are turned into the planes of their channels in registers: a store for each channel.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.base import BaseContext
from numba.core.typing.context import Context as TypingContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from augfeed.kernels.blend_pixels import LANES, _load, _mix, _pointer
from augfeed.kernels.pointers import Emitted, Memory, Number, Values, data_of, width_of

_INDEX = ir.IntType(32)
READ = 16  # values that `widen_four` reads, of which it writes 12, four to a pixel


def _lanes(*lanes: int) -> ir.Constant:
    return ir.Constant(ir.VectorType(_INDEX, len(lanes)), lanes)


def _at(
    context: BaseContext, builder: ir.IRBuilder, kind: Memory, array: ir.Value, place: ir.Value
) -> ir.Value:
    return builder.load(builder.gep(data_of(context, builder, kind, array), [place]))


def _store_four(
    context: BaseContext, builder: ir.IRBuilder, kind: Memory, array: ir.Value, place: ir.Value,
    values: ir.Value,
) -> None:  # fmt: skip
    place = builder.gep(data_of(context, builder, kind, array), [place])
    builder.store(values, builder.bitcast(place, values.type.as_pointer()), align=4)


def _emit_blend(
    typing: TypingContext, source: Memory, begin: Number, pitch: Number, places: Memory,
    shares: Memory, half: Number, at: Number, target: Memory, to: Number, stride: Number,
) -> Emitted:  # fmt: skip
    place = types.uint64

    def generate(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: Values
    ) -> ir.Value:
        array, begin, pitch, places_, shares_, half, at, out, to, stride = args

        firsts = []
        for k in range(4):
            own = builder.add(at, ir.Constant(at.type, k))
            index = builder.sext(_at(context, builder, places, places_, own), begin.type)
            firsts.append(builder.add(begin, index))

        def corner(further: ir.Value) -> ir.Value:
            # Of four pixels, side by side.
            parts = [_load(context, builder, source, array, builder.add(first, further))
                     for first in firsts]  # fmt: skip
            halves = [builder.shuffle_vector(*parts[k : k + 2], _lanes(*range(8))) for k in (0, 2)]
            return builder.shuffle_vector(*halves, _lanes(*range(16)))

        def spread(place: ir.Value) -> ir.Value:
            values = _load(context, builder, shares, shares_, place)
            lanes = _lanes(*(k for k in range(4) for _ in range(LANES)))
            return builder.shuffle_vector(values, values, lanes)

        across, down = spread(at), spread(builder.add(half, at))
        next_, zero = ir.Constant(pitch.type, LANES), ir.Constant(pitch.type, 0)
        above = _mix(builder, corner(zero), corner(next_), across)
        below = _mix(builder, corner(pitch), corner(builder.add(pitch, next_)), across)
        made = _mix(builder, above, below, down)
        turned = [LANES * k + c for c in range(LANES) for k in range(4)]
        made = builder.shuffle_vector(made, made, _lanes(*turned))
        for c in range(3):
            values = builder.shuffle_vector(made, made, _lanes(*range(4 * c, 4 * c + 4)))
            builder.store(values, _pointer(context, builder, target, out, to), align=4)
            to = builder.add(to, stride)
        return context.get_dummy_value()

    return types.void(source, place, place, places, shares, place, place, target, place,
                      place), generate  # fmt: skip


def _widening(last: bool) -> Any:
    # The last four pixels of an image are read with what lies before them, nothing behind them.
    first = READ - 12 if last else 0

    def emit(
        typing: TypingContext, source: Memory, at: Number, target: Memory, to: Number
    ) -> Emitted:
        def generate(
            context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: Values
        ) -> ir.Value:
            array, at, out, to = args
            at = builder.sub(at, ir.Constant(at.type, first))
            data = data_of(context, builder, source, array)
            vector = ir.VectorType(context.get_data_type(source.dtype), READ).as_pointer()
            pointer = builder.bitcast(builder.gep(data, [at]), vector)
            values = builder.load(pointer, align=width_of(source))
            lanes = [first + 3 * k + min(c, 2) for k in range(4) for c in range(LANES)]
            values = builder.shuffle_vector(values, values, _lanes(*lanes))
            if width_of(source) == 1:
                values = builder.uitofp(values, ir.VectorType(ir.FloatType(), READ))
            _store_four(context, builder, target, out, to, values)
            return context.get_dummy_value()

        return types.void(source, types.uint64, target, types.uint64), generate

    return intrinsic(emit)


def _emit_fill(typing: TypingContext, target: Memory, to: Number, fill: types.UniTuple) -> Emitted:
    def generate(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: Values
    ) -> ir.Value:
        out, to, fill = args
        values = ir.Constant(ir.VectorType(ir.FloatType(), LANES), [0.0] * LANES)
        for c in range(3):
            values = builder.insert_element(values, builder.extract_value(fill, c), _INDEX(c))
        values = builder.shuffle_vector(values, values, _lanes(*(list(range(LANES)) * 4)))
        _store_four(context, builder, target, out, to, values)
        return context.get_dummy_value()

    return types.void(target, types.uint64, types.UniTuple(types.float32, 3)), generate


# blend_four(source, begin, pitch, places, shares, half, at, planes, to, stride): of pixels at to
# at + 3 of a line, each between that at source[begin + places[i]], the next one, and those `pitch`
# values further, by shares[i] across and shares[half + i] down.
blend_four: Any = intrinsic(_emit_blend)
# widen_four(source, at, target, to): four pixels of three values from source[at] on as four vectors
# of four float32; `READ` values are read from there on, or, by the other, up to the last of them.
# fill_four(target, to, fill): four vectors of three values, from target[to] on.
fill_four: Any = intrinsic(_emit_fill)
widen_four: Any = _widening(last=False)
widen_last_four: Any = _widening(last=True)
