"""Hide a square."""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from augfeed.errors import InputError
from augfeed.operation import (
    ARXIV,
    Box,
    Column,
    Drawn,
    Effect,
    Flags,
    Probability,
    SampleValues,
    Setting,
    Sides,
    Size,
    Uniforms,
    Wording,
    kind,
    operation,
    pair,
)
from augfeed.operation.parameter_types import Normalized
from augfeed.ops._box import hidden


@operation
class Cutout(Box):
    """Hide a square (1708.04552): center uniform over all pixels, clipped at the border.

    `inside=True` keeps the whole square in the image: a stronger variant. `fill` is in the
    space of the model's input, after normalization: 0 is the mean color.
    """

    size: Size = 16
    p: Probability = 1.0
    fill: Annotated[Normalized, Field(description="value after normalization; 0: mean color")] = 0.0
    inside: Annotated[bool, Field(description="keep the whole square in the image")] = False
    op: Literal["cutout"] = kind("cutout")
    order = 700
    stream = 18
    uniforms = 3
    columns = (Column("cutout", np.int32, shape=(4,)),)
    moves = False
    source = f"{ARXIV}1708.04552"
    cases = {
        "cutout": "cutout([4, 5], fill=-0.3)",
        "cutout, some": "cutout(8, p=0.5) | "
        "normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
        "cutout inside": "cutout(1, fill=1.0, inside=True)",
    }

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield how much it may hide."""
        size, never = setting.size, self.p == 0
        if size is None:
            for rule in ("max_occlusion", "min_content"):
                yield Effect(rule, "size", self.size, None, never=never)
            return
        area, sides = math.prod(size), pair(self.size)
        most = _hidden(sides, size)
        least = most if self.inside else _hidden([-(-side // 2) for side in sides], size)
        yield Effect(
            "max_occlusion", "size", self.size, most / area,
            lambda share: math.isqrt(int(share * area)) or None, never=never,
        )  # fmt: skip
        yield Effect(
            "min_content", "size", self.size, 1 - most / area,
            lambda share: math.isqrt(int((1 - share) * area)) or None, 1 - least / area, never,
        )  # fmt: skip

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return the boxes (top, left, bottom, right), empty where nothing is hidden."""
        from augfeed.kernels.draw_columns import fill_boxes

        sides, cut = np.array(size), np.array(pair(self.size))
        if self.inside and (cut > sides).any():
            raise InputError(
                f"cutout(size={self.size!r}, inside=True) does not fit into images of "
                f"{size[0]} x {size[1]} pixels: use a smaller size, or inside=False"
            )
        boxes = np.empty((u.shape[1], 4), np.int32)
        fill_boxes(u, self.p, cut, sides, self.inside, boxes)
        return Drawn({"box": boxes}, {"cutout": boxes})

    def explain(self, seen: SampleValues) -> Wording:
        """Return the box and its fill."""
        law = "all inside" if self.inside else "center anywhere, clipped at the border"
        return hidden(self, seen, law)


def _hidden(sides: Sequence[int], size: tuple[int, int]) -> int:
    return math.prod(min(side, whole) for side, whole in zip(sides, size, strict=True))
