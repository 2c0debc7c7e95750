"""Move each corner of the image inwards."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from augfeed.operation import (
    Drawn,
    Effect,
    Flags,
    Geometry,
    Interpolation,
    Matrices,
    Probability,
    SampleValues,
    Setting,
    Sides,
    Uniforms,
    Wording,
    kind,
    operation,
)
from augfeed.ops._geometry import at_most, identities

CORNERS = ("top left", "top right", "bottom right", "bottom left")


@operation
class Perspective(Geometry):
    """Move each corner pixel inwards by up to `distortion` of half the way to its neighbors.

    Each of the eight coordinates is drawn uniformly. An image one pixel wide or high stays. Above
    2/3 the four corners need not be convex any more, and some images fold over.
    """

    distortion: Annotated[
        float, Field(ge=0, le=0.9, description="largest share of half the way")
    ] = 0.5
    p: Probability = 0.5
    interpolation: Interpolation = "bilinear"
    later = ("interpolation",)
    op: Literal["perspective"] = kind("perspective")
    order = 360
    stream = 12
    uniforms = 9
    moves = True
    cases = {
        "perspective": "perspective(0.5, p=1.0)",
        "perspective, edge": 'perspective(0.5) | border("edge")',
        "perspective, reflect": 'perspective(0.5) | border("reflect")',
        "perspective, nearest": 'perspective(0.5, interpolation="nearest") | border("reflect")',
        "perspective, bicubic": 'perspective(0.5, 1.0, interpolation="bicubic")',
        "perspective to the horizon": "perspective(0.9, p=1.0) | border(fill=0.2)",
    }

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield the largest distortion."""
        yield at_most(self, "distortion", "max_distortion")

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return by how much of half a side each corner moves along x and y."""
        return Drawn({"corners": u[1:9].T * self.distortion}, {})

    def inverse(self, values: dict[str, NDArray[Any]], size: Sides) -> Matrices:
        """Return where pixels come from."""
        applied = values["applied"]
        matrices = identities(len(applied))
        matrices[applied] = _homography(values["corners"][applied], size)
        return matrices

    def explain(self, seen: SampleValues) -> Wording:
        """Return the shifts of the corners in pixels."""
        half = (seen.size[1] - 1) / 2, (seen.size[0] - 1) / 2
        shifts = [round(u * half[k % 2], 1) for k, u in enumerate(seen.values["corners"])]
        pairs = zip(CORNERS, shifts[0::2], shifts[1::2], strict=True)
        done = ", ".join(f"{name} by ({y:g}, {x:g})" for name, x, y in pairs)
        law = f"each uniform, up to {self.distortion:g} of half a side"
        return Wording(f"corners moved inwards: {done}", law)


def _homography(corners: Uniforms, size: Sides) -> Matrices:
    # Solves for the map that takes the moved corners back to the corners of the image. A line of
    # pixels has no perspective and stays as it is.
    right, bottom = size[1] - 1.0, size[0] - 1.0
    if not len(corners) or min(size) == 1:
        return identities(len(corners))
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
