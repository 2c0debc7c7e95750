"""Mirror top and bottom."""

from collections.abc import Iterator
from typing import Any, Literal

from numpy.typing import NDArray

from augfeed.operation import (
    Drawn,
    Effect,
    Flags,
    Geometry,
    Matrices,
    Probability,
    SampleValues,
    Setting,
    Sides,
    Uniforms,
    Wording,
    flags,
    kind,
    operation,
)
from augfeed.ops._geometry import identities


@operation
class VerticalFlip(Geometry):
    """Mirror top and bottom."""

    p: Probability = 0.5
    op: Literal["vertical_flip"] = kind("vertical_flip")
    order = 310
    stream = 7
    uniforms = 1
    columns = flags("flip_y")
    warps = False
    moves = True
    short = "vflip"
    cases = {"vertical flip": "vertical_flip(1.0)"}

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield that it mirrors."""
        yield Effect("vertical_flip", "p", self.p, self.p > 0)

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return which samples are mirrored."""
        return Drawn({}, {"flip_y": applied})

    def inverse(self, values: dict[str, NDArray[Any]], size: Sides) -> Matrices:
        """Return where pixels come from."""
        matrices = identities(len(values["applied"]))
        matrices[:, 1, 1], matrices[:, 1, 2] = -1.0, size[0] - 1.0
        return matrices

    def explain(self, seen: SampleValues) -> Wording:
        """Return that it was mirrored."""
        return Wording("mirrored top and bottom")
