"""Dense floats: sampled bilinearly; vectors are turned with the image."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError, InputTypeError
from augfeed.fields.kinds import Dense
from augfeed.fields.spatial_map import Indices, SpatialMap

_STRAIGHT = 1e-6  # of a map that keeps rows


def move_dense(
    values: NDArray[Any], where: SpatialMap, field: Dense, name: str, indices: Indices | None = None
) -> NDArray[np.float32]:
    """Return floats `[H, W]` or `[C, H, W]` as their image is moved, as float32.

    Between pixel centers values are linear; beyond the outermost centers they are those of the
    border. NaN spreads to all that it has a share in.
    """
    from augfeed.kernels.nearest import bilinear

    if values.dtype.kind != "f":
        raise InputTypeError(
            f"{name} is of {values.dtype}, not of floats: declare it as 'mask', or convert it"
        )
    if values.ndim not in (2, 3) or values.shape[-2:] != where.source:
        raise InputError(
            f"{name} has shape {list(values.shape)} for an image of {where.source[0]} x "
            f"{where.source[1]}: give [H, W] or [C, H, W] of the size of the image"
        )
    if field.vectors and (values.ndim != 3 or values.shape[0] < 2):
        raise InputError(
            f"{name} has shape {list(values.shape)}: vectors need [C, H, W] with C of 2 or more"
        )
    flat = values.ndim == 2
    image = values[..., None] if flat else np.moveaxis(values, 0, -1)
    image = np.ascontiguousarray(image, np.float32)
    out = np.empty((*where.size, image.shape[2]), np.float32)
    if where.shifted:
        from augfeed.kernels.shifted import bilinear_at

        shown, places = where.places()
        bilinear_at(image, places, field.fill, shown, out)
    else:
        shown = where.indices() if indices is None else indices
        bilinear(image, where.to_source.ravel(), field.fill, shown, out)
    if field.vectors:
        _turn(out, where, shown < 0)
    if field.disparity:
        forward = where.forward
        if np.abs([forward[1, 0], *forward[2, :2]]).max() > _STRAIGHT:
            raise InputError(
                f"{name} is a disparity, and its image is turned or sheared: leave rotate, shear "
                "and perspective out, or give flow, as Dense(vectors=True)"
            )
        out[shown >= 0] *= np.float32(forward[0, 0])
    return out[..., 0] if flat else np.ascontiguousarray(np.moveaxis(out, -1, 0))


def _turn(out: NDArray[np.float32], where: SpatialMap, outside: NDArray[np.bool_]) -> None:
    # The Jacobian of source -> output at each output pixel, of a projective map.
    m = where.forward
    ys, xs = np.mgrid[0.5 : where.size[0], 0.5 : where.size[1]]
    source = np.einsum("ij,jhw->ihw", where.to_source, np.stack([xs, ys, np.ones_like(xs)]))
    sx, sy = source[0] / source[2], source[1] / source[2]
    z = m[2, 0] * sx + m[2, 1] * sy + m[2, 2]
    u, v = out[..., 0].astype(np.float64), out[..., 1].astype(np.float64)
    fall = m[2, 0] * u + m[2, 1] * v
    turned_x = (m[0, 0] * u + m[0, 1] * v - xs * fall) / z
    turned_y = (m[1, 0] * u + m[1, 1] * v - ys * fall) / z
    out[..., 0] = np.where(outside, out[..., 0], turned_x)
    out[..., 1] = np.where(outside, out[..., 1], turned_y)
