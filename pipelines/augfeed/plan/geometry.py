"""Geometric decisions, composed into one matrix a sample: output pixel -> source pixel."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.plan.draws import Draws, Uniforms, between
from augfeed.policy import (
    Affine,
    HorizontalFlip,
    Perspective,
    Policy,
    Rotate,
    Scale,
    Shear,
    Translate,
    VerticalFlip,
)
from augfeed.policy.base import interval

Matrices = NDArray[np.float64]
Decisions = dict[str, dict[str, NDArray[Any]]]


def decide(operation: Affine, draws: Draws) -> dict[str, NDArray[Any]]:
    """Return what a geometric operation does to each sample, in its own terms."""
    u = draws.of(operation)
    values: dict[str, NDArray[Any]] = {"applied": draws.applied(operation)}
    match operation:
        case Rotate():
            values["degrees"] = between(u[1], *interval(operation.degrees))
        case Translate():
            values["x"] = between(u[1], -operation.x, operation.x)
            values["y"] = between(u[2], -operation.y, operation.y)
        case Scale():
            values["factor"] = between(u[1], *operation.factor)
        case Shear():
            values["x_degrees"] = between(u[1], -operation.x, operation.x)
            values["y_degrees"] = between(u[2], -operation.y, operation.y)
        case Perspective():
            values["corners"] = u[1:9].T * operation.distortion
        case _:
            pass
    return values


def inverse(operation: Affine, values: dict[str, NDArray[Any]], size: tuple[int, int]) -> Matrices:
    """Return float64 `[N, 3, 3]`: the source of each output pixel under one operation.

    Points are (x, y, 1) with pixel centers at whole numbers.
    """
    height, width = size
    out = np.tile(np.eye(3), (len(values["applied"]), 1, 1))
    match operation:
        case HorizontalFlip():
            out[:, 0, 0], out[:, 0, 2] = -1.0, width - 1.0
        case VerticalFlip():
            out[:, 1, 1], out[:, 1, 2] = -1.0, height - 1.0
        case Rotate():
            angle = np.deg2rad(values["degrees"])
            cos, sin = np.cos(angle), np.sin(angle)
            out[:, 0, 0], out[:, 0, 1], out[:, 1, 0], out[:, 1, 1] = cos, -sin, sin, cos
            _about_centre(out, size)
        case Translate():
            out[:, 0, 2], out[:, 1, 2] = -values["x"] * width, -values["y"] * height
        case Scale():
            out[:, 0, 0] = out[:, 1, 1] = 1.0 / values["factor"]
            _about_centre(out, size)
        case Shear():
            x, y = (np.tan(np.deg2rad(values[name])) for name in ("x_degrees", "y_degrees"))
            out[:, 0, 0], out[:, 0, 1], out[:, 1, 0] = 1.0 + x * y, -x, -y
            _about_centre(out, size)
        case Perspective():
            applied = values["applied"]
            out[applied] = _homography(values["corners"][applied], size)
    return out


def compose(policy: Policy, decisions: Decisions, size: tuple[int, int]) -> Matrices:
    """Return float64 `[N, 3, 3]`: all geometric operations of a policy, in its order, as one."""
    total: Matrices | None = None
    for operation in policy.operations:
        if isinstance(operation, Affine):
            values = decisions[operation.op]
            step = inverse(operation, values, size)
            step[~values["applied"]] = np.eye(3)
            total = step if total is None else total @ step
    assert total is not None, "only called for policies with a geometric operation"
    return total


def flipped(
    x: NDArray[np.bool_], y: NDArray[np.bool_], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Return float32 `[N, 3, 3]`, what `compose` does where nothing but flips moves pixels."""
    from augfeed.kernels.columns import fill_flips

    out = np.empty((len(x), 3, 3), np.float32)
    fill_flips(x, y, size[1], size[0], out)
    return out


def _about_centre(matrices: Matrices, size: tuple[int, int]) -> None:
    cx, cy = (size[1] - 1) / 2, (size[0] - 1) / 2
    linear = matrices[:, :2, :2]
    matrices[:, :2, 2] = np.array([cx, cy]) - linear @ np.array([cx, cy])


def _homography(corners: Uniforms, size: tuple[int, int]) -> Matrices:
    # Solves for the map that takes the moved corners back to the corners of the image. A line of
    # pixels has no perspective and stays as it is.
    right, bottom = size[1] - 1.0, size[0] - 1.0
    if not len(corners) or min(size) == 1:
        return np.tile(np.eye(3), (len(corners), 1, 1))
    dx, dy = corners[:, 0::2] * (right / 2), corners[:, 1::2] * (bottom / 2)
    to_x, to_y = np.array([0, right, right, 0]), np.array([0, 0, bottom, bottom])
    from_x = to_x + dx * np.array([1, -1, -1, 1])
    from_y = to_y + dy * np.array([1, 1, -1, -1])
    one, zero = np.ones_like(from_x), np.zeros_like(from_x)
    rows_x = np.stack([from_x, from_y, one, zero, zero, zero, -to_x * from_x, -to_x * from_y], 2)
    rows_y = np.stack([zero, zero, zero, from_x, from_y, one, -to_y * from_x, -to_y * from_y], 2)
    system = np.concatenate([rows_x, rows_y], axis=1)
    wanted = np.broadcast_to(np.concatenate([to_x, to_y]), (len(corners), 8))
    solved = np.linalg.solve(system, wanted[..., None])[..., 0]
    return np.concatenate([solved, np.ones((len(corners), 1))], axis=1).reshape(-1, 3, 3)
