"""Copying past the caches, for what is larger than they are and not read again soon."""

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from augfeed.kernels.types import Floats

LANES = 16  # floats of one store: a cache line


def _emit_store(typing: Any, target: Any, to: Any, source: Any, start: Any) -> Any:
    # One cache line of floats; `target[to]` must be aligned to it.
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointers = []
        for k in (0, 2):
            array = context.make_array(signature.args[k])(context, builder, args[k])
            place = builder.gep(array.data, [args[k + 1]])
            line = ir.VectorType(ir.FloatType(), LANES).as_pointer()
            pointers.append(builder.bitcast(place, line))
        store = builder.store(builder.load(pointers[1], align=4), pointers[0], align=4 * LANES)
        store.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))
        return context.get_dummy_value()

    return types.void(target, to, source, start), generate


def _emit_fence(typing: Any) -> Any:
    # Stores past the caches are not ordered by themselves: another thread may be reported of them.
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


def _emit_misaligned(typing: Any, target: Any) -> Any:
    # Bytes between the array's first value and the line that it stands in.
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        address = builder.ptrtoint(array.data, cgutils.intp_t)
        return builder.and_(address, ir.Constant(cgutils.intp_t, 4 * LANES - 1))

    return types.intp(target), generate


# mypy would count the parameter of the typing context among those of a call.
_store_line: Any = intrinsic(_emit_store)
_fence: Any = intrinsic(_emit_fence)
_misaligned: Any = intrinsic(_emit_misaligned)


@njit(nogil=True)
def stream_copy(target: Floats, to: int, source: Floats, count: int) -> None:
    """Copy `source[:count]` to `target[to:]`, float32, past the caches where lines allow it.

    A line that is written through the caches is read from memory first; this is not.
    """
    head = (4 * LANES - (_misaligned(target) + 4 * to) % (4 * LANES)) % (4 * LANES) // 4
    head = min(head, count)
    for i in range(head):
        target[to + i] = source[i]
    lines = (count - head) // LANES
    for k in range(lines):
        i = head + k * LANES
        _store_line(target, to + i, source, i)
    for i in range(head + lines * LANES, count):
        target[to + i] = source[i]
    _fence()
