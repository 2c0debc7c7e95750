"""Frames of rows that have a program: cut out of their images, mirrored, and changed as bytes.

Each of these is compiled for itself: what carries programs out knows bytes alone, whatever images
are made of, and a policy without steps on all frames does not wait for theirs.
"""

from typing import Any

import numpy as np

from augfeed.kernels import SOURCES, compiled
from augfeed.kernels.chains import mixture_of
from augfeed.kernels.frames import cut_frame, frame_of, kernels_of, tables_of, to_levels
from augfeed.kernels.inner import njit
from augfeed.kernels.place import Edges, U, edges_of
from augfeed.kernels.pointers import pointer_to
from augfeed.kernels.prefetch_lines import prefetch_image
from augfeed.kernels.program import lines_of, pending_of, run_program
from augfeed.kernels.spatial_steps import Rarer
from augfeed.kernels.types import Array, Bytes, Floats, Index, Ints


@njit(nogil=True)
def _mirrored(
    frame: Bytes, at: Index, size: tuple[int, int, int], flips: Array, out: Bytes
) -> None:  # fmt: skip
    height, width, channels = size
    values = width * channels
    for y in range(height):
        line = height - 1 - y if flips[1] else y
        here, to = at + U(line * values), U(y * values)
        if not flips[0]:
            for k in range(values):
                out[to + U(k)] = frame[here + U(k)]
        elif channels == 3:
            for x in range(width):
                p, q = here + U(3 * x), to + U(3 * (width - 1 - x))
                out[q], out[q + U(1)] = frame[p], frame[p + U(1)]
                out[q + U(2)] = frame[p + U(2)]
        else:
            for x in range(values):
                out[to + U(values - 1 - x)] = frame[here + U(x)]


@njit(nogil=True)
def _of_bytes(fixed: Any) -> Edges:
    # What lies outside, of frames whose highest value is 255.
    edges, full = edges_of(fixed), np.float32(255.0 / fixed.scale)
    fill = edges.border_fill
    fill = fill[0] * full, fill[1] * full, fill[2] * full
    return Edges(edges.pad_mode, edges.pad_fill, edges.border_mode, fill, np.float32(255.0))


def _compile(sources: int) -> Any:
    # See `augfeed.kernels` for what `sources` is good for.
    @compiled()
    def cut_frames(images: Array, rows: Array, which: Ints, shared: Array, out: Array) -> int:
        """Write the frames of rows `which` as `augfeed.kernels.frames.materialise` does.

        Nothing is done to them.
        """
        fixed, flat, target = shared[0], pointer_to(images), pointer_to(out)
        _, height, width, channels = out.shape
        edges = edges_of(fixed)
        for k in range(which.size):
            frame = frame_of(images.shape, rows[which[k]], (height, width))
            at = U(k * height * width * channels)
            cut_frame(flat, frame, edges, fixed.scale, target, at)
        return sources

    @compiled()
    def run_programs(
        images: Bytes, frames: Bytes, rows: Array, which: Ints, codes: Bytes, numbers: Floats,
        taps: Floats, flips: Array, shared: Array, rarer: Rarer,
    ) -> int:  # fmt: skip
        """Carry out the programs of rows `which` on their frames, uint8 `[n, h, w, C]`, in place.

        Frames are cut out of `images`, uint8 `[N, h, w, C]`, before; not where there are none.
        `codes` `[M, S]` are the steps of the programs of all rows, `numbers` `[M, S, P]` what they
        read, `taps` `[n, S, 2, T]` the kernels of those of `which`; `flips` bool `[M, 2]` whether a
        frame is mirrored left and right, and top and bottom, before its program. `rarer` is of
        `augfeed.kernels.spatial_steps`.
        """
        _, height, width, channels = frames.shape
        size, count = (height, width, channels), height * width * channels
        flat, edges = pointer_to(frames), _of_bytes(shared[0])
        source, padded = pointer_to(images), edges_of(shared[0])
        spare, kernels = tables_of(0, channels), kernels_of(size, taps.shape[3] - 1)
        pending, lines, mixture = (
            pending_of(width, channels),
            lines_of(size),
            mixture_of(codes, count),
        )
        other = np.empty(count, np.uint8)
        for k in range(which.size):
            r, at = which[k], U(k * count)
            if images.size:
                # Here, as the nearest cache holds the frame.
                cut_frame(source, frame_of(images.shape, rows[r], (height, width)), padded,
                          shared[0].scale, flat, at)  # fmt: skip
                if k + 1 < which.size:
                    prefetch_image(source, images.shape, rows[which[k + 1]].place)
            if not codes[r].any():
                continue
            if flips[r, 0] or flips[r, 1]:
                _mirrored(flat, at, size, flips[r], other)
                for i in range(count):
                    flat[at + U(i)] = other[U(i)]
            run_program(flat, at, size, codes[r], numbers[r], taps[k], rows[r].filter, edges,
                        spare, kernels, pending, lines, mixture, rarer)  # fmt: skip
        return sources

    @compiled()
    def read_levels(frames: Floats, which: Ints, codes: Bytes, levels: Bytes) -> int:
        """Write the nearest levels of the frames of rows that have a program."""
        given, made = frames.reshape(frames.size), levels.reshape(levels.size)
        count = levels[0].size
        for k in range(which.size):
            if codes[which[k]].any():
                to_levels(given, U(k * count), count, made[k * count : (k + 1) * count])
        return sources

    @compiled()
    def write_levels(levels: Bytes, which: Ints, codes: Bytes, frames: Floats) -> int:
        """Write levels, from 0 to 1, to the frames of rows that have a program."""
        given, out = levels.reshape(levels.size), frames.reshape(frames.size)
        count = levels[0].size
        for k in range(which.size):
            if codes[which[k]].any():
                for i in range(k * count, (k + 1) * count):
                    out[U(i)] = np.float32(given[U(i)]) / np.float32(255.0)
        return sources

    return cut_frames, run_programs, read_levels, write_levels


cut_frames, run_programs, read_levels, write_levels = _compile(SOURCES)
