"""Columns of a plan: decisions of whole numbers from uniforms, one row a sample."""

from typing import Any

import numpy as np

from augfeed.constants import CUTMIX
from augfeed.kernels import SOURCES, compiled_by_size
from augfeed.kernels.inner import njit
from augfeed.kernels.philox import beta_law, draw_beta, key_of
from augfeed.kernels.types import Array, Floats, Ints


@njit(nogil=True)
def _index(u: float, count: int) -> int:
    return min(int(np.floor(u * count)), count - 1)


@njit(nogil=True)
def _cut(u: float, cut: int, side: int) -> tuple[int, int]:
    # The first and last pixel of a stretch about a uniform one, as much of it as is inside.
    start = _index(u, side) - cut // 2
    return min(max(start, 0), side), min(max(start + cut, 0), side)


@compiled_by_size
def fill_offsets(u: Floats, p: float, room: Ints, padding: int, otherwise: Ints, out: Ints) -> None:
    """Write where a random crop lies to `[N, 2]`, `otherwise` where it is not applied.

    `u` `[3, N]` is whether it is applied, and the place down and across; `room` and `otherwise`
    int64 `[N, 2]`, or `[1, 2]` for all rows.
    """
    for i in range(u.shape[1]):
        own = i if room.shape[0] > 1 else 0
        for axis in range(2):
            if u[0, i] < p:
                out[i, axis] = _index(u[1 + axis, i], room[own, axis] + 1) - padding
            else:
                out[i, axis] = otherwise[own, axis]


@compiled_by_size
def fill_resized_crops(
    u: Floats, ratios: Floats, p: float, scale: tuple[float, float], limits: tuple[float, float],
    sizes: Ints, boxes: Ints,
) -> None:  # fmt: skip
    """Write the boxes of random resized crops to int32 `[N, 4]` (top, left, height, width).

    Of `u` `[4 * (tries + 1), N]` the first row says whether it is applied, and every four from the
    fifth on are a try: its share of the area within `scale`, its ratio of width to height, which
    `ratios` `[tries, N]` holds, its place down and across. `sizes` int64 `[N, 2]` are height and
    width of the images. After the last try: the largest centered box within the ratios `limits`.
    """
    for i in range(boxes.shape[0]):
        whole_h, whole_w = sizes[i, 0], sizes[i, 1]
        boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3] = 0, 0, whole_h, whole_w
        if not u[0, i] < p:
            continue
        aspect = whole_w / whole_h
        width = int(np.rint(whole_h * limits[1])) if aspect > limits[1] else whole_w
        height = int(np.rint(whole_w / limits[0])) if aspect < limits[0] else whole_h
        width, height = min(max(width, 1), whole_w), min(max(height, 1), whole_h)
        boxes[i, 0], boxes[i, 1] = (whole_h - height) // 2, (whole_w - width) // 2
        boxes[i, 2], boxes[i, 3] = height, width
        for k in range(ratios.shape[0]):
            area = (scale[0] + u[4 * k + 4, i] * (scale[1] - scale[0])) * (whole_h * whole_w)
            width = int(np.rint(np.sqrt(area * ratios[k, i])))
            height = int(np.rint(np.sqrt(area / ratios[k, i])))
            if 0 < width <= whole_w and 0 < height <= whole_h:
                boxes[i, 0] = _index(u[4 * k + 6, i], whole_h - height + 1)
                boxes[i, 1] = _index(u[4 * k + 7, i], whole_w - width + 1)
                boxes[i, 2], boxes[i, 3] = height, width
                break


@compiled_by_size
def fill_erased(
    u: Floats, ratios: Floats, p: float, scale: tuple[float, float], counts: Floats,
    sides: tuple[int, int], boxes: Ints,
) -> None:  # fmt: skip
    """Write a box of random erasing for each sample to `[N, 4]` (top, left, bottom, right).

    Of `u` `[4 * (tries + 1), N]` the first row says whether it is applied, and every four from the
    fifth on are a try: its share of the area within `scale`, which the `counts` `[N]` boxes of a
    sample divide, its ratio of height to width, which `ratios` `[tries, N]` holds, its place down
    and across. Empty where no try fits.
    """
    height, width = sides
    for i in range(u.shape[1]):
        boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3] = 0, 0, 0, 0
        if not u[0, i] < p:
            continue
        for k in range(ratios.shape[0]):
            area = (scale[0] + u[4 * k + 4, i] * (scale[1] - scale[0])) * (height * width)
            area /= counts[i]
            h = int(np.rint(np.sqrt(area * ratios[k, i])))
            w = int(np.rint(np.sqrt(area / ratios[k, i])))
            if 0 < h < height and 0 < w < width:
                top = _index(u[4 * k + 6, i], height - h + 1)
                left = _index(u[4 * k + 7, i], width - w + 1)
                boxes[i, 0], boxes[i, 1] = top, left
                boxes[i, 2], boxes[i, 3] = top + h, left + w
                break


@compiled_by_size
def fill_boxes(u: Floats, p: float, cut: Ints, sides: Ints, inside: bool, boxes: Ints) -> None:
    """Write boxes of a size to `[N, 4]` (top, left, bottom, right), empty where not applied.

    `u` `[3, N]` is whether it is applied, and the place down and across; `inside` says whether the
    box lies there whole, else its center does.
    """
    for i in range(u.shape[1]):
        for axis in range(2):
            first, last = 0, 0
            if u[0, i] < p and inside:
                first = _index(u[1 + axis, i], sides[axis] - cut[axis] + 1)
                last = first + cut[axis]
            elif u[0, i] < p:
                first, last = _cut(u[1 + axis, i], cut[axis], sides[axis])
            boxes[i, axis], boxes[i, 2 + axis] = first, last


@compiled_by_size
def fill_flips(x: Array, y: Array, width: int, height: int, matrices: Floats) -> None:
    """Write the matrices `[N, 3, 3]` from output pixel (x, y, 1) to source pixel under flips."""
    for i in range(x.size):
        matrices[i] = 0.0
        matrices[i, 0, 0], matrices[i, 0, 2] = (-1.0, width - 1.0) if x[i] else (1.0, 0.0)
        matrices[i, 1, 1], matrices[i, 1, 2] = (-1.0, height - 1.0) if y[i] else (1.0, 0.0)
        matrices[i, 2, 2] = 1.0


@compiled_by_size
def multiply_each(applied: Array, steps: Floats, totals: Floats) -> None:
    """Multiply matrices float64 `[N, 3, 3]` in place, from the right, by those of the rows that a
    step is applied to."""
    for r in range(applied.size):
        if applied[r]:
            for i in range(3):
                a, b, c = totals[r, i, 0], totals[r, i, 1], totals[r, i, 2]
                for j in range(3):
                    totals[r, i, j] = a * steps[r, 0, j] + b * steps[r, 1, j] + c * steps[r, 2, j]


def _compile(sources: int) -> Any:
    # See `augfeed.kernels` for what `sources` is good for.
    @compiled_by_size
    def fill_mixes(
        key: tuple[Any, int, int], names: Ints, u: Floats, paired: Array, p: float,
        choices: Floats, edges: Floats, sides: Ints, mode: Ints, lam: Floats, patch: Ints,
    ) -> int:  # fmt: skip
        """Write mode and lambda `[N]` and CutMix's patch `[N, 4]` of the rows that are mixed.

        `key` is seed, epoch, stream of lambda; `names` `[N]`, or `[1]` for a batch that shares its
        draws, is who draws lambda and `u` `[6, N or 1]`: whether a row is mixed, which choice,
        whether that is carried out, nothing, the patch's center down and across. A choice is mode,
        alpha, p, and whether lambda is counted from the patch; `edges` part their shares of `u`.
        """
        beta_key = key_of(key[0], key[1], key[2])
        laws = [beta_law(choice[1]) for choice in choices]
        shared = names.size < mode.size
        once = [draw_beta(law, np.uint64(names[0]), beta_key) for law in laws] if shared else [0.0]
        for r in range(mode.size):
            s = 0 if shared else r
            if not (paired[r] and u[0, s] < p):
                continue
            k = 0
            while k < edges.size and edges[k] <= u[1, s]:
                k += 1
            if not u[2, s] < choices[k, 2]:
                continue
            share = once[k] if shared else draw_beta(laws[k], np.uint64(names[r]), beta_key)
            mode[r] = int(choices[k, 0])
            if mode[r] == CUTMIX:
                area = 1
                for axis in range(2):
                    # A hair is added so that sqrt cannot round a whole side down.
                    cut = int(np.floor(sides[axis] * np.sqrt(1.0 - share) + 1e-9))
                    first, last = _cut(u[4 + axis, s], cut, sides[axis])
                    patch[r, axis], patch[r, 2 + axis] = first, last
                    area *= last - first
                if choices[k, 3]:
                    share = 1.0 - area / (sides[0] * sides[1])
            lam[r] = share
        return sources

    return fill_mixes


fill_mixes = _compile(SOURCES)
