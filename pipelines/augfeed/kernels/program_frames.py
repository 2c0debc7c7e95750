"""Frames of rows that have a program: cut out of their images, mirrored, and changed as bytes."""

from typing import Any

import numpy as np
from numba import njit

from augfeed.kernels import SOURCES, compiled
from augfeed.kernels.chains import mixture_of
from augfeed.kernels.frames import (
    change_frame,
    cut_frame,
    frame_of,
    kernels_of,
    tables_of,
    to_levels,
)
from augfeed.kernels.place import Edges, U, edges_of
from augfeed.kernels.program import lines_of, pending_of, run_program
from augfeed.kernels.types import Array, Floats, Index, Ints


@njit(nogil=True)
def _mirrored(frame: Array, size: tuple[int, int, int], flips: Any, out: Array) -> None:
    height, width, channels = size
    values = width * channels
    for y in range(height):
        line = height - 1 - y if flips[1] else y
        at, to = U(line * values), U(y * values)
        if not flips[0]:
            for k in range(values):
                out[to + U(k)] = frame[at + U(k)]
        elif channels == 3:
            for x in range(width):
                p, q = at + U(3 * x), to + U(3 * (width - 1 - x))
                out[q], out[q + U(1)] = frame[p], frame[p + U(1)]
                out[q + U(2)] = frame[p + U(2)]
        else:
            for x in range(values):
                out[to + U(values - 1 - x)] = frame[at + U(x)]


@njit(nogil=True)
def _as_bytes(target: Array, at: Index, count: int, scale: float, out: Array) -> None:
    if scale == 255.0:
        for i in range(count):
            out[U(i)] = target[at + U(i)]
    else:
        to_levels(target, at, count, out)


@njit(nogil=True)
def _put_back(levels: Array, count: int, scale: float, target: Array, at: Index) -> None:
    if scale == 255.0:
        for i in range(count):
            target[at + U(i)] = levels[U(i)]
    else:
        for i in range(count):
            target[at + U(i)] = np.float32(levels[U(i)]) / np.float32(255.0)


def _compile(sources: int) -> Any:
    # See `augfeed.kernels` for what `sources` is good for.
    @compiled()
    def materialise_programs(
        images: Array, rows: Array, which: Ints, codes: Array, numbers: Floats, taps: Floats,
        drawn: Array, values: Floats, drawn_taps: Floats, flips: Array, shared: Array, out: Array,
    ) -> int:  # fmt: skip
        """Write frames as `augfeed.kernels.frames.materialise` does, then carry out the programs.

        `drawn` `[M, S]` are the steps of the programs of all rows, `values` `[M, S, P]` what they
        read, `drawn_taps` `[n, S, 2, T]` the kernels of those that are made; `flips` bool `[M, 2]`
        whether a frame is mirrored left and right, and top and bottom, before its program.
        """
        fixed, flat, target = shared[0], images.reshape(images.size), out.reshape(out.size)
        _, height, width, channels = out.shape
        size, count = (height, width, channels), height * width * channels
        edges = edges_of(fixed)
        full = np.float32(255.0 / fixed.scale)
        border = edges.border_fill
        border = border[0] * full, border[1] * full, border[2] * full
        of_bytes = Edges(edges.pad_mode, edges.pad_fill, edges.border_mode, border,
                         np.float32(255.0))  # fmt: skip
        spare = tables_of(0 if fixed.scale == 255.0 else count, channels)
        kernels = kernels_of(size, max(taps.shape[3], drawn_taps.shape[3]) - 1)
        pending, lines = pending_of(channels), lines_of(size)
        mixture = mixture_of(drawn, count)
        frame, other = np.empty(count, np.uint8), np.empty(count, np.uint8)
        for k in range(which.size):
            r, at = which[k], U(k * count)
            cut_frame(flat, frame_of(images.shape, rows[r], (height, width)), edges, fixed.scale,
                      target, at)  # fmt: skip
            change_frame(target, at, size, fixed.scale, codes[r], numbers[r], taps[k], spare,
                         kernels)  # fmt: skip
            if not drawn[r].any():
                continue
            if flips[r, 0] or flips[r, 1]:
                _as_bytes(target, at, count, fixed.scale, other)
                _mirrored(other, size, flips[r], frame)
            else:
                _as_bytes(target, at, count, fixed.scale, frame)
            run_program(frame, U(0), size, drawn[r], values[r], drawn_taps[k], rows[r].filter,
                        of_bytes, spare, kernels, pending, lines, mixture)  # fmt: skip
            _put_back(frame, count, fixed.scale, target, at)
        return sources

    return materialise_programs


materialise_programs = _compile(SOURCES)
