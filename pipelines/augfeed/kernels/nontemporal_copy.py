"""Copying past the caches, for what is larger than they are and not read again soon."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.base import BaseContext
from numba.core.typing.context import Context as TypingContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from augfeed.kernels.inner import njit
from augfeed.kernels.pointers import Emitted, Memory, Number, Values, data_of, width_of
from augfeed.kernels.types import Array, Index

LINE = 64  # bytes of one store: a cache line


def _emit_store(
    typing: TypingContext, target: Memory, to: Number, source: Memory, start: Number
) -> Emitted:
    # One cache line; `target[to]` must be aligned to it.
    def generate(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: Values
    ) -> ir.Value:
        width = width_of(target)
        line = ir.VectorType(context.get_data_type(target.dtype), LINE // width).as_pointer()
        pointers = []
        for k in (0, 2):
            data = data_of(context, builder, signature.args[k], args[k])
            place = builder.gep(data, [args[k + 1]])
            pointers.append(builder.bitcast(place, line))
        store = builder.store(builder.load(pointers[1], align=width), pointers[0], align=LINE)
        store.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))
        return context.get_dummy_value()

    return types.void(target, to, source, start), generate


def _emit_fence(typing: TypingContext) -> Emitted:
    # Stores past the caches are not ordered: without it another thread may read what was there.
    def generate(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: Values
    ) -> ir.Value:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


def _emit_misaligned(typing: TypingContext, target: Memory) -> Emitted:
    # Bytes between the array's first value and the line that it stands in.
    def generate(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: Values
    ) -> ir.Value:
        data = data_of(context, builder, signature.args[0], args[0])
        address = builder.ptrtoint(data, cgutils.intp_t)
        return builder.and_(address, ir.Constant(cgutils.intp_t, LINE - 1))

    return types.intp(target), generate


def _emit_width(typing: TypingContext, target: Memory) -> Emitted:
    # Bytes of an element.
    def generate(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: Values
    ) -> ir.Value:
        return context.get_constant(types.intp, width_of(target))

    return types.intp(target), generate


# mypy would count the parameter of the typing context among those of a call.
_store_line: Any = intrinsic(_emit_store)
stream_fence: Any = intrinsic(_emit_fence)
_misaligned: Any = intrinsic(_emit_misaligned)
bytes_of: Any = intrinsic(_emit_width)


@njit(nogil=True)
def first_of_line(array: Array) -> int:
    """Return the first place of an array, of at least a cache line, that begins one."""
    return (LINE - _misaligned(array)) % LINE // bytes_of(array)


@njit(nogil=True)
def stream_copy(target: Array, to: int, source: Array, start: Index, count: int) -> None:
    """Copy `source[start:][:count]` to `target[to:]`, past the caches where lines allow it.

    A line that is written through the caches is read from memory first; this is not. Both arrays
    have one type, of 1, 2 or 4 bytes. Others see what was written after a `stream_fence`.
    """
    width = bytes_of(target)
    lanes = LINE // width
    head = (LINE - (_misaligned(target) + width * to) % LINE) % LINE // width
    head = min(head, count)
    for i in range(head):
        target[to + i] = source[start + np.uint64(i)]
    lines = (count - head) // lanes
    for k in range(lines):
        i = head + k * lanes
        _store_line(target, to + i, source, start + np.uint64(i))
    for i in range(head + lines * lanes, count):
        target[to + i] = source[start + np.uint64(i)]
