"""How an operation enters the pass: one class a kind, from which operations are derived.

The ranges of `orders` are the fixed order of the pass: window, scenes, stages of Kornia,
statistics and neighborhoods of the frame, programs, geometry, linear color, pointwise color,
mixing, boxes, normalization, noise, labels.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from augfeed.operation.declare import Column, Declaration
from augfeed.operation.effects import Effect, Setting
from augfeed.operation.linear import Step
from augfeed.operation.parameter_types import Interpolation, Sides, StepInterpolation
from augfeed.operation.program import Node, parts_of
from augfeed.operation.program_effects import effects_of, moves_in_chains, moves_pixels
from augfeed.operation.reference import SampleColumns
from augfeed.operation.words import SampleValues, Wording

if TYPE_CHECKING:
    from torch import Tensor

Matrices = NDArray[np.float64]
RANDOM = ("draw", "stream", "uniforms", "columns")


class Window(Declaration):
    """Decides what is cut of an image and how it is resized, once its size is known.

    Its uniforms are drawn then: see `augfeed.plan.windows`.
    """

    family = "window"
    heading = "Window"
    orders = range(100, 190)
    by_boxes: ClassVar[bool] = False  # whether it is drawn by the boxes of a sample

    @property
    def chance(self) -> float:
        """The probability that a sample gets it: a window cuts also where it is not drawn."""
        return 1.0


class Scene(Declaration):
    """Makes the frame of a sample of several samples of its group, each as a window shows it.

    Masks, boxes and keypoints follow: see `augfeed.plan.scenes`.
    """

    family = "scene"
    heading = "Scenes"
    orders = range(190, 200)
    needs = ("stream", "uniforms")


class Stage(Declaration):
    """Runs on whole batches by another library, before everything but the window."""

    family = "Kornia"
    heading = "Kornia stages"
    orders = range(200, 250)


class Frame(Declaration):
    """Changes the frame, which is what the window shows of an image, before its pixels move.

    A sample whose first column is neutral is left out. `reads`, float32 numbers, are the
    parameters of its step: all that `reference` and the methods of the kind know of a sample, so
    that a frame may have any steps in any order.
    """

    family = "frame"
    heading = "Whole frames"
    reads: ClassVar[tuple[Column, ...] | None]
    rgb: ClassVar[bool] = False  # whether it is for red, green and blue

    @staticmethod
    def reference(values: "Tensor", given: SampleColumns) -> "Tensor":
        """Return float32 `[n, C, H, W]`, from 0 to 1, after the operation: its definition.

        Of `given` there are the columns of `reads`, and no mean.
        """
        raise NotImplementedError


class Statistics(Frame):
    """Makes levels of each channel into others, by a table of 256 that follows from its histogram.

    Float images are counted, and looked up, at their nearest level.
    """

    orders = range(250, 275)
    needs = (*RANDOM, "reads", "reference", "table")
    needs_gray: ClassVar[bool] = False

    @staticmethod
    def table(counts: Any, level: Any, *reads: Any) -> Any:
        """Return what becomes of each level of a channel, -1 where values stay as they are.

        `counts` are the pixels of each level, `level` is 0 to 255, both whole numbers `[256]`;
        `reads` are those of the sample, with `needs_gray` behind the mean gray of the frame, the
        nearest level of it as a float. It is written with `augfeed.operation.levels`.
        """
        raise NotImplementedError


class Neighbourhood(Frame):
    """Makes each pixel of the frame from those about it, by a symmetric kernel that is separable.

    Borders reflect without repeating the edge.
    """

    orders = range(275, 290)
    needs = (*RANDOM, "reads", "reference", "reach", "taps", "fitted")

    @property
    def reach(self) -> int:
        """How far from its middle any kernel reaches, in pixels."""
        raise NotImplementedError

    def fitted(self, size: Sides) -> Self:
        """Return it with kernels that reach less far than the sides of images are long."""
        raise NotImplementedError

    @staticmethod
    def taps(*reads: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weights of some samples, `[n, 2, T]`, down and across, by what they read.

        `[..., 0]` is the middle, `[..., i]` stands on both sides of it. None is below 0, and the
        sum over a kernel is 1, so that values stay between 0 and 1.
        """
        raise NotImplementedError


class Program(Declaration):
    """Gives each sample steps of its own, in drawn order, on the frame as flips show it.

    What may be drawn is a tree, from which draws, words and effects follow. Frames are uint8 in
    programs, and rounded to 256 levels where images are floats.
    """

    family = "program"
    heading = "Programs"
    orders = range(290, 300)
    needs = ("tree",)
    follows = ("moves", "effects", "explain")
    as_given = True
    p: float
    interpolation: StepInterpolation = "policy"  # of laws whose steps move pixels

    def tree(self) -> Node:
        """Return what a sample's steps are drawn from: see `augfeed.operation.program`."""
        raise NotImplementedError

    @property
    def program(self) -> Node:
        """Its tree."""
        return self.tree()

    @property
    def moves(self) -> bool:
        """Whether any step that may be drawn moves pixels."""
        return moves_pixels(self.tree())

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield what any step that may be drawn may do to a label."""
        yield from effects_of(self.tree(), setting)

    def explain(self, seen: SampleValues) -> Wording:
        """Return how many steps were drawn."""
        count = int(seen.values.get("steps", 0))
        return Wording(f"{count} step{'s' if count != 1 else ''}", otherwise="no step")


class Stencil(Frame):
    """Makes each pixel of the frame from the 3 x 3 about it; the outermost pixels stay."""

    orders = range(275, 290)
    needs = (*RANDOM, "reads", "reference", "stencil")

    @staticmethod
    def stencil(above: Any, line: Any, below: Any, top: Any, *reads: Any) -> Any:
        """Return what becomes of `line[1]`, the middle of three pixels of each of three lines.

        Values are whole levels, and have to be, where `top` is 255, and go from 0 to 1 where it is
        1. It is written with `augfeed.operation.pixel`.
        """
        raise NotImplementedError


class Blocks(Frame):
    """Loses what blocks of 8 x 8 lose as a JPEG; `reads` is the quality, from 1 to 100."""

    orders = range(275, 290)
    needs = (*RANDOM, "reads", "reference")


class Displacement(Frame):
    """Moves each pixel of the frame by a smooth field of random numbers.

    `reads` are the strength and the standard deviation in pixels, the fill outside, and two whole
    numbers below 2**24, the key of the numbers: see `augfeed.operation.elastic`.
    """

    orders = range(275, 290)
    needs = (*RANDOM, "reads", "reference")


class Geometry(Declaration):
    """Moves pixels by a matrix; all of them become one, in the order given."""

    family = "geometry"
    heading = "Geometry"
    orders = range(300, 390)
    needs = ("draw", "stream", "uniforms", "inverse")
    as_given = True
    warps: ClassVar[bool] = True  # False for flips, which need no interpolation
    interpolation: Interpolation = "bilinear"  # of all that warp, one in a policy

    def inverse(self, values: dict[str, NDArray[Any]], size: Sides) -> Matrices:
        """Return float64 `[N, 3, 3]`: the source of each output pixel, for what was drawn.

        Points are (x, y, 1) with pixel centers at whole numbers. Rows of samples that do not get
        the operation may hold anything.
        """
        raise NotImplementedError


class Outside(Declaration):
    """Says what geometry finds outside the image."""

    family = "geometry"
    heading = "Geometry"
    orders = range(390, 400)


class Linear(Declaration):
    """Changes colors linearly; all of them become one matrix."""

    family = "colour"
    heading = "Color"
    orders = range(400, 500)
    needs = (*RANDOM, "steps", "reference")
    steps: ClassVar[tuple[Step, ...]]

    @property
    def needs_mean(self) -> bool:
        """Whether a sample may need the mean gray of its frame."""
        return any(step.mean_unless for step in self.steps)

    @property
    def for_rgb(self) -> tuple[str, ...]:
        """What of it is for red, green and blue alone: parameters, or its name; () if nothing."""
        return (self.op,) if any(step.rgb for step in self.steps) else ()

    def reference(self, values: "Tensor", given: SampleColumns) -> "Tensor":
        """Return float32 `[n, C, H, W]`, from 0 to 1, after the operation: its definition."""
        raise NotImplementedError


class Pointwise(Declaration):
    """Changes each value by a function of that value alone, after the linear colors."""

    family = "colour"
    heading = "Color"
    orders = range(500, 600)
    needs = (*RANDOM, "reads", "pixel", "reference")
    # Float32 all; a sample whose first is neutral is left out.
    reads: ClassVar[tuple[Column, ...] | None]

    @property
    def jump(self) -> float:
        """By how much values that rounding alone sets apart may differ: 0 without a threshold."""
        return 0.0

    @staticmethod
    def pixel(value: Any, *reads: Any) -> Any:
        """Return what becomes of a value from 0 to 1, by what is read of its sample."""
        raise NotImplementedError

    def reference(self, values: "Tensor", given: SampleColumns) -> "Tensor":
        """Return float32 `[n, C, H, W]`, from 0 to 1, after the operation: its definition."""
        raise NotImplementedError


class Mixing(Declaration):
    """Mixes an image, and its label, with those of a partner: see `augfeed.plan.mixing`."""

    family = "mixing"
    heading = "Mixing"
    orders = range(600, 700)
    needs = ("stream", "uniforms", "columns")
    exclusive = "mixing"


class Box(Declaration):
    """Hides a rectangle."""

    family = "occlusion"
    heading = "Occlusion"
    orders = range(700, 800)
    needs = RANDOM


class Constants(Declaration):
    """The same for all samples: normalization."""

    family = "normalisation"
    heading = "Normalization"
    orders = range(800, 900)


class Noise(Declaration):
    """Changes values by random numbers of their own."""

    family = "noise"
    heading = "Noise"
    orders = range(900, 1000)
    needs = RANDOM


class Label(Declaration):
    """Changes labels alone."""

    family = "label"
    heading = "Labels"
    orders = range(1000, 1100)


class Epochs(Declaration):
    """Says how other operations of a policy change by epoch."""

    family = "epochs"
    heading = "Epochs"
    orders = range(1100, 1200)


def warps(operation: Declaration) -> bool:
    """Return whether an operation moves pixels by more than flips, or a step of it may."""
    if operation.program is None:
        return isinstance(operation, Geometry) and operation.warps
    return any(_warping(part) for part, _ in parts_of(operation.program))


def moves_by_plan(operation: Declaration) -> bool:
    """Return whether a plan says where an operation takes pixels from: by a matrix, a window, or a
    displacement.

    Of a program, whether that holds for every step that moves any; not for one of chains, which
    are blended.
    """
    if operation.program is None:
        return isinstance(operation, Window | Scene | Displacement | Geometry | Mixing)
    return not moves_in_chains(operation.program) and all(
        issubclass(cls, Geometry | Displacement) for cls in _moving_classes(operation.program)
    )


def displaces(operation: Declaration) -> bool:
    """Return whether an operation, or a step that a program may draw, moves pixels by a field."""
    if operation.program is None:
        return isinstance(operation, Displacement)
    return any(issubclass(cls, Displacement) for cls in _moving_classes(operation.program))


def _moving_classes(program: Node) -> Iterator[type[Any]]:
    # Of the steps of a program that move pixels of some sample.
    for part, p in parts_of(program):
        if not p:
            continue
        if isinstance(part, tuple):
            if part[0].candidate.moves:
                yield part[0].candidate.step
        elif part.moves:
            yield type(part)


def _warping(part: Any) -> bool:
    if isinstance(part, tuple):
        return issubclass(part[0].candidate.step, Geometry)
    return isinstance(part, Geometry) and part.warps


def frame_codes(classes: Iterable[type[Declaration]]) -> dict[int, type[Frame]]:
    """Return the operations on frames by the numbers that compiled code knows them by, from 1 on.

    They go by streams, which are never used again, so that a new operation changes no number.
    """
    frames = [cls for cls in classes if issubclass(cls, Frame)]
    return dict(enumerate(sorted(frames, key=lambda cls: cls.stream or 0), 1))


def flags(name: str) -> tuple[Column, ...]:
    """Return the one column of an operation that is applied or not."""
    return (Column(name, np.bool_, neutral=False),)
