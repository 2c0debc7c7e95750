"""Rectangles that hide part of an image: Cutout and RandomErasing."""

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError
from augfeed.plan.draws import TRIES, Draws, between
from augfeed.policy import Cutout, RandomErasing
from augfeed.policy.base import pair

Boxes = NDArray[np.int32]


def draw_cutout(cutout: Cutout, draws: Draws, size: tuple[int, int]) -> Boxes:
    """Return int32 `[N, 4]` (top, left, bottom, right), empty where nothing is hidden."""
    from augfeed.kernels.columns import fill_boxes

    u, sides, cut = draws.of(cutout), np.array(size), np.array(pair(cutout.size))
    if cutout.inside and (cut > sides).any():
        raise InputError(
            f"cutout(size={cutout.size!r}, inside=True) does not fit into images of "
            f"{size[0]} x {size[1]} pixels: use a smaller size, or inside=False"
        )
    boxes = np.empty((u.shape[1], 4), np.int32)
    fill_boxes(u, cutout.p, cut, sides, cutout.inside, boxes)
    return boxes


def draw_erasing(erasing: RandomErasing, draws: Draws, size: tuple[int, int]) -> Boxes:
    """Return int32 `[N, 4]` (top, left, bottom, right): the first of ten tries that fits."""
    from augfeed.kernels.columns import fill_erased

    u = draws.of(erasing)
    drawn, (low, high) = u[4:].reshape(TRIES, 4, -1)[:, 1], erasing.ratio
    if erasing.aspect_law == "uniform":
        ratios = between(drawn, low, high)
    else:
        # By NumPy: compiled code may round an exponential otherwise, and seeds are a promise.
        ratios = np.exp(between(drawn, np.log(low), np.log(high)))
    boxes = np.empty((u.shape[1], 4), np.int32)
    scale = float(erasing.scale[0]), float(erasing.scale[1])
    fill_erased(u, ratios, float(erasing.p), scale, size, boxes)
    return boxes
