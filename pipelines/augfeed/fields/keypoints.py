"""Keypoints: each point through the map; in a mirrored image left and right change places."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError
from augfeed.fields.kinds import Keypoints
from augfeed.fields.spatial_map import SpatialMap


def move_keypoints(
    points: NDArray[Any], where: SpatialMap, field: Keypoints, name: str
) -> NDArray[np.float64]:
    """Return points `[..., K, 2 or 3]` as their image is moved, as float64.

    Raises `InputError` for another shape, and for a mirrored image without `flip_pairs`. Of points
    with visibility those of 0 become (0, 0, 0), and those that leave the image get visibility 0.
    """
    given = np.asarray(points, np.float64)
    if given.ndim < 1 or given.shape[-1] not in (2, 3):
        raise InputError(
            f"{name} has shape {list(given.shape)}, and keypoints are [..., K, 2] or [..., K, 3]"
        )
    flat = given.reshape(-1, given.shape[-1])
    edges, made = flat[:, :2] + 0.5, flat.copy()
    moved, front = where.shifted_points(edges) if where.shifted else _forward(edges, where)
    made[:, :2] = moved - 0.5
    made[np.isnan(moved).any(axis=1), :2] = -1  # behind the camera of a perspective: nowhere
    if given.shape[-1] == 3:
        height, width = where.size
        x, y = made[:, 0], made[:, 1]
        inside = front & (x >= -0.5) & (y >= -0.5) & (x < width - 0.5) & (y < height - 0.5)
        inside &= _shown(edges, where)
        made[~inside, 2] = 0
        made[flat[:, 2] == 0] = 0
    shaped: NDArray[np.float64] = made.reshape(given.shape)
    return _mirrored(shaped, where, field, name) if where.mirrored else shaped


def _forward(
    edges: NDArray[np.float64], where: SpatialMap
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    # Points through the matrix, not numbers behind its camera; and which are in front of it.
    moved = np.concatenate([edges, np.ones((len(edges), 1))], axis=1) @ where.forward.T
    front: NDArray[np.bool_] = moved[:, 2] > 0
    z = np.where(front, moved[:, 2], np.nan)
    return moved[:, :2] / z[:, None], front


def _shown(edges: NDArray[np.float64], where: SpatialMap) -> NDArray[np.bool_]:
    # Whether the window shows points: what turns it shows nothing outside of it.
    left, top, right, bottom = where.visible
    x, y = edges[:, 0], edges[:, 1]
    shown: NDArray[np.bool_] = (x >= left) & (y >= top) & (x < right) & (y < bottom)
    return shown


def _mirrored(
    points: NDArray[np.float64], where: SpatialMap, field: Keypoints, name: str
) -> NDArray[np.float64]:
    if field.flip_pairs is None:
        raise InputError(
            f"{name} has keypoints and its image is mirrored: say which points change places, as "
            "Keypoints(flip_pairs=((1, 2), (3, 4))), or () for none"
        )
    count = points.shape[-2] if points.ndim > 1 else 1
    order = np.arange(count)
    for one, other in field.flip_pairs:
        if not (0 <= one < count and 0 <= other < count):
            raise InputError(
                f"flip_pairs has ({one}, {other}), and {name} has {count} points: give numbers "
                f"from 0 to {count - 1}"
            )
        order[one], order[other] = other, one
    return points[..., order, :] if points.ndim > 1 else points
