"""float32 planes given out as another element type, or with the channels last."""

from typing import NamedTuple

import numba
import numpy as np

from augfeed.kernels.inner import njit
from augfeed.kernels.interleave import BLOCK, CONVERTS_HALVES, halve_block, join_planes
from augfeed.kernels.nontemporal_copy import stream_copy
from augfeed.kernels.place import U
from augfeed.kernels.pointers import as_floats, as_halves, as_words, pointer_to
from augfeed.kernels.types import Array, Bytes, Floats, Index, Ints, Record, Words

FLOAT32, UINT8, BFLOAT16, FLOAT16 = 0, 1, 2, 3
CHUNK = 1024  # pixels that are converted at a time: the nearest cache holds them
SPARE_BYTES = 4 * CHUNK  # of each channel


class Typed(NamedTuple):
    """Pointers to the same memory, by element type; `halves` are the bits of both of 16."""

    floats: Floats
    halves: Ints
    levels: Bytes


class Spare(NamedTuple):
    """Memory for `CHUNK` pixels, of 4 bytes a value: as they are converted, and with their channels
    together."""

    converted: Typed
    joined: Typed


@njit(nogil=True)
def typed(memory: Bytes) -> Typed:
    """Return pointers to memory, an array of uint8."""
    return Typed(as_floats(memory), as_halves(memory), pointer_to(memory))


@njit(nogil=True)
def _to_levels(planes: Floats, at: Index, count: int, out: Bytes, to: Index) -> None:
    half, full, zero = np.float32(0.5), np.float32(255.0), np.float32(0.0)
    for i in range(count):
        value = np.floor(planes[at + U(i)] * full + half)
        out[to + U(i)] = min(max(value, zero), full)


@njit(nogil=True)
def _to_bfloat16(bits: Words, at: Index, count: int, out: Ints, to: Index) -> None:
    # Round to nearest, ties to even; there are no NaNs here.
    for i in range(count):
        value = bits[at + U(i)]
        odd = (value >> np.uint32(16)) & np.uint32(1)
        out[to + U(i)] = (value + np.uint32(0x7FFF) + odd) >> np.uint32(16)


@numba.njit(nogil=True)
def _to_float16(bits: Words, tiny: Words, at: Index, count: int, out: Ints, to: Index) -> None:
    # `tiny` is the bits of abs(value) + 0.5, whose low bits hold the rounded subnormal half: 2**-1
    # has a unit in the last place of 2**-24, that of a subnormal half.
    for i in range(count):
        value = bits[at + U(i)]
        size = value & np.uint32(0x7FFFFFFF)
        odd = (size >> np.uint32(13)) & np.uint32(1)
        half = (size - np.uint32(0x38000000) + np.uint32(0xFFF) + odd) >> np.uint32(13)
        half = np.uint32(0x7C00) if size >= np.uint32(0x477FF000) else half
        half = tiny[U(i)] - np.uint32(0x3F000000) if size < np.uint32(0x38800000) else half
        out[to + U(i)] = ((value >> np.uint32(16)) & np.uint32(0x8000)) | half


@numba.njit(nogil=True)
def _raise(planes: Floats, at: Index, count: int, raised: Floats) -> None:
    for i in range(count):
        raised[U(i)] = np.abs(planes[at + U(i)]) + np.float32(0.5)


@numba.njit(nogil=True)
def _convert_halves(planes: Floats, at: Index, count: int, out: Ints, to: Index) -> None:
    # By the processor's instruction; the last block overlaps the one before.
    for k in range(0, count, BLOCK):
        i = U(min(k, count - BLOCK))
        halve_block(planes, at + i, out, to + i)


@njit(nogil=True)
def _put(
    source: Array, at: Index, stride: Index, part: tuple[int, int, int, int], fixed: Record,
    joined: Array, out: Array, to: int,
) -> None:  # fmt: skip
    # Pixels `first` on, as (channels, pixels of the image, first, count) says.
    channels, pixels, first, count = part
    if fixed.last and fixed.stream:
        join_planes(source, at, stride, count, joined, U(0))
        stream_copy(out, to + 3 * first, joined, U(0), 3 * count)
    elif fixed.last:
        join_planes(source, at, stride, count, out, U(to + 3 * first))
    else:
        for c in range(channels):
            start, place = at + U(c) * stride, to + c * pixels + first
            if fixed.stream:
                stream_copy(out, place, source, start, count)
            else:
                for i in range(count):
                    out[U(place) + U(i)] = source[start + U(i)]


@njit(nogil=True)
def store_image(
    planes: Floats,
    at: Index,
    size: tuple[int, int],
    fixed: Record,
    spare: Spare,
    out: Typed,
    to: int,
) -> None:
    """Write the planes of an image, from `planes[at]` on, to value `to` of `out`.

    `size` is (channels, pixels of a plane); `fixed`, one of `FIXED`, names element type and layout.
    `BFLOAT16` and `FLOAT16` write the bits; `UINT8` rounds `255 * value` to the nearest and clamps.
    """
    channels, pixels = size
    kind, bits, made = fixed.kind, as_words(planes), spare.converted
    raised, stride = spare.joined.floats, U(CHUNK)
    tiny = as_words(raised)
    for first in range(0, pixels, CHUNK):
        count = min(CHUNK, pixels - first)
        part, here = (channels, pixels, first, count), at + U(first)
        if kind == FLOAT32:
            _put(planes, here, U(pixels), part, fixed, spare.joined.floats, out.floats, to)
            continue
        for c in range(channels):
            start, end = here + U(c * pixels), U(c) * stride
            if kind == UINT8:
                _to_levels(planes, start, count, made.levels, end)
            elif kind == BFLOAT16:
                _to_bfloat16(bits, start, count, made.halves, end)
            elif CONVERTS_HALVES and count >= BLOCK:
                _convert_halves(planes, start, count, made.halves, end)
            else:
                _raise(planes, start, count, raised)
                _to_float16(bits, tiny, start, count, made.halves, end)
        if kind == UINT8:
            _put(made.levels, U(0), stride, part, fixed, spare.joined.levels, out.levels, to)
        else:
            _put(made.halves, U(0), stride, part, fixed, spare.joined.halves, out.halves, to)
