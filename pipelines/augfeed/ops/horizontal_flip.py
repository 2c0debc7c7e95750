"""Mirror left and right."""

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
class HorizontalFlip(Geometry):
    """Mirror left and right."""

    p: Probability = 0.5
    op: Literal["horizontal_flip"] = kind("horizontal_flip")
    order = 300
    stream = 6
    uniforms = 1
    columns = flags("flip_x")
    warps = False
    moves = True
    short = "hflip"
    cases = {"horizontal flip": "horizontal_flip(1.0)"}

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield that it mirrors."""
        yield Effect("horizontal_flip", "p", self.p, self.p > 0)

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return which samples are mirrored."""
        return Drawn({}, {"flip_x": applied})

    def inverse(self, values: dict[str, NDArray[Any]], size: Sides) -> Matrices:
        """Return where pixels come from."""
        matrices = identities(len(values["applied"]))
        matrices[:, 0, 0], matrices[:, 0, 2] = -1.0, size[1] - 1.0
        return matrices

    def explain(self, seen: SampleValues) -> Wording:
        """Return that it was mirrored."""
        return Wording("mirrored left and right")
