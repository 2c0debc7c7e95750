"""Rectangles that hide part of a picture: Cutout and RandomErasing."""

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError
from augfeed.plan.draws import TRIES, Draws, between, index
from augfeed.policy import Cutout, RandomErasing
from augfeed.policy.base import pair

Boxes = NDArray[np.int32]


def draw_cutout(cutout: Cutout, draws: Draws, size: tuple[int, int]) -> Boxes:
    """Return int32 `[N, 4]` (top, left, bottom, right), empty where nothing is hidden."""
    from augfeed.kernels.columns import fill_boxes

    u, sides, cut = draws.of(cutout), np.array(size), np.array(pair(cutout.size))
    if cutout.inside and (cut > sides).any():
        raise InputError(
            f"cutout(size={cutout.size!r}, inside=True) does not fit into pictures of "
            f"{size[0]} x {size[1]} pixels: use a smaller size, or inside=False"
        )
    boxes = np.empty((u.shape[1], 4), np.int32)
    fill_boxes(u, cutout.p, cut, sides, cutout.inside, boxes)
    return boxes


def draw_erasing(erasing: RandomErasing, draws: Draws, size: tuple[int, int]) -> Boxes:
    """Return int32 `[N, 4]` (top, left, bottom, right): the first of ten tries that fits."""
    height, width = size
    tries = draws.of(erasing)[4:].reshape(TRIES, 4, -1)
    area = between(tries[:, 0], *erasing.scale) * (height * width)
    low, high = erasing.ratio
    if erasing.aspect_law == "uniform":
        ratio = between(tries[:, 1], low, high)
    else:
        ratio = np.exp(between(tries[:, 1], np.log(low), np.log(high)))
    h = np.round(np.sqrt(area * ratio)).astype(np.int64)
    w = np.round(np.sqrt(area / ratio)).astype(np.int64)
    fits = (h < height) & (w < width) & (h > 0) & (w > 0)
    first, every = fits.argmax(axis=0), np.arange(fits.shape[1])
    h, w = h[first, every], w[first, every]
    u = tries[first, :, every]
    top = index(u[:, 2], np.maximum(height - h + 1, 1))
    left = index(u[:, 3], np.maximum(width - w + 1, 1))
    boxes = np.stack([top, left, top + h, left + w], axis=1)
    boxes[~(fits.any(axis=0) & draws.applied(erasing))] = 0
    return boxes.astype(np.int32)
