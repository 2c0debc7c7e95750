"""Part of a JPEG by libjpeg-turbo's own functions: its cropping, and its skipping of lines.

libjpeg reports an error by calling a function that must not return, so anyone who uses it says by
`setjmp` where to go on. Python cannot, so a few instructions do it here as a C program would.
`augfeed.read.jpeg_crop` finds the library, and the addresses of its functions.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, types  # type: ignore[attr-defined]
from numba.core import cgutils
from numba.core.base import BaseContext
from numba.core.typing.context import Context as TypingContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from augfeed.kernels import SOURCES, compiled
from augfeed.kernels.crop_region import columns, reach, scale_for, scaled_side
from augfeed.kernels.inner import njit
from augfeed.kernels.pointers import Emitted, Number, Values
from augfeed.kernels.resample import four, two
from augfeed.kernels.resample_box import show_part
from augfeed.kernels.types import Array, Bytes, Ints

# The memory of a thread's calls, in words of 8 bytes. First its own address and what is wanted
# (`END` is whether that ended well),
BASE, DATA, SIZE, OUT, SCALE, CHANNELS, TOP, HEIGHT, LEFT, WIDTH, END = range(11)
# then the addresses of libjpeg's functions,
CREATE, SOURCE, HEADER, START, CROP, SKIP, READ, DESTROY = range(11, 19)
FUNCTIONS = {
    CREATE: "jpeg_CreateDecompress", SOURCE: "jpeg_mem_src", HEADER: "jpeg_read_header",
    START: "jpeg_start_decompress", CROP: "jpeg_crop_scanline", SKIP: "jpeg_skip_scanlines",
    READ: "jpeg_read_scanlines", DESTROY: "jpeg_destroy_decompress",
}  # fmt: skip
# then what those work with: columns, lines, the decompressor, its errors, and a `jmp_buf`.
_COLUMNS, _LINES, DECOMPRESSOR, ERRORS, _RESUME = 19, 24, 32, 112, 136
WORDS = _RESUME + 128  # the largest known `jmp_buf` takes 49
_AT_ONCE = DECOMPRESSOR - _LINES
# libjpeg's interface 6.2 where pointers have 8 bytes, which libjpeg-turbo keeps. Its structures
# have other sizes in other versions, and `CREATE` refuses both.
_VERSION, _DECOMPRESSOR_SIZE = 62, 632
# Places of numbers of 4 bytes in the decompressor, and of pointers in what reports errors.
_OUT_COLOR_SPACE, _SCALE_NUM, _SCALE_DENOM = 16, 17, 18
_OUT_WIDTH, _OUT_HEIGHT, _OUT_COMPONENTS, _OUT_LINE = 34, 35, 37, 42
ERROR_EXIT, EMIT_MESSAGE, OUTPUT_MESSAGE, _WARNINGS = 0, 1, 2, 16
_GRAYSCALE, _RGB = 1, 2


class Addresses(NamedTuple):
    """Of functions that libjpeg, or `_guarded`, calls."""

    decode: int
    error_exit: int
    emit_message: int
    output_message: int


def _type_call(context: TypingContext, address: Number, arguments: types.BaseTuple) -> Emitted:
    """Call the C function at an address with integers or pointers, a register each; return its
    result, of which the lower half counts if it is an `int`, and nothing if it is `void`."""

    def emit(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: Values
    ) -> ir.Value:
        word = ir.IntType(64)
        kind = ir.FunctionType(word, [word] * len(arguments))
        values = cgutils.unpack_tuple(builder, args[1])
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), values)

    return types.int64(types.int64, arguments), emit


_call: Any = intrinsic(_type_call)


def _type_guarded(
    context: TypingContext, function: Number, argument: Number, resume: Number
) -> Emitted:
    """Call the C function at an address with a pointer; it may end by `_leave`.

    `resume` is the address of the `jmp_buf` that is filled for that.
    """

    def emit(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: Values
    ) -> ir.Value:
        # In a function of its own, so that nothing is kept in registers across the two returns.
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * 3)
        guard = _declared(builder.module, kind, "augfeed_guarded")
        if guard.is_declaration:
            guard.linkage = "internal"
            guard.attributes.add("noinline")
            _emit_guard(builder.module, guard)
        builder.call(guard, args)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), emit


_guarded: Any = intrinsic(_type_guarded)


def _declared(module: ir.Module, kind: ir.FunctionType, name: str) -> ir.Function:
    return cgutils.get_or_insert_function(module, kind, name)


def _emit_guard(module: ir.Module, guard: ir.Function) -> None:
    number, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
    setjmp = _declared(module, ir.FunctionType(number, [pointer]), "_setjmp")
    setjmp.attributes.add("returns_twice")
    builder = ir.IRBuilder(guard.append_basic_block("entry"))
    function, argument, resume = guard.args
    left = builder.call(setjmp, [builder.inttoptr(resume, pointer)])
    with builder.if_then(builder.icmp_signed("==", left, ir.Constant(number, 0))):
        kind = ir.FunctionType(ir.VoidType(), [argument.type])
        builder.call(builder.inttoptr(function, kind.as_pointer()), [argument])
    builder.ret_void()


def _type_leave(context: TypingContext, resume: Number) -> Emitted:
    """Return from the call of `_guarded` that filled the `jmp_buf` at an address."""

    def emit(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, args: Values
    ) -> ir.Value:
        number, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, number])
        longjmp = _declared(builder.module, kind, "_longjmp")
        builder.call(longjmp, [builder.inttoptr(args[0], pointer), ir.Constant(number, 1)])
        return context.get_dummy_value()

    return types.void(types.int64), emit


_leave: Any = intrinsic(_type_leave)


def _error_exit(decompressor: Any) -> None:
    errors = carray(decompressor, (1,), np.int64)[0]  # its first member points to them
    _leave(errors + 8 * (_RESUME - ERRORS))


def _emit_message(decompressor: Any, level: int) -> None:
    if level < 0:  # a warning, of damaged data; else a trace
        words = carray(decompressor, (WORDS - DECOMPRESSOR,), np.int64)
        words[ERRORS - DECOMPRESSOR + _WARNINGS] += 1


def _output_message(decompressor: Any) -> None:
    pass


def _decode(memory: Any) -> None:
    # Nothing in here owns memory, as an error leaves it in the middle.
    words, halves = carray(memory, (WORDS,), np.int64), carray(memory, (2 * WORDS,), np.int32)
    info = words[BASE] + 8 * DECOMPRESSOR
    fields = halves[2 * DECOMPRESSOR :]
    top, height, left, width = words[TOP], words[HEIGHT], words[LEFT], words[WIDTH]
    channels = words[CHANNELS]
    words[END] = 0
    _call(words[CREATE], (info, _VERSION, _DECOMPRESSOR_SIZE))
    _call(words[SOURCE], (info, words[DATA], words[SIZE]))
    _call(words[HEADER], (info, 1))
    fields[_OUT_COLOR_SPACE] = _GRAYSCALE if channels == 1 else _RGB
    fields[_SCALE_NUM], fields[_SCALE_DENOM] = 1, words[SCALE]
    _call(words[START], (info,))
    if (
        fields[_OUT_COMPONENTS] != channels
        or top + height > fields[_OUT_HEIGHT]
        or left + width > fields[_OUT_WIDTH]
    ):
        return
    if width < fields[_OUT_WIDTH]:
        halves[2 * _COLUMNS], halves[2 * _COLUMNS + 1] = left, width
        at = words[BASE] + 8 * _COLUMNS
        _call(words[CROP], (info, at, at + 4))
        if halves[2 * _COLUMNS] != left or fields[_OUT_WIDTH] != width:
            return
    if top > 0:
        _call(words[SKIP], (info, top))
    line = 0
    while line < height:
        count = min(height - line, _AT_ONCE)
        for k in range(count):
            words[_LINES + k] = words[OUT] + (line + k) * width * channels
        found = _call(words[READ], (info, words[BASE] + 8 * _LINES, count)) & 0xFFFFFFFF
        if found == 0 or fields[_OUT_LINE] != top + line + found:
            return
        line += found
    words[END] = words[ERRORS + _WARNINGS] == 0


def addresses() -> Addresses:
    """Compile the functions that are called by their addresses, or take them from the disk."""
    one = types.void(types.voidptr)
    kinds = one, one, types.void(types.voidptr, types.int32), one
    functions: list[Callable[..., None]]
    functions = [_decode, _error_exit, _emit_message, _output_message]
    for kind, function in zip(kinds, functions, strict=True):
        _COMPILED.append(_c_function(kind, function))
    return Addresses(*(made.address for made in _COMPILED[-len(functions) :]))


_COMPILED: list[Any] = []  # their code lives as long as they


def _c_function(kind: Signature, function: Callable[..., None]) -> Any:
    try:
        return cfunc(kind, cache=True)(function)
    except RuntimeError:  # Numba: "no locator available"
        return cfunc(kind)(function)


@njit(nogil=True)
def _decoded(
    memory: Ints, decode: int, data: int, size: int, scale: int, place: tuple[int, int], out: Bytes
) -> bool:
    # `data` is an address; the others are those of `decode_window`.
    base = memory[BASE]
    memory[DATA], memory[SIZE], memory[OUT] = data, size, out.ctypes.data
    memory[SCALE], memory[CHANNELS] = scale, out.shape[2]
    memory[TOP], memory[LEFT] = place
    memory[HEIGHT], memory[WIDTH] = out.shape[0], out.shape[1]
    _guarded(decode, base, base + 8 * _RESUME)
    _call(memory[DESTROY], (base + 8 * DECOMPRESSOR,))
    return memory[END] != 0


@compiled()
def decode_window(
    memory: Ints, decode: int, data: Bytes, scale: int, place: tuple[int, int], out: Bytes
) -> bool:
    """Decode lines of a JPEG to `out`, uint8 `[h, w, C]`; return whether all is well.

    `memory` int64 `[WORDS]` belongs to the calling thread; it holds its own address, those of
    `FUNCTIONS`, and what reports errors. `decode` is the address of `_decode`. The image is made
    1 / `scale` (1, 2, 4 or 8) as large; `place` is line and column of it that stand first in `out`,
    the column at the border of a unit. `data` is the file.
    """
    return _decoded(memory, decode, np.int64(data.ctypes.data), data.size, scale, place, out)


def _compile(sources: int) -> Any:
    # See `augfeed.kernels` for what `sources` is good for.
    @compiled()
    def decode_frames(
        memory: Ints, decode: int, files: Ints, box: Ints, resized: Ints, offset: Ints,
        filters: Ints, held: Bytes, frames: Bytes, done: Array,
    ) -> int:  # fmt: skip
        """Write what windows show of JPEGs to some of `frames`, uint8 `[N, H, W, C]`.

        `files` int64 `[n, 6]` are address and size of each file, height and width of its image, how
        many columns a unit has, and the number of its frame. `box`, `resized` and `offset` `[n, 4
        or 2]`, and `filters` `[n]`, are windows; the frame lies inside what is resized. `held`
        uint8 `[bytes]` is memory for what is decoded. `done` bool `[n]` says which frames are
        there; the others may be written in part. `memory` and `decode` are those of
        `decode_window`.
        """
        rows, columns_, channels = frames.shape[1], frames.shape[2], frames.shape[3]
        for k in range(files.shape[0]):
            data, length, height, width, unit, number = files[k]
            whole, size, shift = four(box, k), two(resized, k), two(offset, k)
            kind = np.int64(filters[k])
            scale = scale_for(whole[2], whole[3], size[0], size[1], kind)
            top, count, y, h = scaled_side(whole[0], whole[2], height, 0, scale)
            left, across, x, w = scaled_side(whole[1], whole[3], width, 0, scale)
            low, lines = reach(y, h, count, size[0], shift[0], rows, kind)
            beside, wanted = reach(x, w, across, size[1], shift[1], columns_, kind)
            first, taken = columns(left + beside, wanted, -(-width // scale), max(unit // scale, 1))
            done[k] = False
            if lines * taken * channels <= held.size:
                part = held[: lines * taken * channels].reshape(lines, taken, channels)
                place = top + low, first
                done[k] = _decoded(memory, decode, data, length, scale, place, part)
            if done[k]:
                where = -low, left - first, count, across
                show_part(part, where, (y, x, h, w), size, shift, kind, frames[number])
        return sources

    return decode_frames


decode_frames = _compile(SOURCES)
