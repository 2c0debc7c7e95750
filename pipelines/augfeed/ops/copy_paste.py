"""Paste objects of another sample."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from augfeed.operation import (
    ARXIV,
    Drawn,
    Effect,
    Flags,
    Probability,
    SampleValues,
    Scene,
    Setting,
    Sides,
    Uniforms,
    Unit,
    Wording,
    kind,
    operation,
)
from augfeed.ops._scene import Until


@operation
class CopyPaste(Scene):
    """Paste objects of another sample of the group by their masks (2012.07177).

    Each object of the other sample is pasted with probability `share`, at its place, before colors
    and geometry; pixels are copied, not blended. Masks that it covers lose what is covered, and
    their boxes become those of what is left; objects that are covered as a whole are dropped. It
    needs boxes with a mask of each, `[N, H, W]`, beside them. Two samples that a mosaic made are
    pasted as the mosaic shows them.
    """

    p: Probability = 0.5
    share: Annotated[Unit, Field(description="probability of each object to be pasted")] = 0.5
    until: Until = None
    op: Literal["copy_paste"] = kind("copy_paste")
    order = 195
    stream = 51
    uniforms = 2
    moves = True
    source = f"{ARXIV}2012.07177"
    cases = {}

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield that several samples are seen in one."""
        yield Effect("mixing", "p", self.p, self.p > 0)

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return the uniform that chooses the other sample."""
        return Drawn({"pick": u[1]}, {})

    def explain(self, seen: SampleValues) -> Wording:
        """Return that objects are pasted."""
        law = f"each object with probability {self.share:g}"
        law += "" if self.until is None else f", before epoch {self.until}"
        return Wording("objects of another sample pasted", law, "", {})
