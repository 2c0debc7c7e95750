"""Windows that are drawn by the boxes of a sample: functions of these and of its keys."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.operation import pair
from augfeed.philox import Stream, draw
from augfeed.plan.batch_rows import Ids
from augfeed.plan.windows import WindowDraws, Windows
from augfeed.policy import BboxSafeCrop, Policy, RandomIouCrop

Corners = NDArray[np.float64]
Part = tuple[int, int, int, int]  # top, left, height, width
TRIALS, ROUNDS = 40, 64  # as torchvision; rounds are without a bound there
_WORDS = 4  # of a block


def by_boxes(policy: Policy) -> RandomIouCrop | BboxSafeCrop | None:
    """Return the window of a policy that is drawn by boxes, None without one."""
    return policy.find(RandomIouCrop) or policy.find(BboxSafeCrop)


def boxed_windows(draws: WindowDraws, sizes: Ids, boxes: Sequence[Corners]) -> Windows:
    """Return the windows of samples whose images have `sizes` `[M, 2]`; `boxes` of each are xyxy
    `[N, 4]` in edges."""
    window, count = by_boxes(draws.policy), len(draws.ids)
    assert window is not None
    u = draw(draws.seed, draws.epoch, draws.ids, [(Stream.CROP, 0, 8)])
    box = np.concatenate([np.zeros_like(sizes), sizes], axis=1).astype(np.int32)
    for k in np.flatnonzero(u[0] < window.p).tolist():
        size = int(sizes[k, 0]), int(sizes[k, 1])
        if not len(boxes[k]):
            continue
        if isinstance(window, BboxSafeCrop):
            box[k] = _around(boxes[k], size, u[4:8, k], window.erosion)
        else:
            box[k] = _overlapping(window, boxes[k], size, draws.take(slice(k, k + 1)))
    resized = np.empty((count, 2), np.int32)
    resized[:] = pair(window.size)
    return Windows(box, resized, np.zeros_like(resized), draws.filters(window))


def centers_inside(boxes: Corners, part: Sequence[int]) -> NDArray[np.bool_]:
    """Return bool `[N]`: whether the center of each box lies in (top, left, height, width)."""
    top, left, height, width = part
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    inside: NDArray[np.bool_] = (left < x) & (x < left + width) & (top < y) & (y < top + height)
    return inside


def _around(boxes: Corners, size: tuple[int, int], u: NDArray[Any], erosion: float) -> Part:
    cut = (boxes[:, 2:] - boxes[:, :2]) * erosion
    x0, y0 = np.maximum((boxes[:, :2] + cut).min(axis=0), 0).tolist()
    x1, y1 = np.minimum((boxes[:, 2:] - cut).max(axis=0), [size[1], size[0]]).tolist()
    top, left = int(np.floor(y0 * u[0])), int(np.floor(x0 * u[1]))
    bottom = int(np.ceil(y1 + (size[0] - y1) * u[2]))
    right = int(np.ceil(x1 + (size[1] - x1) * u[3]))
    top, left = min(top, size[0] - 1), min(left, size[1] - 1)
    return top, left, max(bottom - top, 1), max(right - left, 1)


def _overlapping(
    window: RandomIouCrop, boxes: Corners, size: tuple[int, int], draws: WindowDraws
) -> Part:
    height, width = size
    low, high = window.scale
    blocks = 1 + TRIALS
    for k in range(ROUNDS):
        ask = (Stream.CROP, 2 + k * blocks, blocks * _WORDS)
        u = draw(draws.seed, draws.epoch, draws.ids, [ask])[:, 0].reshape(blocks, _WORDS)
        least = window.overlaps[min(int(u[0, 0] * len(window.overlaps)), len(window.overlaps) - 1)]
        if least >= 1:
            break
        for one in u[1:]:
            shares = low + (high - low) * one[:2]
            wide, tall = int(width * shares[0]), int(height * shares[1])
            if not (wide and tall and window.ratio[0] <= wide / tall <= window.ratio[1]):
                continue
            part = int((height - tall) * one[3]), int((width - wide) * one[2]), tall, wide
            held = boxes[centers_inside(boxes, part)]
            if len(held) and _overlaps(held, part).max() >= least:
                return part
    return 0, 0, height, width


def _overlaps(boxes: Corners, part: Part) -> NDArray[np.float64]:
    top, left, height, width = part
    low = np.maximum(boxes[:, :2], [left, top])
    high = np.minimum(boxes[:, 2:], [left + width, top + height])
    both = np.maximum(high - low, 0).prod(axis=1)
    made: NDArray[np.float64] = both / np.maximum(
        (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + height * width - both, 1e-12
    )
    return made
