"""Shift by a share of width and height."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

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
    Unit,
    Wording,
    between,
    kind,
    operation,
)
from augfeed.operation.effects import rounded_down
from augfeed.ops._geometry import at_most, identities
from augfeed.ops.border import Border


@operation
class Translate(Geometry):
    """Shift by a share of width and height, each uniform in plus or minus its bound."""

    x: Annotated[Unit, Field(description="largest shift, as a share of the width")] = 0.1
    y: Annotated[Unit, Field(description="largest shift, as a share of the height")] = 0.1
    p: Probability = 1.0
    interpolation: Interpolation = "bilinear"
    later = ("interpolation",)
    op: Literal["translate"] = kind("translate")
    order = 330
    stream = 9
    uniforms = 3
    moves = True
    cases = {
        "translate": "translate(0.3, 0.3)",
        "translate, bicubic": 'translate(0.4, 0.3, interpolation="bicubic") | border("edge")',
        "translate along x": 'translate(1.0, 0.0, p=0.5) | border("edge")',
    }

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield the largest shifts, and what they leave in the image."""
        for name in ("x", "y"):
            yield at_most(self, name, "max_translation")
            if not reflects(setting):
                yield _shift_left(name, getattr(self, name), self.p)

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return the shifts, as shares."""
        return Drawn({"x": between(u[1], -self.x, self.x), "y": between(u[2], -self.y, self.y)}, {})

    def inverse(self, values: dict[str, NDArray[Any]], size: Sides) -> Matrices:
        """Return where pixels come from."""
        matrices = identities(len(values["applied"]))
        matrices[:, 0, 2], matrices[:, 1, 2] = -values["x"] * size[1], -values["y"] * size[0]
        return matrices

    def explain(self, seen: SampleValues) -> Wording:
        """Return the shifts in pixels."""
        x, y = seen.values["x"] * seen.size[1], seen.values["y"] * seen.size[0]
        across = f"{abs(x):.1f} pixels {'right' if x >= 0 else 'left'}"
        along = f"{abs(y):.1f} {'down' if y >= 0 else 'up'}"
        law = f"uniform, up to {self.x:g} of the width and {self.y:g} of the height"
        return Wording(f"moved {across} and {along}", law)


def _shift_left(name: str, most: float, p: float) -> Effect:
    return Effect(
        "min_content", name, most, 1 - most, lambda least: min(most, rounded_down(1 - least)),
        never=p == 0,
    )  # fmt: skip


def reflects(setting: Setting) -> bool:
    """Return whether what leaves the image on one side is seen on the other."""
    return any(isinstance(item, Border) and item.mode == "reflect"
               for item in setting.policy.operations)  # fmt: skip
